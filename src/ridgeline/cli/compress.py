"""`ridgeline compress`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ridgeline.cli import tables
from ridgeline.cli.messages import Messages
from ridgeline.errors import CheckFailedError


@click.command()
@click.argument("network")
@click.option("--data", type=click.Path(path_type=Path), help="Inputs to calibrate on (npz, or npy), with 'labels' for accuracy.")
@click.option("--test-data", "test", type=click.Path(path_type=Path), help="Inputs to test on.  [default: the second half of --data]")
@click.option("--formats", default="int8,int4,flint4,mxfp4,nvfp4", show_default=True, help="That weights may take; int4@64 has a scale for every 64.")
@click.option("--sparsity", default="none", show_default=True, help="Patterns that weights may take, such as none,2:4,bank16:50%.")
@click.option("--activations", default="none", show_default=True, help="That inputs may take, where the chip multiplies in it: none,int8,e4m3,e5m2.")
@click.option("--chip", help="A name that `ridgeline show chips` lists, or a TOML file: whose time or energy is least.")
@click.option("--objective", type=click.Choice(["latency", "energy", "size"]), default="latency", show_default=True, help="What is least.")
@click.option("--metric", default="cosine", show_default=True, help="cosine, kl, accuracy, or a function: module:name or file.py:name.")
@click.option("--loss", default="1%", show_default=True, help="The most that the metric may lose against the float network.")
@click.option("--keep", default="", help="Layers whose names hold this text stay as they are.")
@click.option("--compensate/--round", default=True, help="Choose codes so that the errors of a channel make up for each other, or the nearest.")
@click.option("--pad/--no-pad", default=True, help="Pad weights that do not divide into a pattern, and count that; or refuse them.")
@click.option("--budget", "budget_s", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds that the mapper shares.")
@click.option("--fine-tune", "fine_tune", type=click.IntRange(min=0), default=0, metavar="STEPS", help="Train weights in their formats; needs torch.")
@click.option("--learning-rate", type=float, default=0.01, show_default=True, help="Of fine-tuning: parts of a weight's size that a step moves.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for compressed.onnx, weights.npz, compress.json and report.html.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def compress(as_json: bool, **given: Any) -> None:
    """Give each weight of NETWORK the format and pattern that make it fastest on a chip, or smallest, within a loss that is measured."""
    from ridgeline.flows.compress import CompressOptions
    from ridgeline.flows.compress import compress as run

    messages = Messages()
    try:
        found = run(CompressOptions(**given), messages)
    finally:
        messages.clear()
    click.echo(json.dumps(found.summary, indent=2, allow_nan=False) if as_json else tables.compressed(found.summary, given["out"]))
    if found.failure is not None:
        raise CheckFailedError(found.failure)
