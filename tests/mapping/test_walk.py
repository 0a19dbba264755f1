"""The walk over single multiplications against counts made by hand."""

from dataclasses import replace

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.hardware.chip import TENSORS, Chip, Level, Mac, Tensor, Widths
from ridgeline.mapping.access import Access, Counts
from ridgeline.mapping.loops import TIMELOOP, Conventions, Loop, LoopMapping, check
from ridgeline.mapping.walk import walk

PRODUCT = "y c, c m -> y m"
LINE = "(x*t+q*e), q -> x"
PLAIN = Conventions()


def _level(name: str, *serves: str, keeps: tuple[Tensor, ...] = TENSORS) -> Level:
    return Level(name=name, keeps=keeps, serves=serves, read_pj_per_bit=1.0, write_pj_per_bit=1.0, source="made up")


def _chip(*levels: Level) -> Chip:
    return Chip(
        name="small",
        description="a row of four multipliers",
        clock_mhz=1000,
        node_nm=45,
        array={"row": 4},
        mac=Mac(pj=1.0, source="made up"),
        widths=Widths(input=8, weight=8, output=8, partial=32),
        levels=(_level("dram", "row"), *levels),
        source="made up",
    )


BUFFERED = _chip(_level("buffer", "row"))
REGISTERS = _chip(_level("register"))


def _walk(nest: Nest, chip: Chip, loops: str, conventions: Conventions = PLAIN, **inner: dict[str, int]) -> Counts:
    """`loops` as 'y 2, c 4 @row', outermost first; `inner` gives positions in the levels below DRAM."""
    made: list[Loop] = []
    for text in loops.split(", "):
        axis, size, *array = text.replace("@", "").split()
        made.append(Loop(axis=axis, size=int(size), array=array[0] if array else None))
    mapping = LoopMapping(loops=tuple(made), positions={tensor: {"dram": 0, **inner.get(tensor, {})} for tensor in TENSORS})
    check(mapping, nest, chip)
    return walk(mapping, nest, chip, conventions)


def _line(x: int, q: int, *, stride: int = 1, dilation: int = 1) -> Nest:
    return parse(LINE, axes={"x": x, "q": q}, factors={"t": stride, "e": dilation}, multiplies=True)


def _product(y: int, m: int, c: int) -> Nest:
    return parse(PRODUCT, axes={"y": y, "m": m, "c": c}, multiplies=True)


def test_product_on_two_levels() -> None:
    """The input's tile stays while m moves, the weight's is fetched again for each y, and the output leaves complete."""
    at = {"buffer": 2}
    found = _walk(_product(4, 6, 8), BUFFERED, "y 2, m 2, y 2, m 3, c 8", input=at, weight=at, output=at)
    assert found.steps == 192
    assert found.accesses == {
        ("dram", "input"): Access(reads=2 * 16),
        ("buffer", "input"): Access(writes=2 * 16, reads=192),
        ("dram", "weight"): Access(reads=4 * 24),
        ("buffer", "weight"): Access(writes=4 * 24, reads=192),
        ("dram", "output"): Access(writes=24),
        ("buffer", "output"): Access(reads=24, partial_writes=192, partial_reads=192 - 24),
    }


def test_bypassed_level_and_multipliers_that_use_dram() -> None:
    found = _walk(_product(4, 6, 8), BUFFERED, "y 4, m 6, c 8", input={"buffer": 1}).accesses
    assert found["dram", "weight"] == Access(reads=192)
    assert found["dram", "output"] == Access(partial_writes=192, partial_reads=192 - 24)
    assert found["buffer", "input"] == Access(writes=32, reads=192)
    assert ("buffer", "weight") not in found


def test_latched_operands() -> None:
    """A weight that stays at the multiplier while y moves; sums that stay there while c moves."""
    latched = replace(PLAIN, latch=True)
    found = _walk(_product(4, 6, 8), BUFFERED, "m 6, c 8, y 4", latched).accesses
    assert found["dram", "weight"] == Access(reads=48)
    assert found["dram", "input"] == Access(reads=192)
    assert found["dram", "output"] == Access(writes=24, partial_writes=7 * 24, partial_reads=7 * 24)
    found = _walk(_product(4, 6, 8), BUFFERED, "y 4, m 6, c 8", latched).accesses
    assert found["dram", "output"] == Access(writes=24)


