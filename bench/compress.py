"""`ridgeline compress` on the sentence encoder MiniLM: weights only, not retrained, calibration and test sentences disjoint.

Needs what bench.minilm needs; without it the figure is not run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.minilm import data, network
from bench.minilm_network import missing
from bench.row import Row
from ridgeline.flows.compress import CompressOptions, compress

FORMATS = "int8,int4,mxfp4,nvfp4,int4@64,int3@64"
MOST_BITS, MOST_LOSS = 4.5, 0.02
FIGURE = f"MiniLM compressed: bits a weight, scales counted, within {MOST_LOSS:.0%} cosine loss"


def measure() -> list[Row]:
    why = missing()
    if why:
        return [Row(figure=FIGURE, value=f"not run: {why}", target=f"<= {MOST_BITS}", worst="-", holds=None)]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        model, (calibration, test) = network(folder), data(folder)
        options = CompressOptions(
            network=str(model), data=calibration, test=test, formats=FORMATS, objective="size", loss=f"{MOST_LOSS:.0%}", out=folder / "out"
        )
        return _rows(compress(options).summary)


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
