"""Wrong derivatives, to find out what notices them: a test, a training run, or you.

    with mutants.active("softmax/x/the-row-sum-forgotten"):
        ...                                          # the derivative of softmax is wrong here

    print(mutation_score(my_test))                   # which of them a property test of yours kills

Some are made for every input of every operation, others are mistakes that people make, written down one by one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tinygrad_lm import ops
from tinygrad_lm.core import OPS, Op, Tensor, raw
from tinygrad_lm.core.operation import Rule
from tinygrad_lm.testing.differences import EPS
from tinygrad_lm.testing.properties import PROPERTIES, Refuted
from tinygrad_lm.testing.trials import registered, trials

__all__ = ["Mutant", "Score", "active", "killed_by", "mutation_score", "registry"]


@dataclass(eq=False)
class Mutant:
    """A wrong derivative of one operation by one input; within `with mutant:` it is the one that is used.

    `change` computes it from what its parameters name: the words that a rule may ask for, and besides them `right`,
    the right gradient, `input_shape`, the shape of the input, and `memory`, a dict that begins empty in each block.
    For a variadic operation `right` is the list of gradients, and `input_shape` that of shapes.
    `only`: the one property that notices.
    """

    op: Op
    input: str
    what: str
    change: Callable
    generated: bool = False
    only: str = ""
    before: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return f"{self.op.name}/{self.input}/{self.what.replace(' ', '-')}"

    def __repr__(self) -> str:
        return f"<mutant {self.name}>"

    def __enter__(self) -> Mutant:
        if self.before:
            raise RuntimeError(f"{self!r} is switched on already")
        self.before = dict(self.op.rules)
        rule = self.rule()
        self.op.rules.update(dict.fromkeys(rule.inputs, rule))
        self.op.records.clear()
        return self

    def __exit__(self, *_: Any) -> None:
        self.op.rules.update(self.before)
        self.op.records.clear()
        self.before = {}

    def rule(self) -> Rule:
        """The rule that gives the wrong gradient for this input, and the right ones for others that it serves."""
        old, memory, shape = self.op.rules[self.input], {}, f"{self.input}_shape"  # type: ignore[var-annotated]
        assert old is not None
        k, joint = old.inputs.index(self.input), len(old.inputs) > 1
        asked = [shape if w == "input_shape" else w for w in inspect.signature(self.change).parameters]
        words = list(dict.fromkeys([*old.words, *[w for w in asked if w not in ("g", "right", "memory")]]))

        def wrong(g: Any, *values: Any) -> Any:
            known = dict(zip(words, values, strict=True)) | {"g": g, "memory": memory}
            grads: Any = [None] * len(old.inputs)
            if joint or "right" in asked:
                keywords = {w: known[w] for w in old.words if w in old.by_keyword}
                found = old.function(g, *[known[w] for w in old.words if w not in old.by_keyword], **keywords)
                grads = list(found) if joint else [found]
                if grads[k] is None:  # nobody asked for it
                    return grads
            grads[k] = self.change(*[{**known, "right": grads[k]}[w] for w in asked])
            return grads if joint else grads[0]

        return Rule(self.op, old.inputs, wrong, ["g", *words])

    @property
    def equivalent(self) -> bool:
        """Whether it changes no gradient of any sample, so that nothing could notice."""
        if self.only:  # wrong in what float64 samples do not show, by hand
            return False
        right = answers(self.op)
        try:
            with self:
                return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(_answers(self.op), right, strict=True))
        except Exception:
            return False


def _answers(op: Op) -> Iterator[np.ndarray]:
    for trial in trials(op):
        if trial.differentiable:
            arrays = trial.draw()
            for which in (1, 5):
                yield from trial.gradients(arrays, trial.cotangents(arrays, which))


@cache
def answers(op: Op) -> list[np.ndarray]:
    """The gradients of all samples, for two cotangents: what a mutant must change."""
    return list(_answers(op))


# ---------------------------------------------------------------------------------------------------- made for all


def masked(h: Any, mask: np.ndarray) -> Any:
    return h * mask.astype(raw(h).dtype)


def reordered(h: Any, order: np.ndarray) -> Any:
    """The entries of h in another order, in h's shape."""
    return h.reshape(-1)[order.reshape(-1)].reshape(h.shape) if h.size > 1 else h


def numbered(h: Any) -> np.ndarray:
    return np.arange(h.size).reshape(h.shape)


def without_last(h: Any) -> Any:
    return masked(h, numbered(h) != h.size - 1)


def flipped(h: Any) -> Any:
    long = [i for i, n in enumerate(h.shape) if n > 1]
    return reordered(h, np.flip(numbered(h), long[-1])) if long else h


def recalled(h: Any, memory: dict) -> Any:
    kept = memory.setdefault((h.shape, raw(h).dtype), np.array(raw(h)))
    return Tensor(kept) if isinstance(h, Tensor) else kept.copy()


def stretched(h: Any, shape: Sequence[int]) -> list[int]:
    """The axes of h along which broadcasting repeated the input."""
    extra = h.ndim - len(shape)
    return [i for i in range(h.ndim) if i < extra or shape[i - extra] == 1 != h.shape[i]]


def first_row(h: Any, shape: Sequence[int]) -> Any:
    mask = np.zeros(h.shape)
    mask[tuple([slice(0, 1) if i in stretched(h, shape) else slice(None) for i in range(h.ndim)])] = 1
    return masked(h, mask)


def last_row(h: Any, shape: Sequence[int]) -> Any:
    mask, axes = np.ones(h.shape), stretched(h, shape)
    if axes and h.size:
        mask[tuple([-1 if i == axes[0] else slice(None) for i in range(h.ndim)])] = 0
    return masked(h, mask)


GENERATED: dict[str, Callable[[Any, Sequence[int], dict], Any]] = {
    "one entry dropped": lambda h, shape, memory: without_last(h),
    "scaled by 1.01": lambda h, shape, memory: h * 1.01,
    "negated": lambda h, shape, memory: -h,
    "zero": lambda h, shape, memory: h * 0.0,
    "flipped": lambda h, shape, memory: flipped(h),
    "transposed": lambda h, shape, memory: reordered(h, numbered(h).T),
    "shifted by one": lambda h, shape, memory: reordered(h, np.roll(numbered(h), 1)),
    "stale": lambda h, shape, memory: recalled(h, memory),
    "summed back by the mean": lambda h, shape, memory: h * (math.prod(shape) / (h.size or 1)),
    "summed back from the first row": lambda h, shape, memory: first_row(h, shape),
    "summed back without the last row": lambda h, shape, memory: last_row(h, shape),
}


def generated(op: Op) -> list[Mutant]:
    """The wrong derivatives that are made for every differentiable input."""

    def made(input: str, what: str, change: Callable) -> Mutant:
        def one(right: Any, input_shape: Any, memory: dict) -> Any:
            return change(right, input_shape, memory)

        def each(right: Any, input_shape: Any, memory: dict) -> Any:
            together = enumerate(zip(right, input_shape, strict=True))
            return [None if h is None else change(h, shape, memory.setdefault(i, {})) for i, (h, shape) in together]

        return Mutant(op, input, what, each if op.variadic else one, generated=True)

    inputs = [n for n, rule in op.rules.items() if rule is not None]
    return [made(n, what, change) for n in inputs for what, change in GENERATED.items()]


# ---------------------------------------------------------------------------------------------------- made by hand

BY_HAND: list[tuple[str, str, str, Callable, str]] = []


def wrong(op: str, input: str, what: str, change: Callable, only: str = "") -> None:
    BY_HAND.append((op, input, what, change, only))


def over(g: Any, axis: Any, like: Any) -> Any:
    """A reduced array against what it was reduced from: its axes put back with size 1."""
    gone = range(like.ndim) if axis is None else [a % like.ndim for a in np.atleast_1d(axis)]
    return g.reshape([1 if i in gone else n for i, n in enumerate(like.shape)])


def in_place(h: Any, change: Callable) -> Any:
    """h, after somebody wrote to it."""
    change(raw(h))
    return h


