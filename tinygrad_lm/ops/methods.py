"""Operators and methods of Tensor, attached here, where operations exist.

NumPy's ufuncs come here too: np.exp(t) and ndarray * t run the op of that name, or raise; they never drop a gradient.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.backend import is_float
from tinygrad_lm.core import OPS, Tensor, flatten, ndim_of, raw
from tinygrad_lm.core.errors import describe
from tinygrad_lm.ops import (
    activation,
    choosing,
    comparison,
    elementwise,
    exponential,
    indexing,
    joining,
    normalization,
    products,
    reduction,
    rounding,
    running,
    shape,
    sorting,
    trigonometric,
)

__all__ = [
    "astype",
]

UFUNCS = {getattr(np, op.facts["ufunc"]): op.function for op in OPS.values() if "ufunc" in op.facts}


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
    if method == "__call__" and ufunc in UFUNCS and not keywords:
        return UFUNCS[ufunc](*inputs)
    call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if any(isinstance(x, Tensor) for x in keywords.get("out", ())):
        raise TypeError(f"np.{call} cannot write into a Tensor; use x = x + y, or x.data for the array itself")
    if all(x.node is None for x in inputs if isinstance(x, Tensor)):
        return getattr(ufunc, method)(*map(raw, inputs), **keywords)
    asked = f" with {', '.join(keywords)}" if keywords else ""
    raise TypeError(f"np.{call}{asked} has no gradient here; use an operation of tinygrad_lm, or .detach().numpy()")


def array_function(self: Tensor, function: Any, types: Any, args: tuple, keywords: dict) -> Any:
    """np.sum(t), np.stack([t, u]), ...: computed for tensors without history, refused where a gradient is due."""
    leaves, rebuild = flatten((args, keywords))
    asks_values = function not in (np.shape, np.ndim, np.size)
    if asks_values and any(isinstance(x, Tensor) and x.node is not None for x in leaves):
        raise TypeError(f"np.{function.__name__} has no gradient here; use tinygrad_lm's own, or .detach().numpy()")
    arrays, others = rebuild([raw(x) for x in leaves])
    return function(*arrays, **others)


def index_of(index: Any) -> Any:
    """An index with arrays in place of Tensors."""
    return tuple(map(raw, index)) if isinstance(index, tuple) else raw(index)


def rebind(x: Tensor, new: Tensor, what: str) -> Tensor:
    """Let `x` be what was computed from it: whoever read the old value keeps it, so every gradient stays right."""
    if x.requires_grad and x.is_leaf and config.recording.get() is not None:
        raise RuntimeError(f"cannot {what} a leaf that requires a gradient; use no_grad(), or work on x * 1.0")
    if new.shape != x.shape:
        raise ValueError(f"cannot {what} a tensor of shape {x.shape}: the result has shape {new.shape}")
    if x.requires_grad and x.is_leaf:
        x.data[...] = new.data
    elif config.recording.get() is None:
        x.data = new.data  # unrecorded: the value changes, the history stays
    else:
        x.data, x.node = new.data, new.node
    return x


def assign(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = v computes a new array and rebinds; views of x taken before do not follow."""
    if isinstance(value, Tensor) and value.requires_grad and not is_float(self.dtype):
        raise TypeError(f"{self.dtype} cannot carry the gradient of what is assigned; convert it first: x.astype(...)")
    rebind(self, indexing.setitem(self, value, index=index_of(index)), "assign into")


def in_place(function: Any, symbol: str) -> Any:
    return lambda self, other: rebind(self, function(self, other), f"{symbol} into")


def bitwise(function: Any, symbol: str) -> Any:
    """An operator of booleans and integers, of which masks are made: without derivative."""

    def operate(*operands: Any) -> Tensor:
        arrays = [raw(x) for x in operands]
        if any(getattr(a, "dtype", np.dtype(type(a))).kind not in "biu" for a in arrays):
            got = " and ".join([describe(a) for a in arrays])
            raise TypeError(f"{symbol} is for booleans and integers, got {got}; compare first, e.g. x > 0")
        return Tensor(function(*arrays))

    return operate


def astype(x: Any, dtype: Any) -> Any:
    """x in another dtype; the gradient comes back in its own.  Integers and booleans carry no gradient."""
    ndim_of("astype", x)
    dtype = np.dtype(dtype)
    if is_float(dtype):
        return shape.cast(x, dtype=dtype)
    return Tensor(x.data.astype(dtype)) if isinstance(x, Tensor) else x.astype(dtype)


