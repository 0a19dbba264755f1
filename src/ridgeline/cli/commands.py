"""The verbs. Everything heavy is imported inside them, so that `ridgeline --help` stays quick."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ridgeline import __version__
from ridgeline.cli import tables
from ridgeline.cli.compress import compress
from ridgeline.cli.messages import Messages
from ridgeline.cli.papers import reproduce
from ridgeline.errors import CheckFailedError, InputError

if TYPE_CHECKING:
    from ridgeline.flows.options import Options

Command = Callable[..., None]
PINS = ("taps", "bus_bytes", "activation_bytes", "weight_bytes", "output_bytes", "accumulator_depth")
CAPS = ("dsp", "bram", "lut", "ff")
SHARED = ("network", "device", "chip", "objective", "batch", "out", "as_json")  # of both kinds of `explore`
CHIP = ("vary", "area_cap_mm2", "budget_s", "space", "rules", "layers", "store")  # of `explore --chip`
MOST_BATCH = 2**31 - 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ridgeline")
def ridgeline() -> None:
    """From a trained network to a verified accelerator."""


ridgeline.add_command(compress)
ridgeline.add_command(reproduce)


def _each(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _pin(name: str) -> Callable[[Command], Command]:
    return click.option(f"--{name.replace('_', '-')}", name, type=int, help=f"Pin the engine's {name.replace('_', ' ')}.")


def _cap(name: str) -> Callable[[Command], Command]:
    kind = "BRAM of 18 Kb" if name == "bram" else name.upper()
    return click.option(f"--max-{name}", type=click.IntRange(min=1), help=f"Use at most so many {kind}.")


BATCH = click.option("--batch", type=click.IntRange(min=1, max=MOST_BATCH), help="Extent of a dynamic leading axis.  [default: 1]")
ENGINE_OBJECTIVE = click.Choice(["latency", "throughput"])
DESIGN = [
    click.option("--lanes", help="Pin the array, output x input lanes, such as 16x16."),
    *(_pin(name) for name in PINS),
    *(_cap(name) for name in CAPS),
    click.option("--clock-mhz", type=float, help="Plan at this clock instead of the device's."),
]


STORAGE = [
    click.option("--weights", default="int8", show_default=True, help="Of all layers but the first and the last: int8, int4, flint4, ..."),
    click.option("--activations", default="int8", show_default=True, help="That layers of 4-bit weights read: int8, or levels of int4 or flint4."),
    click.option("--sparsity", default="none", show_default=True, help="Prune the same layers: none, 2:4 or bank16:50%."),
]


def _options(network: str, out: Path, given: dict[str, Any]) -> Options:
    """What the options of DESIGN ask for, and the rest of `given` as it is."""
    from ridgeline.flows import options

    pins = {name: given.pop(name) for name in PINS}
    caps = {name: given.pop(f"max_{name}") for name in CAPS}
    if (lanes := given.pop("lanes")) is not None:
        pins["lanes_out"], pins["lanes_in"] = options.lanes(lanes)
    return options.Options(
        network=network,
        out=out,
        pins={name: value for name, value in pins.items() if value is not None},
        caps={name: value for name, value in caps.items() if value is not None},
        **given,
    )


@ridgeline.command()
@click.argument("network")
@click.option("--data", type=click.Path(path_type=Path), help="Images to calibrate and verify on: an npz by the inputs' names, or an npy.")
@click.option("--device", required=True, help="A name that `ridgeline show devices` lists, or a TOML file.")
@click.option("--out", type=click.Path(path_type=Path), help="Output folder: absent, empty, or made by Ridgeline.  [default: build/NETWORK]")
@click.option("--images", type=click.IntRange(min=1), help="How many images to simulate.  [default: as many as take seconds]")
@click.option(
    "--backend", type=click.Choice(["rtl", "hls", "both"]), default="rtl", show_default=True, help="Verilog, C++ for Vitis HLS, or both."
)
@click.option(
    "--format", type=click.Choice(["int8", "float32", "fixed16"]), default="int8", show_default=True, help="Of all values; int8 for rtl."
)
@_each(STORAGE)
@BATCH
@click.option("--objective", type=ENGINE_OBJECTIVE, default="latency", show_default=True)
@_each(DESIGN)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of noise, random stalls, and place and route.")
@click.option("--stalls", type=click.FloatRange(0, 0.9), default=0.0, help="Share of cycles in which each channel of the memory rests at random.")
@click.option("--synth/--no-synth", default=False, help="Synthesise with Yosys; on ECP5 place, route and pack a bitstream too.")
@click.option("--wave", is_flag=True, help="Write a waveform, wave.vcd, of the first image.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of a table.")
def build(network: str, out: Path | None, as_json: bool, **given: Any) -> None:
    """Make a verified accelerator for NETWORK: an ONNX file, or a name that `ridgeline show models` lists."""
    from ridgeline.flows.build import build as run

    asked = _options(network, out or Path("build") / Path(network).stem, given)
    messages = Messages()
    try:
        found = run(asked, messages)
    finally:
        messages.clear()
    _print(found.summary, tables.built(found.summary, str(asked.out)), as_json=as_json)
    _require(found.failure)


SPACE = click.option(
    "--space", type=click.Choice(["timeloop", "zigzag", "full"]), default="full", show_default=True,
    help="Factors that divide their axis, as Timeloop or ZigZag places their tiles, or all (docs/map.md).",
)
CONVENTIONS = click.option(
    "--conventions", "rules", type=click.Choice(["ridgeline", "timeloop", "zigzag"]), default="ridgeline", show_default=True,
    help="What is counted, where tools differ (docs/counts.md).",
)
BOARD = [
    click.option("--count", type=int, help="So many such boards in a line."),
    click.option("--link-gb-per-s", type=float, help="Speed of the link between two boards."),
    click.option(
        "--engine", type=click.Choice(["programmable", "uniform"]), default="programmable", show_default=True,
        help="The one that `build` makes, or that of FPGA'15 and Caffeine.",
    ),
    click.option("--format", type=click.Choice(["int8", "fixed16", "float32"]), default="int8", show_default=True, help="Of a uniform engine."),
    click.option(
        "--reduction", type=click.Choice(["channels", "row", "window"]), default="channels", show_default=True,
        help="What a uniform engine spreads over its Tn lanes: input channels, kernel rows of them, or whole windows.",
    ),
    click.option("--ports", type=click.IntRange(2, 64), help="AXI ports of 512 bits of a uniform engine, shared out between weights and maps."),
    click.option("--data", type=click.Path(path_type=Path), help="With --out: images to calibrate on, as for `build`."),
    *STORAGE,
    *DESIGN,
]
ARCHITECTURE = [
    click.option("--vary", multiple=True, help="A chip's parameters, such as 'array.rows=8..32:4 glb.capacity_bytes=64K..512K:x2'."),
    click.option("--area-cap-mm2", type=float, help="Leave out designs of a chip that are larger."),
    click.option(
        "--budget", "budget_s", type=float,
        help="Seconds for each design of a chip, with its proven gap; inf: until all is proven.  [default: 30]",
    ),
    SPACE,
    CONVENTIONS,
    click.option("--layers", help="Of a chip's networks: only the layers whose names hold this text."),
    click.option(
        "--store", type=click.Path(path_type=Path),
        help="SQLite file of what is evaluated; a run goes on from it.  [default: build/explore/NETWORK-CHIP.sqlite]",
    ),
]  # fmt: skip


@ridgeline.command()
@click.argument("network")
@click.option("--device", help="As `ridgeline show devices` lists, or a TOML file; boards in a line as vc709:4,zcu102:2.")
@click.option("--chip", help="Instead of --device: as `ridgeline show chips` lists, a TOML file, or an accelerator YAML of ZigZag.")
@click.option(
    "--objective", help="latency or throughput; of a chip energy, latency, edp, ed2p, or a product such as energy^2*latency.  [default: latency; edp]"
)
@BATCH
@click.option("--out", type=click.Path(path_type=Path), help="Folder for what is found on boards in a line, or for a chip's report.")
@_each(ARCHITECTURE)
@_each(BOARD)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
@click.pass_context
def explore(context: click.Context, network: str, device: str | None, chip: str | None, as_json: bool, **given: Any) -> None:
    """Explore designs for NETWORK, and build nothing: engines on a device, or the parameters of a chip.

    On a device: the engine that suits NETWORK best and the Pareto set; on boards in a line where to cut it, and each board's engine.
    On a chip: NETWORK may be several, parted by commas; every design of --vary with its best mappings, the best one and the Pareto set.
    """
    if (device is None) == (chip is None):
        raise InputError("explore takes either --device, an FPGA, or --chip, whose parameters --vary names; give one of them")
    names = {parameter.name for parameter in context.command.params}
    _refuse(context, names - {*SHARED, *CHIP} if device is None else CHIP, other="--device" if device is None else "--chip")
    if chip is not None:
        _explore_chip(network, chip, as_json=as_json, **{name: value for name, value in given.items() if name in (*SHARED, *CHIP)})
        return
    rest = {name: value for name, value in given.items() if name not in CHIP}
    rest["objective"] = _objective(context, rest["objective"])
    _explore_device(network, rest.pop("out"), as_json=as_json, device=device, **rest)


def _refuse(context: click.Context, names: Collection[str], *, other: str) -> None:
    """Raises InputError for an option that was given but belongs to the other kind of exploration."""
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
            raise InputError(f"{parameter.opts[0]} is an option of `explore {other}`; leave it out, or give {other} instead")


def _objective(context: click.Context, text: str | None) -> str:
    parameter = next(parameter for parameter in context.command.params if parameter.name == "objective")
    return ENGINE_OBJECTIVE.convert(text or "latency", parameter, context)


def _explore_device(network: str, out: Path | None, *, as_json: bool, **given: Any) -> None:
    from ridgeline.flows.explore import explore as run

    messages = Messages()
    try:
        found = run(_options(network, Path(), given), messages, out=out)
    finally:
        messages.clear()
    if "boards" in found.summary:
        text = tables.lined(found.summary, out)
    else:
        text = tables.uniform(found.summary) if found.summary["engine"] == "uniform" else tables.explored(found.summary)
    _print(found.summary, text, as_json=as_json)


def _explore_chip(networks: str, chip: str, *, as_json: bool, **given: Any) -> None:
    from ridgeline.flows.architecture import ArchitectureOptions, explore_chip

    vary, objective = " ".join(given.pop("vary")), given.pop("objective") or "edp"
    messages = Messages()
    try:
        summary = explore_chip(ArchitectureOptions(networks=networks, chip=chip, vary=vary, objective=objective, **given), messages)
    finally:
        messages.clear()
    _print(summary, tables.architectures(summary, given["out"]), as_json=as_json)


@ridgeline.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--images", type=click.IntRange(min=1), help="Only the first so many.")
@click.option("--stalls", type=click.FloatRange(0, 0.9), default=0.0, help="Share of cycles in which each channel of the memory rests at random.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the random stalls.")
@click.option("--wave", type=click.Path(path_type=Path), help="Write a waveform (VCD) of the first image to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def verify(folder: Path, images: int | None, stalls: float, seed: int, wave: Path | None, as_json: bool) -> None:
    """Simulate whatever Verilog, C++ and program lie in FOLDER, and compare every value with its golden.onnx."""
    from ridgeline.flows.check import Settings
    from ridgeline.flows.verify import verify as run
    from ridgeline.tools.simulator import Stalls

    messages = Messages()
    try:
        found = run(folder, Settings(stalls=Stalls(share=stalls, seed=seed), wave=wave), images=images, progress=messages)
    finally:
        messages.clear()
    _print(found.summary, tables.verified(found.summary), as_json=as_json)
    _require(found.failure)


@ridgeline.command("map")
@click.argument("network")
@click.option("--chip", required=True, help="A name that `ridgeline show chips` lists, a TOML file, or a YAML of Timeloop or ZigZag.")
@click.option("--energies", type=click.Path(path_type=Path), help="With Timeloop's YAML: a file with its energy reference table (ERT).")
@click.option("--mapping", type=click.Path(path_type=Path), help="Cost this file's or folder's mappings (ours, Timeloop's, ZigZag's): no search.")
@click.option("--unrolling", type=click.Path(path_type=Path), help="With ZigZag's YAML: its mapping YAML, whose `default` fixes the unrolling.")
@click.option("--constraints", type=click.Path(path_type=Path), help="TOML: [unroll.AXIS], [loops.LEVEL], [levels.LEVEL] in place of the chip's.")
@click.option(
    "--objective", default="edp", show_default=True, help="energy, latency, edp, ed2p, a product such as energy^2*latency, or pareto: the whole set.",
)
@click.option("--cycles-cap", type=int, help="The most cycles that the network may take.")
@click.option("--energy-cap-uj", type=float, help="The most energy that the network may take.")
@SPACE
@CONVENTIONS
@click.option(
    "--latency", type=click.Choice(["slowest", "stalls"]),
    help="Of a given mapping: the slowest level's (Timeloop), or stalls, first fill and last drain too (ZigZag).  [default: the conventions']",
)
@BATCH
@click.option("--layers", help="Only the layers whose names hold this text.")
@click.option(
    "--search", type=click.Choice(["exhaustive", "random", "annealing"]), default="exhaustive", show_default=True,
    help="The proven search, or a baseline to hold against it.",
)
@click.option("--samples", type=click.IntRange(1), default=10_000, show_default=True, help="Of a baseline: mappings of a layer that it looks at.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of a baseline.")
@click.option("--fuse", is_flag=True, help="Keep tensors between layers on the chip where that pays: whole, or layers run together tile by tile.")
@click.option(
    "--budget", "budget_s", type=float,
    help="Stop after so many seconds, with the best so far and its proven gap; inf: when all is proven.  [default: 3.5; 30 with "
    "--fuse, pareto or a cap]",
)
@click.option("--store", type=click.Path(path_type=Path), help="SQLite file: answers that it has are taken from it, new ones kept there.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for mapping.json and report.html.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def map_(as_json: bool, **given: Any) -> None:
    """Map every layer of NETWORK on a chip, and prove how good the mapping is. Only shapes matter: weights may be absent."""
    from ridgeline.flows.map import MapOptions, map_network

    messages = Messages()
    try:
        summary = map_network(MapOptions(**given), messages)
    finally:
        messages.clear()
    _print(summary, tables.mapped(summary, given["out"]), as_json=as_json)


@ridgeline.command()
@click.argument("what")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def show(what: str, as_json: bool) -> None:
    """Show WHAT: models, devices, chips or operators, or one of them by its name."""
    from ridgeline.flows.show import show as run

    found = run(what)
    text = tables.table(found.head, found.rows) if found.head else tables.pairs(found.values)
    _print(found.values, text, as_json=as_json)


def _print(values: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(values, indent=2, allow_nan=False) if as_json else text)


def _require(failure: str | None) -> None:
    if failure is not None:
        raise CheckFailedError(failure)
