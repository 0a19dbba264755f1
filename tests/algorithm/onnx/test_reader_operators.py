"""Every operator and every form in which exporters write it, against onnxruntime; and which nodes of the engine it becomes."""

import numpy as np
import pytest
from tests.algorithm.onnx.compare import Array, check
from tests.algorithm.onnx.drafts import draft

from ridgeline.algorithm.onnx.network import Network


def i(*numbers: int) -> Array:
    return np.array(numbers, dtype=np.int64)


def f(*numbers: float) -> Array:
    return np.array(numbers, dtype=np.float32)


C = "c = Conv<pads=[1,1,1,1]>(x,w) "

CASES: dict[str, bytes] = {
    "conv": draft("y=Conv<strides=[2,1],pads=[1,0,2,1],dilations=[1,2]>(x,w,b)", w=(5, 4, 3, 2), b=(5,)),
    "conv_same_up": draft('y=Conv<auto_pad="SAME_UPPER",strides=[2,2]>(x,w)', w=(5, 4, 3, 2)),
    "conv_same_low": draft('y=Conv<auto_pad="SAME_LOWER",strides=[2,2]>(x,w)', w=(5, 4, 2, 2)),
    "conv_valid": draft('y=Conv<auto_pad="VALID">(x,w)', w=(5, 4, 3, 2)),
    "dw": draft("y=Conv<group=4>(x,w)", w=(8, 1, 3, 2)),
    "grp": draft("y=Conv<group=2>(x,w)", w=(6, 2, 3, 2)),
    "conv1d": draft("a=Conv<pads=[1,2],strides=[2]>(x,w) y=Relu(a)", x="float[batch,3,9]", w=(5, 3, 3)),
    "convt": draft(
        "y=ConvTranspose<strides=[2,2],pads=[1,0,1,1],output_padding=[1,0],group=2,dilations=[1,2]>(x,w,b)", w=(4, 3, 3, 2), b=(6,)
    ),
    "convt_same": draft('y=ConvTranspose<strides=[2,2],auto_pad="SAME_UPPER">(x,w)', w=(4, 3, 3, 3)),
    "convt_samel": draft('y=ConvTranspose<strides=[2,2],auto_pad="SAME_LOWER">(x,w)', w=(4, 3, 3, 3)),
    "convt_shape": draft("y=ConvTranspose<strides=[2,2],output_shape=[13,12]>(x,w)", w=(4, 3, 3, 3)),
    "convt1": draft("y=ConvTranspose<strides=[2]>(x,w)", x="float[batch,3,9]", w=(3, 5, 3)),
    "convt_bn": draft(
        "a=ConvTranspose<strides=[2,2],group=2>(x,w) y=BatchNormalization(a,g,bb,m,v)",
        w=(4, 3, 3, 2),
        g=(6,),
        bb=(6,),
        m=(6,),
        v=np.abs(f(1, 2, 3, 4, 5, 6)),
    ),
    "gemm": draft("y=Gemm<alpha=0.5,beta=2.0,transB=1>(x,w,b)", x="float[batch,7]", w=(3, 7), b=(1, 3)),
    "gemm2": draft("a=Gemm(x,w,b) y=Relu(a)", x="float[batch,7]", w=(7, 3), b=(3,)),
    "flat_gemm": draft(C + "r=Relu(c) f=Flatten(r) y=Gemm(f,v,b)", w=(4, 4, 3, 3), v=(144, 5), b=(5,)),
    "nhwc_flat": draft(C + "t=Transpose<perm=[0,2,3,1]>(c) f=Reshape(t,s) y=MatMul(f,v)", w=(4, 4, 3, 3), v=(144, 5), s=i(-1, 144)),
    "matmul3": draft("a=MatMul(x,w) b=Add(a,p) y=Relu(b)", x="float[batch,9,4]", w=(4, 5), p=(5,)),
    "matmul4": draft("y=MatMul(x,w)", x="float[batch,2,3,4]", w=(4, 5)),
    "matmul_left": draft("y=MatMul(w,x)", x="float[batch,9,4]", w=(5, 9)),
    "matmul_2layers": draft("a=MatMul(x,w) b=Relu(a) y=MatMul(b,v)", x="float[batch,9,4]", w=(4, 5), v=(5, 3)),
    "conv_then_matmul": draft(C + "r=Reshape(c,s) t=Transpose<perm=[0,2,1]>(r) y=MatMul(t,v)", w=(5, 4, 3, 3), s=i(0, 5, -1), v=(5, 7)),
    "tokens": draft("r=Reshape(x,s) a=MatMul(r,w) y=Reshape(a,t)", x="float[batch,9,4]", s=i(-1, 4), w=(4, 5), t=i(-1, 9, 5)),
    "sumh": draft(C + "t=Transpose<perm=[0,1,3,2]>(c) r=Reshape(t,s) y=Conv(r,v)", w=(4, 4, 3, 3), s=i(-1, 4, 6, 6), v=(3, 4, 3, 2)),
    "bn": draft(
        "c=Conv(x,w,b) n=BatchNormalization(c,g,bb,m,v) y=Relu(n)",
        w=(5, 4, 3, 3),
        b=(5,),
        g=(5,),
        bb=(5,),
        m=(5,),
        v=np.abs(f(1, 2, 3, 4, 5)),
    ),
    "bn_first": draft("n=BatchNormalization(x,g,bb,m,v) y=Conv(n,w)", w=(5, 4, 3, 3), g=(4,), bb=(4,), m=(4,), v=np.abs(f(1, 2, 3, 4))),
    "bn1d": draft(
        "a=Gemm(x,w) n=BatchNormalization(a,g,bb,m,v) y=Relu(n)",
        x="float[batch,7]",
        w=(7, 4),
        g=(4,),
        bb=(4,),
        m=(4,),
        v=np.abs(f(1, 2, 3, 4)),
    ),
    "maxpool": draft("y=MaxPool<kernel_shape=[3,2],strides=[2,2],pads=[1,0,1,1],dilations=[1,2]>(x)"),
    "maxpool_ceil": draft("y=MaxPool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1>(x)"),
    "maxpool_ceil2": draft("y=MaxPool<kernel_shape=[2,2],strides=[3,3],ceil_mode=1,pads=[1,1,1,1]>(x)", x="float[batch,2,6,7]"),
    "avg": draft("y=AveragePool<kernel_shape=[3,2],strides=[2,2],pads=[1,0,1,1]>(x)"),
    "avg_inc": draft("y=AveragePool<kernel_shape=[3,2],strides=[2,2],pads=[1,0,1,1],count_include_pad=1>(x)"),
    "avg_ceil": draft("y=AveragePool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1>(x)", opset=19),
    "avg_ceil_inc": draft("y=AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x)", opset=19),
    "avg1": draft("y=AveragePool<kernel_shape=[3],strides=[2]>(x)", x="float[batch,3,9]"),
    "avg_same": draft('y=AveragePool<kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_UPPER">(x)'),
    "gap": draft("g=GlobalAveragePool(x) f=Flatten(g) y=Gemm(f,w)", w=(4, 3)),
    "gmp": draft("y=GlobalMaxPool(x)"),
    "mean": draft("y=ReduceMean<keepdims=0>(x,a)", a=i(2, 3)),
    "mean13": draft("y=ReduceMean<keepdims=1,axes=[-1,-2]>(x)", opset=13),
    "mean_h": draft("y=ReduceMean<keepdims=0>(x,a)", a=i(2)),
    "mean_L": draft("m=MatMul(x,w) y=ReduceMean<keepdims=0>(m,a)", x="float[batch,9,4]", w=(4, 5), a=i(1)),
    "mean_nhwc": draft(C + "t=Transpose<perm=[0,2,3,1]>(c) y=ReduceMean<keepdims=0>(t,a)", w=(4, 4, 3, 3), a=i(1, 2)),
    "resize": draft(
        'c=Conv(x,w) y=Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(c,,s)',
        w=(4, 4, 3, 3),
        s=f(1, 1, 2, 3),
    ),
    "resize_mid": draft('c=Conv(x,w) r=Resize<mode="nearest">(c,,,s) y=Conv(r,v)', w=(4, 4, 3, 3), v=(4, 4, 3, 3), s=i(1, 4, 8, 12)),
    "resize_half": draft('y=Resize<mode="nearest">(x,,s)', s=f(1, 1, 2, 2)),
    "resize_lin_end": draft('c=Conv(x,w) y=Resize<mode="linear">(c,,s)', w=(4, 4, 3, 3), s=f(1, 1, 2, 2)),
    "resize_lin_sizes_start": draft('c=Resize<mode="linear">(x,,,s) y=Conv(c,w)', w=(4, 4, 3, 3), s=i(1, 4, 9, 9)),
    "softmax": draft("g=Gemm(x,w) y=Softmax(g)", x="float[batch,7]", w=(7, 3)),
    "softmax_reshape": draft("c=Conv(x,w) r=Reshape(c,s) y=Softmax(r)", w=(4, 4, 3, 3), s=i(0, -1)),
    "softmax_t": draft("c=Conv(x,w) t=Transpose<perm=[0,2,3,1]>(c) y=Softmax(t)", w=(4, 4, 3, 3)),
    "add": draft("a=Conv<pads=[1,1,1,1]>(x,w) b=Add(a,x) y=Relu(b)", w=(4, 4, 3, 3)),
    "sub": draft("a=Conv<pads=[1,1,1,1]>(x,w) y=Sub(a,x)", w=(4, 4, 3, 3)),
    "mul": draft("a=Conv<pads=[1,1,1,1]>(x,w) y=Mul(a,x)", w=(4, 4, 3, 3)),
    "se": draft(C + "g=GlobalAveragePool(c) h=Conv(g,v) s=Sigmoid(h) y=Mul(c,s)", w=(4, 4, 3, 3), v=(4, 4, 1, 1)),
    "se2": draft(
        C + "g=ReduceMean<keepdims=0>(c,ax) h=Gemm(g,v) s=HardSigmoid(h) u=Unsqueeze(s,ax) y=Mul(c,u)", w=(4, 4, 3, 3), v=(4, 4), ax=i(2, 3)
    ),
    "spatial_att": draft(C + "h=Conv<pads=[1,1,1,1]>(c,v) s=Sigmoid(h) y=Mul(s,c)", w=(4, 4, 3, 3), v=(1, 4, 3, 3)),
    "concat": draft(C + "y=Concat<axis=1>(c,x)", w=(3, 4, 3, 3)),
    "concat_h": draft(C + "a=Concat<axis=2>(c,x) y=Conv(a,v)", w=(4, 4, 3, 3), v=(2, 4, 3, 3)),
    "concat_w": draft(C + "a=Concat<axis=-1>(x,c,c) y=Relu(a)", w=(4, 4, 3, 3)),
    "concat_inputs": draft("a=Concat<axis=2>(x,z) y=Conv(a,w)", x="float[batch,4,6,6] x, float[batch,4,3,6] z", w=(5, 4, 3, 3)),
    "concat_nhwc_h": draft(
        C + "t=Transpose<perm=[0,2,3,1]>(c) a=Concat<axis=1>(z,t) y=Relu(a)", x="float[batch,4,6,6] x, float[batch,2,6,4] z", w=(4, 4, 3, 3)
    ),
    "concat_nhwc_w": draft(
        C + "t=Transpose<perm=[0,2,3,1]>(c) a=Concat<axis=2>(t,z) y=Relu(a)", x="float[batch,4,6,6] x, float[batch,6,1,4] z", w=(4, 4, 3, 3)
    ),
    "concat_rows_of_one": draft(C + "m=ReduceMean<keepdims=1>(c,a) y=Concat<axis=2>(m,c,m)", w=(4, 4, 3, 3), a=i(2)),
    "concat_pixels": draft(C + "m=GlobalAveragePool(c) n=GlobalMaxPool(c) y=Concat<axis=3>(m,n)", w=(4, 4, 3, 3)),
    "concat_sequence": draft("m=MatMul(x,w) a=Concat<axis=1>(m,x) y=MatMul(a,v)", x="float[batch,9,4]", w=(4, 4), v=(4, 5)),
    "concat_constant": draft(C + "a=Concat<axis=1>(k,c) y=Conv(a,v)", w=(4, 4, 3, 3), k=(1, 2, 6, 6), v=(3, 6, 3, 3)),
    "concat_constants_h": draft(C + "a=Concat<axis=2>(k,c,l) y=Relu(a)", w=(4, 4, 3, 3), k=(1, 4, 1, 6), l=(1, 4, 2, 6)),
    "concat_constant_nhwc": draft(C + "t=Transpose<perm=[0,2,3,1]>(c) y=Concat<axis=3>(t,k)", w=(4, 4, 3, 3), k=(1, 6, 6, 3)),
    "concat_constant_shuffled": draft(
        "a=Conv(x,w) r=Reshape(a,s) t=Transpose<perm=[0,2,1,3,4]>(r) u=Reshape(t,v) y=Concat<axis=1>(u,k)",
        w=(8, 4, 1, 1),
        s=i(0, 2, 4, 6, 6),
        v=i(0, 8, 6, 6),
        k=(1, 3, 6, 6),
    ),
    "concat_fixed_batch": draft("y=Concat<axis=1>(x,k)", x="float[3,4,6,6]", k=np.broadcast_to(f(1, 2).reshape(1, 2, 1, 1), (3, 2, 6, 6))),
    "class_token": draft(
        "m=MatMul(x,w) s=Shape(x) b=Gather(s,z) u=Unsqueeze(b,z1) e=Concat<axis=0>(u,o) k=Expand(t,e) "
        "a=Concat<axis=1>(k,m) p=Add(a,q) y=MatMul(p,v)",
        x="float[batch,9,4]",
        w=(4, 5),
        z=np.int64(0),
        z1=i(0),
        o=i(1, 5),
        t=(1, 1, 5),
        q=(1, 10, 5),
        v=(5, 3),
    ),
    "pixels": draft(
        C + "a=Mul(c,p) b=Sub(q,a) d=Div(b,r) e=Sub(d,q) y=Relu(e)",
        w=(4, 4, 3, 3),
        p=(4, 6, 6),
        q=(1, 4, 6, 6),
        r=np.linspace(1, 2, 144).reshape(4, 6, 6),
    ),
    "pixels_one_channel": draft(C + "a=Add(c,p) y=Relu(a)", w=(4, 4, 3, 3), p=(1, 1, 6, 6)),
    "concat_mid": draft(C + "a=Concat<axis=1>(x,c,x) y=Conv(a,v)", w=(3, 4, 3, 3), v=(2, 11, 1, 1)),
    "concat2": draft("a=Gemm(x,w) y=Concat<axis=-1>(a,x)", x="float[batch,7]", w=(7, 3)),
    "split": draft("a,b=Split<axis=1,num_outputs=2>(x) c=Relu(a) y=Mul(c,b)"),
    "split13": draft("a,b=Split<axis=1>(x,s) y=Conv(b,w)", s=i(1, 3), w=(2, 3, 3, 3), opset=13),
    "slice": draft("y=Slice(x,s,e,a,t)", s=i(1, 0), e=i(6, 4), a=i(2, 1), t=i(2, 3)),
    "slice_neg": draft("y=Slice(x,s,e,a,t)", s=i(-1), e=i(-100), a=i(1), t=i(-1)),
    "slice_w": draft("y=Slice(x,s,e,a)", s=i(1), e=i(-2), a=i(-1)),
    "pad_conv": draft("p=Pad(x,q) y=Conv<strides=[2,2]>(p,w)", q=i(0, 0, 0, 1, 0, 0, 1, 2), w=(3, 4, 3, 3)),
    "pad": draft("p=Pad(x,q) y=Relu(p)", q=i(0, 0, 0, 1, 0, 0, 1, 2)),
    "pad_neg": draft("p=Pad(x,q) y=Relu(p)", q=i(0, 0, -1, 1, 0, 0, 1, -2)),
    "pad_avg": draft("p=Pad(x,q) y=AveragePool<kernel_shape=[3,3]>(p)", q=i(0, 0, 1, 1, 0, 0, 1, 1)),
    "pad_max": draft("p=Pad(x,q) y=MaxPool<kernel_shape=[3,3]>(p)", q=i(0, 0, 1, 1, 0, 0, 1, 1)),
    "pad_c": draft("p=Pad(x,q) y=Relu(p)", q=i(0, 1, 0, 0, 0, 2, 0, 0)),
    "pad_value": draft("p=Pad(x,q,v) y=Relu(p)", q=i(0, 0, 0, 1, 0, 0, 1, 2), v=np.float32(1.5)),
    "pad_value_conv": draft("p=Pad(x,q,v) y=Conv(p,w)", q=i(0, 0, 1, 1, 0, 0, 1, 2), v=np.float32(-0.75), w=(3, 4, 3, 3)),
    "pad_value_avg": draft("p=Pad(x,q,v) y=AveragePool<kernel_shape=[3,3]>(p)", q=i(0, 0, 1, 1, 0, 0, 1, 1), v=np.float32(2)),
    "pad_values": draft("p=Pad(x,q,v) r=Pad(p,q,u) y=Relu(r)", q=i(0, 0, 1, 1, 0, 0, 1, 2), v=np.float32(1.5), u=np.float32(0.5)),
    "pad_value_c": draft("p=Pad(x,q,v) y=Conv(p,w)", q=i(0, 1, 1, 0, 0, 2, 0, 0), v=np.float32(-0.75), w=(3, 7, 3, 3)),
    "pad_lowest_max": draft("p=Pad(x,q,v) y=MaxPool<kernel_shape=[3,3]>(p)", q=i(0, 0, 1, 1, 0, 0, 1, 1), v=np.float32(-np.inf)),
    "pad_edge": draft('p=Pad<mode="edge">(x,q) y=Conv(p,w)', q=i(0, 0, 1, 2, 0, 0, 9, 1), w=(3, 4, 3, 3)),
    "pad_reflect": draft('p=Pad<mode="reflect">(x,q) y=Conv(p,w)', q=i(0, 0, 1, 5, 0, 0, 2, 1), w=(3, 4, 3, 3)),
    "pad_reflect_c": draft('p=Pad<mode="reflect">(x,q) y=Conv(p,w)', q=i(0, 1, 0, 0, 0, 1, 0, 0), w=(3, 6, 3, 3)),
    "pad_reflect_cut": draft('p=Pad<mode="reflect">(x,q) y=Relu(p)', q=i(0, 0, -1, 2, 0, 0, 2, 0)),
    "pad_reflect_nhwc": draft(
        C + 't=Transpose<perm=[0,2,3,1]>(c) p=Pad<mode="reflect">(t,q) y=Relu(p)', w=(4, 4, 3, 3), q=i(0, 2, 1, 0, 0, 1, 2, 0)
    ),
    "pad_wrap": draft('p=Pad<mode="wrap">(x,q) y=Conv(p,w)', q=i(0, 0, 1, 6, 0, 0, 2, 1), w=(3, 4, 3, 3), opset=19),
    "flip": draft("y=Slice(x,s,e,a,t)", s=i(-1, -1), e=i(-100, -100), a=i(2, 3), t=i(-1, -2)),
    "shuffle": draft(
        "a=Conv(x,w) r=Reshape(a,s) t=Transpose<perm=[0,2,1,3,4]>(r) u=Reshape(t,v) y=Conv<group=8>(u,d)",
        w=(8, 4, 1, 1),
        s=i(0, 2, 4, 6, 6),
        v=i(0, 8, 6, 6),
        d=(8, 1, 3, 3),
    ),
    "shuffle_grp": draft(
        "a=Conv(x,w) r=Reshape(a,s) t=Transpose<perm=[0,2,1,3,4]>(r) u=Reshape(t,v) y=Conv<group=2>(u,d)",
        w=(8, 4, 1, 1),
        s=i(0, 2, 4, 6, 6),
        v=i(0, 8, 6, 6),
        d=(4, 4, 3, 3),
    ),
    "shuffle_out": draft(
        "a=Conv(x,w) r=Reshape(a,s) t=Transpose<perm=[0,2,1,3,4]>(r) y=Reshape(t,v)", w=(8, 4, 1, 1), s=i(0, 2, 4, 6, 6), v=i(0, 8, 6, 6)
    ),
    "shuffle_conv_add": draft(
        "a=Conv(x,w) r=Reshape(a,s) t=Transpose<perm=[0,2,1,3,4]>(r) u=Reshape(t,v) b=Conv(u,d) y=Add(b,u)",
        w=(8, 4, 1, 1),
        s=i(0, 2, 4, 6, 6),
        v=i(0, 8, 6, 6),
        d=(8, 8, 1, 1),
    ),
    "keras": draft(
        "t=Transpose<perm=[0,3,1,2]>(x) c=Conv(t,w) u=Transpose<perm=[0,2,3,1]>(c) b=Add(u,p) r=Relu(b) f=Reshape(r,s) m=MatMul(f,v) y=Softmax(m)",
        x="float[batch,6,6,3]",
        w=(4, 3, 3, 3),
        p=(4,),
        s=i(-1, 64),
        v=(64, 5),
    ),
    "keras_norm": draft(
        "d=Div(x,k) e=Sub(d,mu) t=Transpose<perm=[0,3,1,2]>(e) c=Conv(t,w) y=Transpose<perm=[0,2,3,1]>(c)",
        x="float[batch,6,6,3]",
        k=f(255.0),
        mu=(3,),
        w=(4, 3, 3, 3),
    ),
    "scalar_norm": draft("d=Div(x,k) e=Sub(d,m) y=Conv(e,w)", k=f(255.0), m=f(0.5), w=(4, 4, 3, 3)),
    "hswish": draft(
        C + "a=Add(c,k) b=Clip(a,lo,hi) d=Mul(c,b) y=Div(d,s)",
        w=(4, 4, 3, 3),
        k=np.float32(3),
        lo=np.float32(0),
        hi=np.float32(6),
        s=np.float32(6),
    ),
    "silu": draft(C + "a=Sigmoid(c) d=Mul(c,a) y=Conv(d,v)", w=(4, 4, 3, 3), v=(2, 4, 1, 1)),
    "gelu_erf": draft(
        C + "a=Div(c,k) b=Erf(a) d=Add(b,o) e=Mul(c,d) y=Mul(e,h)", w=(4, 4, 3, 3), k=np.float32(2**0.5), o=np.float32(1), h=np.float32(0.5)
    ),
    "gelu20": draft(C + "y=Gelu(c)", w=(4, 4, 3, 3), opset=20),
    "gelu20t": draft(C + 'y=Gelu<approximate="tanh">(c)', w=(4, 4, 3, 3), opset=20),
    "mish": draft(C + "y=Mish(c)", w=(4, 4, 3, 3)),
    "mish_d": draft(C + "a=Softplus(c) b=Tanh(a) y=Mul(c,b)", w=(4, 4, 3, 3)),
    "prelu": draft(C + "y=PRelu(c,p)", w=(4, 4, 3, 3), p=(4, 1, 1)),
    "prelu1": draft(C + "y=PRelu(c,p)", w=(4, 4, 3, 3), p=(1,)),
    "prelu2": draft("c=Gemm(x,w) y=PRelu(c,p)", x="float[batch,7]", w=(7, 3), p=(3,)),
    "acts": draft(
        C + "a=LeakyRelu<alpha=0.2>(c) b=Tanh(a) d=Sigmoid(b) e=HardSwish(d) f=HardSigmoid(e) g=Erf(f) h=Elu(g) k=Selu(h) y=Softsign(k)",
        w=(4, 4, 3, 3),
    ),
    "chan": draft(
        C + "a=Mul(c,p) b=Add(q,a) d=Div(b,r) e=Sub(s,d) y=Relu(e)",
        w=(4, 4, 3, 3),
        p=(4, 1, 1),
        q=(1, 4, 1, 1),
        r=f(1, 2, 3, 4).reshape(4, 1, 1),
        s=(4, 1, 1),
    ),
    "chan_after_relu": draft(C + "a=Relu(c) y=Mul(a,p)", w=(4, 4, 3, 3), p=(4, 1, 1)),
    "two_out": draft(C + "a=Relu(c) y=Conv(a,v) z=Sigmoid(c)", w=(4, 4, 3, 3), v=(2, 4, 1, 1), outputs="y;z"),
    "out_relu_and_raw": draft(C + "y=Relu(c) z=Identity(c)", w=(4, 4, 3, 3), outputs="y;z"),
    "dropout": draft(C + "a=Dropout(c) y=Relu(a)", w=(4, 4, 3, 3)),
    "view_only_out": draft("a=Relu(x) y=Transpose<perm=[0,2,3,1]>(a)"),
    "uint8": draft("a=Cast<to=1>(x) b=Div(a,k) y=Conv(b,w)", x="uint8[batch,3,6,6]", k=np.float32(255), w=(4, 3, 3, 3)),
    "uint8_nhwc": draft("a=Cast<to=1>(x) t=Transpose<perm=[0,3,1,2]>(a) y=Conv(t,w)", x="uint8[batch,6,6,3]", w=(4, 3, 3, 3)),
    "two_in": draft("y=Add(x,z)", x="float[batch,4,3,3] x, float[batch,4,3,3] z"),
    "two_in2": draft(
        "a=Conv(x,w) b=MatMul(z,v) r=Reshape(b,s) y=Add(a,r)",
        x="float[batch,4,3,3] x, float[batch,7] z",
        w=(5, 4, 3, 3),
        v=(7, 5),
        s=i(0, 5, 1, 1),
    ),
    "pow": draft(C + "a=Pow(c,k) y=Sqrt(a)", w=(4, 4, 3, 3), k=np.float32(2)),
    "self": draft(C + "a=Mul(c,c) y=Add(a,a)", w=(4, 4, 3, 3)),
    "fixed4": draft(C + "r=Reshape(c,s) y=MatMul(r,v)", x="float[4,4,6,6]", w=(4, 4, 3, 3), s=i(4, 144), v=(144, 3)),
    "shapeops": draft(
        C + "h=Shape(c) g=Gather(h,z) u=Unsqueeze(g,z1) k=Concat<axis=0>(u,m1) r=Reshape(c,k) y=MatMul(r,v)",
        w=(4, 4, 3, 3),
        z=np.int64(0),
        z1=i(0),
        m1=i(-1),
        v=(144, 3),
    ),
    "lseq": draft("c=Conv(x,w) t=Transpose<perm=[0,2,1]>(c) y=MatMul(t,v)", x="float[batch,3,9]", w=(5, 3, 3), v=(5, 6)),
    "squeeze": draft("c=Conv(x,w) g=GlobalAveragePool(c) s=Squeeze(g,a) y=Gemm(s,v)", w=(4, 4, 3, 3), a=i(2, 3), v=(4, 3)),
    "softmax_both_ends": draft("a=Softmax(x) c=Conv(a,w) y=Softmax(c)", w=(3, 4, 3, 3)),
    "two_ends": draft("c=Conv(x,w) y=Softmax(c) z=Relu(c)", outputs="y;z", w=(3, 4, 3, 3)),
    "one_value_twice": draft("a=Conv(x,w) y=Identity(a) z=Identity(a)", outputs="y;z", w=(3, 4, 3, 3)),
    "input_unread": draft("y=Conv(x,w)", x="float[batch,4,3,3] x, float[batch,2] q", w=(3, 4, 3, 3)),
    "input_out": draft("y=Identity(x) z=Conv(x,w)", outputs="y;z", w=(3, 4, 3, 3)),
    "int8_in": draft("d=DequantizeLinear(x,s,z) y=Conv(d,w)", x="int8[batch,4,6,6]", s=np.float32(0.1), z=np.int8(3), w=(3, 4, 3, 3)),
}


