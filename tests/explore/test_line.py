"""A line's search against every partition, with times that are made up; and its bounds and its pruned search against the whole one."""

from functools import cache
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm import zoo
from ridgeline.algorithm.cut import crossing_bytes, section
from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.operators import AveragePool
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.explore.board import BoardSearch
from ridgeline.explore.bound import Bound
from ridgeline.explore.choose import Choice, Objective, choose
from ridgeline.explore.line import explore_line
from ridgeline.explore.pruned import choose_pruned
from ridgeline.hardware.device import Device, read_device
from ridgeline.testing.draft import Draft
from ridgeline.testing.graphs import random_network

CASES = 300
OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput")


class MadeUp:
    """Times by the section's first and last layer and by board; bounds below them; and the searches that were made."""

    def __init__(self, rng: np.random.Generator, *, refusals: float = 0.0) -> None:
        self.rng, self.refusals = rng, refusals
        self.times: dict[tuple[str, str, str], float] = {}
        self.bounds: dict[tuple[str, str, str], float] = {}
        self.searched: list[tuple[str, str, str]] = []

    def key(self, graph: Graph, device: Device) -> tuple[str, str, str]:
        key = graph.nodes[0].name, graph.nodes[-1].name, device.name
        if key not in self.times:
            self.times[key] = np.inf if self.rng.random() < self.refusals else float(self.rng.integers(1, 20)) * len(graph.nodes)
            self.bounds[key] = float(np.floor(min(self.times[key], 1000) * self.rng.choice([0, 0.5, 0.9, 1])))
        return key

    def search(self, graph: Graph, device: Device) -> tuple[float, str]:
        key = self.key(graph, device)
        self.searched.append(key)
        if self.times[key] == np.inf:
            raise DoesNotFitError("it is too large")
        return self.times[key], " ".join(key)

    def bound(self, graph: Graph, device: Device) -> float:
        return self.bounds[self.key(graph, device)]

    def best(self, graph: Graph, devices: list[Device], rate: float, objective: Objective) -> float:
        """Of all partitions, one after another."""
        layers, found = len(graph.nodes), np.inf
        for cuts in combinations(range(1, layers), len(devices) - 1):
            starts, stops = (0, *cuts), (*cuts, layers)
            stages: list[float] = []
            for start, stop, device in zip(starts, stops, devices, strict=True):
                stages += [crossing_bytes(graph, start) / rate] if start else []
                stages.append(self.times[self.key(section(graph, start, stop), device)])
            found = min(found, max(stages) if objective == "throughput" else sum(stages))
        return found


@pytest.fixture(scope="module")
def boards() -> list[Device]:
    device = read_device("ulx3s-85f")
    return [msgspec.structs.replace(device, name=name) for name in ("first", "second", "third")]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equal_to_brute_force(boards: list[Device], objective: Objective) -> None:
    rng = np.random.default_rng(16)
    for _ in range(CASES):
        graph = random_network(rng, blocks=int(rng.integers(1, 5)), largest_size=6)
        count = int(rng.integers(1, min(4, len(graph.nodes)) + 1))
        devices = [boards[index] for index in rng.integers(0, 3, count)]
        made = MadeUp(rng, refusals=float(rng.choice([0, 0.2])))
        rate = float(rng.choice([1.0, 8.0, 64.0]))
        expected = made.best(graph, devices, rate, objective)
        if expected == np.inf:
            with pytest.raises(DoesNotFitError, match=r"cannot be cut so that every section fits its board; layer.* it is too large"):
                explore_line(graph, devices, rate, objective=objective, search=made.search, bound=made.bound)
            continue
        found = explore_line(graph, devices, rate, objective=objective, search=made.search, bound=made.bound)
        assert found.partition.time_s == expected
        assert len(made.searched) == len(set(made.searched)) == found.explored.searched, "a section is searched once"
        names = [f"{piece.nodes[0].name} {piece.nodes[-1].name} {device.name}" for piece, device in zip(found.graphs, devices, strict=True)]
        assert list(found.designs) == names
        assert [node.name for piece in found.graphs for node in piece.nodes] == [node.name for node in graph.nodes]
        assert list(found.link_bytes) == [crossing_bytes(graph, stop) for stop in found.partition.stops[:-1]]


def test_bounds_spare_searches(boards: list[Device]) -> None:
    """Exact bounds need no more searches than boards; without any, much is searched and the same is found. Progress ends with all decided."""
    graph = random_network(np.random.default_rng(2), blocks=6)
    made, said = MadeUp(np.random.default_rng(3)), list[tuple[int, int]]()
    values: dict[str, Any] = {"objective": "latency", "search": made.search}
    exact = explore_line(graph, boards, 1e9, bound=lambda piece, device: made.times[made.key(piece, device)], **values)
    assert exact.explored.searched <= len(boards)
    free = explore_line(graph, boards, 1e9, **values, advance=lambda done, total: said.append((done, total)))
    assert free.partition == exact.partition
    assert free.explored.searched > len(boards)
    assert said[-1] == (free.explored.sections, free.explored.sections)
    assert free.explored.pruned == free.explored.sections - free.explored.searched


