"""Reads an architecture of Timeloop (v0.4: nodes; v0.2 and v0.3: subtree and local) as a chip.

Timeloop counts words and leaves energies to Accelergy: they come from an energy reference table (ERT), or from `vector_access_energy` and
`energy_per_op`. A word has the outermost memory's width on all levels, so that words, blocks and energies are Timeloop's own even where the widths
of its memories differ. A fan-out is an axis of the array with its container's name, with _y along y, and then _x along x. docs/timeloop.md lists what
is read, what is left out, and what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias, cast

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import LOOP_AXES, TENSORS, Chip
from ridgeline.hardware.timeloop_parts import (
    COMPUTE,
    Fan,
    Item,
    Part,
    Rule,
    Struct,
    counted,
    items_of,
    kept,
    number,
    refuse,
    whole,
)  # fmt: skip
from ridgeline.timeloop import DIMENSIONS, axis_of, convert, document, factors, permutation, read_yaml

COMPUTE_ACTIONS = ("compute", "mac_random", "multiply")
LEFT_OUT = frozenset({
    "type", "n_banks", "n_rdwr_ports", "n_rd_ports", "n_wr_ports", "n_ports", "nports", "num_ports", "n_buffets", "update_fifo_depth", "version",
    "power_gated_at", "has_power_gating", "network_fill_latency", "network_drain_latency", "technology", "global_cycle_seconds", "latency",
    "action_latency_cycles", "meshX", "meshY", "num_exponent", "num_mantissa", "num_pipeline_stages", "adder_width", "multiplier_width",
    "min_utilization",
})  # fmt: skip
"""Attributes that say nothing of a chip's levels, or are read elsewhere."""
DEFAULTS: dict[str, tuple[Any, ...]] = {"cluster_size": (1,), "reduction_supported": (True, "true"), "allow_overbooking": (False, "false")}
"""Attributes of which a chip can say these values only."""
SIZES = ("width", "datawidth", "word_bits", "block_size", "depth", "entries", "sizeKB", "multiple_buffering")
RATES = ("read_bandwidth", "write_bandwidth", "shared_bandwidth")
ENERGIES = ("vector_access_energy", "energy_per_op")
KNOWN_KEYS = frozenset({
    "architecture", "ERT", "ART", "problem", "mapping", "mapper", "mapspace", "compound_components", "architecture_constraints", "globals",
    "variables", "dumped_by_timeloop_front_end",
})  # fmt: skip
CLOCK_MHZ, NODE_NM = 1000.0, 45  # Timeloop's cycle of 1 ns; a node where no technology is named
Energies: TypeAlias = Mapping[str, Mapping[str, float]]  # component -> action -> pJ


class Action(Struct, frozen=True, kw_only=True):
    """pJ of one action."""

    name: str
    energy: float
    arguments: Any = None


class Table(Struct, frozen=True, kw_only=True):
    """The actions of one component, `system.name[1..168]`."""

    name: str
    actions: tuple[Action, ...]


class Ert(Struct, frozen=True, kw_only=True):
    """An energy reference table of Accelergy."""

    version: Any = None
    tables: tuple[Table, ...]


def read_timeloop(path: Path, energies: Path | None = None) -> Chip:
    """`energies` is a file with an ERT, where `path` has none. Raises InputError for a file that is none, or lacks an energy; UnsupportedError for
    what a chip cannot say."""
    found = cast("dict[str, Any]", read_yaml(path))
    document(path, "architecture")
    _check_keys(path, found)
    where = f"'{path}'"
    items = items_of(found, where)
    parts = [item for item in items if isinstance(item, Part)]
    storage, compute = [part for part in parts if part.is_storage and not part.is_dummy], [part for part in parts if not part.is_storage]
    if len(compute) != 1 or parts[-1] is not compute[0] or not storage:
        raise UnsupportedError(
            f"{where}: a chip has one memory or more, and one compute component (class {' or '.join(COMPUTE)}) that comes last"
        )
    table = _table(document(energies, "ERT"), f"'{energies}'") if energies is not None else _table(found.get("ERT"), where)
    return _chip(path, items, storage, compute[0], table)


