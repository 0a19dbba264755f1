"""The networks of the zoo, a line each. Adding one is its function in a file of its family and an entry here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

OUTLINE = -1  # in place of a seed: without the large weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`parameters` counts the weights that training sets, `macs` the multiplications of convolutions and matrix products for one input of the
    full size; `engine` says whether the generated engine runs it whole. `reduced` makes a small copy that keeps every distinct block."""

    name: str
    builder: str
    task: str
    input: str
    parameters: int
    macs: int
    engine: bool
    citation: str
    reduced: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


_ENTRIES = (
    Entry(
        name="alexnet",
        builder="ridgeline.algorithm.zoo.alexnet:alexnet",
        task="image classification, ImageNet",
        input="3 x 227 x 227",
        parameters=60_965_224,
        macs=724_406_816,
        engine=True,
        citation="A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012; without LRN",
        reduced=MappingProxyType({"input_size": 67, "width": 24, "hidden": 64, "classes": 10}),
    ),
    Entry(
        name="vgg16",
        builder="ridgeline.algorithm.zoo.vgg:vgg16",
        task="image classification, ImageNet",
        input="3 x 224 x 224",
        parameters=138_357_544,
        macs=15_470_264_320,
        engine=True,
        citation="K. Simonyan, A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
        reduced=MappingProxyType({"input_size": 32, "width": 16, "hidden": 64, "classes": 10}),
    ),
    Entry(
        name="resnet18",
        builder="ridgeline.algorithm.zoo.resnet:resnet18",
        task="image classification, ImageNet",
        input="3 x 224 x 224",
        parameters=11_689_512,
        macs=1_814_073_344,
        engine=True,
        citation="K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
        reduced=MappingProxyType({"input_size": 32, "width": 16, "classes": 10}),
    ),
    Entry(
        name="resnet50",
        builder="ridgeline.algorithm.zoo.resnet:resnet50",
        task="image classification, ImageNet",
        input="3 x 224 x 224",
        parameters=25_557_032,
        macs=4_089_184_256,
        engine=True,
        citation="K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016; version 1.5",
        reduced=MappingProxyType({"input_size": 32, "width": 16, "blocks": 2, "classes": 10}),
    ),
    Entry(
        name="mobilenetv2",
        builder="ridgeline.algorithm.zoo.mobilenet:mobilenetv2",
        task="image classification, ImageNet",
        input="3 x 224 x 224",
        parameters=3_504_872,
        macs=300_774_272,
        engine=True,
        citation="M. Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018",
        reduced=MappingProxyType({"input_size": 64, "width": 16, "repeats": 2, "classes": 10}),
    ),
    Entry(
        name="resnet8",
        builder="ridgeline.algorithm.zoo.mlperf_tiny:resnet8",
        task="image classification, CIFAR-10",
        input="3 x 32 x 32",
        parameters=78_186,
        macs=12_501_632,
        engine=True,
        citation="C. Banbury et al., MLPerf Tiny Benchmark, NeurIPS 2021",
        reduced=MappingProxyType({"input_size": 16}),
    ),
    Entry(
        name="ds-cnn",
        builder="ridgeline.algorithm.zoo.mlperf_tiny:ds_cnn",
        task="keyword spotting, Speech Commands",
        input="1 x 49 x 10",
        parameters=23_756,
        macs=2_656_768,
        engine=True,
        citation="C. Banbury et al., MLPerf Tiny Benchmark, NeurIPS 2021",
        reduced=MappingProxyType({"width": 16, "blocks": 2}),
    ),
    Entry(
        name="bert-base",
        builder="ridgeline.algorithm.zoo.bert:bert_base",
        task="language understanding",
        input="128 tokens",
        parameters=109_482_240,
        macs=11_174_215_680,
        engine=False,
        citation="J. Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding, NAACL 2019",
        reduced=MappingProxyType({"tokens": 16, "width": 48, "blocks": 2, "vocabulary": 100}),
    ),
    Entry(
        name="vit-b16",
        builder="ridgeline.algorithm.zoo.vit:vit_b16",
        task="image classification, ImageNet",
        input="3 x 224 x 224",
        parameters=86_567_656,
        macs=17_563_828_224,
        engine=False,
        citation="A. Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021",
        reduced=MappingProxyType({"input_size": 48, "width": 48, "blocks": 2, "classes": 10}),
    ),
)

ENTRIES: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
