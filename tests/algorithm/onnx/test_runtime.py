"""What onnxruntime refuses becomes one line."""

from pathlib import Path

import numpy as np
import pytest

from ridgeline.algorithm.onnx.golden import golden
from ridgeline.algorithm.onnx.runtime import call, run, session
from ridgeline.errors import InputError
from ridgeline.testing.graphs import random_codes, random_network


def test_bytes_and_files_give_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = random_network(rng)
    codes = random_codes(rng, graph)
    made = golden(graph)
    path = tmp_path / "golden.onnx"
    path.write_bytes(made)
    name = graph.outputs[0].name
    np.testing.assert_array_equal(run(made, codes, [name], threads=1)[name], run(path, codes)[name])
    np.testing.assert_array_equal(run(made, codes)[name], call(session(made, optimise=False), codes)[name])


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^onnxruntime cannot load the model: .+$"):
        run(b"no model", {})
    with pytest.raises(InputError, match=r"^onnxruntime cannot load '.*absent.onnx': .+$"):
        run(tmp_path / "absent.onnx", {})


def test_wrong_feeds() -> None:
    made = golden(random_network(np.random.default_rng(0)))
    with pytest.raises(InputError, match=r"^onnxruntime cannot run the model: .*in0"):
        run(made, {})
