"""What is refused, and the words in which: one line a node with its name, operator, why and what to do."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.algorithm.onnx.drafts import draft

from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.errors import InputError, RidgelineError, UnsupportedError

BORDER = np.array([0, 0, 1, 1, 0, 0, 1, 1])
TWICE, THRICE, UNEVEN = np.float32([1, 1, 2, 2]), np.float32([1, 1, 3, 3]), np.float32([1, 1, 1.5, 2])


def refusal(model: bytes | Path, kind: type[RidgelineError] = UnsupportedError, batch: int | None = None) -> str:
    with pytest.raises(kind) as caught:
        read_network(model, batch=batch)
    return str(caught.value)


def changed(model: bytes, change: object) -> bytes:
    proto = onnx.load_from_string(model)
    change(proto)  # type: ignore[operator]
    return proto.SerializeToString()


CONV = draft("y=Conv(x,w)", w=(3, 4, 3, 3))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (draft("y=LSTM(x,w,r)", x="float[5,1,4]", w=(1, 8, 4), r=(1, 8, 2)), "lstm0 (LSTM): the engine does not run this operator; replace it by"),
        (draft("c=Conv(x,w) s=Softmax(c) y=Conv(s,w)", w=(4, 4, 3, 3)), "softmax1 (Softmax): the engine has no Softmax; it may only stand at an end"),
        (draft("y=MatMul(x,x)", x="float[batch,4,4]"), "matmul0 (MatMul): both of its inputs are computed while the network runs"),
        (draft("y=Div(x,z)", x="float[batch,4] x, float[batch,4] z"), "div0 (Div): both of its inputs are computed"),
        (draft("a=Relu(x) c=Conv(a,w) r=Resize<mode=\"cubic\">(c,,s) y=Conv(r,w)", s=TWICE, w=(4, 4, 3, 3)), "resize2 (Resize): its mode is 'cubic'"),
        (
            draft("c=Conv(x,w) r=Resize<coordinate_transformation_mode=\"align_corners\">(c,,s) y=Conv(r,w)", s=THRICE, w=(4, 4, 3, 3)),
            "resize1 (Resize): mode 'align_corners' with 'round_prefer_floor' is not index // 3",
        ),
        (draft("c=Conv(x,w) r=Resize(c,,s) y=Conv(r,w)", s=UNEVEN, w=(4, 4, 3, 3)), "resize1 (Resize): it resizes by (1.0, 1.0, 1.5, 2.0)"),
        (
            draft("p=Pad<mode=\"reflect\">(x,q) y=Conv(p,w)", q=6 * BORDER, w=(3, 4, 3, 3)),
            "pad0 (Pad): it pads 6 elements by (6, 6) in mode 'reflect'; pad by at most 5",
        ),
        (
            draft("p=Pad(x,q,v) y=Conv(p,w)", q=BORDER, v=np.float32(-np.inf), w=(3, 4, 3, 3)),
            "pad0 (Pad): it pads with -inf, which only a MaxPool after it can use; pad with a number that the network's values can have",
        ),
        (draft("p=Pad(x,q,v) y=Conv(p,w)", q=BORDER, v=np.float32(np.inf), w=(3, 4, 3, 3)), "pad0 (Pad): it pads with inf; pad with a number that"),
        (
            draft("y=Slice(x,s,e,a,t)", x="float[batch,1,1500,4]", s=np.array([-1]), e=np.array([-2000]), a=np.array([2]), t=np.array([-1])),
            "slice0 (Slice): it puts 1,500 pieces together; take rows or columns that form at most 1,024",
        ),
        (draft("c=Conv(x,w) y=ReduceMean(c,a)", w=(3, 4, 3, 3), a=np.array([1])), "reducemean1 (ReduceMean): it takes the mean over axes (1,)"),
        (draft("s=Squeeze(x)  y=Relu(s)", x="float[batch,4]"), "squeeze0 (Squeeze): it drops the batch axis"),
        (draft("y=Conv(x,w)", x="float[batch,4,6,6] x, float[3,4,3,3] w"), "conv0 (Conv): its weight 'w' is computed while the network runs"),
        (draft("c=Conv(x,w) y=Min(c,p)", w=(3, 4, 3, 3), p=(3, 4, 4)), "min1 (Min): it takes a constant for each channel"),
        (draft("c=Conv(x,w) y=PRelu(c,p)", w=(3, 4, 3, 3), p=(3, 4, 4)), "prelu1 (PRelu): its constant differs along height or width"),
        (draft("c=Conv(x,w) y=Div(c,p)", w=(3, 4, 3, 3), p=np.float32(range(16)).reshape(4, 4)), "div1 (Div): it divides by zero"),
        (draft("y=MaxPool<kernel_shape=[2,2]>(x)", x="float[batch,2,3,4,5]"), None),
        (draft("c=Conv(x,w) y=Concat<axis=0>(c,c)", w=(3, 4, 3, 3)), "concat1 (Concat): it joins along the batch; join along channels, height or"),
        (
            draft("c=Conv(x,w) y=Concat<axis=1>(c,k)", x="float[2,4,6,6]", w=(3, 4, 3, 3), k=(2, 3, 4, 4)),
            "concat1 (Concat): its constant differs from image to image; make it the same for every image of a batch",
        ),
        (
            draft("c=Conv(x,w) t=Transpose<perm=[0,1,3,2]>(c) y=Concat<axis=2>(c,t)", w=(3, 4, 3, 3)),
            "concat2 (Concat): it joins along axis 2, which its inputs store in different ways; join along channels, height or width of",
        ),
        (draft("y,i=MaxPool<kernel_shape=[2,2]>(x)", outputs="y;int64[b,4,5,5] i"), "maxpool0 (MaxPool): it gives the indices of its maxima"),
        (draft("c=Conv(x,w) y=Div(c,k)", w=(3, 4, 3, 3), k=np.float32(0)), "div1 (Div): its constant is 0; repair the file's constants"),
        (draft("y=Conv(x,w) z=Relu(k)", w=(3, 4, 3, 3), k=(3,), outputs="y;z"), "output 'z' is not computed from an input"),
        (draft("c=Conv(x,w) y=ReduceMax(c,a)", w=(3, 4, 3, 3), a=np.array([1])), "reducemax1 (ReduceMax): it takes the maximum over axes (1,)"),
        (draft("c=Conv(x,w) y=Tile(c,k)", w=(3, 4, 3, 3), k=np.array([2, 1, 1, 1])), "tile1 (Tile): it repeats the batch 2 times"),
        (draft("y=ReduceMean(x,a)", a=np.array([0, 1])), "reducemean0 (ReduceMean): it takes the mean over the batch"),
        (draft("c=Conv(x,w) d=Cast<to=10>(c) e=Cast<to=1>(d) y=Conv(e,w)", w=(4, 4, 3, 3)), "cast1 (Cast): it casts to ONNX's type 10"),
        (draft("y=Softmax(x)"), "the network has nothing for the engine to run"),
        (draft("y=Cast<to=7>(x) ", outputs="int64[b,4,6,6] y"), "the network has nothing for the engine to run"),
    ],
)  # fmt: skip
def test_a_node_that_cannot_run_is_named(model: bytes, message: str | None) -> None:
    if message is None:
        with pytest.raises(RidgelineError):
            read_network(model)
        return
    assert message in refusal(model, RidgelineError)  # type: ignore[type-abstract]


def test_every_node_that_cannot_run_has_a_line() -> None:
    text = refusal(draft("a=Sin(x) c=Conv(a,w) s=Softmax(c) y=Cos(s)", w=(3, 4, 3, 3)))
    assert [line.split(":")[0] for line in text.splitlines()] == ["sin0 (Sin)", "softmax2 (Softmax)", "cos3 (Cos)"]


def test_an_unknown_domain_is_named() -> None:
    model = changed(
        CONV, lambda proto: [setattr(proto.graph.node[0], "domain", "strange"), proto.opset_import.add(domain="strange", version=1)]
    )
    assert "conv0 (Conv): domain 'strange' is not known; export the network with ONNX's own operators" in refusal(model)


def test_an_unknown_operator_is_named() -> None:
    assert "Conf" in refusal(changed(CONV, lambda proto: setattr(proto.graph.node[0], "op_type", "Conf")), RidgelineError)  # type: ignore[type-abstract]


def test_a_file_that_is_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"hello, this is text")
    assert refusal(path, InputError) == f"'{path}' is not an ONNX file, or is cut short (19 bytes)"
    path.write_bytes(b"")
    assert "holds no ONNX graph (0 bytes" in refusal(path, InputError)
    assert "cannot be read: No such file" in refusal(tmp_path / "none.onnx", InputError)
    assert "is a folder" in refusal(tmp_path, InputError)


def test_a_name_with_a_line_in_it_is_damage() -> None:
    broken = changed(CONV, lambda proto: setattr(proto.graph.node[0], "name", "a\nb"))
    assert refusal(broken, InputError) == "the network is damaged: 'a\\nb' is no name"


def test_a_weight_that_is_not_finite_is_named() -> None:
    weight = np.zeros((3, 4, 3, 3), dtype=np.float32)
    weight[1, 2, 0, 1] = np.nan
    assert refusal(draft("y=Conv(x,w)", w=weight), InputError) == "the network: weight 'w' holds nan at index [1, 2, 0, 1] (1 such values)"
    weight[1, 2, 0, 1] = np.inf
    assert "weight 'w' holds inf at index [1, 2, 0, 1]" in refusal(draft("y=Conv(x,w)", w=weight), InputError)


def test_a_cycle_is_named() -> None:
    assert "its nodes form a cycle through 'relu0' (Relu), 'neg1' (Neg)" in refusal(draft("a=Relu(y) y=Neg(a)"), InputError)


def test_a_value_that_nothing_computes_is_named() -> None:
    assert "node 'add0' (Add) reads 'q', which nothing computes" in refusal(draft("y=Add(x,q)"), InputError)
    assert "no node computes the output 'y'" in refusal(draft("z=Relu(x)"), InputError)


def test_nodes_in_any_order_are_sorted() -> None:
    assert len(read_network(draft("y=Conv(a,w) a=Relu(x)", w=(3, 4, 3, 3))).graph.nodes) == 2


@pytest.mark.parametrize(
    "model",
    [
        draft("y=Conv(x,w)", w=(3, 5, 3, 3)),
        draft("y=Conv(x,w)", w=(3, 4, 9, 9)),
        draft("y=Conv(x,w)", w=(3, 4, 3)),
        draft("y=Conv(x,w,b)", w=(3, 4, 3, 3), b=(4,)),
        draft("y=Gemm(x,w)", x="float[batch,4]", w=(5, 2)),
        draft("y=Add(x,w)", w=(3, 1, 1)),
        draft("y=Reshape(x,s)", s=np.array([-1, 7])),
        draft("y=MatMul(x,w)", x="float[batch,4]", w=(5, 2)),
        draft("y=BatchNormalization(x,g,g,g,g)", g=(5,)),
        draft("y=Concat<axis=1>(x,z)", x="float[batch,4,6,6] x, float[batch,4,5,5] z"),
        draft("y=Conv<strides=[0,1]>(x,w)", w=(3, 4, 3, 3)),
        draft("y=Conv<strides=[1]>(x,w)", w=(3, 4, 3, 3)),
    ],
)
def test_shapes_that_do_not_fit(model: bytes) -> None:
    assert refusal(model, RidgelineError)  # type: ignore[type-abstract]


def test_dynamic_axes_other_than_the_first_are_named() -> None:
    text = refusal(draft("y=Conv(x,w)", x="float[batch,4,height,6]", w=(3, 4, 3, 3)))
    assert text == "the network: axis 2 ('height') of input 'x' is dynamic; only the first may be: export with a fixed size"


def test_the_batch_binds_the_first_axis() -> None:
    assert read_network(CONV, batch=3).graph.inputs[0].shape == (4, 6, 6)
    fixed = draft("y=Conv(x,w)", x="float[2,4,6,6]", w=(3, 4, 3, 3))
    assert read_network(fixed).graph.inputs[0].shape == (4, 6, 6)
    assert "the batch is 3 by --batch, but its inputs have 'x': 2" in refusal(fixed, InputError, batch=3)
    assert "a batch of 0" in refusal(CONV, InputError, batch=0)


def test_an_operator_that_onnx_never_had_has_a_line_a_node() -> None:
    model = changed(
        draft("c=Conv(x,w) y=Relu(c)", w=(3, 4, 3, 3)),
        lambda proto: [setattr(node, "op_type", f"My{node.op_type}") for node in proto.graph.node],
    )
    wanted = "ONNX has no such operator; export the network with ONNX's own operators"
    assert refusal(model).splitlines() == [f"conv0 (MyConv): {wanted}", f"relu1 (MyRelu): {wanted}"]


def test_an_output_that_no_node_computes_is_named() -> None:
    passing = changed(CONV, lambda proto: proto.graph.output.append(proto.graph.input[0]))
    assert refusal(passing) == "the network: output 'x' is an input or a constant; remove it from the network's outputs"
    bare = changed(CONV, lambda proto: proto.graph.output.pop())
    assert "1 nodes, 0 outputs); export the network again" in refusal(bare, InputError)


def test_an_input_without_a_shape_is_named() -> None:
    model = changed(CONV, lambda proto: proto.graph.input[0].type.tensor_type.ClearField("shape"))
    assert "input 'x' has no shape, or no batch axis" in refusal(model, InputError)


@pytest.mark.parametrize(("variance", "said"), [(0.0, "0"), (-1.0, "-1")])
def test_a_variance_without_a_root_is_named(variance: float, said: str) -> None:
    ones = np.ones(3, np.float32)
    model = draft("c=Conv(x,w) y=BatchNormalization<epsilon=0.0>(c,g,g,g,v)", w=(3, 4, 3, 3), g=ones, v=ones * np.float32(variance))
    assert refusal(model).endswith(f"its variance plus epsilon is {said}, not above 0; check the file's constants")


def test_nodes_of_one_name_are_told_apart() -> None:
    model = changed(
        draft("c=Conv(x,w) s=Sigmoid(c) y=Conv(s,v)", w=(4, 4, 3, 3), v=(2, 4, 1, 1)),
        lambda proto: [setattr(node, "name", "same") for node in proto.graph.node],
    )
    network = read_network(model)
    assert len({node.name for node in network.graph.nodes}) == len(network.graph.nodes) == 2
    assert {"y"} == set(run(network.model, {"x": np.zeros((1, 4, 6, 6), np.float32)}))


def test_old_and_new_versions() -> None:
    assert "is of opset 10; export it with opset 11 to 26" in refusal(draft("y=Conv(x,w)", w=(3, 4, 3, 3), opset=10))
    newer = read_network(draft("c=Conv(x,w) y=Relu(c)", w=(3, 4, 3, 3), opset=27))
    assert onnx.load_from_string(newer.model).opset_import[0].version == 26
    assert newer.notes == ("opset 27 is read as opset 26: the operators in use are the same in both",)


def test_many_versions_read_alike() -> None:
    for opset in range(11, 27):
        network = read_network(
            draft("c=Conv(x,w) r=Relu(c) f=Flatten(r) g=Gemm(f,v) y=Softmax<axis=1>(g)", w=(3, 4, 3, 3), v=(48, 5), opset=opset)
        )
        assert len(network.graph.nodes) == 2


SMALL = draft(
    "c=Conv<pads=[1,1,1,1]>(x,w) r=Relu(c) p=MaxPool<kernel_shape=[2,2],strides=[2,2]>(r) s=Reshape(p,t) y=Gemm<transB=1>(s,v)",
    x="float[batch,2,4,4]", w=(3, 2, 3, 3), t=np.array([-1, 12]), v=(4, 12),
)  # fmt: skip


def read_or_refuse(data: bytes) -> None:
    with contextlib.suppress(RidgelineError):
        read_network(data).graph.verify()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_never_crash(flips: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for index, byte in flips:
        data[index] = byte
    read_or_refuse(bytes(data))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SMALL)), st.integers(0, 40))
def test_cut_bytes_never_crash(start: int, count: int) -> None:
    read_or_refuse(SMALL[:start])
    read_or_refuse(SMALL[:start] + SMALL[start + count :])
