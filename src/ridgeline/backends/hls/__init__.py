"""The engine as C++ for Vitis HLS: a kernel that executes a program's instructions, its test bench and scripts."""

from ridgeline.backends.hls.counts import Counts, counts
from ridgeline.backends.hls.emit import CXX_FLAGS, FOLDER, Board, emit
from ridgeline.backends.hls.need import DSP_SHARE, need

__all__ = ["CXX_FLAGS", "DSP_SHARE", "FOLDER", "Board", "Counts", "counts", "emit", "need"]
