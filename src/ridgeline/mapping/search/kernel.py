"""The inner loops of the exhaustive search: partial mappings, grown loop by loop from the multipliers outwards.

A state holds the factors of every slot so far. What it will cost is a sum over tensors and boundaries (a level that keeps the tensor, and the next
one outwards that does), and a boundary's cost is known as soon as the first loop outside it that its tensor depends on is added: until then the
boundary is *pending*, and loops that the tensor does not depend on reuse its tile. So a state's cost so far, with the least that its pending and
later boundaries can add, bounds every mapping that grows from it. All functions live in this file, because numba's cache notices changes of the
outermost function's file only.
"""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

WEIGHT, OUTPUT = 1, 2  # tensors; 0 is the input
Array = Any


class Problem(NamedTuple):
    """A nest on a chip, as arrays. Axes have more than one step; slots run from the multipliers outwards; boundaries too, and the last one is the
    outermost level."""

    sizes: Array  # (axes,)
    relevant: Array  # (tensors, axes): whether the tensor depends on the axis
    index_count: Array  # (tensors,)
    index_axes: Array  # (tensors, indices, 2): axes of an index, -1 for none
    index_steps: Array  # (tensors, indices, 2)
    timed: Array  # (slots,): a slot of loops in time, or of one axis of the array
    boundary_slot: Array  # (boundaries,): slots up to it are inside
    boundary_level: Array  # (boundaries,)
    kept: Array  # (boundaries, tensors)
    parent: Array  # (boundaries, tensors): the next boundary outwards that keeps the tensor
    child: Array  # (boundaries, tensors): the next one inwards, -1 for the multiplier
    capacity_bits: Array  # (levels,), infinite where unbounded
    widths: Array  # (4,): bits of input, weight, output, partial sum
    read_pj: Array  # (levels,) a bit
    write_pj: Array
    read_cycles: Array  # (levels,) a bit, of one instance; 0 where unlimited
    write_cycles: Array
    one_port: Array  # (levels,)
    rules: Array  # (4,): slide, boxes, refill_all, drain_reads
    later: Array  # (boundaries, tensors): the least energy that a boundary adds
    later_cycles: Array  # (boundaries, levels, 2): the least cycles that a boundary adds, all tensors
    fill_cycles: float  # of a systolic array, for each visit of weights
    mac_pj: float  # all multiplications


class Pool(NamedTuple):
    """States. `pending` and `sliding` are bit sets of boundaries."""

    factors: Array  # (states, slots, axes)
    order: Array  # (states, slots): which order of axes a slot in time has
    current: Array  # (states, axes): product of the factors so far
    pending: Array  # (states, tensors)
    sliding: Array  # (states, tensors)
    slide_axis: Array  # (states, tensors)
    energy: Array  # (states,)
    cycles: Array  # (states, levels, 2): read and write cycles of each level
    fills: Array  # (states,): cycles of filling a systolic array
    bound: Array  # (states, 2): least energy, least cycles


@njit(cache=True, inline="always")
def _ceil(a, b):
    return (a + b - 1) // b


@njit(cache=True)
def positions(boxes, s, d, a, b):
    """mapping.count.positions, of one axis (b = 1, d = 1) or two."""
    if boxes:
        return 1 + s * (a - 1) + d * (b - 1)
    if b == 1:
        return a
    if a == 1:
        return b
    x, y = s, d
    while y:
        x, y = y, x % y
    s, d = s // x, d // x
    return a * b - max(0, a - d) * max(0, b - s)


@njit(cache=True)
def _tile(p, factors, slot, axis):
    """Steps of an axis inside a slot."""
    size = 1
    for k in range(slot + 1):
        size *= factors[k, axis]
    return min(size, p.sizes[axis])


@njit(cache=True)
def _pairs(p, s, d, ta, tb, na, nb):
    """Positions summed over all pairs of tiles of two axes."""
    qa, ra, qb, rb = na // ta, na % ta, nb // tb, nb % tb
    boxes = p.rules[1]
    total = qa * qb * positions(boxes, s, d, ta, tb)
    if ra:
        total += qb * positions(boxes, s, d, ra, tb)
    if rb:
        total += qa * positions(boxes, s, d, ta, rb)
    if ra and rb:
        total += positions(boxes, s, d, ra, rb)
    return total


@njit(cache=True)
def _index(p, tensor, i, tile_a, tile_b):
    """Elements of one index over all tiles."""
    a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
    s, d = p.index_steps[tensor, i, 0], p.index_steps[tensor, i, 1]
    if b < 0:
        return _pairs(p, s, 1, tile_a, 1, p.sizes[a], 1)
    return _pairs(p, s, d, tile_a, tile_b, p.sizes[a], p.sizes[b])


@njit(cache=True)
def _elements(p, factors, tensor, slot, whole):
    """Of a tensor over all its tiles inside a slot; along the axis `whole` as if nothing were fetched twice."""
    total = 1.0
    for i in range(p.index_count[tensor]):
        a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
        ta = p.sizes[a] if a == whole else _tile(p, factors, slot, a)
        tb = 1 if b < 0 else (p.sizes[b] if b == whole else _tile(p, factors, slot, b))
        total *= _index(p, tensor, i, ta, tb)
    return total


@njit(cache=True)
def _footprint(p, factors, tensor, slot):
    """Elements of the largest tile inside a slot."""
    total = 1.0
    for i in range(p.index_count[tensor]):
        a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
        ta = _tile(p, factors, slot, a)
        tb = 1 if b < 0 else _tile(p, factors, slot, b)
        total *= positions(p.rules[1], p.index_steps[tensor, i, 0], p.index_steps[tensor, i, 1] if b >= 0 else 1, ta, tb)
    return total


@njit(cache=True)
def _spread_from(p, factors, slot, axis):
    """Instances along an axis outside a slot."""
    total = 1
    for k in range(slot + 1, len(p.timed)):
        if not p.timed[k]:
            total *= factors[k, axis]
    return total


@njit(cache=True)
def _apart(p, factors, now, axis, inner, top):
    """Different indices of an axis that the tensor lacks: blocks of `now` steps, and in each the instances outside slot `inner`."""
    size = p.sizes[axis]
    whole, rest = size // now, size % now
    block = now
    for k in range(top, inner, -1):
        factor = factors[k, axis]
        if factor == 1:
            continue
        step = block // factor
        if p.timed[k]:
            if rest >= step:
                whole, rest = whole + 1, 0
        else:
            whole = whole * factor + rest // step
            rest = rest % step
        block = step
    return whole + (1 if rest else 0)


@njit(cache=True)
def _together(p, factors, now, axis, top, outer):
    """The same for a parent that serves all instances up to slot `outer`: those above slot `top` are not yet outside."""
    ahead = 1
    for k in range(top + 1, outer + 1):
        if not p.timed[k]:
            ahead *= factors[k, axis]
    return _ceil(_ceil(p.sizes[axis], now), ahead)


@njit(cache=True)
def _term(p, factors, current, top, tensor, boundary, whole, best, cycles):
    """The cost of a boundary for a tensor if a loop that it depends on came next: energy; adds to `cycles` unless that is empty. With `best`, as if all
    loops that it does not depend on came first."""
    inner = p.boundary_slot[boundary]
    above = p.parent[boundary, tensor]
    outer = p.boundary_slot[above]
    child, parent = p.boundary_level[boundary], p.boundary_level[above]
    elements = _elements(p, factors, tensor, inner, whole)
    apart, together, first_apart, first_together = 1.0, 1.0, 1.0, 1.0
    for a in range(len(p.sizes)):
        if p.relevant[tensor, a]:
            continue
        spread = _spread_from(p, factors, inner, a)
        first_apart *= spread
        spread_outer = _spread_from(p, factors, outer, a)
        first_together *= spread_outer
        if best:
            apart *= spread
            together *= spread_outer
        else:
            apart *= _apart(p, factors, current[a], a, inner, top)
            together *= _together(p, factors, current[a], a, top, outer)
    if tensor != OUTPUT:
        width = p.widths[tensor]
        written, read = elements * apart * width, elements * together * width
        _spend(p, cycles, child, 1, written, factors, inner)
        _spend(p, cycles, parent, 0, read, factors, outer)
        return written * p.write_pj[child] + read * p.read_pj[parent]
    whole_bits, partial = p.widths[2], p.widths[3]
    visits, last = elements * together, elements * min(first_together, together)
    own, own_last = elements * apart, elements * min(first_apart, apart)
    back = visits - last
    taken = own - own_last if p.rules[2] else back
    up = last * whole_bits + back * partial
    down = back * partial
    given = (own_last * whole_bits + (own - own_last) * partial) if p.rules[3] else 0.0
    got = taken * partial
    _spend(p, cycles, parent, 1, up, factors, outer)
    _spend(p, cycles, parent, 0, down, factors, outer)
    _spend(p, cycles, child, 0, given, factors, inner)
    _spend(p, cycles, child, 1, got, factors, inner)
    energy = up * p.write_pj[parent] + down * p.read_pj[parent] + given * p.read_pj[child] + got * p.write_pj[child]
    if p.child[boundary, tensor] < 0 and not p.rules[2]:
        # Instances that are not refilled start from nothing, which saves a read.
        saved = max(0.0, own - own_last - back) * partial
        _spend(p, cycles, child, 0, -saved, factors, inner)
        energy -= saved * p.read_pj[child]
    return energy


@njit(cache=True)
def _spend(p, cycles, level, direction, bits, factors, slot):
    """Adds a transfer's cycles, shared out over the level's instances in use."""
    if cycles.shape[0] == 0:
        return
    rate = p.write_cycles[level] if direction == 1 and not p.one_port[level] else p.read_cycles[level]
    if rate == 0.0:
        return
    used = 1
    for a in range(len(p.sizes)):
        used *= _spread_from(p, factors, slot, a)
    cycles[level, 0 if p.one_port[level] else direction] += bits * rate / used


@njit(cache=True)
def _slide_saving(p, factors, current, top, tensor, boundary, axis, factor, cycles):
    """What a boundary saves as a loop of `factor` over `axis` moves its tile on to the neighbour."""
    inner = p.boundary_slot[boundary]
    above = p.parent[boundary, tensor]
    outer = p.boundary_slot[above]
    size, block, tile = p.sizes[axis], current[axis], _tile(p, factors, inner, axis)
    moves = _ceil(size, block) - _ceil(size, block * factor)
    last = (size - 1) // block
    small = min(tile, size - last * block) if last % factor != 0 else tile
    full = moves - (1 if small < tile else 0)
    kept = 1.0
    for i in range(p.index_count[tensor]):
        a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
        if a != axis and b != axis:
            kept *= _index(p, tensor, i, _tile(p, factors, inner, a), 1 if b < 0 else _tile(p, factors, inner, b))
            continue
        other = b if a == axis else a
        s = p.index_steps[tensor, i, 0] if a == axis else p.index_steps[tensor, i, 1]
        d = p.index_steps[tensor, i, 1] if a == axis else p.index_steps[tensor, i, 0]
        wide = _tile(p, factors, inner, other)
        whole, rest = p.sizes[other] // wide, p.sizes[other] % wide
        part = whole * (full * _overlap(p, s, d, tile, tile, wide) + (moves - full) * _overlap(p, s, d, tile, small, wide))
        if rest:
            part += full * _overlap(p, s, d, tile, tile, rest) + (moves - full) * _overlap(p, s, d, tile, small, rest)
        kept *= part
    apart, together = 1.0, 1.0
    for a in range(len(p.sizes)):
        if not p.relevant[tensor, a]:
            apart *= _apart(p, factors, current[a], a, inner, top)
            together *= _together(p, factors, current[a], a, top, outer)
    child, parent = p.boundary_level[boundary], p.boundary_level[above]
    written, read = kept * apart * p.widths[tensor], kept * together * p.widths[tensor]
    _spend(p, cycles, child, 1, -written, factors, inner)
    _spend(p, cycles, parent, 0, -read, factors, outer)
    return written * p.write_pj[child] + read * p.read_pj[parent]


