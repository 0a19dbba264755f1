"""The operators of a graph: one file each.

Every operator is a frozen dataclass of its attributes. It knows its output's shape, its loop nest in axes (from which MACs and footprints
are derived), and its meaning in numpy: `accumulate` gives the value before the output stage, in integers for an integer graph (int64,
proven to fit int32) and in float64 for a float graph. Padding is a real zero: the caller passes the code that stands for it.
"""

from ridgeline.algorithm.operators.add import Add
from ridgeline.algorithm.operators.average_pool import AveragePool
from ridgeline.algorithm.operators.concat import Concat
from ridgeline.algorithm.operators.conv import Conv
from ridgeline.algorithm.operators.conv_transpose import ConvTranspose
from ridgeline.algorithm.operators.copy import Copy
from ridgeline.algorithm.operators.expand import Expand
from ridgeline.algorithm.operators.join import Join
from ridgeline.algorithm.operators.max_pool import MaxPool
from ridgeline.algorithm.operators.mul import Mul
from ridgeline.algorithm.operators.operator import Operator
from ridgeline.algorithm.operators.resize import Resize
from ridgeline.algorithm.operators.select import Select
from ridgeline.algorithm.operators.take import Take

__all__ = [
    "Add", "AveragePool", "Concat", "Conv", "ConvTranspose", "Copy", "Expand", "Join", "MaxPool", "Mul", "Operator", "Resize", "Select", "Take",
]  # fmt: skip
