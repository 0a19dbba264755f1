"""Stock onnxruntime, on the processor, quietly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from ridgeline.algorithm.graph import Array
from ridgeline.errors import InputError

_QUIET = 4  # fatal messages only: errors arrive as exceptions


def run(model: bytes | Path, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None, *, threads: int = 0) -> dict[str, Array]:
    """Output name -> array. `outputs` None gives all; `threads` 0 lets onnxruntime choose. Raises InputError for whatever onnxruntime refuses."""
    return call(session(model, threads=threads), feeds, outputs)


def session(
    model: bytes | Path, *, threads: int = 0, optimise: bool = True, weights: Mapping[str, Array] | None = None, exact: bool = False
) -> Any:
    """A loaded model; `weights` are the initialisers that it holds beside itself (`Network.weights`). `exact`: products of dequantised weights take
    float activations, which onnxruntime otherwise rounds to int8, and sums of int8 products do not saturate, as they do on processors without VNNI.
    Raises InputError for a file that onnxruntime cannot load.
    """
    runtime: Any = onnxruntime
    runtime.set_default_logger_severity(_QUIET)
    options = runtime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait give way to others
    if exact:
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimise:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    held = {name: runtime.OrtValue.ortvalue_from_numpy(array) for name, array in (weights or {}).items()}
    if held:
        options.add_external_initializers(list(held), list(held.values()))
    source = model if isinstance(model, bytes) else str(model)
    try:
        loaded = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types share no other ancestor
        raise InputError(f"onnxruntime cannot load {_name(model)}: {_line(error)}") from error
    loaded.initializers_beside = held  # onnxruntime reads them where they are: they live as long as the session
    return loaded


def call(loaded: Any, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
    names = [str(output.name) for output in loaded.get_outputs()] if outputs is None else list(outputs)
    try:
        values = loaded.run(names, dict(feeds))
    except Exception as error:
        raise InputError(f"onnxruntime cannot run the model: {_line(error)}") from error
    return dict(zip(names, values, strict=True))


def _name(model: bytes | Path) -> str:
    return "the model" if isinstance(model, bytes) else f"'{model}'"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