def test_partial_sums_that_come_back() -> None:
    """c is cut outside of the buffer, so that each output visits it twice; the first time it starts from nothing."""
    found = _walk(_product(4, 6, 8), BUFFERED, "c 2, y 4, m 6, c 4", output={"buffer": 3}).accesses
    assert found["dram", "output"] == Access(writes=24, partial_writes=24, partial_reads=24)
    assert found["buffer", "output"] == Access(reads=24, partial_reads=24 + 192 - 24, partial_writes=24 + 192)
    found = _walk(_product(4, 6, 8), BUFFERED, "c 2, y 4, m 6, c 4", TIMELOOP, output={"buffer": 3}).accesses
    assert found["buffer", "output"] == Access(partial_reads=192 - 24, partial_writes=24 + 192)


def test_last_sums_where_an_axis_runs_out() -> None:
    """c of 5 as 2 x 3: the same visits, and no multiplication beyond the end."""
    found = _walk(_product(2, 2, 5), BUFFERED, "c 2, y 2, m 2, c 3", output={"buffer": 3})
    assert found.steps == 20
    assert found.accesses["dram", "output"] == Access(writes=4, partial_writes=4, partial_reads=4)


def _sliding(nest: Nest, conventions: Conventions) -> int:
    found = _walk(nest, BUFFERED, f"x {nest.axes['x']}, q {nest.axes['q']}", conventions, input={"buffer": 1}).accesses
    assert found["dram", "input"].reads == found["buffer", "input"].writes
    return found["buffer", "input"].writes


def test_sliding_window() -> None:
    fixed, boxes, fixed_boxes = replace(PLAIN, slide=False), replace(PLAIN, boxes=True), replace(PLAIN, slide=False, boxes=True)
    assert _sliding(_line(8, 3), PLAIN) == 3 + 7
    assert _sliding(_line(8, 3), fixed) == 8 * 3
    assert _sliding(_line(8, 3, stride=2), PLAIN) == 3 + 7 * 2
    assert _sliding(_line(8, 3, stride=4), PLAIN) == _sliding(_line(8, 3, stride=4), boxes) == 8 * 3
    assert _sliding(_line(8, 3, dilation=2), PLAIN) == 8 * 3
    assert _sliding(_line(8, 3, dilation=2), boxes) == 5 + 7
    assert _sliding(_line(8, 3, dilation=2), fixed_boxes) == 8 * 5
    assert _sliding(_line(8, 3, stride=2, dilation=2), PLAIN) == 3 + 7
    assert _sliding(_line(8, 3, stride=2, dilation=2), boxes) == 5 + 7 * 2


def test_tiles_that_slide() -> None:
    """x of 8 as 3 x 3 outputs, the last two only: windows of 5, 5 and 4 elements, two of which are old; and all again for another m outside."""
    nest = parse("(x+q), q m -> m x", axes={"m": 2, "x": 8, "q": 3}, multiplies=True)
    assert _walk(nest, BUFFERED, "x 3, x 3, q 3, m 2", input={"buffer": 1}).accesses["buffer", "input"].writes == 5 + 3 + 2
    assert _walk(nest, BUFFERED, "m 2, x 3, x 3, q 3", input={"buffer": 2}).accesses["buffer", "input"].writes == 2 * (5 + 3 + 2)


def test_a_slide_around_the_corner() -> None:
    """From the last of x's inner steps to the first of the next outer one is a step to the neighbour, unless m moves in between."""
    nest = parse("(x+q), q m -> m x", axes={"m": 2, "x": 8, "q": 3}, multiplies=True)
    assert _walk(nest, BUFFERED, "x 2, x 4, q 3, m 2", input={"buffer": 2}).accesses["buffer", "input"].writes == 3 + 7
    between = _walk(nest, BUFFERED, "x 2, m 2, x 4, q 3", input={"buffer": 3}).accesses["buffer", "input"]
    assert between.writes == (3 + 3) + (3 + 3) + (1 + 3) + (3 + 3)


