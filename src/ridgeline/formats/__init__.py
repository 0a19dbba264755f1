"""Number formats: the vocabulary that algorithm, hardware and back ends share."""

from ridgeline.formats.format import FORMATS, Format, read_format

__all__ = ["FORMATS", "Format", "read_format"]
