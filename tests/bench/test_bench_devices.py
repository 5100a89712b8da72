"""Time on a GPU that is made up: what a kernel takes, what a launch costs the host, and which of the two is measured.

The GPU is tests/fake_gpu, whose clock is a number and whose events are exact.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_lm.bench import Case, Roofline, Timing, compare, do_bench, measure
from tinygrad_lm.bench.devices import BATCH, Gpu, Host, OnGpu, device_of, on_device

KERNEL, LAUNCH = 40e-6, 5e-6


class Bench:
    """A GPU, and functions whose times are known."""

    def __init__(self, cupy: Any):
        self.machine = cupy.machine
        self.machine.launch = LAUNCH
        self.gpu = Gpu(clock=self.machine.clock)

    def kernels(self, takes: float = KERNEL, cold: float = 0.0, launches: int = 1, host: float = 0.0):
        """A function of so many launches, which takes so much longer when the cache was flushed."""

        def function() -> None:
            self.machine.spend(host)
            for _ in range(launches):
                self.machine.enqueue((takes + cold * self.machine.flushed) / launches)
            self.machine.flushed = False

        return function

    def blocking(self, takes: float = KERNEL):
        def function() -> None:
            self.machine.enqueue(takes)
            self.machine.finish()

        return function

    def bench(self, function, **options: Any) -> Timing:
        return do_bench(function, device=self.gpu, **options)


@pytest.fixture
def bench(gpu) -> Bench:
    return Bench(gpu)


def near(value: float, wanted: float, by: float = 1e-6) -> bool:
    return abs(value / wanted - 1) < by


# Kernels shorter than a launch, as long as one, and longer: the time found is theirs, and that of the launch apart.
@pytest.mark.parametrize("kernel", [1e-6, 5e-6, 40e-6, 3e-3])
@pytest.mark.parametrize("launch", [2e-6, 5e-6, 50e-6])
def test_kernels_and_launches_are_told_apart(bench: Bench, kernel: float, launch: float) -> None:
    bench.machine.launch = launch
    timing = bench.bench(bench.kernels(kernel))
    assert near(timing.quartiles()[1], kernel) and near(timing.quartiles("overhead")[1], launch)
    assert timing.notes == () and timing.calls * kernel >= 1e-3


def test_cold_is_what_a_flushed_cache_makes_of_it(bench: Bench) -> None:
    timing = bench.bench(bench.kernels(KERNEL, cold=15e-6))
    assert near(timing.quartiles()[1], KERNEL) and near(timing.quartiles("cold")[1], KERNEL + 15e-6)
    assert bench.gpu.timer.cache.nbytes == bench.gpu.timer.cache_bytes
    assert len(bench.bench(bench.kernels(), cold=False).cold) == 0


def test_what_asks_much_of_the_host_and_little_of_the_gpu(bench: Bench) -> None:
    """200 us of Python around 20 launches of 1 us: what one call launches fits the queue, a whole sample does not."""
    timing = bench.bench(bench.kernels(20e-6, launches=20, host=200e-6))
    assert near(timing.quartiles()[1], 20e-6) and near(timing.quartiles("overhead")[1], 200e-6 + 20 * LAUNCH)
    assert timing.notes == ()


def test_a_queue_that_is_full_makes_fewer_calls_at_once(bench: Bench) -> None:
    bench.machine.depth = 100
    timed = on_device(bench.kernels(2e-6, launches=3), bench.gpu)
    assert near(timed.seconds(BATCH), 2e-6 * BATCH) and timed.batch <= 32 and timed.notes == ()


def test_what_waits_for_the_gpu_is_timed_by_the_wall_clock_and_said_so(bench: Bench) -> None:
    timing = bench.bench(bench.blocking())
    assert near(timing.quartiles()[1], KERNEL + LAUNCH) and len(timing.overhead) == 0
    assert [note.split(":")[0] for note in timing.notes] == [
        "it waits for the GPU itself, or launches more than the queue holds"
    ]
    assert near(timing.quartiles("cold")[1], KERNEL + LAUNCH)  # and not the flush


@pytest.mark.parametrize("takes", [KERNEL, 5e-3])
def test_work_on_another_stream_is_not_missed(bench: Bench, takes: float) -> None:
    def function() -> None:
        with bench.machine.on_stream(7):
            bench.machine.enqueue(takes)

    timing = bench.bench(function)
    assert near(timing.quartiles()[1], max(takes, LAUNCH), 0.2) and "timed by the wall clock" in timing.notes[0]


def test_work_on_two_streams_is_timed_as_a_whole(bench: Bench) -> None:
    def function() -> None:
        bench.machine.enqueue(KERNEL)
        with bench.machine.on_stream(7):
            bench.machine.enqueue(5e-3)

    timing = bench.bench(function)
    assert near(timing.quartiles()[1], 5e-3, 0.01) and "it works on another stream" in timing.notes[0]


def test_what_was_enqueued_before_is_not_in_a_time(bench: Bench) -> None:
    for function in (bench.kernels(), bench.blocking()):
        timed = on_device(function, bench.gpu)
        bench.machine.enqueue(1e-2)
        assert timed.seconds(1) <= KERNEL + LAUNCH + 1e-9


def test_work_of_the_host_alone(bench: Bench) -> None:
    timing = bench.bench(lambda: bench.machine.spend(1e-4))
    assert near(timing.quartiles()[1], 1e-4) and "it enqueues nothing on the current stream" in timing.notes[0]


@pytest.mark.parametrize(("takes", "interrupted"), [(KERNEL, 1e-2), (2e-3, 0.1)])
def test_one_late_host_is_asked_again(bench: Bench, takes: float, interrupted: float) -> None:
    """The host is interrupted in every 50th call: the time stays that of the GPU."""
    calls = 0

    def function() -> None:
        nonlocal calls
        calls += 1
        bench.machine.spend(interrupted if calls % 50 == 0 else 0.0)
        bench.machine.enqueue(takes)

    timed = on_device(function, bench.gpu)
    assert all(near(timed.seconds(1), takes) and near(timed.cold(), takes) for _ in range(100)) and calls > 200
    assert timed.notes == ()


def test_a_clock_that_slows_down_is_noted_with_what_the_gpu_says(bench: Bench, monkeypatch) -> None:
    bench.machine.slower = 0.5
    monkeypatch.setattr(bench.gpu, "state", lambda: {"sm_clock_mhz": 1410.0, "throttle_reasons": ["power cap"]})
    notes = bench.bench(bench.kernels(), precision=1e-9, max_time=1.0).notes
    assert "the machine's own clock changed meanwhile: a fixed piece of work takes " in notes[-1]
    assert "longer" in notes[-1]
    assert notes[-1].endswith("longer (sm_clock_mhz 1410.0, throttle_reasons ['power cap'])")
    bench.machine.slower = 0.0
    assert bench.bench(bench.kernels()).notes == ()


def test_the_clock_is_known_by_its_quickest_run(bench: Bench) -> None:
    assert near(bench.gpu.hertz, bench.machine.hertz, 0.01)
    times = iter([2e-3, 1e-3, 5e-3, 4e-3, 3e-3])
    bench.gpu.timer.wait = lambda cycles: bench.machine.enqueue(next(times))
    assert near(bench.gpu.fixed(), 1e-3, 0.01)


@pytest.mark.parametrize("slower", [1.0, 1.05])
def test_comparisons_on_a_gpu(bench: Bench, slower: float) -> None:
    rng = np.random.default_rng(0)

    def function(takes: float):
        return lambda: bench.machine.enqueue(takes * math.exp(0.02 * rng.standard_normal()))

    a, b = (on_device(function(takes), bench.gpu) for takes in (20e-6 * slower, 20e-6))
    found = compare(a, b)
    assert str(found.verdict) == ("SAME" if slower == 1.0 else "SLOWER") and near(found.ratio, slower, 0.01)


def test_roofline_of_a_gpu(gpu, bench: Bench) -> None:
    """Every addition, copy, product and FMA kernel of the made-up GPU takes as long: its peaks are known."""
    gpu.machine.kernel = 1e-3
    bench.gpu.heaviest = lambda dtype: Gpu.heaviest(bench.gpu, dtype, side=16)
    roofline = Roofline(bench.gpu)
    flops, _ = bench.gpu.timer.fma()
    assert near(roofline.peak(), flops / 1e-3) and near(roofline.peak("float64"), 2 * 16**3 / 1e-3)
    assert near(roofline.bandwidth(1 << 20), (1 << 20) / 1e-3)
    assert roofline.record()["device"] == "cuda" and roofline.record()["reached_by"] == {
        "float32": "multiply-adds in registers",
        "float64": "matrix product 16 by cuBLAS (CuPy)",
    }


def test_rows_of_a_gpu(gpu, bench: Bench) -> None:
    """Inputs go there and results come back, for the gate; what the function does to its inputs does, too."""
    case = Case("double", lambda rng: [rng.normal(size=50)], lambda x: 2 * x, flops=50.0, bytes=800)
    row = measure(case, lambda x: x * 2, "honest", device=bench.gpu)
    assert row.refused == "" and near(row.timing.quartiles()[1], gpu.machine.kernel)
    seen = []

    def spoiling(x):
        seen.append(type(x))
        y = x * 2
        x *= 2
        return y

    assert "it changed its input 0" in measure(case, spoiling, device=bench.gpu).refused and set(seen) == {gpu.ndarray}
    assert "it returns its input" in measure(case, lambda x: x, device=bench.gpu).refused
    writes = Case("double", lambda rng: [rng.normal(size=50), np.empty(50)], lambda x: 2 * x, writes=(1,))
    assert measure(writes, lambda x, out: gpu.multiply(x, 2, out=out), device=bench.gpu).refused == ""
    assert "it writes nothing" in measure(writes, lambda x, out: None, device=bench.gpu).refused

    class Other(gpu.ndarray):
        pass

    kinds = set()
    put = lambda a: gpu.asarray(a).view(Other)  # noqa: E731
    assert measure(case, lambda x: (kinds.add(type(x)), x * 2)[1], device=bench.gpu, put=put).refused == ""
    assert kinds == {Other}


def test_devices_by_word(gpu) -> None:
    assert device_of("cpu") is device_of("cpu") and type(device_of("cpu")) is Host
    assert type(device_of("cuda")) is Gpu and type(on_device(lambda: gpu.machine.enqueue(1e-4))) is OnGpu
    with pytest.raises(ValueError, match="unknown device 'tpu': expected 'cpu' or 'cuda'"):
        device_of("tpu")
