"""Every rung with every dtype, layout, size and order of threads: all pairs of them, each against float64.

TINYGRAD_LM_FULL=1 takes the full product instead: thousands of cases (`make deep`).
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from tests.backend.designs import CALLS, FACTORS, arrays_for, covering, pairs_of
from tinygrad_lm.backend import launch
from tinygrad_lm.core import OPS
from tinygrad_lm.testing.kernels import body, judge

pytestmark = pytest.mark.usefixtures("cache")
FULL = os.environ.get("TINYGRAD_LM_FULL") == "1"
PRODUCT = [dict(zip(FACTORS, levels, strict=True)) for levels in itertools.product(*FACTORS.values())]
DESIGN = PRODUCT if FULL else covering(FACTORS)


def test_the_design_has_all_pairs_in_few_cases() -> None:
    pairs = {pair for row in DESIGN for pair in pairs_of(row)}
    wanted = sum(
        len(FACTORS[a]) * len(FACTORS[b]) for i, a in enumerate(FACTORS) for b in list(FACTORS)[i + 1 :]
    )  # fmt: skip
    assert len(pairs) == wanted and (FULL or len(DESIGN) <= 600)


def test_every_operation_with_kernels_is_in_it() -> None:
    assert set(CALLS) == {name for name in launch.LADDERS if name in OPS}


@pytest.mark.parametrize(
    "row", DESIGN, ids=[f"{'-'.join(r['rung'])} {r['dtype']} {r['layout']} {r['size']} {r['order']}" for r in DESIGN]
)
def test_a_case(row) -> None:
    check(row)


def check(row) -> None:
    op, rung = row["rung"]
    arrays, settings = arrays_for(op, row["dtype"], row["layout"], row["size"], seed=1)
    if op == "attention_grad":  # from what the forward keeps
        y, lse = body("attention", arrays, settings)
        dy = np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape).astype(y.dtype)
        arrays = [dy, *arrays, None, y, lse]
    result = judge(op, rung, arrays, settings, row["order"], seed=2)
    assert result is not None or row["size"] == "none", "the rung does not serve this call"
