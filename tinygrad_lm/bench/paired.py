"""Is ``a`` faster than ``b``?  An answer with an interval, or the admission that this run cannot tell.

Two medians taken one after the other compare two moments of a machine, not two functions: clocks, caches and neighbours
change in between.  Here the two alternate, a-b-b-a, and only the ratio within a neighbouring pair counts.  A change
that is slower than a pair cancels, and so does a steady drift, because its sign flips between a-b and b-a.
"""

from __future__ import annotations

import enum
import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

MOST_CALLS = 1 << 24  # per sample; a function of 10 ns reaches 0.1 s with it
MOST_PAIRS = 200  # that the estimate looks at one by one: its work grows with the square
OUTSIDE = 0.04  # of the bootstrap's interval; with 0.05 it leaves the truth out in 5.2 % of 5000 made-up runs
DRIFT = 0.05  # of both functions' times, from the first quarter of a run to the last, before it is worth a note


class Verdict(enum.StrEnum):
    """How ``a`` compares with ``b``; UNSURE is an answer too."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    UNSURE = "UNSURE"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    ``ratio`` is the time of a over the time of b and ``interval`` its 95 % interval.  ``a`` and ``b`` hold the raw
    samples: seconds per call, paired by position, in the order taken; ``calls`` says how many calls made one of each.
    ``notes``: what a reader must know.
    """

    verdict: Verdict
    ratio: float
    interval: tuple[float, float]
    a: np.ndarray
    b: np.ndarray
    calls: tuple[int, int]
    names: tuple[str, str] = ("a", "b")
    notes: tuple[str, ...] = ()

    @property
    def medians(self) -> tuple[float, float]:
        """Median seconds per call of a and of b."""
        return float(np.median(self.a)), float(np.median(self.b))

    def __str__(self) -> str:
        (a, b), (low, high), (name_a, name_b) = self.medians, self.interval, self.names
        words = {
            Verdict.FASTER: f"{name_a} is FASTER than {name_b}",
            Verdict.SLOWER: f"{name_a} is SLOWER than {name_b}",
            Verdict.SAME: f"{name_a} and {name_b} take the SAME time",
            Verdict.UNSURE: f"UNSURE whether {name_a} or {name_b} is faster",
        }[self.verdict]
        said = f"{words}: ratio {self.ratio:.3f} (95 % interval {low:.3f} to {high:.3f})"
        return "; ".join([f"{said}, medians {seconds(a)} and {seconds(b)}, {len(self.a)} pairs", *self.notes])

    def record(self) -> dict[str, Any]:
        """The comparison as plain values, raw samples included, for a JSON file."""
        return {
            "names": list(self.names),
            "verdict": str(self.verdict),
            "ratio": self.ratio,
            "interval": list(self.interval),
            "medians_s": list(self.medians),
            "calls_per_sample": list(self.calls),
            "samples_s": [self.a.tolist(), self.b.tolist()],
            "notes": list(self.notes),
        }


