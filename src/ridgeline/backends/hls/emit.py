"""{path: text} of a program's C++: the kernel, its test bench, scripts for Vitis HLS and Vivado, and a Makefile for C simulation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ridgeline.backends.hls.decoder import OPCODE_BITS, units
from ridgeline.backends.hls.stage import RECORD_ELEMENTS, STAGES
from ridgeline.errors import InputError
from ridgeline.formats import ENGINE_FORMATS, Format
from ridgeline.hardware.engine.engine import BURST_BYTES, TABLE_BYTES, TABLES, Engine
from ridgeline.mapping.program import INSTRUCTION_BYTES, Compute, Load, Mode, Opcode, Placement, Program, Store, Target

FOLDER = "hls"
TOP = "ridgeline_engine"
CXX_FLAGS = ("-O3", "-march=native", "-std=c++17", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused-label")
FILES = ("engine.h", "engine.cpp", "main.cpp", "Makefile")
SCRIPTS = ("hls.tcl", "vivado.tcl")
WIDEST_PORT_BITS = 1024  # of an m_axi port
MOST_BEATS = 256  # of an AXI burst
PADDING_OF_MAXIMUM = -128  # the program's fill of a maximum: below every int8 code
TOLERANCE = 1e-5  # of float32, relative to a layer's largest value


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What the scripts for the vendor's tools are made for."""

    name: str
    part: str
    clock_mhz: float
    has_vitis: bool = True  # the vendor's tools know the part

    @property
    def period_ns(self) -> float:
        return 1000 / self.clock_mhz


def emit(program: Program, board: Board, number: Format = ENGINE_FORMATS["int8"]) -> dict[str, str]:
    """Always the same bytes for the same program. Addresses of the program count elements of `number`.

    Raises InputError for an activation buffer of another size than whole words of its banks.
    """
    require_whole_words(program.engine, number)
    values = _values(program, board, number)
    return {f"{FOLDER}/{name}": _rendered(name, values) for name in (*FILES, *(SCRIPTS if board.has_vitis else ()))}


