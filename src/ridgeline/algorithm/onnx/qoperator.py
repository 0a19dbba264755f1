"""ONNX Runtime's quantised operators (QLinearConv, QGemm, ...) as float operators between DequantizeLinear and QuantizeLinear.

Inputs of each operator: onnxruntime's documentation of its operators (ONNX's QLinearConv and QLinearMatMul; com.microsoft for the others).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from ridgeline.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Where an operator keeps its operands, as positions of (codes, scale, zero point): `result` is that of the scale of the output."""

    operator: str
    operands: tuple[int, ...]
    result: int
    bias: int | None = None


FORMS: Mapping[tuple[str, str], Form] = {
    ("", "QLinearConv"): Form(operator="Conv", operands=(0, 3), result=6, bias=8),
    ("", "QLinearMatMul"): Form(operator="MatMul", operands=(0, 3), result=6),
    (_MICROSOFT, "QGemm"): Form(operator="Gemm", operands=(0, 3), result=7, bias=6),
    (_MICROSOFT, "QLinearAdd"): Form(operator="Add", operands=(0, 3), result=6),
    (_MICROSOFT, "QLinearMul"): Form(operator="Mul", operands=(0, 3), result=6),
    (_MICROSOFT, "QLinearGlobalAveragePool"): Form(operator="GlobalAveragePool", operands=(0,), result=3),
    (_MICROSOFT, "QLinearAveragePool"): Form(operator="AveragePool", operands=(0,), result=3),
    (_MICROSOFT, "QLinearSigmoid"): Form(operator="Sigmoid", operands=(0,), result=3),
    (_MICROSOFT, "QLinearLeakyRelu"): Form(operator="LeakyRelu", operands=(0,), result=3),
    (_MICROSOFT, "QLinearSoftmax"): Form(operator="Softmax", operands=(0,), result=3),
    (_MICROSOFT, "QLinearConcat"): Form(operator="Concat", operands=(), result=0),
}


def expand_quantised(model: onnx.ModelProto) -> None:
    """Rewrites the graph in place. A node of a form that has no float counterpart is left as it is, to be refused by name."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        form = FORMS.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
        expanded = None if form is None else _expanded(node, form, constants, model)
        nodes.extend([onnx.NodeProto.FromString(node.SerializeToString())] if expanded is None else expanded)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _expanded(
    node: onnx.NodeProto, form: Form, constants: Mapping[str, onnx.TensorProto], model: onnx.ModelProto
) -> list[onnx.NodeProto] | None:
    inputs = [*node.input, *("",) * 10]
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.pop("channels_last", 0):
        return None
    attributes.pop("opset", None)
    name = node.name or node.output[0]
    operands = range(2, len(node.input), 3) if form.operator == "Concat" else form.operands
    made = [_dequantize(name, index, inputs[index : index + 3], _axis(form, index, attributes)) for index in operands]
    reads = [each.output[0] for each in made]
    if form.bias is not None and inputs[form.bias]:
        bias = _bias(inputs, form.bias, constants)
        if bias is None:
            return None
        reads.append(f"{name}_bias")
        model.graph.initializer.append(onnx.numpy_helper.from_array(bias, reads[-1]))
    quantised = bool(inputs[form.result])
    result = f"{name}_float" if quantised else node.output[0]
    made.append(onnx.helper.make_node(form.operator, reads, [result], name=name, **attributes))
    if quantised:
        scale = [each for each in inputs[form.result : form.result + 2] if each]
        made.append(onnx.helper.make_node("QuantizeLinear", [result, *scale], list(node.output), name=f"{name}_quantize"))
    return made


def _axis(form: Form, index: int, attributes: Mapping[str, Any]) -> int:
    """The axis of a weight's scales where it has one an output."""
    if form.operator == "Conv" or (form.operator == "Gemm" and attributes.get("transB", 0)):
        return 0
    return 1


def _dequantize(name: str, index: int, codes: list[str], axis: int) -> onnx.NodeProto:
    label = f"{name}_input{index}"
    return onnx.helper.make_node("DequantizeLinear", [each for each in codes if each], [label], name=f"{label}_dequantize", axis=axis)


def _bias(inputs: list[str], index: int, constants: Mapping[str, onnx.TensorProto]) -> Array | None:
    """The int32 bias in real numbers: its scale is the product of the operands' scales."""
    names = (inputs[index], inputs[1], inputs[4])
    if any(each not in constants for each in names):
        return None
    codes, first, second = (onnx.numpy_helper.to_array(constants[each]).astype(np.float64) for each in names)
    bias = codes.reshape(-1) * (first.reshape(-1) * second.reshape(-1))
    if np.abs(bias).max(initial=0) > np.finfo(np.float32).max:
        raise InputError(f"bias '{names[0]}' times its scales is beyond float32; repair the file's scales '{names[1]}' and '{names[2]}'")
    return bias.astype(np.float32)
