"""Files through reader, quantiser and the emitted Verilog: one of Keras, and constants of every place in one network."""

from pathlib import Path

import numpy as np
import pytest
from tests.algorithm.onnx.drafts import draft
from tests.end_to_end.conftest import DRAM

from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.reference import quantisation
from ridgeline.algorithm.reference import quantise as codes_of
from ridgeline.hardware.engine.engine import Engine
from ridgeline.testing.graphs import informative
from ridgeline.testing.hardware import run

FILES = Path(__file__).parents[1] / "algorithm" / "onnx" / "files"
PLACES = draft(
    'p=Pad<mode="reflect">(x,q) c=Conv(p,w) h=Concat<axis=2>(c,k,c) b=Pad(h,r,u) a=Concat<axis=1>(l,b) m=Mul(a,n) y=Conv(m,v)',
    x="float[batch,3,9,7]", q=np.array([0, 0, 1, 2, 0, 0, 2, 1]), w=(5, 3, 3, 3), k=(1, 5, 2, 8), r=np.array([0, 0, 1, 0, 0, 0, 0, 2]),
    u=np.float32(-1.5), l=(1, 2, 23, 10), n=(7, 23, 10), v=(4, 7, 3, 3),
)  # fmt: skip


@pytest.mark.parametrize("model", [(FILES / "keras_encoder.onnx").read_bytes(), PLACES], ids=["encoder", "places"])
def test_a_file_is_exact_in_verilog(model: bytes, engine: Engine, tmp_path: Path) -> None:
    floats = read_network(model).graph
    rng = np.random.default_rng(1)
    integers = quantise(floats, noise(floats, rng))
    reals = noise(floats, rng, images=2)
    codes = {port.name: codes_of(reals[port.name], quantisation(integers, port.tensor)) for port in integers.inputs}
    checked = run(integers, engine, codes, tmp_path, dram=DRAM)
    assert checked.mismatch is None
    assert all(informative(values) for values in checked.outputs.values())
