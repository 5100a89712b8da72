"""@op: what a user may declare, what is checked when it is declared, and what is loud when it is missing."""

from __future__ import annotations

import inspect
import linecache

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import OPS, NotDifferentiable, Tensor, op
from tinygrad_lm.testing import GradcheckError, gradcheck, gradgradcheck

RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))


def leaf(a):
    return Tensor(np.array(a), requires_grad=True)


def test_an_operation_of_ones_own_to_every_order():
    @op
    def cube(xp, x):
        """x^3."""
        return x**3

    @cube.vjp("x")
    def _(g, x):
        return 3.0 * g * x * x

    assert OPS["cube"] is cube.op and cube.__doc__ == "x^3."
    assert type(cube(X)) is np.ndarray
    third = tg.grad(tg.grad(tg.grad(cube)))
    np.testing.assert_allclose(third(np.array(2.0)), 6.0)
    assert gradcheck(cube, X) and gradgradcheck(cube, X)
    assert cube(leaf(X)).node.op is cube.op


def test_a_wrong_rule_is_found():
    @op
    def cube(xp, x):
        return x**3

    cube.vjp("x")(lambda g, x: 2.0 * g * x * x)
    with pytest.raises(GradcheckError, match=r"input 0 at index \(0, 0\): analytic"):
        gradcheck(cube, X)


def test_auxiliary_results_keywords_shapes_needs_and_a_joint_rule():
    asked = []

    @op(aux="total")
    def portion(xp, a, b, *, power=2):
        total = xp.sum(b**power)
        return a / total, total

    @portion.vjp("a", "b")
    def _(g, a, b, total, b_shape, needs, *, power):
        asked.append((needs, np.ndim(total if not isinstance(total, Tensor) else total.data), b_shape))
        da = g / total if needs[0] else None
        db = -power * b ** (power - 1) * ((g * a).sum() / (total * total)) if needs[1] else None
        return da, db

    def whole(a, b):
        return portion(a, b, power=3)

    assert gradcheck(whole, [X, np.abs(Y) + 1])
    portion(leaf(X), Y + 5).sum().backward()
    portion(X, leaf(Y + 5)).sum().backward()
    assert asked[0][0] == (True, True) and asked[-2:] == [((True, False), 0, (2, 3)), ((False, True), 0, (2, 3))]
    out, total = portion.with_aux(leaf(X), Y)
    assert out.requires_grad and type(total) is np.float64 and total == (Y**2).sum()
    out, total = portion.with_aux(X, Y, power=4)
    assert type(out) is np.ndarray and total == (Y**4).sum()
    assert set(portion(leaf(X), Y + 5).node.kept()) == {"a", "b", "total", "b_shape", "power"}


def test_a_second_derivative_through_an_auxiliary_result_is_an_error_not_a_wrong_number():
    @op(aux="s")
    def weighed(xp, x):
        s = xp.sin(x)
        return x * s, s

    weighed.vjp("x")(lambda g, x, s: g * (s + x * tg.cos(x)))
    value, slope = tg.jvp(weighed, (X,), (Y,))
    np.testing.assert_allclose(value, X * np.sin(X))
    np.testing.assert_allclose(slope, Y * (np.sin(X) + X * np.cos(X)))  # backward twice, but nothing passes through s
    with pytest.raises(NotDifferentiable, match="weighed has no second derivative: its rule uses the auxiliary"):
        tg.hvp(lambda x: weighed(x).sum(), X, Y)
    assert "second derivative: there is none, which is said" in str(gradcheck(weighed, X))


def test_an_auxiliary_result_that_does_not_depend_on_the_inputs_is_declared_constant():
    @op(aux="mask rest")
    def thinned(xp, x):
        mask = xp.asarray(xp.arange(x.shape[-1]) % 2, x.dtype)
        return x * x * mask, mask, mask

    thinned.vjp("x")(lambda g, x, mask, rest: g * 2.0 * x * mask * rest)
    thinned.constant("mask", "rest")
    assert gradcheck(thinned, X)
    np.testing.assert_array_equal(tg.hvp(lambda x: thinned(x).sum(), X, Y), 2 * Y * (np.arange(3) % 2))
    with pytest.raises(TypeError, match="thinned has no input msk, y; there are: x, mask, rest"):
        thinned.constant("y", "msk", "x")


