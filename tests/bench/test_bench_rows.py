"""Rows: no time without a right result, and what fails does not take the others with it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.bench import Case, Roofline, measure, sweep
from tinygrad_lm.bench.devices import SIDE

FAST = {"max_time": 0.02, "cold": False, "min_time": 1e-5}


def product(M=16, K=24, N=8, dtype="float32"):
    return Case(
        "matmul",
        lambda rng: [rng.normal(size=(M, K)).astype(dtype), rng.normal(size=(K, N)).astype(dtype)],
        np.matmul,
        flops=2 * M * K * N,
        bytes=np.dtype(dtype).itemsize * (M * K + K * N + M * N),
        dtype=dtype,
        axes={"M": M, "K": K, "N": N},
    )


def pretended(peak=1e12, bandwidth=1e11):
    roofline = Roofline(best=lambda function: 2 * SIDE**3 / peak)
    roofline.bandwidths = dict.fromkeys(range(12, 30), bandwidth)
    return roofline


def test_a_right_function_is_timed_and_placed():
    row = measure(product(), tg.matmul, "ours", roofline=pretended(), **FAST)
    assert row.refused == "" and row.timing.quartiles()[1] > 0 and 0 < row.placed.share < 1
    assert str(row).startswith("matmul(M=16, K=24, N=8, float32) ours: hot ") and "of the roofline" in str(row)
    assert json.loads(json.dumps(row.record()))["share_of_roofline"] == row.placed.share


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, b: (a @ b) * 1.001, "matmul wrong is refused: with fresh inputs, result at"),
        (lambda a, b: a @ b.T, "ValueError: matmul: "),
        (lambda a: a, "TypeError: "),
    ],
)
def test_a_wrong_function_has_no_time(wrong, says):
    row = measure(product(), wrong, "wrong", seed=0, **FAST)
    assert row.timing is None and row.placed is None and row.refused.startswith(says) and "\n" not in row.refused
    assert "REFUSED, " in str(row) and row.record()["timing"] is None


def test_who_skips_work_once_the_clock_runs_is_found():
    calls, first = [], []

    def tiring(a, b):
        calls.append(1)
        if len(calls) > 10:
            return first[0]
        first.append(a @ b)
        return first[-1]

    assert "is refused: with fresh inputs" in measure(product(), tiring, "tiring", **FAST).refused


def test_inputs_change_from_call_to_call():
    seen = []

    def noted(a, b):
        seen.append(a.ctypes.data)
        return a @ b

    measure(product(), noted, **FAST)
    middle = seen[3 : 3 + 8]
    assert len(set(middle)) == 4 and middle[:4] == middle[4:]


def test_what_the_machine_cannot_do_is_refused():
    row = measure(product(), tg.matmul, "ours", roofline=pretended(peak=1e3), **FAST)
    assert row.timing is None and "ours is refused: " in row.refused
    assert "faster than this machine is" in row.refused


def test_a_sweep_goes_on_after_what_fails():
    def picky(a, b):
        if a.shape[0] == 4:
            raise MemoryError("too much")
        return a @ b

    rows = list(sweep(product, {"ours": tg.matmul, "picky": picky}, {"M": [4, 5], "dtype": ["float32"]}, **FAST))
    assert [(r.case.axes["M"], r.variant, r.refused) for r in rows] == [
        (4, "ours", ""), (4, "picky", "MemoryError: too much"), (5, "ours", ""), (5, "picky", ""),
    ]  # fmt: skip


def test_what_is_written_is_checked_too():
    case = Case(
        "add",
        lambda rng: [rng.normal(size=50), rng.normal(size=50), np.empty(50)],
        np.add,
        writes=(2,),
        dtype="float64",
    )
    assert measure(case, lambda a, b, out: np.add(a, b, out), **FAST).refused == ""
    assert "it writes nothing" in measure(case, lambda a, b, out: None, **FAST).refused
