"""Mappings that are given, found for each layer by what a file holds, and costed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.timeloop import problem_text
from ridgeline.errors import DoesNotFitError, InputError, UnsupportedError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.exchange import zigzag
from ridgeline.mapping.exchange.own import read_own_mappings
from ridgeline.mapping.exchange.timeloop import read_timeloop_mapping, timeloop_mapping
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.timeloop import read_yaml

OWN = "mapping.json"
ENDING = ".timeloop.yaml"
LONGEST = 150  # characters of a file's name before its ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A layer's mapping and what it takes."""

    mapping: LoopMapping
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenMappings:
    """One for each layer."""

    layers: tuple[Given, ...]

    @property
    def energy_pj(self) -> float:
        return sum(layer.estimate.energy_pj for layer in self.layers)

    @property
    def cycles(self) -> int:
        return sum(layer.estimate.cycles for layer in self.layers)


def read_mappings(path: Path, layers: Sequence[Layer], chip: Chip, dimensions: Mapping[str, str] | None = None) -> tuple[LoopMapping, ...]:
    """Of a file: our mapping.json, ZigZag's mappings, or Timeloop's of one layer; or of a folder with a mapping.json, or a file LAYER.timeloop.yaml
    for each layer.
    `dimensions` gives the axis of each of Timeloop's names. Raises InputError, and UnsupportedError for what a mapping cannot say."""
    if path.is_dir():
        if (path / OWN).is_file():
            return _own(path / OWN, layers)
        names = file_names([layer.name for layer in layers])
        return tuple(
            read_timeloop_mapping(path / f"{name}{ENDING}", layer.nest, chip, dimensions) for name, layer in zip(names, layers, strict=True)
        )
    if path.suffix == ".json":
        return _own(path, layers)
    if zigzag.is_zigzag(content := read_yaml(path)):
        return zigzag.read_mappings(path, layers, chip)
    if not isinstance(content, dict) or "mapping" not in content:
        raise InputError(
            f"'{path}' is no mapping: a mapping.json of Ridgeline, a YAML of Timeloop with 'mapping:', or ZigZag's list of entries"
        )
    if len(layers) > 1:
        raise InputError(
            f"'{path}' is the mapping of one layer, and there are {len(layers)}; name one with --layers, or give a folder with "
            f"a file such as '{file_names([layer.name for layer in layers])[0]}{ENDING}' for each"
        )
    return (read_timeloop_mapping(path, layers[0].nest, chip, dimensions),)


def _own(path: Path, layers: Sequence[Layer]) -> tuple[LoopMapping, ...]:
    found = read_own_mappings(path)
    lacking = next((layer.name for layer in layers if layer.name not in found), None)
    if lacking is not None:
        raise InputError(f"'{path}' has no mapping of layer '{lacking}'; it has {', '.join(list(found)[:8])}")
    return tuple(found[layer.name] for layer in layers)


def cost_mappings(
    mappings: Sequence[LoopMapping], layers: Sequence[Layer], chip: Chip, conventions: Conventions, *, path: Path
) -> GivenMappings:
    """Raises InputError for a mapping that is none of its layer, DoesNotFitError where a level is too small, UnsupportedError; each names the file
    or folder that the mappings are from, and the layer."""
    made: list[Given] = []
    for mapping, layer in zip(mappings, layers, strict=True):
        try:
            made.append(Given(mapping=mapping, estimate=estimate(mapping, layer.nest, chip, conventions)))
        except (InputError, DoesNotFitError, UnsupportedError) as error:
            raise type(error)(f"'{path}': layer '{layer.name}': {error}") from error
    return GivenMappings(layers=tuple(made))


def timeloop_files(mappings: Sequence[LoopMapping], layers: Sequence[Layer], chip: Chip) -> dict[str, str]:
    """Name -> text: each layer's mapping and its problem in Timeloop's form, where it has one."""
    files: dict[str, str] = {}
    for name, mapping, layer in zip(file_names([layer.name for layer in layers]), mappings, layers, strict=True):
        try:
            made = {ENDING: timeloop_mapping(mapping, layer.nest, chip), ".problem.yaml": problem_text(layer.nest)}
        except UnsupportedError:
            continue
        files |= {f"{name}{ending}": text for ending, text in made.items()}
    return files


def file_names(layers: Sequence[str]) -> tuple[str, ...]:
    """Layers' names as files': what is neither letter, digit, dot, hyphen nor underscore becomes an underscore. A name that is long, or that another
    layer would have too (where case does not count either), gets a checksum of the layer's."""
    plain = [re.sub(r"[^A-Za-z0-9._-]", "_", layer).lstrip(".") or "_" for layer in layers]
    times = Counter(name.lower() for name in plain)
    return tuple(
        f"{name[:LONGEST]}-{crc32(layer.encode()):08x}" if times[name.lower()] > 1 or len(name) > LONGEST else name
        for name, layer in zip(plain, layers, strict=True)
    )
