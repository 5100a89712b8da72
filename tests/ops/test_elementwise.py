"""What no property of samples sees of elementwise functions: special values, far out, digits, dtypes, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor

SINGLE, HALF = np.float32, np.float16


def slopes(f, *xs):
    """Gradients of the sum of f, one per argument."""
    return tg.vjp(f, *[np.asarray(x) for x in xs])[1](
        np.ones(np.shape(f(*map(np.asarray, xs))), np.asarray(xs[0]).dtype)
    )


def ulps(actual, exact):
    """The largest distance from numbers that were computed in float64, in units of the last place of `actual`."""
    exact = np.array(exact)
    return (np.abs(actual - exact) / np.spacing(np.abs(exact).astype(actual.dtype))).max()


# ------------------------------------------------------------------------------------------------ against math


WITHIN, ABOVE = np.linspace(-0.99, 0.99, 37), np.linspace(0.01, 20, 41)
ALL = np.concatenate([-ABOVE, ABOVE, [1e-8, -1e-8, 1e-300]])
AGAINST_MATH = {
    "exp": ALL, "exp2": ALL, "expm1": ALL, "log": ABOVE, "log1p": [*WITHIN, 1e-10, -1e-10, 5.0], "log2": ABOVE,
    "log10": ABOVE, "sqrt": ABOVE, "sin": ALL, "cos": ALL, "tan": WITHIN, "asin": WITHIN, "acos": WITHIN, "atan": ALL,
    "sinh": ALL, "cosh": ALL, "tanh": ALL, "asinh": ALL, "acosh": 1 + ABOVE, "atanh": WITHIN, "erf": ALL, "erfc": ALL,
    "floor": ALL, "ceil": ALL, "trunc": ALL, "isfinite": ALL,
}  # fmt: skip


@pytest.mark.parametrize("name", AGAINST_MATH)
def test_digits_against_the_math_module(name):
    x = np.array(AGAINST_MATH[name])
    assert ulps(getattr(tg, name)(x).astype(float), [float(getattr(math, name)(v)) for v in x]) <= 8


@pytest.mark.parametrize("name", ["hypot", "atan2", "copysign", "pow", "remainder"])
def test_digits_of_two_arguments_against_the_math_module(name):
    a, b = np.meshgrid(ABOVE, np.concatenate([ABOVE[:9], -ABOVE[:9]]))
    exact = (lambda x, y: x % y) if name == "remainder" else getattr(math, name)
    assert ulps(getattr(tg, name)(a, b), np.vectorize(exact)(a, b)) <= 4


def test_what_is_tiny_keeps_its_digits():
    x = np.array([1e-20, -3e-12, 1e-5])
    np.testing.assert_allclose(tg.expm1(x), [1e-20, -3e-12, math.expm1(1e-5)], rtol=1e-11)
    np.testing.assert_array_equal(tg.log1p(x), [math.log1p(v) for v in x])
    np.testing.assert_allclose(slopes(tg.expm1, [-50.0])[0], math.exp(-50), rtol=1e-14)
    near = 1 - 1e-12
    for function, sign in ((tg.asin, 1), (tg.acos, -1)):
        np.testing.assert_allclose(slopes(function, [near])[0], sign / math.sqrt((1 - near) * (1 + near)), rtol=1e-14)
    np.testing.assert_allclose(slopes(tg.logaddexp, [-50.0], [0.0])[0], math.exp(-50), rtol=1e-14)
    np.testing.assert_allclose(slopes(tg.logsigmoid, [50.0])[0], math.exp(-50), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, SINGLE])
def test_erfc_to_the_last_digits(dtype):
    x = np.concatenate([np.linspace(-7, 26 if dtype is np.float64 else 9, 2001), [0.0, -0.0, 1e-30]]).astype(dtype)
    assert ulps(tg.erfc(x), [math.erfc(v) for v in x.tolist()]) <= 6
    ends = tg.erfc(np.array([10.0, 200.0, np.inf, -np.inf, np.nan]))
    np.testing.assert_allclose(ends, [2.088487583762545e-45, 0, 0, 2, np.nan], rtol=1e-15)
    assert ulps(tg.erf(x), [math.erf(v) for v in x.tolist()]) <= 4


# ------------------------------------------------------------------------------------------------ far out


FAR = [-1e4, -300.0, -100.0, -20.0, -1.0, 0.5, 20.0, 100.0, 300.0, 1e4]


def reference(name, x):
    """(value, derivative) by formulas that are exact on the side of x, in Python's own floats."""
    e = math.exp(-abs(x))
    s, below = (1 / (1 + e), e / (1 + e)) if x > 0 else (e / (1 + e), 1 / (1 + e))  # sigmoid(x), sigmoid(-x)
    plus = max(x, 0) + math.log1p(e)
    t = math.tanh(plus)
    bell = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    normal = math.erfc(-x / math.sqrt(2)) / 2
    return {
        "sigmoid": (s, s * below), "softplus": (plus, s), "logsigmoid": (x - plus, below),
        "silu": (x * s, s + x * s * below),
        "mish": (x * t, t + x * (1 - t * t) * s), "gelu": (x * normal, normal + x * bell),
        "elu": (x, 1.0) if x > 0 else (math.expm1(x), math.exp(x)),
        "hardswish": (x * min(max(x / 6 + 0.5, 0), 1), (x > 0) * 1.0 if abs(x) > 3 else x / 3 + 0.5),
    }[name]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, SINGLE, HALF])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "logsigmoid", "silu", "mish", "gelu", "elu", "hardswish"])
def test_activations_far_out_are_exact_and_do_not_warn(name, dtype):
    x = np.array(FAR, dtype)
    exact = np.array([reference(name, v) for v in x.tolist()])
    size = np.abs(x[:, None].astype(float)) * np.array([1, 0]) + 1  # of the terms that the value is a sum of
    unit = np.finfo(dtype).eps
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, (slope,) = getattr(tg, name)(x), slopes(getattr(tg, name), x)
    assert value.dtype == slope.dtype == dtype
    assert (np.abs(np.stack([value, slope], 1) - exact) <= 8 * unit * size).all()


@pytest.mark.parametrize("dtype", [np.float64, SINGLE, HALF])
def test_logaddexp_far_out(dtype):
    a, b = np.array([1e4, -1e4, 1e4, 0.0, -3.0], dtype), np.array([1e4, 1e4, -1e4, 1e4, -3.0], dtype)
    with np.errstate(over="raise", invalid="raise"):
        y, (ga, gb) = tg.logaddexp(a, b), slopes(tg.logaddexp, a, b)
    np.testing.assert_allclose(y, [1e4 + math.log(2), 1e4, 1e4, 1e4, math.log(2) - 3], rtol=np.finfo(dtype).eps)
    np.testing.assert_array_equal(ga, [0.5, 0, 1, 0, 0.5])
    np.testing.assert_array_equal(gb, [0.5, 1, 0, 1, 0.5])


def test_what_would_overflow_on_the_way_does_not():
    huge = np.array([3e200, -4e200])
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_allclose(tg.hypot(huge, huge[::-1]), [5e200, 5e200])
        np.testing.assert_allclose(slopes(tg.hypot, huge, huge[::-1]), [[0.6, -0.8], [-0.8, 0.6]])
        np.testing.assert_allclose(slopes(tg.atan2, huge, huge[::-1]), [[-1.6e-201, 1.2e-201], [-1.2e-201, 1.6e-201]])
        np.testing.assert_allclose(slopes(tg.asinh, huge), [[1 / 3e200, 1 / 4e200]])
        np.testing.assert_allclose(slopes(tg.acosh, -huge[1:]), [[1 / 4e200]])
        np.testing.assert_array_equal(slopes(tg.atan, huge), [[0, 0]])
        np.testing.assert_allclose(slopes(tg.atan, np.array(300, HALF))[0], 1 / 300**2, rtol=2e-2)
        np.testing.assert_array_equal(
            tg.selu(np.array([-1e4, 1e4])), [-1.0507009873554805 * 1.6732632423543772, 10507.009873554805]
        )


