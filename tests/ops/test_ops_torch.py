"""Operations against torch in float64, orders one to three, on the samples that they declare.

Without torch these tests are skipped, unless TINYGRAD_LM_STRICT=1 says that they must run (`make test` does).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygrad_lm import vjp
from tinygrad_lm.core import flatten, raw

from .op_cases import REGISTERED, TRIALS

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    pytest.skip("the differential lane needs torch", allow_module_level=True)


def all_axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def einsum(*xs, subscripts):
    return torch.einsum(subscripts, *xs)


def getitem(x, index):
    def part(i):
        if isinstance(i, slice) and (i.step or 1) < 0:  # which torch does not have
            i = np.arange(len(x))[i].copy()
        return torch.tensor(i) if isinstance(i, np.ndarray) else i

    return x[tuple(map(part, index)) if isinstance(index, tuple) else part(index)]


def setitem(x, v, index):
    out = x.clone()
    index = torch.tensor(index) if isinstance(index, np.ndarray) else index
    if isinstance(index, torch.Tensor) and index.dtype == torch.long and len(set(index.tolist())) < len(index):
        pytest.skip("torch says nothing about writing twice to one place")
    out[index] = v
    return out


def scatter_add(x, index, shape):
    size = math.prod(shape)
    places = getitem(torch.arange(size).reshape(shape), index)
    return torch.zeros(size, dtype=x.dtype).index_add(0, places.reshape(-1), x.reshape(-1)).reshape(shape)


def split(x, sections, axis=0):
    return torch.tensor_split(x, sections, axis)


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """Written out: the third order of torch's own fused one is not that of its formula."""
    centred = x - x.mean(-1, keepdim=True)
    y = centred * ((centred * centred).mean(-1, keepdim=True) + eps) ** -0.5
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def allowed_scores(q, k, mask, causal, scale):
    """(scores, who may look where)."""
    T, S = q.shape[-2], k.shape[-2]
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    see = torch.ones(T, S, dtype=torch.bool)
    if causal:
        see = see.tril(S - T)
    if mask is not None and mask.dtype == torch.bool:
        see = see & mask
    elif mask is not None:
        s = s + mask
    return s, see


def attention(q, k, v, mask=None, causal=False, scale=None):
    """Written out, with 0 where nobody may look."""
    s, see = allowed_scores(q, k, mask, causal, scale)
    if not k.shape[-2]:
        return torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype) + 0 * q.sum() + 0 * k.sum() + 0 * v.sum()
    e = torch.where(see, torch.exp(torch.where(see, s, 0.0) - s.detach().amax(-1, keepdim=True)), 0.0)
    total = e.sum(-1, keepdim=True)
    return e / torch.where(total == 0, 1.0, total) @ v


