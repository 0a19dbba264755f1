"""Makes the ort_*.onnx files beside it with onnxruntime's own quantiser: `python make_quantised.py`, with ridgeline installed."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ridgeline.algorithm import zoo


class Noise(CalibrationDataReader):
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.feeds = iter([{name: rng.standard_normal((4, *shape)).astype(np.float32)} for _ in range(3)])

    def get_next(self) -> Any:
        return next(self.feeds, None)


def main() -> None:
    model = zoo.reduced("ds-cnn")
    entry = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim[1:])
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
        plain.write_bytes(model.SerializeToString(deterministic=True))
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        for codes, per_channel in ((QuantType.QInt8, True), (QuantType.QUInt8, False)):
            for form in (QuantFormat.QDQ, QuantFormat.QOperator):
                quantize_static(
                    prepared,
                    f"ort_{form.name}_{codes.name}.onnx".lower(),
                    Noise(entry.name, shape),
                    quant_format=form,
                    per_channel=per_channel,
                    activation_type=codes,
                    weight_type=QuantType.QInt8,
                )


if __name__ == "__main__":
    main()
