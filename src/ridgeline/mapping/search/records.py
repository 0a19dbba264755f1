"""The records that the search's inner loops read and write: a nest on a chip, partial mappings, and what is handed from call to call.

Apart from the kernel's functions, as numba compiles those anew by themselves where a record changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

AXES, SLOTS, LEVELS, BOUNDARIES, INDICES = 9, 15, 7, 10, 10  # the most that a record holds

# A nest on a chip. Axes have more than one step; slots run from the multipliers outwards, and boundaries too.
PROBLEM = np.dtype(
    [
        ("axes", np.int64),
        ("slots", np.int64),
        ("levels", np.int64),
        ("boundaries", np.int64),  # that are placed; then come, up to `rows`, the levels where tensors begin or end
        ("rows", np.int64),
        ("last_spread", np.int64),  # the last slot of an axis of the array
        ("slide", np.int8),
        ("boxes", np.int8),
        ("refill_all", np.int8),
        ("drain_reads", np.int8),
        ("sizes", np.int64, (AXES,)),
        ("relevant", np.int8, (3, AXES)),  # whether the tensor depends on the axis
        ("window", np.int8, (3, AXES)),  # whether it shares an index of the tensor with another axis
        ("shaped", np.int8, (3, AXES)),  # whether what a boundary moves depends on its tile along the axis, not on all tiles together only
        ("index_count", np.int64, (3,)),
        ("index_axes", np.int64, (3, INDICES, 2)),  # axes of an index, -1 for none
        ("index_steps", np.int64, (3, INDICES, 2)),
        ("timed", np.int8, (SLOTS,)),  # a slot of loops in time, or of one axis of the array
        ("boundary_slot", np.int64, (BOUNDARIES,)),  # slots up to it are inside
        ("boundary_level", np.int64, (BOUNDARIES,)),
        ("kept", np.int8, (BOUNDARIES, 3)),
        ("parent", np.int64, (BOUNDARIES, 3)),  # the next boundary outwards that keeps the tensor
        ("child", np.int64, (BOUNDARIES, 3)),  # the next one inwards, -1 for the multiplier
        ("innermost", np.int64, (3,)),  # the boundary that feeds the multipliers
        ("prior", np.int64, (SLOTS,)),  # the boundary just inside a slot that its first loop could be held by, -1 for none
        ("before", np.int64, (BOUNDARIES,)),  # the boundary of the same level that holds the tile of fewer loops, -1 for none
        ("capacity_bits", np.float64, (LEVELS,)),  # infinite where unbounded
        ("widths", np.float64, (4,)),  # bits of input, weight, output, partial sum
        ("read_pj", np.float64, (LEVELS,)),  # a bit
        ("write_pj", np.float64, (LEVELS,)),
        ("read_cycles", np.float64, (LEVELS,)),  # a bit, of one instance; 0 where unlimited
        ("write_cycles", np.float64, (LEVELS,)),
        ("one_port", np.int8, (LEVELS,)),
        ("whole_bits", np.float64, (3,)),  # of a tensor, what the nest needs of it
        ("home_bits", np.float64, (3,)),  # where it begins or ends, gaps between windows too
        ("gaps", np.int8),  # whether a larger tile may move more, as it holds what lies between windows
        ("beyond", np.float64, (BOUNDARIES + 1,)),  # the least that boundaries from here outwards take beyond their floors, as levels are too small
        ("beyond_cycles", np.float64, (BOUNDARIES + 1, 2)),  # of the outermost level, to read and to write
        ("fill_cycles", np.float64),  # of a systolic array, for each visit of weights
        ("last_cycles", np.float64),  # once
        ("mac_pj", np.float64),  # all multiplications
    ]
)


def _state(axes: int, slots: int, levels: int, boundaries: int) -> np.dtype[Any]:
    """A partial mapping, with room for so many of each. `pending` and `sliding` are bit sets of boundaries."""
    fields: list[Any] = [
        ("energy", np.float64),
        ("fills", np.float64),  # cycles of filling a systolic array
        ("steps", np.float64),  # of every mapping that grows from it, at least
        ("least_energy", np.float64),  # of every mapping that grows from it
        ("least_cycles", np.float64),
        ("unrolling", np.int32),  # which choice of spatial factors
        ("stays", np.int8),  # whether it is a state still: not where a loop over the axis at hand must be added
        ("cycles", np.float64, (levels, 2)),  # read and write cycles of each level
        ("amount", np.float64, (boundaries, 3)),  # elements over all tiles of a boundary that is placed
        ("current", np.int64, (axes,)),  # product of the factors so far
        ("used", np.int64, (boundaries,)),  # instances of a boundary's level in use
        ("factors", np.int32, (slots, axes)),
        ("tile", np.int32, (boundaries, axes)),  # steps inside a boundary; of one that is not placed yet, only where they were last asked for
        ("spread", np.int32, (boundaries + 1, axes)),  # instances outside a boundary that have steps; the last row outside the multiplier
        ("ahead", np.int64, (axes,)),  # instances along an axis in the slots still to come
        ("copies", np.int32, (boundaries, 3)),  # instances of a boundary that need the same elements of a tensor, at least
        ("pending", np.int16, (3,)),
        ("sliding", np.int16, (3,)),
        ("slide_axis", np.int8, (3,)),
        ("order", np.int8, (slots,)),  # which order of axes a slot in time has
    ]
    return np.dtype(fields, align=True)


# Half of the time goes into moving states: most nests on most chips do with small ones. Each kind has functions of its own, compiled when it is first
# needed.
STATES = (_state(6, 10, 6, 7), _state(AXES, SLOTS, LEVELS, BOUNDARIES))


def state_for(problem: Any) -> np.dtype[Any]:
    """The smallest with room for a problem's partial mappings."""
    for state in STATES:
        (slots, axes), (rows,), (levels, _) = (state[name].shape for name in ("factors", "used", "cycles"))
        if problem["axes"] <= axes and problem["slots"] <= slots and problem["rows"] <= rows and problem["levels"] <= levels:
            return state
    raise AssertionError("the search takes no such chip")  # space.spaces has refused it


