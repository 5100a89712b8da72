"""Where a function runs decides how its time is taken: by the clock on the wall, or by events of a GPU.

A call that uses a GPU returns before the work is done.  Three times have to be told apart: how long the GPU works, how
long the host takes to ask for it, and what passes between the launches where the host is too slow.  `Gpu` gives the
first two and keeps the third out: in front of every sample it enqueues a kernel that only waits, and behind that, while
the GPU is held up, the events and the calls.  When they come to run, all of them stand in the queue.  Whether the host
was quick enough is not assumed: the first event must not have passed when the last call has been enqueued.

Events are recorded on the null stream, or on what CuPy's current stream is: there run this project's operations, CuPy's
kernels, torch's and Triton's.  What waits for the GPU itself, or works on another stream, is found out and timed by the
wall clock between two moments at which the whole GPU is idle; the notes say so.
"""

from __future__ import annotations

import functools
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from tinygrad_lm.backend import CPU, Unavailable, cuda, get_backend, native
from tinygrad_lm.bench.machine import cache_sizes
from tinygrad_lm.bench.paired import _timer

SIDE = 1024  # of the matrices whose product finds the peak of a processor
UNKNOWN_CACHE = 64 << 20  # bytes, where the system does not say
BATCH = 256  # calls that are enqueued at once, at most: a GPU's queue holds about a thousand launches
LONGEST_LEAD = 0.05  # seconds that the GPU is held up for the host, at most
LEAST_LEAD = 50e-6
LEAST_KERNEL = 0.3e-6  # seconds; a call that keeps the stream busy for less launched nothing there
CYCLES = 1_000_000  # of a GPU's clock: half a millisecond
ELSEWHERE = 0.05  # of a call's time that the GPU works on after the stream is done, before other streams are suspected
Ways = Mapping[str, tuple[float, Callable[[], Any]]]  # name -> (FLOPs or bytes, what does them)


def device_of(device: Any) -> Any:
    """The `Host` or the `Gpu` of a device word; any other object with their methods is taken as it is.

    ValueError for an unknown word; `Unavailable` where there is no GPU.

    >>> device_of("cpu").name
    'cpu'
    """
    if not isinstance(device, str):
        return device
    if device not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}: expected 'cpu' or 'cuda'")
    return _device(device)


@functools.cache
def _device(word: str) -> Any:
    return Host() if word == "cpu" else Gpu()


def on_device(function: Callable[[], Any], device: Any = "cuda") -> Any:
    """The function with a method ``seconds(calls)`` that times it on that device: what `compare` asks an argument for.

    >>> timed = on_device(lambda: sum(range(1000)), "cpu")
    >>> timed.seconds(10) > 0
    True
    """
    return device_of(device).timed(function)


# ---------------------------------------------------------------------------------------------------- the processor


class Host:
    """The processor: a clock, caches to be filled, half a millisecond of fixed work."""

    name = "cpu"

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        flush: Callable[[], Any] | None = None,
        work: Callable[[], Any] | None = None,
    ):
        self.clock, self.work = clock, work or fixed_work
        self._flush = flush

    @functools.cached_property
    def flush(self) -> Callable[[], Any]:
        return self._flush or Flush()

    def timed(self, function: Callable[[], Any]) -> OnHost:
        return OnHost(function, self)

    def fixed(self) -> float:
        """Seconds that the fixed work takes now."""
        return quickest(self.work, self.clock)

    def quickest(self, function: Callable[[], Any]) -> float:
        """Seconds of a function's quickest call."""
        return quickest_of_many(function)

    def state(self) -> dict[str, Any]:
        """What the machine tells of itself: nothing here."""
        return {}

    put = staticmethod(CPU.from_numpy)

    def heaviest(self, dtype: str, side: int = SIDE) -> Ways:
        """What does most FLOPs per second: a product of matrices, by the library and the threads that NumPy uses, or
        multiply-adds in registers on every core, where the native kernels were built.

        For floats of two bytes there is neither: to compute in float32 is the best there is.
        """
        dtype = "float32" if dtype in ("float16", "bfloat16") else dtype
        a = np.full((side, side), 0.5, dtype)
        out = np.zeros_like(a)
        ways: dict[str, tuple[float, Callable[[], Any]]] = {}
        ways[f"matrix product {side} by NumPy"] = 2.0 * side**3, lambda: np.matmul(a, a, out=out)
        with suppress(Unavailable, ValueError):
            ways["multiply-adds in registers"] = native.multiply_adds(dtype)
        return ways

    def streams(self, size: int) -> Ways:
        """What moves most bytes per second, `size` of them: copying is done in ways that are slow for some sizes."""
        return streams(np, size)


