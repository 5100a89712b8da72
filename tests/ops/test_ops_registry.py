"""Every property of operations, on every operation: a new operation is tested by being declared."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import ops
from tinygrad_lm.testing.layouts import LAYOUTS
from tinygrad_lm.testing.properties import PROPERTIES
from tinygrad_lm.testing.trials import is_floating, registered, trials

CLAIMS = [
    pytest.param(op, claim, id=f"{op.name}-{claim.name}")
    for op in registered()
    for claim in PROPERTIES.values()
    if claim.when(op)
]


@pytest.mark.parametrize(("op", "claim"), CLAIMS)
def test_property(op, claim):
    claim(op)


def test_samples_reach_the_corners():
    """Zero-size and 0-d arrays occur among the samples of many operations, so that tests over samples meet them."""
    shapes = {op.name: [a.shape for t in trials(op) for a in t.draw() if is_floating(a)] for op in registered()}
    assert sum(any(0 in s for s in each) for each in shapes.values()) > len(shapes) // 2
    assert sum(() in each for each in shapes.values()) > len(shapes) // 3


# ------------------------------------------------------------------------------------------------ any call

KEEPING = sorted(set(LAYOUTS) - {"broadcast"})  # layouts that change no value


@st.composite
def calls(draw):
    """Any sample of any operation, with any numbers, each array laid out in its own way."""
    trial = draw(st.sampled_from(trials()))
    layouts = [draw(st.sampled_from(KEEPING)) for _ in trial.case.arrays]
    return trial.again(draw(st.integers(0, 2**32 - 1)), layouts)


@pytest.mark.parametrize("claim", [p for p in PROPERTIES.values() if p.per_sample], ids=lambda p: p.name)
@given(trial=calls())
def test_property_of_any_call(claim, trial):
    if claim.when(trial.op):
        claim(trial)


@pytest.mark.parametrize("op", [op for op in registered() if "cost" in op.facts], ids=lambda op: op.name)
def test_the_cost_of_a_call_is_a_number_that_grows_with_it(op):
    """FLOPs: never negative, none for nothing, and more for the largest sample than for the smallest."""
    costs = []
    for trial in trials(op):
        arrays = trial.draw()
        cost = op.facts["cost"](*arrays, **trial.case.params)
        assert cost >= 0 and cost == int(cost)
        costs.append((sum(np.size(a) for a in arrays if a is not None), cost))
    assert min(costs)[1] < max(costs)[1]


@pytest.mark.parametrize(
    "op", [op for op in registered() if op.pushes and op.facts.get("kinks")], ids=lambda op: op.name
)
def test_forward_mode_keeps_the_declared_conventions(op):
    rng = np.random.default_rng(5)
    for kink in op.facts["kinks"]:
        arrays = [np.array(x, float) for x in kink.inputs]
        moving = [i for i, g in enumerate(kink.grads) if g is not None and op.inputs[i] in op.pushes]
        if not all(np.isfinite(np.asarray(kink.grads[i], float)).all() for i in moving):
            continue
        tangents = [rng.normal(size=a.shape) if i in moving else None for i, a in enumerate(arrays)]
        with np.errstate(all="ignore"):
            pushed = op.push(arrays, tangents, **kink.params)[1]
        got = np.sum(pushed[0] if isinstance(pushed, tuple) else pushed)
        expected = sum((np.asarray(kink.grads[i]) * tangents[i]).sum() for i in moving)
        assert np.isclose(got, expected, rtol=1e-9, atol=1e-12), kink


PUBLIC = [getattr(tg, name) for name in ops.__all__ if name not in ("linalg", "Generator")]
PUBLIC = [f for f in PUBLIC if callable(f) and inspect.signature(f).parameters]


@pytest.mark.parametrize("function", PUBLIC, ids=lambda f: f.__name__)
@pytest.mark.parametrize("wrong", [[1.0, 2.0], "text", None], ids=repr)
def test_what_is_no_array_is_refused_in_one_sentence(function, wrong):
    """No AttributeError about somebody's `ndim`.  (A list is fine where a list of arrays is asked for.)"""
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    count = len([p for p in required if p.kind is p.POSITIONAL_OR_KEYWORD])
    try:
        function(*[wrong] * count)
    except (TypeError, ValueError, IndexError) as error:
        assert "\n" not in str(error)