def test_two_auxiliary_results_of_one_call_meet_in_one_walk():
    """Both stand just after the call: neither is older, and the walk takes either first."""

    @op(aux="s c")
    def turned(xp, x):
        return xp.sin(x) * xp.cos(x), xp.sin(x), xp.cos(x)

    turned.vjp("x")(lambda g, s, c: g * (c * c - s * s))
    with pytest.raises(NotDifferentiable, match="auxiliary result '[sc]'"):
        tg.hvp(lambda x: turned(x).sum(), X, Y)


def test_a_keyword_without_default_after_an_optional_input_is_given_by_name():
    @op
    def shifted(xp, x, offset=None, *, times):
        return x * times if offset is None else x * times + offset

    shifted.vjp("x")(lambda g, times: g * times)
    shifted.vjp("offset")(lambda g: g)
    assert str(inspect.signature(shifted)) == "(x, offset=None, *, times)"
    assert gradcheck(lambda x, y: shifted(x, y, times=3.0) * shifted(x, times=2.0), [X, Y])
    with pytest.raises(TypeError, match=r"shifted\(\) takes from 1 to 2 positional"):
        shifted(X, Y, 3.0)


def test_a_cache_is_constant_and_composed_gives_the_total_derivative():

    @op(aux="size")
    def unit(xp, x):
        size = xp.sqrt(xp.sum(x * x))
        return x / size, size

    @op
    def unit_grad(xp, dy, x, size):
        y = x / size
        return (dy - y * (dy * y).sum()) / size

    unit.vjp("x")(lambda g, x, size: unit_grad(g, x, size))
    unit_grad.constant("size")

    @unit_grad.composed
    def _(dy, x):
        size = (x * x).sum() ** 0.5
        y = x / size
        return (dy - y * (dy * y).sum()) / size

    assert gradcheck(unit, X) and gradgradcheck(unit, X)


def test_several_inputs_and_outputs():
    @op
    def polar(xp, x, y):
        return xp.sqrt(x * x + y * y), xp.arctan2(y, x), xp.sign(x).astype(int)

    @polar.vjp("x", "y")
    def _(g, x, y, out):
        gr, ga, _ = g
        r = out[0]
        return gr * x / r - ga * y / (r * r), gr * y / r + ga * x / (r * r)

    assert gradcheck(polar, [X, Y]) and gradgradcheck(polar, [X, Y])
    r, angle, sign = polar(leaf(X), leaf(Y))
    assert r.requires_grad and angle.requires_grad and not sign.requires_grad

    def both(x):  # an output and gradients that were made of it, in one loss
        r, angle, _ = polar(x, Y)
        return r * tg.grad(lambda x: (polar(x, Y)[0] ** 2 * angle).sum(), create_graph=True)(x) + r

    assert gradcheck(both, X) and gradgradcheck(both, X)
    x, y = leaf(X), leaf(Y)
    r, angle, _ = polar(x, y)
    (r * angle).sum().backward(create_graph=True)
    gx, x.grad, y.grad = x.grad, None, None
    (gx * gx + r * angle).sum().backward()  # r and angle get gradients from here, and again through gx
    once = tg.grad(lambda x: (lambda r, a: (r * a).sum())(*polar(x, Y)[:2]))
    expected = tg.grad(lambda x: (once(x) ** 2).sum() + (polar(x, Y)[0] * polar(x, Y)[1]).sum())(X)
    np.testing.assert_allclose(x.grad.data, expected)
    x = leaf(X)
    polar(x, Y)[1].sum().backward()
    np.testing.assert_allclose(x.grad.data, -Y / (X * X + Y * Y))


def test_optional_inputs():
    @op
    def affine(xp, x, scale, shift=None):
        return x * scale if shift is None else x * scale + shift

    affine.vjp("x")(lambda g, scale: g * scale)
    affine.vjp("scale")(lambda g, x: g * x)
    affine.vjp("shift")(lambda g: g)
    assert gradcheck(affine, [X, Y]) and gradcheck(affine, [X, Y[0], Y[:, :1]])
    assert gradcheck(lambda x, s, b: affine(x, s, shift=b), [X, Y, Y])


