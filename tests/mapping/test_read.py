"""From an ONNX file to the bytes in DRAM: joined tensors, constant ones, borders and files of Keras, through reader, quantiser and program."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from tests.algorithm.onnx.drafts import draft
from tests.algorithm.onnx.test_reader_random import random_network
from tests.mapping.cases import differences, random_engine

from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.onnx.golden_check import check_golden
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.reference import dequantise, quantisation, run_float, run_integer, sqnr_db
from ridgeline.algorithm.reference import quantise as codes_of
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import image
from ridgeline.mapping.lower import lower
from ridgeline.mapping.schedule import DramTiming, predict
from ridgeline.testing.graphs import informative, random_codes

ENGINE = Engine(lanes_out=8, lanes_in=4, bus_bytes=16, activation_bytes=4096, weight_bytes=4096, output_bytes=1024, accumulator_depth=64)
C = "c = Conv<pads=[1,1,1,1]>(x,w) "
BORDER = np.array([0, 0, 1, 2, 0, 0, 2, 1])

NETWORKS = {
    "height": draft(C + "r=Relu(c) a=Concat<axis=2>(r,x,c) y=Conv(a,v)", w=(4, 4, 3, 3), v=(3, 4, 3, 3)),
    "width_with_function": draft(C + "a=Concat<axis=3>(c,x) y=Sigmoid(a)", w=(4, 4, 3, 3)),
    "constant_channels": draft(C + "a=Concat<axis=1>(k,c) y=Conv(a,v)", w=(4, 4, 3, 3), k=(1, 3, 6, 6), v=(3, 7, 3, 3)),
    "constant_rows": draft(C + "a=Concat<axis=2>(c,k,c) y=HardSwish(a)", w=(4, 4, 3, 3), k=(1, 4, 2, 6)),
    "class_token": draft(
        "m=MatMul(x,w) a=Concat<axis=1>(k,m) b=Add(a,p) y=MatMul(b,v)", x="float[batch,9,4]", w=(4, 5), k=(1, 1, 5), p=(1, 10, 5), v=(5, 9)
    ),
    "pixels": draft(C + "a=Mul(c,p) y=Sub(q,a)", w=(4, 4, 3, 3), p=(4, 6, 6), q=(1, 4, 6, 6)),
    "value": draft(C + "p=Pad(c,q,u) y=Conv(p,v)", w=(4, 4, 3, 3), q=BORDER, u=np.float32(-1.5), v=(3, 4, 3, 3)),
    "value_beyond_what_was_seen": draft(C + "r=Sigmoid(c) y=Pad(r,q,u)", w=(4, 4, 3, 3), q=np.array([0, 0, 1, 0, 0, 0, 0, 1]), u=np.float32(-8)),
    "edge": draft(C + 'p=Pad<mode="edge">(c,q) y=Conv(p,v)', w=(4, 4, 3, 3), q=BORDER, v=(3, 4, 3, 3)),
    "reflect": draft(C + 'p=Pad<mode="reflect">(c,q) y=Conv(p,v)', w=(4, 4, 3, 3), q=BORDER, v=(3, 4, 3, 3)),
    "turned_round": draft(
        C + "y=Slice(c,s,e,a,t)", w=(4, 4, 3, 3), s=np.array([-1, -1]), e=np.array([-9, -9]), a=np.array([2, 3]), t=np.array([-1, -2])
    ),
    "given_scales": draft(
        "d=QuantizeLinear(x,s,z) e=DequantizeLinear(d,s,z) c=Conv<pads=[1,1,1,1]>(e,w) f=QuantizeLinear(c,t,z) g=DequantizeLinear(f,t,z) "
        "a=Concat<axis=2>(e,g) h=QuantizeLinear(a,u,z) y=DequantizeLinear(h,u,z)",
        w=(4, 4, 3, 3), s=np.float32(0.03), t=np.float32(0.15), u=np.float32(0.16), z=np.int8(-5),
    ),
    "given_scales_and_a_function": draft(
        "d=QuantizeLinear(x,s,z) e=DequantizeLinear(d,s,z) c=Conv<pads=[1,1,1,1]>(e,w) f=QuantizeLinear(c,t,z) g=DequantizeLinear(f,t,z) "
        "a=Concat<axis=2>(e,g) h=Tanh(a) y=Conv(h,v)",
        w=(4, 4, 3, 3), s=np.float32(0.03), t=np.float32(0.15), z=np.int8(-5), v=(3, 4, 1, 1),
    ),
}  # fmt: skip


FILES = Path(__file__).parents[1] / "algorithm" / "onnx" / "files"
KERAS = {name: FILES / f"keras_{name}.onnx" for name in ("plain", "separable", "encoder", "sequence")}


def quantised(name: str) -> tuple[Graph, Graph]:
    floats = read_network(NETWORKS[name] if name in NETWORKS else KERAS[name]).graph
    return floats, quantise(floats, noise(floats, np.random.default_rng(1), images=16))


@pytest.mark.parametrize("name", [*NETWORKS, *KERAS])
def test_the_program_equals_the_golden_network(name: str) -> None:
    floats, integers = quantised(name)
    reals = noise(floats, np.random.default_rng(2), images=2)
    codes = {port.name: codes_of(reals[port.name], quantisation(integers, port.tensor)) for port in integers.inputs}
    assert check_golden(integers, codes) is None
    program = lower(integers, ENGINE)
    program.verify()
    assert differences(program, integers, codes) == []
    wanted, found = run_float(floats, reals), run_integer(integers, codes)
    assert all(informative(found[port.tensor]) for port in integers.outputs)
    for port in integers.outputs:
        assert sqnr_db(wanted[port.tensor], dequantise(found[port.tensor], quantisation(integers, port.tensor))) > 25


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_random_file_is_exact(data: st.DataObject, seed: int) -> None:
    """Any codes, any engine."""
    model, writer = random_network(data)
    note("\n".join(writer.lines))
    rng = np.random.default_rng(seed)
    try:
        floats = read_network(model).graph
        integers = quantise(floats, noise(floats, rng))
        program = lower(integers, random_engine(rng))
    except (UnsupportedError, DoesNotFitError):
        return
    codes = random_codes(rng, integers)
    assert check_golden(integers, codes) is None
    program.verify()
    assert differences(program, integers, codes) == []


def test_constant_tensors_lie_in_the_image() -> None:
    _, integers = quantised("class_token")
    program = lower(integers, ENGINE)
    assert set(integers.constants) == {"k", "p"}
    memory = image.memory(program)
    for name, values in integers.constants.items():
        assert values.dtype == np.int8
        np.testing.assert_array_equal(image.unpack(program, memory, name), values)
        assert program.placements[name].address + program.placements[name].bytes <= len(program.image())


def test_a_prediction_without_constants_has_the_same_addresses() -> None:
    _, integers = quantised("constant_channels")
    packed, bare = lower(integers, ENGINE), lower(integers, ENGINE, pack=False)
    dram = DramTiming(bytes_per_cycle=Fraction(8), read_latency_cycles=20, write_latency_cycles=20)
    assert bare.fixed == b"" != packed.fixed
    assert bare.placements == packed.placements
    assert predict(bare, dram).cycles == predict(packed, dram).cycles


def test_the_border_is_a_code_of_the_tensor() -> None:
    """-8 lies below all that a Sigmoid gives: the range is widened to hold it, to within half a step."""
    _, integers = quantised("value_beyond_what_was_seen")
    (port,) = integers.outputs
    code = quantisation(integers, port.tensor)
    border = integers.producer(port.tensor)
    assert border is not None
    found = run_integer(integers, {"x": np.zeros((1, 4, 6, 6), np.int8)})[port.tensor]
    assert abs(float(dequantise(found, code)[0, 0, 0, 0]) + 8) <= code.scale / 2
    assert found.min() == found[0, 0, 0, 0] < found.max()