# The engine's nodes, where a form must not cost more than these; "+" marks a unary function.
NODES = {
    "flat_gemm": "Conv+ Conv",
    "nhwc_flat": "Conv Conv",
    "matmul3": "Conv+",
    "tokens": "Conv",
    "conv_then_matmul": "Conv Conv",
    "bn": "Conv+",
    "bn_first": "Conv",
    "keras_norm": "Conv",
    "scalar_norm": "Conv",
    "uint8": "Conv",
    "bn1d": "Conv+",
    "convt_bn": "ConvTranspose",
    "mean": "AveragePool",
    "se": "Conv AveragePool Conv+ Expand Mul",
    "spatial_att": "Conv Conv+ Select Mul",
    "slice": "Select",
    "pad_conv": "Conv",
    "pad_avg": "AveragePool",
    "pad_max": "Select MaxPool",
    "concat_h": "Conv Join Conv",
    "concat_inputs": "Join Conv",
    "concat_constant": "Conv Concat Conv",
    "concat_constants_h": "Conv Join+",
    "class_token": "Conv Join Add Conv",
    "pixels": "Conv Mul Add Mul Add+",
    "pad_value": "Select+",
    "pad_values": "Select Select+",
    "pad_lowest_max": "MaxPool",
    "pad_reflect": "Take Conv",
    "flip": "Take",
    "shuffle": "Conv Conv",
    "shuffle_grp": "Conv Select Conv",
    "shuffle_out": "Conv",
    "keras": "Conv+ Conv",
    "hswish": "Conv+",
    "silu": "Conv+ Conv",
    "gelu_erf": "Conv+",
    "mish_d": "Conv+",
    "prelu": "Conv Copy+ Copy+ Add",
    "acts": "Conv+",
    "chan": "Conv+",
    "dropout": "Conv+",
}

