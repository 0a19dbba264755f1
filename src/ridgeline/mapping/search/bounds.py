"""What any mapping takes at least: every element passes every boundary once, and levels that are too small move some again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ridgeline.mapping.search import kernel


def fill_bounds(problem: Any, known: dict[object, float]) -> None:
    """Fills the floors of all boundaries, and what those outside the array take beyond them; `known` are those of groups of boundaries that other
    spaces of the layer have too. The problem's boundaries are filled already."""
    _fill_floors(problem)
    _fill_beyond(problem, known)


def _fill_floors(problem: Any) -> None:
    """The least that a boundary takes: every element of the tensor passes it once."""
    bits = [_whole_elements(problem, tensor) * problem["widths"][tensor] for tensor in range(3)]
    problem["whole_bits"] = bits
    for boundary, tensor, child, parent in _boundaries(problem):
        first, _ = _energies(problem, tensor, child, parent)
        problem["floor"][boundary, tensor] = first * bits[tensor]


def _boundaries(problem: Any) -> Iterator[tuple[int, int, int, int]]:
    """(boundary, tensor, its level, the level that feeds it)."""
    for boundary in range(problem["boundaries"]):
        for tensor in map(int, np.flatnonzero(problem["kept"][boundary])):
            above = problem["parent"][boundary, tensor]
            yield boundary, tensor, int(problem["boundary_level"][boundary]), int(problem["boundary_level"][above])


def _energies(problem: Any, tensor: int, child: int, parent: int) -> tuple[float, float]:
    """pJ a bit of the whole tensor to pass a boundary, and to pass it once more, where one instance feeds one."""
    read, write = problem["read_pj"], problem["write_pj"]
    if tensor != kernel.OUTPUT:
        return write[child] + read[parent], write[child] + read[parent]
    given = read[child] if problem["drain_reads"] else 0.0
    _, _, whole, partial = problem["widths"]
    return write[parent] + given, (write[parent] + read[parent] + given + write[child]) * partial / whole


def _cycles(problem: Any, tensor: int, direction: int) -> tuple[float, float]:
    """Cycles a bit of the outermost level, as `_energies`; direction 0 reads, 1 writes, but of one port all is 0."""
    read, write = problem["read_cycles"][0], problem["write_cycles"][0]
    one_port = bool(problem["one_port"][0])
    if tensor != kernel.OUTPUT:
        return (read, read) if direction == 0 else (0.0, 0.0)
    _, _, whole, partial = problem["widths"]
    share = partial / whole
    if one_port:
        return (read, 2 * read * share) if direction == 0 else (0.0, 0.0)
    return (0.0, read * share) if direction == 0 else (write, write * share)


def _fill_beyond(problem: Any, known: dict[object, float]) -> None:
    """What the levels outside the array must move beyond every element once, because they are too small: bounds of neighbouring boundaries, a tensor
    once in each group."""
    outside = [item for item in _boundaries(problem) if problem["boundary_slot"][item[0]] > problem["last_spread"]]
    groups: list[dict[int, tuple[int, int, int]]] = [{}]
    for boundary, tensor, child, parent in reversed(outside):
        if tensor in groups[-1]:
            groups.append({})
        groups[-1][tensor] = (boundary, child, parent)
    for group in groups:
        if not group or all(np.isinf(problem["capacity_bits"][child]) for _, child, _ in group.values()):
            continue
        inner = min(boundary for boundary, _, _ in group.values()) + 1
        energies = {tensor: _energies(problem, tensor, child, parent) for tensor, (_, child, parent) in group.items()}
        problem["beyond"][:inner] += _beyond(problem, group, energies, known)
        root = {tensor: item for tensor, item in group.items() if item[2] == 0}
        if not root:
            continue
        for direction in range(2):
            units = {tensor: _cycles(problem, tensor, direction) for tensor in root}
            if any(again for _, again in units.values()):
                problem["beyond_cycles"][:inner, direction] += _beyond(problem, root, units, known)


def _beyond(
    problem: Any, group: Mapping[int, tuple[int, int, int]], units: Mapping[int, tuple[float, float]], known: dict[object, float]
) -> float:
    """The least cost of a group, less the cost of passing once."""
    order = sorted({boundary for boundary, _, _ in group.values()})
    key = tuple((tensor, order.index(boundary), child, units[tensor]) for tensor, (boundary, child, _) in sorted(group.items()))
    if key not in known:
        member, first, again = np.full(3, -1, np.int64), np.zeros(3), np.zeros(3)
        for tensor, (boundary, _, _) in group.items():
            member[tensor] = boundary
            first[tensor], again[tensor] = (unit * problem["whole_bits"][tensor] for unit in units[tensor])
        least = float(kernel.least_of_group(problem, member, first, again))
        known[key] = max(0.0, least - float(first.sum())) if np.isfinite(least) else 0.0
    return known[key]


def _whole_elements(problem: Any, tensor: int) -> float:
    total = 1.0
    for place in range(problem["index_count"][tensor]):
        a, b = problem["index_axes"][tensor, place]
        s, d = problem["index_steps"][tensor, place]
        total *= float(kernel.positions(bool(problem["boxes"]), s, d if b >= 0 else 1, problem["sizes"][a], problem["sizes"][b] if b >= 0 else 1))
    return total