def strictly(x: Any, low: Any, high: Any) -> np.ndarray:
    """Where x is none of the bounds that there are."""
    inside = np.ones(raw(x).shape, bool)
    for bound in (low, high):
        inside = inside if bound is None else inside & (raw(x) != raw(bound))
    return inside


def weighted(g: Any, weight: Any) -> Any:
    return g if weight is None else g * weight


def many(x: Any, g: Any) -> float:
    """How many elements of x each element of its reduction g is made of."""
    return raw(x).size / (raw(g).size or 1) or 1.0


def moved_on(h: Any) -> Any:
    """One place further along the last axis."""
    return reordered(h, np.roll(numbered(h), 1, axis=-1)) if h.ndim else h


def turned(h: Any) -> Any:
    """A kernel (out, in, ...) read backwards."""
    return reordered(h, np.flip(numbered(h), tuple(range(2, h.ndim))))


def reused(h: Any, memory: dict) -> Any:
    """The same array at every call, overwritten."""
    if isinstance(h, Tensor):
        return h
    buffer = memory.setdefault(h.shape, np.array(h))
    buffer[...] = h
    return buffer


def noisy(h: Any, memory: dict) -> Any:
    memory["calls"] = memory.get("calls", 0) + 1
    return h * (1 + memory["calls"] % 3 * 1e-6) if raw(h).dtype == np.float32 else h


def used_up(h: Any, kept: Any, memory: dict) -> Any:
    """Right the first time that this array is met."""
    met = memory.setdefault("met", [])
    again = any(raw(kept) is a for a in met)
    met.append(raw(kept))
    return h * 0.5 if again else h


# fmt: off
# elementwise: the formula
wrong("multiply", "a", "times itself", lambda g, a, b: g * a)
wrong("divide", "b", "the square forgotten", lambda g, a, b: -(g * a) / b)
wrong("divide", "b", "the sign forgotten", lambda right: -right)
wrong("divide", "a", "multiplied instead", lambda g, b: g * b)
wrong("pow", "a", "the exponent not lowered", lambda g, a, b: g * b * a**b)
wrong("pow", "b", "log of the exponent", lambda g, a, b, out: g * out * ops.log(ops.abs(b) + 1.0))
wrong("log", "x", "times x", lambda g, x: g * x)
wrong("log", "x", "wrong below one", lambda g, x: g / ops.maximum(x, 1.0))
wrong("sqrt", "x", "the factor two forgotten", lambda g, out: g / out)
wrong("abs", "x", "wrong for negative numbers", lambda g: g * 1.0)
wrong("sign", "x", "straight through", lambda g: g * 1.0)
wrong("sin", "x", "sine again", lambda g, x: g * ops.sin(x))
wrong("cos", "x", "the minus forgotten", lambda g, x: g * ops.sin(x))
wrong("tanh", "x", "the square forgotten", lambda g, out: g * (1.0 - out))
wrong("tanh", "x", "of the input for the output", lambda g, x: g * (1.0 - x * x))
wrong("erf", "x", "the constant forgotten", lambda g, x: g * ops.exp(-(x * x)))
wrong("sigmoid", "x", "the second factor forgotten", lambda g, out: g * out)
wrong("silu", "x", "the gate taken as constant", lambda g, x: g * ops.sigmoid(x))
wrong("gelu", "x", "the second term forgotten", lambda g, x: g * 0.5 * (1.0 + ops.erf(x * math.sqrt(0.5))))
wrong("where", "a", "the condition ignored", lambda g: g * 1.0)
wrong("where", "b", "the condition not turned round", lambda g, condition: ops.where(condition, g, 0.0))
wrong("clip", "x", "clipped numbers pass", lambda g: g * 1.0)

wrong("leaky_relu", "x", "the slope of the other side", lambda g: g * 1.0)
wrong("softplus", "x", "beta ignored", lambda g, x: g * ops.sigmoid(x))
wrong("expm1", "x", "the one subtracted again", lambda g, x: g * (ops.exp(x) - 1.0))
wrong("log2", "x", "the natural logarithm", lambda g, x: g / x)
wrong("reciprocal", "x", "the square forgotten", lambda g, out: -(g * out))
wrong("rsqrt", "x", "the minus forgotten", lambda right: -right)
wrong("asin", "x", "the square root forgotten", lambda g, x: g / (1.0 - x * x))
wrong("atan2", "y", "numerator of the other input", lambda g, y, x: g * y / (x * x + y * y))
wrong("logaddexp", "a", "half to each", lambda g: g * 0.5)
wrong("lerp", "weight", "the sign of the difference", lambda right: -right)