def _check_keys(path: Path, found: Mapping[str, Any]) -> None:
    unknown = next((key for key in found if key not in KNOWN_KEYS), None)
    if unknown is not None:
        raise UnsupportedError(f"'{path}': '{unknown}:' is not read; a file may have {', '.join(sorted(KNOWN_KEYS))}")


# The chip


def _chip(path: Path, items: Sequence[Item], storage: Sequence[Part], compute: Part, table: Energies) -> Chip:
    where = f"'{path}'"
    fans = [item for item in items if isinstance(item, Fan)]
    array = {axis: size for fan in reversed(fans) for axis, size in fan.axes.items()} or {compute.name: 1}
    word = _word_bits(storage[0], where)
    _check_attributes(compute, where, (*ENERGIES[1:], *SIZES))
    levels = [_level(part, items, word, table, where) | ({} if place else _outermost(part, where)) for place, part in enumerate(storage)]
    held = [place for place, level in enumerate(levels) if level["keeps"]]
    if len(array) < len([axis for fan in fans for axis in fan.axes]):
        raise InputError(f"{where}: two containers with a fan-out have one name; there are {', '.join(fan.name for fan in fans)}")
    made = {
        "name": path.stem,
        "description": f"read from Timeloop's {path.name}",
        "clock_mhz": _clock(compute, where),
        "node_nm": _node(compute.attributes.get("technology")),
        "array": array,
        "mac": {"pj": _compute_energy(compute, table, where), "source": f"{path.name}: {compute.name}"},
        "widths": {"input": word, "weight": word, "output": word, "partial": word},
        "levels": [levels[place] for place in held],
        "unroll": {axis: rule for fan in fans for axis, rule in _unroll(fan, where).items()},
        "loops": {storage[place].name: rule for place in held if (rule := _loops(storage[place], where))},
        "source": f"{path.name}; a word is {word} bits wide on all levels",
    }
    return convert(made, Chip, where)


def _clock(compute: Part, where: str) -> float:
    seconds = number(compute.attributes, "global_cycle_seconds", where)
    return CLOCK_MHZ if seconds is None or seconds <= 0 else round(1e-6 / seconds, 6)


def _node(technology: Any) -> int:
    match = re.fullmatch(r"\s*(\d{1,4})\s*(?:nm)?\s*", str(technology))
    return int(match[1]) if match and int(match[1]) else NODE_NM


def _word_bits(part: Part, where: str) -> int:
    for name in ("datawidth", "word_bits"):
        found = number(part.attributes, name, f"{where}: {part.name}")
        if found is not None:
            return whole(found, name, f"{where}: {part.name}")
    raise InputError(f"{where}: {part.name} has no datawidth (or word-bits): bits of one word")


def _outermost(part: Part, where: str) -> dict[str, Any]:
    """It holds the whole layer, whatever its size."""
    if kept(part, where)[0] != TENSORS:
        raise UnsupportedError(f"{where}: {part.name}: the outermost memory of a chip keeps all tensors")
    return {"capacity_bytes": None, "must_keep": [], "double_buffered": False}


