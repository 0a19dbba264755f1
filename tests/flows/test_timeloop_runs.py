"""Three runs that Timeloop's authors published, mapping and all (Accelergy-Project/timeloop-accelergy-exercises, workspace: the stats.txt of
example_designs/eyeriss_like at 67b75f2, of example_designs/simple_output_stationary at 09545d3, and of
exercises/.../04-model-conv1d+oc-3levelspatial, cp, at 82b6304), costed through `map --mapping`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ridgeline.flows.map import MapOptions, map_network

SPAD = "class: smartbuffer_RF, attributes: {{depth: {}, width: 16, datawidth: {}, read_bandwidth: 2, write_bandwidth: 2}}"
EYERISS_LIKE = f"""
architecture:
  version: 0.4
  nodes:
  - !Container {{name: system}}
  - !Component {{name: DRAM, class: DRAM, attributes: {{type: LPDDR4, width: 64, datawidth: 8}}}}
  - !Container {{name: eyeriss, attributes: {{technology: "32nm"}}}}
  - !Component
    name: shared_glb
    class: smartbuffer_SRAM
    attributes: {{depth: 16384, width: 64, n_banks: 32, datawidth: 8, read_bandwidth: 16, write_bandwidth: 16}}
    constraints: {{dataspace: {{keep: [Inputs, Outputs], bypass: [Weights]}}}}
  - !Container {{name: PE_column, spatial: {{meshX: 14}}}}
  - !Container {{name: PE, spatial: {{meshY: 12}}}}
  - !Parallel
    nodes:
    - !Component {{name: ifmap_spad, {SPAD.format(12, 8)}, constraints: {{dataspace: {{keep: [Inputs]}}}}}}
    - !Component {{name: weights_spad, {SPAD.format(192, 8)}, constraints: {{dataspace: {{keep: [Weights]}}}}}}
    - !Component {{name: psum_spad, {SPAD.format(16, 16)}, constraints: {{dataspace: {{keep: [Outputs]}}}}}}
  - !Component {{name: mac, class: intmac, attributes: {{multiplier_width: 8, adder_width: 16}}}}
"""
EYERISS_ENERGIES = {
    "DRAM": (512.0, 512.0), "shared_glb": (18.183829, 14.137929), "ifmap_spad": (0.202442, 0.176713), "weights_spad": (1.976602, 1.881657),
    "psum_spad": (0.2513, 0.2191), "mac": (0.207692,),
}  # fmt: skip
IMAGE = """
problem:
  version: 0.4
  shape:
    name: conv2d
    dimensions: [C, M, R, S, N, P, Q]
    coefficients: [{name: Wstride, default: 1}, {name: Hstride, default: 1}]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - {name: Inputs, projection: [[[N]], [[C]], [[R], [P, Wstride]], [[S], [Q, Hstride]]]}
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]]], read_write: true}
  instance: {C: 3, M: 32, N: 1, P: 112, Q: 112, R: 3, S: 3, Wstride: 2, Hstride: 2, H: 224, W: 224, Hpad: 1, Wpad: 1, densities: {}}
"""
EYERISS_MAPPING = """
mapping:
- {target: DRAM, type: temporal, factors: P8 Q2 M4, permutation: MQP}
- {target: shared_glb, type: temporal, factors: P14 Q4, permutation: QP}
- {target: inter_PE_column_spatial, type: spatial, factors: Q14, permutation: Q, split: 1}
- {target: inter_PE_spatial, type: spatial, factors: C3 S3, permutation: SC, split: 0}
- {target: weights_spad, type: temporal, factors: R3}
- {target: psum_spad, type: temporal, factors: M8}
"""
THREE_LEVELS = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: System, attributes: {technology: "40nm", global_cycle_seconds: 1e-9}}
  - !Component {name: MainMemory, class: DRAM, attributes: {width: 256, datawidth: 8}}
  - !Container {name: PE, spatial: {meshX: 16}}
  - !Component {name: GlobalBuffer, class: SRAM, attributes: {depth: 32768, width: 64, datawidth: 8}}
  - !Component {name: RegisterFile, class: regfile, attributes: {depth: 64, width: 8, datawidth: 8}}
  - !Component {name: MACC, class: intmac, attributes: {datawidth: 8}}
"""
THREE_ENERGIES = {
    "MainMemory": (2048.0, 2048.0),
    "GlobalBuffer": (43.353054, 30.878292),
    "RegisterFile": (0.42564, 0.42564),
    "MACC": (0.845,),
}
LINE = """
problem:
  version: 0.4
  shape:
    dimensions: [C, K, R, P]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[K]], [[R]]]}
    - {name: Inputs, projection: [[[C]], [[R], [P]]]}
    - {name: Outputs, projection: [[[K]], [[P]]], read_write: true}
  instance: {C: 32, K: 32, R: 3, P: 16}
"""
LINE_MAPPING = """
mapping:
- {target: MainMemory, type: temporal, factors: "R=1,P=1,K=1,C=1", permutation: PRKC}
- {target: PE, type: spatial, factors: "R=1,P=1,K=1,C=16", permutation: PRKC}
- {target: GlobalBuffer, type: temporal, factors: "R=3,P=1,K=32,C=2", permutation: PRKC}
- {target: RegisterFile, type: temporal, factors: "R=1,P=16,K=1,C=1", permutation: RPKC}
"""

