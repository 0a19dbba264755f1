"""The search against brute force, and what a choice promises."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from tests.explore import brute

from ridgeline.algorithm.graph import Graph
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.explore.bound import least_cycles
from ridgeline.explore.choose import best_tilings, choose, pareto, search
from ridgeline.explore.space import Space, device_timing, limits, useful_buses
from ridgeline.hardware.device import Device, read_device
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.schedule import predict
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph, random_network

SMALL = {"lanes_out": 4, "lanes_in": 8, "bus_bytes": 8, "taps": 3}


def small_space(rng: np.random.Generator, device: Device) -> Space:
    """Few engines: two buffers of every size that fits, the rest fixed, and sometimes two choices of lanes."""
    pins = {
        "lanes_in": int(rng.choice([4, 8])), "taps": int(rng.integers(2, 4)), "bus_bytes": int(rng.choice([4, 8, 16])),
        "accumulator_depth": int(rng.choice([32, 128])), "output_bytes": int(rng.choice([1 << 11, 1 << 13])),
    }  # fmt: skip
    if rng.random() < 0.7:
        pins["lanes_out"] = int(rng.choice([4, 8]))
    caps = {"dsp": 100, "bram": int(rng.integers(60, 110))}
    return Space.of(device, caps=caps, pins=pins)


@pytest.mark.parametrize("seed", range(100))
def test_search_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    device = read_device(str(rng.choice(["arty-a7-100t", "ulx3s-85f", "zcu104"])))
    graph = random_layer_graph(rng, LAYER_KINDS[seed % len(LAYER_KINDS)], largest_channels=24, largest_size=10)
    assert_equals_brute_force(graph, small_space(rng, device))


@pytest.mark.parametrize("seed", range(8))
def test_search_equals_brute_force_where_short_bursts_are_slow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, LAYER_KINDS[seed % len(LAYER_KINDS)], largest_channels=24, largest_size=10)
    assert_equals_brute_force(graph, small_space(rng, read_device("ku060")))


def assert_equals_brute_force(graph: Graph, space: Space) -> None:
    every = brute.best(graph, space)
    if not every:
        with pytest.raises(DoesNotFitError):
            search(graph, space)
        return
    found = search(graph, space)
    assert found.explored.engines == len(every)
    for candidate in found.candidates:
        cycles, bytes_ = every[candidate.engine]
        assert brute.close(candidate.cycles, cycles)
        assert brute.close(candidate.bytes, bytes_)
    assert brute.close(min(candidate.cycles for candidate in found.candidates), brute.fastest(every))


def test_pareto_is_what_nothing_beats() -> None:
    rng = np.random.default_rng(3)
    graph = random_network(rng)
    device = read_device("arty-a7-100t")
    found = search(graph, Space.of(device, pins={"bus_bytes": 16}))
    front = {id(item) for item in pareto(found.candidates)}

    def beaten(item) -> bool:
        axes = (item.cycles, item.need.dsp, item.need.bram_18kb)
        others = ((o.cycles, o.need.dsp, o.need.bram_18kb) for o in found.candidates if o is not item)
        return any(all(a <= b for a, b in zip(other, axes, strict=True)) and other != axes for other in others)

    assert front
    for item in found.candidates:
        assert not (id(item) in front and beaten(item))
        assert (
            id(item) in front
            or beaten(item)
            or any(
                (o.cycles, o.need.dsp, o.need.bram_18kb) == (item.cycles, item.need.dsp, item.need.bram_18kb)
                for o in pareto(found.candidates)
            )
        )


def test_no_design_beats_its_roofs() -> None:
    graph = random_network(np.random.default_rng(5), largest_channels=32, largest_size=20)
    device = read_device("zcu104")
    space = Space.of(device, pins={"taps": 3})
    macs = sum(graph.macs(node) for node in graph.nodes)
    for candidate in search(graph, space).candidates:
        assert candidate.cycles >= macs / candidate.engine.macs
        assert candidate.cycles >= candidate.bytes / min(float(space.dram.bytes_per_cycle), 2 * candidate.engine.bus_bytes)


def test_more_of_anything_is_never_slower() -> None:
    graph = random_network(np.random.default_rng(11), largest_channels=32, largest_size=16)
    device = read_device("arty-a7-100t")

    def fastest(scale: int = 1, **caps: int) -> float:
        dram = device_timing(device)
        faster = type(dram)(
            bytes_per_cycle=dram.bytes_per_cycle * scale,
            read_latency_cycles=dram.read_latency_cycles,
            write_latency_cycles=dram.write_latency_cycles,
        )
        space = Space(device=device, dram=faster, limits=limits(device, caps), pins={"taps": 3})
        return min(candidate.cycles for candidate in search(graph, space).candidates)

    assert fastest(scale=2) <= fastest()
    assert fastest() <= fastest(dsp=120) <= fastest(dsp=60)
    assert fastest() <= fastest(bram=120)


@pytest.mark.parametrize("name", ["ulx3s-85f", "ku060"])
def test_a_choice_is_confirmed_by_its_own_program(name: str) -> None:
    graph = random_network(np.random.default_rng(2))
    device = read_device(name)
    choice = choose(graph, device, pins=SMALL)
    assert {name: getattr(choice.engine, name) for name in SMALL} == SMALL
    assert predict(lower(graph, choice.engine, choice.tilings), device_timing(device)).cycles == choice.cycles
    assert choice.resources.bram_18kb <= device.resources.bram_18kb
    assert choice.explored.legal >= choice.explored.evaluated > 0
    assert choice.explored.pruned == choice.explored.legal - choice.explored.evaluated
    assert sum(point.chosen for point in choice.points) == 1
    assert choice.pareto


def test_tilings_are_chosen_for_the_bursts() -> None:
    """Those of a memory that is as fast whatever the bursts are slower on the board."""
    graph, dram = random_network(np.random.default_rng(2), largest_channels=48, largest_size=24), device_timing(read_device("ku060"))
    engine = Engine(
        lanes_out=8, lanes_in=8, bus_bytes=64, activation_bytes=1 << 15, weight_bytes=1 << 14, output_bytes=1 << 13, accumulator_depth=256
    )
    wise, blind = (predict(lower(graph, engine, best_tilings(graph, engine, memory)), dram) for memory in (dram, replace(dram, tiers=())))
    assert wise.cycles < blind.cycles
    assert 0 < least_cycles(graph, engine, dram) <= wise.cycles


def test_throughput_takes_as_many_engines_as_pay() -> None:
    graph, device = random_network(np.random.default_rng(2)), read_device("arty-a7-100t")
    one, several = (choose(graph, device, objective=objective, pins=SMALL) for objective in ("latency", "throughput"))
    assert one.copies == 1 < several.copies
    assert several.copies / several.cycles > 1 / one.cycles
    assert predict(lower(graph, several.engine, several.tilings), device_timing(device, several.copies)).cycles == several.cycles
    for need, have in (("dsp", "dsp"), ("bram_18kb", "bram_18kb"), ("lut", "lut"), ("ff", "ff")):
        assert several.copies * getattr(several.resources, need) <= getattr(device.resources, have)
    capped = choose(graph, device, objective="throughput", pins=SMALL, caps={"dsp": 2 * several.resources.dsp})
    assert capped.copies <= 2


def test_the_same_question_has_the_same_answer() -> None:
    graph = random_network(np.random.default_rng(4))
    first, second = (choose(graph, read_device("arty-a7-100t"), pins={"bus_bytes": 8}) for _ in range(2))
    assert (first.engine, first.tilings, first.cycles, first.points) == (second.engine, second.tilings, second.cycles, second.points)


def test_caps_hold() -> None:
    graph = random_network(np.random.default_rng(6))
    choice = choose(graph, read_device("zcu104"), caps={"dsp": 100, "bram": 90})
    assert choice.resources.dsp <= 100
    assert choice.resources.bram_18kb <= 90


def test_what_does_not_fit_is_named() -> None:
    graph = random_network(np.random.default_rng(6))
    device = read_device("ulx3s-85f")
    with pytest.raises(DoesNotFitError, match=r"\(16x16 lanes, a bus of 4 bytes\) needs 288 dsp but there are 156 on 'ulx3s-85f'"):
        choose(graph, device, pins={"lanes_out": 16, "lanes_in": 16})
    with pytest.raises(DoesNotFitError, match=r"needs .* of activation_bytes but the engine has 1,024"):
        choose(random_layer_graph(np.random.default_rng(1), "conv", largest_channels=200, largest_size=64), device,
               pins={"activation_bytes": 1024})  # fmt: skip


def test_unknown_pins_caps_and_objectives_are_refused() -> None:
    graph, device = random_network(np.random.default_rng(6)), read_device("ulx3s-85f")
    with pytest.raises(InputError, match="pin 'lanes' is none of lanes_out, lanes_in"):
        choose(graph, device, pins={"lanes": 8})
    with pytest.raises(InputError, match="cap 'luts' is none of dsp, bram, lut, ff"):
        choose(graph, device, caps={"luts": 8})
    with pytest.raises(InputError, match="objective 'speed' is none of latency, throughput"):
        choose(graph, device, objective="speed")  # type: ignore[arg-type]


def test_a_bus_wider_than_the_memory_is_not_tried() -> None:
    assert useful_buses(Fraction(8, 3)) == (4,)
    assert useful_buses(Fraction(16)) == (4, 8, 16)
    assert useful_buses(Fraction(96)) == (4, 8, 16, 32, 64, 128)


def test_a_device_without_room_for_any_engine() -> None:
    device = read_device("ulx3s-85f")
    tiny = msgspec.structs.replace(device, resources=msgspec.structs.replace(device.resources, bram_18kb=8))
    with pytest.raises(DoesNotFitError, match=r"bram but there are 8 on 'ulx3s-85f'"):
        choose(random_network(np.random.default_rng(6)), tiny)


def test_engines_that_cannot_run_a_layer_are_left_out() -> None:
    graph, device = random_layer_graph(np.random.default_rng(1), "mul"), read_device("ulx3s-85f")
    assert choose(graph, device, pins={"lanes_out": 8, "lanes_in": 8}).engine.taps >= 2
    with pytest.raises(DoesNotFitError, match="a product of two tensors needs 2 taps but the engine has 1"):
        choose(graph, device, pins={"lanes_out": 8, "lanes_in": 8, "taps": 1})
