"""How long does a function take: right after it ran, and when nothing of it is in the caches?

One number does not say which of the two it is, nor how far it may be trusted.  `do_bench` gives both, with quartiles
and raw samples; it stops when the medians are known well enough, and says so where they are not, or where the machine
became another one meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm.bench.devices import Host, device_of
from tinygrad_lm.bench.paired import _calls, _collector, seconds

LEAST = 12  # samples of each kind; fewer have no 95 % interval for their median to speak of
CLOCK_CHANGE = 0.05  # of the time of a fixed piece of work, before it is worth a note


@dataclass(frozen=True)
class Timing:
    """What `do_bench` found: seconds per call, raw, in the order taken.

    hot: `calls` calls in a row make a sample.  cold: one call after the caches were filled with something else; empty
    if that was not asked for.  overhead: what every call costs the host: times of the same function on next to nothing,
    or on a GPU of enqueueing it; empty if neither was taken.
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
    device: Any = "cpu",
    cold: bool = True,
    small: Callable[[], Any] | None = None,
    max_time: float = 1.0,
    precision: float = 0.01,
    min_time: float = 1e-3,
    collect: bool = False,
    name: str = "the function",
) -> Timing:
    """Time one function, hot and cold, on the processor or ("cuda") on the GPU that its calls enqueue work on.

    A hot sample is as many calls as take `min_time`; a cold one is a single call after the caches were filled with
    something else, to their exact size.  Samples are taken in turn until the medians are known to within `precision`
    (the 95 % interval by order statistics), or `max_time` seconds have passed; then the notes say how well they are
    known.

    On a GPU, hot and cold are the GPU's own time, taken by events that no gap between two launches gets into, and the
    overhead is what a call costs the host (bench/devices.py says how).  On the processor there is an overhead if
    `small` is given: the same function on inputs too small to matter.

    device: a word, or a `Host` or `Gpu` of bench/devices.py.  A fixed piece of work of its is timed before and after; a
    change of more than 5 % is a change of the machine's own clock (throttling, a power mode), and is noted.
    collect: whether Python's garbage collector may run while the clock does.

    >>> timing = do_bench(lambda: sum(range(100)), cold=False, max_time=0.05)
    >>> len(timing.hot) >= 12 and timing.quartiles()[1] > 0
    True
    """
    if not max_time > 0:
        raise ValueError(f"do_bench: max_time must be positive, got {max_time}")
    if not precision > 0:
        raise ValueError(f"do_bench: precision must be positive, got {precision}")
    where = device_of(device)
    hot, chilled, over = [], [], []
    with _collector(collect):
        timed = where.timed(function)
        calls = _calls(timed.seconds, min_time, name)
        tiny = Host(where.clock).timed(small) if small else None
        calls_small = _calls(tiny.seconds, min_time, f"small, for {name}") if tiny else 0
        before, start = where.fixed(), where.clock()
        while True:
            hot.append(timed.seconds(calls) / calls)
            if tiny:
                over.append(tiny.seconds(calls_small) / calls_small)
            elif timed.enqueued is not None:
                over.append(timed.enqueued)
            if cold:
                chilled.append(timed.cold())
            known = [uncertainty(np.array(s)) for s in (hot, chilled) if s]
            if len(hot) >= LEAST and (max(known) <= precision or where.clock() - start >= max_time):
                break
        after = where.fixed()
    notes = list(timed.notes)
    if max(known) > precision:
        notes.append(f"stopped after {max_time:g} s, when the medians were known to within {max(known):.1%} only")
    if abs(change := after / before - 1) > CLOCK_CHANGE:
        said = ", ".join([f"{name} {value}" for name, value in where.state().items() if value is not None])
        much = f"{abs(change):.0%} {'longer' if change > 0 else 'less long'}"
        what = f"the machine's own clock changed meanwhile: a fixed piece of work takes {much}"
        notes.append(what + f" ({said})" * bool(said))
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