@njit(cache=True, inline="always")
def _overlap(p, s, d, old, new, other):
    boxes = p.rules[1]
    return max(0, positions(boxes, s, d, old, other) + positions(boxes, s, d, new, other) - positions(boxes, s, d, old + new, other))


@njit(cache=True)
def _is_window(p, tensor, axis):
    for i in range(p.index_count[tensor]):
        if p.index_axes[tensor, i, 1] >= 0 and (p.index_axes[tensor, i, 0] == axis or p.index_axes[tensor, i, 1] == axis):
            return True
    return False


@njit(cache=True)
def _is_spread(p, factors, inner, top, axis):
    """Whether instances between two slots cut the axis, so that a tile's neighbour is another instance's."""
    for k in range(inner + 1, top + 1):
        if not p.timed[k] and factors[k, axis] > 1:
            return True
    return False


@njit(cache=True)
def _append(p, pool, i, slot, axis, factor):
    """Adds a loop in time to state i."""
    if factor == 1:
        return
    factors, current, cycles = pool.factors[i], pool.current[i], pool.cycles[i]
    for tensor in range(3):
        if not p.relevant[tensor, axis]:
            continue
        waiting = pool.pending[i, tensor]
        moving = pool.sliding[i, tensor]
        windowed = p.rules[0] and tensor != OUTPUT and _is_window(p, tensor, axis)
        if waiting:
            pool.pending[i, tensor] = 0
            pool.sliding[i, tensor] = 0
            for b in range(len(p.boundary_slot) - 1):
                if waiting >> b & 1:
                    pool.energy[i] += _term(p, factors, current, slot, tensor, b, -1, False, cycles)
                    if tensor == WEIGHT and p.child[b, tensor] < 0 and p.fill_cycles > 0:
                        pool.fills[i] += p.fill_cycles * _visits(p, factors, current, slot, b)
                    if windowed and not _is_spread(p, factors, p.boundary_slot[b], slot, axis):
                        pool.energy[i] -= _slide_saving(p, factors, current, slot, tensor, b, axis, factor, cycles)
                        pool.sliding[i, tensor] |= 1 << b
                        pool.slide_axis[i, tensor] = axis
        if moving:
            goes_on = 0
            if pool.slide_axis[i, tensor] == axis:
                for b in range(len(p.boundary_slot) - 1):
                    if moving >> b & 1 and not _is_spread(p, factors, p.boundary_slot[b], slot, axis):
                        pool.energy[i] -= _slide_saving(p, factors, current, slot, tensor, b, axis, factor, cycles)
                        goes_on |= 1 << b
                pool.sliding[i, tensor] |= goes_on
            if not waiting:
                pool.sliding[i, tensor] = goes_on
    factors[slot, axis] = factor
    current[axis] *= factor


@njit(cache=True)
def _visits(p, factors, current, top, boundary):
    """Visits of the weights at a boundary, all instances at once."""
    total = 1.0
    inner = p.boundary_slot[boundary]
    for a in range(len(p.sizes)):
        if p.relevant[WEIGHT, a]:
            tile = _tile(p, factors, inner, a)
            total *= _ceil(_ceil(p.sizes[a], tile), _spread_from(p, factors, inner, a))
        else:
            total *= _together(p, factors, current[a], a, top, len(p.timed) - 1)
    return total


@njit(cache=True)
def _fits(p, factors, slot, first):
    """Whether the tiles fit every level from boundary `first` outwards; those beyond `slot` hold at least the instances that they serve."""
    for b in range(first, len(p.boundary_slot) - 1):
        level = p.boundary_level[b]
        if p.capacity_bits[level] == np.inf:
            continue
        bits = 0.0
        for tensor in range(3):
            if p.kept[b, tensor]:
                width = p.widths[tensor]
                if tensor == OUTPUT and _adds(p, factors, p.child[b, tensor], slot):
                    width = p.widths[3]
                bits += _footprint(p, factors, tensor, p.boundary_slot[b]) * width
        if bits > p.capacity_bits[level]:
            return False
    return True


