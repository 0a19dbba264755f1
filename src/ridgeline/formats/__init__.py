"""Number formats: the vocabulary that algorithm, hardware and back ends share."""

from ridgeline.formats.archive import header_bytes, pack, unpack
from ridgeline.formats.engine import ENGINE_FORMATS
from ridgeline.formats.families import FAMILIES, Family, format_names, read_format
from ridgeline.formats.format import Format
from ridgeline.formats.mx import ScaleRule
from ridgeline.formats.olive import Keep
from ridgeline.formats.quantise import Encoded, quantise
from ridgeline.formats.scalar import Scalar, Scaling, Ties
from ridgeline.formats.scales import ABSMAX, Search
from ridgeline.formats.select import TypeSet, candidates, select
from ridgeline.formats.stored import Stored, Whole
from ridgeline.formats.table import Table

__all__ = [
    "ABSMAX",
    "ENGINE_FORMATS",
    "FAMILIES",
    "Encoded",
    "Family",
    "Format",
    "Keep",
    "Scalar",
    "ScaleRule",
    "Scaling",
    "Search",
    "Stored",
    "Table",
    "Ties",
    "TypeSet",
    "Whole",
    "candidates",
    "format_names",
    "header_bytes",
    "pack",
    "quantise",
    "read_format",
    "select",
    "unpack",
]
