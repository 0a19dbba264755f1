"""Searches for the best mapping of a nest on a chip, each with a proof of what it has not looked at."""
