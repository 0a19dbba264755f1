"""The search over tiles and orders of an array of mixed widths against its definition, written out in Python's own integers."""

from itertools import permutations, product
from math import prod

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import DoesNotFitError, InputError, UnknownNameError
from ridgeline.explore.quantised import LOOPS, Spent, Work, best_mappings
from ridgeline.hardware.quantised import Design, Machine, design_names, read_design, read_machine

TOUCHES = {
    "activations": {"batch", "width", "height", "in_channels"},
    "weights": {"in_channels", "out_channels"},
    "outputs": {"batch", "width", "height", "out_channels"},
}


def over(size: int, unit: int) -> int:
    return -(-size // unit)


def powers(extent: int) -> list[int]:
    return sorted({min(2**power, extent) for power in range(extent.bit_length() + 1)})


def walked(size: int, half: int, operand: str, order: tuple[str, ...], counts: dict[str, int]) -> tuple[int, int, bool]:
    """Bits that cross, bits held, and whether a loop of the operand is held."""
    held, at = False, len(order)
    while at:
        loop = order[at - 1]
        if loop in TOUCHES[operand]:
            if size * counts[loop] > half:
                break
            size, held = size * counts[loop], True
        at -= 1
    return size * prod(counts[loop] for loop in order[:at]), size, held


def cost(work: Work, bits: int, design: Design, machine: Machine, tile: dict[str, int], order: tuple[str, ...]) -> tuple[float, ...] | None:
    """Cycles, rank, energy; None where the tile does not fit."""
    fold = design.widest_bits // max(bits, design.narrowest_bits)
    N, M = design.rows * fold, design.columns * fold
    counts = {loop: over(getattr(work, loop), tile[loop]) for loop in LOOPS}
    kernel = work.kernel**2
    pixels, ic, oc = tile["batch"] * tile["width"] * tile["height"], tile["in_channels"], tile["out_channels"]
    sizes = {
        "activations": pixels * over(kernel * ic, M) * M * bits,
        "weights": over(kernel * ic, N) * N * oc * bits,
        "outputs": pixels * oc * 16,
    }
    halves = {name: getattr(machine, name).kib * 8192 // 2 for name in sizes}
    if sizes["activations"] > halves["activations"] or sizes["weights"] > halves["weights"]:
        return None
    moved = {name: walked(sizes[name], halves[name], name, order, counts) for name in sizes}
    tiles, n = prod(counts.values()), kernel * ic
    if design.stationary == "weights":
        array, weights, outputs = pixels * over(oc, M) * over(n, N), n * oc, pixels * n * oc
    else:
        array, weights, outputs = over(pixels, N) * over(oc, M) * n, pixels * n * oc, pixels * oc
    array *= tiles
    first = moved["activations"][1] + moved["weights"][1]
    last = 0 if moved["outputs"][2] else sizes["outputs"]
    dram = sum(item[0] for item in moved.values())
    word = machine.dram_bits_per_cycle
    cycles = array + max(0, over(dram - first, word) - array) + over(first, word) + over(last, word)
    read, written = moved["activations"][0] + moved["weights"][0], moved["outputs"][0]
    energy = cycles * 484.615 / 500 + read * 0.644304 / 1024 + written * 0.784104 / 1024
    energy += (tiles * weights * bits * 0.0168924 + moved["weights"][0] * 0.0203422) / 512
    energy += (tiles * pixels * n * oc * bits * 0.0177688 + moved["activations"][0] * 0.0248866) / 512
    energy += ((tiles * outputs * 16 + written) * 0.000294945 + tiles * outputs * 16 * 0.000415925) / 32
    energy += design.rows * design.columns * (design.leak_nw * cycles + design.dynamic_nw * array) / 5e8
    return cycles, energy + written * 0.644304 / 1024, energy


def least(work: Work, bits: int, design: Design, machine: Machine) -> tuple[float, ...] | None:
    tiles = (
        {"batch": b, "width": min(side, work.width), "height": min(side, work.height), "in_channels": ic, "out_channels": oc}
        for b, side, ic, oc in product(
            powers(work.batch), powers(max(work.width, work.height)), powers(work.in_channels), powers(work.out_channels)
        )
    )
    costs = (cost(work, bits, design, machine, tile, order) for tile in tiles for order in permutations(LOOPS))
    return min((item for item in costs if item is not None), default=None)


def machine(kib: tuple[int, int, int], dram_bits: int) -> Machine:
    read = read_machine()
    parts = {name: msgspec.structs.replace(getattr(read, name), kib=size) for name, size in zip(TOUCHES, kib, strict=True)}
    return msgspec.structs.replace(read, dram_bits_per_cycle=dram_bits, **parts)


small = st.integers(1, 3)
works = st.builds(
    Work, batch=small, width=small, height=small, in_channels=st.integers(1, 24), out_channels=st.integers(1, 12), kernel=st.integers(1, 3)
)


@settings(max_examples=10, deadline=None)
@given(
    works,
    st.sampled_from((2, 4, 6, 8)),
    st.sampled_from(design_names()),
    st.tuples(*3 * [st.sampled_from((1, 2, 4))]),
    st.sampled_from((8, 64, 1024)),
)
def test_the_search_finds_what_the_definition_has(work: Work, bits: int, name: str, kib: tuple[int, int, int], dram_bits: int) -> None:
    design, chip = read_design(name), machine(kib, dram_bits)
    bits = min(bits, design.widest_bits)
    wanted = least(work, bits, design, chip)
    if wanted is None:
        with pytest.raises(DoesNotFitError, match="no tile of a layer"):
            best_mappings([(work, bits)], design, chip)
        return
    (found,) = best_mappings([(work, bits)], design, chip)
    assert found.spent.cycles == wanted[0]
    again = cost(work, bits, design, chip, found.tile, found.order)
    assert again is not None
    assert again[0] == found.spent.cycles
    assert again[1] == pytest.approx(wanted[1], rel=1e-12)
    assert found.spent.energy_nj == pytest.approx(again[2], rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(works, st.sampled_from((4, 8)), st.sampled_from(("ANT-OS", "ANT-WS", "OLAccel")))
def test_nothing_is_below_its_bounds(work: Work, bits: int, name: str) -> None:
    design, chip = read_design(name), read_machine()
    (found,) = best_mappings([(work, bits)], design, chip)
    lanes = design.rows * design.columns * design.fold(bits) ** 2
    assert found.spent.compute_cycles * lanes >= work.macs
    assert found.spent.cycles > found.spent.compute_cycles
    outputs = work.batch * work.width * work.height * work.out_channels
    assert found.spent.dram_write_bits >= 16 * outputs
    assert found.spent.dram_read_bits >= bits * work.in_channels * work.kernel**2 * work.out_channels


def test_costs_add_and_equal_layers_cost_the_same() -> None:
    work = Work(batch=2, in_channels=64, out_channels=64)
    found = best_mappings([(work, 4), (work, 8), (work, 4)], read_design("ANT-OS"), read_machine())
    assert found[0] == found[2]
    total = sum((item.spent for item in found), Spent())
    assert total.cycles == 2 * found[0].spent.cycles + found[1].spent.cycles
    assert total.energy_nj == pytest.approx(sum(item.spent.energy_nj for item in found))


def test_narrow_operands_fold() -> None:
    design = read_design("ANT-OS")
    assert [design.fold(bits) for bits in (1, 3, 4, 5, 8)] == [2, 2, 2, 1, 1]
    assert {name: read_design(name).rows * read_design(name).columns * read_design(name).fold(1) ** 2 for name in design_names()} == {
        "ANT-OS": 4096, "ANT-WS": 4096, "BitFusion": 4096, "OLAccel": 1152, "BiScaled": 2560, "AdaFloat": 896,
    }  # fmt: skip


def test_refusals_are_one_line() -> None:
    design, chip = read_design("BiScaled"), read_machine()
    with pytest.raises(InputError, match="operands of 8 bits on an array that takes 6 to 6; choose fewer bits"):
        best_mappings([(Work(batch=1, in_channels=1, out_channels=1), 8)], design, chip)
    with pytest.raises(InputError, match=r"batch of a layer is 0; it must be in 1\.\.16,777,216"):
        best_mappings([(Work(batch=0, in_channels=1, out_channels=1), 6)], design, chip)
    with pytest.raises(InputError, match=r"multiply-accumulates; .* at most are counted: cut its batch"):
        best_mappings([(Work(batch=1 << 24, in_channels=1 << 24, out_channels=1 << 24), 6)], design, chip)
    with pytest.raises(UnknownNameError, match="unknown design 'AdaFlat'; did you mean 'AdaFloat'"):
        read_design("AdaFlat")
