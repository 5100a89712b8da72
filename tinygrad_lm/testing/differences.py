"""Finite differences for trials, fast and with an error of their own, and the comparison of arrays.

They know nothing of any rule, so what they say about the numbers of a trial is computed once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.core import raw
from tinygrad_lm.testing.trials import Trial

STEPS = (2.0**-10, 2.0**-17)
EPS = float(np.finfo(float).eps)


def agree(actual: Any, desired: Any, bound: Any, what: str) -> None:
    """`actual` is within `bound` of `desired` at every element; nan equals only nan, infinities only themselves."""
    a, d = np.asarray(raw(actual)), np.asarray(raw(desired))
    if a.shape != d.shape:
        raise AssertionError(f"{what}: shape {a.shape}, expected {d.shape}")
    a, d = (x if x.dtype.kind == "c" else x.astype(float) for x in (a, d))
    with np.errstate(invalid="ignore"):
        fine = (np.abs(a - d) <= bound) | (a == d) | np.isnan(a) & np.isnan(d)
    if not fine.all():
        at = tuple(map(int, np.argwhere(~fine)[0]))
        allowed = np.broadcast_to(bound, d.shape)[at]
        raise AssertionError(
            f"{what}{list(at) if at else ''}: {a[at]:.9g}, expected {d[at]:.9g} to within {allowed:.1g}"
        )


def close(actual: Any, desired: Any, what: str) -> None:
    """Equal up to the order of additions in float64: 1e-12 of the largest number around."""
    agree(actual, desired, 1e-12 * max(1.0, np.abs(finite(desired)).max(initial=0)), what)


def finite(a: Any) -> np.ndarray:
    a = np.asarray(raw(a))
    return a[np.isfinite(a)]


def slope(f: Callable[[float], float], step: float, noise: float) -> tuple[float, float]:
    """(f'(0), how far off it may be): central differences with two steps, extrapolated to none.

    What the extrapolation changed bounds what is left of the truncation; `noise` is the rounding of f.
    """
    wide, near = [(f(h) - f(-h)) / (2 * h) for h in (step, step / 2)]
    return (4 * near - wide) / 3, abs(near - wide) / 3 + noise / step


def refuted(got: float, f: Callable[[float], float], noise: float) -> str:
    """What differences say if they refute f'(0) = got with each step, else nothing.

    A corner nearer than the wider step is not a refutation: the smaller step does not see it.
    """
    for step in STEPS:
        value, error = slope(f, step, noise)
        if abs(got - value) <= error:
            return ""
    return f"{got:.9g}, finite differences say {value:.9g} to within {error:.1g}"


def weighed(weights: Sequence[Any], values: Sequence[Any]) -> float:
    return sum([float((w * raw(y)).sum()) for w, y in zip(weights, values, strict=True)])


def noise_of(weights: Sequence[Any], values: Sequence[Any]) -> float:
    """How much rounding changes `weighed`, generously: 256 units of the sum without signs."""
    return 256 * EPS * (1 + weighed(list(map(np.abs, weights)), [np.abs(raw(y)) for y in values]))


def like(values: Sequence[Any], trial: Trial, which: int) -> list:
    """Random arrays in the shapes of these."""
    rng = np.random.default_rng([*trial.seed, which])
    return [rng.normal(size=np.shape(raw(v))) for v in values]


class Differences:
    """Finite differences of u^T f at a trial's own arrays, element by element: they know nothing of any rule."""

    def __init__(self, trial: Trial):
        self.arrays = [np.array(a) if isinstance(a, np.ndarray) else a for a in trial.draw()]
        self.f, self.chosen = trial.of(trial.tracked, self.arrays)
        self.cotangents = trial.cotangents(self.arrays)
        self.noise = noise_of(self.cotangents, self.f(*self.chosen))
        self.found = [np.array([slope(self.moved(x, at), STEPS[0], self.noise) for at in np.ndindex(x.shape)])
                      for x in self.chosen]  # fmt: skip

    def moved(self, x: np.ndarray, at: tuple) -> Callable[[float], float]:
        """u^T f as a function of what is added to one element."""
        kept = float(x[at])

        def f(h: float) -> float:
            x[at] = kept + h
            number = weighed(self.cotangents, self.f(*self.chosen))
            x[at] = kept
            return number

        return f

    def refute(self, k: int, gradient: np.ndarray, what: str) -> None:
        """Raise if `gradient` of the k-th array is refuted at some element."""
        x, found = self.chosen[k], self.found[k].reshape(-1, 2)
        far = ~(np.abs(gradient.reshape(-1) - found[:, 0]) <= found[:, 1])
        for flat in np.flatnonzero(far):
            at = tuple(map(int, np.unravel_index(flat, x.shape)))
            if said := refuted(float(gradient[at]), self.moved(x, at), self.noise):
                raise AssertionError(f"the gradient of {what}{list(at) if at else ''} is {said}")


def differences(trial: Trial) -> Differences:
    """Computed once for a trial, whatever becomes of its rules."""
    if "differences" not in trial.__dict__:
        trial.__dict__["differences"] = Differences(trial)
    return trial.__dict__["differences"]


def directions(arrays: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Coordinates, sets of equal entries (of opposite ones too) moved together, and random directions."""
    flat = np.concatenate([a.reshape(-1) for a in arrays])
    found = [*np.eye(flat.size)]
    found += [np.where(flat == v, 1.0, 0.0) for v in np.unique(flat)]
    found += [np.where(np.abs(flat) == v, np.where(np.signbit(flat), -1.0, 1.0), 0.0) for v in np.unique(np.abs(flat))]
    found += [*np.random.default_rng(0).normal(size=(5, flat.size))]
    cuts = np.cumsum([a.size for a in arrays])[:-1]
    return [[p.reshape(a.shape) for p, a in zip(np.split(d, cuts), arrays, strict=True)] for d in found]


def one_sided(f: Callable, arrays: list, tracked: list, moves: list, side: int) -> float:
    """The slope of f to one side along a direction; nan where it does not settle, as at a jump, or where f ends."""

    def at(h: float) -> float:
        moved = list(arrays)
        for i, m in zip(tracked, moves, strict=True):
            moved[i] = arrays[i] + side * h * m
        return f(*moved)

    here = f(*arrays)
    try:
        coarse, fine = [(at(h) - here) / h for h in (2.0**-18, 2.0**-22)]
    except ValueError:  # outside the domain
        return float("nan")
    return fine if abs(fine - coarse) < 1e-4 * (1 + abs(fine)) else float("nan")