DUMPED = """
- name: {name}[1..{count}]
  class: {kind}
  attributes: {{has_power_gating: false, n_banks: 2, cluster_size: 1, reduction_supported: true, multiple_buffering: 1, min_utilization: 0,
    allow_overbooking: false, meshX: {mesh}, meshY: {mesh}, power_gated_at: {name}, datawidth: {bits}, width: {width}{rest}}}
  enabled: true"""
SIXTEENS = {
    "DRAM": ("DRAM", 1, 16, 64, ", type: LPDDR4"),
    "shared_glb": ("smartbuffer_SRAM", 1, 16, 64, ", depth: 16384, read_bandwidth: 16, write_bandwidth: 16"),
    "inter_PE_spatial": ("dummy_storage", 1, 1, 1, ", depth: 1, technology: -1"),
    "pe_spad": ("smartbuffer_SRAM", 256, 16, 16, ", depth: 192"),
    "weight_reg": ("storage", 256, 16, 16, ", depth: 1"),
    "input_activation_reg": ("storage", 256, 16, 16, ", depth: 1"),
    "output_activation_reg": ("storage", 256, 16, 16, ", depth: 1"),
    "mac": ("intmac", 256, 16, 16, ", multiplier_width: 8, adder_width: 16"),
}  # name -> class, instances, bits of a word and of an access
TARGETS = """
architecture_constraints:
  targets:
  - {type: temporal, permutation: N, target: DRAM}
  - {type: spatial, factors: "R=1,S=1,P=1,Q=1", permutation: NQPSRCM, split: 1, target: inter_PE_spatial}
  - {type: temporal, factors: "C=1,M=1,R=1,S=1,N=1,P=1,Q=1", permutation: CMRSNPQ, target: inter_PE_spatial}
  - {type: dataspace, bypass: [Weights, Inputs, Outputs], target: inter_PE_spatial}
  - {type: dataspace, keep: [Outputs], bypass: [Inputs, Weights], target: pe_spad}
  - {type: temporal, permutation: NRSPQ, target: pe_spad}
  - {type: dataspace, keep: [Weights], bypass: [Inputs, Outputs], target: weight_reg}
  - {type: temporal, factors: "R=1,S=1,M=1,C=1", permutation: NCMSR, target: weight_reg}
  - {type: dataspace, keep: [Inputs], bypass: [Weights, Outputs], target: input_activation_reg}
  - {type: dataspace, keep: [Outputs], bypass: [Weights, Inputs], target: output_activation_reg}
"""
SIXTEEN_ENERGIES = {
    "DRAM": (512.0, 512.0), "shared_glb": (32.377775, 26.156875), "pe_spad": (0.680237, 1.582678), "weight_reg": (0.144, 0.0),
    "input_activation_reg": (0.144, 0.0), "output_activation_reg": (0.144, 0.0), "mac": (0.315,),
}  # fmt: skip
SIXTEEN_MAPPING = """
mapping:
- {target: shared_glb, type: datatype, keep: [Weights, Inputs], bypass: [Outputs]}
- {target: inter_PE_spatial, type: datatype, keep: [], bypass: [Weights, Inputs, Outputs]}
- {target: output_activation_reg, type: temporal, factors: C1 M1 R1 S1 N1 P1 Q1, permutation: CMRSNPQ}
- {target: weight_reg, type: temporal, factors: C1 M1 R1 S1 N1 P1 Q4, permutation: QCMRSNP}
- {target: pe_spad, type: temporal, factors: C3 M1 R3 S3 N1 P1 Q4, permutation: RSQCMNP}
- {target: inter_PE_spatial, type: spatial, factors: C1 M16 R1 S1 N1 P1 Q1, permutation: MCRSNPQ, split: 0}
- {target: inter_PE_spatial, type: temporal, factors: C1 M1 R1 S1 N1 P1 Q1, permutation: CMRSNPQ}
- {target: shared_glb, type: temporal, factors: C1 M2 R1 S1 N1 P16 Q7, permutation: MQPCRSN}
- {target: DRAM, type: temporal, factors: C1 M1 R1 S1 N1 P7 Q1, permutation: PCMRSNQ}
"""


def dumped() -> str:
    """The form that Timeloop's front end hands on."""
    parts = "".join(
        DUMPED.format(name=name, kind=kind, count=count, mesh=16 if count > 1 else 1, bits=bits, width=width, rest=rest)
        for name, (kind, count, bits, width, rest) in SIXTEENS.items()
    )
    head = 'dumped_by_timeloop_front_end: true\narchitecture:\n  version: 0.4\n  subtree:\n  - name: top\n    attributes: {technology: "SET ME"}\n'
    return f"{head}    local:{parts.replace(chr(10), chr(10) + '    ')}\n{TARGETS}"


