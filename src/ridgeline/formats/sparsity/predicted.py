"""Predicted output sparsity (Cao et al., SeerNet, CVPR'19): a low-bit copy of a layer says which outputs ReLU or max-pool will not discard."""

from __future__ import annotations

import numpy as np

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.matrix import Array, Mask


def relu_needed(predicted: Array) -> Mask:
    """The outputs that ReLU lets pass, by the copy's outputs before it."""
    return predicted > 0


def pool_needed(predicted: Array, window: int) -> Mask:
    """The output of each window x window (stride the same, last two axes) that max-pool takes; the lowest index wins. Raises InputError for a
    rest."""
    height, width = predicted.shape[-2:] if predicted.ndim > 1 else (0, 0)
    if window < 1 or not height or height % window or width % window:
        raise InputError(f"sparsity: outputs of shape {predicted.shape} do not divide into windows of {window} x {window}")
    split = predicted.reshape(*predicted.shape[:-2], height // window, window, width // window, window).swapaxes(-2, -3)
    flat = split.reshape(*split.shape[:-2], window * window)
    chosen = np.arange(window * window) == flat.argmax(axis=-1)[..., None]
    return chosen.reshape(split.shape).swapaxes(-2, -3).reshape(predicted.shape)


def hit_rate(needed: Mask, true: Mask) -> float:
    """The share of outputs for which the prediction and the full layer agree."""
    if needed.shape != true.shape or not true.size:
        raise InputError(f"sparsity: masks of shapes {needed.shape} and {true.shape}; give two of one layer that has outputs")
    return float((needed == true).mean())
