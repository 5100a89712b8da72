"""Connectionist temporal classification: the loss of a sequence of labels whose times are not known."""

from __future__ import annotations

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw, vjp
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.indexing import getitem
from tinygrad_lm.ops.joining import concatenate, stack
from tinygrad_lm.ops.loss import check_reduction
from tinygrad_lm.ops.normalization import log_softmax, softmax
from tinygrad_lm.ops.reduction import logsumexp, sum
from tinygrad_lm.ops.samples import N, case

__all__ = [
    "ctc_loss",
]

# ruff: noqa: A004


def check_ctc(xp, logits, targets, input_lengths, target_lengths, blank):
    """Raise where shapes, lengths or labels are out of range."""
    if logits.ndim != 3 or targets.ndim != 2 or targets.shape[0] != logits.shape[1]:
        raise ValueError(
            f"logits are (time, batch, classes) and targets (batch, labels), got {logits.shape} and {targets.shape}"
        )
    T, B, C = logits.shape
    for name, lengths, most in (("input", input_lengths, T), ("target", target_lengths, targets.shape[1])):
        if lengths.shape != (B,) or lengths.dtype.kind not in "iu":
            raise ValueError(f"{name}_lengths must be {B} integers, one for each sequence, got {described(lengths)}")
        if B and not 0 <= int(lengths.min()) <= int(lengths.max()) <= most:
            raise ValueError(
                f"{name}_lengths must be from 0 to {most}, they reach from {int(lengths.min())} to {int(lengths.max())}"
            )
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers (labels), got {targets.dtype}")
    if not 0 <= blank < C:
        raise ValueError(f"blank must be one of the {C} classes, got {blank}")
    used = targets[xp.arange(targets.shape[1]) < target_lengths[:, None]]
    if used.size and (int(used.min()) < 0 or int(used.max()) >= C or bool((used == blank).any())):
        raise IndexError(
            f"labels must be from 0 to {C - 1} and not blank={blank}, "
            f"they reach from {int(used.min())} to {int(used.max())}"
        )


def described(a):
    return f"{a.dtype} {a.shape}"


def states(xp, targets, target_lengths, blank):
    """What an alignment goes through: blank, label, blank, label, ..., blank.

    Returns the class of each state (B, S), S = 2 labels + 1; where a state may be reached from two before it, past a
    blank between labels that differ (the first label may, too, but there is nothing two before it); and where an
    alignment may end.
    """
    B, L = targets.shape
    at = xp.arange(2 * L + 1)
    classes = xp.full((B, 2 * L + 1), blank, targets.dtype)
    classes[:, 1::2] = xp.where(xp.arange(L) < target_lengths[:, None], targets, blank)
    jumps = classes != blank
    jumps[:, 2:] &= classes[:, 2:] != classes[:, :-2]
    ends = (at == 2 * target_lengths[:, None]) | (at == 2 * target_lengths[:, None] - 1)
    return classes, jumps, ends


def shifted(xp, scores, by):
    """Scores of the state `by` places before (after, if negative), -inf where there is none."""
    out = xp.full(scores.shape, -xp.inf, scores.dtype)
    if by > 0:
        out[:, by:] = scores[:, :-by]
    else:
        out[:, :by] = scores[:, -by:]
    return out


def emitted(xp, logits, classes):
    """log softmax of the logits at the class of each state: (T, B, S)."""
    return xp.take_along_axis(log_softmax(logits), classes[None], -1)


def started(xp, classes, dtype):
    """Scores before the first step, which may go to the first blank or the first label: (B, S)."""
    scores = xp.full(classes.shape, -xp.inf, dtype)
    scores[:, 0] = 0
    return scores


def forward_scores(xp, emissions, jumps, input_lengths):
    """log of the probability of all ways to each state, before the first step and after each: (T + 1, B, S)."""
    T = emissions.shape[0]
    alpha = xp.empty((T + 1, *emissions.shape[1:]), emissions.dtype)
    alpha[0] = started(xp, jumps, emissions.dtype)
    for t in range(T):
        came = xp.logaddexp(alpha[t], shifted(xp, alpha[t], 1))
        came = xp.logaddexp(came, xp.where(jumps, shifted(xp, alpha[t], 2), -xp.inf))
        alpha[t + 1] = xp.where((t < input_lengths)[:, None], came + emissions[t], alpha[t])
    return alpha


def backward_scores(xp, emissions, jumps, ends, input_lengths):
    """log of the probability of all ways from each state to the end, likewise: (T + 1, B, S)."""
    T = emissions.shape[0]
    beta = xp.empty((T + 1, *emissions.shape[1:]), emissions.dtype)
    beta[T] = xp.where(ends, 0.0, -xp.inf)
    for t in reversed(range(T)):
        onward = beta[t + 1] + emissions[t]
        left = xp.logaddexp(onward, shifted(xp, onward, -1))
        left = xp.logaddexp(left, shifted(xp, xp.where(jumps, onward, -xp.inf), -2))
        beta[t] = xp.where((t < input_lengths)[:, None], left, beta[t + 1])
    return beta


def cases():
    def some(T, targets, input_lengths, target_lengths, C=3, **params):
        targets = np.array(targets, int).reshape(len(target_lengths), -1)
        return case(N(T, len(target_lengths), C), targets, np.array(input_lengths), np.array(target_lengths), **params)

    return [
        some(4, [[1, 2], [2, 2]], [4, 3], [2, 2]),
        some(3, [[1], [2]], [3, 2], [1, 0], reduction="none"),
        some(4, [[1, 1, 2], [0, 2, -1]], [4, 4], [3, 2], reduction="sum", blank=3, C=4),
        some(2, [[1, 1], [2, 1]], [2, 2], [2, 2], zero_infinity=True),
        some(1, [[1]], [1], [1]),
        some(0, [[], []], np.array([0, 0]), [0, 0]),
        case(N(3, 0, 2), np.zeros((0, 2), int), np.zeros(0, int), np.zeros(0, int)),
    ]


