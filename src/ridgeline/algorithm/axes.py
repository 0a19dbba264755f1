"""Where the elements of an array with named axes lie in a tensor that is stored as (channels, height, width).

A *view* gives, for each axis of an array as the network's author sees it, the atoms of storage that it runs over, the slowest first. A transpose
permutes the axes and a reshape splits or joins atoms: no data moves. Axes of extent 1 hold no atom.

The storage of a network's input is not chosen until a node needs it: until then its atoms lie on the flat axis "f".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Shape: TypeAlias = tuple[int, int, int]

BATCH, FLAT = "n", "f"
STORED = ("c", "h", "w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """`size` steps of `stride` along one axis of storage: "n" the batch, "c", "h", "w", or "f" while no storage is chosen."""

    axis: str
    size: int
    stride: int = 1


Axis: TypeAlias = tuple[Atom, ...]
View: TypeAlias = tuple[Axis, ...]


def extents(view: View) -> tuple[int, ...]:
    return tuple(prod(atom.size for atom in axis) for axis in view)


def atoms_of(axes: Iterable[Axis]) -> Axis:
    """All atoms in order, neighbours joined."""
    return _joined([atom for axis in axes for atom in axis])


def whole(axis: str, extent: int) -> Axis:
    """All of one storage axis."""
    return (Atom(axis=axis, size=extent),) if extent > 1 else ()


def batch_axis(batch: int) -> Axis:
    return (Atom(axis=BATCH, size=batch),)


def flat_view(shape: Sequence[int]) -> View:
    """The view of an array (batch, ...) whose storage is not chosen yet."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    inner = tuple(
        (Atom(axis=FLAT, size=extent, stride=stride),) if extent > 1 else () for extent, stride in zip(shape, strides, strict=True)
    )
    return (batch_axis(shape[0]), *inner[1:])


def is_free(view: View) -> bool:
    return any(atom.axis == FLAT for axis in view for atom in axis)


def has_batch_first(view: View) -> bool:
    return bool(view) and tuple(atom.axis for atom in view[0]) == (BATCH,)


def transpose(view: View, permutation: Sequence[int]) -> View:
    return tuple(view[axis] for axis in permutation)


def reshape(view: View, shape: Sequence[int]) -> View | None:
    """The same elements in the same order under other extents, or None where an extent cuts an atom unevenly or the batch is cut or lost."""
    queue = deque(atom for axis in view for atom in axis)
    axes: list[Axis] = []
    for position, extent in enumerate(shape):
        following = shape[position + 1] if position + 1 < len(shape) else 0
        axis = _take(queue, extent, following)
        if axis is None:
            return None
        axes.append(axis)
    return None if queue else tuple(axes)


def _take(queue: deque[Atom], extent: int, following: int) -> Axis | None:
    """The next atoms that make up `extent`. A batch of one belongs to no extent: it joins the first axis that may hold it."""
    taken: list[Atom] = []
    left = extent
    while True:
        if queue and queue[0].axis == BATCH and queue[0].size == 1 and (left > 1 or not taken or following != 1):
            taken.append(queue.popleft())
            continue
        if left == 1:
            return _joined(taken)
        if not queue:
            return None
        atom = queue.popleft()
        if left % atom.size == 0:
            taken.append(atom)
            left //= atom.size
        elif atom.size % left == 0 and atom.axis != BATCH:
            inner = atom.size // left
            taken.append(replace(atom, size=left, stride=atom.stride * inner))
            queue.appendleft(replace(atom, size=inner))
            left = 1
        else:
            return None


def _joined(atoms: Sequence[Atom]) -> Axis:
    """Neighbours that run on without a gap become one atom."""
    joined: list[Atom] = []
    for atom in atoms:
        last = joined[-1] if joined else None
        if last is not None and last.axis == atom.axis != BATCH and last.stride == atom.stride * atom.size:
            joined[-1] = replace(atom, size=last.size * atom.size)
        else:
            joined.append(atom)
    return tuple(joined)


def coordinates(atoms: Sequence[Atom], axis: str) -> Array:
    """For each step over `atoms`, slowest first, the coordinate along one storage axis."""
    index = np.zeros(1, dtype=np.int64)
    for atom in atoms:
        step = np.arange(atom.size, dtype=np.int64) * (atom.stride if atom.axis == axis else 0)
        index = (index[:, None] + step[None, :]).reshape(-1)
    return index


def addresses(axes: Sequence[Axis], shape: Shape) -> Array:
    """Row-major addresses in storage of all elements of the given axes; one dimension an axis. The batch counts as one."""
    height, width = shape[1:]
    scale = {"c": height * width, "h": width, "w": 1, BATCH: 0}
    index = np.zeros((), dtype=np.int64)
    for axis in axes:
        local = sum((coordinates(axis, name) * scale[name] for name in STORED), np.zeros(1, dtype=np.int64))
        index = index[..., None] + local
    return index


def is_complete(atoms: Sequence[Atom], axis: str, extent: int) -> bool:
    """Whether the atoms run over all of one storage axis, in any order, and over nothing else."""
    if any(atom.axis != axis for atom in atoms) or prod(atom.size for atom in atoms) != extent:
        return False
    expected = 1
    for atom in sorted(atoms, key=lambda atom: atom.stride):
        if atom.stride != expected:
            return False
        expected *= atom.size
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The storage chosen for a flat array: its atoms that became channels, height and width, the slowest first."""

    channels: Axis
    height: Axis
    width: Axis

    @property
    def shape(self) -> Shape:
        return extent_of(self.channels), extent_of(self.height), extent_of(self.width)

    def stored(self, view: View) -> View | None:
        """The view with its flat atoms on the chosen axes, or None where it cuts them unevenly."""
        digits = self._digits()
        axes: list[Axis] = []
        for axis in view:
            atoms: list[Atom] = []
            for atom in axis:
                found = _stored_atom(atom, digits) if atom.axis == FLAT else [atom]
                if found is None:
                    return None
                atoms.extend(found)
            axes.append(_joined(atoms))
        return tuple(axes)

    def _digits(self) -> list[tuple[Atom, Atom]]:
        """(flat atom, the atom of storage that it became), fastest first in the flat array."""
        pairs: list[tuple[Atom, Atom]] = []
        for name, axis in zip(STORED, (self.channels, self.height, self.width), strict=True):
            stride = 1
            for atom in reversed(axis):
                pairs.append((atom, Atom(axis=name, size=atom.size, stride=stride)))
                stride *= atom.size
        return sorted(pairs, key=lambda pair: pair[0].stride)


def _stored_atom(atom: Atom, digits: Sequence[tuple[Atom, Atom]]) -> list[Atom] | None:
    """One flat atom as atoms of storage, slowest first."""
    found: list[Atom] = []
    start, left = atom.stride, atom.size
    for flat, stored in digits:
        end = flat.stride * flat.size
        if left == 1 or start >= end:
            continue
        if start < flat.stride or start % flat.stride:
            return None
        inner = start // flat.stride
        room = flat.size // inner
        take = min(room, left)
        if flat.size % inner or room % take or left % take:
            return None
        found.insert(0, Atom(axis=stored.axis, size=take, stride=stored.stride * inner))
        left //= take
        start *= take
    return found if left == 1 else None


def extent_of(axis: Axis) -> int:
    return prod(atom.size for atom in axis)