def test_no_slide_across_another_axis() -> None:
    """The window moves along x inside of c: at each new c it is fetched whole."""
    nest = parse("c (x+q), c q -> x", axes={"c": 2, "x": 4, "q": 3}, multiplies=True)
    assert _walk(nest, BUFFERED, "c 2, x 4, q 3", input={"buffer": 2}).accesses["buffer", "input"].writes == 2 * (3 + 3)
    assert _walk(nest, BUFFERED, "x 4, c 2, q 3", input={"buffer": 2}).accesses["buffer", "input"].writes == 8 * 3


def test_multicast() -> None:
    """Four rows of y want the same weights: read once, written four times. At the multipliers too, from a shared buffer."""
    found = _walk(_product(4, 6, 8), REGISTERS, "m 6, c 8, y 4 @row", weight={"register": 2}).accesses
    assert found["dram", "weight"] == Access(reads=48)
    assert found["register", "weight"] == Access(writes=4 * 48, reads=192)
    assert found["dram", "input"] == Access(reads=192)
    found = _walk(_product(4, 6, 8), BUFFERED, "m 6, c 8, y 4 @row", weight={"buffer": 2})
    assert found.accesses["buffer", "weight"] == Access(writes=48, reads=48)
    assert found.steps == 48


def test_halo_between_instances() -> None:
    """Four neighbouring windows of three elements have six in all."""
    nest = _line(4, 3)
    found = _walk(nest, REGISTERS, "q 3, x 4 @row", input={"register": 0}).accesses
    assert found["dram", "input"] == Access(reads=12)
    assert found["register", "input"] == Access(writes=12, reads=12)
    shared = replace(PLAIN, share_halo=True)
    assert _walk(nest, REGISTERS, "q 3, x 4 @row", shared, input={"register": 0}).accesses["dram", "input"] == Access(reads=6)
    both = "x 2, x 2 @row, q 2 @row"
    assert _walk(_line(4, 2), BUFFERED, both).accesses["dram", "input"] == Access(reads=2 * 4)
    assert _walk(_line(4, 2), BUFFERED, both, shared).accesses["dram", "input"] == Access(reads=2 * 3)


def test_spatial_reduction() -> None:
    """c runs over the row, and twice in time outside of y: sums are added up on the way, and come back to one register of four, or to all."""
    nest = parse("y c, c -> y", axes={"y": 3, "c": 8}, multiplies=True)
    found = _walk(nest, REGISTERS, "c 2, y 3, c 4 @row", output={"register": 2}).accesses
    assert found["dram", "output"] == Access(writes=3, partial_writes=3, partial_reads=3)
    taken, added, started = 3, 24, 12 + 9
    assert found["register", "output"] == Access(reads=12, partial_reads=12 + added - started, partial_writes=taken + added)
    found = _walk(nest, REGISTERS, "c 2, y 3, c 4 @row", replace(PLAIN, refill_all=True), output={"register": 2}).accesses
    assert found["dram", "output"] == Access(writes=3, partial_writes=3, partial_reads=3)
    assert found["register", "output"] == Access(reads=12, partial_reads=12 + added - 12, partial_writes=12 + added)


def test_registers_that_run_out_of_work() -> None:
    """c of 6 as 2 x 4: in the second visit two registers of four are active, and what the others gave before was not the last."""
    nest = parse("y c, c -> y", axes={"y": 3, "c": 6}, multiplies=True)
    found = _walk(nest, REGISTERS, "c 2, y 3, c 4 @row", replace(PLAIN, refill_all=True), output={"register": 2})
    assert found.steps == 6
    assert found.accesses["dram", "output"] == Access(writes=3, partial_writes=3, partial_reads=3)
    assert found.accesses["register", "output"] == Access(reads=6, partial_reads=12 + 6, partial_writes=6 + 18)


def test_one_multiplication() -> None:
    nest = _product(1, 1, 1)
    found = walk(LoopMapping(loops=(), positions={tensor: {"dram": 0} for tensor in TENSORS}), nest, BUFFERED, PLAIN)
    assert found.accesses == {
        ("dram", "input"): Access(reads=1),
        ("dram", "weight"): Access(reads=1),
        ("dram", "output"): Access(partial_writes=1),
    }
    assert found.steps == 1
