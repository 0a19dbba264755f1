"""Number formats: the vocabulary that algorithm, hardware and back ends share."""

from ridgeline.formats.engine import ENGINE_FORMATS
from ridgeline.formats.families import FAMILIES, Family, format_names, read_format
from ridgeline.formats.format import Format
from ridgeline.formats.scalar import Scalar, Scaling, Ties
from ridgeline.formats.table import Table

__all__ = ["ENGINE_FORMATS", "FAMILIES", "Family", "Format", "Scalar", "Scaling", "Table", "Ties", "format_names", "read_format"]
