"""Products of vectors, matrices and larger arrays.  Every rule is another product, so one fast matmul serves all."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import (
    axis_of,
    expand_dims,
    flatten_rows,
    moveaxis,
    reshape,
    transpose,
    transposed,
)

__all__ = [
    "dot",
    "inner",
    "kron",
    "linear",
    "matmul",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
]

# ruff: noqa: F811  (every rule is named `_`)


def why_not_matmul(a, b):
    """What keeps two shapes from being multiplied."""
    if not a or not b:
        return "a product of matrices needs at least one axis on both sides; use * for numbers"
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        hint = "; b.mT would fit" if len(b) > 1 and a[-1] == b[-1] else ""
        return f"the last axis of a is {a[-1]}, but axis {-2 if len(b) > 1 else 0} of b is {inner}{hint}"
    return f"the leading axes {a[:-2]} and {b[:-2]} do not broadcast"


def product_flops(a, b, **_):
    rows, columns = a.shape[-2:], b.shape[-1:] if b.ndim > 1 else ()
    return 2 * math.prod((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *rows, *columns))


@op(
    ufunc="matmul",
    analytic=True,
    diagnose=why_not_matmul,
    cost=product_flops,
    samples=lambda: [
        case(N(3, 4), N(4, 5)),
        case(N(2, 3, 4), N(4, 5)),
        case(N(2, 1, 3, 4), N(3, 4, 2)),
        case(N(4), N(4)),
        case(N(4), N(2, 4, 3)),
        case(N(2, 3, 4), N(4)),
        case(N(0, 4), N(4, 3)),
        case(N(2, 0), N(0, 3)),
        case(N(2, 1, 0), N(0, 3)),
        case(N(3, 4), N(2, 4, 5)),
    ],
)
def matmul(xp, a, b):
    """(..., M, K) @ (..., K, N) = (..., M, N); leading axes broadcast, 1-d operands are a row and a column.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.matmul(np.ones((2, 3)), np.ones((3, 1)))
    array([[3.],
           [3.]])
    """
    if b.ndim == 2 < a.ndim:  # NumPy would run one small product for each leading index
        return xp.matmul(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return xp.matmul(a, b)


@matmul.vjp("a")
def _(g, b, a_shape):
    if b.ndim == 1:  # (..., M) and (K,)
        return expand_dims(g, -1) * b
    if len(a_shape) == 1:  # (..., N) and (..., K, N)
        g = expand_dims(g, -2)
    return matmul(g, transposed(b))


@matmul.vjp("b")
def _(g, a, b_shape):
    if len(b_shape) == 1:
        return expand_dims(g, -1) * a
    if a.ndim == 1:
        return expand_dims(a, 1) * expand_dims(g, -2)
    if len(b_shape) == 2 < a.ndim:  # one product, instead of a batch of them to be summed
        a, g = flatten_rows(a), flatten_rows(g)
    return matmul(transposed(a), g)


@matmul.jvp("a")
def _(t, b):
    return matmul(t, b)


@matmul.jvp("b")
def _(t, a):
    return matmul(a, t)


def why_not_linear(x, weight, bias=None):
    if len(weight) != 2 or not x or x[-1] != weight[1]:
        return f"x {x} needs a weight of shape (out, {x[-1] if x else 'in'}), got {weight}"
    return f"bias {bias} must be ({weight[0]},)"


@op(
    analytic=True,
    diagnose=why_not_linear,
    cost=lambda x, weight, *_: 2 * math.prod(x.shape) * weight.shape[0],
    samples=lambda: [
        case(N(2, 3, 4), N(5, 4), N(5)),
        case(N(3, 4), N(5, 4)),
        case(N(4), N(2, 4), N(2)),
        case(N(0, 4), N(2, 4), N(2)),
        case(N(1, 1), N(1, 1), N(1)),
    ],
)
def linear(xp, x, weight, bias=None):
    """x W^T + b: x (..., in), weight (out, in), bias (out,) or None; result (..., out)."""
    if weight.ndim != 2:
        raise ValueError(why_not_linear(x.shape, weight.shape))
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = xp.matmul(rows, weight.T)
    if bias is not None:
        if bias.shape != (weight.shape[0],):
            raise ValueError("bias")
        y = xp.add(y, bias, out=y if bias.dtype == y.dtype else None)
    return y.reshape(*x.shape[:-1], weight.shape[0])


@linear.vjp("x")
def _(g, weight):
    return matmul(g, weight)


@linear.vjp("weight")
def _(g, x):
    return matmul(transposed(flatten_rows(g)), flatten_rows(x))


@linear.vjp("bias")
def _(g):
    return flatten_rows(g)  # the walk sums the rows


@linear.jvp("x")
def _(t, weight):
    return matmul(t, transposed(weight))


@linear.jvp("weight")
def _(t, x):
    return matmul(x, transposed(t))


@linear.jvp("bias")
def _(t):
    return t


# ---------------------------------------------------------------------------------------------------- over chosen axes


def contracted(axes, a, b):
    """`axes` of tensordot as two tuples of non-negative axes, for operands of `a` and `b` dimensions."""
    if isinstance(axes, int):
        return tuple(range(a - axes, a)), tuple(range(axes))
    pair = [tuple(i) if np.iterable(i) else (i,) for i in axes]
    return tuple([axis_of(i, a) for i in pair[0]]), tuple([axis_of(i, b) for i in pair[1]])


def others(axes, ndim):
    """The axes that are not among `axes`."""
    return tuple([i for i in range(ndim) if i not in axes])


def pull_left(g, b, axes, ndim):
    """The gradient of the left operand, of `ndim` dimensions: g and b contracted over what is left of b."""
    axes_a, axes_b = axes
    free = others(axes_b, b.ndim)
    part = tensordot(g, b, axes=(tuple(range(g.ndim - len(free), g.ndim)), free))
    order = [*others(axes_a, ndim), *[axes_a[i] for i in np.argsort(axes_b)]]  # which axis of a each one is
    return transpose(part, axes=tuple(np.argsort(order).tolist()))


def pull_right(g, a, axes, ndim):
    """The gradient of the right operand, of `ndim` dimensions: a and g contracted over what is left of a."""
    axes_a, axes_b = axes
    free = others(axes_a, a.ndim)
    part = tensordot(a, g, axes=(free, tuple(range(len(free)))))
    order = [*[axes_b[i] for i in np.argsort(axes_a)], *others(axes_b, ndim)]
    return transpose(part, axes=tuple(np.argsort(order).tolist()))


def why_not_tensordot(a, b, *, axes=2):
    if isinstance(axes, int):
        if not 0 <= axes <= min(len(a), len(b)):
            return f"axes={axes} asks for more axes than a {a} and b {b} have"
        return f"the last {axes} axes of a are {a[len(a) - axes :]}, the first {axes} of b are {b[:axes]}"
    pair = [tuple(i) if np.iterable(i) else (i,) for i in axes]
    if len(pair) != 2 or len(pair[0]) != len(pair[1]):
        return f"axes must be a number, or a pair of as many axes of a as of b, got {axes}"
    if any(not -len(s) <= i < len(s) for s, at in zip((a, b), pair, strict=True) for i in at):
        return f"axes {axes} do not exist in a {a} and b {b}"
    if any(len({i % len(s) for i in at}) < len(at) for s, at in zip((a, b), pair, strict=True)):
        return f"an axis is named twice in {axes}"
    sizes = [tuple([s[i] for i in at]) for s, at in zip((a, b), pair, strict=True)]
    return f"the axes that are summed are {sizes[0]} in a and {sizes[1]} in b"


def tensordot_flops(a, b, *, axes=2):
    return 2 * a.size * math.prod([b.shape[i] for i in others(contracted(axes, a.ndim, b.ndim)[1], b.ndim)])


@op(
    analytic=True,
    diagnose=why_not_tensordot,
    cost=tensordot_flops,
    samples=lambda: [
        case(N(2, 3, 4), N(3, 4, 2)),
        case(N(3, 4), N(4, 5), axes=1),
        case(N(2), N(3), axes=0),
        case(N(2, 3, 4), N(4, 5, 2), axes=((0, 2), (2, 0))),
        case(N(2, 3), N(3, 2), axes=((1, -2), (0, -1))),
        case(N(3, 2), N(4, 3), axes=(0, -1)),
        case(N(), N(2, 1), axes=0),
        case(N(0, 2), N(2, 3), axes=1),
        case(N(2, 0), N(0, 3), axes=1),
    ],
)
def tensordot(xp, a, b, *, axes=2):
    """Products of elements of a and b, summed over pairs of axes.

    axes: a number n (the last n axes of a with the first n of b, in order), or a pair: an axis, or as many axes, of a
    and of b.  The result has the remaining axes of a, then those of b.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.tensordot(np.ones((2, 3)), np.ones((4, 3)), axes=(1, 1)).shape
    (2, 4)
    """
    if any(len(set(i)) < len(i) for i in contracted(axes, a.ndim, b.ndim)):
        raise ValueError("an axis is named twice")
    return xp.tensordot(a, b, axes)


@tensordot.vjp("a")
def _(g, b, a_shape, *, axes):
    return pull_left(g, b, contracted(axes, len(a_shape), b.ndim), len(a_shape))


@tensordot.vjp("b")
def _(g, a, b_shape, *, axes):
    return pull_right(g, a, contracted(axes, a.ndim, len(b_shape)), len(b_shape))


@tensordot.jvp("a")
def _(t, b, *, axes):
    return tensordot(t, b, axes=axes)


@tensordot.jvp("b")
def _(t, a, *, axes):
    return tensordot(a, t, axes=axes)


def why_not_dot(a, b):
    at = -2 if len(b) > 1 else 0
    return f"the last axis of a is {a[-1]}, but axis {at} of b is {b[at]}" if a and b else None


def dot_axes(a_shape, b_shape):
    return (len(a_shape) - 1,), (max(len(b_shape) - 2, 0),)


@op(
    analytic=True,
    diagnose=why_not_dot,
    cost=lambda a, b: tensordot_flops(a, b, axes=dot_axes(a.shape, b.shape) if a.ndim and b.ndim else 0),
    samples=lambda: [
        case(N(4), N(4)),
        case(N(2, 3), N(3, 4)),
        case(N(2, 3), N(3)),
        case(N(3), N(2, 3, 4)),
        case(N(2, 1, 3), N(2, 3, 2)),
        case(N(), N(2, 3)),
        case(N(2), N()),
        case(N(2, 0), N(0, 3)),
        case(N(0), N(0)),
    ],
)
def dot(xp, a, b):
    """The last axis of a summed with the last but one of b (its only one, if b is a vector), as NumPy's dot.

    A number times an array is their product.  Leading axes do not broadcast, all pairs are made: a (..., K) and
    b (..., K, N) give a.shape[:-1] + b.shape[:-2] + (N,).
    """
    return xp.dot(a, b)


@dot.vjp("a")
def _(g, b, a_shape, b_shape):
    return pull_left(g, b, dot_axes(a_shape, b_shape), len(a_shape)) if a_shape and b_shape else g * b


@dot.vjp("b")
def _(g, a, a_shape, b_shape):
    return pull_right(g, a, dot_axes(a_shape, b_shape), len(b_shape)) if a_shape and b_shape else g * a


@dot.jvp("a")
def _(t, b):
    return dot(t, b)


@dot.jvp("b")
def _(t, a):
    return dot(a, t)


def why_not_inner(a, b):
    return f"the last axis of a is {a[-1]}, that of b is {b[-1]}" if a and b else None


@op(
    analytic=True,
    diagnose=why_not_inner,
    cost=lambda a, b: 2 * a.size * math.prod(b.shape[:-1]) if a.ndim else b.size,
    samples=lambda: [
        case(N(4), N(4)),
        case(N(2, 3), N(4, 3)),
        case(N(2, 1, 3), N(3)),
        case(N(), N(2, 3)),
        case(N(2), N()),
        case(N(0, 3), N(2, 3)),
        case(N(2, 0), N(3, 0)),
    ],
)
def inner(xp, a, b):
    """Sums over the last axes: a (..., K) and b (..., K) give a.shape[:-1] + b.shape[:-1], all pairs.

    A number times an array is their product.  See `vecdot` for leading axes that broadcast.
    """
    if not a.ndim or not b.ndim:
        return a * b
    return xp.tensordot(a, b, (-1, -1))


@inner.vjp("a")
def _(g, b, a_shape, b_shape):
    last = (len(a_shape) - 1,), (len(b_shape) - 1,)
    return pull_left(g, b, last, len(a_shape)) if a_shape and b_shape else g * b


@inner.vjp("b")
def _(g, a, a_shape, b_shape):
    last = (len(a_shape) - 1,), (len(b_shape) - 1,)
    return pull_right(g, a, last, len(b_shape)) if a_shape and b_shape else g * a


@inner.jvp("a")
def _(t, b):
    return inner(t, b)


@inner.jvp("b")
def _(t, a):
    return inner(a, t)


@op(
    analytic=True,
    cost=lambda a, b: a.size * b.size,
    samples=lambda: [
        case(N(3), N(4)),
        case(N(2, 2), N(3)),
        case(N(), N(2)),
        case(N(0), N(3)),
        case(N(1), N(2, 1, 3)),
    ],
)
def outer(xp, a, b):
    """Every element of a times every one of b: (a.size, b.size); what is no vector is flattened first, as in NumPy."""
    return xp.outer(a, b)


@outer.vjp("a")
def _(g, b, a_shape):
    return reshape(matmul(g, reshape(b, shape=(-1,))), shape=a_shape)


@outer.vjp("b")
def _(g, a, b_shape):
    return reshape(matmul(reshape(a, shape=(-1,)), g), shape=b_shape)


@outer.jvp("a")
def _(t, b):
    return outer(t, b)


@outer.jvp("b")
def _(t, a):
    return outer(a, t)


def vecdot_axes(axis, a_shape, b_shape):
    """`axis` in each operand, counted from the end, where broadcasting lines them up."""
    return [axis_of(axis, len(s)) - len(s) for s in (a_shape, b_shape)]


def why_not_vecdot(a, b, *, axis=-1):
    if any(not -len(s) <= axis < len(s) for s in (a, b)):
        return f"axis {axis} does not exist in a {a} and b {b}"
    if a[axis] != b[axis]:
        return f"axis {axis} of a is {a[axis]}, that of b is {b[axis]}"
    rest = [s[: axis % len(s)] + s[axis % len(s) + 1 :] for s in (a, b)]
    return f"the other axes {rest[0]} of a and {rest[1]} of b do not broadcast"


@op(
    ufunc="vecdot",
    analytic=True,
    diagnose=why_not_vecdot,
    cost=lambda a, b, **_: 2 * max(a.size, b.size),
    samples=lambda: [
        case(N(4), N(4)),
        case(N(2, 3), N(2, 3), axis=0),
        case(N(2, 1, 3), N(4, 3)),
        case(N(3), N(2, 3)),
        case(N(3, 2), N(2, 3, 2), axis=-2),
        case(N(0, 3), N(0, 3)),
        case(N(2, 0), N(2, 0)),
        case(N(2, 3, 4), N(2, 1, 4), axis=2),
    ],
)
def vecdot(xp, a, b, *, axis=-1):
    """Sums of products along `axis` of both; their other axes broadcast.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.vecdot(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    i, j = vecdot_axes(axis, a.shape, b.shape)
    if a.shape[i] != b.shape[j]:
        raise ValueError("sizes")  # einsum would stretch a 1
    return xp.einsum("...i,...i->...", xp.moveaxis(a, i, -1), xp.moveaxis(b, j, -1))


def vecdot_rule(g, other, axis, own_shape, other_shape):
    """g times the other operand, its vectors moved to where this operand has them."""
    own, theirs = vecdot_axes(axis, own_shape, other_shape)
    grown = expand_dims(g, -1) * moveaxis(other, theirs, -1)
    return moveaxis(grown, -1, own)


@vecdot.vjp("a")
def _(g, b, a_shape, b_shape, *, axis):
    return vecdot_rule(g, b, axis, a_shape, b_shape)


@vecdot.vjp("b")
def _(g, a, a_shape, b_shape, *, axis):
    return vecdot_rule(g, a, axis, b_shape, a_shape)


@vecdot.jvp("a")
def _(t, b, *, axis):
    return vecdot(t, b, axis=axis)


@vecdot.jvp("b")
def _(t, a, *, axis):
    return vecdot(a, t, axis=axis)


def padded(*shapes):
    """The shapes with leading ones, all as long as the longest."""
    width = max(map(len, shapes))
    return [(1,) * (width - len(s)) + tuple(s) for s in shapes]


@op(
    analytic=True,
    cost=lambda a, b: a.size * b.size,
    samples=lambda: [
        case(N(2, 3), N(3, 2)),
        case(N(3), N(2)),
        case(N(2, 2), N(3)),
        case(N(2), N(2, 1, 3)),
        case(N(), N(2, 2)),
        case(N(0, 2), N(2, 3)),
    ],
)
def kron(xp, a, b):
    """The Kronecker product: b in blocks, each multiplied by an element of a; axis i has a.shape[i] b.shape[i] places.

    The shorter shape is taken with leading ones.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.kron(np.array([1.0, 10.0]), np.array([1.0, 2.0, 3.0]))
    array([ 1.,  2.,  3., 10., 20., 30.])
    """
    return xp.kron(a, b)


def kron_rule(g, other, a_shape, b_shape, side):
    """The gradient of one side: g as (a0, b0, a1, b1, ...), contracted with the other over the other's axes."""
    a, b = padded(a_shape, b_shape)
    split = reshape(g, shape=tuple([n for pair in zip(a, b, strict=True) for n in pair]))
    width = len(a)
    part = tensordot(
        split,
        reshape(other, shape=(b, a)[side]),
        axes=(tuple(range(1 - side, 2 * width, 2)), tuple(range(width))),
    )
    return reshape(part, shape=(a_shape, b_shape)[side])


@kron.vjp("a")
def _(g, b, a_shape, b_shape):
    return kron_rule(g, b, a_shape, b_shape, 0)


@kron.vjp("b")
def _(g, a, a_shape, b_shape):
    return kron_rule(g, a, a_shape, b_shape, 1)


@kron.jvp("a")
def _(t, b):
    return kron(t, b)


@kron.jvp("b")
def _(t, a):
    return kron(a, t)


def why_not_trace(x, *, offset=0, axis1=0, axis2=1):
    if len(x) < 2 or any(not -len(x) <= i < len(x) for i in (axis1, axis2)):
        return f"axes {axis1} and {axis2} do not exist in x {x}: a trace is taken over two axes"
    return f"axis1 and axis2 must be two axes, got {axis1} and {axis2}"


@op(
    analytic=True,
    diagnose=why_not_trace,
    cost=lambda x, *, axis1=0, axis2=1, **_: x.size // (max(x.shape[axis1], x.shape[axis2]) or 1),
    samples=lambda: [
        case(N(3, 3)),
        case(N(2, 4), offset=1),
        case(N(4, 2), offset=-2),
        case(N(2, 3, 4), axis1=-1, axis2=0),
        case(N(2, 3, 2, 3), offset=1, axis1=1, axis2=2),
        case(N(0, 3)),
        case(N(3, 0, 3), axis1=0, axis2=2),
        case(N(2, 2), offset=5),
    ],
)
def trace(xp, x, *, offset=0, axis1=0, axis2=1):
    """The sum of x[..., i, ..., i + offset, ...], the two indices on axis1 and axis2; the other axes remain."""
    return xp.trace(x, offset, axis1, axis2)


@trace.vjp("x")
def _(g, x_shape, *, offset, axis1, axis2):
    i, j = axis1 % len(x_shape), axis2 % len(x_shape)
    line = backend_of(raw(g)).xp.eye(x_shape[i], x_shape[j], offset, dtype=bool)
    spread = where(line, expand_dims(g, (-2, -1)), 0.0)  # (the other axes, axis1, axis2)
    return transpose(spread, axes=tuple(np.argsort([*others((i, j), len(x_shape)), i, j]).tolist()))


@trace.jvp("x")
def _(t, *, offset, axis1, axis2):
    return trace(t, offset=offset, axis1=axis1, axis2=axis2)