def cross_entropy(logits, targets, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    if reduction == "mean" and not (targets != ignore_index).any():
        pytest.skip("torch makes nan of the mean of no targets")
    rows, classes = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    loss = F.cross_entropy(rows, classes, None, None, ignore_index, None, reduction, label_smoothing)
    return loss.reshape(targets.shape) if reduction == "none" else loss


TWINS = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg, "pow": torch.pow,
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "abs": torch.abs, "sign": torch.sign, "sin": torch.sin,
    "cos": torch.cos, "tanh": torch.tanh, "erf": torch.erf, "where": torch.where,
    "clip": lambda x, low=None, high=None: torch.clamp(x, low, high),
    "maximum": lambda a, b: torch.maximum(a, torch.as_tensor(b, dtype=a.dtype)),
    "minimum": lambda a, b: torch.minimum(a, torch.as_tensor(b, dtype=a.dtype)),
    "equal": torch.eq, "not_equal": torch.ne, "less": torch.lt, "less_equal": torch.le, "greater": torch.gt,
    "greater_equal": torch.ge,
    "sum": lambda x, axis=None, keepdims=False: torch.sum(x, all_axes(x, axis), keepdims),
    "mean": lambda x, axis=None, keepdims=False: torch.mean(x, all_axes(x, axis), keepdims),
    "var": lambda x, axis=None, correction=0, keepdims=False:
        torch.var(x, all_axes(x, axis), correction=correction, keepdim=keepdims) if x.ndim else x * 0,
    "max": lambda x, axis=None, keepdims=False: torch.amax(x, all_axes(x, axis), keepdims),
    "min": lambda x, axis=None, keepdims=False: torch.amin(x, all_axes(x, axis), keepdims),
    "logsumexp": lambda x, axis=None, keepdims=False: torch.logsumexp(x, all_axes(x, axis), keepdims),
    "cumsum": lambda x, axis: torch.cumsum(x, axis),
    "argmax": lambda x, axis=None, keepdims=False: torch.argmax(x, axis, keepdims),
    "argmin": lambda x, axis=None, keepdims=False: torch.argmin(x, axis, keepdims),
    "reshape": torch.reshape, "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "transpose": lambda x, axes=None: x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes),
    "flip": lambda x, axis=None: torch.flip(x, (axis,) if isinstance(axis, int) else all_axes(x, axis)),
    "cast": lambda x, dtype: x.double(),
    "getitem": getitem, "setitem": setitem, "scatter_add": scatter_add, "split": split,
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis), "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "embedding": lambda ids, weight: weight[ids],
    "embedding_grad": lambda dy, ids, rows: torch.zeros(rows, dy.shape[-1], dtype=dy.dtype).index_add(
        0, ids.reshape(-1), dy.reshape(-1, dy.shape[-1])),
    "matmul": torch.matmul, "linear": F.linear, "einsum": einsum,
    "softmax": lambda x, axis=-1: torch.softmax(x, axis), "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
    "layer_norm": layer_norm, "attention": attention,
    "relu": torch.relu, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
    "mse_loss": lambda x, y, reduction="mean": F.mse_loss(*torch.broadcast_tensors(x, y), reduction=reduction),
    "cross_entropy": cross_entropy,
}  # fmt: skip
# Those without a twin: made only for rules, and compared in test_ops_registry with finite differences and `composed`.
LONERS = {"share", "dropout", "layer_norm_grad", "attention_grad", "cross_entropy_grad", "gelu_grad"}
LANE = [t for t in TRIALS if t.op.name in TWINS]


def test_the_lane_covers_the_operations():
    assert set(TWINS) | LONERS == {op.name for op in REGISTERED}, "give it a twin here, or name it among the loners"
    assert len(TWINS) >= 50 and len({t.op.name for t in LANE}) == len(TWINS)


def twin(trial, tensors):
    """torch's results, as a tuple."""
    outs = TWINS[trial.op.name](*tensors, **trial.case.params)
    return outs if isinstance(outs, tuple) else (outs,)


def same(ours, theirs, what):
    theirs = theirs.detach().numpy()
    assert np.shape(raw(ours)) == theirs.shape, what
    largest = max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(raw(ours), theirs, rtol=1e-9, atol=1e-9 * largest, err_msg=what)


@pytest.mark.parametrize("trial", LANE, ids=lambda t: t.id)
def test_values(trial):
    arrays = trial.draw()
    theirs = twin(trial, [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays])
    for y, z in zip(flatten(trial(*arrays))[0], theirs, strict=True):
        same(y, z, "values")


@pytest.mark.parametrize("trial", [t for t in LANE if t.differentiable], ids=lambda t: t.id)
def test_gradients_of_orders_one_to_three(trial):
    """Outputs are cubed, so that linear operations have three orders too; each order gets weights of its own."""
    rng = np.random.default_rng(trial.seed)
    arrays = trial.draw()
    f, chosen = trial.of(trial.tracked, arrays)
    tensors = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
    leaves = [tensors[i].requires_grad_() for i in trial.tracked]

    def draw(like):
        return [rng.normal(size=raw(x).shape) for x in like]

    weights = draw(f(*chosen))
    ours = weighing(lambda *xs: [y * y * y for y in f(*xs)], weights)
    theirs = dot([y * y * y for y in twin(trial, tensors)], map(torch.tensor, weights))
    for order in (1, 2, 3):
        gradient = gradient_of(ours)
        expected = torch.autograd.grad(theirs, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        for g, h in zip(gradient(*chosen), expected, strict=True):
            same(g, h, f"order {order}")
        if not any(h.requires_grad for h in expected):
            return  # torch says it is constant from here on
        weights = draw(chosen)
        ours, theirs = weighing(gradient, weights), dot(expected, map(torch.tensor, weights))


def gradient_of(f):
    return lambda *xs: vjp(f, *xs)[1](np.ones(()))


def weighing(f, weights):
    return lambda *xs: dot(f(*xs), weights)


def dot(ys, weights):
    products = [(y * w).sum() for y, w in zip(ys, weights, strict=True)]
    return sum(products[1:], products[0])
