"""The engine's units, simulated instruction by instruction: the inner loop of `schedule.predict`, in numba.

Time goes from one event to the next; at each, the units act in turn. What one unit gives another is a token or a count, with the cycle from
which it can be seen. A unit's function is called with the cycle `t` and returns the next cycle at which it can act by itself, or `NEVER` while
it waits for another unit. All functions live in this file, because numba's cache notices changes of the outermost function's file only.
"""

# numba infers the types of the kernels below: what pyright strict would ask for is not Python's to know.
# pyright: basic

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

NEVER = 1 << 62
FETCH, LOAD, TABLE = 0, 1, 2  # clients of the read port
A_READY, A_FREE, W_READY, W_FREE, O_READY, O_FREE, STORED = range(7)  # tokens
RING = 64


def _integers(*names: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in names])


LOADS = _integers("wait_free", "wait_stored", "signal_ready", "target", "address", "pitch", "rows", "bytes")
COMPUTES = _integers(
    "weight_wait", "weight_release", "activation_wait", "activation_release", "output_wait", "output_commit",
    "first", "last", "blocks", "block_words", "runs", "run_cycles", "run_period", "vectors",
)  # fmt: skip
STORES = _integers("wait_ready", "signal_free", "address", "row_pitch", "pixel_pitch", "rows", "pixels", "bytes")
EVENTS = _integers("start", "stop", "drain_start", "drain_stop")

CONSTANTS = _integers(
    "bus", "burst_bytes", "burst_beats", "credit_gain", "credit_cost", "credit_cap", "read_latency", "write_latency", "outstanding",
    "queue", "queue_latency", "token_latency", "instructions", "fetch_burst", "fetch_depth", "fetch_start", "fetch_done", "dispatch_gap",
    "load_start", "load_gap", "load_row_gap", "load_done", "table_cycles",
    "weight_gap", "weight_latency", "parameter_words", "parameter_free",
    "mac_start", "mac_gap", "run_minimum", "mac_latency", "drain_start", "drain_gap", "drain_minimum", "drain_latency",
    "store_start", "store_run_gap", "store_burst_gap", "store_free", "store_done", "store_serial",
)  # fmt: skip

STATE = _integers(
    "credit", "credit_time", "head", "tail", "read_time", "write_time", "ar_time", "turn",
    "asked", "arrived", "arrived_time", "dispatched", "dispatch_time", "loads", "computes", "stores",
    "load", "load_active", "load_row", "load_byte", "load_time", "load_left",
    "weight", "weight_active", "block", "weight_time", "blocks_read", "block_time", "blocks_taken", "taken_time", "sets_read", "set_time",
    "mac", "mac_active", "run", "mac_time", "last_read", "groups", "handed",
    "drain", "drain_time", "drained", "drained_time", "taken_over", "over_time",
    "store", "store_active", "store_row", "store_pixel", "store_byte", "beats_left", "store_time", "store_stop", "stop_time",
    "read_beats", "write_beats", "mac_busy", "acted",
)  # fmt: skip


@njit(cache=True, inline="always")
def _give(tokens, counts, kind, time):
    tokens[kind, counts[kind, 0]] = time
    counts[kind, 0] += 1


@njit(cache=True, inline="always")
def _available(tokens, counts, kind, number):
    """The cycle from which `number` tokens can be taken at once."""
    if number == 0:
        return 0
    last = counts[kind, 1] + number - 1
    return tokens[kind, last] if last < counts[kind, 0] else NEVER


@njit(cache=True)
def _memory(t, s, k, ring, tokens, counts, events, loads, load_index):
    """The read and write data channels: what tools/harness/memory.h does in a cycle."""
    s.credit = min(k.credit_cap, s.credit + k.credit_gain * (t - s.credit_time))
    s.credit_time = t
    write = s.beats_left > 0 and s.store_time <= t
    read = s.head < s.tail and max(ring[s.head % RING, 0], s.read_time) <= t
    wrote = False
    if write and s.credit >= k.credit_cost and not (read and s.turn == 1 and s.credit < 2 * k.credit_cost):
        wrote = True
        _write_beat(t, s, k, tokens, counts, events)
    if read and s.credit >= k.credit_cost:
        _read_beat(t, s, k, ring, tokens, counts, events, loads, load_index)
    if write and not wrote and s.credit >= k.credit_cost:
        _write_beat(t, s, k, tokens, counts, events)
    return _memory_next(t, s, k, ring)


