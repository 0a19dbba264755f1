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

from typing import Any

import numpy as np
from numba import njit

from ridgeline.mapping.search.records import AXES

WEIGHT, OUTPUT = 1, 2  # tensors; 0 is the input

TILES, FEW_TILES = 64, 14  # sizes of a tile along an axis that a bound looks at: along the longest, and the others


@njit(cache=True, inline="always")
def _ceil(a, b):
    return (a + b - 1) // b


@njit(cache=True)
def _positions(boxes, s, d, a, b):
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
def _pairs(boxes, s, d, ta, tb, na, nb):
    """Positions summed over all pairs of tiles of two axes."""
    qa, ra, qb, rb = na // ta, na % ta, nb // tb, nb % tb
    total = qa * qb * _positions(boxes, s, d, ta, tb)
    if ra:
        total += qb * _positions(boxes, s, d, ra, tb)
    if rb:
        total += qa * _positions(boxes, s, d, ta, rb)
    if ra and rb:
        total += _positions(boxes, s, d, ra, rb)
    return total


@njit(cache=True)
def _index(p, tensor, i, tile_a, tile_b, boxes):
    """Elements of one index over all tiles."""
    a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
    s, d = p.index_steps[tensor, i, 0], p.index_steps[tensor, i, 1]
    if b < 0:
        return _pairs(boxes, s, 1, tile_a, 1, p.sizes[a], 1)
    return _pairs(boxes, s, d, tile_a, tile_b, p.sizes[a], p.sizes[b])


@njit(cache=True)
def _elements(p, tile, tensor):
    """Of a tensor over all its tiles."""
    return _elements_once(p, tile, tensor, -1)


@njit(cache=True)
def _elements_once(p, tile, tensor, whole):
    """At least, if along the axis `whole` nothing is fetched twice."""
    total = 1.0
    for i in range(p.index_count[tensor]):
        a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
        once = whole >= 0 and whole in (a, b)
        if b < 0 and (not p.boxes or once):
            total *= p.sizes[a]
            continue
        ta = p.sizes[a] if a == whole else tile[a]
        tb = 1 if b < 0 else (p.sizes[b] if b == whole else tile[b])
        total *= _index(p, tensor, i, ta, tb, p.boxes and not once)
    return total


@njit(cache=True)
def _footprint(p, tile, tensor, boxes):
    """Elements of a tensor that a tile of so many steps along each axis needs."""
    total = 1.0
    for i in range(p.index_count[tensor]):
        total *= _extent(p, tile, tensor, i, boxes)
    return total


@njit(cache=True)
def _extent(p, tile, tensor, i, boxes):
    """Of one index."""
    a, b = p.index_axes[tensor, i, 0], p.index_axes[tensor, i, 1]
    if b < 0:
        return _positions(boxes, p.index_steps[tensor, i, 0], 1, tile[a], 1)
    return _positions(boxes, p.index_steps[tensor, i, 0], p.index_steps[tensor, i, 1], tile[a], tile[b])


@njit(cache=True)
def _spread_from(p, factors, slot, axis):
    """Instances along an axis outside a slot."""
    total = 1
    for k in range(slot + 1, p.slots):
        if not p.timed[k]:
            total *= factors[k, axis]
    return total


