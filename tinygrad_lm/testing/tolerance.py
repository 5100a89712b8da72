"""How close is close enough: computed from the arithmetic, never chosen by who compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.testing.adapters import EPS, dtype_of, to_float64


class GradcheckError(AssertionError):
    """A derivative that was refuted.  The message says it in one sentence; the fields hold the same as data.

    check: which check refused.  input: its place among the arguments, and index: the entry (None if no single one).
    analytic, numeric: the two values.  allowed: by how much they might have differed.  one_sided: the slopes to the
    left and to the right.  cause: what it looks like.  oracles: what else was asked, and what it said.
    """

    def __init__(self, message: str, **fields: Any):
        super().__init__(message)
        self.check: str = fields.get("check", "")
        self.input: int | None = fields.get("input")
        self.index: tuple[int, ...] | None = fields.get("index")
        self.analytic: float | None = fields.get("analytic")
        self.numeric: float | None = fields.get("numeric")
        self.allowed: float | None = fields.get("allowed")
        self.one_sided: tuple[float, float] | None = fields.get("one_sided")
        self.cause: str = fields.get("cause", "")
        self.oracles: list[str] = fields.get("oracles", [])


def rounding(length: int, eps: float) -> float:
    """How far, relative to the sum of the terms' sizes, a sum of `length` rounded products may be from the exact one.

    Roundings are as good as independent, so they add up like a random walk: lambda sqrt(n) eps / 2 with lambda = 4
    fails once in some thousand sums of the worst kind (Higham and Mary 2019).  8 more are for what comes with a sum.
    """
    return (8.0 + 4.0 * math.sqrt(max(length, 1))) * eps / 2


def assert_grad_close(actual: Any, desired: Any, *, length: int = 1, condition: Any = 1.0) -> None:
    """Assert that a gradient equals one computed more exactly, up to the rounding that its dtype makes unavoidable.

        |actual - desired| <= rounding(length, eps of the actual dtype) * condition * |desired|

    length: how many products are added up for one entry.  condition: by how much the calculation enlarges relative
    errors.  A number stands for all entries and is taken relative to the largest one; an array has one for each entry.
    Both may be arrays or Tensors of any library, or lists of them.  Raises `GradcheckError`.

    >>> import numpy as np, tinygrad_lm as tg
    >>> w = np.linspace(-1, 1, 600).reshape(200, 3)
    >>> f = lambda x: (tg.tanh(x @ w) ** 2).sum()
    >>> x = np.ones((4, 200))
    >>> tg.testing.assert_grad_close(tg.grad(f)(x.astype(np.float32)), tg.grad(f)(x), length=200, condition=200)
    """
    if isinstance(actual, (list, tuple)):
        if len(actual) != len(desired):
            raise GradcheckError(f"{len(actual)} gradients, expected {len(desired)}", cause="number of gradients")
        for a, d in zip(actual, desired, strict=True):
            assert_grad_close(a, d, length=length, condition=condition)
        return
    if actual is None or desired is None:
        which = "there is no gradient" if actual is None else "there is a gradient"
        expected = "None" if desired is None else f"one of shape {np.shape(to_float64(desired))}"
        raise GradcheckError(f"{which}, expected {expected}", cause="None")
    for value in (actual, desired):
        if "complex" in dtype_of(value) or isinstance(value, complex):
            raise TypeError("assert_grad_close compares real gradients, got complex ones: compare .real and .imag")
    eps, a, d = EPS.get(dtype_of(actual), EPS["float64"]), to_float64(actual), to_float64(desired)
    if a.shape != d.shape:
        raise GradcheckError(f"a gradient of shape {a.shape}, expected {d.shape}", cause="shape")
    size = np.abs(d) if np.ndim(condition) else np.full(d.shape, np.abs(d[np.isfinite(d)]).max(initial=0.0))
    allowed = rounding(length, eps) * np.asarray(condition) * size
    refuse_beyond(
        "assert_grad_close", a, d, allowed, f"computed for {dtype_of(actual) or 'float64'} and sums of {length}"
    )


def refuse_beyond(title: str, a: np.ndarray, d: np.ndarray, allowed: np.ndarray, why: str, **fields: Any) -> None:
    """Raise `GradcheckError` for the entry of `a` that is farthest beyond what is allowed; nan is beyond."""
    with np.errstate(invalid="ignore"):
        off = np.where(a == d, 0.0, np.abs(a - d))
    wrong = ~(off <= allowed)
    if wrong.any():
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(wrong, np.nan_to_num(off / allowed, nan=np.inf), -1.0)
        at = tuple(int(j) for j in np.unravel_index(int(excess.argmax()), a.shape))
        where = f" at index {at}" if at else ""
        raise GradcheckError(
            f"{title}{where}: {a[at]:.9g}, expected {d[at]:.9g} (they differ by {off[at]:.2g}, allowed "
            f"{allowed[at]:.2g}, {why}; {int(wrong.sum())} of {a.size} entries are beyond)",
            **{"check": title, "index": at, "analytic": float(a[at]), "numeric": float(d[at])} | fields,
            allowed=float(allowed[at]),
        )


def conditioned(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, eps: np.ndarray, rng: np.random.Generator, draws: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """(f(x), by how much it changes when each x_i changes by up to eps_i |x_i|): the largest of some random changes."""
    exact = f(x)
    moved = np.zeros(exact.shape)
    for _ in range(draws):
        moved = np.fmax(moved, np.abs(f(x * (1 + eps * rng.uniform(-1, 1, x.shape))) - exact))
    return exact, moved


def detection(slopes: np.ndarray, resolutions: Sequence[float], error: float = 0.01) -> float:
    """The probability that random directions find one entry whose slope is wrong by the relative `error`.

    slopes: g_i s_i, what a step of one unit along entry i changes.  A direction moves entry i by z_i units, z_i
    standard normal, and is refuted where its slope is off by more than its resolution r.  So one direction finds the
    error if |error g_i s_i z_i| > r, with the probability erfc(r / (sqrt(2) error |g_i s_i|)); several miss it only if
    each does.  The result is the mean over the entries that have a slope at all.

    >>> import numpy as np
    >>> round(detection(np.ones(100), [0.01]), 4), round(detection(np.ones(100), [0.01] * 3), 4)
    (0.3173, 0.6818)
    """
    sizes = np.abs(slopes[np.isfinite(slopes) & (slopes != 0)])
    if not sizes.size or not len(resolutions):
        return 0.0
    some = np.sort(sizes)[np.linspace(0, sizes.size - 1, min(sizes.size, 1000)).astype(int)]
    missed = [math.prod([math.erf(min(r / (math.sqrt(2) * error * s), 30.0)) for r in resolutions]) for s in some]
    return 1.0 - sum(missed) / len(missed)