# reductions and normalisation
wrong("sum", "x", "divided by the count", lambda right, g: right / many(right, g))
wrong("mean", "x", "not divided", lambda right, g: right * many(right, g))
wrong("mean", "x", "divided by all elements", lambda right, g: right / (raw(g).size or 1))
wrong("var", "x", "the correction ignored",
      lambda right, g, x, correction: right * ((many(x, g) - correction) / many(x, g)))
wrong("var", "x", "the mean not subtracted",
      lambda g, x, axis, correction: over(g, axis, x) * x * (2.0 / max(many(x, g) - correction, 1)))
wrong("logsumexp", "x", "not divided by the sum", lambda g, x, axis: over(g, axis, x) * ops.exp(x))
wrong("cumsum", "x", "not turned round", lambda g, axis: ops.cumsum(g, axis=axis))
wrong("cumsum", "x", "off by one", lambda right, g: right - g)
wrong("softmax", "x", "the row sum forgotten", lambda g, out: out * g)
wrong("softmax", "x", "summed along the first axis", lambda g, out: out * (g - ops.sum(g * out, axis=0, keepdims=True)))
wrong("softmax", "x", "right for equal cotangents only",
      lambda g, out, axis: out * (g - ops.mean(g, axis=axis, keepdims=True)))
wrong("log_softmax", "x", "the exponential forgotten",
      lambda g, out, axis: g - out * ops.sum(g, axis=axis, keepdims=True))
wrong("layer_norm", "x", "the mean term forgotten",
      lambda right, g, weight, scale: right + scale * ops.mean(weighted(g, weight), axis=-1, keepdims=True))
wrong("layer_norm", "x", "the scale taken as constant",
      lambda g, weight, scale: weighted(g, weight) * scale)
wrong("layer_norm", "weight", "the input not standardised", lambda g, x: g * x)
wrong("layer_norm", "bias", "averaged over the rows", lambda right, g: right * (g.shape[-1] / (raw(g).size or 1)))
wrong("rms_norm", "x", "the mean subtracted", lambda right: right - ops.mean(right, axis=-1, keepdims=True))
wrong("batch_norm", "x", "the mean term left over", lambda right, g: right + ops.mean(g, axis=0, keepdims=True))
wrong("group_norm", "x", "the mean term left over", lambda right, g: right + ops.mean(g, axis=-1, keepdims=True))

# products
wrong("linear", "bias", "the first row only", lambda g: g.reshape(-1, g.shape[-1])[:1] if raw(g).size else g)
wrong("linear", "weight", "averaged over the rows", lambda right, g: right * (g.shape[-1] / (raw(g).size or 1)))
wrong("attention", "q", "the mask forgotten",
      lambda g, q, k, v, causal, scale: OPS["attention_grad"].function(g, q, k, v, causal=causal, scale=scale)[0])
wrong("attention", "k", "the future seen",
      lambda g, q, k, v, mask, scale: OPS["attention_grad"].function(g, q, k, v, mask, scale=scale)[1])
wrong("attention", "q", "the scale forgotten",
      lambda right, q, scale: right * math.sqrt(q.shape[-1]) if scale is None else right / scale)
wrong("inv", "x", "the minus forgotten", lambda right: -right)
wrong("inv", "x", "not transposed", lambda right: ops.swapaxes(right, -1, -2))
wrong("det", "x", "not times the determinant",
      lambda g, x: g[..., None, None] * ops.swapaxes(ops.linalg.inv(x), -1, -2))
wrong("solve", "b", "not transposed", lambda right, g: g * 1.0)
wrong("cholesky", "x", "one triangle only", lambda right: masked(right, np.tril(np.ones(right.shape))))

