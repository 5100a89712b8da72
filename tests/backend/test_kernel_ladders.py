"""Every rung of every operation on the samples of the operation, in every dtype it names and every order of threads."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import ORDERS
from tinygrad_lm.core.operation import OPS
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import drawn, judge

pytestmark = pytest.mark.usefixtures("cache")

RUNGS = [(name, rung) for name, ladder in launch.LADDERS.items() if name in OPS for rung in ladder]


@pytest.mark.parametrize(("name", "rung"), RUNGS, ids=[f"{name}-{rung}" for name, rung in RUNGS])
def test_samples(name: str, rung: str) -> None:
    served = 0
    cases = OPS[name].facts["samples"]()
    for dtype in launch.LADDERS[name][rung].dtypes:
        for i, case in enumerate(cases):
            result = judge(name, rung, drawn(case, numpy_dtype(dtype), i), case.params, ORDERS[i % 3], seed=i)
            served += result is not None
    if name in ("cross_entropy_grad", "attention_grad"):  # their samples lack what the forward keeps
        return
    assert served >= len(launch.LADDERS[name][rung].dtypes) * len(cases) / 3, f"{served} of the samples are served"


@pytest.mark.parametrize(("name", "rung"), RUNGS, ids=[f"{name}-{rung}" for name, rung in RUNGS])
def test_what_no_kernel_has_an_entry_for(name: str, rung: str) -> None:
    case = OPS[name].facts["samples"]()[0]
    arrays = drawn(case, np.dtype(np.float64), 0)
    assert "float64" not in launch.LADDERS[name][rung].dtypes and judge(name, rung, arrays, case.params) is None