HOSTED = {
    "softmax_both_ends": ["softmax0 (Softmax)", "softmax2 (Softmax)"],
    "two_ends": ["softmax1 (Softmax)"],
    "int8_in": ["dequantizelinear0 (DequantizeLinear)"],
    "resize_lin_end": ["resize1 (Resize)"],
    "resize_lin_sizes_start": ["resize0 (Resize)"],
    "softmax": ["softmax1 (Softmax)"],
    "softmax_reshape": ["softmax2 (Softmax)"],
    "softmax_t": ["softmax2 (Softmax)"],
    "keras": ["softmax7 (Softmax)"],
    "uint8": ["cast0 (Cast)"],
    "uint8_nhwc": ["cast0 (Cast)"],
}

# Files that onnxruntime cannot run for other batches as they are; what the reader returns runs for any.
BOUND = (
    *("fixed4", "resize_mid", "resize_lin_sizes_start"),
    *("concat_constant", "concat_constants_h", "concat_constant_nhwc", "concat_constant_shuffled", "concat_fixed_batch"),
)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_onnxruntime_does(name: str) -> None:
    model = CASES[name]
    network = check(model, original=None if name in BOUND else model)
    assert [host.node for host in network.host] == HOSTED.get(name, [])
    if name in NODES:
        assert kinds(network) == NODES[name]


def kinds(network: Network) -> str:
    return " ".join(type(node.operator).__name__ + ("+" if node.function else "") for node in network.graph.nodes)
