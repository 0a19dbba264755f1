"""A design as it lies in an output folder: the Verilog, the program with its constants, the golden network, and `design.json`, which says
where every tensor lies in DRAM."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec

from ridgeline.errors import InputError
from ridgeline.formats import ENGINE_FORMATS

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.algorithm.graph import Port as GraphPort
    from ridgeline.flows.options import Backend, FormatName
    from ridgeline.mapping.program import Placement, Program
    from ridgeline.mapping.schedule import DramTiming, Prediction

DESIGN, PREDICTION, GOLDEN, PROGRAM, OUTPUTS, RTL = "design.json", "prediction.json", "golden.onnx", "program.bin", "outputs.npz", "rtl"
DTYPES = {"int8": "int8", "fixed16": "int16", "float32": "float32"}  # numpy's names of the formats' elements


Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file holds."""


class Tier(Struct, frozen=True):
    """mapping.schedule.Tier: up to position `bytes` of a stretch, numerator / denominator bytes a cycle."""

    bytes: Positive
    bytes_numerator: Positive
    bytes_denominator: Positive


class Dram(Struct, frozen=True):
    """Bytes a cycle as the exact fraction numerator / denominator: mapping.schedule.DramTiming."""

    bytes_numerator: Positive
    bytes_denominator: Positive
    read_latency_cycles: Positive
    write_latency_cycles: Positive
    tiers: tuple[Tier, ...] = ()

    @classmethod
    def of(cls, dram: DramTiming) -> Dram:
        return cls(
            bytes_numerator=dram.bytes_per_cycle.numerator,
            bytes_denominator=dram.bytes_per_cycle.denominator,
            read_latency_cycles=dram.read_latency_cycles,
            write_latency_cycles=dram.write_latency_cycles,
            tiers=tuple(
                Tier(bytes=tier.bytes, bytes_numerator=tier.bytes_per_cycle.numerator, bytes_denominator=tier.bytes_per_cycle.denominator)
                for tier in dram.tiers
            ),
        )

    def timing(self) -> DramTiming:
        """Raises InputError for tiers that are none."""
        from ridgeline.mapping.schedule import DramTiming
        from ridgeline.mapping.schedule import Tier as Rate

        return DramTiming(
            bytes_per_cycle=Fraction(self.bytes_numerator, self.bytes_denominator),
            read_latency_cycles=self.read_latency_cycles,
            write_latency_cycles=self.write_latency_cycles,
            tiers=tuple(
                Rate(bytes=tier.bytes, bytes_per_cycle=Fraction(tier.bytes_numerator, tier.bytes_denominator)) for tier in self.tiers
            ),
        )


class Tensor(Struct, frozen=True):
    """A tensor in DRAM: mapping.program.Placement."""

    address: Count
    shape: tuple[Positive, Positive, Positive]
    pixel_bytes: Positive
    row_bytes: Positive

    def placement(self) -> Placement:
        from ridgeline.mapping.program import Placement

        return Placement(name="", address=self.address, shape=self.shape, pixel_bytes=self.pixel_bytes, row_bytes=self.row_bytes)


class Port(Struct, frozen=True):
    """An input or output of golden.onnx and the tensor that holds it: algorithm.graph.Port."""

    name: str
    shape: tuple[int, ...]
    tensor: str
    split: tuple[int, ...]
    permutation: tuple[int, ...]

    def of_graph(self) -> GraphPort:
        from ridgeline.algorithm.graph import Port as GraphPort

        return GraphPort(name=self.name, shape=self.shape, tensor=self.tensor, split=self.split, permutation=self.permutation)


class Layer(Struct, frozen=True):
    """A layer, in the order of the program: what it writes, the name of that in golden.onnx, and its number of COMPUTE instructions."""

    name: str
    operator: str
    macs: int
    output: str
    golden: str
    computes: int