def test_an_undeclared_derivative_is_loud_when_a_gradient_reaches_it():
    @op
    def floored(xp, x, y):
        return xp.floor(x) + y

    floored.vjp("y")(lambda g: g)
    x, y = leaf(X), leaf(Y)
    floored(X, y).sum().backward()
    z = floored(x, y)
    with pytest.raises(
        NotDifferentiable, match="floored has no derivative with respect to x: write one with @floored.vjp"
    ):
        z.sum().backward()
    assert isinstance(NotDifferentiable("x"), TypeError)
    floored.constant("x")  # declared afterwards: it counts from the next call on
    assert not floored(x, Y).requires_grad
    floored(x, y).sum().backward()
    assert x.grad is None
    np.testing.assert_array_equal(y.grad.data, np.full((2, 3), 2.0))


def test_a_rule_declared_later_replaces_what_was_planned():
    @op
    def twice(xp, x):
        return x * 2

    x = leaf(X)
    twice.vjp("x")(lambda g: g)
    twice(x).sum().backward()
    twice.vjp("x")(lambda g: 2.0 * g)
    x.grad = None
    twice(x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 2.0))


@pytest.mark.parametrize("word", ["g", "out", "needs"])
def test_words_of_the_rules_are_reserved(word):
    scope = {}
    exec(f"def clash(xp, {word}): return {word}\ndef keyword(xp, x, *, {word}=1): return x", scope)
    for forward in (scope["clash"], scope["keyword"]):
        with pytest.raises(TypeError, match=f"{word} is a word of the rules, call it otherwise"):
            op(forward)
    with pytest.raises(TypeError, match="is a word of the rules"):
        op(aux=word, name="clash")(lambda xp, x: (x, x))


def test_unknown_words_are_refused_and_the_known_ones_listed():
    @op(aux="mean")
    def normed(xp, x, *, axis=-1):
        return x, x

    for rule in (lambda g, y: g, lambda g, x, mean_shape: g, lambda x, g: g, lambda g, size: g):
        with pytest.raises(TypeError, match="g comes first, and there are: axis, mean, needs, out, x, x_shape"):
            normed.vjp("x")(rule)
    with pytest.raises(TypeError, match=r"rule of normed for \(y\)"):
        normed.vjp("y")(lambda g: g)
    with pytest.raises(TypeError, match="rule of normed"):
        normed.vjp()(lambda g: g)


def test_a_variadic_operation_has_no_other_inputs():
    with pytest.raises(TypeError, match=r"\*xs must be the only array input"):

        @op
        def both(xp, a, *xs):
            return a


def test_a_variadic_operation_with_needs():
    @op
    def total(xp, *xs, scale=1.0):
        return sum(xs) * scale

    @total.vjp("xs")
    def _(g, needs, *, scale):
        return [g * scale if n else None for n in needs]

    a, b = leaf(X), leaf(Y)
    total([a, 2.0, Y, b], scale=3.0).sum().backward()
    np.testing.assert_array_equal(a.grad.data, np.full((2, 3), 3.0))
    np.testing.assert_array_equal(b.grad.data, np.full((2, 3), 3.0))


def test_the_public_function_is_a_real_one():
    signature = inspect.signature(tg.layer_norm)
    assert list(signature.parameters) == ["x", "weight", "bias", "eps"]
    assert signature.parameters["eps"].default == 1e-5
    assert tg.layer_norm.__name__ == "layer_norm" and tg.layer_norm.__module__ == "tinygrad_lm.ops.normalization"
    assert repr(tg.layer_norm.op) == "<op layer_norm(x, weight, bias, eps)>"
    tg.layer_norm(X)
    assert "def layer_norm(x, weight=None, bias=None, eps=eps_default)" in tg.layer_norm.op.text
    np.testing.assert_array_equal(tg.layer_norm(x=X, eps=0.1), tg.layer_norm(X, None, None, 0.1))
    plan = tg.exp(leaf(X)).node.plan
    assert "def pull(g, saved)" in plan.text and "def record(" in plan.text
    for wrong in (lambda: tg.exp(), lambda: tg.exp(X, X), lambda: tg.sum(X, axes=1)):
        with pytest.raises(TypeError, match="argument"):
            wrong()


def test_rules_run_only_for_the_inputs_that_need_them():
    base = leaf([-2.0])
    with np.errstate(all="raise"):
        (base**3.0).sum().backward()
        tg.pow(base, np.array([3.0])).sum().backward()  # the logarithm of -2 would raise
    np.testing.assert_array_equal(base.grad.data, [24.0])


@pytest.mark.parametrize("word", ["pattern", "plan", "seen", "node", "compute", "type"])
def test_names_of_the_written_out_code_are_refused(word):
    scope = {}
    exec(f"def keyword(xp, x, *, {word}=3.0): return x * {word}", scope)
    with pytest.raises(TypeError, match=f"{word} is a name of the written-out code"):
        op(scope["keyword"])


def test_an_operation_needs_a_name_of_its_own():
    with pytest.raises(TypeError, match="not '<lambda>': write it with def, or name="):
        op(lambda xp, x: x * 2)
    with pytest.raises(TypeError, match="there is an operation softmax already"):
        op(name="softmax")(lambda xp, x, *, axis=-1: x * 2)  # the native softmax would have run in its place
    assert tg.OPS["softmax"] is tg.softmax.op
    assert op(name="twice")(lambda xp, x: x * 2)(3.0) == 6.0


# ------------------------------------------------------------------------------------------------ declared later


def test_declarations_return_what_they_were_given():
    @op
    def plus(xp, x):
        return x + 1.0

    def rule(g):
        return g

    def push(t):
        return t

    def plain(x):
        return x + 1.0

    assert plus.vjp("x")(rule) is rule and plus.jvp("x")(push) is push and plus.composed(plain) is plain
    assert plus.op.pushes["x"].function is push and plus.op.plain is plain


def test_a_call_remembers_what_computes_and_every_declaration_makes_it_ask_again():
    @op
    def plus(xp, x, y):
        return x + y

    x, y = np.ones(2, np.float32), np.ones(2, np.int64)
    plus.vjp("x", "y")(lambda g: (g, g))
    assert plus(x, y).dtype == np.float32  # both are promoted
    assert list(plus.op.resolved) == [(np.ndarray, np.ndarray)]
    plus.op.resolved[np.ndarray, np.ndarray] = np, lambda xp, x, y: "remembered"
    assert plus(x, y) == "remembered"
    plus.constant("y")
    assert plus(x, y).dtype == np.float64  # y is no longer promoted to x, and NumPy decides
    plus.vjp("y")(lambda g: g)
    assert plus(x, y).dtype == np.float32

    @op
    def one(xp, x):
        return x

    one(x)
    assert list(one.op.resolved) == [np.ndarray]
    one.op.resolved[np.ndarray] = np, lambda xp, x: "remembered"
    assert one(x) == "remembered"


def test_a_kernel_that_is_swapped_in_serves_an_operation_that_was_called_before():
    @op
    def plus(xp, x):
        return x + 1.0

    assert plus(X[0, 0]) == X[0, 0] + 1.0
    with tg.use_kernels({"plus": lambda xp, x: x + 2.0}):
        assert plus(np.array(1.0)) == 3.0
    assert plus(np.array(1.0)) == 2.0


def test_the_signature_that_help_shows():
    @op
    def scaled(xp, x, *, by, plus=0.0):
        return x * by + plus

    assert str(inspect.signature(scaled)) == "(x, by, plus=0.0)" and str(inspect.signature(tg.sum))[:9] == "(x, axis="
    np.testing.assert_array_equal(scaled(X, 3.0), 3.0 * X)
    np.testing.assert_array_equal(scaled(X, 3.0, 1.0), 3.0 * X + 1.0)
    written = linecache.getlines("<op scaled>")
    assert "".join(written) == scaled.op.text and len(written) > 5


def test_a_rule_may_ask_for_everything():
    asked = []

    @op(aux="s")
    def scaled(xp, x, *, by=2.0):
        return x * by, xp.ones(3)

    @scaled.vjp("x")
    def _(g, x, x_shape, out, s, by, needs):
        asked.append((x.shape, x_shape, out.shape, s.shape, by, needs))
        return g * by

    scaled(leaf(X)).sum().backward()
    assert asked == [((2, 3), (2, 3), (2, 3), (3,), 2.0, (True,))]


def test_the_shape_of_a_number():
    @op
    def plus(xp, x, y):
        return x + y

    @plus.vjp("x")
    def _(g, y_shape, x_shape):
        assert y_shape == () and x_shape == (2, 3)
        return g

    x = leaf(X)
    plus(x, 2.0).sum().backward()
    assert x.grad.shape == (2, 3)


def test_with_aux_records_the_inputs_that_are_tracked():
    @op(aux="total")
    def shared(xp, a, b):
        return a * b, xp.sum(b)

    shared.vjp("a")(lambda g, b: g * b)
    shared.vjp("b")(lambda g, a: g * a)
    for tracked, other in (((leaf(X), Y), Y), ((X, leaf(Y)), X)):
        out, total = shared.with_aux(*tracked)
        out.sum().backward()
        assert total == Y.sum()
        which = next(t for t in tracked if isinstance(t, Tensor))
        np.testing.assert_array_equal(which.grad.data, other)


# ------------------------------------------------------------------------------------------------ forward mode


def test_forward_mode_rules_are_given_what_they_ask_for():
    asked = []

    @op(aux="s")
    def weighed(xp, a, b, c=None, *, by=2.0):
        return a * b * by, xp.sum(a)

    @weighed.jvp("a", "b")
    def _(t, a, b, s, b_shape, needs, *, by):
        asked.append((s, b_shape, needs, by))
        return (t[0] * b + a * t[1]) * by

    u, v = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    out, pushed = weighed.op.push([X, Y], [u, v], by=3.0)
    np.testing.assert_allclose(out, 3.0 * X * Y)
    np.testing.assert_allclose(pushed, 3.0 * (u * Y + X * v))
    np.testing.assert_allclose(weighed.op.push([X, Y], [None, v])[1], 2.0 * X * v)
    np.testing.assert_allclose(weighed.op.push([X, Y], [u])[1], 2.0 * u * Y)
    assert asked == [
        (X.sum(), (2, 3), (True, True), 3.0),
        (X.sum(), (2, 3), (False, True), 2.0),
        (X.sum(), (2, 3), (True, False), 2.0),
    ]
    with pytest.raises(NotDifferentiable, match="weighed has no forward-mode rule for c: write @weighed.jvp"):
        weighed.op.push([X, Y, X], [None, None, u])
    weighed.constant("c")
    assert not weighed.op.push([X, Y, X], [None, None, u])[1].any()  # a constant does not move the result


def test_forward_mode_of_a_list_of_inputs():
    asked = []

    @op
    def total(xp, *xs):
        return sum(xs)

    @total.jvp("xs")
    def _(t, xs, xs_shape, needs):
        asked.append((len(xs), xs_shape, needs))
        return sum(t)

    out, pushed = total.op.push([X, Y, X], [X, None, Y])
    np.testing.assert_allclose(out, 2 * X + Y)
    np.testing.assert_allclose(pushed, X + Y)
    assert asked == [(3, ((2, 3),) * 3, (True, False, True))]


# ------------------------------------------------------------------------------------------------ small floats


def test_a_kernel_answers_for_small_floats_or_leaves_them_to_the_body():
    @op
    def plus(xp, x, y):
        return x + y

    plus.vjp("x", "y")(lambda g: (g, g))
    half, single = np.ones(2, np.float16), np.ones(2, np.int32)
    with tg.use_kernels({"plus": lambda xp, x, y: x * 10}):
        assert plus(half, single).dtype == np.float16 and plus(half, half)[0] == 10
    with tg.use_kernels({"plus": lambda xp, x, y: NotImplemented}):
        assert plus(half, half)[0] == 2 and plus(half, half).dtype == np.float16


