"""The engine as C++ for Vitis HLS: a kernel that executes a program's instructions, its test bench and scripts."""

from ridgeline.backends.hls.counts import Counts, counts
from ridgeline.backends.hls.emit import CXX_FLAGS, FOLDER, Board, emit

__all__ = ["CXX_FLAGS", "FOLDER", "Board", "Counts", "counts", "emit"]