class OnHost:
    """A function timed by the clock of the host; its own method ``seconds`` is asked if it has one."""

    enqueued: float | None = None  # no call returns before it is done
    notes: tuple[str, ...] = ()

    def __init__(self, function: Callable[[], Any], host: Host):
        self.function, self.host = function, host
        self.seconds: Callable[[int], float] = _timer(function, host.clock)

    def __call__(self) -> Any:
        return self.function()

    def cold(self) -> float:
        """Seconds of one call when the caches hold something else."""
        self.host.flush()
        return self.seconds(1)


# ---------------------------------------------------------------------------------------------------- a GPU


class Gpu:
    """The current GPU, through what measures time on it (`backend.cuda.Timer`)."""

    name = "cuda"

    def __init__(self, timer: Any = None, clock: Callable[[], float] = time.perf_counter):
        self.timer, self.clock = timer or cuda.Timer(), clock
        self.fixed()  # compiles
        self.hertz = CYCLES / self.fixed()

    def timed(self, function: Callable[[], Any]) -> OnGpu:
        return OnGpu(function, self)

    def fixed(self, repeats: int = 5) -> float:
        """Seconds that a million cycles take now: one over the clock."""
        times = []
        for _ in range(repeats):
            start = self.timer.mark()
            self.timer.wait(CYCLES)
            times.append(self.timer.between(start, self.timer.mark()))
        return min(times)

    def hold(self, seconds: float) -> None:
        """Enqueue something that takes about so long."""
        self.timer.wait(int(seconds * self.hertz))

    def quickest(self, function: Callable[[], Any], samples: int = 10, least: float = 2e-4) -> float:
        """Seconds of a function's quickest call, of a few samples that are not too short for events."""
        timed, calls = self.timed(function), 1
        while timed.seconds(calls) < least and calls < BATCH:
            calls *= 2
        return min(timed.seconds(calls) for _ in range(samples)) / calls

    def state(self) -> dict[str, Any]:
        """Clocks, temperature, power and why it is slowed down, as far as they can be read."""
        return cuda.state()

    def put(self, array: np.ndarray) -> Any:
        return get_backend("cuda").from_numpy(array)

    def heaviest(self, dtype: str, side: int = 8192) -> Ways:
        """What does most FLOPs per second: a product of matrices by cuBLAS, and for float32 the multiply-add units.

        float32 is computed in float32, not in TF32.  bfloat16 and "tf32" take torch, as CuPy has no product of theirs.
        """
        if dtype in ("bfloat16", "tf32"):
            return {f"matrix product {side} by cuBLAS (torch)": (2.0 * side**3, _torch_product(dtype, side))}
        xp = get_backend("cuda").xp
        a = self.put(np.random.default_rng(0).normal(size=(side, side)).astype(dtype))
        out = xp.zeros_like(a)
        ways: dict[str, tuple[float, Callable]] = {
            f"matrix product {side} by cuBLAS (CuPy)": (2.0 * side**3, lambda: xp.matmul(a, a, out=out))
        }
        if dtype == "float32":
            ways["multiply-adds in registers"] = self.timer.fma()
        return ways

    def streams(self, size: int) -> Ways:
        """What moves most bytes per second, `size` of them: from the second-level cache if they fit."""
        return streams(get_backend("cuda").xp, size)