# ------------------------------------------------------------------------------------------------ special values


INF, NAN = math.inf, math.nan


def test_which_of_two_is_chosen_and_nan():
    a, b = np.array([1.0, NAN, 1.0, NAN, -0.0]), np.array([2.0, 1.0, NAN, NAN, 0.0])
    np.testing.assert_array_equal(tg.fmax(a, b), [2, 1, 1, NAN, 0])
    np.testing.assert_array_equal(tg.fmin(a, b), [1, 1, 1, NAN, 0])
    np.testing.assert_array_equal(tg.maximum(a, b), [2, NAN, NAN, NAN, 0])
    for function, chosen in ((tg.fmax, [0, 0, 1]), (tg.fmin, [1, 0, 1])):
        ga, gb = slopes(function, a, b)
        assert ga[:3].tolist() == chosen and (ga + gb == 1).all()


def test_nan_to_num_takes_the_largest_number_of_the_dtype():
    for dtype in (HALF, SINGLE, np.float64):
        y = tg.nan_to_num(np.array([NAN, INF, -INF, 2.0], dtype))
        assert y.dtype == dtype and y.tolist() == [0, np.finfo(dtype).max, np.finfo(dtype).min, 2]
    assert tg.nan_to_num(np.array([NAN, INF, -INF]), nan=7, posinf=8, neginf=9).tolist() == [7, 8, 9]
    whole = np.arange(3)
    assert tg.nan_to_num(whole).tolist() == [0, 1, 2] and not np.shares_memory(tg.nan_to_num(whole), whole)
    x = Tensor([NAN, INF, 3.0], requires_grad=True)
    tg.nan_to_num(x).backward(np.array([1.0, INF, 5.0]))
    assert x.grad.tolist() == [0, 0, 5]


def test_nan_to_num_of_bfloat16():
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    y = tg.nan_to_num(np.array([NAN, INF, -INF], dtype))
    assert y.dtype == dtype and y.tolist() == [0, 3.3895313892515355e38, -3.3895313892515355e38]


