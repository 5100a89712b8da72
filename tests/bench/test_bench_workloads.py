"""Workloads: every one passes its gate, small sizes and all, and wrong sizes are one clear line."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tinygrad_lm.bench import function_of, measure, workload
from tinygrad_lm.bench.workloads import EXCUSED, SIZES, axes_of, differentiable
from tinygrad_lm.bench.workloads.sizes import OUTLIERS
from tinygrad_lm.core import OPS
from tinygrad_lm.testing.gate import Refused, verify

FAST = {"max_time": 0.01, "cold": False, "min_time": 1e-5, "seed": 0}


def small(name, size=7):
    """Every size small, and not the same."""
    usual = enumerate(axes_of(name).items())
    return {a: v if isinstance(v, bool) else size + i if v > 16 else min(v, size + i) for i, (a, v) in usual}


def test_every_operation_is_timed_or_excused():
    assert not set(SIZES) & set(EXCUSED) and set(SIZES) | set(EXCUSED) == set(OPS)
    assert len(SIZES) > 150 and all(EXCUSED.values()) and set(OUTLIERS) <= set(SIZES)
    with pytest.raises(ValueError, match="reshape is not timed: it makes a view"):
        workload("reshape")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_operation_passes_its_gate(name, dtype):
    axes = small(name)
    row = measure(workload(name, dtype, **axes), function_of(name, **axes), "ours", **FAST)
    assert row.refused == "" and row.case.bytes > 0 and row.case.flops > 0 and dict(row.case.axes) == axes


@pytest.mark.parametrize("name", [name for name in sorted(SIZES) if differentiable(name)])
def test_every_derivative_passes_its_gate(name):
    axes = small(name)
    case = workload(name, "float32", backward=True, **axes)
    right = function_of(name, backward=True, **axes)
    verify(right, case.reference, case.draw, outliers=case.outliers, seed=0)
    assert case.name == f"{name} and backward"

    def wrong(*arrays):
        first, *grads = right(*arrays)
        return first, *[1.001 * g + 0.001 for g in grads]

    with pytest.raises(Refused):
        verify(wrong, case.reference, case.draw, outliers=case.outliers, seed=0)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_wrong_operation_does_not(name):
    axes = small(name)
    right = function_of(name, **axes)

    def wrong(*arrays):
        found = right(*arrays)
        if isinstance(found, tuple):
            return 1.001 * found[0] + 0.001, *found[1:]
        return ~found if found.dtype == bool else found + 1 if found.dtype.kind == "i" else found * 1.001 + 0.001

    assert "is refused" in measure(workload(name, "float32", **axes), wrong, **FAST).refused


@pytest.mark.parametrize("name", ["exp", "add", "sum", "softmax", "matmul", "conv", "layer_norm", "cross_entropy"])
def test_floats_of_two_bytes(name):
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    for dtype in ("float16", "bfloat16"):
        case = workload(name, dtype, **small(name))
        assert case.bytes < workload(name, "float32", **small(name)).bytes
        verify(function_of(name, **small(name)), case.reference, case.draw, outliers=case.outliers, seed=0)


def test_a_dtype_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ValueError, match="bfloat16 needs ml_dtypes: pip install ml_dtypes"):
        workload("exp", "bfloat16")


@pytest.mark.parametrize("name", sorted(SIZES))
def test_one_answer_does_not_do_for_all_inputs(name):
    axes, kept = small(name), []
    case, right = workload(name, **axes), function_of(name, **axes)

    def first_answer(*arrays):
        kept[:] = kept or [right(*arrays)]
        return kept[0]

    with pytest.raises(Refused):
        verify(first_answer, case.reference, case.draw, outliers=case.outliers, seed=0)


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("outer", {"rows": 10**6, "columns": 10**6}),
        ("kron", {"rows": 500, "columns": 500}),
        ("matmul", {"M": 10**6, "K": 1, "N": 10**6}),
        ("attention", {"length": 10**6}),
    ],
)
def test_large_results_are_refused_before_they_are_made(name, axes):
    with pytest.raises(ValueError, match=f"{name} with .* needs [0-9,]+ GiB, more than 16"):
        workload(name, **axes)


def test_what_has_no_derivative_is_said():
    with pytest.raises(ValueError, match="argmax has no derivative to be timed"):
        workload("argmax", backward=True)


def test_the_work_of_a_product():
    case = workload("matmul", "float64", M=3, K=4, N=5)
    assert case.flops == 2 * 3 * 4 * 5 and case.bytes == 8 * (12 + 20 + 15)
    assert str(case) == "matmul(M=3, K=4, N=5, float64)"
    drawn = workload("embedding", "float32", rows=3, columns=2, ids=4).draw(np.random.default_rng(0))
    assert [x.dtype.name for x in drawn] == ["int64", "float32"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: workload("matmull"), "no workload is called 'matmull'; did you mean matmul"),
        (lambda: workload("matmul", Q=3), "matmul has no axis Q: expected some of M, K, N"),
        (lambda: workload("matmul", M=0), "matmul: M must be at least 1, got 0"),
        (
            lambda: workload("matmul", M=10**6, K=10**6),
            r"matmul with .* needs 7,458 GiB, more than 16",
        ),
    ],
)
def test_wrong_sizes_are_one_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