class OnGpu:
    """A function whose calls enqueue work on a GPU, timed by events behind a kernel that holds the GPU up.

    enqueued: host seconds per call of the last sample, None by the wall clock.  notes: why that was needed.
    """

    def __init__(self, function: Callable[[], Any], gpu: Gpu):
        self.function, self.gpu, self.batch = function, gpu, BATCH
        self.enqueued: float | None = None
        self.notes: tuple[str, ...] = ()
        self.lead = 0.0  # seconds that the GPU is held up, per call
        self._look()

    def __call__(self) -> Any:
        return self.function()

    def seconds(self, calls: int) -> float:
        """Seconds that the GPU takes for so many calls, however long the host takes to ask for them."""
        total, left = 0.0, calls
        while left:
            done, took = self._span(left)
            total, left = total + took, left - done
        return total

    def cold(self) -> float:
        """Seconds of one call when the second-level cache holds something else."""
        return self._span(1, flush=True)[1]

    def _span(self, calls: int, flush: bool = False) -> tuple[int, float]:
        """(How many of these calls were made, the seconds they took).

        The GPU is held up for twice as long as the host took last time.  Where that was not enough, for longer; where
        it cannot be enough, because the queue is full before that many launches are in it, fewer calls are made.
        """
        timer, clock = self.gpu.timer, self.gpu.clock
        while not self.notes:
            n = min(calls, self.batch)
            lead = min(LEAST_LEAD + n * self.lead, LONGEST_LEAD)
            self.gpu.hold(lead)
            if flush:
                timer.flush()
            start, begin = timer.mark(), clock()
            for _ in range(n):
                self.function()
            host = (clock() - begin) / n
            end, late = timer.mark(), timer.passed(start)
            took = timer.between(start, end)
            if not late:
                self.enqueued, self.lead = host, 2 * host
                return n, took
            if lead < LONGEST_LEAD:
                self.lead = 2 * lead / n
            elif n > 1:
                self.batch = n // 2
            else:  # ten times in a row, so not by mischance
                self._give_up("it waits for the GPU itself, or launches more than the queue holds")
        timer.finish()
        if flush:
            timer.flush()
            timer.finish()
        begin = clock()
        for _ in range(calls):
            self.function()
        timer.finish()
        return calls, clock() - begin

    def _look(self) -> None:
        """Warm up, and find out whether events on the current stream see what is done."""
        timer, clock = self.gpu.timer, self.gpu.clock
        self.function()
        timer.finish()
        hosts, behind, whole = [], [], []
        for _ in range(3):
            start, begin = timer.mark(), clock()
            self.function()
            hosts.append(clock() - begin)
            timer.between(start, timer.mark())
            seen = clock()
            timer.finish()
            behind.append(clock() - seen)
            whole.append(clock() - begin)
        if min(behind) > max(2 * LEAST_LEAD, ELSEWHERE * min(whole)):
            self._give_up("it works on another stream than the current one")
        self.lead = 2 * min(hosts)
        done, took = self._span(1)
        if not self.notes and took < 16 * LEAST_KERNEL:
            done, took = self._span(16)
            if not self.notes and took < done * LEAST_KERNEL:
                self._give_up("it enqueues nothing on the current stream")

    def _give_up(self, why: str) -> None:
        self.enqueued = None
        self.notes = (f"{why}: timed by the wall clock, launches included",)


def _torch_product(dtype: str, side: int) -> Callable[[], Any]:
    import torch

    if not torch.cuda.is_available():
        raise Unavailable(f"the peak of {dtype}: this torch {torch.__version__} finds no GPU")
    a = torch.randn(side, side, device="cuda", dtype=torch.float32 if dtype == "tf32" else getattr(torch, dtype))
    out = torch.empty_like(a)

    def product() -> None:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        torch.matmul(a, a, out=out)
        torch.backends.cuda.matmul.allow_tf32 = before

    return product


# ---------------------------------------------------------------------------------------------------- pieces


def streams(xp: Any, size: int) -> Ways:
    """A copy and an addition that read and write `size` bytes together, by the functions of an array module."""
    source, out = xp.ones(size // 16), xp.ones(size // 16)  # written to, so that there is memory behind them
    return {
        "copy": (2.0 * source.nbytes, lambda: xp.copyto(out, source)),
        "add": (2.0 * source.nbytes, lambda: xp.add(source, 1.0, out=out)),
    }


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
