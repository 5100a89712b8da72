"""How fast could it be?  What this machine does at its best, measured here and now, and what that makes of a time.

A function that computes f operations on b bytes takes at least f / peak seconds and at least b / bandwidth seconds
(Williams, Waterman and Patterson 2009).  Which of the two is longer says what it is bound by; a time below both was not
measured, or nothing was computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

TOO_FAST = 1.15  # of what the roofline allows, before it is not believed: peaks are measured, too
SIDE = 1024  # of the matrices whose product finds the peak
LEAST_BYTES = 1 << 12


@dataclass(frozen=True)
class Placed:
    """A time beside the roofline.

    flops, bandwidth: per second.  share: of what could be reached there, 1 at best.  bound: "memory" or "compute".
    """

    flops: float
    bandwidth: float
    share: float
    bound: str
    intensity: float
    ridge: float

    @property
    def believable(self) -> bool:
        """Whether the machine can do that at all."""
        return self.share <= TOO_FAST

    def __str__(self) -> str:
        said = f"{quantity(self.flops)}FLOP/s, {quantity(self.bandwidth)}B/s, {self.share:.0%} of the roofline"
        where = f"{self.intensity:.3g} FLOP per byte, the ridge is at {self.ridge:.3g}"
        if not self.believable:
            return f"{said}: faster than this machine is ({where}), so it was not all computed"
        return f"{said} ({self.bound}-bound: {where})"


class Roofline:
    """The peaks of this machine, each measured when it is first asked for.

    best(function) -> seconds of its quickest call; everything is measured by it.

    >>> quiet = Roofline(best=lambda function: 1e-3)
    >>> print(quiet.place(2e-3, flops=2e9, bytes=4e6))
    1 TFLOP/s, 2 GB/s, 95% of the roofline (memory-bound: 500 FLOP per byte, the ridge is at 1.02e+03)
    """

    def __init__(self, best: Callable[[Callable[[], Any]], float] | None = None):
        self.best = best or quickest_of_many
        self.peaks: dict[str, float] = {}
        self.bandwidths: dict[int, float] = {}

    def peak(self, dtype: Any = np.float32) -> float:
        """FLOP/s of a product of two matrices of 1024 x 1024, by whatever library NumPy uses and as many threads."""
        name = np.dtype(dtype).name
        if name not in self.peaks:
            self.peaks[name] = self.product(name)
        return self.peaks[name]

    def product(self, dtype: str) -> float:
        a = np.full((SIDE, SIDE), 0.5, dtype)
        out = np.zeros_like(a)
        return 2 * SIDE**3 / self.best(lambda: np.matmul(a, a, out=out))

    def bandwidth(self, size: int) -> float:
        """Bytes per second, read and written, where `size` of them are touched: those of the caches if they fit.

        A copy or an addition, whichever is faster: copying is done in ways that are slow for some sizes.
        """
        bits = bits_of(size)
        if bits not in self.bandwidths:
            self.bandwidths[bits] = self.stream(bits)
        return self.bandwidths[bits]

    def stream(self, bits: int) -> float:
        source, out = np.ones(2**bits // 16), np.ones(2**bits // 16)  # written to, so that there is memory behind them
        ways = [lambda: np.copyto(out, source), lambda: np.add(source, 1.0, out=out)]
        return 2 * source.nbytes / min(map(self.best, ways))

    def doubt(self, size: int, dtype: Any = np.float32, times: int = 3) -> None:
        """Measure these peaks again and keep the better: the machine may have been busy with something else."""
        name, bits = np.dtype(dtype).name, bits_of(size)
        for _ in range(times):
            self.peaks[name] = max(self.peak(name), self.product(name))
            self.bandwidths[bits] = max(self.bandwidth(size), self.stream(bits))

    def place(self, seconds: float, flops: float, bytes: int, dtype: Any = np.float32) -> Placed:
        """Where a time stands that was needed for `flops` operations on `bytes` bytes, read and written."""
        peak, bandwidth = self.peak(dtype), self.bandwidth(bytes)
        computing, moving = flops / peak, bytes / bandwidth
        share = max(computing, moving) / seconds if seconds > 0 else math.inf
        bound = "compute" if computing >= moving else "memory"
        return Placed(flops / seconds, bytes / seconds, share, bound, flops / max(bytes, 1), peak / bandwidth)

    def record(self) -> dict[str, Any]:
        """What was measured so far, as plain values."""
        return {
            "peak_flops": dict(self.peaks),
            "bandwidth_bytes_per_s": {str(2**bits): value for bits, value in sorted(self.bandwidths.items())},
        }


def bits_of(size: float) -> int:
    """The power of two that stands for working sets of about this size."""
    return max(LEAST_BYTES, int(size)).bit_length() - 1


def quickest_of_many(function: Callable[[], Any], enough: float = 0.05) -> float:
    """Seconds of the quickest of at least 5 calls, and of as many as fit into `enough` seconds.

    Calls that take less than 20 microseconds are made several at a time.
    """
    clock, calls = time.perf_counter, 1
    best, tried, end = math.inf, 0, clock() + enough
    while tried < 5 or clock() < end:
        start = clock()
        for _ in range(calls):
            function()
        took = (clock() - start) / calls
        best, tried = min(best, took), tried + 1
        if took * calls < 20e-6:
            calls *= 2
    return best


def quantity(value: float) -> str:
    """A number with the prefix that suits it: 1.25 G."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "
