"""Layer 3: operations, one block each; importing this room attaches operators and methods to Tensor."""

from tinygrad_lm.ops.activation import gelu, relu, sigmoid, silu
from tinygrad_lm.ops.softmax_attention import attention
from tinygrad_lm.ops.elementwise import (
    abs,
    add,
    clip,
    cos,
    div,
    equal,
    erf,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    mul,
    neg,
    not_equal,
    pow,
    sign,
    sin,
    sqrt,
    sub,
    tanh,
    where,
)
from tinygrad_lm.ops.indexing import concatenate, embedding, getitem, scatter_add, setitem, split, stack, take
from tinygrad_lm.ops.jacobian import hessian, jacobian
from tinygrad_lm.ops.products import einsum, linear, matmul
from tinygrad_lm.ops.loss import cross_entropy, mse_loss
from tinygrad_lm.ops.methods import astype, attach
from tinygrad_lm.ops.normalize import layer_norm, log_softmax, softmax
from tinygrad_lm.ops.random import dropout
from tinygrad_lm.ops.reduction import argmax, argmin, cumsum, logsumexp, max, mean, min, sum, var
from tinygrad_lm.ops.shape import broadcast_to, expand_dims, flip, reshape, squeeze, swapaxes, transpose

attach()

__all__ = [
    "abs", "add", "argmax", "argmin", "astype", "attention", "broadcast_to", "clip", "concatenate", "cos", "cross_entropy",
    "cumsum", "div", "dropout", "einsum", "embedding", "equal", "erf", "exp", "expand_dims", "flip", "gelu", "getitem",
    "greater", "greater_equal", "hessian", "jacobian", "layer_norm", "less", "less_equal", "linear", "log", "log_softmax",
    "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mse_loss", "mul", "neg", "not_equal", "pow", "relu",
    "reshape", "scatter_add", "setitem", "sigmoid", "sign", "silu", "sin", "softmax", "split", "sqrt", "squeeze", "stack",
    "sub", "sum", "swapaxes", "take", "tanh", "transpose", "var", "where",
]  # fmt: skip
