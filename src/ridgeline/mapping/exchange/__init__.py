"""Mappings in other tools' formats, and our own: one file a tool."""
