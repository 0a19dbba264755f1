"""Ridgeline: from a trained network to the machine that runs it best.

The names below do what the command line's verbs do. Each is imported when it is first used, so that
`import ridgeline` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ridgeline.algorithm.onnx.network import Network as Network
    from ridgeline.errors import RidgelineError as RidgelineError
    from ridgeline.flows.build import Built as Built
    from ridgeline.flows.build import build as build
    from ridgeline.flows.check import Settings as Settings
    from ridgeline.flows.compress import CompressOptions as CompressOptions
    from ridgeline.flows.compress import compress as compress
    from ridgeline.flows.options import Options as Options
    from ridgeline.flows.show import show as show
    from ridgeline.flows.source import read_model as read_model
    from ridgeline.flows.verify import Verified as Verified
    from ridgeline.flows.verify import verify as verify
    from ridgeline.formats import read_format as read_format
    from ridgeline.hardware.device import Device as Device
    from ridgeline.hardware.device import device_names as device_names
    from ridgeline.hardware.device import read_device as read_device

__version__ = "0.1.0"

_HOMES = {
    "Built": "ridgeline.flows.build:Built",
    "CompressOptions": "ridgeline.flows.compress:CompressOptions",
    "Device": "ridgeline.hardware.device:Device",
    "Network": "ridgeline.algorithm.onnx.network:Network",
    "Options": "ridgeline.flows.options:Options",
    "RidgelineError": "ridgeline.errors:RidgelineError",
    "Settings": "ridgeline.flows.check:Settings",
    "Verified": "ridgeline.flows.verify:Verified",
    "build": "ridgeline.flows.build:build",
    "compress": "ridgeline.flows.compress:compress",
    "device_names": "ridgeline.hardware.device:device_names",
    "read_device": "ridgeline.hardware.device:read_device",
    "read_format": "ridgeline.formats:read_format",
    "read_model": "ridgeline.flows.source:read_model",
    "show": "ridgeline.flows.show:show",
    "verify": "ridgeline.flows.verify:verify",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ridgeline' has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