@njit(cache=True)
def _apart(p, factors, now, axis, inner, top):
    """Different indices of an axis that the tensor lacks: blocks of `now` steps, and in each the instances outside slot `inner`."""
    return _instances(p, factors, p.sizes[axis] // now, p.sizes[axis] % now, now, axis, inner, top)


@njit(cache=True)
def _instances(p, factors, whole, rest, block, axis, inner, top):
    """Instances outside slot `inner` that have steps, in so many whole blocks of the slots up to `top` and one of `rest` steps."""
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
def _between(p, factors, top, outer, axis):
    """Instances along an axis in the slots after `top` up to `outer`: a parent there serves them all."""
    if top >= p.last_spread:
        return 1
    total = 1
    for k in range(top + 1, outer + 1):
        if not p.timed[k]:
            total *= factors[k, axis]
    return total


@njit(cache=True)
def _times(p, s, top, tensor, boundary):
    """(different indices, of the axes that the tensor lacks, for all instances of the child; for all of the parent), if a loop that it depends on
    came next."""
    inner = p.boundary_slot[boundary]
    above = p.parent[boundary, tensor]
    outer = p.boundary_slot[above]
    apart, together = 1.0, 1.0
    for a in range(p.axes):
        if p.relevant[tensor, a]:
            continue
        blocks = _ceil(p.sizes[a], s.current[a])
        if s.spread[boundary, a] == 1:
            apart *= blocks
            together *= blocks
        else:
            apart *= _apart(p, s.factors, s.current[a], a, inner, top)
            if top > outer:
                together *= _apart(p, s.factors, s.current[a], a, outer, top)
            else:
                together *= _ceil(blocks, _between(p, s.factors, top, outer, a))
    return apart, together


@njit(cache=True)
def _fewest_times(p, s, tensor, boundary):
    """The same, as if all loops that it does not depend on came first."""
    above = p.parent[boundary, tensor]
    apart, together = 1.0, 1.0
    for a in range(p.axes):
        if not p.relevant[tensor, a]:
            apart *= s.spread[boundary, a]
            together *= s.spread[above, a]
    return apart, together


@njit(cache=True)
def _term(p, s, tensor, boundary, elements, apart, together, spend):
    """The cost of a boundary for a tensor of which so many elements move so many times to all instances of the child and of the parent: energy; with
    `spend`, its cycles beyond those of its floor, which the state holds from the beginning, are added to the state's."""
    above = p.parent[boundary, tensor]
    child, parent = p.boundary_level[boundary], p.boundary_level[above]
    if tensor != OUTPUT:
        width = p.widths[tensor]
        written, read = elements * apart * width, elements * together * width
        if spend:
            _spend(p, s, child, 1, written - s.copies[boundary, tensor] * p.whole_bits[tensor], s.used[boundary])
            _spend(p, s, parent, 0, read - s.copies[above, tensor] * p.whole_bits[tensor], s.used[above])
        return written * p.write_pj[child] + read * p.read_pj[parent]
    first_apart, first_together = _fewest_times(p, s, tensor, boundary)
    whole_bits, partial = p.widths[2], p.widths[3]
    visits, last = elements * together, elements * min(first_together, together)
    own, own_last = elements * apart, elements * min(first_apart, apart)
    back = visits - last
    taken = own - own_last if p.refill_all else back
    up = last * whole_bits + back * partial
    down = back * partial
    given = (own_last * whole_bits + (own - own_last) * partial) if p.drain_reads else 0.0
    got = taken * partial
    energy = up * p.write_pj[parent] + down * p.read_pj[parent] + given * p.read_pj[child] + got * p.write_pj[child]
    saved = 0.0
    if p.child[boundary, tensor] < 0 and not p.refill_all:
        # Instances that are not refilled start from nothing, which saves a read.
        saved = max(0.0, own - own_last - back) * partial
        energy -= saved * p.read_pj[child]
    if spend:
        drained = s.copies[boundary, OUTPUT] * p.whole_bits[OUTPUT] if p.drain_reads else 0.0
        _spend(p, s, parent, 1, up - s.copies[above, OUTPUT] * p.whole_bits[OUTPUT], s.used[above])
        _spend(p, s, parent, 0, down, s.used[above])
        _spend(p, s, child, 0, given - saved - drained, s.used[boundary])
        _spend(p, s, child, 1, got, s.used[boundary])
    return energy


@njit(cache=True)
def _floor(p, s, tensor, boundary):
    """The least energy of a boundary: every element passes it once for every instance that needs it."""
    above = p.parent[boundary, tensor]
    child, parent = p.boundary_level[boundary], p.boundary_level[above]
    inside, outside = s.copies[boundary, tensor] * p.whole_bits[tensor], s.copies[above, tensor] * p.whole_bits[tensor]
    if tensor != OUTPUT:
        return inside * p.write_pj[child] + outside * p.read_pj[parent]
    return outside * p.write_pj[parent] + (inside * p.read_pj[child] if p.drain_reads else 0.0)


@njit(cache=True, inline="always")
def _spend(p, s, level, direction, bits, used):
    """Adds a transfer's cycles, shared out over the level's instances in use."""
    rate = p.write_cycles[level] if direction == 1 and not p.one_port[level] else p.read_cycles[level]
    if rate != 0.0:
        s.cycles[level, 0 if p.one_port[level] else direction] += bits * rate / used


@njit(cache=True)
def _slide_saving(p, s, top, tensor, boundary, axis, factor, spend):
    """What a boundary saves as a loop of `factor` over `axis` moves its tile on to the neighbour."""
    above = p.parent[boundary, tensor]
    sizes, tiles = p.sizes, s.tile[boundary]
    size, block, tile = sizes[axis], s.current[axis], tiles[axis]
    moves = _ceil(size, block) - _ceil(size, block * factor)
    last = (size - 1) // block
    small = min(tile, size - last * block) if last % factor != 0 else tile
    full = moves - (1 if small < tile else 0)
    kept = 1.0
    for n in range(p.index_count[tensor]):
        a, b = p.index_axes[tensor, n, 0], p.index_axes[tensor, n, 1]
        if a != axis and b != axis:
            kept *= _index(p, tensor, n, tiles[a], 1 if b < 0 else tiles[b], p.boxes)
            continue
        other = b if a == axis else a
        step = p.index_steps[tensor, n, 0] if a == axis else p.index_steps[tensor, n, 1]
        far = p.index_steps[tensor, n, 1] if a == axis else p.index_steps[tensor, n, 0]
        wide = tiles[other]
        whole, rest = sizes[other] // wide, sizes[other] % wide
        part = whole * (full * _overlap(p, step, far, tile, tile, wide) + (moves - full) * _overlap(p, step, far, tile, small, wide))
        if rest:
            part += full * _overlap(p, step, far, tile, tile, rest) + (moves - full) * _overlap(p, step, far, tile, small, rest)
        kept *= part
    apart, together = _times(p, s, top, tensor, boundary)
    child, parent = p.boundary_level[boundary], p.boundary_level[above]
    written, read = kept * apart * p.widths[tensor], kept * together * p.widths[tensor]
    if spend:
        _spend(p, s, child, 1, -written, s.used[boundary])
        _spend(p, s, parent, 0, -read, s.used[above])
    return written * p.write_pj[child] + read * p.read_pj[parent]


@njit(cache=True, inline="always")
def _overlap(p, s, d, old, new, other):
    boxes = p.boxes
    return max(0, _positions(boxes, s, d, old, other) + _positions(boxes, s, d, new, other) - _positions(boxes, s, d, old + new, other))


@njit(cache=True)
def _is_spread(p, factors, inner, top, axis):
    """Whether instances between two slots cut the axis, so that a tile's neighbour is another instance's."""
    if inner >= p.last_spread:
        return False
    spread = 1
    for k in range(inner + 1, top + 1):
        if not p.timed[k]:
            spread *= factors[k, axis]
    return spread > 1


@njit(cache=True)
def _pay(p, s, slot, axis):
    """Adds to a state what is known as a loop in time over an axis comes next, whatever its factor."""
    for tensor in range(3):
        if not p.relevant[tensor, axis]:
            continue
        waiting = s.pending[tensor]
        moving = s.sliding[tensor] if s.slide_axis[tensor] == axis else 0
        windowed = p.slide and tensor != OUTPUT and p.window[tensor, axis]
        s.pending[tensor], s.sliding[tensor] = 0, 0
        for b in range(p.boundaries):
            if waiting >> b & 1:
                _pay_boundary(p, s, slot, tensor, b)
            slides = moving >> b & 1 or (windowed and waiting >> b & 1)
            if slides and not _is_spread(p, s.factors, p.boundary_slot[b], slot, axis):
                s.sliding[tensor] |= 1 << b
                s.slide_axis[tensor] = axis


@njit(cache=True)
def _append(p, s, slot, axis, factor):
    """Adds the loop that has been paid for."""
    for tensor in range(3):
        if p.relevant[tensor, axis] and s.sliding[tensor]:
            for b in range(p.boundaries):
                if s.sliding[tensor] >> b & 1:
                    s.energy -= _slide_saving(p, s, slot, tensor, b, axis, factor, True)
    s.factors[slot, axis] = factor
    s.current[axis] *= factor


@njit(cache=True)
def _pay_boundary(p, s, top, tensor, boundary):
    """Adds to a state what a boundary costs beyond its floor, as the next loop outside it is one that its tensor depends on."""
    apart, together = _times(p, s, top, tensor, boundary)
    s.energy += _term(p, s, tensor, boundary, s.amount[boundary, tensor], apart, together, True) - _floor(p, s, tensor, boundary)
    if tensor == WEIGHT and p.child[boundary, tensor] < 0 and p.fill_cycles > 0:
        s.fills += p.fill_cycles * _visits(p, s, top, boundary)


@njit(cache=True)
def _visits(p, s, top, boundary):
    """Visits of the weights at a boundary, all instances at once."""
    total = 1.0
    for a in range(p.axes):
        blocks = _ceil(p.sizes[a], s.tile[boundary, a] if p.relevant[WEIGHT, a] else s.current[a])
        ahead = s.spread[boundary, a] if p.relevant[WEIGHT, a] else s.ahead[a]
        total *= _ceil(blocks, ahead)
    return total


@njit(cache=True)
def _fill_tiles(p, s, slot, first):
    """Tiles of the boundaries from `first` outwards as far as they are known, with the instances that they will serve."""
    for a in range(p.axes):
        block = s.current[a]
        reached = slot
        for b in range(first, p.rows):
            while reached < p.boundary_slot[b]:
                reached += 1
                if not p.timed[reached]:
                    block *= s.factors[reached, a]
            s.tile[b, a] = min(block, p.sizes[a])


@njit(cache=True)
def _fits(p, tiles, slot, first):
    """Whether the tiles fit every level from boundary `first` outwards."""
    crowded = 0
    for b in range(first, p.rows):
        crowded += not _fits_level(p, tiles, slot, p.boundary_level[b])
    return crowded == 0


@njit(cache=True)
def _fits_level(p, tiles, slot, level):
    if p.capacity_bits[level] == np.inf:
        return True
    bits = 0.0
    for b in range(p.rows):
        if p.boundary_level[b] == level:
            bits += _held_bits(p, tiles, b, slot)
    return bits <= p.capacity_bits[level]


@njit(cache=True)
def _held_bits(p, tiles, b, slot):
    """Bits of a boundary's tiles."""
    bits = 0.0
    for tensor in range(3):
        if p.kept[b, tensor]:
            bits += _elements_held(p, tiles, b, tensor) * _width(p, tiles, b, tensor, slot)
    return bits


@njit(cache=True)
def _elements_held(p, tiles, b, tensor):
    return _footprint(p, tiles[b], tensor, p.boxes) if b < p.boundaries else p.home_bits[tensor] / p.widths[tensor]


@njit(cache=True)
def _width(p, tiles, b, tensor, slot):
    """Bits of an element that a boundary holds."""
    return p.widths[3] if tensor == OUTPUT and _adds(p, tiles, p.child[b, tensor], slot) else p.widths[tensor]


@njit(cache=True)
def _adds(p, tiles, child, slot):
    """Whether partial sums come to the level outside `child`; while the child may still grow, that is not said yet."""
    if child < 0:
        return True
    if p.boundary_slot[child] >= slot:
        return p.widths[3] < p.widths[2]
    a = 0
    while a < p.axes and (p.relevant[OUTPUT, a] or p.sizes[a] <= tiles[child, a]):
        a += 1
    return a < p.axes


@njit(cache=True)
def _find_grown(p, tiles, slot, axis, start, group, count, room):
    """What a loop over an axis lets grow in a group's level, in the boundaries from slot `start` outwards: put behind `count` others. Returns how
    many there are then."""
    room.rest[group] = 0.0
    for b in range(p.rows):
        if p.boundary_level[b] != room.level[group]:
            continue
        for tensor in range(3):
            if not p.kept[b, tensor]:
                continue
            width = _width(p, tiles, b, tensor, slot)
            if b < p.boundaries and p.boundary_slot[b] >= start and p.relevant[tensor, axis]:
                for i in range(p.index_count[tensor]):
                    if p.index_axes[tensor, i, 0] != axis and p.index_axes[tensor, i, 1] != axis:
                        width *= _extent(p, tiles[b], tensor, i, p.boxes)
                room.boundary[count], room.tensor[count], room.bits[count] = b, tensor, width
                count += 1
            else:
                room.rest[group] += _elements_held(p, tiles, b, tensor) * width
    room.end[group] = count
    return count


@njit(cache=True)
def _has_room(p, tiles, axis, factor, groups, room):
    """Whether a loop of so many steps leaves what grows in the levels of so many groups."""
    j = 0
    for group in range(groups):
        bits = room.rest[group]
        while j < room.end[group]:
            b, tensor = room.boundary[j], room.tensor[j]
            own, elements = tiles[b, axis], room.bits[j]
            tiles[b, axis] = min(own * factor, p.sizes[axis])
            for i in range(p.index_count[tensor]):
                if p.index_axes[tensor, i, 0] == axis or p.index_axes[tensor, i, 1] == axis:
                    elements *= _extent(p, tiles[b], tensor, i, p.boxes)
            tiles[b, axis] = own
            bits += elements
            j += 1
        if bits > p.capacity_bits[room.level[group]]:
            return False
    return True


@njit(cache=True)
def steps_of(p, factors, axis, slot, block, spread):
    """Time steps along an axis: exact for the loops up to a slot, which make `block`, in time all those outside."""
    size = p.sizes[axis]
    if spread == 1:
        return size
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
def _bound(p, s, slot, placed, room):
    """The least energy and cycles of every mapping that grows from a state: what is known, what its pending boundaries add at least to their floors,
    and the later ones. At most one of the axes that are left comes next: tensors that depend on it are fetched anew."""
    axes = p.axes
    slack, last = 0.0, 0.0  # `last`: where no axis is left
    for a in range(axes):
        room.soon[a] = 0.0
    for tensor in range(3):
        if not s.pending[tensor] and not s.sliding[tensor]:
            continue
        windowed = p.slide and tensor != OUTPUT
        for b in range(min(placed, p.boundaries)):
            if s.pending[tensor] >> b & 1:
                apart, together = _times(p, s, slot, tensor, b)
                fewest_apart, fewest_together = _fewest_times(p, s, tensor, b)
                floor, amount = _floor(p, s, tensor, b), s.amount[b, tensor]
                now = _term(p, s, tensor, b, amount, apart, together, False) - floor
                kept = now
                if fewest_apart != apart or fewest_together != together:
                    kept = _term(p, s, tensor, b, amount, fewest_apart, fewest_together, False) - floor
                last += now
                for a in range(axes):
                    if not p.relevant[tensor, a]:
                        room.soon[a] += kept
                    elif windowed and p.window[tensor, a]:
                        if p.sizes[a] > s.current[a]:
                            room.soon[a] += _term(p, s, tensor, b, _elements_once(p, s.tile[b], tensor, a), apart, together, False) - floor
                    else:
                        room.soon[a] += now
            if s.sliding[tensor] >> b & 1:
                # A tile that slides on may save more.
                axis = s.slide_axis[tensor]
                rest = _ceil(p.sizes[axis], s.current[axis])
                if rest > 1:
                    slack += _slide_saving(p, s, slot, tensor, b, axis, rest, False)
    least = np.inf
    for a in range(axes):
        if p.sizes[a] > s.current[a] * s.ahead[a]:
            least = min(least, room.soon[a])
    if least == np.inf:
        least = last
    energy = s.energy + least - slack + p.beyond[placed]
    steps = 1.0
    for a in range(axes):
        if slot > p.last_spread:
            steps *= steps_of(p, s.factors, a, slot, s.current[a], s.spread[-1, a])
        else:
            steps *= _ceil(p.sizes[a], s.spread[-1, a])
    s.steps = steps
    longest = steps + s.fills + p.last_cycles
    if slack == 0.0:
        for level in range(p.levels):
            longest = max(longest, s.cycles[level, 0], s.cycles[level, 1])
        for direction in range(2):
            longest = max(longest, s.cycles[0, direction] + p.beyond_cycles[placed, direction])
    s.least_energy = energy
    s.least_cycles = np.ceil(longest * (1 - 1e-12))


ENERGY, CYCLES, PRODUCT, SUM = range(4)


@njit(cache=True)
def _worth(kind, rate, energy, cycles):
    """What is minimised."""
    if kind == ENERGY:
        return energy
    if kind == CYCLES:
        return cycles
    if kind == PRODUCT:
        return energy * cycles
    return energy + rate * cycles


@njit(cache=True)
def _is_beaten(goal, s):
    if s.least_energy > goal.most_energy or s.least_cycles > goal.most_cycles:
        return True
    return _worth(goal.kind, goal.rate, s.least_energy, s.least_cycles) >= goal.most


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


DONE, PAUSED, FULL, MANY, MANY_IN_ALL = range(5)  # why growing stops
MANY_TIMES, MANY_IN_ALL_TIMES = 4, 2  # the width: states that are done with an axis, and those of all orders


@njit(cache=True, nogil=True)
def _grow(problems, sources, pool, scratch, orders, needed, modes, slot, first, goals, rooms, cursors, width, piece):
    """Every factor of one axis after the other, in each order of a slot in time (orders, axes; -1 for none), from where the cursor stands. One state
    may stay as it is, with a factor of 1, where its axis is not `needed` (orders, axes); what else comes of it is put behind all others. Returns why
    it stops: PAUSED after `piece` states, FULL where there is no room for more, MANY or MANY_IN_ALL where states are many times the width."""
    p, goal, room, cursor = problems[0], goals[0], rooms[0], cursors[0]
    while cursor.order < len(orders):
        if cursor.place < 0:
            if cursor.made > MANY_IN_ALL_TIMES * width:
                return MANY_IN_ALL
            if cursor.made + len(sources) > len(pool):
                return FULL
            for i in range(len(sources)):
                pool[cursor.made] = sources[i]
                pool[cursor.made].order[slot] = cursor.order
                cursor.made += 1
            cursor.end, cursor.place = cursor.made, 0
        while cursor.place < orders.shape[1] and orders[cursor.order, cursor.place] >= 0:
            axis, must = orders[cursor.order, cursor.place], needed[cursor.order, cursor.place]
            if modes[axis] != NONE:
                stop = _expand(p, pool, scratch, axis, modes[axis], must, slot, first, goal, room, cursor, piece)
                if stop != DONE:
                    return stop
            if cursor.at - cursor.base - cursor.leaving + cursor.made - cursor.end > MANY_TIMES * width:
                return MANY
            _compact(pool, cursor)
            cursor.place += 1
            cursor.at, cursor.end = cursor.base, cursor.made
        cursor.base, cursor.at, cursor.end = cursor.made, cursor.made, cursor.made
        cursor.order += cursor.step
        cursor.place = -1
    return DONE


@njit(cache=True, nogil=True)
def _compact_all(pool, cursors):
    _compact(pool, cursors[0])


@njit(cache=True)
def _compact(pool, cursor):
    """Drops the states that do not stay."""
    if not cursor.leaving:
        return
    made, at, end = cursor.base, cursor.at, cursor.end
    for i in range(cursor.base, cursor.made):
        if i == at:
            cursor.at = made
        if i == end:
            cursor.end = made
        if pool[i].stays:
            if made < i:
                pool[made] = pool[i]
            made += 1
    if at == cursor.made:
        cursor.at = made
    if end == cursor.made:
        cursor.end = made
    cursor.made = made
    cursor.leaving = 0


@njit(cache=True)
def _expand(p, pool, scratch, axis, mode, needed, slot, first, goal, room, cursor, piece):
    """Every factor of one axis, for the states from cursor.at to cursor.end. Returns why it stops."""
    inner = p.prior[slot]
    made, most = cursor.made, 2 * int(np.sqrt(p.sizes[axis])) + 2
    while cursor.at < cursor.end:
        source = pool[cursor.at]
        left = _ceil(p.sizes[axis], source.current[axis] * source.ahead[axis])
        if cursor.counted >= piece or made + most > len(pool):
            cursor.made = made
            return PAUSED if cursor.counted >= piece else FULL
        factor = _next_factor(mode, left, 0)
        source.stays = factor == 1 and not needed
        cursor.leaving += not source.stays
        cursor.at += 1
        if factor == 1:
            factor = _next_factor(mode, left, 1)
        if factor == 0:
            continue
        _fill_tiles(p, source, slot, first)
        if inner >= 0 and goal.canonical and not p.gaps and _is_alone(p, source, slot):
            # The level inside could hold some of these loops too, which is never worse.
            room.level[0] = p.boundary_level[inner]
            _find_grown(p, source.tile, slot, axis, p.boundary_slot[inner], 0, 0, room)
            while factor and _has_room(p, source.tile, axis, factor, 1, room):
                cursor.merged += 1
                cursor.counted += 1
                factor = _next_factor(mode, left, factor)
        if factor == 0:
            continue
        groups = _find_room(p, source.tile, slot, axis, first, room)
        fits = _has_room(p, source.tile, axis, factor, groups, room)
        paid = scratch[0]
        if fits:
            scratch[0] = source
            paid.stays = True
            _pay(p, paid, slot, axis)
        while fits:
            pool[made] = paid
            s = pool[made]
            _append(p, s, slot, axis, factor)
            _bound(p, s, slot, first, room)
            cursor.counted += 1
            if _is_beaten(goal, s):
                cursor.bounded += 1
            else:
                made += 1
            factor = _next_factor(mode, left, factor)
            fits = factor and _has_room(p, source.tile, axis, factor, groups, room)
        cursor.large += factor > 0  # and larger factors fit no better
    cursor.made = made
    return DONE


@njit(cache=True, inline="always")
def _is_alone(p, s, slot):
    """Whether a slot has no loop yet."""
    a = 0
    while a < p.axes and s.factors[slot, a] == 1:
        a += 1
    return a == p.axes


@njit(cache=True)
def _find_room(p, tiles, slot, axis, first, room):
    """The bounded levels from boundary `first` outwards where a loop over an axis lets a tensor grow, a group each. Returns how many."""
    groups, count, seen = 0, 0, 0
    for b in range(first, p.rows):
        level = p.boundary_level[b]
        if seen >> level & 1 or p.capacity_bits[level] == np.inf:
            continue
        seen |= 1 << level
        room.level[groups] = level
        more = _find_grown(p, tiles, slot, axis, slot, groups, count, room)
        if more > count or room.rest[groups] > p.capacity_bits[level]:
            groups, count = groups + 1, more
    return groups


@njit(cache=True, nogil=True)
def _begin_all(problems, pool, chosen, factors, slots, rooms):
    """States of the chosen of all choices of spatial factors (choices, slots of the array, axes), and no loop in time."""
    p, room = problems[0], rooms[0]
    for i in range(len(pool)):
        _begin(p, pool[i], factors[chosen[i]], slots, room)
        pool[i].unrolling = chosen[i]


@njit(cache=True, nogil=True)
def _promise(problems, scratch, factors, slots, rooms, energies, cycles):
    """The least energy and cycles of mappings with so many instances (choices, slots of the array, axes)."""
    p, room = problems[0], rooms[0]
    s = scratch[0]
    for i in range(len(factors)):
        _begin(p, s, factors[i], slots, room)
        energies[i], cycles[i] = s.least_energy, s.least_cycles


@njit(cache=True)
def _begin(p, s, factors, slots, room):
    """The multipliers' own accesses, with all spatial factors known."""
    s.fills = 0.0
    s.cycles[:] = 0.0
    s.amount[:] = 0.0
    s.pending[:] = 0
    s.sliding[:] = 0
    s.slide_axis[:] = 0
    s.order[:] = 0
    s.stays = True
    s.tile[:] = 1
    s.factors[:] = 1
    for k in range(len(slots)):
        for a in range(p.axes):
            s.factors[slots[k], a] = factors[k, a]
    s.used[:] = 1
    for a in range(p.axes):
        s.current[a] = 1
        for b in range(p.rows):
            spread = _spread_from(p, s.factors, p.boundary_slot[b], a)
            s.used[b] *= spread
            s.spread[b, a] = min(spread, p.sizes[a])
        s.ahead[a] = _spread_from(p, s.factors, -1, a)
        s.spread[-1, a] = min(s.ahead[a], p.sizes[a])
    s.energy = p.mac_pj
    for tensor in range(3):
        _pay_floor(p, s, tensor)
        b = p.innermost[tensor]
        level = p.boundary_level[b]
        elements, times, fresh = 1.0, 1.0, 1.0
        for a in range(p.axes):
            if p.relevant[tensor, a]:
                elements *= p.sizes[a]
            else:
                served = _spread_from(p, s.factors, -1, a) // _spread_from(p, s.factors, p.boundary_slot[b], a)
                times *= _ceil(p.sizes[a], served)
                fresh *= s.spread[b, a]
        if tensor != OUTPUT:
            bits = elements * times * p.widths[tensor]
            _spend(p, s, level, 0, bits, s.used[b])
            s.energy += bits * p.read_pj[level]
        else:
            written, read = elements * times * p.widths[3], elements * (times - fresh) * p.widths[3]
            _spend(p, s, level, 1, written, s.used[b])
            _spend(p, s, level, 0, read, s.used[b])
            s.energy += written * p.write_pj[level] + read * p.read_pj[level]
    _bound(p, s, -1, 0, room)


@njit(cache=True)
def _pay_floor(p, s, tensor):
    """Moves every element once through every boundary that keeps it, for every instance that needs it."""
    bits = p.whole_bits[tensor]
    for b in range(p.rows):
        s.copies[b, tensor] = _copies(p, s, tensor, b)
    for b in range(p.boundaries):
        if not p.kept[b, tensor]:
            continue
        above = p.parent[b, tensor]
        child, parent = p.boundary_level[b], p.boundary_level[above]
        inside, outside = s.copies[b, tensor] * bits, s.copies[above, tensor] * bits
        s.energy += _floor(p, s, tensor, b)
        if tensor != OUTPUT:
            _spend(p, s, child, 1, inside, s.used[b])
            _spend(p, s, parent, 0, outside, s.used[above])
        else:
            _spend(p, s, parent, 1, outside, s.used[above])
            _spend(p, s, child, 0, inside if p.drain_reads else 0.0, s.used[b])


@njit(cache=True)
def _copies(p, s, tensor, boundary):
    """Instances that need the same elements of a tensor, at least: all those along an axis that it lacks, of one slot; of several slots, some could
    be beyond the end of the axis."""
    total = 1
    for a in range(p.axes):
        if not p.relevant[tensor, a]:
            most = 1
            for k in range(p.boundary_slot[boundary] + 1, p.slots):
                if not p.timed[k]:
                    most = max(most, s.factors[k, a])
            total *= min(most, p.sizes[a])
    return total


@njit(cache=True, nogil=True)
def _spread(problems, pool, slot):
    """Passes a slot of the array; drops the states some of whose instances would be beyond the end of an axis. Returns the states left."""
    p = problems[0]
    made = 0
    for i in range(len(pool)):
        s = pool[i]
        good = True
        for a in range(p.axes):
            if s.factors[slot, a] > 1 and (s.factors[slot, a] - 1) * s.current[a] >= p.sizes[a]:
                good = False
        if good:
            fresh = _fresh(p, s)
            for a in range(p.axes):
                s.current[a] *= s.factors[slot, a]
                s.ahead[a] //= s.factors[slot, a]
                _settle(p, s, slot, a)
            _start_fewer(p, s, fresh - _fresh(p, s))
            if made < i:
                pool[made] = s
            made += 1
    return made


@njit(cache=True)
def _fresh(p, s):
    """Outputs that start from nothing, over all instances of the level that feeds the multipliers."""
    total = 1.0
    for a in range(p.axes):
        total *= p.sizes[a] if p.relevant[OUTPUT, a] else s.spread[p.innermost[OUTPUT], a]
    return total


@njit(cache=True)
def _start_fewer(p, s, fewer):
    """Reads the sums that were taken to start from nothing and do not."""
    if fewer > 0:
        level = p.boundary_level[p.innermost[OUTPUT]]
        _spend(p, s, level, 0, fewer * p.widths[3], s.used[p.innermost[OUTPUT]])
        s.energy += fewer * p.widths[3] * p.read_pj[level]


@njit(cache=True)
def _settle(p, s, slot, axis):
    """Slots may spread an axis over more instances than there are steps for: counts those that have some at first."""
    if s.factors[slot, axis] == 1:
        return
    block, size = s.current[axis], p.sizes[axis]
    whole, rest = (1, 0) if size >= block else (0, size)
    ahead = s.ahead[axis]
    for b in range(p.rows):
        if p.boundary_slot[b] < slot:
            active = _instances(p, s.factors, whole, rest, block, axis, p.boundary_slot[b], slot)
            s.spread[b, axis] = min(size, active * ahead)


@njit(cache=True, nogil=True)
def _place(problems, pool, boundary, slot, orders, rooms):
    """Places a boundary: its tensors are pending from here. Drops the states whose tiles are too large, and those where the level's other tensors
    could hold a loop more: that is never worse. `orders` are those of the slot. Returns how many are left."""
    p, room = problems[0], rooms[0]
    made = 0
    is_last = boundary + 1 == p.boundaries or p.before[boundary + 1] < 0
    for i in range(len(pool)):
        _fill_tiles(p, pool[i], slot, boundary)
        if not _fits(p, pool[i].tile, slot, boundary):
            continue
        if is_last and p.before[boundary] >= 0 and not p.gaps and _could_hold_more(p, pool[i], boundary, slot, orders, room):
            continue
        if made < i:
            pool[made] = pool[i]
        s = pool[made]
        made += 1
        for tensor in range(3):
            if p.kept[boundary, tensor]:
                s.pending[tensor] |= 1 << boundary
                s.amount[boundary, tensor] = _elements(p, s.tile[boundary], tensor)
        _bound(p, s, slot, boundary + 1, room)
    return made


@njit(cache=True)
def _could_hold_more(p, s, boundary, slot, orders, room):
    """Whether the tensors of the same level that hold fewer loops could hold the slot's first one too."""
    inner = p.before[boundary]
    axis = -1
    for k in range(p.axes):
        looped = orders[s.order[slot], k]
        if axis < 0 and looped >= 0 and s.factors[slot, looped] > 1:
            axis = looped
    if axis < 0:
        return True
    for b in range(p.rows):
        for a in range(p.axes):
            room.tile[b, a] = s.tile[b, a]
        if p.boundary_slot[inner] <= p.boundary_slot[b] < slot:
            room.tile[b, axis] = min(s.tile[b, axis] * s.factors[slot, axis], p.sizes[axis])
    return _fits_level(p, room.tile, slot, p.boundary_level[inner])


@njit(cache=True, nogil=True)
def _finish(problems, pool, rooms):
    """Ends every state: what is pending is moved once more. Drops those that the constraints leave unfinished; returns how many are left."""
    p, room = problems[0], rooms[0]
    top, made = p.slots - 1, 0
    for i in range(len(pool)):
        if not _is_whole(p, pool[i]):
            continue
        if made < i:
            pool[made] = pool[i]
        s = pool[made]
        made += 1
        for tensor in range(3):
            for b in range(p.boundaries):
                if s.pending[tensor] >> b & 1:
                    _pay_boundary(p, s, top, tensor, b)
            s.pending[tensor] = 0
            s.sliding[tensor] = 0
        _bound(p, s, top, p.boundaries, room)
    return made


@njit(cache=True)
def _is_whole(p, s):
    left = 0
    for a in range(p.axes):
        left += max(0, p.sizes[a] - s.current[a])
    return left == 0


@njit(cache=True)
def _key(p, s, slot, key):
    """What the future of a state depends on. Returns its length."""
    n = 0
    for a in range(p.axes):
        key[n] = min(s.current[a], p.sizes[a])
        n += 1
    for k in range(p.slots):
        if not p.timed[k]:
            for a in range(p.axes):
                factor = s.factors[k, a]
                below = 1
                if factor > 1 and k <= slot:
                    if p.sizes[a] % s.current[a] == 0:
                        below = 0  # all blocks are whole: however they are made, all their instances have steps
                    else:
                        for j in range(k):
                            below *= s.factors[j, a]
                key[n] = factor
                key[n + 1] = below
                n += 2
    for tensor in range(3):
        key[n] = s.pending[tensor]
        key[n + 1] = s.sliding[tensor]
        key[n + 2] = s.slide_axis[tensor] if s.sliding[tensor] else 0
        n += 3
    for b in range(p.boundaries):
        # Whether outputs are complete decides how wide the next level keeps them.
        key[n] = 1 if p.kept[b, OUTPUT] and p.boundary_slot[b] <= slot and _adds(p, s.tile, b, slot + 1) else 0
        n += 1
        # What it leaves to the level's other tensors.
        if p.boundary_slot[b] <= slot and b + 1 < p.boundaries and p.before[b + 1] == b:
            held = np.int64(0)
            for other in range(b + 1):
                if p.boundary_level[other] == p.boundary_level[b]:
                    held += np.int64(64 * _held_bits(p, s.tile, other, slot + 1))
            key[n], key[n + 1] = held >> 31, held & 0x7FFFFFFF
            n += 2
        # A boundary that waits or slides on holds a tile of its own.
        for tensor in range(3):
            if (s.pending[tensor] | s.sliding[tensor]) >> b & 1:
                for a in range(p.axes):
                    if p.shaped[tensor, a]:
                        key[n] = s.tile[b, a]
                        n += 1
    return n


@njit(cache=True, nogil=True)
def _merge(problems, pool, slot, goals, chosen):
    """Of states with the same future, those that no other beats in energy, every level's cycles and fills: writes their numbers to `chosen`. Where
    cycles do not matter, those of least energy. Returns (how many, dropped by the bound)."""
    p, goal = problems[0], goals[0]
    timeless = goal.kind == ENERGY and goal.most_cycles == np.inf
    unfinished = np.empty(p.levels, np.bool_)
    alive = np.empty(len(pool), np.int64)
    count = 0
    for i in range(len(pool)):
        if not _is_beaten(goal, pool[i]):
            alive[count] = i
            count += 1
    length = p.axes * (1 + 2 * p.slots + 3 * p.boundaries) + 9 + 3 * p.boundaries
    keys = np.empty((count, length), np.int32)
    hashes = np.zeros(count, np.uint64)
    lengths = np.zeros(count, np.int64)
    for i in range(count):
        lengths[i] = _key(p, pool[alive[i]], slot, keys[i])
        h = np.uint64(1469598103934665603)
        for k in range(lengths[i]):
            h = (h ^ np.uint64(keys[i, k])) * np.uint64(1099511628211)
            h ^= h >> np.uint64(29)
        hashes[i] = h
    by_hash = np.argsort(hashes)
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
                energies[j] = pool[alive[group[j]]].energy
            group = group[np.argsort(energies, kind="mergesort")]
            _find_unfinished(p, pool[alive[group[0]]], slot, unfinished)
        first = made
        for j in range(stop - start):
            beaten = False
            for k in range(first, made):
                best, other = chosen[k], group[j]
                if (timeless or _beats(p, pool[alive[best]], pool[alive[other]], unfinished)) and _same(keys, lengths, best, other):
                    beaten = True
                    break
            if not beaten:
                chosen[made] = group[j]
                made += 1
        start = stop
    for k in range(made):
        chosen[k] = alive[chosen[k]]
    return made, len(pool) - count


@njit(cache=True)
def _same(keys, lengths, i, j):
    if lengths[i] != lengths[j]:
        return False
    k = 0
    while k < lengths[i] and keys[i, k] == keys[j, k]:
        k += 1
    return k == lengths[i]


@njit(cache=True)
def _find_unfinished(p, s, slot, unfinished):
    """Levels whose transfers are not all known yet; two states with the same future have the same."""
    unfinished[:] = False
    for b in range(p.boundaries):
        for tensor in range(3):
            if p.kept[b, tensor] and ((s.pending[tensor] | s.sliding[tensor]) >> b & 1 or p.boundary_slot[b] >= slot):
                unfinished[p.boundary_level[b]] = True
                unfinished[p.boundary_level[p.parent[b, tensor]]] = True


@njit(cache=True)
def _beats(p, s, other, unfinished):
    """Whether no future makes the other better. Of the levels that are done, the slowest counts, and only beyond what the steps take anyway."""
    if s.energy > other.energy or s.fills > other.fills:
        return False
    done, allowed = 0.0, max(s.steps, other.steps)
    for level in range(p.levels):
        for direction in range(2):
            if not unfinished[level]:
                done, allowed = max(done, s.cycles[level, direction]), max(allowed, other.cycles[level, direction])
            elif s.cycles[level, direction] > other.cycles[level, direction]:
                return False
    return done <= allowed


@njit(cache=True, nogil=True)
def _products(values, counts, size, least, rows):
    """Every choice of a value for each axis (axes, values; rising) whose product is from `least` to `size`: into `rows`, as far as there is room.
    Returns how many there are."""
    axes = len(counts)
    place, product = np.zeros(axes, np.int64), np.ones(axes + 1, np.int64)
    made, a = 0, 0
    while a >= 0:
        over = True
        if place[a] < counts[a]:
            product[a + 1] = product[a] * values[a, place[a]]
            over = product[a + 1] > size
        if over:
            a -= 1
        elif a + 1 < axes:
            a += 1
            place[a] = 0
            continue
        elif product[axes] >= least:
            if made < len(rows):
                for k in range(axes):
                    rows[made, k] = values[k, place[k]]
            made += 1
        if a >= 0:
            place[a] += 1
    return made


@njit(cache=True, nogil=True)
def _least_of_group(p, member, first, again):
    """The least cost of boundaries of different tensors that are all served whole, for whatever tiles fit: of each tensor `first` an element, and
    `again` for each time more that it comes. member: tensor -> boundary, -1 for none.

    Let T be the tile inside the outermost of them. A tensor is fetched at least once for each step of the loops outside T that it lacks, but where
    its own tile is T and no loop that it depends on comes first outside. That loop is over some axis: the tensors that lack it may be fetched once.
    """
    last = max(member[0], member[1], member[2])
    tiles, trips = np.ones((AXES, TILES), np.int64), np.ones((AXES, TILES), np.int64)
    counts = np.ones(AXES, np.int64)
    free = 0
    for a in range(p.axes):
        if p.sizes[a] > p.sizes[free]:
            free = a
    for a in range(p.axes):
        counts[a] = _tile_sizes(p.sizes[a], TILES if a == free else FEW_TILES, tiles[a], trips[a])
    best = np.inf
    for a in range(p.axes):
        once = _lacking(p, a)
        seen = False
        for earlier in range(a):
            seen = seen or _lacking(p, earlier) == once
        if not seen:
            best = min(best, _least_for(p, member, last, first, again, once, tiles, trips, counts, free))
    return best


@njit(cache=True, inline="always")
def _lacking(p, axis):
    """The tensors that do not depend on an axis, as a bit set."""
    found = 0
    for tensor in range(3):
        if not p.relevant[tensor, axis]:
            found |= 1 << tensor
    return found


@njit(cache=True)
def _tile_sizes(size, room, tiles, trips):
    """The smallest tile for each number of trips. Where they are more than there is room for, some stand for those up to the next one: with the
    smallest tile and the fewest trips. Returns how many."""
    count, tile = 0, 1
    ratio = float(size) ** (1.0 / (room - 2))
    while True:
        tiles[count] = tile
        following = size + 1 if _ceil(size, tile) == 1 else _ceil(size, _ceil(size, tile) - 1)
        if 4 * size > (room - 1) * (room - 1):
            following = max(following, min(size + 1, int(tile * ratio) + 1))
        trips[count] = _ceil(size, following - 1)
        count += 1
        if following > size:
            return count
        tile = following


@njit(cache=True)
def _least_for(p, member, last, first, again, once, tiles, trips, counts, free):
    """The least cost where the tensors of `once`, if their tiles fit, come once."""
    place, tile, times = np.zeros(AXES, np.int64), np.ones(AXES, np.int64), np.ones(AXES, np.int64)
    best = np.inf
    while True:
        for a in range(p.axes):
            tile[a], times[a] = tiles[a, place[a]], trips[a, place[a]]
        tile[free] = 1
        if _group_fits(p, member, last, once, tile):
            low, high = 0, counts[free] - 1
            while low < high:
                middle = (low + high + 1) // 2
                tile[free] = tiles[free, middle]
                if _group_fits(p, member, last, once, tile):
                    low = middle
                else:
                    high = middle - 1
            times[free] = trips[free, low]
            best = min(best, _group_cost(p, member, first, again, once, times))
            a = 0
        else:
            a = 0  # larger tiles of the axis that runs fastest fit no better
            while a < p.axes and (a == free or place[a] == 0):
                a += 1
            if a == p.axes:
                return best
            place[a] = 0
            a += 1
        while a < p.axes:
            if a != free:
                place[a] += 1
                if place[a] < counts[a]:
                    break
                place[a] = 0
            a += 1
        if a >= p.axes:
            return best


@njit(cache=True)
def _group_fits(p, member, last, once, tile):
    for b in range(last + 1):
        level = p.boundary_level[b]
        if p.capacity_bits[level] == np.inf:
            continue
        bits = 0.0
        for tensor in range(3):
            if member[tensor] == b and (b == last or once >> tensor & 1):
                width = min(p.widths[2], p.widths[3]) if tensor == OUTPUT else p.widths[tensor]
                bits += _footprint(p, tile, tensor, False) * width
        if bits > p.capacity_bits[level]:
            return False
    return True


@njit(cache=True)
def _group_cost(p, member, first, again, once, times):
    total = 0.0
    for tensor in range(3):
        if member[tensor] < 0:
            continue
        visits = 1.0
        if not once >> tensor & 1:
            for a in range(p.axes):
                if not p.relevant[tensor, a]:
                    visits *= times[a]
        total += first[tensor] + (visits - 1) * again[tensor]
    return total


# numba's own types say nothing of the arguments. Records are passed as arrays of one, which takes numba a tenth of the time.
positions: Any = _positions
worth: Any = _worth
grow: Any = _grow
compact: Any = _compact_all
begin: Any = _begin_all
promise: Any = _promise
spread: Any = _spread
place: Any = _place
finish: Any = _finish
merge: Any = _merge
products: Any = _products
least_of_group: Any = _least_of_group