class Design(Struct, frozen=True):
    """Addresses, `memory_bytes` and the tensors' sizes count elements of `format`, which are bytes for int8; the engine's sizes are bytes."""

    network: str
    device: str
    engine: dict[str, int]
    entry: Count
    memory_bytes: Positive
    dram: Dram
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[Layer, ...]
    tensors: dict[str, Tensor]
    backend: Literal["rtl", "hls", "both"] = "rtl"
    format: Literal["int8", "float32", "fixed16"] = "int8"
    storage: dict[str, str] | msgspec.UnsetType = msgspec.UNSET  # of the engine's weights, where it is not of dense int8 alone

    def __post_init__(self) -> None:
        """A hand edit must not lead the simulator astray. Raises ValueError, which the reader makes an InputError."""
        missing = sorted({"lanes_out", "lanes_in", "bus_bytes"} - set(self.engine))
        if missing:
            raise ValueError(f"engine has no '{missing[0]}'")
        for name in (*(layer.output for layer in self.layers), *(port.tensor for port in (*self.inputs, *self.outputs))):
            if name not in self.tensors:
                raise ValueError(f"tensors has no '{name}', which a layer or a port names")
        for name, tensor in self.tensors.items():
            if tensor.shape[0] > tensor.pixel_bytes or tensor.shape[2] * tensor.pixel_bytes > tensor.row_bytes:
                fields = f"pixel_bytes {tensor.pixel_bytes:,} and row_bytes {tensor.row_bytes:,}"
                raise ValueError(f"tensor '{name}' of shape {tensor.shape} does not fit {fields}")
            end = tensor.address + tensor.shape[1] * tensor.row_bytes
            if end > self.memory_bytes:
                raise ValueError(f"tensor '{name}' ends at {end:,}, beyond memory_bytes of {self.memory_bytes:,}")
        for port in (*self.inputs, *self.outputs):
            shape = self.tensors[port.tensor].shape
            if not prod(port.shape) == prod(port.split) == prod(shape) or sorted(port.permutation) != list(range(len(port.split))):
                raise ValueError(f"port '{port.name}' of shape {port.shape} does not fit its tensor of shape {shape}")

    @property
    def dtype(self) -> str:
        """numpy's name of an element."""
        return DTYPES[self.format]

    @property
    def stored(self) -> dict[str, str]:
        return {} if isinstance(self.storage, msgspec.UnsetType) else self.storage

    @property
    def array_macs(self) -> int:
        """Multiply-accumulates a cycle."""
        return self.engine["lanes_out"] * self.engine["lanes_in"]


class PredictedLayer(Struct, frozen=True):
    name: str
    cycles: int
    bound: str
    read_bytes: int
    write_bytes: int


class Predicted(Struct, frozen=True):
    """prediction.json: made from the mapping and the program alone, and saved before the simulator starts."""

    cycles: int
    read_bytes: int
    write_bytes: int
    layers: tuple[PredictedLayer, ...]


def describe(
    program: Program, graph: Graph, golden_names: Mapping[str, str], dram: DramTiming, device: str, backend: Backend = "rtl",
    number: FormatName = "int8",
) -> Design:  # fmt: skip
    """`golden_names`: a node's output tensor -> the name of its value in golden.onnx."""
    from ridgeline.mapping.program import Compute

    layers = tuple(
        Layer(
            name=span.node,
            operator=span.operator,
            macs=span.macs,
            output=span.output,
            golden=golden_names[span.output],
            computes=sum(isinstance(item, Compute) for item in program.instructions[span.start : span.stop]),
        )
        for span in program.spans
    )
    return Design(
        network=graph.name,
        device=device,
        backend=backend,
        format=number,
        engine=program.engine.sizes(ENGINE_FORMATS[number].bytes),
        storage=program.engine.storage() or msgspec.UNSET,
        entry=program.entry,
        memory_bytes=program.memory_bytes,
        dram=Dram.of(dram),
        inputs=tuple(_port(port) for port in graph.inputs),
        outputs=tuple(_port(port) for port in graph.outputs),
        layers=layers,
        tensors={
            name: Tensor(address=place.address, shape=place.shape, pixel_bytes=place.pixel_bytes, row_bytes=place.row_bytes)
            for name, place in program.placements.items()
        },
    )


def predicted(prediction: Prediction) -> Predicted:
    return Predicted(
        cycles=prediction.cycles,
        read_bytes=prediction.read_bytes,
        write_bytes=prediction.write_bytes,
        layers=tuple(
            PredictedLayer(name=layer.node, cycles=layer.cycles, bound=layer.bound, read_bytes=layer.read_bytes, write_bytes=layer.write_bytes)
            for layer in prediction.layers
        ),
    )


def _port(port: GraphPort) -> Port:
    return Port(name=port.name, shape=port.shape, tensor=port.tensor, split=port.split, permutation=port.permutation)


def write_json(value: Struct | Mapping[str, object], path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


Kind = TypeVar("Kind", bound=Struct)


def read_json(kind: type[Kind], path: Path) -> Kind:
    """Raises InputError for a file that is missing or is not what it should be."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise InputError(f"'{path}' is missing; give a folder that `ridgeline build` made") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"'{path}': {error}") from error