@njit(cache=True)
def _adds(p, factors, child, slot):
    """Whether partial sums come to the level outside `child`; while the child may still grow, that is not said yet."""
    if child < 0:
        return True
    if p.boundary_slot[child] >= slot:
        return p.widths[3] < p.widths[2]
    for a in range(len(p.sizes)):
        if not p.relevant[OUTPUT, a] and _tile(p, factors, p.boundary_slot[child], a) < p.sizes[a]:
            return True
    return False


@njit(cache=True)
def steps_of(p, factors, axis, slot):
    """Time steps along an axis: exact for the loops up to a slot, in time all those outside."""
    size = p.sizes[axis]
    block = 1
    for k in range(slot + 1):
        block *= factors[k, axis]
    whole, rest = size // block, size % block
    for k in range(slot, -1, -1):
        factor = factors[k, axis]
        if factor == 1:
            continue
        step = block // factor
        if p.timed[k]:
            whole, rest = whole * factor + rest // step, rest % step
        elif rest >= step:
            whole, rest = whole + 1, 0
        block = step
    return whole + (1 if rest else 0)


@njit(cache=True)
def _bound(p, pool, i, slot, placed):
    """The least energy and cycles of every mapping that grows from state i: what is known, what its pending boundaries add at least, and the
    later ones. At most one of the axes that are left comes next: tensors that depend on it are fetched anew."""
    factors, current = pool.factors[i], pool.current[i]
    nothing = np.empty((0, 2))
    axes = len(p.sizes)
    soon, kept = np.zeros(3), np.zeros(3)
    for tensor in range(3):
        for b in range(len(p.boundary_slot) - 1):
            if pool.pending[i, tensor] >> b & 1:
                soon[tensor] += _term(p, factors, current, slot, tensor, b, -1, False, nothing)
                kept[tensor] += _term(p, factors, current, slot, tensor, b, -1, True, nothing)
    least = np.inf
    for a in range(axes):
        left = p.sizes[a] - current[a] * _ahead(p, factors, slot, a)
        if left <= 0:
            continue
        total = 0.0
        for tensor in range(3):
            if not p.relevant[tensor, a]:
                total += kept[tensor]
            elif p.rules[0] and tensor != OUTPUT and _is_window(p, tensor, a):
                for b in range(len(p.boundary_slot) - 1):
                    if pool.pending[i, tensor] >> b & 1:
                        total += _term(p, factors, current, slot, tensor, b, a, False, nothing)
            else:
                total += soon[tensor]
        least = min(least, total)
    if least == np.inf:
        least = soon.sum()
    slack = 0.0
    for tensor in range(2):
        # A tile that slides on may save more.
        if pool.sliding[i, tensor]:
            for b in range(len(p.boundary_slot) - 1):
                if pool.sliding[i, tensor] >> b & 1:
                    axis = pool.slide_axis[i, tensor]
                    rest = _ceil(p.sizes[axis], current[axis])
                    if rest > 1:
                        slack += _slide_saving(p, factors, current, slot, tensor, b, axis, rest, nothing)
    energy = pool.energy[i] + least - slack
    for b in range(placed, len(p.boundary_slot) - 1):
        for tensor in range(3):
            energy += p.later[b, tensor]
    steps = 1.0
    outermost = -1
    for k in range(len(p.timed)):
        if not p.timed[k]:
            outermost = k
    for a in range(axes):
        if slot > outermost:
            steps *= steps_of(p, factors, a, slot)
        else:
            steps *= _ceil(p.sizes[a], _spread_from(p, factors, -1, a))
    longest = steps + pool.fills[i]
    for level in range(len(p.read_pj)):
        for direction in range(2):
            busy = pool.cycles[i, level, direction]
            for b in range(placed, len(p.boundary_slot) - 1):
                busy += p.later_cycles[b, level, direction]
            if slack == 0.0:
                longest = max(longest, busy)
    pool.bound[i, 0] = energy
    pool.bound[i, 1] = longest


