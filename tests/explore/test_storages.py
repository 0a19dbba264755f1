"""The search over engines that store weights of 4 bits and sparse ones, for networks that carry such."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.operators import Conv
from ridgeline.explore.choose import carried, choose
from ridgeline.explore.pruned import choose_pruned
from ridgeline.explore.space import Space, device_timing
from ridgeline.hardware.device import Device, read_device
from ridgeline.mapping.lower import lower
from ridgeline.mapping.schedule import predict
from ridgeline.testing.draft import Draft

PINS = {"lanes_out": 8, "lanes_in": 8, "taps": 1}


@pytest.fixture(scope="module")
def device() -> Device:
    return read_device("ulx3s-85f")


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Two convolutions of which the second has half of each bank of 4, of flint4's levels."""
    draft = Draft(rng=np.random.default_rng(1))
    first = draft.add(Conv(pads=(1, 1, 1, 1)), [draft.input((3, 12, 12))], weight=draft.weight(32, 3, 3, 3))
    weight = np.zeros((64, 32, 3, 3), np.int8)
    weight[:, ::2] = draft.rng.choice([-16, -3, 1, 8], (64, 16, 3, 3))
    second = draft.add(Conv(pads=(1, 1, 1, 1)), [first], weight=weight)
    return draft.graph("two", [second])


def marked(graph: Graph, **how: str) -> Graph:
    return replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[1], **how)))


def test_what_a_network_carries(graph: Graph) -> None:
    assert carried(graph) == (("int8", "none"),)
    both = marked(graph, weight_format="flint4", sparsity="2:4")
    assert set(carried(both)) == {("int8", "none"), ("flint4", "none"), ("int8", "2:4"), ("flint4", "2:4")}


def test_a_bank_needs_its_lanes(device: Device) -> None:
    space = Space.of(device, pins={"lanes_out": 4, "taps": 1, "bus_bytes": 4}, storages=(("int8", "bank16:50%"),))
    assert {engine.lanes_in for engine in space.corners()} == {8, 16, 32, 64}


def test_the_sparse_engine_is_chosen_where_it_is_faster(graph: Graph, device: Device) -> None:
    plain = choose(graph, device, pins=PINS)
    light = marked(graph, weight_format="flint4", sparsity="2:4")
    found = choose(light, device, pins=PINS)
    assert (plain.engine.weight_format, plain.engine.sparsity) == ("int8", "none")
    assert found.engine.sparsity == "2:4"
    assert found.resources.dsp == plain.resources.dsp
    assert found.cycles < plain.cycles / 1.4
    dram = device_timing(device)
    pruned = choose_pruned(light, device, pins=PINS)
    assert (pruned.engine, pruned.cycles) == (found.engine, found.cycles)
    assert predict(lower(light, found.engine, found.tilings, pack=False), dram).cycles == found.cycles
    for storage in carried(light):  # the dense and the other engines of the same sizes are no faster
        sparsity = storage[1]
        other = replace(found.engine, weight_format=storage[0], sparsity=sparsity)
        if sparsity == "none":
            assert predict(lower(light, other, pack=False), dram).cycles > found.cycles