def shaped(self: Tensor, *sizes: Any) -> Tensor:
    """x.reshape(2, 3), x.reshape((2, 3)) or x.reshape(-1)."""
    return shape.reshape(self, shape=tuple(sizes[0]) if len(sizes) == 1 and np.iterable(sizes[0]) else sizes)


def permuted(self: Tensor, *axes: Any) -> Tensor:
    """x.transpose() reverses the axes, x.transpose(1, 0) or x.transpose((1, 0)) orders them (x.permute too)."""
    order = tuple(axes[0]) if len(axes) == 1 and np.iterable(axes[0]) else axes
    return shape.transpose(self, axes=order or None)


OPERATORS = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": rounding.floor_divide,
    "mod": rounding.remainder,
    "pow": exponential.pow,
    "matmul": products.matmul,
}
COMPARISONS = {
    "eq": comparison.equal,
    "ne": comparison.not_equal,
    "lt": comparison.less,
    "le": comparison.less_equal,
    "gt": comparison.greater,
    "ge": comparison.greater_equal,
}
METHODS = [
    reduction.sum,
    reduction.mean,
    reduction.var,
    reduction.std,
    reduction.prod,
    reduction.max,
    reduction.min,
    reduction.median,
    reduction.logsumexp,
    reduction.norm,
    reduction.argmax,
    reduction.argmin,
    reduction.any,
    reduction.all,
    reduction.count_nonzero,
    running.cumsum,
    running.cumprod,
    sorting.sort,
    sorting.argsort,
    sorting.topk,
    shape.swapaxes,
    shape.moveaxis,
    shape.squeeze,
    shape.expand_dims,
    shape.broadcast_to,
    shape.flip,
    shape.roll,
    shape.tile,
    shape.unfold,
    exponential.exp,
    exponential.log,
    exponential.sqrt,
    exponential.square,
    exponential.rsqrt,
    exponential.expm1,
    exponential.log1p,
    exponential.log2,
    exponential.log10,
    exponential.erf,
    elementwise.reciprocal,
    elementwise.abs,
    trigonometric.sin,
    trigonometric.cos,
    trigonometric.tan,
    trigonometric.sinh,
    trigonometric.cosh,
    trigonometric.tanh,
    choosing.clip,
    rounding.sign,
    rounding.floor,
    rounding.ceil,
    rounding.trunc,
    rounding.round,
    comparison.isfinite,
    comparison.isinf,
    comparison.isnan,
    exponential.sigmoid,
    activation.relu,
    activation.silu,
    activation.gelu,
    normalization.softmax,
    normalization.log_softmax,
    joining.split,
    joining.chunk,
    indexing.take,
    indexing.gather,
    indexing.scatter_add,
    indexing.index_add,
    indexing.masked_fill,
    indexing.repeat,
    indexing.diagonal,
    indexing.tril,
    indexing.triu,
    products.dot,
    products.trace,
]


def attach() -> None:
    """Give Tensor its operators and methods."""
    cls: Any = Tensor
    for name, function in OPERATORS.items():
        setattr(cls, f"__{name}__", function)
        setattr(cls, f"__r{name}__", lambda self, other, f=function: f(other, self))
        setattr(cls, f"__i{name}__", in_place(function, getattr(operator, name).__name__))
    for name, function in COMPARISONS.items():
        setattr(cls, f"__{name}__", function)
    for function in METHODS:
        setattr(cls, function.__name__, function)
    for name, symbol in {"and": "&", "or": "|", "xor": "^"}.items():
        function = bitwise(getattr(operator, f"__{name}__"), symbol)
        setattr(cls, f"__{name}__", function)
        setattr(cls, f"__r{name}__", lambda self, other, f=function: f(other, self))
    cls.__invert__ = bitwise(operator.__invert__, "~")
    cls.__neg__, cls.__abs__, cls.__pos__ = elementwise.negative, elementwise.abs, lambda self: self
    cls.__getitem__ = lambda self, index: indexing.getitem(self, index=index_of(index))
    cls.__iter__ = lambda self: iter([self[i] for i in range(len(self))])
    cls.__setitem__ = assign
    cls.__array_ufunc__, cls.__array_function__ = array_ufunc, array_function
    cls.astype, cls.reshape, cls.transpose, cls.permute = astype, shaped, permuted, permuted
    cls.T = property(lambda self: shape.transpose(self), doc="The axes in reverse order.")
    cls.mT = property(
        lambda self: shape.swapaxes(self, -1, -2), doc="Matrices transposed: the last two axes exchanged."
    )
    cls.flatten = lambda self: shape.reshape(self, -1)
    cls.copy = lambda self: self * 1 if self.node is not None else Tensor(self.data.copy())
