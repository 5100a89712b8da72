"""Operations against torch in float64, orders one to three, on the samples that they declare.

Without torch these tests are skipped, unless TINYGRAD_LM_STRICT=1 says that they must run (`make test` does).
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lm import vjp
from tinygrad_lm.core import flatten, raw
from tinygrad_lm.testing.trials import registered, trials

try:
    import torch
except ImportError:
    pytest.skip("the differential lane needs torch", allow_module_level=True)


FILES = sorted(p.stem for p in (Path(__file__).parent / "twins").glob("*.py") if p.stem != "__init__")
MODULES = [importlib.import_module(f"..twins.{name}", __name__) for name in FILES]
TWINS = {name: twin for m in MODULES for name, twin in m.TWINS.items()}
LONERS = set().union(*[m.LONERS for m in MODULES])
LANE = [op for op in registered() if op.name in TWINS]
SAMPLES = [t for op in LANE for t in trials(op)]
AT_LEAST = (172, 1131)  # operations and samples that the lane had when somebody last looked: it may grow


def test_the_lane_covers_the_operations():
    assert set(TWINS) | LONERS == {op.name for op in registered()}, (
        "give it a twin in tests/ops/twins, or name it among the loners"
    )
    assert len(LANE) == len(TWINS) and not set(TWINS) & LONERS
    assert AT_LEAST[0] <= len(LANE) and AT_LEAST[1] <= len(SAMPLES), "the lane shrank"


def twin(trial, tensors):
    """torch's results, as a tuple."""
    outs = TWINS[trial.op.name](*tensors, **trial.case.params)
    return outs if isinstance(outs, tuple) else (outs,)


def same(ours, theirs, what):
    theirs = theirs.detach().numpy()
    assert np.shape(raw(ours)) == theirs.shape, what
    largest = max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(raw(ours), theirs, rtol=1e-9, atol=1e-9 * largest, err_msg=what)


@pytest.mark.parametrize("trial", SAMPLES, ids=lambda t: t.id)
def test_values(trial):
    arrays = trial.draw()
    theirs = twin(trial, [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays])
    for y, z in zip(flatten(trial(*arrays))[0], theirs, strict=True):
        same(y, z, "values")


@pytest.mark.parametrize("trial", [t for t in SAMPLES if t.differentiable], ids=lambda t: t.id)
def test_gradients_of_orders_one_to_three(trial):
    """Outputs are cubed, so that linear operations have three orders too; each order gets weights of its own."""
    rng = np.random.default_rng(trial.seed)
    arrays = trial.draw()
    f, chosen = trial.of(trial.tracked, arrays)
    tensors = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
    leaves = [tensors[i].requires_grad_() for i in trial.tracked]

    def draw(like):
        return [rng.normal(size=raw(x).shape) for x in like]

    weights = draw(f(*chosen))
    ours = weighing(lambda *xs: [y * y * y for y in f(*xs)], weights)
    theirs = dot([y * y * y for y in twin(trial, tensors) if y.is_floating_point()], map(torch.tensor, weights))
    for order in (1, 2, 3):
        gradient = gradient_of(ours)
        expected = torch.autograd.grad(theirs, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        for g, h in zip(gradient(*chosen), expected, strict=True):
            same(g, h, f"order {order}")
        if not any(h.requires_grad for h in expected):
            return  # torch says it is constant from here on
        weights = draw(chosen)
        ours, theirs = weighing(gradient, weights), dot(expected, map(torch.tensor, weights))


def gradient_of(f):
    return lambda *xs: vjp(f, *xs)[1](np.ones(()))


def weighing(f, weights):
    return lambda *xs: dot(f(*xs), weights)


def dot(ys, weights):
    products = [(y * w).sum() for y, w in zip(ys, weights, strict=True)]
    return sum(products[1:], products[0])
