"""The declared conventions as a user asks for them, and the page that is made of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import op
from tinygrad_lm.ops.samples import kink
from tinygrad_lm.testing import conventions

ROOT = Path(__file__).resolve().parents[2]


def test_the_points_that_peers_get_wrong_are_declared():
    """Section by section what libraries disagree on: relu, abs, ties, sqrt, norm, powers, and infinite branches."""
    first = {name: conventions(name)[0] for name in ("relu", "abs", "maximum", "max", "sqrt", "norm", "pow")}
    assert first["relu"].grads == (0.0,) and first["relu"].kind == "kink"
    assert first["abs"].grads == (0.0,)
    assert first["maximum"].grads == (0.5, 0.5)
    assert first["max"].grads == ([0.5, 0.5, 0.0],)
    assert np.isinf(first["sqrt"].grads[0]) and first["sqrt"].kind == "singular"
    assert not np.any(first["norm"].grads[0])
    assert conventions("sign")[0].kind == "jump"
    assert {"clip", "hypot", "atan2", "where", "log_softmax"} <= {c.op for c in conventions()}
    assert len(conventions()) >= 60


def test_prod_with_zeros_is_exact():
    x = np.array([0.0, 2.0, 3.0])
    np.testing.assert_array_equal(tg.grad(lambda x: tg.prod(x))(x), [6.0, 0.0, 0.0])


def test_an_operation_of_ones_own():
    @op(kinks=[kink((0.0,), (1.0,), "the steep side")])
    def ramp(xp, x):
        return xp.maximum(x, 0)

    (c,) = conventions("ramp")
    assert str(c) == "ramp(0.0): 1.0 (kink: the steep side)"
    assert conventions(ramp) == [c]
    with pytest.raises(KeyError, match="no operation 'ramps'"):
        conventions("ramps")


def test_the_page_is_that_of_the_operations():
    script = ROOT / "benchmarks/conventions.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