def test_rounding_and_what_is_left():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4])
    np.testing.assert_array_equal(tg.round(x), [-2, -2, -0.0, 0, 2, 2, 2])
    for a, b in ((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (-7.5, -2.0)):
        pair = np.array(a), np.array(b)
        assert (tg.floor_divide(*pair), tg.remainder(*pair)) == (a // b, a % b)
        assert slopes(tg.remainder, a, b) == (1, -(a // b)) and slopes(tg.floor_divide, a, b) == (0, 0)
    y = Tensor([7.5], requires_grad=True)
    assert (
        (y // 2).tolist() == [3]
        and (y % 2).tolist() == [1.5]
        and (20 % y).tolist() == [5]
        and (20 // y).tolist() == [2]
    )


def test_signs_of_zero():
    zeros = np.array([0.0, -0.0])
    assert tg.signbit(zeros).tolist() == [False, True]
    assert tg.signbit(tg.copysign(np.array([1.0, 0.0]), zeros)).tolist() == [False, True]
    assert tg.signbit(tg.round(np.array([-0.2, 0.2]))).tolist() == [True, False]
    assert tg.signbit(tg.erf(zeros)).tolist() == tg.signbit(tg.asinh(zeros)).tolist() == [False, True]
    np.testing.assert_allclose(tg.atan2(zeros, np.array([-1.0, -1.0])), [math.pi, -math.pi])


def test_the_origin_has_no_direction():
    """Derivatives of first and second order are 0 there, not nan."""
    for function in (tg.hypot, tg.atan2):

        def along(a, b, function=function):
            ga, gb = tg.grad(lambda a, b: function(a, b).sum(), (0, 1))(a, b)
            return (ga + 2 * gb).sum()

        assert [g.tolist() for g in slopes(function, [0.0], [0.0])] == [[0], [0]]
        assert [g.tolist() for g in tg.grad(along, (0, 1))(np.zeros(1), np.zeros(1))] == [[0], [0]]


def test_xlogy_and_entropy():
    x, y = np.array([0.0, 0.0, 0.0, 2.0, 2.0]), np.array([0.0, NAN, INF, 0.0, 3.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(tg.xlogy(x, y), [0, NAN, 0, -INF, 2 * math.log(3)])
    p = np.array([0.0, 0.25, 0.75])
    gx, gy = slopes(tg.xlogy, p, p)
    np.testing.assert_allclose(gx, [0, math.log(0.25), math.log(0.75)])
    np.testing.assert_array_equal(gy, [0, 1, 1])

    def slope(x, y):  # d/dx, and d2/dx dy = 1/y is not 0 where x is
        return tg.grad(lambda x, y: tg.xlogy(x, y).sum(), 0)(x, y).sum()

    np.testing.assert_array_equal(tg.grad(slope, 1)(np.zeros(2), np.array([2.0, 4.0])), [0.5, 0.25])


def test_infinities_go_through():
    ends = np.array([-INF, INF])
    with np.errstate(over="raise", invalid="raise"):
        for name, limits in {
            "sigmoid": [0, 1], "tanh": [-1, 1], "erf": [-1, 1], "erfc": [2, 0], "softplus": [0, INF],
            "expm1": [-1, INF], "logsigmoid": [-INF, 0], "elu": [-1, INF], "hardsigmoid": [0, 1],
            "hardtanh": [-1, 1], "relu": [0, INF],
            "atan": [-math.pi / 2, math.pi / 2], "reciprocal": [0, 0], "square": [INF, INF], "sign": [-1, 1],
        }.items():  # fmt: skip
            np.testing.assert_array_equal(getattr(tg, name)(ends), limits, err_msg=name)
        assert tg.logaddexp(ends, ends).tolist() == [-INF, INF]
        assert [g.tolist() for g in slopes(tg.logaddexp, ends, ends)] == [[0, 0.5], [0, 0.5]]
    assert tg.isinf(ends).all() and not tg.isfinite(ends).any() and not tg.isnan(ends).any()


def test_lerp_goes_on_beyond_its_ends():
    assert tg.lerp(np.array([1.0, 2.0]), np.array([3.0, 6.0]), np.array([[0.0], [1.0], [2.0]])).tolist() == [
        [1, 2],
        [3, 6],
        [5, 10],
    ]


def test_the_derivative_of_a_clipped_parameter_at_its_bounds():
    """Bounds belong to the inside, unlike torch's hardtanh: a value that stands on its bound may come back."""
    assert slopes(tg.hardtanh, [-1.0, 1.0, 1.5])[0].tolist() == [1, 1, 0]
    assert slopes(tg.hardsigmoid, [-3.0, 3.0, 3.5])[0].tolist() == [1 / 6, 1 / 6, 0]


# ------------------------------------------------------------------------------------------------ dtypes


SCALARS = [
    lambda x: tg.lerp(x, 2.0, 0.5), lambda x: tg.lerp(1.0, x, 0.5), lambda x: tg.lerp(1.0, 2.0, x),
    lambda x: tg.hypot(x, 2.0), lambda x: tg.hypot(2.0, x), lambda x: tg.atan2(x, 2.0), lambda x: tg.atan2(2.0, x),
    lambda x: tg.xlogy(x, 2.0), lambda x: tg.xlogy(0.5, x), lambda x: tg.logaddexp(x, 0.5),
    lambda x: tg.logaddexp(1, x),
    lambda x: tg.remainder(x, 0.3), lambda x: tg.remainder(5.0, x), lambda x: tg.floor_divide(x, 0.3),
    lambda x: tg.copysign(x, -1.0), lambda x: tg.copysign(2.0, x), lambda x: tg.fmax(x, 1.0), lambda x: tg.fmin(1.0, x),
    lambda x: tg.maximum(1.0, x), lambda x: tg.minimum(x, 1.0), lambda x: tg.clip(x, 0.4, 1.2),
    lambda x: tg.pow(2.0, x), lambda x: tg.pow(x, 1.5),
    lambda x: tg.where(x.data > 1, x, 0.5), lambda x: tg.where(x.data > 1, 0.5, x), lambda x: x % 2, lambda x: 2 // x,
    lambda x: tg.leaky_relu(x, negative_slope=0.2), lambda x: tg.elu(x, alpha=0.7), lambda x: tg.softplus(x, beta=2.0),
    lambda x: tg.hardtanh(x, min=-0.3, max=1.1), lambda x: tg.nan_to_num(x, nan=2.0),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [HALF, SINGLE, np.float64])
@pytest.mark.parametrize("i", range(len(SCALARS)))
def test_python_numbers_do_not_widen(i, dtype):
    """Neither the result nor, on the way back, what a rule returns."""
    x = Tensor(np.array([0.5, 0.75, 1.5], dtype), requires_grad=True)
    y = SCALARS[i](x)
    assert y.dtype == dtype
    seen = []
    with tg.watch(lambda node, g, grads: seen.extend((node.dtype, h.dtype) for h in grads if h is not None)):
        y.backward(np.ones(3, dtype))
    assert seen and all(given == returned for given, returned in seen)


TRANSCENDENTAL = [
    "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "erf", "erfc", "sigmoid", "silu", "softplus", "logsigmoid", "mish",
    "gelu", "elu", "selu",
    "leaky_relu", "hardsigmoid", "hardswish", "reciprocal",
]  # fmt: skip


@pytest.mark.parametrize("name", TRANSCENDENTAL)
def test_functions_of_integers_are_computed_in_float64(name):
    function, whole = getattr(tg, name), np.array([1, 2, 3])
    assert function(whole).dtype == np.float64
    np.testing.assert_array_equal(function(whole), function(whole.astype(float)))
    assert not function(Tensor(whole)).requires_grad


def test_whole_numbers_stay_whole_where_nothing_forces_them_to_float():
    whole = np.array([-7, 0, 7])
    for name in (
        "abs",
        "sign",
        "square",
        "negative",
        "positive",
        "floor",
        "ceil",
        "trunc",
        "round",
        "relu",
        "nan_to_num",
    ):
        assert getattr(tg, name)(whole).dtype == whole.dtype, name
    for name in ("remainder", "floor_divide", "maximum", "minimum", "fmax", "fmin"):
        assert getattr(tg, name)(whole, 2).dtype == whole.dtype, name


def test_questions_are_answered_in_booleans():
    x = Tensor([0.0, 1.0, NAN], requires_grad=True)
    for name in ("isfinite", "isinf", "isnan", "signbit", "logical_not"):
        y = getattr(tg, name)(x)
        assert y.dtype == bool and not y.requires_grad
    for name in ("logical_and", "logical_or", "logical_xor", "equal", "less_equal"):
        y = getattr(tg, name)(x, x)
        assert y.dtype == bool and not y.requires_grad
    table = [
        [f(a, b) for a in (False, True) for b in (False, True)] for f in (tg.logical_and, tg.logical_or, tg.logical_xor)
    ]
    assert table == [[False, False, False, True], [False, True, True, True], [False, True, True, False]]


METHODS = (
    "square rsqrt expm1 log1p log2 log10 erf reciprocal tan sinh cosh sign floor ceil trunc round isfinite isinf isnan"
)


@pytest.mark.parametrize("name", METHODS.split())
def test_methods_are_the_functions(name):
    x = Tensor([0.25, 1.5, 2.5], requires_grad=True)
    y = getattr(x, name)()
    np.testing.assert_array_equal(y.data, getattr(tg, name)(x.data))
    assert y.requires_grad == (y.dtype.kind == "f")


# ------------------------------------------------------------------------------------------------ bad input


COMPLEX = np.array([1.0 + 1.0j])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: tg.softplus(np.ones(2), beta=0),
            r"softplus\(x: float64 \(2,\), beta=0\): beta must be positive, got 0",
        ),
        (lambda: tg.softplus(np.ones(2), beta=NAN), "beta must be positive, got nan"),
        (lambda: tg.hardtanh(np.ones(2), min=2.0, max=1.0), "min must not be above max, got min=2.0 and max=1.0"),
        (lambda: tg.gelu(np.ones(2), approximate="erf"), "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: tg.erf(COMPLEX), r"erf\(x: complex128 \(1,\)\): it is computed for real numbers only"),
        (lambda: tg.erfc(COMPLEX), "for real numbers only, got complex128"),
        (lambda: tg.atan2(np.ones(2), np.ones(3)), r"atan2.*do not broadcast: on axis -1 they have 2 and 3"),
        (lambda: tg.lerp(np.ones(2), np.ones(2), np.ones(3)), "do not broadcast: on axis -1 they have 2 and 3"),
        (lambda: tg.pow(np.arange(3), -1), "Integers to negative integer powers are not allowed"),
        (
            lambda: tg.negative(np.array([True])),
            r"negative\(x: bool \(1,\)\): it is not defined for bool: convert first",
        ),
        (lambda: tg.subtract(np.array([True]), True), "it is not defined for bool: convert first"),
        (lambda: tg.exp(np.array(["a"])), "it is not defined for <U1: convert first"),
        (lambda: tg.exp(None), r"exp\(\): x must be given, got None"),
        (lambda: Tensor(np.ones(2)) & True, "& is for booleans and integers, got float64"),
        (lambda: tg.floor("1.5"), "got str"),
        (lambda: tg.tan([1.0, 2.0]), "got list"),
        (lambda: Tensor(np.arange(3), requires_grad=True), "int64"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(call, said):
    with pytest.raises((TypeError, ValueError), match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_bounds_that_bound_nothing_and_bounds_that_leave_one_value():
    x = np.array([-2.0, 0.0, np.nan])
    np.testing.assert_array_equal(tg.clip(x), x)
    assert not np.shares_memory(tg.clip(x), x)
    np.testing.assert_array_equal(tg.hardtanh(x[:2], min=0.5, max=0.5), [0.5, 0.5])
    with pytest.raises(ValueError, match="min must not be above max, got min=0.5 and max=0.4"):
        tg.hardtanh(x, min=0.5, max=0.4)


def test_gelu_of_the_largest_numbers():
    for dtype, x in (("f4", 2e38), ("f8", 1e308)):
        for approximate in ("none", "tanh"):
            with np.errstate(over="ignore"):
                both = tg.gelu(np.array([x, -x], dtype), approximate=approximate)
            np.testing.assert_array_equal(both, np.array([x, 0.0], dtype))


def test_numbers_where_arrays_are_needed_and_other_peoples_tensors():
    with pytest.raises(TypeError, match=r"matmul\(a: float64 \(2,\), b: 2.0\): b must be an array, got a number"):
        tg.matmul(np.ones(2), 2.0)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="expected arrays, Tensors or numbers, got torch.Tensor; wrap it"):
        tg.sin(torch.ones(2))
    with pytest.raises(ValueError, match="shift 1.5 and axis None must be whole numbers"):
        tg.roll(np.arange(5), 1.5)
