"""torchao's MX and NVFP4 quantisation of the float32 values of an .npy file, a matrix: prints one line of JSON.

    peer_torchao.py VALUES FOLDER

Writes codes (unpacked) and scale codes of every format and rule to FOLDER/FORMAT-RULE.npz, and says how fast each was, threads as torch takes them.
Runs in the peer's own virtual environment, which has nothing of Ridgeline's: `python -m bench` makes and calls it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torchao.prototype.mx_formats.config import ScaleCalculationMode
from torchao.prototype.mx_formats.kernels import unpack_uint4
from torchao.prototype.mx_formats.mx_tensor import to_mx
from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize, per_tensor_amax_to_scale

ELEMENTS = {
    "mxfp4": torch.float4_e2m1fn_x2,
    "mxfp6e2m3": "fp6_e2m3",
    "mxfp6e3m2": "fp6_e3m2",
    "mxfp8e4m3": torch.float8_e4m3fn,
    "mxfp8e5m2": torch.float8_e5m2,
}


def main(values_path: str, folder: str) -> None:
    values = torch.from_numpy(np.load(values_path))
    megabytes, rates = values.numel() * 4 / 1e6, {}
    for name, element in ELEMENTS.items():
        for rule in ScaleCalculationMode:
            label = f"{name}-{rule.value}"
            path = Path(folder) / f"{label}.npz"
            rates[label] = megabytes / written(path, lambda e=element, r=rule: to_mx(values, e, 32, r), packed=name == "mxfp4")
    scale = per_tensor_amax_to_scale(values.abs().max())
    rates["nvfp4"] = megabytes / written(Path(folder) / "nvfp4.npz", lambda: nvfp4_quantize(values, 16, scale), packed=True)
    print(json.dumps({"version": version("torchao"), "torch": torch.__version__, "megabytes_per_s": rates}))


def written(path: Path, quantised: Callable[[], tuple[torch.Tensor, torch.Tensor]], *, packed: bool) -> float:
    """The seconds of the better of two runs."""
    took = []
    for _ in range(2):
        start = time.perf_counter()
        scales, codes = quantised()
        took.append(time.perf_counter() - start)
    codes = unpack_uint4(codes) if packed else codes.view(torch.uint8)
    np.savez(path, scales=scales.view(torch.uint8).numpy().reshape(-1), codes=codes.numpy())
    return min(took)


if __name__ == "__main__":
    main(*sys.argv[1:])
