"""Sliding windows."""

from __future__ import annotations


def window_count(extent: int, kernel: int, stride: int, dilation: int) -> int:
    """How many windows of `kernel` taps fit along a padded extent."""
    return (extent - dilation * (kernel - 1) - 1) // stride + 1
