"""Random differentiable programs: what they are made of, how they print and shrink, that they refute wrong rules."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

import tinygrad_lm as tg
from tinygrad_lm import OPS, Tensor
from tinygrad_lm.core import flatten
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.testing import GradcheckError, gradcheck, gradgradcheck
from tinygrad_lm.testing import strategies as some
from tinygrad_lm.testing.layouts import LAYOUTS
from tinygrad_lm.testing.programs import FITTING, Program, Step, assemble, differentiable, literal

only_draw = settings(phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])


def outputs(program, *inputs):
    return flatten(program(*inputs))[0]


def cotangents(program):
    """Numbers of both signs, no two equal, for each output."""
    return [
        0.5 + np.cos(2.0 * np.arange(y.size) + i).reshape(y.shape)
        for i, y in enumerate(outputs(program, *program.inputs))
    ]


def gradients(program, inputs, us):
    return tg.vjp(lambda *xs: outputs(program, *xs), *inputs)[1](list(us))


# ------------------------------------------------------------------------------------------------ what they are


def test_a_thousand_programs_know_most_operations():
    seen, depths = set(), set()

    @settings(only_draw, max_examples=1000)
    @given(some.programs())
    def look(program):
        seen.update(step.op for step in program.steps)
        depths.add(sum(step.op not in FITTING for step in program.steps))

    look()
    assert len(seen & set(differentiable())) >= 0.6 * len(differentiable()), set(differentiable()) - seen
    assert max(depths) >= 8


def test_every_operation_with_a_derivative_can_take_part():
    """An operation that no program can hold would be left out of everything that programs prove."""
    inputs = [np.array([[0.5, -1.25, 2.0], [0.75, 1.5, -0.25]]), np.array(1.5)]
    alone = {name: [assemble(inputs, [(name, k, (0, 1, 2))]).steps for k in range(8)] for name in differentiable()}
    lost = {name for name, tries in alone.items() if not any(s.op == name for steps in tries for s in steps)}
    assert not lost - {"cast"}, "no sample of these becomes a smooth program in float64"


def test_a_program_is_smooth_where_it_stands():
    """relu at 0 and max at a tie are moved away; what is computed in float32 is left out."""
    for op in ("relu", "max", "norm"):
        *_, last = assemble([np.zeros(2)], [(op, 0, (0, 0, 0))]).steps
        assert last.op == op and "x0" not in last.args


def test_an_operation_of_a_user_joins_by_its_samples():
    """Unless it computes in fewer bits, where differences mean nothing."""

    @tg.op(samples=lambda: [case(N(2))])
    def cube(xp, x):
        return x**3

    @tg.op(samples=lambda: [case(N(2))])
    def coarse(xp, x):
        return x.astype(np.float32)

    for function in (cube, coarse):
        function.vjp("x")(lambda g, x: g)
    program = assemble([np.ones(2)], [("coarse", 0, (0, 0, 0)), ("cube", 0, (0, 0, 0))])
    assert [step.op for step in program.steps] == ["cube"]
    assert 'v0 = tg.OPS["cube"].function(x0)' in str(program)


def test_a_program_returns_every_end_or_the_last():
    choices = [("exp", 0, (1, 0, 0)), ("sin", 0, (1, 0, 0))]  # exp of x0, sin of x1
    both, last = [assemble([np.array(0.5), np.array(1.5)], choices, every) for every in (True, False)]
    assert [step.op for step in both.steps] == ["exp", "sin"] and len(both.outs) == 2
    assert [step.op for step in last.steps] == ["sin"] and list(last.named) == ["x1"]
    _, _, references = find(some.choices(("stack",)), lambda choice: len(set(choice[2])) == 3)
    assert max(references) < 8


@given(some.programs())
def test_a_program_is_connected_and_tame(program):
    known, read = set(program.named), set()
    for step in program.steps:
        names = {a for a in step.args if isinstance(a, str)}
        assert names and names <= known
        read |= names
        known |= {step.outs} if isinstance(step.outs, str) else set(step.outs)
    assert set(program.named) <= read and program.outs and not set(program.outs) & read
    for y in outputs(program, *program.inputs):
        assert y.dtype == np.float64 and np.isfinite(y).all() and np.abs(y).max(initial=0) <= 4


@settings(max_examples=50)
@given(some.programs())
def test_the_text_of_a_program_runs_and_is_the_program(program):
    scope = {}
    exec(str(program), scope)
    assert str(program).endswith(f"gradcheck(f, ({', '.join(program.named)}{',' * (len(program.named) == 1)}))")
    ours, again = outputs(program, *program.inputs), flatten(scope["f"](*program.inputs))[0]
    for y, z in zip(ours, again, strict=True):
        np.testing.assert_array_equal(y, z, strict=True)


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.5, -0.0]]), np.zeros((0, 3)), np.array(True), np.zeros((0,), int), np.float32(0.5), float("inf"),
        np.array([0.5], np.float32), (1,), (), (..., None, slice(None, None, 2)), {"a": [1, "b"]},
        np.array([np.nan, 1.0]),
    ],
)  # fmt: skip
def test_constants_print_as_python(value):
    again = eval(literal(value), {"np": np, "nan": np.nan})
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(again, value, strict=True)
    else:
        assert again == value


def test_programs_of_chosen_operations():
    assert find(some.programs(ops=["tanh"]), lambda program: True).steps[-1].op == "tanh"
    with pytest.raises(ValueError, match="that have samples, got argmax; see tg.OPS"):
        find(some.programs(ops=["argmax"]), bool)


# ------------------------------------------------------------------------------------------------ what they prove


@given(some.programs())
def test_gradients_against_finite_differences(program):
    gradcheck(program, program.inputs)


@settings(max_examples=40)
@given(some.programs(max_steps=3, max_side=2))
def test_second_order_against_finite_differences(program):
    gradgradcheck(program, program.inputs)


@given(some.programs())
def test_backward_is_vjp_is_create_graph_is_checkpoint(program):
    us = cotangents(program)
    expected = gradients(program, program.inputs, us)
    leaves = [Tensor(x, requires_grad=True) for x in program.inputs]
    for y, u in zip(outputs(program, *leaves), us, strict=True):
        if y.node is not None:
            y.backward(u, retain_graph=True)
    recorded = gradients(program, [Tensor(x, requires_grad=True) for x in program.inputs], us)
    again = gradients(lambda *xs: tg.checkpoint(program, *xs), program.inputs, us)
    for x, g, h, k in zip(leaves, expected, recorded, again, strict=True):
        ours = np.zeros(x.shape) if x.grad is None else x.grad.data
        np.testing.assert_allclose(ours, g, rtol=1e-12, atol=1e-12 * np.abs(g).max(initial=1))
        np.testing.assert_allclose(h.data, g, rtol=1e-12, atol=1e-12 * np.abs(g).max(initial=1))
        np.testing.assert_array_equal(k, g)


@given(some.programs(), some.layouts(broadcast=False))
def test_layout_does_not_matter(program, name):
    us, relaid = cotangents(program), [LAYOUTS[name](x) for x in program.inputs]
    ours = gradients(program, relaid, [LAYOUTS[name](u) for u in us])
    pairs = zip(outputs(program, *relaid), outputs(program, *program.inputs), strict=True)
    for y, z in [*pairs, *zip(ours, gradients(program, program.inputs, us), strict=True)]:
        np.testing.assert_allclose(y, z, rtol=0, atol=1e-12 * np.abs(z).max(initial=1))


# ------------------------------------------------------------------------------------------------ that they shrink


@contextlib.contextmanager
def wrong(op, change):
    """The gradient of `op`, a function of one array, goes through `change(gradient, words of the rule ...)`."""
    rule = OPS[op].rules["x"]
    right = rule.function
    rule.function = lambda g, *args, **keywords: change(right(g, *args, **keywords), *args)
    OPS[op].records.clear()
    try:
        yield
    finally:
        rule.function = right
        OPS[op].records.clear()


def refuted(program):
    """Whether differences along one direction refute the gradient, coarsely: a hundred times as fast as `gradcheck`."""
    us, move = cotangents(program), [1e-5 * np.cos(2.0 + np.arange(x.size)).reshape(x.shape) for x in program.inputs]
    told = sum(float((g * d).sum()) for g, d in zip(gradients(program, program.inputs, us), move, strict=True))
    ends = [outputs(program, *[x + s * d for x, d in zip(program.inputs, move, strict=True)]) for s in (0.5, -0.5)]
    seen = sum(float((u * (y - z)).sum()) for u, y, z in zip(us, *ends, strict=True))
    return abs(told - seen) > 1e-3 * abs(seen) + 1e-11


def negated_for_positive(g, x):
    return tg.where(tg.greater(x, 0.0), -g, g)


@pytest.mark.parametrize("op, change", [("sin", negated_for_positive), ("trace", lambda g, *_: 1.01 * g)])
def test_a_wrong_rule_shrinks_to_the_smallest_expression(op, change):
    """To that operation alone, and what brings a number to the shape that it needs; the text refutes it too."""
    with wrong(op, change):
        programs = some.programs(ops=[op, *differentiable()[::5]], max_inputs=2)
        program = find(programs, refuted, settings=settings(max_examples=1000, derandomize=True))
        with pytest.raises(GradcheckError):
            exec(str(program), {})
    assert [step.op for step in program.steps if step.op not in FITTING] == [op]
    assert len(program.steps) <= (1 if op == "sin" else 4) and sum(x.size for x in program.inputs) == 1
    assert not refuted(program)


def test_the_failing_test_shows_the_program():
    @settings(report_multiple_bugs=False)
    @given(some.programs(ops=["sin"], max_steps=2))
    def property(program):
        gradcheck(program, program.inputs)

    with wrong("sin", negated_for_positive), pytest.raises(GradcheckError) as error:
        property()
    shown = "\n".join(error.value.__notes__)
    assert "    v0 = tg.sin(x0)\n    return v0" in shown and "gradcheck(f, (x0,))" in shown


def test_a_program_is_data():
    program = Program(
        {"x": np.array(2.0)}, (Step("multiply", ("x", "x"), {}, "y"), Step("exp", ("y",), {}, "z")), ("z",)
    )
    assert repr(program) == "<program multiply -> exp>"
    assert (
        program.run([2.0], lambda op, args, params: f"{op}({', '.join(map(str, args))})") == "exp(multiply(2.0, 2.0))"
    )
