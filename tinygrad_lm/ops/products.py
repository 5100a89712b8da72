"""Products of matrices.  Every rule is another product, so one fast matmul serves all of them."""

from __future__ import annotations

import math

from tinygrad_lm.core import op
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import broadcast_to, expand_dims, flatten_rows, reshape, transposed

__all__ = [
    "einsum",
    "linear",
    "matmul",
]


def why_not_matmul(a, b):
    """What keeps two shapes from being multiplied."""
    if not a or not b:
        return "a product of matrices needs at least one axis on both sides; use * for numbers"
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        hint = "; b.T would fit" if len(b) > 1 and a[-1] == b[-1] else ""
        return f"the last axis of a is {a[-1]}, but axis {-2 if len(b) > 1 else 0} of b is {inner}{hint}"
    return f"the leading axes {a[:-2]} and {b[:-2]} do not broadcast"


def product_flops(a, b, **_):
    return 2 * math.prod(a.shape) * (b.shape[-1] if b.ndim > 1 else 1)


@op(
    ufunc="matmul",
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
        return xp.matmul(a.reshape(-1, a.shape[-1]) if a.size else a, b).reshape(*a.shape[:-1], b.shape[1])
    return xp.matmul(a, b)


@matmul.vjp("a")
def _(g, b, a_shape):
    if b.ndim == 1:  # (..., M) and (K,)
        return expand_dims(g, -1) * b if len(a_shape) > 1 else g * b
    if len(a_shape) == 1:  # (..., N) and (..., K, N)
        g = expand_dims(g, -2)
    return matmul(g, transposed(b))


@matmul.vjp("b")
def _(g, a, b_shape):
    if len(b_shape) == 1:
        return expand_dims(g, -1) * a if a.ndim > 1 else g * a
    if a.ndim == 1:
        return expand_dims(a, -1) * expand_dims(g, -2)
    if len(b_shape) == 2 < a.ndim:  # one product, instead of a batch of them to be summed
        a, g = flatten_rows(a), flatten_rows(g)
    return matmul(transposed(a), g)


def why_not_linear(x, weight, bias=None):
    if len(weight) != 2 or not x or x[-1] != weight[1]:
        return f"x {x} needs a weight of shape (out, {x[-1] if x else 'in'}), got {weight}"
    return f"bias {bias} must be ({weight[0]},)"


@op(
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


# ---------------------------------------------------------------------------------------------------- Einstein's sum


@op(
    name="einsum",
    samples=lambda: [
        case(N(2, 3), N(3, 4), subscripts="ij,jk->ik"),
        case(N(2, 3), N(3, 4), N(4), subscripts="ij,jk,k->i"),
        case(N(2, 3), N(3, 4), subscripts="ij,kl->k"),
        case(N(2, 3), subscripts="ij->j"),
        case(N(4, 2, 3), N(4, 3), subscripts="bij,bj->bi"),
        case(N(3), N(0), subscripts="i,j->ij"),
    ],
)
def einsum_explicit(xp, *xs, subscripts):
    """Sum over products of elements with equal letters; explicit form ('ij,jk->ik'), no letter twice in an operand."""
    return xp.einsum(subscripts, *xs, optimize=len(xs) > 2)


@einsum_explicit.vjp("xs")
def _(g, xs, xs_shape, needs, *, subscripts):
    terms, result = subscripts.split("->")
    each = terms.split(",")
    grads: list = []
    for i, term in enumerate(each):
        if not needs[i]:
            grads.append(None)
            continue
        others = [(t, x) for j, (t, x) in enumerate(zip(each, xs, strict=True)) if j != i]
        known = "".join([c for c in term if c in result or any(c in t for t, _ in others)])
        part = einsum_explicit(
            [g, *[x for _, x in others]], subscripts=f"{','.join([result, *[t for t, _ in others]])}->{known}"
        )
        part = reshape(part, shape=tuple([n if c in known else 1 for c, n in zip(term, xs_shape[i], strict=True)]))
        grads.append(broadcast_to(part, shape=xs_shape[i]))
    return grads


def einsum(subscripts, *operands):
    """Einstein summation, e.g. einsum("bij,bjk->bik", a, b): letters name axes, those not in the result are summed.

    The result may be left out (letters that occur once, in alphabetical order).  A letter twice in one operand (a
    diagonal) and '...' are not supported.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.einsum("ij,ij->i", np.ones((2, 3)), np.ones((2, 3)))
    array([3., 3.])
    """
    text = subscripts.replace(" ", "")
    terms, arrow, result = text.partition("->")
    letters = terms.replace(",", "")
    if not arrow:
        result = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    each = terms.split(",")
    if len(each) != len(operands):
        raise ValueError(f"einsum '{subscripts}' names {len(each)} operands and got {len(operands)}")
    for term, x in zip([*each, result], [*operands, None], strict=True):
        if not (term.isalpha() or term == "") or len(set(term)) < len(term):
            raise ValueError(f"einsum '{subscripts}': '{term}' must be letters, each at most once")
        if x is not None and len(term) != x.ndim:
            raise ValueError(f"einsum '{subscripts}': '{term}' names {len(term)} axes of an array of shape {x.shape}")
    sizes: dict[str, int] = {}
    for term, x in zip(each, operands, strict=True):
        for letter, size in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"einsum '{subscripts}': axis '{letter}' is {sizes[letter]} here and {size} there")
    if extra := set(result) - set(letters):
        raise ValueError(f"einsum '{subscripts}': the result names {', '.join(sorted(extra))}, which no operand has")
    return einsum_explicit(list(operands), subscripts=f"{terms}->{result}")
