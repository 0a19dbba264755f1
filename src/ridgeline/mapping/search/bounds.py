"""What any mapping takes at least: every element passes every boundary once, levels that are too small move some again, and the multipliers read and
write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ridgeline.mapping.search import kernel

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SLACK = 1e-12  # of float sums, relative


def fill_bounds(problem: Any, known: dict[object, float]) -> None:
    """Fills the bits of whole tensors, and what boundaries outside the array take beyond moving those once; `known` are those of groups of boundaries
    that other spaces of the layer have too. The problem's boundaries are filled already."""
    for field, boxes in (("whole_bits", False), ("home_bits", bool(problem["boxes"]))):
        problem[field] = [_whole_elements(problem, tensor, boxes=boxes) * problem["widths"][tensor] for tensor in range(3)]
    _fill_beyond(problem, known)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unrolled:
    """Choices of factors over the axes of the array, a slot each and 1 at the slots in time: `factors` (choices, slots, axes) is at least by how many
    each axis is cut, `instances` (choices, slots) the most that are in use, and `shared` (choices, slots, tensors) the most of them that can use one
    element of a tensor."""

    factors: Array
    instances: Array
    shared: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Least:
    """What no mapping goes below with each choice of factors: pJ (choices), steps or cycles of the slowest level (choices), and those of the
    outermost level to read and to write (choices, 2)."""

    energy: Array
    cycles: Array
    outermost: Array

    def beyond(self, problem: Any) -> tuple[Array, Array]:
        """pJ and cycles (choices), with what a space's levels must move again because they are too small."""
        outermost = (self.outermost + problem["beyond_cycles"][0]).max(axis=1)
        return self.energy + problem["beyond"][0], np.ceil(np.maximum(self.cycles, outermost) * (1 - SLACK))


def least_costs(problem: Any, unrolled: Unrolled) -> Least:
    """Of all mappings that hold the same tensors at the same levels, in whatever order and parts."""
    choices = len(unrolled.factors)
    energy, cycles = np.full(choices, float(problem["mac_pj"])), np.zeros((choices, int(problem["levels"]), 2))

    def move(boundary: int, reads: Array | float, writes: Array | float) -> None:
        level = int(problem["boundary_level"][boundary])
        nonlocal energy
        energy = energy + reads * float(problem["read_pj"][level]) + writes * float(problem["write_pj"][level])
        used = unrolled.instances[:, int(problem["boundary_slot"][boundary]) + 1 :].prod(axis=1)
        read, write = float(problem["read_cycles"][level]), float(problem["write_cycles"][level])
        if problem["one_port"][level]:
            cycles[:, level, 0] += (reads + writes) * read / used
        else:
            cycles[:, level, 0] += reads * read / used
            cycles[:, level, 1] += writes * write / used

    for boundary, tensor, _, _ in _boundaries(problem):
        above, bits = int(problem["parent"][boundary, tensor]), float(problem["whole_bits"][tensor])
        inside, outside = (bits * _copies(problem, unrolled.factors, tensor, each) for each in (boundary, above))
        if tensor != kernel.OUTPUT:
            move(boundary, 0.0, inside)
            move(above, outside, 0.0)
        else:
            move(above, 0.0, outside)
            move(boundary, inside if problem["drain_reads"] else 0.0, 0.0)
    for tensor in range(3):
        move(int(problem["innermost"][tensor]), *_multipliers(problem, unrolled, tensor))
    steps = float(problem["sizes"][: problem["axes"]].prod(dtype=np.float64)) / unrolled.instances.prod(axis=1)
    return Least(energy=energy, cycles=np.maximum(steps, cycles.max(axis=(1, 2))), outermost=cycles[:, 0])


def _copies(problem: Any, factors: Array, tensor: int, boundary: int) -> Array:
    """Instances of a boundary that need the same elements of a tensor, at least, as the kernel's (choices)."""
    count, first = int(problem["axes"]), int(problem["boundary_slot"][boundary]) + 1
    lacking = problem["relevant"][tensor, :count] == 0
    most = factors[:, first:].max(axis=1, initial=1).clip(max=problem["sizes"][:count])
    return most[:, lacking].prod(axis=1)


def _multipliers(problem: Any, unrolled: Unrolled, tensor: int) -> tuple[Array | float, Array | float]:
    """Bits that the multipliers read and write, at least."""
    count = int(problem["axes"])
    sizes, slot = problem["sizes"][:count].astype(np.float64), int(problem["boundary_slot"][int(problem["innermost"][tensor])])
    relevant = problem["relevant"][tensor, :count] != 0
    elements, lacking = float(sizes[relevant].prod()), float(sizes[~relevant].prod())
    times = np.ceil(lacking / unrolled.shared[:, : slot + 1, tensor].prod(axis=1) * (1 - SLACK)).clip(min=1)
    if tensor != kernel.OUTPUT:
        return elements * times * float(problem["widths"][tensor]), 0.0
    fresh = unrolled.shared[:, slot + 1 :, tensor].prod(axis=1).clip(max=lacking)
    partial = float(problem["widths"][3])
    return elements * np.maximum(0.0, times - fresh) * partial, elements * times * partial


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


def _whole_elements(problem: Any, tensor: int, *, boxes: bool) -> float:
    total = 1.0
    for place in range(problem["index_count"][tensor]):
        a, b = problem["index_axes"][tensor, place]
        s, d = problem["index_steps"][tensor, place]
        total *= float(kernel.positions(boxes, s, d if b >= 0 else 1, problem["sizes"][a], problem["sizes"][b] if b >= 0 else 1))
    return total
