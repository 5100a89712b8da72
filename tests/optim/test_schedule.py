import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_lm.optim import schedule

rates = st.floats(1e-6, 10)
lengths = st.integers(1, 500)
FALLING = [schedule.linear, schedule.cosine]


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("make", FALLING)
@given(rate=rates, share=st.floats(0, 1), steps=lengths)
def test_falls_from_the_rate_to_the_final_one_and_stays(make, rate, share, steps):
    at = make(rate, steps=steps, final=share * rate)
    assert close(at(0), rate) and close(at(steps), share * rate) and at(10 * steps) == at(steps)
    path = [at(i) for i in range(steps + 1)]
    assert all(a >= b - 1e-15 for a, b in zip(path, path[1:], strict=False))
    steepest = 1 if make is schedule.linear else math.pi / 2
    assert all(a - b <= steepest * (1 - share) * rate / steps + 1e-9 for a, b in zip(path, path[1:], strict=False))


@given(rate=rates, steps=lengths, rise=st.floats(0, 0.99))
def test_one_cycle_rises_then_falls(rate, steps, rise):
    at, top = schedule.one_cycle(rate, steps, rise), min(round(rise * steps), steps - 1)
    path = [at(i) for i in range(steps + 1)]
    assert close(path[0], rate / 25 if top else rate) and close(path[top], rate) and close(path[-1], rate / 25e4)
    assert all(a <= b + 1e-15 for a, b in zip(path[:top], path[1 : top + 1], strict=True))
    assert all(a >= b - 1e-15 for a, b in zip(path[top:], path[top + 1 :], strict=False))
    assert max(path) <= rate * (1 + 1e-12) and at(steps + 1000) == path[-1]


def test_one_cycle_ends_where_it_is_told():
    at = schedule.one_cycle(1.0, 10, rise=0.4, start=0.5, final=0.125)
    assert [at(0), at(4), at(10)] == [0.5, 1.0, 0.125] and close(at(2), 0.75) and close(at(7), 0.5625)


@given(rate=rates, steps=st.integers(0, 100), length=lengths)
def test_warmup_climbs_in_equal_increments_and_then_the_schedule_begins(rate, steps, length):
    after = schedule.cosine(rate, length)
    at = schedule.warmup(after, steps)
    path = [0.0, *(at(i) for i in range(steps + 1))]
    assert all(close(b - a, rate / (steps + 1)) for a, b in zip(path, path[1:], strict=False))
    assert all(at(steps + i) == after(i) for i in range(length + 5))


def test_constant_and_step():
    assert {schedule.constant(0.3)(i) for i in (0, 5, 10**9)} == {0.3}
    at = schedule.step(0.8, every=10, factor=0.5)
    assert [at(i) for i in (0, 9, 10, 19, 20)] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_cosine_equals_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.1)
    at = schedule.cosine(0.7, 20, 0.1)
    for i in range(21):
        assert theirs.get_last_lr()[0] == pytest.approx(at(i), rel=1e-9)
        optimizer.step()
        theirs.step()


def test_the_schedule_of_a_run_by_hand():
    # 100 steps up to 1e-3, then down to 1e-4 at step 2000
    at = schedule.warmup(schedule.cosine(1e-3, steps=1900, final=1e-4), steps=100)
    assert at(0) == pytest.approx(1e-3 / 101) and at(99) == pytest.approx(1e-3 * 100 / 101) and at(100) == 1e-3
    assert at(1050) == pytest.approx(5.5e-4) and at(2000) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule.constant(-1), "constant: rate must be at least 0, got -1"),
        (lambda: schedule.cosine(1.0, 0), "cosine: steps must be at least 1, got 0"),
        (lambda: schedule.linear(1.0, 5, math.nan), "linear: final must be at least 0, got nan"),
        (lambda: schedule.step(1.0, 0), "step: every must be at least 1, got 0"),
        (lambda: schedule.one_cycle(1.0, 5, 1.0), "one_cycle: rise is a share of the steps, .* got 1.0"),
        (lambda: schedule.warmup(schedule.constant(1), -1), "warmup: steps must be at least 0, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_a_cycle_that_rises_almost_to_its_end_still_comes_down():
    rate = schedule.one_cycle(1.0, steps=3, rise=0.9, final=0.25)
    assert rate(2) == 1.0 and rate(3) == 0.25