def test_more_boards_than_layers(boards: list[Device]) -> None:
    graph = section(random_network(np.random.default_rng(2), blocks=6), 0, 2)
    with pytest.raises(InputError, match=r"has 2 layers, fewer than the 3 boards; every board takes at least one"):
        explore_line(graph, boards, 1e9, objective="latency", search=MadeUp(np.random.default_rng(1)).search)


@cache
def integer(name: str) -> Graph:
    network = read_network(zoo.reduced(name).SerializeToString(deterministic=True))
    return quantise(network.graph, noise(network.graph, np.random.default_rng(1)))


def sections_of(graph: Graph, seed: int, count: int) -> list[Graph]:
    rng = np.random.default_rng(seed)
    spans = [(start, stop) for start in range(len(graph.nodes)) for stop in range(start + 1, len(graph.nodes) + 1)]
    chosen = rng.choice(len(spans), size=min(count, len(spans)), replace=False)
    return [section(graph, *spans[index]) for index in sorted(chosen)]


@pytest.mark.parametrize(
    ("name", "device"),
    [("alexnet", "ulx3s-85f"), ("resnet18", "zcu104"), ("mobilenetv2", "ulx3s-85f"), ("ds-cnn", "zcu104"), ("ds-cnn", "ulx3s-85f")],
)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_pruned_search_and_its_bounds(name: str, device: str, objective: Objective) -> None:
    """The pruned search chooses what the whole one does, and the bound is never above what either finds."""
    board, bound = read_device(device), Bound(objective, {}, {})
    for piece in sections_of(integer(name), 5, 3 if objective == "latency" else 1):
        whole = choose(piece, board, objective=objective)
        seconds, found = BoardSearch(objective=objective)(piece, board)
        assert (found.engine, found.copies, found.cycles, found.tilings) == (whole.engine, whole.copies, whole.cycles, whole.tilings)
        assert seconds == whole.cycles / (whole.copies * board.clock_mhz * 1e6)
        assert 0 < bound(piece, board) <= seconds
        assert found.explored.evaluated <= whole.explored.evaluated


def test_bounds_of_random_networks() -> None:
    for seed in range(12):
        board = read_device("ku060" if seed % 3 == 2 else "arty-a7-100t")
        rng = np.random.default_rng(seed)
        graph = random_network(rng, blocks=3, largest_channels=48, largest_size=20)
        objective: Objective = "throughput" if seed % 4 == 0 else "latency"
        pins = {"lanes_out": 16} if seed % 2 else {"lanes_in": 8, "bus_bytes": 8}
        seconds, _ = BoardSearch(objective=objective, pins=pins)(graph, board)
        assert 0 < Bound(objective, pins, {})(graph, board) <= seconds


def test_a_bound_of_a_layer_with_many_small_blocks() -> None:
    """A narrow bus pads their weights least: the bound must not count a wide one's padding."""
    draft = Draft(rng=np.random.default_rng(1))
    graph = draft.graph("pool", [draft.add(AveragePool(kernel=(17, 15)), [draft.input((8, 17, 15))])])
    for name in ("ku060", "ulx3s-85f"):
        for objective in OBJECTIVES:
            seconds, _ = BoardSearch(objective=objective)(graph, read_device(name))
            assert 0 < Bound(objective, {}, {})(graph, read_device(name)) <= seconds


def test_a_bound_for_boards_that_differ() -> None:
    """Layers are remembered, but not over boards with other buses."""
    graph = integer("alexnet")
    boards = [read_device(name) for name in ("ulx3s-85f", "vc709", "zcu104")]
    shared = Bound("latency", {}, {})
    for board in (*boards, *reversed(boards)):
        assert shared(graph, board) == Bound("latency", {}, {})(graph, board)


def test_a_pruned_search_refuses_as_the_whole_one() -> None:
    graph, board = integer("ds-cnn"), read_device("ulx3s-85f")
    for search in (choose, choose_pruned):
        with pytest.raises(DoesNotFitError, match=r"the smallest engine .* needs 24 dsp but there are 10 on 'ulx3s-85f'"):
            search(graph, board, caps={"dsp": 10})
        with pytest.raises(InputError, match=r"pin 'frob' is none of"):
            search(graph, board, pins={"frob": 1})
        with pytest.raises(InputError, match=r"objective 'frob' is none of"):
            search(graph, board, objective="frob")


def test_a_line_of_one_board_is_the_board() -> None:
    graph, board = integer("resnet8"), read_device("ulx3s-85f")
    whole: Choice = choose(graph, board)
    found = explore_line(graph, [board], 1e9, objective="latency", search=BoardSearch(objective="latency"), bound=Bound("latency", {}, {}))
    (design,) = found.designs
    assert (design.engine, design.cycles) == (whole.engine, whole.cycles)
    assert found.partition.time_s == whole.cycles / (board.clock_mhz * 1e6)


def test_a_board_with_too_little_memory() -> None:
    graph, board = integer("resnet8"), read_device("ulx3s-85f")
    small = msgspec.structs.replace(board, dram=msgspec.structs.replace(board.dram, capacity_bytes=4000))
    with pytest.raises(DoesNotFitError, match=r"need [\d,]+ bytes of DRAM but 'ulx3s-85f' has 4,000"):
        BoardSearch(objective="latency")(graph, small)
