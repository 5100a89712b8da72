"""Times that were taken apart, today's against those of a file: is it slower now?

Paired samples (`compare`) know what the machine did at that moment; these do not.  All that can be compared is how long
the samples took, and what the machine did between the two runs is in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_lm.bench.paired import OUTSIDE, Comparison, blocks, judged, widening

RESAMPLES = 1000


def unpaired(a: Sequence[float], b: Sequence[float], names: tuple[str, str] = ("a", "b"), seed: int = 0) -> Comparison:
    """How the times of a compare with those of b, taken in another run: a `Comparison` whose samples are no pairs.

    The ratio is the Hodges-Lehmann estimate for two samples, the median of all ``log a_i - log b_j``, and its interval
    a percentile bootstrap of both.  ValueError for fewer than 8 samples of either.

    >>> found = unpaired(np.linspace(1.05, 1.15, 20), np.linspace(0.95, 1.05, 20))
    >>> str(found.verdict), round(found.ratio, 2)
    ('SLOWER', 1.1)
    """
    of_a, of_b = np.asarray(a, float), np.asarray(b, float)
    if min(len(of_a), len(of_b)) < 8:
        raise ValueError(f"{min(len(of_a), len(of_b))} samples are too few for an interval, 8 are the least")
    x, y = blocks(np.log(of_a)), blocks(np.log(of_b))
    differences = (x[:, None] - y).reshape(-1)  # (len(x), len(y)) -> one row
    order = np.argsort(differences)
    differences, i, j = differences[order], order // len(y), order % len(y)
    rng = np.random.default_rng(seed)
    of_x, of_y = (rng.multinomial(len(s), np.full(len(s), 1 / len(s)), RESAMPLES) for s in (x, y))
    half = len(x) * len(y) / 2
    centres = []
    for w, v in zip([np.ones(len(x)), *of_x], [np.ones(len(y)), *of_y], strict=True):
        below = np.cumsum(w[i] * v[j])
        centres.append(
            (differences[np.searchsorted(below, half)] + differences[np.searchsorted(below, half, "right")]) / 2
        )
    middle, resampled = centres[0], np.array(centres[1:])
    ends = np.quantile(resampled, [OUTSIDE / 2, 1 - OUTSIDE / 2]) - middle
    low, high = np.exp(middle + ends * widening(min(len(x), len(y)), OUTSIDE)).tolist()
    note = "taken apart: what the machine did between the two runs is in this, too"
    return Comparison(judged(low, high), float(np.exp(middle)), (low, high), of_a, of_b, (1, 1), names, (note,))


def slower(found: Comparison, allowed: float) -> bool | None:
    """Whether a takes more than 1 + `allowed` times the time of b; None where the interval does not say.

    >>> found = unpaired(np.linspace(1.05, 1.15, 20), np.linspace(0.95, 1.05, 20))
    >>> slower(found, 0.02), slower(found, 0.5), slower(found, 0.1)
    (True, False, None)
    """
    low, high = found.interval
    return True if low > 1 + allowed else False if high <= 1 + allowed else None
