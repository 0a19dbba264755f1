"""--weights, --activations and --sparsity: what goes together, and what is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ridgeline.errors import InputError
from ridgeline.flows.options import Options, require_storage


def options(**given: Any) -> Options:
    return Options(network="resnet8", out=Path("out"), **given)


BOTH = {"weights": "flint4", "activations": "flint4", "sparsity": "2:4"}


@pytest.mark.parametrize("given", [{}, {"backend": "hls"}, {"weights": "int4"}, BOTH, {"sparsity": "bank16:50%"}])
def test_what_the_engine_stores(given: dict[str, Any]) -> None:
    require_storage(options(**given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": "float16"}, r"weights of float16 have 16 bits; take int8, or a format of 4 bits such as flint4"),
        ({"weights": "e2m1"}, r"weights of e2m1 may be 0\.5"),
        ({"weights": "flint5x"}, r"unknown format 'flint5x'"),
        ({"sparsity": "1:4"}, r"sparsity 1:4 is none that the engine stores; take one of none, 2:4, bank16:50%"),
        ({"activations": "flint4"}, r"--activations flint4 are those that layers of 4-bit weights read; give --weights too"),
        ({"weights": "int4", "backend": "hls"}, r"--weights int4 with --backend hls: only the programmable engine in Verilog stores weights so"),
        ({"sparsity": "2:4", "backend": "both"}, r"--sparsity 2:4 with --backend both: only .*; leave out --backend"),
        ({"weights": "int4", "engine": "uniform"}, r"--weights int4 with --engine uniform: only the programmable engine"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        require_storage(options(**given))
    assert "\n" not in str(caught.value)


def test_boards_in_a_line_store_int8() -> None:
    with pytest.raises(InputError, match="--weights int4: engines of boards in a line store int8; leave it out, or give one board"):
        require_storage(options(weights="int4"), line=True)
