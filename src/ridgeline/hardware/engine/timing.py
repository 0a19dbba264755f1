"""The clock cycles of the emitted engine, by design: the emitted Verilog is built from these functions and the cost model reads them.

The vocabulary is docs/engine.md's. "Issue" is the cycle in which a unit's front sends a read on its way; what follows is a pipeline that
never stalls, so that every unit lasts as long as its front issues, and the rest is latency.

*MAC unit.* A COMPUTE's first run can issue `MAC_START` cycles after the instruction has come to the head of the queue. A run of P =
y_count * x_count reads issues one a cycle. The next run's first read follows the last one's without a gap, unless one of these holds it
back: (a) its weight block: see below; (b) it adds to accumulators in memory (neither the run overwrites, nor `hold`, nor `in_place`): then
it issues at least `RUN_MINIMUM` cycles after the previous run's first read, and the first run of a COMPUTE without `first` at least
`RUN_MINIMUM` cycles after the last read before it; (c) the first run of a COMPUTE waits for its tokens and issues `MAC_GRANT` cycles after
they can be taken; (d) `RUN_PERIOD` cycles pass at least between the cycles in which runs come to the front, where a run waits for (a), (b)
and (c): it comes there in the cycle after the last read of the one before. The next COMPUTE's first run comes there `MAC_GAP` cycles after
this one's last run at the earliest: only a COMPUTE whose last run lasts less sees a gap. Once its last read is issued,
`accumulate_latency` cycles pass before the drain unit may start.

*Weight unit.* A block of W words is read at one word a cycle. The first word of block i + 1 is issued at the earliest in the cycle in
which run i (the one that uses block i) issues its first read; run i + 1 issues its first read at the earliest `MAC_GRANT` cycles after its
block's last word. So runs shorter than W cycles last W cycles each. A COMPUTE's first word is issued `WEIGHT_GAP` cycles after the last
word of the one before at the earliest. The parameters' words follow the blocks (one a cycle), from `PARAMETER_FREE` cycles after the start
of the drain before on; they can be used `weight_latency` cycles after the issue of the last one.

*Drain unit.* Starts in the cycle in which it can take its tokens, the half and the parameters; reads one vector a cycle from `DRAIN_START`
cycles later on; the next one starts `DRAIN_GAP` cycles after the last read and `DRAIN_MINIMUM` cycles after this one's start at the
earliest. A vector is in the output buffer `DRAIN_LATENCY` cycles after its read, and the token is given in the same cycle.

*Load and store units.* A burst a cycle; a row of a LOAD or a run of a STORE is handed to the cutter every `CUT_PERIOD` cycles at most.
"""

from __future__ import annotations

from ridgeline.hardware.engine.engine import Engine

QUEUE_DEPTH = 16  # instructions waiting in each unit's queue, the one in work not counted
QUEUE_LATENCY = 2  # cycles from dispatch to the head of an empty queue

# Fetch: bursts of FETCH_BURST_BYTES, FETCH_BURSTS of them in flight or waiting to be dispatched; they go before loads.
FETCH_BURST_BYTES = 256
FETCH_BURSTS = 4
FETCH_START = 4  # cycles from `start` to the choice of the first burst: all units are reset in between
DISPATCH_REST = 2  # cycles in which an instruction is looked at and chosen a queue for, while the next one's beats wait

OUTSTANDING_WRITES = 16  # bursts
WRITE_QUEUE = 16  # beats between the output buffer and the port

CUT_PERIOD = 2  # cycles from a row of a LOAD, or a run of a STORE, to the next one

RUN_MINIMUM = 4  # cycles from an accumulator's read to the next
MAC_START = 2
MAC_GRANT = 1  # cycles from the decision that a run may begin, from its block and tokens, to its first read
RUN_PERIOD = 2  # cycles from a run's first read to the next one's, at least
MAC_GAP = 3
WEIGHT_GAP = 2
PARAMETER_FREE = 1
DRAIN_START = 1
DRAIN_GAP = 1
DRAIN_MINIMUM = 15
DRAIN_LATENCY = 14

SEQUENCE_STAGES = 1  # from issue to the calculation of its address
ADDRESS_STAGES = 3  # from there to the address at the activation buffer's memories
READ_STAGES = 2  # the memory and the register after it
LEVELS_A_STAGE = 2  # of multiplexers or adders between two registers

# Cycles from an event in one unit to what it makes possible elsewhere.
CROSSINGS = {
    "fetch_latency": 6,  # an instruction's last beat -> it can be dispatched
    "load_request": 2,  # a burst is chosen -> its address is accepted
    "load_ready": 2,  # the last beat -> its token can be taken
    "load_rest": 3,  # a LOAD's last row is handed on -> the next one can start
    "weight_start": 1,  # a COMPUTE is taken -> its first word
    "activation_free": 5,  # the last read -> its token can be taken
    "half_free": 1,  # the last vector is read -> the MAC unit may write over it
    "store_request": 5,  # a run -> the address of its first burst is accepted
    "store_issue": 3,  # an address is accepted -> its first beat is read from the buffer
    "output_free": 4,  # the last beat is read from the buffer -> its token can be taken
    "stored": 2,  # acknowledged -> the token can be taken
}


def log2(value: int) -> int:
    """Of a power of two."""
    return value.bit_length() - 1


def activation_banks(engine: Engine) -> int:
    """Memories of one vector each, of which two neighbours are read at a time."""
    return max(2, engine.bus_bytes // engine.vector_bytes)


def output_banks(engine: Engine) -> int:
    return max(1, engine.bus_bytes // engine.lanes_out)


def rotate_stages(engine: Engine) -> int:
    """Registers of the rotator that moves the wanted bytes of all banks to the front."""
    return -(-log2(activation_banks(engine) * engine.vector_bytes) // LEVELS_A_STAGE)


def store_rotate_stages(engine: Engine) -> int:
    return max(1, -(-log2(output_banks(engine)) // LEVELS_A_STAGE))


def tree_levels(engine: Engine) -> tuple[int, ...]:
    """Levels of a lane's adder tree before each of its registers: one after the multipliers, which lie far away, then LEVELS_A_STAGE."""
    rest = log2(engine.lanes_in) - 1
    return 1, *(min(LEVELS_A_STAGE, rest - done) for done in range(0, rest, LEVELS_A_STAGE))


def window_stage(engine: Engine) -> int:
    """Cycles from issue to the window; a cycle later the weights are swapped."""
    return SEQUENCE_STAGES + ADDRESS_STAGES + READ_STAGES + rotate_stages(engine) + 2


def value_stage(engine: Engine) -> int:
    """Cycles from issue to the value that is accumulated."""
    return window_stage(engine) + 3 + len(tree_levels(engine)) + 1


def weight_lead(engine: Engine) -> int:
    """Cycles that a weight word is read from its memory before an engine of dense int8 would: one to decode it, or two as a weight's place in its
    bank chooses the datum before the weight meets it."""
    return 2 if engine.bank else int(engine.packs)


def accumulate_latency(engine: Engine) -> int:
    """Cycles from issue to the accumulator in its memory."""
    return value_stage(engine) + 2


def weight_latency(engine: Engine) -> int:
    """Cycles from a weight word's issue to its registers: just in time for a vector issued `MAC_GRANT` cycles later."""
    return window_stage(engine) + 1 + MAC_GRANT
