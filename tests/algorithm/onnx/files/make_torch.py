"""Makes the torch_*.onnx files beside it: `python make_torch.py` with torch 2.13, onnx and onnxscript installed.

The exporters' notes about the machine (stack traces, comments) are taken out; the graphs are as exported.
"""

import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Shuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class Blocks(nn.Module):
    """Normalisation, gated sums, a channel shuffle, padding, upsampling, and a softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.depthwise_norm = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.shuffle, self.up, self.slope = Shuffle(), nn.ConvTranspose2d(8, 4, 2, 2), nn.PReLU(4)
        self.classes, self.drop = nn.Linear(4, 5), nn.Dropout(0.2)
        for norm in (self.stem_norm, self.depthwise_norm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        self.slope.weight.data.uniform_(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem_norm(self.stem(x)))
        y = F.silu(self.depthwise_norm(self.depthwise(x)))
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = self.shuffle(x + y * gate)
        x = F.avg_pool2d(F.pad(x, (1, 1, 0, 0)), 3, 1)
        x = self.slope(self.up(x))
        x = torch.cat([x, F.max_pool2d(x, 3, 1, 1)], 1)[:, 2:6]
        x = F.interpolate(x, scale_factor=2)
        x = F.leaky_relu(x.mean((2, 3)), 0.1)
        return F.softmax(self.classes(self.drop(x)), dim=1)


class Sequence(nn.Module):
    """Products along the last axis, then a 1-D convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(6, 12), nn.Linear(12, 6)
        self.conv, self.last = nn.Conv1d(6, 4, 3, padding=1), nn.Linear(4 * 10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.narrow(F.gelu(self.wide(x)))
        x = F.mish(self.conv(x.transpose(1, 2)))
        return self.last(torch.flatten(x, 1))


class Gates(nn.Module):
    """Pooling with uneven borders, split channels, and a flattened map before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 6, 3, 1, 1), nn.Linear(6 * 4 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu6(self.conv(x)), 3, 2, 1, ceil_mode=True)
        left, right = torch.chunk(x, 2, 1)
        x = torch.cat([left * torch.sigmoid(right), F.gelu(right, approximate="tanh")], 1)
        x = F.avg_pool2d(x, 2, 1, padding=1, count_include_pad=False)[:, :, :4, :4]
        return self.last(x.reshape(x.shape[0], -1))


def strip(path: str) -> None:
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for thing in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer, *model.functions):
        thing.doc_string = ""
        del thing.metadata_props[:]
    onnx.save(model, path)


def main() -> None:
    for name, make, shape in (("blocks", Blocks, (3, 16, 16)), ("sequence", Sequence, (10, 6)), ("gates", Gates, (3, 9, 9))):
        torch.manual_seed(0)
        network, x = make().eval(), torch.randn(2, *shape)
        script, dynamo = f"torch_script_{name}.onnx", f"torch_dynamo_{name}.onnx"
        torch.onnx.export(network, (x,), script, dynamo=False, opset_version=13, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(network, (x,), dynamo, dynamo=True, opset_version=20, external_data=False, verbose=False, dynamic_shapes=shapes)
        strip(script)
        strip(dynamo)


if __name__ == "__main__":
    main()
