"""The layers that the study of ANT (MICRO 2022) counts, in torchvision's order of execution; a block's downsampling stands behind its convolutions.

A kernel of 1 x 7 is counted as 1 x 1 and one of 7 x 1 as 7 x 7: the study's model takes the kernel's height for both sides, and its published figures
hold it. Tokens are part of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

from ridgeline.explore.quantised import Work
from ridgeline.papers.networks import vgg16_convolutions

VIT_TOKENS, BERT_TOKENS, WIDTH, BLOCKS = 197, 128, 768, 12


def _conv(batch: int, kernel: int, side: int, channels: tuple[int, int]) -> Work:
    """`side` of the output map; channels in and out."""
    return Work(batch=batch, width=side, height=side, in_channels=channels[0], out_channels=channels[1], kernel=kernel)


def _dense(batch: int, inputs: int, outputs: int) -> Work:
    return Work(batch=batch, in_channels=inputs, out_channels=outputs)


def vgg16(batch: int) -> tuple[Work, ...]:
    axes = (layer.nest.axes for layer in vgg16_convolutions(batch=batch))
    convolutions = (_conv(batch, item["r"], item["y"], (item["c"], item["m"])) for item in axes)
    return (*convolutions, _dense(batch, 25088, 4096), _dense(batch, 4096, 4096), _dense(batch, 4096, 1000))


def resnet18(batch: int) -> tuple[Work, ...]:
    works, before = [_conv(batch, 7, 112, (3, 64))], 64
    for stage in range(4):
        channels, side = 64 << stage, 56 >> stage
        for block in range(2):
            works += [_conv(batch, 3, side, (before, channels)), _conv(batch, 3, side, (channels, channels))]
            if stage and not block:
                works.append(_conv(batch, 1, side, (before, channels)))
            before = channels
    return (*works, _dense(batch, before, 1000))


def resnet50(batch: int) -> tuple[Work, ...]:
    works, before = [_conv(batch, 7, 112, (3, 64))], 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, side = 64 << stage, 56 >> stage
        for block in range(blocks):
            entered = 2 * side if stage and not block else side
            works += [_conv(batch, 1, entered, (before, inner)), _conv(batch, 3, side, (inner, inner))]
            works.append(_conv(batch, 1, side, (inner, 4 * inner)))
            if not block:
                works.append(_conv(batch, 1, side, (before, 4 * inner)))
            before = 4 * inner
    return (*works, _dense(batch, before, 1000))


def _branch(batch: int, side: int, channels: tuple[int, ...], kernels: tuple[int, ...]) -> list[Work]:
    """Convolutions one after another, `channels` from the first's input to the last's output."""
    return [_conv(batch, kernel, side, pair) for kernel, pair in zip(kernels, pairwise(channels), strict=True)]


def inceptionv3(batch: int) -> tuple[Work, ...]:
    """Kernels by their height."""
    stem = ((3, 149, (3, 32)), (3, 147, (32, 32)), (3, 147, (32, 64)), (1, 73, (64, 80)), (3, 71, (80, 192)))
    works = [_conv(batch, *item) for item in stem]
    for before, pooled in ((192, 32), (256, 64), (288, 64)):
        works += _branch(batch, 35, (before, 64), (1,)) + _branch(batch, 35, (before, 48, 64), (1, 5))
        works += _branch(batch, 35, (before, 64, 96, 96), (1, 3, 3)) + _branch(batch, 35, (before, pooled), (1,))
    works += [_conv(batch, 3, 17, (288, 384)), *_branch(batch, 35, (288, 64, 96), (1, 3)), _conv(batch, 3, 17, (96, 96))]
    for inner in (128, 160, 160, 192):
        works += _branch(batch, 17, (768, 192), (1,)) + _branch(batch, 17, (768, inner, inner, 192), (1, 1, 7))
        works += _branch(batch, 17, (768, inner, inner, inner, inner, 192), (1, 7, 1, 7, 1)) + _branch(batch, 17, (768, 192), (1,))
    works += [_conv(batch, 1, 17, (768, 192)), _conv(batch, 3, 8, (192, 320))]
    works += [*_branch(batch, 17, (768, 192, 192, 192), (1, 1, 7)), _conv(batch, 3, 8, (192, 192))]
    for before in (1280, 2048):
        split = [_conv(batch, kernel, 8, (384, 384)) for kernel in (1, 3)]  # 1 x 3 and 3 x 1 side by side
        works += [*_branch(batch, 8, (before, 320), (1,)), *_branch(batch, 8, (before, 384), (1,)), *split]
        works += [*_branch(batch, 8, (before, 448, 384), (1, 3)), *split]
        works += _branch(batch, 8, (before, 192), (1,))
    return (*works, _dense(batch, 2048, 1000))


def vit(batch: int) -> tuple[Work, ...]:
    """Base size with patches of 16 x 16, behind the patch embedding."""
    rows, inner = batch * VIT_TOKENS, 4 * WIDTH
    sizes = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, inner), (inner, WIDTH))
    return (*(_dense(rows, *pair) for _ in range(BLOCKS) for pair in sizes), _dense(batch, WIDTH, 1000))


def bert(batch: int, classes: int) -> tuple[Work, ...]:
    """Base size, with pooler and classifier."""
    rows, inner = batch * BERT_TOKENS, 4 * WIDTH
    sizes = (*4 * ((WIDTH, WIDTH),), (WIDTH, inner), (inner, WIDTH))
    blocks = (_dense(rows, *pair) for _ in range(BLOCKS) for pair in sizes)
    return (*blocks, _dense(batch, WIDTH, WIDTH), _dense(batch, WIDTH, classes))


def mnli(batch: int) -> tuple[Work, ...]:
    return bert(batch, 3)


def cola(batch: int) -> tuple[Work, ...]:
    return bert(batch, 2)


NETWORKS: Mapping[str, Callable[[int], tuple[Work, ...]]] = MappingProxyType(
    {
        "VGG16": vgg16,
        "ResNet18": resnet18,
        "ResNet50": resnet50,
        "InceptionV3": inceptionv3,
        "ViT": vit,
        "MNLI": mnli,
        "CoLA": cola,
        "SST-2": cola,
    }
)