# What a loop more would take of each level, in numbers that several functions share. A record, as numba counts the references to arrays of its own,
# which takes as long as the work.
ROOM = np.dtype(
    [
        ("boundary", np.int64, (3 * BOUNDARIES,)),  # of each tensor that the loop lets grow
        ("tensor", np.int64, (3 * BOUNDARIES,)),
        ("bits", np.float64, (3 * BOUNDARIES,)),  # of its indices that do not depend on the loop's axis
        ("level", np.int64, (LEVELS,)),  # of so many groups of those
        ("end", np.int64, (LEVELS,)),  # of each group
        ("rest", np.float64, (LEVELS,)),  # what else the level holds, in bits
        ("tile", np.int32, (BOUNDARIES, AXES)),
        ("soon", np.float64, (AXES,)),  # what pending boundaries add at least to their floors if a loop over an axis comes next
    ]
)

# What is minimised, and what is dropped.
GOAL = np.dtype(
    [
        ("kind", np.int64),  # ENERGY, CYCLES, PRODUCT, SUM
        ("rate", np.float64),  # of a sum: pJ a cycle
        ("most", np.float64),  # the worth from which a state is dropped
        ("most_energy", np.float64),
        ("most_cycles", np.float64),
        ("canonical", np.int8),  # whether to drop a mapping for another that is no worse
    ]
)
# How far the loops of a slot have been added: the order at hand (one in `step` of all), and how many of its axes are done, -1 before its first. What
# comes of it stands in a pool from `base` on: up to `at` the states that have a factor of the axis at hand, up to `end` those that wait for it, up to
# `made` what came of it; before `base`, what came of other orders. Some are `leaving`: they do not stay as they are. What has been looked at and
# dropped is counted.
_FIELDS = ("order", "step", "place", "base", "at", "end", "made", "leaving", "counted", "large", "bounded", "merged")
CURSOR = np.dtype([(name, np.int64) for name in _FIELDS])