def seconds(value: float) -> str:
    """A time with the unit that suits it: ``1.25 ms``."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def compare(
    a: Callable[[], Any],
    b: Callable[[], Any],
    *,
    rounds: int = 25,
    max_time: float | None = None,
    min_time: float = 1e-3,
    same: float = 0.02,
    collect: bool = False,
    names: tuple[str, str] = ("a", "b"),
    clock: Callable[[], float] = time.perf_counter,
    seed: int = 0,
) -> Comparison:
    """Time ``a`` against ``b`` and say which is faster.

    Each of the ``rounds`` takes four samples, a-b-b-a, which make two pairs.  A sample is as many calls as take
    ``min_time`` seconds, so that it stands well above the clock's resolution; the count is found first, which also
    warms both up, and one more round is thrown away.  The ratio is the Hodges-Lehmann estimate on the logarithms
    ``d = log(time a / time b)`` of the pairs, the median of all means ``(d_i + d_j) / 2``: nearly as sharp as the
    mean, and a spike in one sample hardly moves it.  The interval is a percentile bootstrap over the pairs with a
    fixed ``seed``, widened for small samples.

    The verdict is SAME when the interval lies inside ``1 - same`` to ``1 + same``; else FASTER or SLOWER when it leaves
    out 1; else UNSURE: more rounds, or a quieter machine, are needed.

    ``max_time``: go on for as many seconds until the verdict is not UNSURE.  The samples are looked at after
    ``rounds`` rounds and whenever they have about doubled, and who looks k times is wrong more often than who looks
    once: each look has a k-th of the error, so that all of them together hold the truth with 95 %.

    ``collect`` says whether Python's cyclic garbage collector may run while the clock does: off by default, because it
    strikes at random; on for code whose garbage is part of its cost, as in training.

    An argument with a method ``seconds(calls) -> float`` times itself, in its own process (`Worker`) or by a device's
    own events; then ``collect`` does not concern it, and ``clock`` only says when ``max_time`` is over.

    Raises ValueError for fewer than 4 rounds (8 pairs are the least that a 95 % interval can stand on), and for a
    function too short for the clock.
    """
    if rounds < 4:
        raise ValueError(f"compare: rounds must be at least 4 for a 95 % interval, got {rounds}")
    if min_time < 0:
        raise ValueError(f"compare: min_time must not be negative, got {min_time}")
    if max_time is not None and not max_time > 0:
        raise ValueError(f"compare: max_time must be positive, got {max_time}")
    if not 0 <= same < 1:
        raise ValueError(f"compare: same must be in [0, 1), got {same}")
    time_a, time_b = _timer(a, clock), _timer(b, clock)
    pairs: list[tuple[float, float]] = []

    def one_round() -> None:
        first_a, first_b = time_a(calls_a) / calls_a, time_b(calls_b) / calls_b
        last_b, last_a = time_b(calls_b) / calls_b, time_a(calls_a) / calls_a
        pairs.extend([(first_a, first_b), (last_a, last_b)])

    with _collector(collect):
        calls_a, calls_b = _calls(time_a, min_time, names[0]), _calls(time_b, min_time, names[1])
        one_round()
        pairs.clear()
        start = clock()
        for _ in range(rounds):
            one_round()
        looks = _looks(rounds, clock() - start, max_time)
        end = math.inf if max_time is None else start + max_time
        for look in looks:
            while len(pairs) < 2 * look and clock() < end:
                one_round()
            samples = np.array(pairs)
            if samples.min() <= 0:
                raise ValueError("compare: a sample took no time on this clock; raise min_time")
            shift = _shift(np.log(samples[:, 0] / samples[:, 1]), seed, OUTSIDE / len(looks))
            middle, low, high = np.exp(shift).tolist()
            verdict = judged(low, high, same)
            if verdict is not Verdict.UNSURE or clock() >= end:
                break
    notes = [f"still UNSURE after {max_time:g} s"] if max_time is not None and verdict is Verdict.UNSURE else []
    notes += _drifted(samples)
    return Comparison(
        verdict, middle, (low, high), samples[:, 0], samples[:, 1], (calls_a, calls_b), names, tuple(notes)
    )


def judged(low: float, high: float, same: float = 0.02) -> Verdict:
    """What an interval of the ratio says.

    >>> print(judged(0.99, 1.01), judged(0.9, 0.97), judged(1.01, 1.03), judged(0.9, 1.1))
    SAME FASTER SLOWER UNSURE
    """
    if 1 - same < low and high < 1 + same:
        return Verdict.SAME
    return Verdict.FASTER if high < 1 else Verdict.SLOWER if low > 1 else Verdict.UNSURE


def _drifted(samples: np.ndarray) -> list[str]:
    """A note where both functions took longer, or less long, at the end than at the beginning: clocks, neighbours."""
    quarter = len(samples) // 4
    levels = np.log(samples).mean(axis=1)  # (pairs,)
    first, last = np.quantile(levels[:quarter], [0.25, 0.5, 0.75]), np.quantile(levels[-quarter:], [0.25, 0.5, 0.75])
    change = math.expm1(last[1] - first[1])
    apart = last[0] > first[2] or last[2] < first[0]
    if quarter < 4 or not apart or abs(change) <= DRIFT:
        return []
    much = f"{abs(change):.0%} {'longer' if change > 0 else 'less long'}"
    return [f"the machine changed meanwhile: both took {much} at the end than at the beginning"]


def _looks(rounds: int, took: float, max_time: float | None) -> list[int]:
    """After how many rounds to look: the last time when ``max_time`` is over, before that at halves of it.

    >>> _looks(25, 1.0, 8.0), _looks(25, 1.0, 0.5), _looks(25, 1.0, None)
    ([50, 100, 200], [25], [25])
    """
    most = rounds if max_time is None or took <= 0 else max(rounds, int(rounds * max_time / took))
    looks = [most]
    while looks[0] // 2 > rounds:
        looks.insert(0, looks[0] // 2)
    return looks


def _timer(function: Callable[[], Any], clock: Callable[[], float]) -> Callable[[int], float]:
    own = getattr(function, "seconds", None)
    if own is not None:
        return own

    def timed(calls: int) -> float:
        start = clock()
        for _ in range(calls):
            function()
        return clock() - start

    return timed


def _calls(timed: Callable[[int], float], min_time: float, name: str) -> int:
    """The smallest power of two of calls that takes ``min_time``, seen twice: the first sight is often a cold one."""
    calls = 1
    while min(timed(calls), timed(calls)) < min_time:
        calls *= 2
        if calls > MOST_CALLS:
            raise ValueError(f"compare: {MOST_CALLS} calls of {name} take less than {min_time} s on this clock")
    return calls


@contextmanager
def _collector(on: bool) -> Iterator[None]:
    """Start from a clean heap with the collector on or off, and leave it as it was found."""
    was_on = gc.isenabled()
    gc.collect()
    (gc.enable if on else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if was_on else gc.disable)()


def _shift(d: np.ndarray, seed: int, outside: float = 0.05, resamples: int = 1000) -> np.ndarray:
    """(middle, low, high): Hodges-Lehmann estimate of the centre of ``d``, its bootstrap interval of ``1 - outside``.

    The means of all pairs are sorted once.  A resample that holds the i-th value w_i times holds the mean of i and j
    w_i * w_j times (and w_i * (w_i + 1) / 2 times where i = j), so its median is a weighted median of that one list.
    More than 200 values are replaced by the medians of as many runs of neighbours.
    """
    d = blocks(d)
    n = len(d)
    i, j = np.triu_indices(n)
    means = (d[i] + d[j]) / 2
    order = np.argsort(means)
    means, i, j = means[order], i[order], j[order]
    rng = np.random.default_rng(seed)
    counts = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), resamples)]).astype(np.int32)
    half = n * (n + 1) / 4
    centres = []
    for w in np.array_split(counts, math.ceil(len(counts) * len(means) / 5e5)):  # blocks that stay in cache
        weights = w[:, i] * w[:, j]
        weights[:, i == j] = w[:, i[i == j]] * (w[:, i[i == j]] + 1) // 2
        below = np.cumsum(weights, axis=1, dtype=np.int32)
        centres.append((means[(below < half).sum(axis=1)] + means[(below <= half).sum(axis=1)]) / 2)
    middle, resampled = np.split(np.concatenate(centres), [1])
    ends = np.quantile(resampled, [outside / 2, 1 - outside / 2]) - middle
    return np.concatenate([middle, middle + ends * widening(n, outside)])


def blocks(values: np.ndarray) -> np.ndarray:
    """At most 200 values: where there are more, the medians of as many runs of neighbours."""
    if len(values) <= MOST_PAIRS:
        return values
    return np.array([np.median(part) for part in np.array_split(values, MOST_PAIRS)])


def widening(n: int, outside: float = 0.05) -> float:
    """What a percentile bootstrap of ``n`` values lacks.

    Its variance is that of a division by n where n - 1 would be unbiased, and it knows nothing of Student's t, here as
    an expansion over the normal quantile (Cornish and Fisher).  Without this the 95 % interval of 8 pairs misses the
    truth in 9 % of the runs.
    """
    free, z2 = n - 1, NormalDist().inv_cdf(1 - outside / 2) ** 2
    return math.sqrt(n / free) * (1 + (z2 + 1) / (4 * free) + (5 * z2**2 + 16 * z2 + 3) / (96 * free**2))
