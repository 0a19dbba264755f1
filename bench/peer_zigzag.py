"""ZigZag on one of its own networks and its tpu_like accelerator, for energy: prints one line of JSON.

    peer_zigzag.py [NETWORK [LIMIT [MAPPING]]]

LIMIT is its limit of loop prime factors, MAPPING a mapping YAML in the place of its own. Where that gives every layer its order of loops, ZigZag
searches nothing and costs it. Runs in the peer's own virtual environment, which has nothing of Ridgeline's: `python -m bench` makes and calls it.
"""

from __future__ import annotations

import json
import sys
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


def main(network: str = "alexnet", limit: str = "6", mapping: str = str(INPUTS / "mapping" / "tpu_like.yaml")) -> None:
    workload = str(INPUTS / "workload" / f"{network}.onnx")
    start, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, patch("zigzag.api.CostModelStage", Counted):
        energy, cycles, found = get_hardware_performance_zigzag(
            workload=workload,
            accelerator=str(INPUTS / "hardware" / "tpu_like.yaml"),
            mapping=mapping,
            opt="energy",
            dump_folder=folder,
            lpf_limit=int(limit),
            loma_show_progress_bar=False,
        )
    wall, processor = time.perf_counter() - start, time.process_time() - processor
    count = Counted.evaluations
    measured = {"version": version("zigzag-dse"), "evaluations": count, "rate": count / wall, "wall_s": wall, "processor_s": processor}
    answer = {"workload": workload, "energy_pj": energy, "cycles": cycles, "layers": [layer(cost) for cost, _ in found[0][1]]}
    print(json.dumps({**measured, **answer}))


def layer(cost: Any) -> dict[str, Any]:
    """A layer's costs and mapping, as its YAML has it."""
    levels, lanes = cost.temporal_mapping.mapping_dic_origin[cost.layer.output_operand], cost.layer.spatial_mapping
    return {
        "name": cost.layer.name,
        "energy_pj": cost.energy_total,
        "cycles": cost.latency_total2,
        "spatial_mapping": {str(axis): [f"{name}, {int(size)}" for name, size in sizes.items()] for axis, sizes in lanes.items()},
        "temporal_ordering": [[str(name), int(size)] for level in levels for name, size in level],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