@op(
    aux="alpha",
    samples=cases,
    cost=lambda logits, targets, *_, **__: 5 * logits.size + 30 * logits.shape[0] * (2 * targets.size + 1),
)
def ctc_loss(xp, logits, targets, input_lengths, target_lengths, *, blank=0, reduction="mean", zero_infinity=False):
    """-log of the probability of `targets`, summed over all alignments (Graves et al. 2006).

    logits (T, B, C), of which softmax is taken here, so that the gradient is that of the logits; targets (B, L),
    integers, row b of length target_lengths[b] and then padding; input_lengths (B,).  An alignment has a class for each
    of the first input_lengths[b] times; repeated classes are merged, then blanks removed.

    reduction: "mean" divides each loss by the length of its targets (or 1) and averages them, "sum", or "none" (B,).
    Targets too long for their input have loss inf and gradient nan, with zero_infinity both are 0.
    """
    check_reduction(reduction)
    check_ctc(xp, logits, targets, input_lengths, target_lengths, blank)
    classes, jumps, ends = states(xp, targets, target_lengths, blank)
    alpha = forward_scores(xp, emitted(xp, logits, classes), jumps, input_lengths)
    each = -logsumexp(xp.where(ends, alpha[-1], -xp.inf), axis=1)
    if zero_infinity:
        each = xp.where(xp.isinf(each), 0, each)
    return sum(each * share(xp, target_lengths, reduction, each.dtype)) if reduction != "none" else each, alpha


def share(xp, target_lengths, reduction, dtype):
    """What each sequence's loss counts for: (B,)."""
    if reduction != "mean":
        return xp.ones(target_lengths.shape, dtype)
    return (1 / (xp.maximum(target_lengths, 1) * max(len(target_lengths), 1))).astype(dtype)


ctc_loss.constant("targets", "input_lengths", "target_lengths")


@ctc_loss.vjp("logits")
def _(g, logits, targets, input_lengths, target_lengths, alpha, *, blank, reduction, zero_infinity):
    return ctc_loss_grad(
        g, logits, targets, input_lengths, target_lengths, alpha,
        blank=blank, reduction=reduction, zero_infinity=zero_infinity,
    )  # fmt: skip


@op(
    samples=lambda: [
        case(N(c.arrays[0].shape[1]) if c.params.get("reduction") == "none" else N(), *c.arrays, **c.params)
        for c in cases()
    ]
)
def ctc_loss_grad(
    xp,
    dy,
    logits,
    targets,
    input_lengths,
    target_lengths,
    alpha=None,
    *,
    blank=0,
    reduction="mean",
    zero_infinity=False,
):
    """dlogits = (softmax(logits) - probability that an alignment has this class at this time) dy; alpha is a cache.

    0 behind the end of each input.
    """
    classes, jumps, ends = states(xp, targets, target_lengths, blank)
    emissions = emitted(xp, logits, classes)
    if alpha is None:
        alpha = forward_scores(xp, emissions, jumps, input_lengths)
    beta = backward_scores(xp, emissions, jumps, ends, input_lengths)
    total = logsumexp(xp.where(ends, alpha[-1], -xp.inf), axis=1)
    possible = xp.isfinite(total)
    passing = xp.exp(alpha[1:] + beta[1:] - xp.where(possible, total, 0)[:, None])  # (T, B, S)
    here = (classes[:, :, None] == xp.arange(logits.shape[2])).astype(passing.dtype)  # (B, S, C)
    dx = softmax(logits) - xp.einsum("tbs,bsc->tbc", passing, here, optimize=True)
    dx *= (dy * share(xp, target_lengths, reduction, dx.dtype))[:, None]
    dx = xp.where(possible[:, None], dx, 0 if zero_infinity else xp.nan)
    within = xp.arange(logits.shape[0])[:, None] < input_lengths
    return xp.where(within[..., None], dx, 0)


ctc_loss_grad.constant("targets", "input_lengths", "target_lengths", "alpha")


@ctc_loss.composed
def plain(logits, targets, input_lengths, target_lengths, blank, reduction, zero_infinity):
    """The recursion in simple operations, one step of time after the other."""
    xp, targets, input_lengths = backend_of(raw(logits)).xp, raw(targets), raw(input_lengths)
    target_lengths = raw(target_lengths)
    classes, jumps, ends = states(xp, targets, target_lengths, blank)
    log_p = log_softmax(logits)
    alpha = started(xp, classes, logits.dtype)
    none = xp.full((len(targets), 2), -xp.inf, logits.dtype)
    rows = xp.arange(len(targets))[:, None]
    for t in range(logits.shape[0]):
        padded = concatenate([none, alpha], axis=1)
        ways = stack([alpha, padded[:, 1:-1], where(jumps, padded[:, :-2], -xp.inf)])
        moved = logsumexp(ways, axis=0) + getitem(log_p, index=(t, rows, classes))
        alpha = where((t < input_lengths)[:, None], moved, alpha)
    each = -logsumexp(where(ends, alpha, -xp.inf), axis=1)
    if zero_infinity:
        each = where(xp.isinf(raw(each)), 0.0, each)
    return each if reduction == "none" else sum(each * share(xp, target_lengths, reduction, logits.dtype))


@ctc_loss_grad.composed
def _(dy, logits, targets, input_lengths, target_lengths, blank, reduction, zero_infinity):
    def loss(logits):
        return plain(logits, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)

    return vjp(loss, logits)[1](dy)[0]