def table(energies: Mapping[str, Sequence[float]]) -> str:
    """An ERT: (pJ to read, to write), or of a multiplication."""
    lines = ["ERT:", "  version: '0.4'", "  tables:"]
    for name, values in energies.items():
        actions = ("compute",) if len(values) == 1 else ("read", "write", "update")
        made = ", ".join(f"{{name: {action}, energy: {values[min(place, 1)]}}}" for place, action in enumerate(actions))
        lines.append(f'  - {{name: "top.{name}[1..1]", actions: [{made}]}}')
    return "\n".join(lines)


def costed(folder: Path, architecture: str, energies: Mapping[str, Sequence[float]], problem: str, mapping: str) -> dict[str, Any]:
    files = {"architecture": architecture + table(energies), "problem": problem, "mapping": mapping}
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    found = map_network(
        MapOptions(
            network=str(folder / "problem.yaml"), chip=str(folder / "architecture.yaml"), mapping=folder / "mapping.yaml", rules="timeloop"
        )
    )
    layer: dict[str, Any] = found["layers"][0]
    return layer


def test_three_levels(tmp_path: Path) -> None:
    """Every level's words are equal, of 8 bits each. Timeloop pays for whole blocks: 5 of 8 words for the 36 of each of 16 buffers' inputs."""
    layer = costed(tmp_path, THREE_LEVELS, THREE_ENERGIES, LINE, LINE_MAPPING)
    words = {level: sum(traffic.values()) for level, traffic in layer["traffic_bytes"].items()}
    assert words == {"RegisterFile": 218_112, "GlobalBuffer": 49_728, "MainMemory": 4_160}
    assert (layer["cycles"], layer["utilization"]) == (3072, 1.0)
    half_blocks = 16 * 0.5 * 30.878292
    energy = layer["energy_by_level"]
    assert energy["mac"] == pytest.approx(41_533.44, rel=1e-9)
    assert energy["MainMemory"] == pytest.approx(196_608 + 36_864 + 32_768, rel=1e-12)
    assert energy["RegisterFile"] == pytest.approx(22_228.62 + 28_766.45 + 41_842.11, rel=1e-6)
    assert energy["GlobalBuffer"] + half_blocks == pytest.approx(28_504.84 + 102_355.70 + 107_632.27, rel=1e-6)


def test_eyeriss_like(tmp_path: Path) -> None:
    """Cycles and every spad's words and energy are equal, over widths that differ. Inputs of the global buffer are 156,600 here and 157,296 there:
    Timeloop fetches all of a tile again where a loop that the inputs lack (M) stands inside of the one that moves it, and here only its new part."""
    layer = costed(tmp_path, EYERISS_LIKE, EYERISS_ENERGIES, IMAGE, EYERISS_MAPPING)
    assert (layer["cycles"], layer["utilization"]) == (86_016, 0.75)
    energy, words = layer["energy_by_level"], {level: dict(traffic) for level, traffic in layer["traffic_bytes"].items()}
    for level, published in (
        ("mac", 2_250_969.22), ("psum_spad", 4_190_338.25), ("weights_spad", 10_893_306.24), ("ifmap_spad", 1_216_735.96),
    ):  # fmt: skip
        assert energy[level] == pytest.approx(published, rel=1e-8)
    assert (words["psum_spad"], words["weights_spad"], words["ifmap_spad"]) == (
        {"output": 18_063_360}, {"weight": 11_031_552}, {"input": 12_192_768}
    )  # fmt: skip
    assert words["DRAM"] == {"input": 156_600, "weight": 13_824, "output": 401_408}
    refetched = 157_296 - 156_600
    assert words["shared_glb"] == {"input": 1_354_752 + 157_296 - refetched, "output": 401_408}
    assert energy["DRAM"] + 64 * refetched == pytest.approx(884_736 + 10_066_944 + 25_690_112, rel=1e-12)
    assert energy["shared_glb"] + 14.137929 / 8 * refetched == pytest.approx(3_357_302.30 + 709_384.73, rel=1e-8)


def test_the_form_that_is_dumped(tmp_path: Path) -> None:
    """Every level's words are equal, and the energy of those whose ERT is that of the run; of the DRAM but for a block of three words."""
    layer = costed(tmp_path, dumped(), SIXTEEN_ENERGIES, IMAGE, SIXTEEN_MAPPING)
    assert (layer["cycles"], layer["utilization"]) == (677_376, 0.0625)
    assert {level: sum(traffic.values()) // 2 for level, traffic in layer["traffic_bytes"].items()} == {
        "DRAM": 554_147, "shared_glb": 3_539_619, "pe_spad": 21_274_624, "weight_reg": 13_547_520, "input_activation_reg": 21_676_032,
        "output_activation_reg": 31_711_232,
    }  # fmt: skip
    published = {
        "mac": 3_413_975.04,
        "output_activation_reg": 1_502_871.55,
        "input_activation_reg": 1_560_674.30,
        "weight_reg": 1_560_674.30,
    }
    assert {level: layer["energy_by_level"][level] for level in published} == pytest.approx(published, rel=1e-8)
    assert layer["energy_by_level"]["DRAM"] + 0.25 * 512 == pytest.approx(110_592 + 19_440_128 + 51_380_224, rel=1e-12)
