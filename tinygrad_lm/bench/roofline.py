"""How fast could it be?  What this machine does at its best, measured here and now, and what that makes of a time.

A function that computes f operations on b bytes takes at least f / peak seconds and at least b / bandwidth seconds
(Williams, Waterman and Patterson 2009).  Which of the two is longer says what it is bound by; a time below both was not
measured, or nothing was computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm.bench.devices import device_of

TOO_FAST = 1.15  # of what the roofline allows, before it is not believed: peaks are measured, too
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
        computed = f"{quantity(self.flops)}FLOP/s, " if self.flops else ""
        said = f"{computed}{quantity(self.bandwidth)}B/s, {self.share:.0%} of the roofline"
        where = f"{self.intensity:.3g} FLOP per byte, the ridge is at {self.ridge:.3g}"
        if not self.believable:
            return f"{said}: faster than this machine is ({where}), so it was not all computed"
        return f"{said} ({self.bound}-bound: {where})"


class Roofline:
    """The peaks of one device ("cpu", "cuda"), each measured when it is first asked for.

    best(function) -> seconds of its quickest call, by which everything is measured: the device's own, unless told.

    >>> quiet = Roofline(best=lambda function: 1e-3)
    >>> print(quiet.place(2e-3, flops=2e9, bytes=2**22))
    1 TFLOP/s, 2.1 GB/s, 50% of the roofline (memory-bound: 477 FLOP per byte, the ridge is at 512)
    """

    def __init__(self, device: Any = "cpu", best: Callable[[Callable[[], Any]], float] | None = None):
        self.device = device_of(device)
        self.best = best or self.device.quickest
        self.peaks: dict[str, float] = {}
        self.bandwidths: dict[int, float] = {}
        self.ways: dict[str, str] = {}  # what reached each peak

    def peak(self, dtype: Any = np.float32) -> float:
        """FLOP/s by the quickest way that the device has: a product of matrices, or multiply-adds in registers.

        On a GPU float32 is without TF32, whose own peak is that of the word "tf32".
        """
        name = name_of(dtype)
        if name not in self.peaks:
            self.peaks[name] = self.computed(name)
        return self.peaks[name]

    def computed(self, dtype: str) -> float:
        rates = {way: flops / self.best(function) for way, (flops, function) in self.device.heaviest(dtype).items()}
        self.ways[dtype] = max(rates, key=rates.__getitem__)
        return rates[self.ways[dtype]]

    def bandwidth(self, size: int) -> float:
        """Bytes per second, read and written, where `size` of them are touched: those of the caches if they fit.

        The better of the two powers of two around it: small sizes are the better the larger they are, others the
        smaller.
        """
        for bits in around(size):
            if bits not in self.bandwidths:
                self.bandwidths[bits] = self.moved(bits)
        return max([self.bandwidths[bits] for bits in around(size)])

    def moved(self, bits: int) -> float:
        return max([moved / self.best(function) for moved, function in self.device.streams(2**bits).values()])

    def doubt(self, size: int, dtype: Any = np.float32, times: int = 3) -> None:
        """Measure these peaks again and keep the better: the machine may have been busy with something else."""
        name = name_of(dtype)
        self.place(1.0, 1.0, size, dtype)
        for _ in range(times):
            self.peaks[name] = max(self.peaks[name], self.computed(name))
            for bits in set(around(size)):
                self.bandwidths[bits] = max(self.bandwidths[bits], self.moved(bits))

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
            "device": self.device.name,
            "peak_flops": dict(self.peaks),
            "reached_by": dict(self.ways),
            "bandwidth_bytes_per_s": {str(2**bits): value for bits, value in sorted(self.bandwidths.items())},
        }


def around(size: float) -> tuple[int, int]:
    """The powers of two between which a working set of this size lies.

    >>> around(100_000), around(65536)
    ((16, 17), (16, 16))
    """
    size = max(LEAST_BYTES, int(size))
    return size.bit_length() - 1, (size - 1).bit_length()


def name_of(dtype: Any) -> str:
    """The name of a dtype; NumPy has none of "tf32", nor everywhere of "bfloat16"."""
    return dtype if isinstance(dtype, str) and dtype in ("tf32", "bfloat16") else np.dtype(dtype).name


def quantity(value: float) -> str:
    """A number with the prefix that suits it: 1.25 G."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "
