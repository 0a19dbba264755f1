"""`ridgeline compress` on the sentence encoder MiniLM: weights only, calibration and test sentences disjoint; not retrained, and in 2:4 fine-tuned.

Needs what bench.minilm needs, and fine-tuning torch, of the extra `train`; without them the figures are not run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.minilm import data, network
from bench.minilm_network import missing
from bench.row import Row
from ridgeline.flows.compress import CompressOptions, compress

FORMATS = "int8,int4,mxfp4,nvfp4,int4@64,int3@64"
MOST_BITS, MOST_LOSS = 4.5, 0.02
STEPS, RATE = 30, 0.003  # of fine-tuning; a step takes 2 to 5 s on two cores
FIGURE = f"MiniLM compressed: bits a weight, scales counted, within {MOST_LOSS:.0%} cosine loss"
TUNED = f"MiniLM in int8 2:4, {STEPS} steps of fine-tuning: cosine loss on the test sentences"


def measure() -> list[Row]:
    why = missing()
    if why:
        rows = ((FIGURE, f"<= {MOST_BITS}"), (TUNED, "less than without"))
        return [Row(figure=figure, value=f"not run: {why}", target=target, worst="-", holds=None) for figure, target in rows]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        model, (calibration, test) = network(folder), data(folder)
        options = CompressOptions(
            network=str(model), data=calibration, test=test, formats=FORMATS, objective="size", loss=f"{MOST_LOSS:.0%}", out=folder / "out"
        )
        return [*_rows(compress(options).summary), _fine_tuned(model, calibration, test)]


def _fine_tuned(model: Path, calibration: Path, test: Path) -> Row:
    if find_spec("torch") is None:
        return Row(figure=TUNED, value="not run: no package torch; pip install -e .[train]", target="less than without", worst="-", holds=None)
    options = CompressOptions(
        network=str(model), data=calibration, test=test, formats="int8", sparsity="2:4", objective="size", loss="5%", fine_tune=STEPS,
        learning_rate=RATE,
    )  # fmt: skip
    summary = compress(options).summary
    after, before = summary["loss"]["test"], summary["fine_tuned"]["without"]["loss"]["test"]
    return Row(
        figure=TUNED,
        value=f"{after:.4f}, without {before:.4f}",
        target="less than without",
        worst=f"{summary['images']['calibration'] - summary['images']['measured']} sentences to learn from",
        holds=after < before,
    )


def _rows(summary: Mapping[str, Any]) -> list[Row]:
    bits, loss = summary["total"]["bits_per_weight"], summary["loss"]
    singles = [(row["choice"], row["total"]["bits_per_weight"], row["test_loss"]) for row in summary["single"]]
    beaten = all(single_bits > bits or single_loss > loss["test"] for _, single_bits, single_loss in singles)
    return [
        Row(
            figure=FIGURE,
            value=f"{bits:.3f} bits, {loss['test']:.4f} on the test sentences, {loss['file']:.4f} as onnxruntime runs the file",
            target=f"<= {MOST_BITS}, <= {MOST_LOSS}, no single format is as small and as good",
            worst="one format for all: " + ", ".join(f"{name} {each:.2f} bits {lost:.4f}" for name, each, lost in singles),
            holds=bits <= MOST_BITS and loss["test"] <= MOST_LOSS and beaten,
        )
    ]