def _level(part: Part, items: Sequence[Item], word: int, table: Energies, where: str) -> dict[str, Any]:
    here = f"{where}: {part.name}"
    _check_attributes(part, where, (*SIZES, *RATES, ENERGIES[0]))
    inside = items[items.index(part) + 1 :]
    keeps, must = kept(part, where)
    if not keeps:
        return {"keeps": []}
    block = _block(part, where)
    buffers = whole(number(part.attributes, "multiple_buffering", here) or 1, "multiple_buffering", here)
    if buffers > 2:
        raise UnsupportedError(f"{here}: multiple_buffering is {buffers}; a chip's level has one buffer or two")
    words = _entries(part, block, here)
    read, write = _access_energies(part, table, where)
    shared, reading, writing = (number(part.attributes, f"{name}_bandwidth", here) for name in ("shared", "read", "write"))
    if shared is not None and (reading is not None or writing is not None):
        raise InputError(f"{here}: shared_bandwidth stands beside read_bandwidth or write_bandwidth; give either")
    return {
        "name": part.name,
        "keeps": list(keeps),
        "must_keep": list(must),
        "serves": [axis for fan in inside if isinstance(fan, Fan) for axis in fan.axes] or _alone(items),
        "capacity_bytes": None if words is None else max(1, words * word // 8),
        "read_pj_per_bit": read / (block * word),
        "write_pj_per_bit": write / (block * word),
        "read_bits_per_cycle": _rate(reading if shared is None else shared, word),
        "write_bits_per_cycle": _rate(writing, word),
        "one_port": shared is not None,
        "double_buffered": buffers == 2,
        "source": f"{part.name} ({part.kind}), {block} words an access",
    }


def _alone(items: Sequence[Item]) -> list[str]:
    """A chip without any fan-out has an axis of one multiplier."""
    return [] if any(isinstance(item, Fan) for item in items) else [items[-1].name]


def _rate(words: float | None, word: int) -> float | None:
    return None if words is None else words * word


def _block(part: Part, where: str) -> int:
    """Words that one access moves."""
    here = f"{where}: {part.name}"
    bits = _word_bits(part, where)
    block, width = number(part.attributes, "block_size", here), number(part.attributes, "width", here)
    if width is not None and (width % bits or (block is not None and block * bits != width)):
        raise InputError(f"{here}: width {width:g} is not block-size times datawidth {bits}")
    if block is None and width is None:
        return 1
    return whole(block if block is not None else (width or bits) // bits, "block-size", here)


def _entries(part: Part, block: int, here: str) -> int | None:
    """Words that it holds; None where nothing says."""
    depth, entries, size = (number(part.attributes, name, here) for name in ("depth", "entries", "sizeKB"))
    if sum(value is not None for value in (depth, entries, size)) > 1 and not (
        depth is not None and entries == depth * block and size is None
    ):
        raise InputError(f"{here}: give one of depth, entries and sizeKB")
    if depth is not None:
        return whole(depth * block, "depth", here)
    if entries is not None:
        return whole(entries, "entries", here)
    return None if size is None else whole(size * 8192 // _word_bits(part, here), "sizeKB", here)


# Energies


def _table(found: Any, where: str) -> dict[str, dict[str, float]]:
    if found is None:
        return {}
    made: dict[str, dict[str, float]] = {}
    for entry in convert(found, Ert, f"{where}: ERT").tables:
        name = counted(entry.name, where)[0].rsplit(".", 1)[-1]
        if name in made:
            raise InputError(f"{where}: ERT has two tables for '{name}'")
        made[name] = {}
        for action in entry.actions:
            if made[name].setdefault(action.name, action.energy) != action.energy:
                raise UnsupportedError(f"{where}: ERT: {name} has several energies for '{action.name}'; a chip has one")
            if not isfinite(action.energy) or action.energy < 0:
                raise InputError(f"{where}: ERT: {name}: the energy of '{action.name}' is {action.energy}; it must be 0 pJ or more")
    return made


def _access_energies(part: Part, table: Energies, where: str) -> tuple[float, float]:
    """pJ to read and to write one block."""
    here = f"{where}: {part.name}"
    given = number(part.attributes, ENERGIES[0], here)
    if given is not None:
        return given, given
    actions = table.get(part.name, {})
    lacking = next((action for action in ("read", "write") if action not in actions), None)
    if lacking is not None:
        raise InputError(
            f"{here} has no energy for '{lacking}'; give --energies a file with an ERT that has a table '{part.name}', or the attribute "
            "vector_access_energy (pJ an access of its width)"
        )
    if actions.get("update", actions["write"]) != actions["write"]:
        raise UnsupportedError(
            f"{here}: an update takes {actions['update']:g} pJ and a write {actions['write']:g}; a chip has one energy for both"
        )
    return actions["read"], actions["write"]


def _compute_energy(part: Part, table: Energies, where: str) -> float:
    here = f"{where}: {part.name}"
    given = number(part.attributes, ENERGIES[1], here)
    if given is not None:
        return given
    found = next((table[part.name][action] for action in COMPUTE_ACTIONS if action in table.get(part.name, {})), None)
    if found is None:
        raise InputError(
            f"{here} has no energy for 'compute'; give --energies a file with an ERT that has a table '{part.name}', or the attribute "
            "energy_per_op (pJ)"
        )
    return found


# Constraints


def _unroll(fan: Fan, where: str) -> dict[str, dict[str, Any]]:
    """Of a fan-out's axes. The first `split` dimensions of the permutation lie along x."""
    here, rule = f"{where}: {fan.name}", fan.rule
    refuse(
        here, rule, "no_reuse", "no_link_transfer", "no_multicast_no_reduction", "default_max_factor", "default_min_factor", "remainders"
    )
    order = [axis_of(name, DIMENSIONS, here) for name in permutation(rule.permutation, here)]
    along_x = None if rule.split is None or rule.split > len(order) else order[: max(0, rule.split)]
    exact = _exact(rule, here)
    made: dict[str, dict[str, Any]] = {}
    for place, axis in enumerate(fan.axes):
        is_x = fan.x > 1 and place == 0
        mine = [a for a in LOOP_AXES if along_x is None or (a in along_x) is is_x]
        if along_x is None and len(fan.axes) == 2 and any(factor != 1 for factor in exact.values()):
            raise UnsupportedError(f"{here}: fixed factors over meshX and meshY together need a permutation and a split")
        if len(mine) == len(LOOP_AXES) and not exact:
            continue
        made[axis] = {
            "axes": [a for a in mine if exact.get(a) != 1],
            "whole": [a for a in mine if exact.get(a) == 0],
            "factors": {a: exact[a] for a in mine if exact.get(a, 0) > 1},
        }
    return made


def _loops(part: Part, where: str) -> dict[str, Any]:
    here, rule = f"{where}: {part.name}", part.temporal
    refuse(
        here, rule, "no_reuse", "no_temporal_reuse", "rmw_first_update", "rmw_on_first_writeback", "default_max_factor", "default_min_factor",
        "remainders",
    )  # fmt: skip
    exact = _exact(rule, here)
    fixed = next((axis for axis, factor in exact.items() if factor > 1), None)
    if fixed is not None:
        raise UnsupportedError(
            f"{here}: temporal factor {exact[fixed]} over axis '{fixed}'; a chip's loops in time are free, in full or absent"
        )
    order = [axis for name in permutation(rule.permutation, here) if exact.get(axis := axis_of(name, DIMENSIONS, here)) != 1]
    made: dict[str, Any] = {}
    if exact:
        made |= {
            "axes": [axis for axis in LOOP_AXES if exact.get(axis) != 1],
            "whole": [axis for axis in LOOP_AXES if exact.get(axis) == 0],
        }
    return made | ({"order": order} if len(order) > 1 else {})


def _exact(rule: Rule, where: str) -> dict[str, int]:
    """axis -> factor, 0 in full."""
    found: dict[str, int] = {}
    for name, (factor, residual) in factors(rule.factors, where).items():
        if residual is not None:
            raise UnsupportedError(f"{where}: factor {name}={factor},{residual} fixes a residual; a chip fixes factors")
        if found.setdefault(axis_of(name, DIMENSIONS, where), factor) != factor:
            raise InputError(f"{where}: factors give the axis of '{name}' twice")
    return found


# Attributes


def _check_attributes(part: Part, where: str, known: Sequence[str]) -> None:
    for name, value in part.attributes.items():
        if name in DEFAULTS and value not in DEFAULTS[name]:
            raise UnsupportedError(f"{where}: {part.name}: {name} is {value}; a chip can only say {DEFAULTS[name][0]}")
        if name == "min_utilization" and value not in (0, "0"):
            raise UnsupportedError(f"{where}: {part.name}: min_utilization is {value}; a chip has none")
        if name not in known and name not in LEFT_OUT and name not in DEFAULTS:
            raise UnsupportedError(f"{where}: {part.name}: attribute '{name}' is not read; a chip is made of {', '.join(known)}")
