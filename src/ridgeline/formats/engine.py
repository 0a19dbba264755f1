"""The formats that engines compute in: what the C++ back end, its resources and the uniform engine know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ridgeline.formats.families import read_format
from ridgeline.formats.format import Format

ENGINE_FORMATS: Mapping[str, Format] = MappingProxyType({name: read_format(name) for name in ("int8", "fixed16", "float32")})
