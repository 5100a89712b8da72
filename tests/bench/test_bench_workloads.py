"""Workloads: every one passes its gate, small sizes and all, and wrong sizes are one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lm.bench import function_of, measure, workload
from tinygrad_lm.bench.workloads import SIZES, axes_of

FAST = {"max_time": 0.01, "cold": False, "min_time": 1e-5, "seed": 0}


def small(name, size=7):
    """Every size small, and not the same."""
    return {
        axis: value if isinstance(value, bool) else size + i for i, (axis, value) in enumerate(axes_of(name).items())
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_operation_passes_its_gate(name, dtype):
    axes = small(name)
    row = measure(workload(name, dtype, **axes), function_of(name, **axes), "ours", **FAST)
    assert row.refused == "" and row.case.bytes > 0 and row.case.flops > 0 and dict(row.case.axes) == axes


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_wrong_operation_does_not(name):
    axes = small(name)
    right = function_of(name, **axes)

    def wrong(*arrays):
        return right(*arrays) * 1.001 + 0.001

    assert "is refused" in measure(workload(name, "float32", **axes), wrong, **FAST).refused


def test_the_work_of_a_product():
    case = workload("matmul", "float64", M=3, K=4, N=5)
    assert case.flops == 2 * 3 * 4 * 5 and case.bytes == 8 * (12 + 20 + 15)
    assert str(case) == "matmul(M=3, K=4, N=5, float64)"
    drawn = workload("embedding", "float32", rows=3, columns=2, ids=4).draw(np.random.default_rng(0))
    assert [x.dtype.name for x in drawn] == ["int64", "float32"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: workload("matmull"), "no workload is called 'matmull': expected one of abs, add, "),
        (lambda: workload("matmul", Q=3), "matmul has no axis Q: expected some of M, K, N"),
        (lambda: workload("matmul", M=0), "matmul: M must be at least 1, got 0"),
        (
            lambda: workload("matmul", M=10**6, K=10**6),
            r"matmul with .* needs about 3,725 GiB|needs about [\d,]+ GiB, more",
        ),
    ],
)
def test_wrong_sizes_are_one_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