@njit(cache=True, inline="always")
def _ahead(p, factors, slot, axis):
    """Instances along an axis in the slots still to come."""
    total = 1
    for k in range(slot + 1, len(p.timed)):
        if not p.timed[k]:
            total *= factors[k, axis]
    return total


@njit(cache=True)
def worth(objective, energy, cycles):
    """What is minimised: 0 energy, 1 cycles, 2 their product."""
    if objective == 0:
        return energy
    if objective == 1:
        return cycles
    return energy * cycles


@njit(cache=True)
def _copy(source, i, target, j):
    target.factors[j] = source.factors[i]
    target.order[j] = source.order[i]
    target.current[j] = source.current[i]
    target.pending[j] = source.pending[i]
    target.sliding[j] = source.sliding[i]
    target.slide_axis[j] = source.slide_axis[i]
    target.energy[j] = source.energy[i]
    target.cycles[j] = source.cycles[i]
    target.fills[j] = source.fills[i]
    target.bound[j] = source.bound[i]


NONE, ALL, DIVISORS, REST = range(4)  # which factors a slot may take of an axis


@njit(cache=True)
def _next_factor(mode, left, factor):
    """The factor after `factor` for so many trips left, 0 for none. Of all with the same number of trips outside, ALL takes the smallest: its tile is
    smaller and nothing else differs."""
    if mode == NONE:
        return 1 if factor == 0 else 0
    if mode == REST:
        return left if factor == 0 else 0
    if factor == 0:
        return 1
    if mode == ALL:
        trips = _ceil(left, factor)
        return 0 if trips == 1 else _ceil(left, trips - 1)
    factor += 1
    while factor <= left and left % factor:
        factor += 1
    return factor if factor <= left else 0


@njit(cache=True, nogil=True)
def expand(p, source, count, target, slot, axis, order, mode, first, limits):
    """Every state with every factor of an axis at a slot in time. limits: (objective, the worth from which a state is dropped, front (points, 2) of
    known energies and cycles). Returns (states, dropped as too large, dropped by the bound, whether `target` was too small)."""
    objective, most, front = limits
    made, large, bounded = 0, 0, 0
    capacity = len(target.energy)
    for i in range(count):
        left = _ceil(p.sizes[axis], source.current[i, axis] * _ahead(p, source.factors[i], slot, axis))
        factor = _next_factor(mode, left, 0)
        while factor:
            if made == capacity:
                return made, large, bounded, True
            _copy(source, i, target, made)
            target.factors[made, slot, axis] = factor
            if factor > 1 and not _fits(p, target.factors[made], slot, first):
                large += 1
                break  # larger factors fit no better
            target.factors[made, slot, axis] = 1
            _append(p, target, made, slot, axis, factor)
            target.order[made, slot] = order
            if factor > 1:
                _bound(p, target, made, slot, first)
            if is_beaten(objective, most, front, target.bound[made, 0], target.bound[made, 1]):
                bounded += 1
            else:
                made += 1
            factor = _next_factor(mode, left, factor)
    return made, large, bounded, False


