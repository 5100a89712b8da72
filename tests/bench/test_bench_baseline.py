"""Times taken apart: how often the interval holds the truth, and what is slower than allowed."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lm.bench.baseline import slower, unpaired


def centre(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.median(np.subtract.outer(x, y)))


def test_the_ratio_is_the_median_of_all_ratios() -> None:
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.normal(size=9)), np.exp(rng.normal(size=14))
    assert unpaired(a, b).ratio == pytest.approx(np.exp(centre(np.log(a), np.log(b))))
    found, back = unpaired(a, b), unpaired(b, a)
    assert found.ratio == pytest.approx(1 / back.ratio) and found.names == ("a", "b")
    assert list(found.a) == list(a) and found.notes[0].startswith("taken apart")


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    inside, rng = 0, np.random.default_rng(1)
    for k in range(200):
        low, high = unpaired(np.exp(0.1 * rng.normal(size=20)), np.exp(0.1 * rng.normal(size=15)), seed=k).interval
        inside += low < 1 < high
    assert 182 <= inside <= 200  # 190 are promised


@pytest.mark.parametrize(("factor", "allowed", "answer"), [(1.2, 0.05, True), (1.2, 0.5, False), (1.0, 0.05, False)])
def test_slower_than_allowed(factor: float, allowed: float, answer: bool) -> None:
    rng = np.random.default_rng(2)
    a, b = factor * np.exp(0.02 * rng.normal(size=40)), np.exp(0.02 * rng.normal(size=40))
    assert slower(unpaired(a, b), allowed) is answer
    assert slower(unpaired(a, b), factor - 1) is None


def test_many_samples_and_too_few() -> None:
    rng = np.random.default_rng(3)
    found = unpaired(np.exp(0.1 * rng.normal(size=5000)) * 1.5, np.exp(0.1 * rng.normal(size=30)))
    assert found.verdict == "SLOWER" and found.ratio == pytest.approx(1.5, rel=0.05) and len(found.a) == 5000
    with pytest.raises(ValueError, match="7 samples are too few"):
        unpaired(np.ones(7), np.ones(20))