# shapes, indices, windows
wrong("flip", "x", "not turned back", lambda g: g * 1.0)
wrong("roll", "x", "further instead of back", lambda g, shift, axis: ops.roll(g, shift, axis=axis))
wrong("getitem", "x", "repeats overwrite", lambda right, g, index: ops.setitem(right * 0.0, g, index=index))
wrong("setitem", "x", "what was overwritten passes", lambda g: g * 1.0)
wrong("setitem", "v", "what was lost passes", lambda right, g, index: ops.getitem(g, index=index).reshape(right.shape))
wrong("concatenate", "xs", "pieces exchanged", lambda right: right[::-1])
wrong("stack", "xs", "one piece for all", lambda right: [right[0]] * len(right))
wrong("embedding", "weight", "repeats overwrite", lambda right, g, ids: ops.setitem(right * 0.0, g, index=raw(ids)))
wrong("embedding", "weight", "nothing for the first row",
      lambda right: masked(right, np.arange(right.shape[0])[:, None] > 0))
wrong("max_pool", "x", "one place late", lambda right: moved_on(right))
wrong("resample", "x", "one place late", lambda right: moved_on(right))
wrong("conv", "x", "padded by one too much", lambda right: moved_on(right))
wrong("conv", "weight", "the kernel turned round", lambda right: turned(right))
wrong("conv_transpose", "weight", "the kernel turned round", lambda right: turned(right))
wrong("rotary_embedding", "x", "turned further instead of back",
      lambda g, positions, base, interleaved, inverse: ops.rotary_embedding(
          g, positions, base=base, interleaved=interleaved, inverse=inverse))

wrong("prod", "x", "nothing at a zero", lambda right, x: masked(right, raw(x) != 0))
wrong("cumprod", "x", "of a running sum",
      lambda g, axis: ops.flip(ops.cumsum(ops.flip(g, axis=axis), axis=axis), axis=axis))
