"""Random small networks of every operator in any order: what the reader accepts computes what onnxruntime does."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from tests.algorithm.onnx.compare import Array, check_network, run
from tests.algorithm.onnx.drafts import draft

from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.errors import UnsupportedError

Shape = tuple[int, ...]


@dataclass
class Writer:
    """Statements so far, the constants they read, and the shape of every value (batch left out)."""

    data: st.DataObject
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    lines: list[str] = field(default_factory=list[str])
    constants: dict[str, Array | Shape] = field(default_factory=dict[str, "Array | Shape"])

    def number(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pick(self, choices: list[str]) -> str:
        return self.data.draw(st.sampled_from(choices))

    def constant(self, value: Array | Shape) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def add(self, expression: str, shape: Shape) -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        self.shapes[name] = shape

    def last(self) -> tuple[str, Shape]:
        name = list(self.shapes)[-1]
        return name, self.shapes[name]


def conv(w: Writer, x: str, shape: Shape) -> None:
    spatial = len(shape) - 1
    kernel = [w.number(1, min(3, extent)) for extent in shape[1:]]
    strides = [w.number(1, 2) for _ in kernel]
    pads = [w.number(0, size - 1) for size in (*kernel, *kernel)]
    groups = w.data.draw(st.sampled_from([size for size in range(1, shape[0] + 1) if shape[0] % size == 0]))
    outputs = groups * w.number(1, 3)
    weight = w.constant((outputs, shape[0] // groups, *kernel))
    sizes = tuple((shape[1 + a] + pads[a] + pads[a + spatial] - kernel[a]) // strides[a] + 1 for a in range(spatial))
    w.add(f"Conv<group={groups},strides={strides},pads={pads}>({x},{weight})", (outputs, *sizes))


def pool(w: Writer, x: str, shape: Shape) -> None:
    kernel = [w.number(1, min(3, extent)) for extent in shape[1:]]
    pads = [w.number(0, size // 2) for size in (*kernel, *kernel)]
    sizes = tuple(shape[1 + a] + pads[a] + pads[a + len(kernel)] - kernel[a] + 1 for a in range(len(kernel)))
    kind = w.pick(["MaxPool", "AveragePool", "AveragePool"])
    counted = f",count_include_pad={w.number(0, 1)}" if kind == "AveragePool" else ""
    w.add(f"{kind}<kernel_shape={kernel},pads={pads}{counted}>({x})", (shape[0], *sizes))


def unary(w: Writer, x: str, shape: Shape) -> None:
    w.add(f"{w.pick(['Relu', 'Sigmoid', 'HardSwish', 'Tanh', 'LeakyRelu', 'Identity', 'Neg'])}({x})", shape)


def gate(w: Writer, x: str, shape: Shape) -> None:
    unary(w, x, shape)
    w.add(f"{w.pick(['Mul', 'Add', 'Sub'])}({x},{w.last()[0]})", shape)


def with_constant(w: Writer, x: str, shape: Shape) -> None:
    axis = w.number(0, len(shape) - 1)
    extents = [shape[axis], *(1,) * (len(shape) - 1 - axis)]
    given_shape = w.data.draw(st.sampled_from([(1,), tuple(extents), shape]))
    constant = w.constant(given_shape)
    w.add(f"{w.pick(['Mul', 'Add', 'Sub'])}({', '.join(w.data.draw(st.permutations([x, constant])))})", shape)


def transpose(w: Writer, x: str, shape: Shape) -> None:
    order = w.data.draw(st.permutations(range(len(shape))))
    w.add(f"Transpose<perm={[0, *(axis + 1 for axis in order)]}>({x})", tuple(shape[axis] for axis in order))


def reshape(w: Writer, x: str, shape: Shape) -> None:
    total = prod(shape)
    extents: list[int] = []
    for _ in range(w.number(0, 2)):
        extents.append(w.data.draw(st.sampled_from([size for size in range(1, total + 1) if total % size == 0])))
        total //= extents[-1]
    extents.append(total)
    w.add(f"Reshape({x},{w.constant(np.array([-1, *extents]))})", tuple(extents))


def matmul(w: Writer, x: str, shape: Shape) -> None:
    outputs = w.number(1, 5)
    w.add(f"MatMul({x},{w.constant((shape[-1], outputs))})", (*shape[:-1], outputs))


def cut(w: Writer, x: str, shape: Shape) -> None:
    axis = w.number(0, len(shape) - 1)
    start = w.number(0, shape[axis] - 1)
    step = w.data.draw(st.sampled_from([1, 2, -1, -2]))
    stop = shape[axis] if step > 0 else -shape[axis] - 1
    bounds = [w.constant(np.array([number])) for number in (start, stop, axis + 1, step)]
    extents = list(shape)
    extents[axis] = len(range(shape[axis])[start:stop:step])
    w.add(f"Slice({x},{','.join(bounds)})", tuple(extents))


def pad(w: Writer, x: str, shape: Shape) -> None:
    before, after = ([w.number(0, 1) for _ in shape] for _ in range(2))
    constant = w.constant(np.array([0, *before, 0, *after]))
    modes = ["constant", "edge", *(["reflect"] if min(shape) > 1 else [])]
    mode = w.pick(modes)
    value = f",{w.constant(np.float32(w.number(-2, 2)))}" if mode == "constant" and w.number(0, 1) else ""
    w.add(f'Pad<mode="{mode}">({x},{constant}{value})', tuple(sum(extents) for extents in zip(shape, before, after, strict=True)))


def join(w: Writer, x: str, shape: Shape) -> None:
    axis = w.number(0, len(shape) - 1)
    others = {name: known for name, known in w.shapes.items() if len(known) == len(shape)}
    other = w.pick([name for name, known in others.items() if all(known[a] == shape[a] for a in range(len(shape)) if a != axis)])
    joined = tuple(extent + w.shapes[other][a] if a == axis else extent for a, extent in enumerate(shape))
    w.add(f"Concat<axis={axis + 1}>({x},{other})", joined)


def total(w: Writer, x: str, shape: Shape) -> None:
    other = w.pick([name for name, known in w.shapes.items() if known == shape])
    w.add(f"{w.pick(['Add', 'Mul', 'Sub'])}({x},{other})", shape)


def mean(w: Writer, x: str, shape: Shape) -> None:
    axes = w.constant(np.array(range(2, len(shape) + 1)))
    w.add(f"ReduceMean<keepdims={w.number(1, 1)}>({x},{axes})", (shape[0], *(1,) * (len(shape) - 1)))


ANY = [unary, gate, with_constant, transpose, reshape, matmul, cut, pad, join, total]
PLANE = [conv, conv, conv, pool, mean]


def random_network(data: st.DataObject) -> tuple[bytes, Writer]:
    w = Writer(data=data)
    w.shapes["x"] = tuple(data.draw(st.lists(st.integers(1, 6), min_size=data.draw(st.integers(1, 3)), max_size=3)))
    for _ in range(data.draw(st.integers(3, 9))):
        name, shape = w.last()
        if prod(shape) > 600:
            break
        data.draw(st.sampled_from([*ANY, *(PLANE if len(shape) in (2, 3) else [])]))(w, name, shape)
    result = w.last()[0]
    extents = ",".join(str(extent) for extent in w.shapes["x"])
    model = draft(" ".join([*w.lines, f"y = Identity({result})"]), x=f"float[batch,{extents}]", **w.constants)
    return model, w


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_a_random_network_is_read_as_onnxruntime_computes_it(data: st.DataObject) -> None:
    model, writer = random_network(data)
    note("\n".join(writer.lines))
    try:
        network = read_network(model)
    except UnsupportedError:
        return
    feed = np.random.default_rng(0).standard_normal((2, *writer.shapes["x"])).astype(np.float32)
    assert run(network.model, {"x": feed})["y"].shape == (2, *writer.shapes[writer.last()[0]])
    check_network(network, original=model, varied=False)
