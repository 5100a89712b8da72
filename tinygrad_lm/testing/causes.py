"""What a wrong gradient looks like, in words."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def likely_cause(analytic: Sequence[np.ndarray], numeric: Sequence[np.ndarray], names: Sequence[str], k: int) -> str:
    """What the wrong gradient of the k-th input looks like, in words; numeric: what it should be, nan if unknown."""
    a, n = analytic[k], numeric[k]
    known = np.isfinite(n)
    if not np.isfinite(a).all():
        return "the rule gives nan or inf where the function is finite (0 times inf in a branch not taken?)"
    if not a.any():
        return "the whole gradient is zero: detached, or a value was taken for a constant"

    def same(p: np.ndarray, q: np.ndarray) -> bool:
        return p.shape == q.shape and bool(np.allclose(p, q, rtol=1e-4, atol=1e-6 * np.abs(q).max(initial=0.0)))

    wrong = known & ~np.isclose(a, n, rtol=1e-6, atol=1e-7 * np.abs(n[known]).max(initial=0.0))
    wrong = wrong if wrong.any() else known & (a != n)
    ratios, off = a[wrong] / n[wrong], (a - n)[wrong]
    ratio, looks = float(np.median(ratios)), ""
    flips = [axis for axis in range(a.ndim) if same(a, np.flip(n, axis))]
    if same(np.where(known, a, 0.0), np.where(known, n, 0.0)):
        looks = ""
    elif ratio == 0:
        looks = "zero where it should not be"
    elif np.allclose(ratios, ratio, rtol=1e-4, atol=0) and 1e-4 < abs(ratio - 1) < np.inf:
        simple = Fraction(ratio).limit_denominator(64)
        looks = f"a factor of {simple if abs(simple / Fraction(ratio) - 1) < 1e-4 else f'{ratio:.6g}'}"
        looks = "wrong sign" if simple == -1 else looks
        axis = next((i for i, size in enumerate(a.shape) if size > 2 and simple in (size, Fraction(1, size))), None)
        looks += f", the length of axis {axis} (a sum for a mean?)" if axis is not None else ""
    elif match := [names[j] for j in range(len(names)) if j != k and same(a, numeric[j])]:
        looks = f"this is the gradient of {match[0]}"
    elif same(a, n.T) or same(a.reshape(n.T.shape), n.T) or same(a.reshape(n.T.shape).T, n):
        looks = "transposed"
    elif flips:
        looks = f"reversed along axis {flips[0]}"
    elif same(np.sort(a, axis=None), np.sort(n, axis=None)):
        looks = "the right numbers in wrong places"
    elif len(off) > 1 and np.allclose(off, off[0], rtol=1e-4, atol=0):
        looks = "off by a constant"
    entries = int(known.sum())
    count = (
        f"all {entries} entries are wrong" if wrong.sum() == entries else f"{wrong.sum()} of {entries} entries wrong"
    )
    return looks if a.size == 1 or entries == 1 else f"{count}: {looks}" if looks else count
