"""ZigZag on its own AlexNet and its tpu_like accelerator, for energy, defaults elsewhere: prints one line of JSON.

Runs in the peer's own virtual environment, which has nothing of Ridgeline's: `python -m bench exploration` makes it and calls this.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import zigzag
from zigzag.api import get_hardware_performance_zigzag
from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage

INPUTS = Path(zigzag.__file__).parent / "inputs"


class Counted(CostModelStage):
    """ZigZag's cost model, counting how often it is asked."""

    evaluations = 0

    def run(self) -> Iterator[Any]:
        Counted.evaluations += 1
        return super().run()


def main() -> None:
    start, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, patch("zigzag.api.CostModelStage", Counted):
        get_hardware_performance_zigzag(
            workload=str(INPUTS / "workload" / "alexnet.onnx"),
            accelerator=str(INPUTS / "hardware" / "tpu_like.yaml"),
            mapping=str(INPUTS / "mapping" / "tpu_like.yaml"),
            opt="energy",
            dump_folder=folder,
            loma_show_progress_bar=False,
        )
    wall, processor = time.perf_counter() - start, time.process_time() - processor
    count = Counted.evaluations
    measured = {"version": version("zigzag-dse"), "evaluations": count, "rate": count / wall, "wall_s": wall, "processor_s": processor}
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
