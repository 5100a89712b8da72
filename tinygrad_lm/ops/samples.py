"""What an operation can be tried on, as data: shapes and the kind of values, drawn when somebody wants them.

    @op(samples=lambda: [case(N(3, 4), N(4)), case(N(2, 3), axis=1)])

The kind of values is a fact about the operation (its domain, where it is smooth), so it stands with it.

Where it has a corner, a jump or a singular point, `kinks=[kink((1.0, 1.0), (0.5, 0.5), "why")]` declares what its
derivative is there: inputs, and their gradients where 1 comes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spec:
    """An array to be drawn: `kind` of values, `shape`, and for bounded kinds `low` and `high`."""

    kind: str
    shape: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0

    def draw(self, rng: np.random.Generator, dtype: Any = np.float64) -> Any:
        if self.kind == "normal":
            return rng.normal(size=self.shape).astype(dtype)
        if self.kind == "uniform":
            return rng.uniform(self.low, self.high, self.shape).astype(dtype)
        if self.kind == "distinct":  # no two closer than 0.1, none closer than 0.05 to an integer multiple of 0.1
            values = rng.permutation(math.prod(self.shape)) - math.prod(self.shape) // 2 + 0.5
            return (0.1 * values + rng.uniform(-0.02, 0.02, values.shape)).reshape(self.shape).astype(dtype)
        if self.kind in ("matrix", "definite"):  # singular values 1, 1.6, 2.2 and so on: none is zero, no two are close
            *batch, m, n = self.shape
            u, v = [frame(rng, batch, size, min(m, n)) for size in (m, n)]
            v = u if self.kind == "definite" else v
            return ((u * (1 + 0.6 * np.arange(min(m, n)))) @ np.swapaxes(v, -1, -2)).astype(dtype)
        if self.kind == "integers":
            return rng.integers(int(self.low), int(self.high), self.shape)
        assert self.kind == "booleans", self.kind
        return rng.integers(0, 2, self.shape).astype(bool)


def frame(rng: np.random.Generator, batch: list[int], n: int, k: int) -> np.ndarray:
    """k orthonormal columns of n numbers, whose first k rows are regular too."""
    top = np.linalg.qr(rng.normal(size=(*batch, k, k)))[0]
    return np.linalg.qr(np.concatenate([top, 0.5 * rng.normal(size=(*batch, n - k, k))], axis=-2))[0]


@dataclass(frozen=True)
class Case:
    """One call to try: array specs (or constants) in order, and keywords."""

    arrays: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator, dtype: Any = np.float64) -> list[Any]:
        return [a.draw(rng, dtype) if isinstance(a, Spec) else a for a in self.arrays]

    def __str__(self) -> str:
        shown = [f"{a.kind}{a.shape}" if isinstance(a, Spec) else repr(a) for a in self.arrays]
        return ", ".join(shown + [f"{k}={v}" for k, v in self.params.items()]).replace(" ", "")


@dataclass(frozen=True)
class Kink:
    """A point where the derivative is a convention: inputs (numbers or nested lists), the gradient of each, why so."""

    inputs: tuple[Any, ...]
    grads: tuple[Any, ...]
    why: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def kink(inputs: tuple[Any, ...], grads: tuple[Any, ...], why: str = "", **params: Any) -> Kink:
    return Kink(inputs, grads, why, params)


def case(*arrays: Any, **params: Any) -> Case:
    return Case(arrays, params)


def N(*shape: int) -> Spec:
    """Standard normal."""
    return Spec("normal", shape)


def P(*shape: int) -> Spec:
    """Positive, between 0.5 and 2."""
    return Spec("uniform", shape, 0.5, 2.0)


def U(*shape: int) -> Spec:
    """Probabilities, away from 0 and 1."""
    return Spec("uniform", shape, 0.1, 0.9)


def D(*shape: int) -> Spec:
    """Distinct, and away from zero: no ties and no kinks nearby."""
    return Spec("distinct", shape)


def M(*shape: int) -> Spec:
    """Matrices (..., m, n) that are well-conditioned and whose singular values are well apart."""
    return Spec("matrix", shape)


def S(*shape: int) -> Spec:
    """Symmetric positive definite matrices (..., n, n) whose eigenvalues are well apart."""
    return Spec("definite", shape)


def integers(high: int, *shape: int) -> Spec:
    return Spec("integers", shape, 0, high)


def booleans(*shape: int) -> Spec:
    return Spec("booleans", shape)


def unary(kind: Any = N) -> list[Case]:
    """Five shapes for an elementwise function, 0-d and zero-size among them."""
    return [case(kind(*shape)) for shape in ((), (0,), (5,), (2, 3), (2, 1, 4))]


def binary(a: Any = N, b: Any = N) -> list[Case]:
    """Shapes that broadcast in every way: equal, leading, both stretched, 0-d, zero-size, and a plain number."""
    pairs = (((2, 3), (2, 3)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((0, 3), (3,)), ((2, 1, 3), (4, 1)))
    return [case(a(*s), b(*t)) for s, t in pairs] + [case(a(2, 3), 1.5)]


def untied() -> list[Case]:
    """Pairs without a tie, for what chooses between two."""
    return [case(D(2, 3), D(2, 3)), case(D(3, 1), 0.0), case(D(2, 3), 0.02), case(D(0, 2), 1.0), case(D(), D(3))]
