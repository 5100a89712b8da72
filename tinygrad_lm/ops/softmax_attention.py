"""Softmax attention, fused: the weights are not kept, backward computes them again from a saved log-sum-exp."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.elementwise import exp, where
from tinygrad_lm.ops.products import matmul
from tinygrad_lm.ops.reduction import sum
from tinygrad_lm.ops.samples import N, booleans, case
from tinygrad_lm.ops.shape import transposed

__all__ = [
    "attention",
]

# ruff: noqa: A004


def visible(xp, T, S, mask, causal):
    """(boolean mask or None, additive mask or None): who may look where, for T queries and S keys."""
    allowed = mask if mask is not None and mask.dtype.kind == "b" else None
    if causal:  # the last query stands at the last key
        triangle = xp.tri(T, S, S - T, dtype=bool)
        allowed = triangle if allowed is None else allowed & triangle
    return allowed, None if mask is None or mask.dtype.kind == "b" else mask


def scores(xp, q, k, mask, causal, scale):
    """q k^T scale + mask, -inf where nobody may look: (..., T, S)."""
    s = xp.matmul(q, xp.swapaxes(k, -1, -2))
    s *= scale
    allowed, added = visible(xp, q.shape[-2], k.shape[-2], mask, causal)
    if added is not None:
        s = s + added
    if allowed is not None:
        s = xp.where(allowed, s, s.dtype.type(-xp.inf))
    return s


def scale_of(q, scale):
    return 1 / math.sqrt(q.shape[-1]) if scale is None else scale


def why_not_attention(q, k, v, mask=None, **_):
    if len(q) < 2 or len(k) < 2 or len(v) < 2:
        return "q, k and v need at least the axes (length, head size)"
    if q[-1] != k[-1]:
        return f"q and k must have one head size, got {q[-1]} and {k[-1]}"
    if k[-2] != v[-2]:
        return f"k and v must have one length, got {k[-2]} and {v[-2]}"
    return (
        f"the leading axes of q {q}, k {k}, v {v}, and the mask {mask} over (..., {q[-2]}, {k[-2]}), do not broadcast"
    )


def cases():
    mask = booleans(4, 4)
    return [
        case(N(2, 4, 3), N(2, 4, 3), N(2, 4, 2), causal=True),
        case(N(4, 3), N(5, 3), N(5, 3)),
        case(N(2, 3), N(5, 3), N(5, 3), causal=True),
        case(N(2, 2, 4, 3), N(2, 2, 4, 3), N(2, 2, 4, 3), mask),
        case(N(4, 2), N(4, 2), N(4, 2), mask, causal=True, scale=0.3),
        case(N(3, 2), N(3, 2), N(3, 2), -1.5 * np.eye(3)),
        case(N(0, 4, 3), N(0, 4, 3), N(0, 4, 3)),
        case(N(4, 3), N(2, 3), N(2, 3), causal=True),
        case(N(2, 3), N(0, 3), N(0, 3)),
    ]


@op(
    aux="lse",
    promote="q k v mask",
    diagnose=why_not_attention,
    samples=lambda: cases(),
    cost=lambda q, k, v, *_, causal=False, **__: (
        (q.size * k.shape[-2] + q.size // q.shape[-1] * v.shape[-1] * k.shape[-2]) * (1 if causal else 2)
    ),
)
def attention(xp, q, k, v, mask=None, *, causal=False, scale=None):
    """softmax(q k^T scale + mask) v: scaled dot-product attention (Vaswani et al. 2017).

    q (..., T, D), k (..., S, D), v (..., S, Dv); result (..., T, Dv); scale: 1 / sqrt(D) if None.
    mask: boolean (True: may attend) or a number added to the score, broadcast to (..., T, S).
    causal: query i sees the keys up to i + S - T, so that the last query stands at the last key.
    A query that may look nowhere gets 0, and no gradient flows from it.
    """
    s = scores(xp, q, k, mask, causal, scale_of(q, scale))
    top = xp.max(s, axis=-1, keepdims=True, initial=-xp.inf)
    top = xp.where(top == -xp.inf, 0, top).astype(s.dtype, copy=False)
    s -= top
    p = xp.exp(s, out=s)
    total = xp.sum(p, axis=-1, keepdims=True)
    p /= xp.where(total == 0, 1, total)
    lse = top + xp.log(xp.where(total == 0, 1, total))  # where nobody may look: p is 0 whatever this is
    return xp.matmul(p, v), lse


@attention.vjp("q", "k", "v")
def _(g, q, k, v, mask, out, lse, *, causal, scale):
    return attention_grad(g, q, k, v, mask, out, lse, causal=causal, scale=scale)


@op(
    promote="dy q k v mask",
    samples=lambda: [
        case(N(*c.arrays[0].shape[:-1], c.arrays[2].shape[-1]), *c.arrays[:3], *c.arrays[3:], **c.params)
        for c in cases()
    ],
)
def attention_grad(xp, dy, q, k, v, mask=None, y=None, lse=None, *, causal=False, scale=None):
    """(dq, dk, dv) of attention; y and lse, its output and log-sum-exp, are caches (computed again if None).

    With p the weights:  dv = p^T dy,  dp = dy v^T,  ds = p (dp - sum(dy y)) scale,  dq = ds k,  dk = ds^T q.
    """
    if y is None or lse is None:
        y, lse = attention.op.forward(xp, q, k, v, mask, causal=causal, scale=scale)
    p = scores(xp, q, k, mask, causal, scale_of(q, scale))
    p -= lse
    p = xp.exp(p, out=p)
    dv = xp.matmul(xp.swapaxes(p, -1, -2), dy)
    ds = xp.matmul(dy, xp.swapaxes(v, -1, -2))
    ds -= xp.sum(dy * y, axis=-1, keepdims=True)
    ds *= p
    ds *= scale_of(q, scale)
    return xp.matmul(ds, k), xp.matmul(xp.swapaxes(ds, -1, -2), q), dv


attention_grad.constant("y", "lse")


def weights(q, k, mask, causal, scale):
    """The attention weights from simple ops."""
    xp = backend_of(raw(q)).xp
    s = matmul(q, transposed(k)) * scale_of(q, scale)
    allowed, added = visible(xp, q.shape[-2], k.shape[-2], raw(mask), causal)
    if added is not None:
        s = s + mask
    if allowed is None:
        allowed = xp.ones((1, 1), bool)
    top = xp.max(xp.where(allowed, raw(s), -xp.inf), axis=-1, keepdims=True, initial=-xp.inf)
    e = where(allowed, exp(where(allowed, s, 0.0) - xp.where(xp.isfinite(top), top, 0)), 0.0)
    total = sum(e, axis=-1, keepdims=True)
    return e / where(raw(total) == 0, 1.0, total)


@attention_grad.composed
def _(dy, q, k, v, mask, causal, scale):
    p = weights(q, k, mask, causal, scale)
    dp = matmul(dy, transposed(v))
    ds = p * (dp - sum(dp * p, axis=-1, keepdims=True)) * scale_of(q, scale)
    return matmul(ds, k), matmul(transposed(ds), q), matmul(transposed(p), dy)


@attention.composed
def _(q, k, v, mask, causal, scale):
    return matmul(weights(q, k, mask, causal, scale), v)
