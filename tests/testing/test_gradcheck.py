"""The checker itself: it must refuse what is wrong, say where and why, and let pass what is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.backend import load_table
from tinygrad_lm.testing import GradcheckError, check_jvp, check_vjp, gradcheck, gradgradcheck
from tinygrad_lm.testing.mutants import active

X = np.random.default_rng(9).normal(size=(2, 3))
Y = np.random.default_rng(10).normal(size=(3, 4))


def squared(slope, name="squared_by_a_test"):
    """An operation x^2 whose rule multiplies with `slope(x)`."""

    @tg.op(name=name)
    def square(xp, x):
        return x * x

    square.vjp("x")(lambda g, x: g * slope(x))
    return square


def refused(check, *args, **options):
    with pytest.raises(GradcheckError) as caught:
        check(*args, **options)
    assert "\n" not in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------ what is right


def test_what_is_right_passes():
    assert gradcheck(tg.sin, X) and gradcheck(tg.sin, [X]) and gradcheck(tg.sin, Tensor(X, requires_grad=True))
    assert gradcheck(lambda x, n, ids: x[ids] * n, (X, 3, np.array([0, 0])))
    assert gradcheck(lambda x: {"a": [x * x, tg.argmax(x)], "b": (tg.exp(x),)}, X)
    assert gradcheck(lambda x: x * 2, np.ones((0, 3)))
    assert gradcheck(lambda x: x * 2, np.array(3.0)) and gradcheck(lambda x: 3.0 + 0 * x, X)
    assert gradgradcheck(tg.tanh, X) and gradgradcheck(lambda x, n: x**n, [X, 3])


def test_inputs_are_not_touched():
    before = X.copy()
    gradcheck(tg.sin, X)
    frozen = X.copy()
    frozen.flags.writeable = False
    gradcheck(tg.sin, frozen)
    np.testing.assert_array_equal(X, before)
    assert X.flags.writeable


def test_only_what_requires_a_gradient_is_checked_where_something_does():
    detached = squared(lambda x: 0.0 * x)
    held, free = Tensor(X), Tensor(X + 1, requires_grad=True)
    assert gradcheck(lambda a, b: detached(a) * b, [held, free]).entries == 6
    assert refused(gradcheck, lambda a, b: detached(a) * b, [X, X + 1]).input == 0


FUNCTIONS = {
    "sin": tg.sin,
    "square": lambda x: x * x,
    "cube": lambda x: x**3,
    "ratio": lambda x: x / (1.0 + x * x),
    "log": lambda x: tg.log(x * x + 1e-300),
    "sqrt": lambda x: tg.sqrt(tg.abs(x)),
    "softmax": tg.softmax,
    "total": lambda x: tg.softmax(x).sum(),  # its gradient is zero up to rounding
    "beside": lambda x: tg.tanh(x) + 7.0,
    "far": lambda x: tg.cos(x + 1e6),
    "abs": tg.abs,
    "relu": tg.relu,
    "clip": lambda x: tg.clip(x, -1.0, 1.0),
    "largest": lambda x: tg.max(x, axis=-1),
    "norm": lambda x: (x * x).sum() ** 0.5,
    "product": lambda x: x * x.sum(),
}


@given(
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(st.sampled_from([1.0, -1.0, 0.3, 2.5, -1e-8, 1e-8, 1e-4, 1e8, -1e8, 1e-7, 17.0]), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_no_false_alarm_at_any_scale_nor_near_kinks(name, values, seed):
    """Values of 1e-8 and 1e8 side by side, ties, and points a hair from a kink."""
    assert gradcheck(FUNCTIONS[name], np.array(values), seed=seed)


def test_no_false_alarm_where_values_lie_on_a_grid():
    assert gradcheck(lambda x: (x + 1e8) - 1e8, X)
    assert gradcheck(lambda x: tg.tanh(x.astype("float32")).astype("float64"), X)
    assert gradcheck(lambda x: tg.sin(x * 1e5), X)
    assert gradcheck(lambda x: 1.0 - tg.cos(x * 1e-4), X)


def test_a_rule_may_round_as_its_own_conditioning_makes_it():
    def cancelling(g, x):
        return g * ((x + 1e7) ** 2 - (x - 1e7) ** 2) / 2e7

    assert np.abs(cancelling(1.0, X) - 2 * X).max() > 1e-10  # far beyond the rounding of x^2
    assert check_vjp(np.square, cancelling, X)
    refused(check_vjp, np.square, lambda g, x: cancelling(g, x) * (1 + 1e-5), X)


# ------------------------------------------------------------------------------------------------ what is wrong

SLOPES = {
    "wrong sign": lambda x: -2 * x,
    "a factor of 1.0005": lambda x: 2.001 * x,
    "a factor of 2": lambda x: 4 * x,
    "a factor of 1/2": lambda x: x,
    "the length of axis 1": lambda x: 6 * x,
    "all 6 entries are wrong": lambda x: 2 * x + 1e-5,
    "off by a constant": lambda x: 2 * x + 1.0,
    "gives nan or inf": lambda x: x * np.nan,
    "the whole gradient is zero": lambda x: 0.0 * x,
    "reversed along axis 1": lambda x: 2 * x[:, ::-1],
}


@pytest.mark.parametrize("cause", SLOPES)
def test_a_wrong_slope_is_refused_and_named(cause):
    error = refused(gradcheck, lambda x: squared(SLOPES[cause])(x).sum(), X)  # summed: the cotangent is one number
    assert cause in error.cause and cause in str(error)
    assert error.check == "gradcheck" and error.input == 0 and error.index == (0, 0)
    u = error.numeric / (2 * X[0, 0])
    assert error.analytic == pytest.approx(u * SLOPES[cause](X)[0, 0], nan_ok=True) and error.allowed < 1e-10


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        (lambda g, x, w: (g, x.T @ g), "wrong shape"),
        (lambda g, x, w: (w @ g.T, x.T @ g), "transposed"),
        (lambda g, x, w: (g @ w.T, (x.T @ g) * 1.01), "a factor of 1.01"),
        (lambda g, x, w: (-(g @ w.T), x.T @ g), "wrong sign"),
        (lambda g, x, w: (g @ w.T, 0 * w), "the whole gradient is zero"),
        (lambda g, x, w: (g @ w.T, (x.T @ g)[::-1]), "reversed along axis 0"),
        (lambda g, x, w: (g @ w.T, np.sort(x.T @ g, axis=0)), ""),
        (lambda g, x, w: (g @ w.T, (x.T @ g).astype("f4")), "cast it"),
        (lambda g, x, w: (g @ w.T, None), "the whole gradient is zero"),
    ],
)
def test_wrong_rules_of_plain_numpy(rule, cause):
    right = lambda g, x, w: (g @ w.T, x.T @ g)  # noqa: E731
    verdict = check_vjp(np.matmul, right, (X, Y))
    assert verdict.library == "numpy" and verdict.power == 1.0
    assert cause in refused(check_vjp, np.matmul, rule, (X, Y)).cause


def test_a_square_gradient_that_is_transposed():
    w = np.random.default_rng(1).normal(size=(3, 3))
    error = refused(check_vjp, lambda x, w: x @ w, lambda g, x, w: (g @ w.T, (x.T @ g).T), (X, w))
    assert "transposed" in error.cause and error.input == 1


def test_one_inputs_gradient_given_to_another():
    error = refused(check_vjp, np.multiply, lambda g, a, b: (g * a, g * a), (X, X + 1.0))
    assert "this is the gradient of input 1" in error.cause and error.input == 0


def test_a_missing_unbroadcast():
    assert check_vjp(np.add, lambda g, a, b: (g, g.sum(0)), (X, X[0]))
    error = refused(check_vjp, np.add, lambda g, a, b: (g, g), (X, X[0]))
    assert "missing un-broadcast" in error.cause and error.input == 1 and "(2, 3)" in str(error)


def test_one_wrong_entry_is_named_among_right_ones():
    off = np.zeros((2, 3))
    off[1, 2] = 1.0
    error = refused(gradcheck, lambda n, y, x: squared(lambda x: 2 * x + off)(x) * y, [2, X, X])
    assert str(error).startswith("gradcheck: input 2 at index (1, 2): analytic ") and "numeric" in str(error)
    assert (error.input, error.index) == (2, (1, 2)) and "1 of 6 entries wrong" in error.cause
    with pytest.raises(GradcheckError, match=r"gradcheck: input 0: analytic \S+, numeric"):
        gradcheck(squared(lambda x: x), np.array(1.0))  # 0-d: there is no index to name


@pytest.mark.parametrize("entry", [0, 1, 5])
@pytest.mark.parametrize("factor", [1.01, 1 + 1e-6, 0.0])
def test_an_error_in_one_entry_of_any_size(entry, factor):
    scale = np.ones(6)
    scale[entry] = factor
    error = refused(gradcheck, squared(lambda x: 2 * x * scale.reshape(2, 3)), X)
    assert error.index == tuple(np.unravel_index(entry, (2, 3)))


def test_a_second_derivative_that_is_wrong_though_the_first_is_right():
    def detached(x):
        return Tensor(x.data) if isinstance(x, Tensor) else x

    once = squared(lambda x: 2.0 * detached(x))
    assert gradcheck(once, X, second_order=False)
    assert "second derivative is silently wrong" in refused(gradcheck, once, X).cause
    with pytest.raises(GradcheckError, match=r"gradgradcheck: input 0 at index \(0, 0\)"):
        gradgradcheck(once, X)

    @tg.op
    def loud(xp, x):
        return x * x

    @tg.op
    def loud_slope(xp, dy, x):
        return 2.0 * dy * x

    loud.vjp("x")(lambda g, x: loud_slope(g, x))
    assert "loud_slope has no derivative" in gradcheck(loud, X).oracles["second derivative"]


def test_the_seed_chooses_the_cotangents():
    seen = []
    with tg.watch(lambda node, g, grads: seen.append(g)):
        for seed in (1, 1, 2):
            gradcheck(lambda x: x * 1.0, X, seed=seed, second_order=False)
    first, second, third = seen[0], seen[len(seen) // 3], seen[-1]
    np.testing.assert_array_equal(first, second)
    assert (first != third).all() and (np.abs(first - 1) > 1e-9).all()


# ------------------------------------------------------------------------------------------------ manners of a rule


def in_place(g):
    g *= 2.0
    return g / 2.0


def test_a_rule_that_writes_into_what_it_is_given():
    @tg.op
    def doubled(xp, x):
        return x * 2.0

    doubled.vjp("x")(lambda g: in_place(g))
    error = refused(gradcheck, lambda x: doubled(x) * 1.0, X)  # what comes in is no longer the caller's array
    assert error.cause == "writes in place" and "doubled" in str(error)

    @tg.op
    def kept(xp, x):
        return x * x

    @kept.vjp("x")
    def _(g, x):
        if not isinstance(x, Tensor):
            x *= 1.0
        return 2.0 * g * x

    assert refused(gradcheck, kept, X).cause == "writes in place"
    assert refused(check_vjp, np.sin, lambda g, x: in_place(g) * np.cos(x), X).cause == "writes in place"
    assert refused(check_vjp, np.sin, lambda g, x: g * np.cos(in_place(x)), X).cause == "writes in place"


def test_gradients_that_share_memory():
    notes = check_vjp(np.add, lambda g, a, b: (g, g), (X, X)).notes
    assert any("input 0 shares memory with the gradient of input 1" in note for note in notes)
    assert not check_vjp(np.add, lambda g, a, b: (g.copy(), g.copy()), (X, X)).notes
    assert gradcheck(tg.add, (X, X)) and not gradcheck(tg.add, (X, X)).notes  # the walk copies


def test_what_is_not_deterministic():
    rng = np.random.default_rng(0)
    assert "two calls with the same inputs differ" in str(refused(gradcheck, lambda x: x * rng.normal(), X))
    error = refused(check_vjp, np.sin, lambda g, x: g * np.cos(x) * rng.normal(), X)
    assert "two runs on the same inputs differ" in str(error)


def test_nothing_to_check():
    with pytest.raises(ValueError, match="no input is a floating array or Tensor, got int64, float"):
        gradcheck(lambda a, b: a, [np.arange(3), 2.0])
    with pytest.raises(ValueError, match="nothing to check: the function returned no floating array.*int64"):
        gradcheck(tg.argmax, np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="returned no floating array or Tensor, but NoneType"):
        gradcheck(lambda x: None, X)
    with pytest.raises(ValueError, match="expected 'subdifferential', 'error' or 'avoid'"):
        gradcheck(tg.sin, X, kinks="ignore")
    with pytest.raises(ValueError, match="the rule returned 3 gradients for 1 inputs"):
        check_vjp(np.sin, lambda g, x: (g, g, g), X)


def test_a_rule_of_the_wrong_shape_is_named():
    @tg.op
    def turned(xp, x):
        return x * 2.0

    turned.vjp("x")(lambda g: tg.permute(g, (1, 0)) * 2.0)
    error = refused(gradcheck, lambda x: turned(x) * 1.0, X)
    assert error.cause == "transposed" and "the derivative of turned has the shape (3, 2)" in str(error)


def test_where_results_are_not_finite():
    for f in (tg.log, lambda x: x * np.nan):
        with pytest.raises(ValueError, match="nothing to check: no result is finite here"):
            gradcheck(f, -np.ones(3))
    verdict = gradcheck(tg.log, np.array([0.0, 1.0]))  # the first entry reaches only what is left out
    assert verdict.entries == 1 and verdict.notes == ["1 results are not finite and left out"]
    assert verdict.oracles["complex step"] == "agrees along a random direction"
    error = refused(gradcheck, squared(lambda x: x * np.nan), X)  # nan beside nothing infinite is the rule's own
    assert error.input == 0 and "gives nan or inf" in error.cause


def test_directions_are_at_least_one():
    with pytest.raises(ValueError, match="directions=0: expected a whole number of at least 1"):
        gradcheck(tg.sin, X, exact=False, directions=0)


def test_a_torch_function_wants_torch_tensors():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="a function of torch tensors: pass its inputs as such"):
        gradcheck(torch.sin, X)


# ------------------------------------------------------------------------------------------------ forward mode


def test_forward_mode_rules():
    assert check_jvp(np.sin, lambda t, x: t * np.cos(x), X)
    assert check_jvp(np.multiply, lambda t, a, b: t[0] * b + a * t[1], (X, X[0]))
    error = refused(check_jvp, np.multiply, lambda t, a, b: t[0] * b - a * t[1], (X, X[0]))
    assert error.input == 1 and "wrong sign" in error.cause
    assert refused(check_jvp, np.sin, lambda t, x: t[:1] * np.cos(x[:1]), X).cause == "wrong shape"
    many = np.random.default_rng(0).normal(size=2000)
    assert not check_jvp(np.sin, lambda t, x: t * np.cos(x), many).exact
    bad = lambda t, x: t * np.cos(x) * np.where(np.arange(2000) == 77, 1.01, 1.0)  # noqa: E731
    assert refused(check_jvp, np.sin, bad, many).index == (77,)


# ------------------------------------------------------------------------------------------------ power


def test_many_entries_are_checked_along_directions_and_a_failing_one_is_located():
    x = np.random.default_rng(3).normal(size=(60, 50))
    verdict = gradcheck(tg.sin, x)
    assert not verdict.exact and verdict.directions == 8 and verdict.power > 0.99
    assert "8 random directions over them" in str(verdict) and "use exact=True" in str(verdict)
    off = np.ones(x.shape)
    off[31, 7] = 1.01
    error = refused(gradcheck, squared(lambda x: 2 * x * off), x)
    assert error.index == (31, 7) and "a factor of 1.01" in error.cause and "1 of 3000 entries wrong" in error.cause
    assert gradcheck(tg.sin, x[:20], exact=False, directions=3).directions == 3
    assert gradcheck(tg.sin, x[:20]).exact and gradcheck(tg.sin, x, exact=True).exact


def test_a_verdict_is_true_and_explains_itself():
    verdict = gradcheck(lambda x: tg.relu(x) * 1.0, np.array([1.0, 0.0, -2.0]))
    assert verdict and verdict.entries == 3 and [k.index for k in verdict.kinks] == [(1,)]
    for words in (
        "3 entries of a tinygrad_lm function, each alone",
        "power: ",
        "central differences: agree",
        "kink at",
    ):
        assert words in str(verdict)


# ------------------------------------------------------------------------------------------------ few bits


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rules_in_few_bits_are_compared_with_float64(dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    from tinygrad_lm.testing.adapters import numpy_dtype

    x, w = X.astype(numpy_dtype(dtype)), Y.astype(numpy_dtype(dtype))
    verdict = gradcheck(lambda x, w: tg.softmax(tg.tanh(x @ w)), (x, w))
    assert verdict.oracles["the same in float64"] == f"agrees with {dtype}"

    def coarse(g, x):  # right in float64; in few bits a factor is lost
        few = not isinstance(x, Tensor) and x.dtype != np.float64
        return 2.0 * g * x * (0.7 if few else 1.0)

    @tg.op(name="coarse_by_a_test")
    def square(xp, x):
        return x * x

    square.vjp("x")(coarse)
    error = refused(gradcheck, square, x)
    assert f"input 0 in {dtype}" in str(error) and error.input == 0 and "right in float64" in error.cause


def test_a_rule_that_widens_is_refused():
    error = refused(check_vjp, np.sin, lambda g, x: (g * np.cos(x)).astype(np.float64), X.astype(np.float32))
    assert "float32" in str(error) and "cast it" in error.cause


# ------------------------------------------------------------------------------------------------ torch and JAX


def test_torch_functions():
    torch = pytest.importorskip("torch")
    x, w = torch.tensor(X), torch.tensor(Y)
    verdict = gradcheck(lambda x, w: torch.tanh(x @ w), (x, w))
    assert verdict.library == "torch" and verdict.oracles["second derivative"] == "agrees along a random direction"
    assert gradgradcheck(torch.tanh, x) and gradcheck(lambda x: 2 * x, x.requires_grad_())
    assert gradcheck(torch.tanh, x.detach().float()).oracles["the same in float64"] == "agrees with float32"
    assert gradcheck(torch.tanh, x.detach().bfloat16()).oracles["the same in float64"] == "agrees with bfloat16"

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            factor = torch.ones_like(x)
            factor[1, 2] = 1.01
            return 2 * g * x * factor

    error = refused(gradcheck, Wrong.apply, x.detach())
    assert error.index == (1, 2) and "1 of 6 entries wrong: a factor of 1.01" in error.cause

    class Once(Wrong):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (2 * x).detach()

    assert "second derivative is silently wrong" in refused(gradcheck, Once.apply, x.detach()).cause
    kinked = gradcheck(torch.relu, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert kinked.kinks[0].index == (0,)


def test_jax_functions():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    x, w = jax.numpy.array(X), jax.numpy.array(Y)  # float32, as x64 is off
    verdict = gradcheck(lambda x, w: jax.numpy.tanh(x @ w), (x, w))
    assert verdict.library == "jax" and verdict.oracles["the same in float64"] == "agrees with float32"
    assert gradgradcheck(jax.numpy.sin, x)

    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, g: (-2 * g * x,))
    assert "wrong sign" in refused(gradcheck, square, x).cause
    assert not jax.config.jax_enable_x64


# ------------------------------------------------------------------------------------------------ kernels


def test_kernels_are_checked_too():
    def near(xp, x):
        return 1.01 * xp.tanh(x)

    assert gradcheck(tg.tanh, X)
    with tg.use_kernels({"tanh": near}):
        assert refused(gradcheck, tg.tanh, X).input == 0


def test_kernels_of_cuda_files_on_the_emulator():
    try:
        table = load_table("emulated")
    except tg.Unavailable as error:
        pytest.skip(str(error))
    served = []

    def softmax(xp, x, **params):
        served.append(x.dtype)
        return table["softmax"](xp, x, **params)

    with tg.use_kernels({**table, "softmax": softmax}):
        verdict = gradcheck(tg.softmax, X.astype(np.float32), second_order=False)
    assert np.float32 in served and verdict.oracles["the same in float64"] == "agrees with float32"


def test_a_view_and_its_base_among_what_a_rule_keeps():
    """Both are read-only while the rule runs, and both can be written to afterwards."""
    x = np.linspace(0.5, 2.0, 4)
    assert gradcheck(lambda x: tg.xlogy(x, tg.flip(x, axis=0)), x)
    assert gradcheck(lambda x: tg.xlogy(tg.flip(x, axis=0), x), x)
    x[0] = 1.0


# ------------------------------------------------------------------------------------------------ large among small


@pytest.mark.parametrize("fill", [1e6, -1e15, -1e30, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("factor", [1.0, 1.01, -1.0, 2.0])
def test_what_does_not_move_buys_no_slack(fill, factor):
    """One masked score, however large: it says nothing about the slopes of the others."""
    mask = np.zeros(X.shape, bool)
    mask[0, 1] = True

    def masked(x):
        return np.where(mask, fill, np.sin(x))

    def rule(g, x):
        return factor * np.where(mask, 0.0, g * np.cos(x))

    if factor == 1.0:
        assert check_vjp(masked, rule, X).power == 1.0
    else:
        assert refused(check_vjp, masked, rule, X).index == (0, 0)


@pytest.mark.parametrize("large", [1e3, 1e6, 1e8, 1e12])
@pytest.mark.parametrize("factor", [1.0, 1.01, -1.0])
def test_a_large_input_buys_no_slack_for_a_small_one(large, factor):
    x = np.array([1e-3, 2.0, large])

    def rule(g, x):
        return 2.0 * g * x * np.array([factor, 1.0, 1.0])

    if factor == 1.0:
        assert check_vjp(np.square, rule, x).power == 1.0
    else:
        assert refused(check_vjp, np.square, rule, x).index == (0,)
    wrong = squared(lambda x: 2.0 * x * np.array([factor, 1.0, 1.0]))
    if factor != 1.0:
        assert refused(gradcheck, wrong, x, exact=True).index == (0,)


def test_a_saturated_softmax_may_round_to_zero():
    """1 - 1 instead of 1e-27: the largest result does not move nearby, and still is a part of every slope."""
    for seed in range(20):
        assert gradcheck(tg.softmax, 10.0 ** (seed % 4) * np.random.default_rng(seed).normal(size=(3, 4)), seed=seed)


def test_what_passes_for_rounding_is_left_out_of_the_power():
    """All slopes are lost beside the largest result here: a wrong one passes, and the verdict says that it would."""
    x = 100.0 * np.random.default_rng(2).normal(size=(3, 4))
    assert gradcheck(tg.softmax, x, seed=2).power == 0.0
    with active("softmax/x/scaled-by-1.01"):
        assert gradcheck(tg.softmax, x, seed=2, second_order=False).power == 0.0
        refused(gradcheck, tg.softmax, x / 100.0, seed=2)


def test_a_second_derivative_may_round_where_the_first_is_0():
    mask = np.array([True, True])
    for seed in range(60):
        assert gradcheck(
            lambda x, v: tg.setitem(x, v, index=mask) ** 2, (np.array([0.0, 1.0]), np.array(0.0)), seed=seed
        )


def test_a_verdict_has_no_power_where_nothing_could_be_seen():
    def shifted(x):
        return np.sin(x) + 1e13

    verdict = check_vjp(shifted, lambda g, x: g * np.cos(x), X)
    assert verdict.power == 0.0 and "cannot tell, steps lose too many digits" in str(verdict)
    far = 1e12 * np.random.default_rng(1).normal(size=5)
    assert check_vjp(np.cos, lambda g, x: 0.0 * g, far).power == 0.0  # it oscillates within any step
    assert check_vjp(lambda x: np.maximum(x, 0), lambda g, x: g * (x < 0), np.array([1e-30])).power == 0.0
    verdict = check_vjp(np.sin, lambda g, x: g * np.sin(x), np.zeros((0, 3)))
    assert verdict.power == 0.0 and "cannot tell, there is no entry to look at" in str(verdict)
    assert gradcheck(tg.floor, np.array([0.3, 1.7])).power == 1.0  # flat, and seen to be


def test_the_odd_one_out_in_the_eleventh_digit():
    @tg.op(analytic=True)
    def grown(xp, x):
        return xp.exp(x)

    grown.jvp("x")(lambda t, x: t * np.exp(x))
    grown.vjp("x")(lambda g, x: g * tg.exp(x) * (1 + 1e-11))
    found = 0
    for seed in range(20):
        try:
            gradcheck(grown, np.array([0.3, -1.0, 2.0]), seed=seed)
        except GradcheckError as error:
            found += "the complex step and forward mode agree" in str(error)
    assert found >= 15
    grown.vjp("x")(lambda g, x: g * tg.exp(x))
    assert all(gradcheck(grown, np.array([0.3, -1.0, 2.0]), seed=seed) for seed in range(20))


def test_complex_results_are_refused():
    with pytest.raises(TypeError, match="results must be real floating numbers to be checked, got complex128"):
        check_vjp(np.fft.fft, lambda g, x: g, np.ones(3))
    with pytest.raises(ValueError, match="directions=2.5: expected a whole number"):
        gradcheck(tg.sin, X, directions=2.5)


def test_a_torch_function_that_cannot_be_differentiated_twice():
    torch = pytest.importorskip("torch")

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * torch.cos(ctx.saved_tensors[0])

    verdict = gradcheck(Once.apply, torch.ones(3, dtype=torch.float64))
    assert verdict.oracles["second derivative"] == "there is none, which is said: torch marks it as once_differentiable"
