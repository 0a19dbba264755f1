"""Measures the figures named, or all of them, and prints each beside its target. Exits 1 if a target is not met."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from bench.row import Row, as_json, table

FIGURES = {
    "start": "bench.start:measure",
    "exploration": "bench.exploration:measure",
    "formats": "bench.formats:measure",
    "minilm": "bench.minilm:measure",
    "compress": "bench.compress:measure",
    "papers": "bench.papers:measure",
    "zoo": "bench.zoo:measure",
    "random-networks": "bench.random_networks:measure",
    "random-layers": "bench.random_layers:measure",
    "stored-layers": "bench.stored_layers:measure",
    "stored-resnet": "bench.stored_resnet:measure",
    "counts": "bench.counts:measure",
    "mapper": "bench.mapper:measure",
    "baselines": "bench.baselines:measure",
    "fuse": "bench.fuse:measure",
    "rates": "bench.rates:measure",
    "gpu": "bench.gpu:measure",
    "architecture": "bench.architecture:measure",
    "mapper-zigzag": "bench.mapper_zigzag:measure",
    "pipeline": "bench.pipeline:measure",
    "csim": "bench.csim:measure",
    "resources": "bench.resources:measure",
    "stored-resources": "bench.stored_resources:measure",
    "fmax": "bench.fmax:measure",
    "demo": "bench.demo:measure",
    "sparsity": "bench.sparsity:measure",
}


@click.command(help=__doc__)
@click.argument("figures", nargs=-1, type=click.Choice(list(FIGURES)))
@click.option("--json", "print_json", is_flag=True, help="Print the rows as JSON.")
def main(figures: tuple[str, ...], print_json: bool) -> None:
    rows: list[Row] = []
    for name in figures or FIGURES:
        module, _, function = FIGURES[name].partition(":")
        print(f"bench: {name}", file=sys.stderr, flush=True)
        new: list[Row] = getattr(import_module(module), function)()
        rows += new
        if not print_json:
            print(table(new), flush=True)
    if print_json:
        print(as_json(rows))
    sys.exit(any(row.holds is False for row in rows))


if __name__ == "__main__":
    main()