@njit(cache=True, nogil=True)
def begin(p, pool, count, innermost, limits):
    """The multipliers' own accesses, with all spatial factors known. innermost (tensors,): the boundary that feeds them. Returns the states left."""
    objective, most, front = limits
    made = 0
    for i in range(count):
        factors = pool.factors[i]
        pool.energy[i] = p.mac_pj
        for tensor in range(3):
            b = innermost[tensor]
            inner, level = p.boundary_slot[b], p.boundary_level[b]
            elements, times, fresh = 1.0, 1.0, 1.0
            for a in range(len(p.sizes)):
                if p.relevant[tensor, a]:
                    elements *= p.sizes[a]
                else:
                    apart = _spread_from(p, factors, inner, a)
                    times *= _ceil(p.sizes[a], _spread_from(p, factors, -1, a) // apart)
                    fresh *= apart
            if tensor != OUTPUT:
                bits = elements * times * p.widths[tensor]
                _spend(p, pool.cycles[i], level, 0, bits, factors, inner)
                pool.energy[i] += bits * p.read_pj[level]
            else:
                written, read = elements * times * p.widths[3], elements * (times - fresh) * p.widths[3]
                _spend(p, pool.cycles[i], level, 1, written, factors, inner)
                _spend(p, pool.cycles[i], level, 0, read, factors, inner)
                pool.energy[i] += written * p.write_pj[level] + read * p.read_pj[level]
        _bound(p, pool, i, -1, 0)
        if not is_beaten(objective, most, front, pool.bound[i, 0], pool.bound[i, 1]):
            if made < i:
                _copy(pool, i, pool, made)
            made += 1
    return made


@njit(cache=True, nogil=True)
def spread(p, pool, count, slot):
    """Passes a slot of the array; drops the states some of whose instances would be beyond the end of an axis."""
    made = 0
    for i in range(count):
        good = True
        for a in range(len(p.sizes)):
            factor = pool.factors[i, slot, a]
            if factor > 1 and (factor - 1) * pool.current[i, a] >= p.sizes[a]:
                good = False
        if good:
            for a in range(len(p.sizes)):
                pool.current[i, a] *= pool.factors[i, slot, a]
            if made < i:
                _copy(pool, i, pool, made)
            made += 1
    return made


@njit(cache=True)
def is_beaten(objective, most, front, energy, cycles):
    if objective < 3:
        return worth(objective, energy, cycles) >= most
    for k in range(len(front)):
        if front[k, 0] <= energy and front[k, 1] <= cycles:
            return True
    return False


@njit(cache=True, nogil=True)
def place(p, pool, count, boundary, slot):
    """Places a boundary: its tensors are pending from here."""
    for i in range(count):
        for tensor in range(3):
            if p.kept[boundary, tensor]:
                pool.pending[i, tensor] |= 1 << boundary
        _bound(p, pool, i, slot, boundary + 1)


@njit(cache=True, nogil=True)
def keep_fitting(p, pool, count, slot, first):
    """Drops the states whose tiles are too large; returns how many are left."""
    made = 0
    for i in range(count):
        if _fits(p, pool.factors[i], slot, first):
            if made < i:
                _copy(pool, i, pool, made)
            made += 1
    return made


@njit(cache=True, nogil=True)
def finish(p, pool, count):
    """Ends every state: what is pending is moved once more."""
    top = len(p.timed) - 1
    for i in range(count):
        for tensor in range(3):
            for b in range(len(p.boundary_slot) - 1):
                if pool.pending[i, tensor] >> b & 1:
                    pool.energy[i] += _term(p, pool.factors[i], pool.current[i], top, tensor, b, -1, False, pool.cycles[i])
                    if tensor == WEIGHT and p.child[b, tensor] < 0 and p.fill_cycles > 0:
                        pool.fills[i] += p.fill_cycles * _visits(p, pool.factors[i], pool.current[i], top, b)
            pool.pending[i, tensor] = 0
            pool.sliding[i, tensor] = 0
        _bound(p, pool, i, top, len(p.boundary_slot) - 1)


@njit(cache=True)
def _key(p, pool, i, slot, key):
    """What the future of a state depends on. Returns its length."""
    n = 0
    axes = len(p.sizes)
    for a in range(axes):
        key[n] = min(pool.current[i, a], p.sizes[a])
        n += 1
    for k in range(len(p.timed)):
        if not p.timed[k]:
            for a in range(axes):
                factor = pool.factors[i, k, a]
                below = 1
                if factor > 1 and k <= slot:
                    for j in range(k):
                        below *= pool.factors[i, j, a]
                key[n] = factor
                key[n + 1] = below
                n += 2
    for tensor in range(3):
        key[n] = pool.pending[i, tensor]
        key[n + 1] = pool.sliding[i, tensor]
        key[n + 2] = 0
        if pool.sliding[i, tensor]:
            axis = pool.slide_axis[i, tensor]
            key[n + 2] = axis + 1
            for b in range(len(p.boundary_slot) - 1):
                if pool.sliding[i, tensor] >> b & 1:
                    key[n + 2] += 64 * _tile(p, pool.factors[i], p.boundary_slot[b], axis)
                    for c in range(p.index_count[tensor]):
                        if p.index_axes[tensor, c, 0] == axis and p.index_axes[tensor, c, 1] >= 0:
                            key[n + 2] += _tile(p, pool.factors[i], p.boundary_slot[b], p.index_axes[tensor, c, 1]) << 32
                        elif p.index_axes[tensor, c, 1] == axis:
                            key[n + 2] += _tile(p, pool.factors[i], p.boundary_slot[b], p.index_axes[tensor, c, 0]) << 32
        n += 3
    # Whether the innermost levels' outputs are complete decides how wide the next level keeps them.
    for b in range(len(p.boundary_slot) - 1):
        key[n] = 1 if p.kept[b, OUTPUT] and p.boundary_slot[b] <= slot and _adds(p, pool.factors[i], b, slot + 1) else 0
        n += 1
    # A boundary that waits holds a tile of its own.
    for tensor in range(3):
        for b in range(len(p.boundary_slot) - 1):
            if pool.pending[i, tensor] >> b & 1:
                for a in range(axes):
                    if p.relevant[tensor, a]:
                        key[n] = _tile(p, pool.factors[i], p.boundary_slot[b], a)
                        n += 1
    return n


@njit(cache=True, nogil=True)
def merge(p, pool, count, slot, chosen):
    """Of states with the same future, those that no other beats in energy, every level's cycles and fills: writes their numbers to `chosen`, returns
    how many."""
    length = 256
    keys = np.zeros((count, length), np.int64)
    hashes = np.zeros(count, np.uint64)
    lengths = np.zeros(count, np.int64)
    for i in range(count):
        lengths[i] = _key(p, pool, i, slot, keys[i])
        h = np.uint64(1469598103934665603)
        for k in range(lengths[i]):
            h = (h ^ np.uint64(keys[i, k])) * np.uint64(1099511628211)
            h ^= h >> np.uint64(29)
        hashes[i] = h
    by_hash = np.argsort(hashes, kind="mergesort")
    made = 0
    start = 0
    while start < count:
        stop = start + 1
        while stop < count and hashes[by_hash[stop]] == hashes[by_hash[start]]:
            stop += 1
        group = by_hash[start:stop]
        if stop - start > 1:
            energies = np.empty(stop - start)
            for j in range(stop - start):
                energies[j] = pool.energy[group[j]]
            group = group[np.argsort(energies, kind="mergesort")]
        first = made
        for j in range(stop - start):
            beaten = False
            for k in range(first, made):
                if _beats(p, pool, chosen[k], group[j]) and _same(keys, lengths, chosen[k], group[j]):
                    beaten = True
                    break
            if not beaten:
                chosen[made] = group[j]
                made += 1
        start = stop
    return made


@njit(cache=True)
def _same(keys, lengths, i, j):
    if lengths[i] != lengths[j]:
        return False
    for k in range(lengths[i]):
        if keys[i, k] != keys[j, k]:
            return False
    return True


@njit(cache=True)
def _beats(p, pool, i, j):
    if pool.energy[i] > pool.energy[j] or pool.fills[i] > pool.fills[j]:
        return False
    for level in range(pool.cycles.shape[1]):
        if pool.cycles[i, level, 0] > pool.cycles[j, level, 0] or pool.cycles[i, level, 1] > pool.cycles[j, level, 1]:
            return False
    return True


@njit(cache=True, nogil=True)
def gather(source, chosen, count, target, at):
    """Copies states to another pool, from place `at`."""
    for j in range(count):
        _copy(source, chosen[j], target, at + j)


@njit(cache=True, nogil=True)
def bound_all(p, pool, count, slot, placed):
    for i in range(count):
        _bound(p, pool, i, slot, placed)
