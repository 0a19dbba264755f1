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
END = 1  # the opcode that waits for all units


def _integers(*names: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in names])


LOADS = _integers("wait_free", "wait_stored", "signal_ready", "target", "address", "pitch", "rows", "bytes")
COMPUTES = _integers(
    "weight_wait", "weight_release", "activation_wait", "activation_release", "output_wait", "output_commit",
    "first", "last", "blocks", "block_words", "runs", "run_cycles", "run_spacing", "vectors",
)  # fmt: skip
STORES = _integers("wait_ready", "signal_free", "address", "row_pitch", "pixel_pitch", "rows", "pixels", "bytes")
# Of an instruction; `credit` is what the memory charged for the beats that it moved, and for reading it.
EVENTS = _integers("start", "stop", "drain_start", "drain_stop", "credit")
# A burst on its way, read or written: a cycle, its beats, whose it is, whether it is its instruction's last, and the next beat's position in the
# stretch that it belongs to: it goes on where the burst of data before it in the same direction ended, or begins a new one. Instructions are none of
# the data: each of their bursts is a stretch of its own and ends no other, so that what a beat costs does not hang on which of two comes first.
BURST = _integers("time", "beats", "client", "number", "last", "position")

CONSTANTS = _integers(
    "bus", "burst_bytes", "credit_gain", "credit_cost", "credit_cap", "read_latency", "write_latency",
    "outstanding_reads", "outstanding_writes", "queue", "queue_latency",
    "instructions", "instruction_beats", "beat_instructions", "fetch_beats", "fetch_bursts", "fetch_start", "fetch_latency", "dispatch_rest",
    "load_rest", "load_request", "load_ready", "table_cycles",
    "weight_start", "weight_free", "weight_latency", "parameter_words", "parameter_free",
    "mac_start", "mac_grant", "mac_gap", "run_period", "run_minimum", "mac_latency", "activation_free",
    "drain_walk", "drain_minimum", "drain_done", "half_free", "output_ready",
    "cut_period", "store_request", "store_issue", "store_show", "store_queue", "output_free", "stored",
)  # fmt: skip

STATE = _integers(
    "acted", "credit", "credit_time", "turn", "head", "tail", "read_time", "read_beats", "write_beats",
    "read_end", "read_position", "write_end", "write_position",
    "asked", "fetch_time", "arrived", "dispatched", "dispatch_time", "loads", "computes", "stores",
    "load", "load_active", "load_row", "load_time",
    "waiting", "waiting_time", "waiting_address", "waiting_bytes", "waiting_number", "waiting_last",
    "cutting", "cutting_time", "cutting_address", "cutting_bytes", "cutting_number", "cutting_last",
    "weight", "weight_active", "block", "weight_time", "blocks_read", "block_time", "blocks_taken", "taken_time", "sets_read", "set_time",
    "mac", "mac_active", "run", "front", "mac_time", "last_read", "mac_busy", "groups", "handed",
    "drain", "drain_time", "drained", "drained_time", "taken_over", "over_time",
    "store", "store_active", "store_row", "store_pixel", "store_byte", "store_time", "store_rest", "write_head", "write_tail", "acknowledged",
    "beat_issue", "beat_show", "beat_number", "stored_number",
)  # fmt: skip


@njit(cache=True)
def _give(tokens, counts, kind, time):
    tokens[kind, counts[kind, 0]] = time
    counts[kind, 0] += 1


@njit(cache=True)
def _available(tokens, counts, kind, number):
    """The cycle from which `number` tokens can be taken at once."""
    if number == 0:
        return 0
    last = counts[kind, 1] + number - 1
    return tokens[kind, last] if last < counts[kind, 0] else NEVER


@njit(cache=True)
def _charge(s, tiers, burst):
    """Takes the credit of a burst's next beat and returns it."""
    number = 0
    while tiers[number, 0] <= burst.position:
        number += 1
    s.credit -= tiers[number, 1]
    return tiers[number, 1]


