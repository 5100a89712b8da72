"""The generic properties notice every wrong derivative; and what a user does with one."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.core import OPS
from tinygrad_lm.testing import mutants
from tinygrad_lm.testing.mutants import BY_HAND, active, killed_by, mutation_score, registry
from tinygrad_lm.testing.properties import PROPERTIES, refutations
from tinygrad_lm.testing.trials import registered

QUICK = ["first_order", "linear"]
SLOW = [name for name in PROPERTIES if name not in (*QUICK, "declared", "boxes", "composed", "integers_never_widen")]
EXCLUSIVE = [m for m in registry() if m.only]


@pytest.mark.parametrize("op", registered(), ids=lambda op: op.name)
def test_every_mutant_is_killed(op):
    effective = dict.fromkeys([n for n, rule in op.rules.items() if rule is not None], 0)
    alive = []
    for m in registry(op):
        killed = killed_by(m, QUICK) or ("equivalent" if m.generated and m.equivalent else killed_by(m, SLOW))
        alive += [m.name] if killed is None else []
        effective[m.input] += m.generated and killed != "equivalent"
    assert not alive
    zero = {m.input for m in registry(op) if m.what == "zero" and m.equivalent}  # like the derivative of sign
    assert {name for name, n in effective.items() if n < 3} == zero


def test_there_are_enough_mutants():
    assert {name for name, *_ in BY_HAND} <= set(OPS), "written for operations that do not exist"
    assert len(BY_HAND) >= 60 and len({m.name for m in registry()}) == len(registry())
    assert len([m for m in registry() if m.generated]) >= 3 * len(
        [r for o in registered() for r in o.rules.values() if r]
    )


@pytest.mark.parametrize("mutant", EXCLUSIVE, ids=lambda m: m.name)
def test_what_only_one_property_notices(mutant):
    """Without that property this mistake would live: so the property is needed."""
    with mutant:
        assert set(refutations(mutant.op)) == {mutant.only}


# ------------------------------------------------------------------------------------------------ switched on and off


def test_a_mutant_works_within_its_block_only():
    x = np.array([0.0, 1.0])
    right = tg.vjp(tg.sin, x)[1](np.ones(2))[0]
    rules = dict(tg.sin.op.rules)
    with active("sin/x/negated"):
        np.testing.assert_array_equal(tg.vjp(tg.sin, x)[1](np.ones(2))[0], -right)
    np.testing.assert_array_equal(tg.vjp(tg.sin, x)[1](np.ones(2))[0], right)
    assert tg.sin.op.rules == rules
    with pytest.raises(KeyError), active("sin/x/negated"):
        raise KeyError
    np.testing.assert_array_equal(tg.vjp(tg.sin, x)[1](np.ones(2))[0], right)


def test_a_mutant_of_one_input_leaves_the_others_as_they_are():
    arrays = [np.random.default_rng(0).normal(size=s) for s in ((3, 4), (4,), (4,))]
    u = np.random.default_rng(1).normal(size=(3, 4))
    right = tg.vjp(tg.layer_norm, *arrays)[1](u)
    with active("layer_norm/weight/negated"):
        wrong = tg.vjp(tg.layer_norm, *arrays)[1](u)
    np.testing.assert_array_equal(wrong[0], right[0])
    np.testing.assert_array_equal(wrong[1], -right[1])
    np.testing.assert_array_equal(wrong[2], right[2])


def test_a_mutant_cannot_be_switched_on_twice():
    mutant = active("sin/x/zero")
    with mutant, pytest.raises(RuntimeError, match="on already"), mutant:
        pass
    assert tg.grad(tg.sin)(np.array(0.0)) == 1


def test_a_stale_mutant_forgets_between_blocks():
    mutant = active("sin/x/stale")
    for x in (0.0, 1.0):
        with mutant:
            assert tg.grad(tg.sin)(np.array(x)) == np.cos(x)
            assert tg.grad(tg.sin)(np.array(3.0)) == np.cos(x)


def test_unknown_names_are_answered_with_those_that_exist():
    with pytest.raises(KeyError, match="sin/x/negated"):
        active("sin/x/nonsense")
    with pytest.raises(KeyError, match="there is no operation"):
        active("nonsense")


# ------------------------------------------------------------------------------------------------ a user's own test


def test_the_score_of_a_weak_test_and_of_a_strong_one():
    def weak():
        tg.grad(lambda x: tg.cumsum(x, axis=0).sum())(np.ones(4))

    def strong():
        x = np.array([0.5, -1.0, 2.0, 0.25])
        tg.testing.gradcheck(lambda x: tg.cumsum(x, axis=0), x)
        tg.testing.gradcheck(lambda x: tg.cumsum(x, axis=0), -x)

    low, high = (mutation_score(test, [tg.cumsum]) for test in (weak, strong))
    assert low.ratio == 0 and not low.killed and {"negated", "off by one"} <= {m.what for m in low.survived}
    assert {m.what for m in high.survived} <= {"transposed", "stale"} and high.ratio >= 0.8
    assert {m.what for m in high.equivalent} == {m.what for m in low.equivalent} != set()
    assert "mutants killed (0%)" in str(low) and "survives: cumsum/x/negated" in str(low)


def test_a_test_that_takes_the_operation_is_given_it():
    seen = []

    def test(op):
        seen.append(op)
        assert tg.grad(op)(np.array(0.5)) > 0

    score = mutation_score(test, [tg.exp, tg.tanh])
    assert {f.__name__ for f in seen} == {"exp", "tanh"}
    assert "exp/x/negated" in {m.name for m in score.killed} and "tanh/x/negated" in {m.name for m in score.killed}


@pytest.mark.parametrize("wrong", [np.sin, tg.conv2d])
def test_the_score_is_for_operations(wrong):
    with pytest.raises(TypeError, match="mutation_score takes operations, functions declared with @tg.op; got <"):
        mutation_score(lambda: None, [wrong])


def test_a_test_that_fails_anyway_has_no_score():
    def broken():
        raise AssertionError

    with pytest.raises(ValueError, match="without any mutant"):
        mutation_score(broken, [tg.exp])


def test_a_change_of_nothing_is_equivalent():
    op = tg.sin.op
    assert mutants.Mutant(op, "x", "nothing", lambda right: right * 1.0).equivalent
    assert not mutants.Mutant(op, "x", "something", lambda right: right * 1.0001).equivalent
    assert not mutants.Mutant(op, "x", "an error", lambda right: right.nonsense).equivalent
