"""Ridgeline: from a trained network to the machine that runs it best.

The names below do what the command line's verbs do. Each is imported when it is first used, so that
`import ridgeline` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ridgeline.errors import RidgelineError as RidgelineError
    from ridgeline.hardware.device import Device as Device
    from ridgeline.hardware.device import device_names as device_names
    from ridgeline.hardware.device import read_device as read_device

__version__ = "0.1.0"

_HOMES = {
    "Device": "ridgeline.hardware.device",
    "RidgelineError": "ridgeline.errors",
    "device_names": "ridgeline.hardware.device",
    "read_device": "ridgeline.hardware.device",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ridgeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
