"""`do_bench` on a simulated machine, whose clock is a number and whose cache is a flag."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_lm.bench import Timing, do_bench
from tinygrad_lm.bench.devices import Flush, Host, quickest_of_many
from tinygrad_lm.bench.machine import cache_sizes
from tinygrad_lm.bench.timing import uncertainty


class Machine:
    """A function that takes `hot` seconds, or `cold` when the cache was flushed since; a clock that may slow down."""

    def __init__(self, hot: float = 1e-4, cold: float = 3e-4, noise: float = 0.02, slower: float = 0.0):
        self.rng, self.now, self.flushed, self.flushes = np.random.default_rng(0), 0.0, False, 0
        self.hot, self.cold, self.noise, self.slower = hot, cold, noise, slower

    def take(self, time: float) -> None:
        self.work(time * math.exp(self.noise * self.rng.standard_normal()))

    def work(self, time: float = 1e-3) -> None:
        self.now += time * (1 + self.slower * self.now)

    def function(self) -> None:
        self.take(self.cold if self.flushed else self.hot)
        self.flushed = False

    def flush(self) -> None:
        self.flushed = True
        self.flushes += 1
        self.now += 1e-2

    def bench(self, **options: Any) -> Timing:
        return do_bench(self.function, device=Host(lambda: self.now, self.flush, self.work), **options)


def test_hot_and_cold_are_two_things() -> None:
    timing = Machine().bench()
    for kind, takes in (("hot", 1e-4), ("cold", 3e-4)):
        low, middle, high = timing.quartiles(kind)
        assert low < middle < high and abs(middle / takes - 1) < 0.02
    assert timing.calls == 16 and len(timing.hot) == len(timing.cold) >= 12 and timing.notes == ()
    assert re.fullmatch(r"hot (99|10)[\d.]* us \(.* to .*\), cold (29|30)\d us \(.* to .*\)", str(timing))


def test_cold_is_left_out_on_request() -> None:
    machine = Machine()
    timing = machine.bench(cold=False)
    assert machine.flushes == 0 and not len(timing.cold) and math.isnan(timing.quartiles("cold")[1])


def test_what_every_call_costs_the_host() -> None:
    machine = Machine()
    timing = machine.bench(small=lambda: machine.take(5e-6))
    assert abs(timing.quartiles("overhead")[1] / 5e-6 - 1) < 0.02 and ", overhead 5" in str(timing)


@pytest.mark.parametrize(("noise", "fewest", "most"), [(0.001, 12, 12), (0.02, 12, 100), (0.05, 60, 400)])
def test_it_stops_when_the_median_is_known(noise: float, fewest: int, most: int) -> None:
    timing = Machine(noise=noise).bench(max_time=1000.0)
    assert fewest <= len(timing.hot) <= most and timing.notes == ()
    assert max(uncertainty(timing.hot), uncertainty(timing.cold)) <= 0.01


def test_it_stops_when_time_is_up_and_says_how_much_it_knows() -> None:
    machine = Machine(noise=0.5)
    timing = machine.bench(max_time=0.5)
    assert machine.now < 1.0 and len(timing.notes) == 1
    assert timing.notes[0].startswith("stopped after 0.5 s, when the medians were known to within ")
    slow = Machine(hot=1.0, cold=1.0).bench(max_time=0.1)
    assert len(slow.hot) == 12 and slow.calls == 1  # at least so many, however long they take


def test_a_clock_that_changes_is_noted() -> None:
    notes = Machine(slower=1.0).bench(precision=0.001, max_time=0.5).notes
    assert "the machine's own clock changed meanwhile: a fixed piece of work takes " in notes[-1]
    assert "longer" in notes[-1]
    assert not [n for n in Machine(slower=0.05).bench(max_time=0.5).notes if "own clock" in n]


def test_the_interval_of_the_median_holds_it_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(2000):
        samples = np.exp(0.1 * rng.standard_normal(40))
        ordered = np.sort(samples)
        outside = 13
        assert uncertainty(samples) == (ordered[26] - ordered[13]) / 2 / np.median(samples)
        held += ordered[outside] <= 1.0 <= ordered[-1 - outside]
    assert 0.94 <= held / 2000 <= 0.98
    assert uncertainty(np.ones(3)) == math.inf and uncertainty(np.ones(20)) == 0.0


@pytest.mark.parametrize("collect", [True, False])
def test_the_collector_is_as_asked_while_the_clock_runs(collect: bool) -> None:
    machine, seen = Machine(), []
    function: Callable[[], None] = machine.function
    machine.function = lambda: (seen.append(gc.isenabled()), function())[1]  # type: ignore[method-assign]
    machine.bench(collect=collect)
    assert set(seen) == {collect}


def test_caches_are_read_and_filled_to_their_size(tmp_path: Path) -> None:
    for i, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("1", "Instruction", "64K"), ("2", "Unified", "1M")]
    ):
        (tmp_path / f"index{i}").mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{i}" / name).write_text(value + "\n")
    (tmp_path / "index3").mkdir()  # nothing in it
    assert cache_sizes(tmp_path) == {"L1d": 32 << 10, "L1i": 64 << 10, "L2": 1 << 20}
    assert cache_sizes(tmp_path / "nowhere") == {}
    flush = Flush(1 << 16)
    flush()
    assert flush.buffer.nbytes == 1 << 16 and (flush.buffer == 1.0).all()
    assert Flush().size >= 1 << 16


@pytest.mark.parametrize(
    ("options", "says"),
    [({"max_time": 0.0}, "max_time must be positive, got 0.0"), ({"precision": -1.0}, "precision must be positive")],
)
def test_wrong_use_of_do_bench_is_one_line(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Machine().bench(**options)


def test_the_quickest_of_many() -> None:
    calls = []
    assert 0 < quickest_of_many(lambda: calls.append(1), 0.0) < 1e-3 and len(calls) >= 5


def test_do_bench_with_the_real_clock() -> None:
    timing = do_bench(lambda: sum(range(1000)), max_time=0.1)
    assert len(timing.hot) >= 12 and len(timing.cold) == len(timing.hot) and timing.hot.min() > 0
    assert timing.record()["calls_per_sample"] == timing.calls and len(timing.record()["cold_s"]) == len(timing.cold)
