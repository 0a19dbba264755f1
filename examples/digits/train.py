"""Trains the digits network and writes digits.onnx and test.npz beside this file.

Needs the development extras torch and scikit-learn; takes under a minute on two cores:

    python examples/digits/train.py
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

SEED = 0
EPOCHS = 60
BATCH = 64
TEST_SHARE = 0.2


class Residual(nn.Module):
    """A depthwise 3x3 and a pointwise convolution, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.pointwise(torch.relu(self.depthwise(x))))


class Digits(nn.Module):
    """Images (batch, 1, 8, 8) with values in 0 to 1 -> logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.block = Residual(32)
        self.conv3 = nn.Conv2d(32, 32, 3, padding=1)
        self.fc = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.conv1(images))
        x = torch.relu(self.conv2(x))
        x = self.block(x)
        x = torch.relu(self.conv3(x))
        return self.fc(x.mean((2, 3)))


def split() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(training images, test images, training labels, test labels): every class in the same share of both."""
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    parts = train_test_split(images, labels, test_size=TEST_SHARE, stratify=labels, random_state=SEED)
    return tuple(torch.from_numpy(part) for part in parts)


def shifted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each image moved by -1, 0 or 1 pixels both ways, zeros coming in."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    rows, columns = torch.randint(0, 3, (2, len(images)), generator=rng).tolist()
    crops = [image[:, y : y + 8, x : x + 8] for image, y, x in zip(padded, rows, columns, strict=True)]
    return torch.stack(crops)


def train(network: Digits, images: Tensor, labels: Tensor) -> None:
    rng = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=8e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images), generator=rng).split(BATCH):
            loss = cross_entropy(network(shifted(images[chosen], rng)), labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def accuracy(network: Digits, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((network(images).argmax(1) == labels).float().mean())


def exported(network: Digits, example: Tensor) -> onnx.ModelProto:
    """The network as torch's exporter writes it, with a dynamic batch and nodes named after the layers."""
    program = torch.onnx.export(
        network, (example,), dynamo=True, input_names=["images"], output_names=["logits"], opset_version=18,
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}}, verbose=False,
    )  # fmt: skip
    model = onnx.shape_inference.infer_shapes(program.model_proto)
    return tidied(model)


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Layer names in place of the exporter's, and none of its notes, which name this machine's files."""
    renamed: dict[str, str] = {}
    layer = ""
    for node in model.graph.node:
        parameter = next((name for name in node.input if name.endswith(".weight")), None)
        layer = parameter.removesuffix(".weight") if parameter else layer
        node.name = layer if parameter else f"{layer}.{node.op_type.lower()}"
        renamed |= {name: node.name for name in node.output if name != "logits"}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
        del node.metadata_props[:]
        node.doc_string = ""
    for value in model.graph.value_info:
        value.name = renamed.get(value.name, value.name)
    for thing in (model, model.graph, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del thing.metadata_props[:]
        thing.doc_string = ""
    model.graph.name = "digits"
    return model


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    train_images, test_images, train_labels, test_labels = split()
    network = Digits()
    train(network, train_images, train_labels)
    network.eval()
    print(f"test accuracy {accuracy(network, test_images, test_labels):.4f} on {len(test_labels)} images")
    folder = Path(__file__).parent
    model = exported(network, test_images[:2])
    onnx.checker.check_model(model, full_check=True)
    (folder / "digits.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.savez_compressed(folder / "test.npz", images=test_images.numpy(), labels=test_labels.numpy())


if __name__ == "__main__":
    main()
