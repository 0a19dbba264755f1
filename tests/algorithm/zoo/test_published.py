"""The zoo's networks have the papers' shapes: counts of weights and multiplications beside published ones, at full size."""

from dataclasses import dataclass

import pytest
from tests.algorithm.zoo import models

from ridgeline.algorithm import zoo


@dataclass(frozen=True, kw_only=True)
class Published:
    name: str
    parameters: float
    macs: float
    output: tuple[int, ...]
    source: str
    statistics: bool = False  # whether the source counts batch normalisation's running statistics
    parameters_tolerance: float = 0.0
    macs_tolerance: float = 0.005


_SZE = "V. Sze et al., Efficient Processing of Deep Neural Networks, Proc. IEEE 105(12), 2017, table 2"
_TORCHVISION = "torchvision 0.20 documentation, table of models: num_params and GFLOPS (a MAC counted once)"
_TINY = "C. Banbury et al., MLPerf Tiny Benchmark, 2021; parameters as Keras counts its reference models"

PUBLISHED = (
    Published(name="alexnet", parameters=61e6, macs=724e6, output=(1, 1000), source=_SZE, parameters_tolerance=0.005),
    Published(name="vgg16", parameters=138_357_544, macs=15.47e9, output=(1, 1000), source=_TORCHVISION),
    Published(name="resnet18", parameters=11_689_512, macs=1.81e9, output=(1, 1000), source=_TORCHVISION),
    Published(name="resnet50", parameters=25_557_032, macs=4.09e9, output=(1, 1000), source=_TORCHVISION),
    Published(name="mobilenetv2", parameters=3_504_872, macs=0.30e9, output=(1, 1000), source=_TORCHVISION),
    Published(name="resnet8", parameters=78_666, macs=12.5e6, output=(1, 10), source=_TINY, statistics=True),
    Published(name="ds-cnn", parameters=24_908, macs=2.7e6, output=(1, 12), source=_TINY, statistics=True, macs_tolerance=0.02),
    Published(
        name="bert-base",
        parameters=110e6,
        macs=22.5e9 / 2,
        output=(1, 768),
        source="J. Devlin et al., NAACL 2019 (110M); Z. Sun et al., MobileBERT, ACL 2020 (22.5B operations at 128 tokens)",
        parameters_tolerance=0.005,
        macs_tolerance=0.01,
    ),
    Published(name="vit-b16", parameters=86_567_656, macs=17.56e9, output=(1, 1000), source=_TORCHVISION),
)


def test_every_network_stands_beside_published_figures() -> None:
    assert tuple(published.name for published in PUBLISHED) == zoo.names()


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_full_size(published: Published) -> None:
    model = models.stripped(zoo.model(published.name))
    entry = zoo.entry(published.name)
    macs = models.macs(model)
    assert macs == entry.macs
    assert macs == pytest.approx(published.macs, rel=published.macs_tolerance)
    assert models.parameters(model, statistics=False) == entry.parameters
    assert models.parameters(model, statistics=published.statistics) == pytest.approx(
        published.parameters, rel=published.parameters_tolerance
    )
    assert models.shapes(model)[model.graph.output[0].name] == published.output
