"""From an engine or a program to files that other tools read."""
