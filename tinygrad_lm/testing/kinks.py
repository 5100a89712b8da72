"""How a function behaves along a line through one point: smooth, or with a kink, a jump, an edge or a singular point.

Values are taken at x + h d and x - h d for steps h that fall by 4 from an eighth of the unit of d to its rounding.
Slopes to either side come from neighbouring steps, so a jump at x itself does not spoil them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

RATIO = 4.0
KINDS = ("smooth", "edge", "kink", "jump", "singular", "undefined")  # from harmless to hopeless
MANY = 4096  # results beyond this are looked at as one weighted sum


@dataclass
class Kink:
    """Where a derivative is a choice: `kind` of point, the entry, those tied with it, the slopes to both sides.

    kind: "kink" (the slopes differ), "jump" (the value leaps), "edge" (nothing is defined on one side), "singular" (a
    slope is not finite) or "undefined" (no neighbour has a value).
    """

    kind: str
    input: int
    index: tuple[int, ...]
    place: str
    one_sided: tuple[float, float]
    analytic: float
    tied: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        tie = f" (tied with {', '.join(self.tied)})" if self.tied else ""
        left, right = self.one_sided
        return f"{self.kind} at {self.place}{tie}: slopes {left:.4g} and {right:.4g}, the rule says {self.analytic:.4g}"


@dataclass
class Behaviour:
    """What every slope along the line lies between, the slopes to both sides, and what kind of point this is.

    weight: the cotangent of the one result that moves; 1 if several do.
    """

    kind: str
    low: float
    high: float
    left: float
    right: float
    weight: float = 1.0

    def allows(self, slope: float, pad: float = 0.0) -> bool:
        """Whether the line does not refute `slope`, which may be off by `pad` itself.

        At a singular point no number is refuted, but an infinity of the wrong sign; nan is, where there are values.
        """
        if self.kind == "singular" or not np.isfinite(slope):
            wrong = np.isnan(slope) or np.isinf(slope) and slope * (self.left + self.right) < 0
            return self.kind == "undefined" or self.kind == "singular" and not wrong
        return self.low - pad <= slope <= self.high + pad

    @property
    def numeric(self) -> float:
        return (self.low + self.high) / 2


def behaviour(
    values: Callable[[float], tuple[np.ndarray, float]],
    y0: np.ndarray,
    u: np.ndarray,
    eps: np.ndarray,
    unit: float,
    smallest: float,
) -> Behaviour:
    """How u . f behaves along a line.

    values(h): (f at the step h, the step that was really made after rounding).  unit: an eighth of it is the longest
    step; smallest: where to stop.  eps: of the dtype of each result.
    """
    count = min(4 + math.ceil(math.log(unit / 8 / smallest, RATIO)), 600)
    planned = [unit / 8 * RATIO**-j for j in range(count)]
    ups, downs = [values(h) for h in planned], [values(-h) for h in planned]
    steps, back = np.array([h for _, h in ups]), np.array([-h for _, h in downs])
    used = (np.diff(steps, prepend=np.inf) < 0) & (np.diff(back, prepend=np.inf) < 0) & (steps > 0) & (back > 0)
    up, down = np.array([y for y, _ in ups])[used], np.array([y for y, _ in downs])[used]
    steps, back = steps[used], back[used]
    moved = (up != y0) | (down != y0)
    touched = moved.any(0)
    if len(up) < 4 or not touched.any():
        return Behaviour("smooth", 0.0, 0.0, 0.0, 0.0)
    up, down, y0, u, eps = up[:, touched], down[:, touched], y0[touched], u[touched], eps[touched]
    noise = 4 * eps * np.fmax(np.fmax(np.abs(up), np.abs(down)), np.abs(y0))
    if y0.size > MANY:
        noise, up, down = [(a @ w)[:, None] for a, w in ((noise, np.abs(u)), (up, u), (down, u))]
        y0, u = np.array([y0 @ u]), np.ones(1)
    found = fitted(up, down, steps, back, y0, noise, unit)
    still = np.cumprod(((up == y0) & (down == y0))[::-1], axis=0).sum(0)  # at how many of the smallest steps
    if (still > 2).any():
        # Nothing changes at the smallest steps.  Unless the slopes to both sides agree at larger ones this is a flat
        # piece; if they do, values fall on a grid (a float32 inside, a large number added), whose steps are no slopes.
        last = np.maximum(len(up) - 1 - still, 0)[None]
        grid = np.maximum(*[np.abs(np.take_along_axis(y, last, 0)[0] - y0) for y in (up, down)])
        coarse = fitted(up, down, steps, back, y0, noise + 2 * np.where(still > 2, grid, 0.0), unit)
        kinds, low, high = coarse[:3]
        found = np.where((still > 2) & (kinds == 0) & ~((low <= 0) & (high >= 0)), coarse, found)
    kinds, low, high, left, right = found
    weighted = u * np.nan_to_num(low, nan=-np.inf), u * np.nan_to_num(high, nan=np.inf)
    weight = float(u[0]) if u.size == 1 and u[0] else 1.0
    ends = float(np.minimum(*weighted).sum()), float(np.maximum(*weighted).sum())
    return Behaviour(KINDS[int(kinds.max())], *ends, float(u @ left), float(u @ right), weight)


def fitted(
    up: np.ndarray,
    down: np.ndarray,
    steps: np.ndarray,
    back: np.ndarray,
    y0: np.ndarray,
    noise: np.ndarray,
    unit: float,
) -> np.ndarray:
    """What values at falling steps show, one row for each step and one column for each result.

    Rows: the kind of point (a place in KINDS), low, high, left and right, as in `Behaviour`.
    """
    span = np.abs(y0) + np.maximum(*[np.nan_to_num(np.abs(y - y0), posinf=0).max(0) for y in (up, down)])
    right, right_error = settle(np.diff(up, axis=0), np.diff(steps), noise[:-1], span, RATIO)
    left, left_error = settle(np.diff(-down, axis=0), np.diff(back), noise[:-1], span, RATIO)
    middle, middle_error = settle(up - down, steps + back, noise, span, RATIO**2)
    on_right, on_left = np.isfinite(up[-1]), np.isfinite(down[-1])
    right, right_error = np.where(on_right, right, left), np.where(on_right, right_error, left_error)
    left, left_error = np.where(on_left, left, right), np.where(on_left, left_error, right_error)

    apart, size = np.abs(right - left), np.abs(right) + np.abs(left)
    leaps = leaping(up - y0, noise) | leaping(down - y0, noise)
    kinked = apart > np.maximum(2 * (right_error + left_error), 1e-5 * size)
    error = np.maximum(right_error, left_error)
    singular = ~(error <= 0.1 * size) & ~(error * unit <= 1e-3 * span)
    agreed = np.abs(middle - (left + right) / 2) <= middle_error + error + 1e-5 * size  # 0 by symmetry settles as well
    smooth = ~leaps & ~kinked & ~singular & np.isfinite(middle_error) & agreed
    error = np.where(smooth, middle_error, error)
    kind = np.select([~on_right & ~on_left, singular, leaps, kinked, on_right != on_left], [5, 4, 3, 2, 1], 0)
    low = np.where(smooth, middle - error, np.minimum(right - right_error, left - left_error))
    high = np.where(smooth, middle + error, np.maximum(right + right_error, left + left_error))
    return np.array([kind, low, high, left, right])


def settle(
    rise: np.ndarray, run: np.ndarray, noise: np.ndarray, span: np.ndarray, ratio: float
) -> tuple[np.ndarray, np.ndarray]:
    """(limit, its error) of the quotients rise / run, whose runs fall; one column for each result.

    From step to step a quotient moves by truncation, which falls with the run, or by noise, which grows.  Times the run
    both are what the noise of the values could be at most, so the largest such product from a step on, over the run, is
    an honest error there; the step with the smallest is taken, of the quotients and of their extrapolation (Richardson
    1911).  A product that is no small part of the values is no noise: at such steps the function was not resolved.
    """
    limit, error = np.full(span.shape, np.nan), np.full(span.shape, np.inf)
    plain, run = rise / run[:, None], np.abs(run)[:, None]
    extrapolated = (ratio * plain[1:] - plain[:-1]) / (ratio - 1)
    for quotient, h, of_values in ((plain, run, noise), (extrapolated, run[1:], 2 * noise[1:])):
        moved = np.nan_to_num(np.abs(np.diff(quotient, axis=0)) * h[:-1], nan=np.inf)
        most = np.maximum.accumulate(moved[::-1])[::-1]
        most[-4:] = most[-4:][0]  # fewer could be small by chance
        claimed = np.where(most > 1e-3 * span, np.inf, (2 * most + of_values[1:]) / h[1:])
        best = claimed.argmin(0)[None]
        claim, value = np.take_along_axis(claimed, best, 0)[0], np.take_along_axis(quotient[1:], best, 0)[0]
        limit, error = np.where(claim < error, value, limit), np.fmin(error, claim)
    return limit, error


def leaping(change: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Whether the value changes by as much at the smallest step as at one 16 times as large: a jump at the point."""
    near, far = np.abs(change[-1]), np.abs(change[-3])
    return (near > 64 * noise[-1]) & (far < 2 * near)
