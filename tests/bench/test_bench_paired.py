"""`compare` on simulated functions: the clock is a number that they move, so every run is the same run."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from tinygrad_lm.bench import Comparison, Verdict, compare
from tinygrad_lm.bench.paired import _shift, seconds, widening


class Machine:
    """A clock and functions that take time on it: lognormal noise of 5 %, a drift, spikes."""

    def __init__(self, seed: int, noise: float = 0.05, drift: float = 0.0, spikes: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.now, self.noise, self.drift, self.spikes = 0.0, noise, drift, spikes

    def clock(self) -> float:
        return self.now

    def function(self, takes: float) -> Callable[[], None]:
        def run() -> None:
            factor = math.exp(self.noise * self.rng.standard_normal()) * (1 + self.drift * self.now)
            if self.rng.random() < self.spikes:
                factor *= self.rng.uniform(2, 10)
            self.now += takes * factor

        return run

    def compare(self, ratio: float, rounds: int = 25, **options: float) -> Comparison:
        return compare(
            self.function(0.01 * ratio),
            self.function(0.01),
            rounds=rounds,
            **options,
            clock=self.clock,
            seed=int(self.rng.integers(99)),
        )


NOISES = {
    "plain": {},
    "drift and spikes": {"drift": 1.0, "spikes": 0.05},  # twice as slow after one second, which is what a run takes
}


@pytest.mark.parametrize("noise", NOISES)
def test_no_difference_is_hardly_ever_called_one(noise: str) -> None:
    verdicts = [Machine(k, **NOISES[noise]).compare(1.0).verdict for k in range(40)]
    assert sum(v in (Verdict.FASTER, Verdict.SLOWER) for v in verdicts) <= 4


@pytest.mark.parametrize("noise", NOISES)
def test_ten_percent_is_found(noise: str) -> None:
    for k in range(10):
        slower, faster = Machine(k, **NOISES[noise]).compare(1.1), Machine(k, **NOISES[noise]).compare(1 / 1.1)
        assert slower.verdict == "SLOWER" and slower.ratio == pytest.approx(1.1, rel=0.05)
        assert faster.verdict == "FASTER" and faster.ratio == pytest.approx(1 / 1.1, rel=0.05)


def test_same_needs_an_interval_inside_two_percent() -> None:
    found = [Machine(k, noise=noise, spikes=0.05).compare(1.0) for noise in (0.01, 0.03) for k in range(10)]
    assert all(c.verdict == "SAME" for c in found[:10])
    for c in found:
        assert (c.verdict == "SAME") == (0.98 < c.interval[0] and c.interval[1] < 1.02)
    assert Machine(0, noise=0.5).compare(1.0, rounds=4).verdict == "UNSURE"


def test_a_steady_drift_cancels() -> None:
    found = Machine(0, noise=0.0, drift=5.0).compare(1.0)
    assert found.b[-1] > 3 * found.b[0]
    assert found.ratio == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("n", [8, 20])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    inside = 0
    for k in range(400):
        _, low, high = _shift(rng.normal(size=n), seed=k, resamples=200)
        inside += low < 0 < high
    assert inside >= 370  # 380 are promised


def test_shift_is_the_median_of_pairwise_means_and_its_resamples_are_true_ones() -> None:
    d = np.random.default_rng(1).normal(size=9)

    def centre(x: np.ndarray) -> float:
        return float(np.median([(x[i] + x[j]) / 2 for i in range(len(x)) for j in range(i, len(x))]))

    middle, low, high = _shift(d, seed=3, resamples=50)
    counts = np.random.default_rng(3).multinomial(9, np.full(9, 1 / 9), 50)
    resampled = [centre(np.repeat(d, w)) for w in counts]
    assert middle == pytest.approx(centre(d))
    wide = middle + (np.quantile(resampled, [0.025, 0.975]) - middle) * widening(9)
    assert (low, high) == pytest.approx(tuple(wide))


def testwidening_is_student_over_normal() -> None:
    for n, t in ((8, 2.3646), (20, 2.0930), (50, 2.0096)):  # the 97.5 % quantile of Student's t with n - 1 degrees
        assert widening(n) == pytest.approx(t / 1.95996 * math.sqrt(n / (n - 1)), rel=5e-3)


@pytest.mark.parametrize("outside", [0.05, 0.05 / 6])
def testwidening_is_student_over_normal_at_other_levels(outside: float) -> None:
    t = {0.05: 2.2622, 0.05 / 6: 3.3642}[outside]  # of 9 degrees
    z = {0.05: 1.9600, 0.05 / 6: 2.6383}[outside]
    assert widening(10, outside) == pytest.approx(t / z * math.sqrt(10 / 9), rel=2e-2)


def test_a_small_difference_is_found_with_time() -> None:
    short = [Machine(k, noise=0.1).compare(1.03, max_time=1.0) for k in range(10)]
    long = [Machine(k, noise=0.1).compare(1.03, max_time=100.0) for k in range(10)]
    assert sum(c.verdict == "UNSURE" for c in short) >= 5 and all(len(c.a) == 50 for c in short)
    assert all("still UNSURE after 1 s" in c.notes for c in short if c.verdict == "UNSURE")
    assert [c.verdict for c in long].count(Verdict.SLOWER) >= 9 and not any(c.notes for c in long)


def test_what_is_clear_takes_no_longer_than_it_must() -> None:
    machine = Machine(0)
    assert machine.compare(1.3, max_time=100.0).verdict == "SLOWER" and machine.now < 5
    quiet = Machine(0, noise=0.001)
    assert quiet.compare(1.0, max_time=100.0).verdict == "SAME" and quiet.now < 5


def test_time_is_up_when_it_is_up() -> None:
    machine = Machine(1, noise=0.5)
    found = machine.compare(1.0, max_time=10.0)
    assert found.verdict == "UNSURE" and 10 < machine.now < 13
    slower = Machine(1, noise=0.5, drift=1.0)  # a plan made at the beginning would take ten times as long
    assert slower.compare(1.0, max_time=10.0).verdict == "UNSURE" and slower.now < 13


def test_looking_often_does_not_find_what_is_not_there() -> None:
    wrong = [Machine(k).compare(1.0, rounds=8, max_time=2.5, same=0.0).verdict for k in range(100)]
    assert sum(v is not Verdict.UNSURE for v in wrong) <= 7  # a fifth of them, with an interval of 95 % at each look


def test_many_pairs_are_taken_in_runs() -> None:
    d = np.random.default_rng(2).normal(3.0, size=50_000)
    middle, low, high = _shift(d, seed=0, resamples=200)
    assert low < 3.0 < high and high - low < 0.04 and middle == pytest.approx(3.0, abs=0.02)


def test_a_machine_that_changes_is_noted() -> None:
    found = Machine(0, noise=0.02, drift=0.2).compare(1.0)
    assert len(found.notes) == 1 and found.notes[0] in str(found)
    assert found.notes[0].startswith("the machine changed meanwhile: both took ")
    assert found.notes[0].endswith("longer at the end than at the beginning") and "less" not in found.notes[0]
    assert found.record()["notes"] == list(found.notes)
    assert "less long at the end" in Machine(0, noise=0.02, drift=-0.2).compare(1.3).notes[0]
    assert not any(Machine(k).compare(3.0).notes for k in range(10))


def test_equal_seeds_give_equal_results_and_exchange_mirrors() -> None:
    first, again = Machine(5).compare(1.03), Machine(5).compare(1.03)
    assert (first.ratio, first.interval) == (again.ratio, again.interval)
    assert first.record() == again.record()


def test_a_short_function_is_called_often_enough() -> None:
    machine = Machine(0, noise=0.0)
    found = compare(machine.function(1e-7), machine.function(3e-5), rounds=4, min_time=1e-3, clock=machine.clock)
    assert found.calls[0] * 1e-7 >= 1e-3 > found.calls[0] * 1e-7 / 2
    assert found.calls[1] * 3e-5 >= 1e-3 > found.calls[1] * 3e-5 / 2
    assert found.ratio == pytest.approx(1 / 300, rel=1e-6)
    assert found.medians == pytest.approx((1e-7, 3e-5))


def test_order_is_a_b_b_a_and_the_first_round_is_thrown_away() -> None:
    calls: list[str] = []
    now = [0.0]

    def named(name: str) -> Callable[[], None]:
        def run() -> None:
            calls.append(name)
            now[0] += 1

        return run

    found = compare(named("a"), named("b"), rounds=4, clock=lambda: now[0])
    assert "".join(calls) == "aa" + "bb" + "abba" * 5  # two of each to find the number of calls
    assert len(found.a) == len(found.b) == 8


def test_an_object_with_seconds_times_itself() -> None:
    class Fixed:
        def __init__(self, value: float) -> None:
            self.value = value

        def __call__(self) -> None:
            raise AssertionError("not called: it times itself")

        def seconds(self, calls: int) -> float:
            return self.value * calls

    found = compare(Fixed(1.0), Fixed(2.0), rounds=4)
    assert found.verdict == "FASTER" and found.ratio == pytest.approx(0.5)


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("was_on", [False, True])
def test_the_collector_is_left_as_it_was_found(collect: bool, was_on: bool) -> None:
    seen: set[bool] = set()
    now = [0.0]

    def run() -> None:
        seen.add(gc.isenabled())
        now[0] += 1

    def fails() -> None:
        raise KeyError("mine")

    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        compare(run, run, rounds=4, clock=lambda: now[0], collect=collect)
        assert gc.isenabled() == was_on
        with pytest.raises(KeyError, match="mine"):
            compare(run, fails, clock=lambda: now[0], collect=collect)
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == {collect}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rounds": 3}, "rounds must be at least 4"),
        ({"rounds": -1}, "rounds must be at least 4"),
        ({"min_time": -1.0}, "min_time must not be negative"),
        ({"max_time": 0.0}, "max_time must be positive, got 0"),
        ({"same": 1.0}, r"same must be in \[0, 1\)"),
    ],
)
def test_wrong_use_is_one_line(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        compare(int, int, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_no_time_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_lm.bench.paired.MOST_CALLS", 1000)
    with pytest.raises(ValueError, match=r"1000 calls of mine take less than"):
        compare(int, int, clock=lambda: 0.0, names=("mine", "theirs"))
    with pytest.raises(ValueError, match="a sample took no time"):
        compare(int, int, clock=lambda: 0.0, min_time=0)


def test_str_says_it_in_words() -> None:
    text = str(Machine(0).compare(1.1))
    assert text.startswith("a is SLOWER than b: ratio 1.1") and "95 % interval" in text and "50 pairs" in text
    for word in Verdict:
        assert word in str(Comparison(word, 1.0, (0.9, 1.1), np.ones(8), np.ones(8), (1, 1), ("ours", "theirs")))


def test_seconds_picks_the_unit() -> None:
    assert [seconds(t) for t in (2.5, 0.0125, 3e-6, 4e-9)] == ["2.5 s", "12.5 ms", "3 us", "4 ns"]


def test_the_real_clock() -> None:
    found = compare(lambda: time.sleep(2e-3), lambda: time.sleep(1e-3), rounds=4, min_time=0)
    assert found.verdict == "SLOWER" and found.medians[0] > 2e-3
