"""Each property notices the mistakes it is there for: operations and engines that are broken in one way each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.core import walk
from tinygrad_lm.core.operation import Op
from tinygrad_lm.ops.samples import D, N, case, kink, unary
from tinygrad_lm.testing.differences import agree, refuted
from tinygrad_lm.testing.mutants import registry
from tinygrad_lm.testing.properties import PROPERTIES, Refuted, prove, refutations
from tinygrad_lm.testing.trials import registered, trials

NAMES = itertools.count()


def twice(forward=lambda xp, x: x * 2, rule=lambda g: g * 2.0, samples=unary, doc="2 x.", **facts):
    """An operation that doubles, or what one makes of it."""
    forward.__name__, forward.__doc__ = f"broken_{next(NAMES)}", doc
    op = Op(forward, samples=samples, **facts)
    if rule:
        op.vjp("x")(rule)
    return op


def pushed(op, rule):
    op.jvp("x")(rule)
    return op


def composed(op, plain):
    op.composed(plain)
    return op


def noisy():
    rng = np.random.default_rng(0)

    def forward(xp, x):  # in the last bit, and in float32 only: nothing else would notice
        return x * 2 * x.dtype.type(1 + 1e-7 * rng.integers(3)) if x.dtype == np.float32 else x * 2

    return twice(forward)


def as_tensor(xp, x):
    return tg.Tensor(x * 2)


def of_two(promote=""):
    def forward(xp, x, y):
        return xp.add(x, y)

    forward.__name__, forward.__doc__ = f"broken_{next(NAMES)}", "x + y."
    op = Op(forward, samples=lambda: [case(N(*s), N(*s)) for s in ((), (2,), (3,), (2, 3), (0,))], promote=promote)
    op.vjp("x")(lambda g: g)
    op.vjp("y")(lambda g: g)
    return op


BROKEN = {
    "four shapes": (lambda: twice(samples=lambda: unary()[:4]), {"declared"}),
    "five samples of one shape": (lambda: twice(samples=lambda: [case(N(3))] * 5), {"declared"}),
    "no docstring": (lambda: twice(doc=None), {"declared"}),
    "no rule": (
        lambda: twice(rule=None), {"declared", "same_bits", "layouts", "float32", "float16", "bfloat16"}
    ),
    "a wrong tangent": (lambda: pushed(twice(), lambda t: t * 2.02), {"forward_mode"}),
    "a tangent that is too short": (lambda: pushed(twice(), lambda t: t.reshape(-1)[:1] * 2), {"forward_mode"}),
    "not analytic": (
        lambda: twice(lambda xp, x: xp.abs(x), lambda g, x: g * tg.sign(x), lambda: unary(D), analytic=True),
        {"complex_step"},
    ),
    "another function composed": (lambda: composed(twice(), lambda x: x * 2.0001), {"composed"}),
    "another shape composed": (lambda: composed(twice(), lambda x: (x * 2.0).reshape(-1, 1)), {"composed"}),
    "a wrong value at a kink": (
        lambda: twice(
            lambda xp, x: xp.abs(x), lambda g, x: g * tg.sign(x), lambda: unary(D), kinks=[kink((0.0,), (1.0,))]
        ),
        {"kinks"},
    ),
    "a declared value that slopes refute": (
        lambda: twice(
            lambda xp, x: xp.maximum(x, 0) * 2, lambda g, x: g * (2.0 * tg.greater(x, 0)) - g * (1.0 * tg.equal(x, 0)),
            lambda: unary(D), kinks=[kink((0.0,), (-1.0,))],
        ),
        {"kinks", "dtypes"},
    ),
    "Tensors for arrays": (lambda: twice(as_tensor), {"boxes", "same_bits", "float32", "float16", "bfloat16"}),
    "another result in each run": (noisy, {"same_bits"}),
    "rounded to integers in float32": (
        lambda: twice(lambda xp, x: xp.round(x * 2) if x.dtype == np.float32 else x * 2),
        {"float32", "float16", "bfloat16"},
    ),
    "another factor in two bytes": (
        lambda: twice(lambda xp, x: x * x.dtype.type(2.5 if x.dtype.itemsize == 2 else 2), arithmetic=False),
        {"float16", "bfloat16"},
    ),
    "integers widen": (lambda: of_two(promote=""), {"integers_never_widen"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_operation_is_refuted(name):
    make, expected = BROKEN[name]
    assert set(refutations(make())) == expected


def test_an_engine_that_shares_gradients_is_refuted(monkeypatch):
    """What a rule returns becomes a gradient through the walk: if that stops to copy, this property alone notices."""
    monkeypatch.setattr(walk, "unshared", lambda g, mine, handed: g)
    assert set(refutations(tg.add)) == {"nothing_shared"}


def test_every_property_is_needed():
    """For each there is a mistake, here or among the mutants, that no other notices."""
    alone = {next(iter(expected)) for _, expected in BROKEN.values() if len(expected) == 1}
    alone |= {m.only for m in registry() if m.only} | {"nothing_shared"}
    assert alone == set(PROPERTIES) - REDUNDANT


# Gradients that are wrong are noticed by others too, and Tensors where arrays belong make others fail: kept because
# they say so at once, naming the element.
REDUNDANT = {"first_order", "boxes"}


# ------------------------------------------------------------------------------------------------ what they say


def test_a_refutation_names_property_sample_input_element_and_both_values():
    with tg.testing.mutants.active("multiply/b/one-entry-dropped"), pytest.raises(Refuted) as caught:
        PROPERTIES["first_order"](tg.multiply)
    said = str(caught.value)
    assert said.startswith(
        "first_order of <multiply, sample 0: normal(2,3),normal(2,3)>: the gradient of b[1, 2] is 0, "
    )
    assert "finite differences say " in said


def test_prove_says_what_held_and_lists_what_did_not():
    assert prove(tg.sin).startswith("sin: ") and "hold on 5 samples" in prove(tg.sin)
    with tg.testing.mutants.active("sin/x/negated"), pytest.raises(Refuted) as caught:
        prove(tg.sin)
    assert "properties are refuted" in str(caught.value) and "first_order of <sin, sample 0" in str(caught.value)
    with pytest.raises(TypeError, match="declared with @tg.op"):
        prove(np.sin)


def test_prove_serves_a_users_operation():
    assert "hold on 5 samples" in prove(twice().function)


# ------------------------------------------------------------------------------------------------ trials and helpers


def test_a_trial_draws_the_same_numbers_in_every_dtype_and_layout():
    trial = trials(tg.matmul)[1]
    a, b = trial.draw()
    for again in (trial.draw(layout="strided"), trial.draw(layout="transposed"), trial.draw(np.float32)):
        np.testing.assert_array_equal(again[0], a.astype(again[0].dtype))
    assert trial.draw(layout="transposed")[1].flags.f_contiguous and not trial.draw(layout="strided")[1].flags.forc
    other = trial.again(5, ["transposed", "contiguous"])
    assert other.draw()[0].shape == a.shape and (other.draw()[0] != a).any() and not other.draw()[0].flags.c_contiguous


def test_trials_of_the_package_are_those_of_its_operations():
    assert len(trials()) == sum(len(trials(op)) for op in registered()) > 5 * len(registered()) - 1
    assert trials(twice())[0].op not in registered()


def test_agreement_takes_nan_for_nan_only_and_names_the_element():
    nan, inf = np.nan, np.inf
    agree([1.0, nan, inf], [1.0, nan, inf], 0, "x")
    for a, b in (([nan], [1.0]), ([1.0], [nan]), ([inf], [-inf]), ([inf], [1.0]), ([1.0], [1.0, 1.0])):
        with pytest.raises(AssertionError):
            agree(a, b, 0.5, "x")
    with pytest.raises(AssertionError, match=r"x\[1\]: 2, expected 3 to within 0.5"):
        agree([1.0, 2.0], [1.0, 3.0], 0.5, "x")


def test_a_corner_closer_than_the_step_is_no_refutation():
    near = 1e-4
    assert not refuted(1.0, lambda h: abs(h + near), 0)
    assert refuted(0.9, lambda h: abs(h + near), 0)


@pytest.mark.parametrize(
    ("grads", "fine"), [((0.5, 0.5), True), ((1.0, 0.0), True), ((0.0, 0.0), False), ((1.0, 1.0), False)]
)
def test_a_tie_may_be_shared_in_any_way_but_must_be_shared(grads, fine):
    """(0, 0) at a tie of maximum is refuted along the direction that moves both."""

    def forward(xp, a, b):
        return xp.maximum(a, b)

    forward.__name__, forward.__doc__ = f"broken_{next(NAMES)}", "The larger."
    op = Op(forward, kinks=[kink((1.0, 1.0), grads)])
    op.vjp("a")(lambda g, a, b: g * (tg.greater(a, b) + grads[0] * tg.equal(a, b)))
    op.vjp("b")(lambda g, a, b: g * (tg.greater(b, a) + grads[1] * tg.equal(a, b)))
    found = refutations(op, ["kinks"])
    assert not found if fine else "the slopes on both sides are 1 and 1" in str(found["kinks"])


def test_an_operation_has_no_tolerance_of_its_own():
    with pytest.raises(TypeError, match="no fact is called rtol; there are: analytic, arithmetic"):
        twice(rtol=0.1)