@njit(cache=True)
def _memory(t, s, k, tiers, reads, writes, shown, acks, tokens, counts, events, loads, load_index, stores, store_index, arrival):
    """The data channels: what tools/harness/memory.h does in a cycle. Returns the next cycle in which a beat can move."""
    s.credit = min(k.credit_cap, s.credit + k.credit_gain * (t - s.credit_time))
    s.credit_time = t
    write = s.write_head < s.write_tail and s.beat_show <= t
    read = s.head < s.tail and max(reads[s.head % RING].time, s.read_time) <= t
    wrote = False
    if write and s.credit >= k.credit_cost and not (read and s.turn == 1 and s.credit < 2 * k.credit_cost):
        wrote = True
        _write_beat(t, s, k, tiers, writes, shown, acks, tokens, counts, events, stores, store_index)
    if read and s.credit >= k.credit_cost:
        _read_beat(t, s, k, tiers, reads, tokens, counts, events, loads, load_index, arrival)
    if write and not wrote and s.credit >= k.credit_cost:
        _write_beat(t, s, k, tiers, writes, shown, acks, tokens, counts, events, stores, store_index)
    wake = NEVER
    if s.head < s.tail:
        wake = max(reads[s.head % RING].time, s.read_time)
    if s.write_head < s.write_tail:
        wake = min(wake, s.beat_show)
    if wake == NEVER:
        return NEVER
    return max(wake, t + 1, t + -((s.credit - k.credit_cost) // k.credit_gain))


@njit(cache=True)
def _read_beat(t, s, k, tiers, reads, tokens, counts, events, loads, load_index, arrival):
    burst = reads[s.head % RING]
    charged = _charge(s, tiers, burst)
    s.turn = 0
    s.read_beats += 1
    s.read_time = t + (k.table_cycles if burst.client == TABLE else 1)
    burst.beats -= 1
    burst.position += k.bus
    if burst.client == FETCH:
        number = s.arrived * k.beat_instructions // k.instruction_beats
        if number < k.instructions:
            events[number].credit += charged
        s.arrived += 1
        number = s.arrived * k.beat_instructions // k.instruction_beats
        if s.arrived % k.instruction_beats == 0:
            for i in range(max(0, number - k.beat_instructions), min(number, k.instructions)):
                arrival[i] = t + k.fetch_latency
            s.acted = 1
    else:
        events[load_index[burst.number]].credit += charged
    if burst.beats == 0:
        s.acted = 1
        s.head += 1
        if burst.client != FETCH and burst.last:
            events[load_index[burst.number]].stop = t + 1
            if loads[burst.number].signal_ready:
                _give(tokens, counts, W_READY if loads[burst.number].target == 1 else A_READY, t + k.load_ready)


@njit(cache=True)
def _write_beat(t, s, k, tiers, writes, shown, acks, tokens, counts, events, stores, store_index):
    """A beat leaves; the next one was read from the buffer as soon as its burst's address was accepted and the queue of beats had room."""
    burst = writes[s.write_head % RING]
    events[store_index[burst.number]].credit += _charge(s, tiers, burst)
    s.turn = 1
    s.write_beats += 1
    shown[s.beat_number % RING] = t
    s.beat_number += 1
    burst.beats -= 1
    burst.position += k.bus
    if burst.beats == 0:
        s.acted = 1
        acks[s.write_head % RING] = t + k.write_latency
        s.write_head += 1
        if burst.last:
            _give(tokens, counts, STORED, t + k.write_latency + k.stored)
            events[store_index[burst.number]].stop = t + k.write_latency
        if s.write_head < s.write_tail:
            ready = writes[s.write_head % RING].time + k.store_issue
            _next_beat(t, s, k, writes, shown, tokens, counts, stores, ready)
    else:
        _next_beat(t, s, k, writes, shown, tokens, counts, stores, 0)


@njit(cache=True)
def _next_beat(t, s, k, writes, shown, tokens, counts, stores, ready):
    """When the next beat is read from the output buffer, and when it is shown to the memory."""
    burst = writes[s.write_head % RING]
    s.beat_issue = max(s.beat_issue + 1, ready)
    if s.beat_number >= k.store_queue:
        s.beat_issue = max(s.beat_issue, shown[(s.beat_number - k.store_queue) % RING] + 1)
    s.beat_show = max(s.beat_issue + k.store_show, t + 1)
    if burst.beats == 1 and burst.last and stores[burst.number].signal_free:
        s.acted = 1
        _give(tokens, counts, O_FREE, s.beat_issue + k.output_free)


@njit(cache=True)
def _ask(t, s, k, reads, address, beats, client, number, last):
    """A burst is chosen in cycle `t`; its address is accepted two cycles later."""
    s.acted = 1
    burst = reads[s.tail % RING]
    burst.time = t + k.load_request + k.read_latency
    burst.beats = beats
    burst.client = client
    burst.number = number
    burst.last = last
    burst.position = 0
    if client != FETCH:
        burst.position = s.read_position if address == s.read_end else 0
        s.read_end, s.read_position = address + beats * k.bus, burst.position + beats * k.bus
    s.tail += 1


@njit(cache=True)
def _request(t, s, k, reads, arrival, dispatched):
    """One read burst a cycle: fetch goes first, then the load whose turn it is. Returns the next cycle in which there may be one."""
    room = s.tail - s.head < k.outstanding_reads
    fetch = _fetch_ready(t, s, k, arrival, dispatched)
    if fetch <= t and room:
        _ask(t, s, k, reads, 0, k.fetch_beats, FETCH, 0, 0)
        s.asked += 1
        s.fetch_time = t + 2
    elif s.cutting and s.cutting_time <= t and room:
        size = min(s.cutting_bytes, k.burst_bytes - s.cutting_address % k.burst_bytes)
        done = size == s.cutting_bytes
        _ask(t, s, k, reads, s.cutting_address, size // k.bus, s.cutting, s.cutting_number, done and s.cutting_last)
        s.cutting_address += size
        s.cutting_bytes -= size
        s.cutting_time = t + 1
        if done:
            s.cutting = 0
    if not s.cutting and s.waiting and s.waiting_time < t:
        s.acted = 1
        s.cutting, s.cutting_time = s.waiting, t + 1
        s.cutting_address, s.cutting_bytes = s.waiting_address, s.waiting_bytes
        s.cutting_number, s.cutting_last = s.waiting_number, s.waiting_last
        s.waiting = 0
        s.load_time = max(s.load_time, t + 1)
    if not room:
        return NEVER
    return min(fetch, max(t + 1, s.cutting_time) if s.cutting else NEVER)


@njit(cache=True)
def _fetch_ready(t, s, k, arrival, dispatched):
    """The cycle from which fetch asks for its next burst: when a burst's worth of its queue has been taken. It does not know where the program
    ends."""
    per_burst = k.fetch_beats * k.beat_instructions // k.instruction_beats
    if s.asked < k.fetch_bursts:
        return max(s.fetch_time, k.fetch_start)
    last = (s.asked - k.fetch_bursts + 1) * per_burst - 1
    if last > s.dispatched:  # its instruction has not yet been assembled
        return NEVER
    return max(s.fetch_time, max(arrival[last], dispatched[last - 1] + k.instruction_beats if last else 0) + 1)


@njit(cache=True)
def _dispatch(t, s, k, opcodes, arrival, dispatched):
    """One instruction to its units' queues, in program order."""
    if s.dispatched == k.instructions:
        return NEVER
    opcode = opcodes[s.dispatched]
    if opcode == END:
        return NEVER
    if opcode == 2 and s.loads - s.load > k.queue:
        return NEVER
    if opcode == 3 and s.computes - min(s.mac, s.weight, s.drain - (s.drain_time > t)) > k.queue:
        return s.drain_time if s.drain_time > t else NEVER
    if opcode == 4 and s.stores - s.store > k.queue:
        return NEVER
    ready = max(s.dispatch_time, arrival[s.dispatched])
    if ready > t:
        return ready
    s.acted = 1
    dispatched[s.dispatched] = t
    s.dispatched += 1
    s.dispatch_time = t + k.instruction_beats + k.dispatch_rest
    s.loads += opcode == 2
    s.computes += opcode == 3
    s.stores += opcode == 4
    return t + 1


@njit(cache=True)
def _load(t, s, k, tokens, counts, events, loads, load_index, dispatched):
    """Waits for an instruction's tokens, then gives its rows to be cut into bursts."""
    if not s.load_active:
        if s.load == s.loads:
            return NEVER
        row = loads[s.load]
        free = W_FREE if row.target == 1 else A_FREE
        ready = max(_available(tokens, counts, free, row.wait_free), _available(tokens, counts, STORED, row.wait_stored))
        ready = max(ready, s.load_time, dispatched[load_index[s.load]] + k.queue_latency + 1)
        if ready > t:
            return ready
        s.acted = 1
        counts[free, 1] += row.wait_free
        counts[STORED, 1] += row.wait_stored
        events[load_index[s.load]].start = t
        s.load_active, s.load_row, s.load_time = 1, 0, t + 1
        return t + 1
    if s.load_time > t:
        return s.load_time
    if s.waiting:
        return NEVER
    row = loads[s.load]
    s.acted = 1
    s.waiting, s.waiting_time = TABLE if row.target == 2 else LOAD, t
    s.waiting_address, s.waiting_bytes = row.address + s.load_row * row.pitch, row.bytes
    s.load_row += 1
    s.waiting_number, s.waiting_last = s.load, s.load_row == row.rows
    s.load_time = t + 1
    if s.load_row == row.rows:
        s.load += 1
        s.load_active, s.load_time = 0, t + k.load_rest
    return s.load_time


@njit(cache=True)
def _weight(t, s, k, tokens, counts, computes, compute_index, dispatched):
    """Reads blocks, one ahead of the run that uses it, then the parameters of the group."""
    if s.weight == s.computes:
        return NEVER
    row = computes[s.weight]
    if not s.weight_active:
        ready = max(
            s.weight_time, _available(tokens, counts, W_READY, row.weight_wait), dispatched[compute_index[s.weight]] + k.queue_latency
        )
        if ready > t:
            return ready
        s.acted = 1
        counts[W_READY, 1] += row.weight_wait
        s.weight_active, s.block, s.weight_time = 1, 0, t + k.weight_start
        if row.blocks == 0 and not row.last:
            s.weight += 1
            s.weight_active = 0
        return s.weight_time
    if s.block < row.blocks:
        ready = NEVER if s.blocks_taken < s.blocks_read else max(s.weight_time, s.taken_time + 1)
    else:
        ready = NEVER if s.taken_over < s.sets_read else max(s.weight_time, s.over_time)
    if ready > t:
        return ready
    s.acted = 1
    if _weight_read(t, s, k, row):
        if row.weight_release:
            _give(tokens, counts, W_FREE, s.weight_time - 1 + k.weight_free)
        s.weight += 1
        s.weight_active = 0
    return s.weight_time


@njit(cache=True)
def _weight_read(t, s, k, row):
    """One block or set of parameters; whether it was the last of its COMPUTE."""
    if s.block < row.blocks:
        s.block += 1
        s.blocks_read += 1
        s.weight_time = t + row.block_words
        s.block_time = s.weight_time - 1
        return s.block == row.blocks and not row.last
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
    if not s.mac_active:
        s.front = max(s.front, dispatched[index] + k.queue_latency + k.mac_start)
    ready = max(s.front, s.mac_time) - k.mac_grant
    if not s.mac_active:
        ready = max(ready, _available(tokens, counts, A_READY, row.activation_wait))
        if not row.first:
            if row.run_spacing:
                ready = max(ready, s.last_read + k.run_minimum - k.mac_grant)
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
        events[index].start = t + k.mac_grant
    if row.blocks > 0:
        s.blocks_taken += 1
        s.taken_time = t
    s.run += 1
    s.mac_busy += row.run_cycles
    s.last_read = t + k.mac_grant + row.run_cycles - 1
    s.mac_time = t + k.mac_grant + row.run_spacing
    s.front = max(s.last_read + 1, s.front + (k.run_period if s.run < row.runs else k.mac_gap))
    if s.run == row.runs:
        s.mac_time = 0
        events[index].stop = s.last_read
        if row.activation_release:
            _give(tokens, counts, A_FREE, s.last_read + k.activation_free)
        if row.last:
            handed[s.handed % RING] = s.last_read + k.mac_latency
            s.handed += 1
        s.mac += 1
        s.mac_active = 0
    return max(t + 1, max(s.mac_time, s.front) - k.mac_grant)


@njit(cache=True)
def _drain(t, s, k, tokens, counts, events, computes, compute_index, handed):
    """One group, a vector a cycle."""
    while s.drain < s.computes and s.drain_time <= t and not computes[s.drain].last:
        s.drain += 1
    if s.handed == s.taken_over or s.sets_read == s.taken_over:
        return NEVER
    row = computes[s.drain]
    index = compute_index[s.drain]
    ready = max(handed[s.taken_over % RING], s.set_time, _available(tokens, counts, O_FREE, row.output_wait), s.drain_time)
    if ready > t:
        return ready
    s.acted = 1
    counts[O_FREE, 1] += row.output_wait
    s.taken_over += 1
    s.over_time = t + k.parameter_free
    s.drained += 1
    last = t + k.drain_walk + row.vectors - 1
    s.drained_time = last + k.half_free
    s.drain_time = max(last + 1, t + k.drain_minimum)
    events[index].drain_start = t
    events[index].drain_stop = last + k.drain_done
    if row.output_commit:
        _give(tokens, counts, O_READY, last + k.output_ready)
    s.drain += 1
    return s.drain_time


@njit(cache=True)
def _store(t, s, k, writes, shown, acks, tokens, counts, events, stores, store_index, dispatched):
    """Waits for an instruction's token, then sends the addresses of its bursts ahead of their beats."""
    if not s.store_active:
        if s.store == s.stores:
            return NEVER
        row = stores[s.store]
        ready = max(s.store_rest, _available(tokens, counts, O_READY, row.wait_ready), dispatched[store_index[s.store]] + k.queue_latency)
        if ready > t:
            return ready
        s.acted = 1
        counts[O_READY, 1] += row.wait_ready
        events[store_index[s.store]].start = t
        s.store_active, s.store_row, s.store_pixel, s.store_byte = 1, 0, 0, 0
        s.store_time = max(s.store_time, t + 1)
    ready = s.store_time
    if s.write_tail >= k.outstanding_writes:
        before = s.write_tail - k.outstanding_writes
        ready = NEVER if before >= s.write_head else max(ready, acks[before % RING] + 2 - k.store_request)
    if ready > t:
        return ready
    s.acted = 1
    row = stores[s.store]
    address = row.address + s.store_row * row.row_pitch + s.store_pixel * row.pixel_pitch + s.store_byte
    word = address - address % k.bus
    size = min(row.bytes - s.store_byte, word - word % k.burst_bytes + k.burst_bytes - address)
    burst = writes[s.write_tail % RING]
    burst.time = t + k.store_request
    burst.beats = (address + size - word + k.bus - 1) // k.bus
    burst.number = s.store
    burst.position = s.write_position if word == s.write_end else 0
    s.write_end, s.write_position = word + burst.beats * k.bus, burst.position + burst.beats * k.bus
    s.store_byte += size
    if s.store_byte == row.bytes:
        s.store_byte = 0
        s.store_pixel += 1
        if s.store_pixel == row.pixels:
            s.store_pixel, s.store_row = 0, s.store_row + 1
    burst.last = s.store_row == row.rows
    s.write_tail += 1
    if s.write_tail == s.write_head + 1:
        _next_beat(t, s, k, writes, shown, tokens, counts, stores, burst.time + k.store_issue)
    s.store_time = t + (1 if s.store_byte else k.cut_period)
    if burst.last:
        s.store += 1
        s.store_active, s.store_rest = 0, t + 2
    return t + 1


@njit(cache=True, nogil=True)
def _simulate(k, s, tiers, opcodes, loads, computes, stores, load_index, compute_index, store_index):
    """(events of every instruction, the cycle of its dispatch, the last cycle, whether all instructions ended)."""
    number = len(opcodes)
    events = np.zeros(number, EVENTS)
    dispatched, arrival = np.full(number, NEVER, np.int64), np.full(number, NEVER, np.int64)
    tokens, counts = np.zeros((7, number + 1), np.int64), np.zeros((7, 2), np.int64)
    reads, writes = np.zeros(RING, BURST), np.zeros(RING, BURST)
    handed, shown, acks = np.zeros(RING, np.int64), np.zeros(RING, np.int64), np.zeros(RING, np.int64)
    t = 0
    s.credit_time = -1
    while True:
        s.acted = 0
        wake = _store(t, s, k, writes, shown, acks, tokens, counts, events, stores, store_index, dispatched)
        wake = min(wake, _drain(t, s, k, tokens, counts, events, computes, compute_index, handed))
        wake = min(wake, _weight(t, s, k, tokens, counts, computes, compute_index, dispatched))
        wake = min(wake, _mac(t, s, k, tokens, counts, events, computes, compute_index, dispatched, handed))
        wake = min(wake, _request(t, s, k, reads, arrival, dispatched))
        wake = min(wake, _load(t, s, k, tokens, counts, events, loads, load_index, dispatched))
        wake = min(wake, _dispatch(t, s, k, opcodes, arrival, dispatched))
        wake = min(
            wake,
            _memory(t, s, k, tiers, reads, writes, shown, acks, tokens, counts, events, loads, load_index, stores, store_index, arrival),
        )
        if s.acted:
            t += 1
        elif wake < NEVER:
            t = max(t + 1, wake)
        else:
            break
    finished = s.load == len(loads) and s.weight == len(computes) and s.taken_over == s.handed and s.store == len(stores)
    return events, dispatched, t, finished and s.write_head == s.write_tail


simulate: Any = _simulate  # numba's own type says nothing of its arguments
