"""Views of storage against what numpy's own reshape and transpose do to the addresses."""

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm.axes import (
    Atom,
    Storage,
    View,
    addresses,
    batch_axis,
    extents,
    flat_view,
    has_batch_first,
    is_complete,
    reshape,
    transpose,
    whole,
)

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))


def stored_view(shape: tuple[int, int, int], batch: int = 1) -> View:
    return (batch_axis(batch), *(whole(name, extent) for name, extent in zip("chw", shape, strict=True)))


def divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


@given(SHAPES, st.data())
def test_views_name_the_elements_that_numpy_names(shape: tuple[int, int, int], data: st.DataObject) -> None:
    view = stored_view(shape)
    array = np.arange(prod(shape)).reshape(1, *shape)
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(1, array.ndim)))
            view, array = transpose(view, (0, *order)), array.transpose(0, *order)
            continue
        first = data.draw(st.sampled_from(divisors(array.size)))
        target = (1, first, array.size // first)
        found = reshape(view, target)
        if found is None:
            continue
        view, array = found, array.reshape(target)
    assert has_batch_first(view)
    assert extents(view) == array.shape
    assert np.array_equal(addresses(view[1:], shape).reshape(array.shape), array)


@given(SHAPES, st.permutations(range(3)))
def test_a_flat_array_takes_any_storage(shape: tuple[int, int, int], order: list[int]) -> None:
    flat = flat_view((1, *shape))
    channels, height, width = (flat[1 + axis] for axis in order)
    storage = Storage(channels=channels, height=height, width=width)
    stored = storage.stored(flat)
    assert stored is not None
    assert storage.shape == tuple(shape[axis] for axis in order)
    expected = np.arange(prod(shape)).reshape(storage.shape).transpose(np.argsort(order))
    assert np.array_equal(addresses(stored[1:], storage.shape).reshape(shape), expected)


def test_an_extent_that_cuts_an_atom_unevenly_has_no_view() -> None:
    order = transpose(stored_view((6, 4, 1)), (0, 2, 1, 3))
    assert reshape(order, (1, 3, 8)) is None
    assert reshape(order, (1, 8, 3)) is not None


def test_the_batch_is_neither_cut_nor_lost() -> None:
    assert reshape(stored_view((4, 1, 1), batch=6), (3, 8)) is None
    assert reshape(stored_view((4, 1, 1), batch=6), (6, 2, 2)) is not None
    joined = reshape(stored_view((4, 3, 1), batch=6), (24, 3))
    assert joined is not None
    assert not has_batch_first(joined)


def test_whether_atoms_are_all_of_an_axis() -> None:
    halves = (Atom(axis="c", size=2, stride=1), Atom(axis="c", size=3, stride=2))
    assert is_complete(halves, "c", 6)
    assert not is_complete(halves, "c", 12)
    assert not is_complete(halves[1:], "c", 3)
    assert not is_complete((*halves, Atom(axis="h", size=2)), "c", 12)