wrong("norm", "x", "one at zero", lambda right, x: right + (raw(x) == 0).astype(raw(right).dtype))
wrong("std", "x", "of the variance", lambda right, out, x, axis: right * (2.0 * over(out, axis, x)))
wrong("sort", "x", "not put back", lambda g: g * 1.0)
wrong("median", "x", "one place late", lambda right: moved_on(right))
wrong("pad", "x", "cut off one place late", lambda right: moved_on(right))
wrong("lstm", "w_ih", "the gates in another order",
      lambda right: reordered(right, np.roll(numbered(right), right.shape[0] // 4, axis=0)))
wrong("gru", "b_hh", "the gates in another order",
      lambda right: reordered(right, np.roll(numbered(right), right.shape[0] // 3, axis=0)))
wrong("ctc_loss", "logits", "nothing for the blank",
      lambda right, blank: masked(right, np.arange(right.shape[-1]) != blank))

# losses
wrong("mse_loss", "x", "the factor two forgotten", lambda right: right * 0.5)
wrong("mse_loss", "y", "the sign of x", lambda right: -right)
wrong("cross_entropy", "logits", "some rows count more", lambda right: right * (1.0 + 0.1 * numbered(right)))
wrong("cross_entropy", "logits", "the smoothing forgotten",
      lambda g, logits, targets, ignore_index, reduction: OPS["cross_entropy_grad"].function(
          g, logits, targets, ignore_index=ignore_index, reduction=reduction))
wrong("dropout", "x", "the mask forgotten", lambda g: g * 1.0)
wrong("dropout", "x", "not scaled", lambda right, rate: right * (1.0 - rate))

# the choice at a kink
wrong("abs", "x", "one at zero", lambda g, x: g * ops.sign(x + 1e-30), "kinks")
wrong("relu", "x", "one at zero", lambda g, x: g * ops.greater_equal(x, 0), "kinks")
wrong("maximum", "a", "a tie gives all to both", lambda g, a, b: g * ops.greater_equal(a, b), "kinks")
wrong("maximum", "b", "a tie gives nothing", lambda g, a, b: g * ops.greater(b, a), "kinks")
wrong("minimum", "a", "a tie gives all to one", lambda g, a, b: g * ops.less_equal(a, b), "kinks")
wrong("max", "x", "each of a tie gets all",
      lambda g, x, out, axis: over(g, axis, x) * ops.equal(x, over(out, axis, x)), "kinks")
wrong("clip", "x", "the bounds belong to the outside",
      lambda right, x, min, max: right * strictly(x, min, max), "kinks")

# wrong only when differentiated again, only for some, only under some conditions
wrong("multiply", "b", "detached when recorded", lambda g, a: g * raw(a), "second_order")
wrong("exp", "x", "detached when recorded", lambda g, out: g * raw(out), "second_order")
wrong("sin", "x", "the slope frozen when recorded", lambda g, x: g * np.cos(raw(x)), "second_order")
wrong("log", "x", "wrong for large cotangents", lambda right, g: right * (1.0 + 0.5 * (np.abs(raw(g)) > 1.9)))
wrong("exp", "x", "float32 with a constant of three digits",
      lambda right: right * (1.001 if raw(right).dtype == np.float32 else 1.0), "float32")
wrong("tanh", "x", "float16 rounded off",
      lambda right: right * (1.5 if raw(right).dtype == np.float16 else 1.0), "float16")
wrong("tanh", "x", "bfloat16 rounded off",
      lambda right, g: right * (1.5 if raw(g).dtype.name == "bfloat16" else 1.0), "bfloat16")
wrong("divide", "a", "computed in float64",
      lambda g, b: g / (b if isinstance(b, (Tensor, float)) else np.asarray(b, np.float64)), "dtypes")
wrong("add", "a", "wrong for arrays that are not contiguous",
      lambda g: g if isinstance(g, Tensor) or g.flags.c_contiguous else g.ravel(order="K").reshape(g.shape), "layouts")
wrong("matmul", "a", "wrong shape for no elements",
      lambda right: right if right.size else right.reshape(right.shape[::-1]))
wrong("cos", "x", "wrong for numbers", lambda right: right * (2.0 if right.ndim == 0 else 1.0))
wrong("attention", "q", "another result when alone",
      lambda right, needs: right * (1.0 if all(needs) else 2.0), "each_alone")

# memory
wrong("negative", "x", "in place", lambda g: in_place(g, lambda a: np.negative(a, out=a) if a.ndim else None))
wrong("exp", "x", "writes to what it kept",
      lambda g, out: g * in_place(out, lambda a: np.multiply(a, 1.0, out=a) if a.ndim else None), "nothing_written")
wrong("sqrt", "x", "writes to the input",
      lambda right, x: (in_place(x, lambda a: np.add(a, 0.0, out=a) if a.ndim else None), right)[1])
wrong("multiply", "a", "one buffer for every result", lambda right, memory: reused(right, memory))
wrong("exp", "x", "a stale output", lambda g, out, memory: g * recalled(out, memory), "second_point")
wrong("sin", "x", "a stale input", lambda g, x, memory: g * ops.cos(recalled(x, memory)), "second_point")
wrong("sin", "x", "noise in float32", lambda right, memory: noisy(right, memory), "same_bits")
wrong("sin", "x", "what was kept is used up", lambda right, out, memory: used_up(right, out, memory), "linear")
wrong("cos", "x", "other bits when recorded",
      lambda right: right * (1 + 2 * EPS) if isinstance(right, Tensor) else right, "rules_on_tensors")
# fmt: on


def by_hand(op: Op) -> list[Mutant]:
    return [Mutant(op, n, what, change, only=only) for name, n, what, change, only in BY_HAND if name == op.name]


# ---------------------------------------------------------------------------------------------------- using them


def registry(op: Any = None) -> list[Mutant]:
    """All mutants, or those of one operation (a function or its name).

    >>> import tinygrad_lm as tg
    >>> tg.testing.mutants.registry(tg.exp)[0]
    <mutant exp/x/one-entry-dropped>
    """
    if isinstance(op, str) and op not in OPS:
        raise KeyError(f"there is no operation {op!r}; tg.OPS has them all")
    chosen = registered() if op is None else [OPS[op] if isinstance(op, str) else getattr(op, "op", op)]
    return [m for o in chosen for m in (*generated(o), *by_hand(o))]


def active(name: str) -> Mutant:
    """The mutant of this name, to be switched on for a block.

    >>> import numpy as np, tinygrad_lm as tg
    >>> with tg.testing.mutants.active("sin/x/negated"):
    ...     tg.grad(tg.sin)(np.array(0.0))
    array(-1.)
    """
    known = registry(name.partition("/")[0])
    found = [m for m in known if m.name == name]
    if not found:
        raise KeyError(f"there is no mutant {name!r}; there are: {', '.join([m.name for m in known])}")
    return found[0]


def killed_by(mutant: Mutant, names: Sequence[str] = tuple(PROPERTIES)) -> str | None:
    """The first of these generic properties that notices, None if none does; the cheapest samples are asked first."""
    claims = [PROPERTIES[name] for name in names if PROPERTIES[name].when(mutant.op)]
    calls = sorted(trials(mutant.op), key=lambda t: abs(math.log((1 + sum([np.size(a) for a in t.draw()])) / 8)))
    with mutant:
        for subject in (*calls, mutant.op):
            for claim in claims:
                if claim.per_sample == (subject is not mutant.op):
                    try:
                        claim(subject)
                    except Refuted:
                        return claim.name
    return None


@dataclass
class Score:
    """Which mutants a test kills, which it lets live, and which change nothing that could be noticed."""

    killed: list[Mutant]
    survived: list[Mutant]
    equivalent: list[Mutant]

    @property
    def ratio(self) -> float:
        """Killed, of those that could be."""
        return len(self.killed) / ((len(self.killed) + len(self.survived)) or 1)

    def __str__(self) -> str:
        total = len(self.killed) + len(self.survived)
        lines = [f"{len(self.killed)} of {total} mutants killed ({self.ratio:.0%}), {len(self.equivalent)} equivalent"]
        for name in dict.fromkeys(m.op.name for m in (*self.killed, *self.survived)):
            dead, alive = [[m for m in each if m.op.name == name] for each in (self.killed, self.survived)]
            lines.append(f"  {name:<20} {len(dead)}/{len(dead) + len(alive)}")
            lines += [f"    survives: {m.name}" for m in alive]
        return "\n".join(lines)


def mutation_score(test: Callable, ops: Any = None) -> Score:
    """Run `test` once for each mutant (of this operation, or these, or of all) and note which make it fail.

    `test` takes nothing, or the operation whose derivative is wrong just then; to raise is to fail.  Without a mutant
    it must pass.

    >>> import numpy as np, tinygrad_lm as tg
    >>> def at_one_point():
    ...     assert abs(tg.grad(tg.sin)(np.array(0.0)) - 1) < 0.1
    >>> score = tg.testing.mutation_score(at_one_point, [tg.sin])
    >>> [m.what for m in score.killed], "scaled by 1.01" in [m.what for m in score.survived]
    (['one entry dropped', 'negated', 'zero', 'sine again'], True)
    """
    several = [ops] if isinstance(ops, str) or not isinstance(ops, Iterable | None) else ops
    for op in several or ():
        if not isinstance(getattr(op, "op", OPS.get(op, op) if isinstance(op, str) else op), Op):
            raise TypeError(f"mutation_score takes operations, functions declared with @tg.op; got {op!r}")
    chosen = registry() if several is None else [m for op in several for m in registry(op)]
    if not chosen:
        raise ValueError("no mutant: these operations have no derivative to be wrong about")
    takes_op = bool(inspect.signature(test).parameters)

    def passes(op: Op) -> bool:
        try:
            test(op.function) if takes_op else test()
        except Exception:
            return False
        return True

    for op in dict.fromkeys([m.op for m in chosen] if takes_op else [m.op for m in chosen][:1]):
        if not passes(op):
            raise ValueError(
                f"the test fails without any mutant{f', for {op.name}' if takes_op else ''}: mend it first"
            )
    score = Score([], [], [])
    for mutant in chosen:
        with mutant:
            alive = passes(mutant.op)
        group = score.killed if not alive else score.equivalent if mutant.equivalent else score.survived
        group.append(mutant)
    return score