@pytest.mark.parametrize("arithmetic", [True, False])
def test_a_body_sees_small_floats_in_float32_unless_it_does_no_arithmetic(arithmetic):
    seen = []

    @op(arithmetic=arithmetic)
    def same(xp, x):
        seen.append(x.dtype.name)
        return x

    assert same(np.ones(2, np.float16)).dtype == np.float16
    assert same(np.ones(2, np.float32)).dtype == np.float32
    assert seen == ["float32" if arithmetic else "float16", "float32"]


def test_a_composed_derivative_of_small_floats_rounds_once():
    @op
    def long_way(xp, x):
        return x * 1.0

    @long_way.composed
    def _(x):
        seen.append(x.dtype.name)
        return x * 1.0

    seen = []
    x = Tensor(np.ones(2, np.float16), requires_grad=True)
    long_way(x).sum().backward()
    assert x.grad.dtype == np.float16 and seen == ["float32"]


def test_integers_do_not_widen_where_nothing_is_computed_either():
    @op(arithmetic=False)
    def joined(xp, x, y):
        return xp.concatenate([x, y])

    joined.vjp("x")(lambda g, x_shape: g[: x_shape[0]])
    joined.vjp("y")(lambda g, x_shape: g[x_shape[0] :])
    single, whole, half = np.ones(2, np.float32), np.ones(1, np.int64), np.ones(2, np.float16)
    assert joined(single, whole).dtype == np.float32 and joined(half, whole).dtype == np.float16


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_a_tensor_is_no_setting():
    """A gradient would be lost in silence."""

    @op
    def scaled(xp, x, *, by):
        return x * by

    scaled.vjp("x")(lambda g, by: g * by)
    with pytest.raises(
        TypeError, match=r"^scaled\(x: .*, by=float64 \(\)\): by is a setting and passes no gradient"
    ) as e:
        tg.grad(lambda x: scaled(x, by=x))(np.array(0.7))
    assert "\n" not in str(e.value)
    for call in (lambda t: tg.softplus(X, beta=t), lambda t: tg.layer_norm(leaf(X), eps=t)):
        with pytest.raises(TypeError, match="is a setting and passes no gradient, but got a Tensor: give a number"):
            call(Tensor(2.0))


def test_a_forward_returns_what_it_declared():
    @op(aux="s")
    def forgetful(xp, x):
        return xp.sin(x)

    @op(aux="s")
    def generous(xp, x):
        return x, x, x

    for x in (np.ones(1), np.ones(2), np.ones(3)):
        with pytest.raises(TypeError, match="the forward must return its output, then s; it returned ndarray"):
            forgetful(x)
        with pytest.raises(TypeError, match="the forward must return its output, then s; it returned 3 results"):
            generous(x)


def test_what_is_no_operation_is_not_declared():
    with pytest.raises(TypeError, match=r"an operation is written as a function \(xp, x, ...\), got <ufunc 'sin'>"):
        op(np.sin)
    with pytest.raises(TypeError, match="typo: no fact is called analitic; there are: analytic, arithmetic, cost"):

        @op(analitic=True)
        def typo(xp, x):
            return x


def test_auxiliary_results_that_are_no_arrays_are_constants_and_complex_ones_are_hidden():
    @op(aux="s scale note")
    def noted(xp, x):
        return 2.0 * xp.sin(x), xp.sum(x), 2.0, {"any": "thing"}

    noted.vjp("x")(lambda g, x, scale, note: g * tg.cos(x) * scale)
    assert gradcheck(noted, X)

    @op(aux="s")
    def turned(xp, x):
        return xp.sin(x), xp.exp(1j * x)

    seen = []
    turned.vjp("x")(lambda g, s: seen.append(isinstance(s, Tensor)) or g * tg.core.raw(s).real)
    tg.hvp(lambda x: turned(x).sum(), X, Y)
    assert seen == [True]  # what is made of it by operations has a history that ends in an error


def test_a_gradient_of_the_wrong_shape_names_its_operation():
    @op
    def tilted(xp, x):
        return x * 1.0

    tilted.vjp("x")(lambda g: g.T)
    with pytest.raises(
        ValueError, match=r"derivative of <node of tilted.*> returned a gradient of shape \(3, 2\) for an"
    ):
        tg.grad(lambda x: tilted(x).sum())(X)