@njit(cache=True, inline="always")
def _memory_next(t, s, k, ring):
    """The next cycle in which a beat can move."""
    wake = NEVER
    if s.head < s.tail:
        wake = max(ring[s.head % RING, 0], s.read_time)
    if s.beats_left > 0:
        wake = min(wake, s.store_time)
    if wake == NEVER:
        return NEVER
    short = k.credit_cost - s.credit
    return max(wake, t + 1, t + -(-short // k.credit_gain))


@njit(cache=True, inline="always")
def _write_beat(t, s, k, tokens, counts, events):
    s.credit -= k.credit_cost
    s.turn = 1
    s.write_beats += 1
    s.beats_left -= 1
    s.acted |= s.beats_left == 0
    s.store_time = t + 1
    s.write_time = t


@njit(cache=True, inline="always")
def _read_beat(t, s, k, ring, tokens, counts, events, loads, load_index):
    slot = s.head % RING
    s.credit -= k.credit_cost
    s.turn = 0
    s.read_beats += 1
    client = ring[slot, 2]
    s.read_time = t + (k.table_cycles if client == TABLE else 1)
    ring[slot, 1] -= 1
    if ring[slot, 1] > 0:
        return
    s.acted = 1
    s.head += 1
    if client == FETCH:
        s.arrived += ring[slot, 3]
        s.arrived_time = t + k.fetch_done
    elif ring[slot, 4]:
        number = ring[slot, 3]
        time = s.read_time - 1 + k.load_done + k.token_latency
        events[load_index[number]].stop = s.read_time - 1 + k.load_done
        if loads[number].signal_ready:
            _give(tokens, counts, W_READY if loads[number].target == 1 else A_READY, time)


@njit(cache=True, inline="always")
def _ask(t, s, k, ring, beats, client, number, last):
    """A burst's address is accepted at `t`."""
    s.acted = 1
    slot = s.tail % RING
    ring[slot, 0] = t + k.read_latency
    ring[slot, 1] = beats
    ring[slot, 2] = client
    ring[slot, 3] = number
    ring[slot, 4] = last
    s.tail += 1
    s.ar_time = t + 1


@njit(cache=True)
def _fetch(t, s, k, ring):
    """Reads instructions ahead, `fetch_burst` at a time."""
    if s.asked == k.instructions:
        return NEVER
    if s.tail - s.head >= k.outstanding or s.asked + k.fetch_burst - s.dispatched > k.fetch_depth:
        return NEVER
    if max(s.ar_time, k.fetch_start) > t:
        return max(s.ar_time, k.fetch_start)
    # A burst is whole even past the program's end.
    _ask(t, s, k, ring, max(1, k.fetch_burst * 64 // k.bus), FETCH, min(k.fetch_burst, k.instructions - s.asked), 0)
    s.asked += min(k.fetch_burst, k.instructions - s.asked)
    return t + 1


@njit(cache=True)
def _dispatch(t, s, k, opcodes, dispatched):
    """One instruction to its units' queues, in program order."""
    if s.dispatched == s.arrived:
        return NEVER
    opcode = opcodes[s.dispatched]
    if opcode == 2 and s.loads - s.load >= k.queue:
        return NEVER
    if opcode == 3 and s.computes - min(s.mac, s.weight, s.drain) >= k.queue:
        return NEVER
    if opcode == 4 and s.stores - s.store >= k.queue:
        return NEVER
    ready = max(s.dispatch_time, s.arrived_time)
    if ready > t:
        return ready
    s.acted = 1
    dispatched[s.dispatched] = t
    s.dispatched += 1
    s.dispatch_time = t + k.dispatch_gap
    s.loads += opcode == 2
    s.computes += opcode == 3
    s.stores += opcode == 4
    return t + 1


@njit(cache=True)
def _load(t, s, k, ring, tokens, counts, events, loads, load_index, dispatched):
    """Waits for its tokens, then asks for its bursts one after another."""
    if not s.load_active:
        if s.load == s.loads:
            return NEVER
        row = loads[s.load]
        free = W_FREE if row.target == 1 else A_FREE
        ready = max(_available(tokens, counts, free, row.wait_free), _available(tokens, counts, STORED, row.wait_stored))
        ready = max(ready, s.load_time, dispatched[load_index[s.load]] + k.queue_latency)
        if ready > t:
            return ready
        counts[free, 1] += row.wait_free
        counts[STORED, 1] += row.wait_stored
        events[load_index[s.load]].start = t
        s.load_active, s.load_row, s.load_byte = 1, 0, 0
        s.load_time = t + k.load_start
    ready = max(s.load_time, s.ar_time)
    if s.tail - s.head >= k.outstanding:
        return NEVER
    if ready > t:
        return ready
    row = loads[s.load]
    address = row.address + s.load_row * row.pitch + s.load_byte
    size = min(row.bytes - s.load_byte, k.burst_bytes - address % k.burst_bytes, k.burst_beats * k.bus)
    s.load_byte += size
    gap = k.load_gap
    if s.load_byte == row.bytes:
        s.load_row, s.load_byte = s.load_row + 1, 0
        gap = k.load_row_gap
    done = s.load_row == row.rows
    _ask(t, s, k, ring, size // k.bus, TABLE if row.target == 2 else LOAD, s.load, done)
    s.load_time = t + gap
    if done:
        s.load += 1
        s.load_active = 0
    return s.load_time


@njit(cache=True)
def _weight(t, s, k, tokens, counts, computes, compute_index, dispatched):
    """Reads blocks, one ahead of the run that uses it, then the parameters of the group."""
    if s.weight == s.computes:
        return NEVER
    row = computes[s.weight]
    ready = s.weight_time
    if not s.weight_active:
        ready = max(ready, _available(tokens, counts, W_READY, row.weight_wait), dispatched[compute_index[s.weight]] + k.queue_latency)
    if s.block < row.blocks:
        ready = NEVER if s.blocks_taken < s.blocks_read else max(ready, s.taken_time + 1)
    elif row.last:
        ready = NEVER if s.taken_over < s.sets_read else max(ready, s.over_time)
    if ready > t:
        return ready
    s.acted = 1
    if not s.weight_active:
        counts[W_READY, 1] += row.weight_wait
        s.weight_active = 1
    if _weight_read(t, s, k, row):
        if row.weight_release:
            _give(tokens, counts, W_FREE, s.weight_time - 1 + k.token_latency)
        s.weight += 1
        s.weight_active, s.block = 0, 0
        s.weight_time += k.weight_gap
    return s.weight_time


@njit(cache=True, inline="always")
def _weight_read(t, s, k, row):
    """One block or set of parameters; whether it was the last of its COMPUTE."""
    if s.block < row.blocks:
        s.block += 1
        s.blocks_read += 1
        s.weight_time = t + row.block_words
        s.block_time = s.weight_time - 1
        return s.block == row.blocks and not row.last
    s.weight_time = t
    if row.last:
        s.sets_read += 1
        s.weight_time = t + k.parameter_words
        s.set_time = s.weight_time - 1 + k.weight_latency
    return True


@njit(cache=True)
def _mac(t, s, k, tokens, counts, events, computes, compute_index, dispatched, handed):
    """One run of a COMPUTE."""
    if s.mac == s.computes:
        return NEVER
    row = computes[s.mac]
    index = compute_index[s.mac]
    ready = s.mac_time
    if not s.mac_active:
        ready = max(ready, _available(tokens, counts, A_READY, row.activation_wait), dispatched[index] + k.queue_latency + k.mac_start)
        if not row.first:
            ready = max(ready, s.last_read + k.run_minimum)
        elif s.groups > s.drained:  # the half that this group fills must have been drained
            ready = NEVER if s.groups - s.drained > 1 else max(ready, s.drained_time)
    if row.blocks > 0:
        ready = NEVER if s.blocks_read == s.blocks_taken else max(ready, s.block_time)
    if ready > t:
        return ready
    s.acted = 1
    if not s.mac_active:
        counts[A_READY, 1] += row.activation_wait
        s.mac_active, s.run = 1, 0
        s.groups += row.first
        events[index].start = t
    if row.blocks > 0:
        s.blocks_taken += 1
        s.taken_time = t
    s.run += 1
    s.mac_busy += row.run_cycles
    s.last_read = t + row.run_cycles - 1
    s.mac_time = t + row.run_period
    if s.run == row.runs:
        s.mac_time = max(s.last_read + 1, t + k.mac_gap)
        events[index].stop = s.last_read + 1
        _mac_finish(s, k, tokens, counts, row, handed)
    return s.mac_time


@njit(cache=True, inline="always")
def _mac_finish(s, k, tokens, counts, row, handed):
    if row.activation_release:
        _give(tokens, counts, A_FREE, s.last_read + k.token_latency)
    if row.last:
        handed[s.handed % RING] = s.last_read + k.mac_latency
        s.handed += 1
    s.mac += 1
    s.mac_active = 0


@njit(cache=True)
def _drain(t, s, k, tokens, counts, events, computes, compute_index, dispatched, handed):
    """One group, a vector a cycle."""
    while s.drain < s.mac and not computes[s.drain].last:
        s.drain += 1
    if s.handed == s.taken_over or s.sets_read == s.taken_over:
        return NEVER
    row = computes[s.drain]
    index = compute_index[s.drain]
    ready = max(handed[s.taken_over % RING], s.set_time, _available(tokens, counts, O_FREE, row.output_wait)) + k.drain_start
    ready = max(ready, s.drain_time)
    if ready > t:
        return ready
    s.acted = 1
    counts[O_FREE, 1] += row.output_wait
    s.taken_over += 1
    s.over_time = t + k.parameter_free
    s.drained += 1
    last = t + row.vectors - 1
    s.drained_time = last + k.token_latency
    s.drain_time = max(last + k.drain_gap, t + k.drain_minimum)
    events[index].drain_start = t
    events[index].drain_stop = last + k.drain_latency
    if row.output_commit:
        _give(tokens, counts, O_READY, last + k.drain_latency + k.token_latency)
    s.drain += 1
    return s.drain_time


@njit(cache=True)
def _store(t, s, k, tokens, counts, events, stores, store_index, dispatched):
    """One burst after another; the data channel moves their beats."""
    if s.beats_left > 0:
        return NEVER
    if not s.store_active:
        if s.store == s.stores:
            return NEVER
        row = stores[s.store]
        ready = max(s.store_time, _available(tokens, counts, O_READY, row.wait_ready), dispatched[store_index[s.store]] + k.queue_latency)
        if ready > t:
            return ready
        counts[O_READY, 1] += row.wait_ready
        events[store_index[s.store]].start = t
        s.store_active, s.store_row, s.store_pixel, s.store_byte = 1, 0, 0, 0
        s.store_time = t + k.store_start
    s.acted = 1
    row = stores[s.store]
    if s.store_row == row.rows:
        _store_finish(s, k, tokens, counts, events, store_index, row)
        return s.store_time
    address = row.address + s.store_row * row.row_pitch + s.store_pixel * row.pixel_pitch + s.store_byte
    word = address - address % k.bus
    limit = min(word - word % k.burst_bytes + k.burst_bytes, word + k.burst_beats * k.bus)
    size = min(row.bytes - s.store_byte, limit - address)
    s.beats_left = (address + size - word + k.bus - 1) // k.bus
    if s.store_byte > 0 or s.store_row > 0 or s.store_pixel > 0:
        s.store_time += k.store_burst_gap if s.store_byte > 0 else k.store_run_gap
    s.store_byte += size
    if s.store_byte == row.bytes:
        s.store_byte = 0
        s.store_pixel += 1
        if s.store_pixel == row.pixels:
            s.store_pixel, s.store_row = 0, s.store_row + 1
    return NEVER


@njit(cache=True, inline="always")
def _store_finish(s, k, tokens, counts, events, store_index, row):
    """All beats are written: the buffer is free, and the memory acknowledges a latency later."""
    if row.signal_free:
        _give(tokens, counts, O_FREE, s.store_time + k.store_free + k.token_latency)
    stored = s.write_time + k.write_latency + k.store_done
    _give(tokens, counts, STORED, stored + k.token_latency)
    events[store_index[s.store]].stop = stored
    s.store += 1
    s.store_active = 0
    s.store_time = stored if k.store_serial else s.store_time


@njit(cache=True)
def simulate(k, s, opcodes, loads, computes, stores, load_index, compute_index, store_index):
    """The events of every instruction, and the first instruction that never ends (or -1)."""
    number = len(opcodes)
    events = np.zeros(number, EVENTS)
    dispatched = np.full(number, NEVER, np.int64)
    tokens = np.zeros((7, number + 1), np.int64)
    counts = np.zeros((7, 2), np.int64)
    ring = np.zeros((RING, 5), np.int64)
    handed = np.zeros(RING, np.int64)
    t = 0
    while True:
        s.acted = 0
        wake = _memory(t, s, k, ring, tokens, counts, events, loads, load_index)
        wake = min(wake, _store(t, s, k, tokens, counts, events, stores, store_index, dispatched))
        wake = min(wake, _drain(t, s, k, tokens, counts, events, computes, compute_index, dispatched, handed))
        wake = min(wake, _mac(t, s, k, tokens, counts, events, computes, compute_index, dispatched, handed))
        wake = min(wake, _weight(t, s, k, tokens, counts, computes, compute_index, dispatched))
        wake = min(wake, _fetch(t, s, k, ring))
        wake = min(wake, _load(t, s, k, ring, tokens, counts, events, loads, load_index, dispatched))
        wake = min(wake, _dispatch(t, s, k, opcodes, dispatched))
        if s.acted:
            t += 1
        elif wake < NEVER:
            t = max(t + 1, wake)
        else:
            break
    finished = s.load == len(loads) and s.weight == len(computes) and s.taken_over == s.handed and s.store == len(stores)
    return events, dispatched, t, finished