def _rendered(name: str, values: dict[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    text = (files("ridgeline.backends.hls") / "templates" / f"{name}.j2").read_text(encoding="utf-8")
    mark = "//" if name.endswith((".h", ".cpp")) else "#"
    header = "\n".join(f"{mark} {line}" for line in values["title"])
    return environment.from_string(text).render(**values, header=header)


def _values(program: Program, board: Board, number: Format) -> dict[str, Any]:
    """What the templates read."""
    engine, stage = program.engine, STAGES[number.name]
    arguments = ["../program.bin", *([] if number.name == "int8" else ["../instructions.bin"]), "inputs.bin", "golden", "golden.bin"]
    beat_bytes = engine.bus_bytes * number.bytes
    return {
        "title": _title(program, board, number),
        "engine": engine,
        "number": number,
        "exact": number.name != "float32",
        "tolerance": TOLERANCE,
        "group": group_pixels(program),
        "tables": TABLES,
        "table_elements": TABLE_BYTES,
        "record_elements": RECORD_ELEMENTS,
        "instruction_words": INSTRUCTION_BYTES // 8,
        "opcode_bits": OPCODE_BITS,
        "opcodes": [(code.name, int(code)) for code in Opcode],
        "targets": [(target.name, int(target)) for target in Target],
        "modes": [(mode.name, int(mode)) for mode in Mode],
        "units": units(),
        "trips": _trips(program),
        "aligned": engine.lanes_out & (engine.lanes_out - 1) == 0,
        "smallest_code": PADDING_OF_MAXIMUM,
        "product": stage.product,
        "parameters": stage.parameters,
        "read_record": _indented(stage.read, 4),
        "finish": _indented(stage.finish, 2),
        "instruction_depth": len(program.instructions) * INSTRUCTION_BYTES // 8,
        "memory_elements": program.memory_bytes,
        "entry": program.entry,
        "widen_bits": min(WIDEST_PORT_BITS, max(32, 1 << (8 * beat_bytes - 1).bit_length())),
        "burst": min(MOST_BEATS, max(2, BURST_BYTES // beat_bytes)),
        "inputs": [_tensor(program.placements[name], "") for name in dict.fromkeys(program.inputs)],
        "layers": _layers(program),
        "flags": " ".join(CXX_FLAGS),
        "arguments": " ".join(arguments),
        "tcl_arguments": " ".join(f"../../../../{path}" if path.endswith(".bin") else path for path in arguments),
        "top": TOP,
        "target": board,
    }


def require_whole_words(engine: Engine, number: Format) -> None:
    """Raises InputError."""
    if engine.activation_bytes % engine.weight_word_bytes:
        sizes = engine.sizes(number.bytes)
        raise InputError(
            f"engine: activation_bytes is {sizes['activation_bytes']}; with {engine.lanes_out}x{engine.lanes_in} lanes and a bus of "
            f"{sizes['bus_bytes']} bytes the C++ takes multiples of {engine.weight_word_bytes * number.bytes}"
        )


def group_pixels(program: Program) -> int:
    """The largest Tr * Tc of the program: what the accumulators hold."""
    computes = (item for item in program.instructions if isinstance(item, Compute) and item.last)
    return max((item.output_rows * item.output_columns for item in computes), default=1)


def _title(program: Program, board: Board, number: Format) -> list[str]:
    engine = program.engine
    return [
        f"Ridgeline's engine in C++, made by ridgeline.backends.hls for {quoted(program.network)} on {quoted(board.name)}, {number.name}, from",
        *(f"    {name} = {value}" for name, value in engine.sizes(number.bytes).items()),
    ]


def _trips(program: Program) -> dict[str, int]:
    """The most iterations of each loop, for the vendor's estimates."""
    loads = [item for item in program.instructions if isinstance(item, Load)]
    computes = [item for item in program.instructions if isinstance(item, Compute)]
    stores = [item for item in program.instructions if isinstance(item, Store)]
    tiles = [item for item in loads if item.target is Target.ACTIVATION]
    return {
        "load_rows": _most(item.rows for item in tiles),
        "load_beats": _most(item.beats for item in tiles),
        "weight_beats": _most(item.beats for item in loads if item.target is Target.WEIGHT),
        "window_pixels": _most(item.y_count * item.x_count for item in computes if item.mode is not Mode.MATRIX),
        "ky": _most(item.ky_count for item in computes),
        "kx": _most(item.kx_count for item in computes),
        "chunks": _most(item.chunk_count for item in computes),
        "store_rows": _most(item.rows for item in stores),
        "store_pixels": _most(item.pixels for item in stores),
        "store_vectors": _most(item.vectors for item in stores),
    }


def _layers(program: Program) -> list[str]:
    """What the test bench looks at: every layer's output, then outputs of the network that no layer writes."""
    writers = {span.output: span.node for span in program.spans}
    rest = {name: f"output {name}" for name in program.outputs if name not in writers}
    return [_tensor(program.placements[name], label) for name, label in {**writers, **rest}.items()]


def _most(values: Iterable[int]) -> int:
    return max(values, default=1)


def _tensor(place: Placement, layer: str) -> str:
    """A line of the test bench's tables."""
    channels, height, width = place.shape
    sizes = ", ".join(str(value) for value in (place.address, channels, height, width, place.pixel_bytes, place.row_bytes))
    return f'"{escaped(place.name)}", "{escaped(layer)}", {sizes}'


def escaped(text: str) -> str:
    """As it stands between the quotes of a C++ string: bytes that are not plain ASCII as octal numbers."""
    plain = {ord("\\"): "\\\\", ord('"'): '\\"', ord("?"): "\\?"}
    return "".join(plain.get(byte, chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in text.encode("utf-8", "surrogateescape"))


def quoted(text: str) -> str:
    """For a comment: on one line, and no line's end or continuation."""
    return f"'{escaped(text)}'"


def _indented(text: str, spaces: int) -> str:
    lines: Sequence[str] = text.split("\n")
    return "\n".join(line if line.startswith("#") else " " * spaces + line for line in lines)
