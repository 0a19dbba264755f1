"""Makes zigzag_cases.json: what ZigZag 3.9.1 says of random mappings of its own networks' layers, on two of its accelerators.

In an environment with zigzag-dse 3.9.1 and six, and nothing of Ridgeline's:

    python tests/mapping/make_zigzag_cases.py > tests/mapping/zigzag_cases.json
"""

from __future__ import annotations

import copy
import json
import logging
import random
from pathlib import Path
from typing import Any

import zigzag
from zigzag.cost_model.cost_model import CostModelEvaluation
from zigzag.datatypes import OADimension
from zigzag.mapping.spatial_mapping import MappingSingleOADim, SpatialMapping
from zigzag.mapping.temporal_mapping import TemporalMappingType
from zigzag.opt.loma.engine import LomaEngine
from zigzag.opt.loma.memory_allocator import MemoryAllocator, MemoryHierarchyTooSmallException, MemoryTooSmallException
from zigzag.parser.onnx.onnx_model_parser import ONNXModelParser
from zigzag.stages.mapping.spatial_mapping_conversion import SpatialMappingConversionStage
from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
from zigzag.workload.layer_node import LayerNode

INPUTS = Path(zigzag.__file__).parent / "inputs"
NETWORKS = ("alexnet", "resnet18", "mobilenetv2")
CASES = {"tpu_like": 60, "eyeriss_like": 60}
UNEVEN = TemporalMappingType("uneven")


def main() -> None:
    logging.disable(logging.CRITICAL)
    rng = random.Random(1)
    mapping = str(INPUTS / "mapping" / "default.yaml")
    layers = [
        layer for name in NETWORKS for layer in ONNXModelParser(str(INPUTS / "workload" / f"{name}.onnx"), mapping).run().topological_sort()
    ]
    layers = [layer for layer in layers if isinstance(layer, LayerNode)]
    found: list[dict[str, Any]] = []
    for name, count in CASES.items():
        accelerator = AcceleratorParserStage.parse_accelerator(str(INPUTS / "hardware" / f"{name}.yaml"))
        made: list[dict[str, Any]] = []
        while len(made) < count:
            case = drawn(copy.deepcopy(rng.choice(layers)), accelerator, rng)
            made += [{"accelerator": name, **case}] if case is not None else []
        found += made
    lines = ",\n ".join(json.dumps(case) for case in found)
    print(f"[{lines}]")


def drawn(layer: LayerNode, accelerator: Any, rng: random.Random) -> dict[str, Any] | None:
    """None where the order does not fit the accelerator."""
    array = accelerator.operational_array.dimension_sizes
    lanes = {axis: {rng.choice(layer.layer_dims): rng.choice((size, size, 3, 8))} for axis, size in array.items()}
    given = SpatialMapping({OADimension(str(axis)): MappingSingleOADim(sizes) for axis, sizes in lanes.items()})
    layer.spatial_mapping = given
    generator = SpatialMappingGeneratorStage([None], accelerator=accelerator, layer=layer, nb_mappings_generated=1)
    try:
        layer.spatial_mapping = next(iter(generator.generate_spatial_mappings()))
    except AssertionError:
        return None
    average, whole = SpatialMappingConversionStage([None], accelerator=accelerator, layer=layer).convert_user_spatial_mapping(
        layer.spatial_mapping
    )
    engine = LomaEngine(
        accelerator=accelerator, layer=layer, spatial_mapping=average, mapping_type=UNEVEN, loma_lpf_limit=rng.choice((4, 6, 8))
    )
    engine.temporal_loop_dim_size = engine.get_temporal_loops()
    engine.update_min_lpf_factor(engine.temporal_loop_dim_size)
    engine.get_prime_factors()
    order = list(engine.lpfs)
    rng.shuffle(order)
    try:
        temporal = MemoryAllocator(accelerator, layer, average, order, UNEVEN).run()
    except (MemoryTooSmallException, MemoryHierarchyTooSmallException):
        return None
    cost = CostModelEvaluation(
        accelerator=accelerator, layer=layer, spatial_mapping=average, spatial_mapping_int=whole, temporal_mapping=temporal
    )
    return {
        "operator": layer.type,
        "dims": {str(name): size for name, size in layer.layer_dim_sizes.items()},
        "windows": {str(name): [[str(dim), step] for dim, step in pair] for name, pair in layer.pr_scaling_factors.items()},
        "present": {str(name): size for name, size in layer.pr_layer_dim_sizes.items()},
        "spatial_mapping": {
            str(axis): [f"{name}, {int(size)}" for name, size in sizes.items()] for axis, sizes in layer.spatial_mapping.items()
        },
        "temporal_ordering": [[str(name), int(size)] for name, size in order],
        "energy_pj": cost.energy_total,
        "cycles": cost.latency_total2,
    }


if __name__ == "__main__":
    main()
