"""How much a network's outputs lose against those of another: cosine, KL divergence, accuracy by labels, or a function of the user's."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from ridgeline.errors import InputError
from ridgeline.registry import resolve

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Outputs: TypeAlias = Mapping[str, Array]  # each (images, ...)
NAMES = ("cosine", "kl", "accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`score` of outputs, beside the float network's and the labels: more is better. What is lost is the float network's own score less it."""

    name: str
    score: Callable[[Outputs, Outputs, Array | None], float]

    def loss(self, outputs: Outputs, reference: Outputs, labels: Array | None) -> float:
        """Raises InputError for a function that raises, or gives no number."""
        return self._scored(reference, reference, labels) - self._scored(outputs, reference, labels)

    def _scored(self, outputs: Outputs, reference: Outputs, labels: Array | None) -> float:
        if self.name in NAMES:
            return self.score(outputs, reference, labels)
        try:
            found = float(self.score(outputs, reference, labels))
        except Exception as error:
            raise InputError(f"metric '{self.name}' raised {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not np.isfinite(found):
            raise InputError(f"metric '{self.name}' gave {found}; it must give a finite number, more for what is better")
        return found


def read_metric(name: str, *, labels: bool) -> Metric:
    """`cosine`, `kl`, `accuracy` (of data with labels), or a function as `module:function` or `file.py:function`, of (outputs, the float network's,
    labels or None). Raises InputError."""
    if name == "accuracy" and not labels:
        raise InputError("metric 'accuracy' needs labels, and the data has none; give them as array 'labels', or take --metric cosine")
    if name in NAMES:
        return Metric(name=name, score={"cosine": _cosine, "kl": _kl, "accuracy": _accuracy}[name])
    if ":" not in name:
        raise InputError(f"metric '{name}' is none of {', '.join(NAMES)}; a function of your own is given as module:function or file.py:function")
    function = _from_file(name) if name.rpartition(":")[0].endswith(".py") else resolve(name)
    if not callable(function):
        raise InputError(f"metric '{name}' is a {type(function).__name__}, no function")
    return Metric(name=name, score=cast("Callable[[Outputs, Outputs, Array | None], float]", function))


def _from_file(name: str) -> object:
    path, _, attribute = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("ridgeline_metric", path) if Path(path).is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(f"metric '{name}': '{path}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        return getattr(module, attribute)
    except Exception as error:
        raise InputError(f"metric '{name}' cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _rows(array: Array) -> Array:
    return array.reshape(len(array), -1).astype(np.float64)


def _cosine(outputs: Outputs, reference: Outputs, labels: Array | None) -> float:
    """The mean over images and outputs; between zeros it is 1."""
    return float(np.mean([float(_cosines(_rows(outputs[name]), _rows(kept)).mean()) for name, kept in reference.items()]))


def _cosines(a: Array, b: Array) -> Array:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both = ~a.any(axis=1) & ~b.any(axis=1)
    return np.where(both, 1.0, np.divide(np.sum(a * b, axis=1), norms, out=np.zeros_like(norms), where=norms > 0))


def _kl(outputs: Outputs, reference: Outputs, labels: Array | None) -> float:
    """Less the mean of KL(float network | outputs) in nats, of the softmax along each output's last axis."""
    return -float(np.mean([float(_divergences(kept, outputs[name]).mean()) for name, kept in reference.items()]))


def _divergences(kept: Array, other: Array) -> Array:
    log_p, log_q = _log_softmax(kept), _log_softmax(other)
    return np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


def _log_softmax(array: Array) -> Array:
    shifted = array.astype(np.float64) - array.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _accuracy(outputs: Outputs, reference: Outputs, labels: Array | None) -> float:
    """The share of images whose first output is largest at the label."""
    first = outputs[next(iter(reference))]
    return float(np.count_nonzero(_rows(first).argmax(axis=1) == labels) / len(first))
