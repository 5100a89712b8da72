"""How long does a function take: right after it ran, and when nothing of it is in the caches?

One number does not say which of the two it is, nor how far it may be trusted.  `do_bench` gives both, with quartiles
and raw samples; it stops when the medians are known well enough, and says so where they are not, or where the machine
became another one meanwhile.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm.bench.paired import _calls, _collector, _timer, seconds

LEAST = 12  # samples of each kind; fewer have no 95 % interval for their median to speak of
UNKNOWN_CACHE = 64 << 20  # bytes, where the system does not say
CLOCK_CHANGE = 0.05  # of the time of a fixed piece of work, before it is worth a note


@dataclass(frozen=True)
class Timing:
    """What `do_bench` found: seconds per call, raw, in the order taken.

    hot: `calls` calls in a row make a sample.  cold: one call after the caches were filled with something else; empty
    if that was not asked for.  overhead: hot times of the same function on next to nothing; empty if there was none.
    notes: what a reader must know.
    """

    hot: np.ndarray
    cold: np.ndarray
    overhead: np.ndarray
    calls: int
    notes: tuple[str, ...] = ()

    def quartiles(self, kind: str = "hot") -> tuple[float, float, float]:
        """(lower quartile, median, upper quartile) of "hot", "cold" or "overhead"; nan without samples."""
        samples = getattr(self, kind)
        low, middle, high = np.quantile(samples, [0.25, 0.5, 0.75]).tolist() if len(samples) else [math.nan] * 3
        return low, middle, high

    def __str__(self) -> str:
        parts = []
        for kind in ("hot", "cold", "overhead"):
            if len(getattr(self, kind)):
                low, middle, high = self.quartiles(kind)
                parts.append(f"{kind} {seconds(middle)} ({seconds(low)} to {seconds(high)})")
        return "; ".join([", ".join(parts), *self.notes])

    def record(self) -> dict[str, Any]:
        """The same as plain values, raw samples included, for a JSON file."""
        return {
            "calls_per_sample": self.calls,
            "notes": list(self.notes),
            **{f"{kind}_s": getattr(self, kind).tolist() for kind in ("hot", "cold", "overhead")},
        }


def do_bench(
    function: Callable[[], Any],
    *,
    cold: bool = True,
    small: Callable[[], Any] | None = None,
    max_time: float = 1.0,
    precision: float = 0.01,
    min_time: float = 1e-3,
    collect: bool = False,
    name: str = "the function",
    clock: Callable[[], float] = time.perf_counter,
    flush: Callable[[], Any] | None = None,
    work: Callable[[], Any] | None = None,
) -> Timing:
    """Time one function, hot and cold.

    A hot sample is as many calls as take `min_time` seconds; a cold one is a single call after `flush`, which by
    default writes over as many bytes as all caches of one core hold together.  They are taken in turn, at least 12 of
    each, until both medians are known to within `precision` (the 95 % interval by order statistics), or `max_time`
    seconds have passed; then the notes say how well they are known.

    small: the same function on inputs too small to matter, whose time is what every call costs the host.
    collect: whether Python's garbage collector may run while the clock does.
    work: a fixed piece of work that is timed before and after; a change of more than 5 % is a change of the machine's
    own clock (throttling, a power mode), and is noted.

    >>> timing = do_bench(lambda: sum(range(100)), cold=False, max_time=0.05)
    >>> len(timing.hot) >= 12 and timing.quartiles()[1] > 0
    True
    """
    if not max_time > 0:
        raise ValueError(f"do_bench: max_time must be positive, got {max_time}")
    if not precision > 0:
        raise ValueError(f"do_bench: precision must be positive, got {precision}")
    timed, flush, work = _timer(function, clock), flush or Flush(), work or fixed_work
    hot, chilled, over = [], [], []
    with _collector(collect):
        calls = _calls(timed, min_time, name)
        calls_small = _calls(_timer(small, clock), min_time, f"small, for {name}") if small else 0
        before, start = quickest(work, clock), clock()
        while True:
            hot.append(timed(calls) / calls)
            if small:
                over.append(_timer(small, clock)(calls_small) / calls_small)
            if cold:
                flush()
                chilled.append(timed(1))
            known = [uncertainty(np.array(s)) for s in (hot, chilled) if s]
            if len(hot) >= LEAST and (max(known) <= precision or clock() - start >= max_time):
                break
        after = quickest(work, clock)
    notes = []
    if max(known) > precision:
        notes.append(f"stopped after {max_time:g} s, when the medians were known to within {max(known):.1%} only")
    if abs(change := after / before - 1) > CLOCK_CHANGE:
        notes.append(f"the machine's own clock changed meanwhile: a fixed piece of work takes {change:+.0%} longer")
    return Timing(np.array(hot), np.array(chilled), np.array(over), calls, tuple(notes))


def uncertainty(samples: np.ndarray) -> float:
    """Half of the 95 % interval of the median, relative to it; inf for fewer samples than have one.

    The interval lies between two order statistics: of n samples as many as a binomial (n, 1/2) leaves out on each side.
    """
    n = len(samples)
    outside = math.floor(n / 2 - 0.98 * math.sqrt(n))
    if outside < 0:
        return math.inf
    ordered = np.sort(samples)
    middle = float(np.median(samples))
    return float(ordered[n - 1 - outside] - ordered[outside]) / 2 / middle if middle > 0 else math.inf


def quickest(work: Callable[[], Any], clock: Callable[[], float], repeats: int = 5) -> float:
    """The least time of a few runs: what the processor takes when nobody disturbs it."""
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times) or math.inf


def fixed_work() -> None:
    """Something that takes half a millisecond, of registers only: no memory, no threads."""
    hashlib.sha256(bytes(1 << 18))


# ---------------------------------------------------------------------------------------------------- caches


def cache_sizes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, int]:
    """{"L1d": bytes, "L2": ..., "L3": ...} of the first core; empty where the system does not say."""
    found = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            number = int(size.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(size[-1:], 0)
        except (OSError, ValueError):
            continue
        found[f"L{level}{kind[0].lower() if kind in ('Data', 'Instruction') else ''}"] = number
    return found


class Flush:
    """Fill the caches with something else: write over as many bytes as those for data hold together.

    A cache that holds what the next larger one has thrown out is filled only by the sum of both.
    """

    def __init__(self, size: int | None = None):
        known = sum(n for name, n in cache_sizes().items() if not name.endswith("i"))
        self.size = size or known or UNKNOWN_CACHE
        self.buffer = np.zeros(self.size // 8)

    def __call__(self) -> None:
        self.buffer += 1.0
