"""vjp, jvp, grad, value_and_grad, hvp, jacobian, hessian: nested, over trees, over what a function closes over."""

from __future__ import annotations

import weakref
from collections import namedtuple

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor

RNG = np.random.default_rng(2)
X, W = RNG.normal(size=3), RNG.normal(size=3)
Pair = namedtuple("Pair", "weight bias")


def quartic(x):
    return (x**4).sum()


# ------------------------------------------------------------------------------------------------ vjp


def test_vjp_takes_and_gives_arrays_and_pulls_repeatedly():
    y, pull = tg.vjp(lambda a, b: tg.sin(a) * b, X, W)
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, np.sin(X) * W)
    for scale in (1.0, 2.0, -3.0):
        ga, gb = pull(np.full(3, scale))
        assert type(ga) is np.ndarray
        np.testing.assert_allclose(ga, scale * np.cos(X) * W)
        np.testing.assert_allclose(gb, scale * np.sin(X))


def test_vjp_takes_and_gives_tensors():
    y, pull = tg.vjp(tg.exp, Tensor(X))
    (g,) = pull(Tensor(W))
    assert type(y) is Tensor and type(g) is Tensor and not y.requires_grad and not g.requires_grad
    np.testing.assert_allclose(g.data, W * np.exp(X))


def test_results_are_the_callers_to_write_to():
    u = np.ones(3)
    for f in (lambda x: x, lambda x: x + 0.0, lambda x: tg.reshape(x, shape=(3,)), lambda x: x[:]):
        (g,) = tg.vjp(f, X)[1](u)
        g *= 7.0
        np.testing.assert_array_equal(u, np.ones(3))
    g = tg.grad(lambda x: x.sum())(X)
    g += 1.0
    a, b = tg.grad(lambda a, b: (a + b).sum(), (0, 1))(X, W)
    assert not np.shares_memory(a, b)
    a += 1.0
    b += 1.0


def test_vjp_of_several_outputs_and_of_trees():
    def f(params, x):
        return {"y": tg.tanh(params["w"] * x + params["rest"][0]), "z": (x * 2.0, [x])}

    params = {"w": W, "rest": [np.array(0.5), 3]}
    out, pull = tg.vjp(f, params, X)
    assert set(out) == {"y", "z"} and type(out["z"]) is tuple and type(out["z"][1]) is list
    u = {"y": np.ones(3), "z": (2 * np.ones(3), [np.zeros(3)])}
    gp, gx = pull(u)
    slope = 1 - out["y"] ** 2
    np.testing.assert_allclose(gp["w"], slope * X)
    np.testing.assert_allclose(gp["rest"][0], slope.sum())
    assert gp["rest"][1] is None
    np.testing.assert_allclose(gx, slope * W + 4)
    with pytest.raises(ValueError, match="returned 3 arrays, the pull-back was given 1"):
        pull(np.ones(3))
    with pytest.raises(ValueError, match=r"output has shape \(3,\), its gradient \(2,\)"):
        tg.vjp(tg.exp, X)[1](np.ones(2))


def test_named_tuples_stay_themselves():
    g = tg.grad(lambda p: (p.weight * X + p.bias).sum())(Pair(W, 1.0))
    assert type(g) is Pair
    np.testing.assert_array_equal(g.weight, X)
    assert g.bias == 3.0


def test_an_input_that_does_not_matter_has_gradient_zero_whatever_its_values():
    a, b = tg.grad(lambda a, b: (a * 2.0).sum(), (0, 1))(X, np.array([np.inf, np.nan, 1.0]))
    np.testing.assert_array_equal(a, [2.0] * 3)
    np.testing.assert_array_equal(b, [0.0] * 3)
    g = tg.grad(lambda x: (Tensor(X) * 1.0).sum())(np.ones(2, np.float32))
    assert g.dtype == np.float32 and not g.any()


# ------------------------------------------------------------------------------------------------ grad


def test_value_and_grad_by_argument_numbers():
    def f(a, b, *, c):
        return (a * b * c).sum()

    value, g = tg.value_and_grad(f, 1)(X, W, c=2.0)
    np.testing.assert_allclose(value, (X * W * 2).sum())
    np.testing.assert_allclose(g, 2 * X)
    value, (gb, ga) = tg.value_and_grad(f, (1, 0))(X, W, c=2.0)
    np.testing.assert_allclose(ga, 2 * W)
    np.testing.assert_allclose(gb, 2 * X)
    (only,) = tg.grad(f, (0,))(X, W, c=1.0)
    np.testing.assert_allclose(only, W)


def test_grad_refuses_what_has_no_gradient():
    with pytest.raises(TypeError, match="argument 0 must be floating.*int64"):
        tg.grad(lambda x: x.sum())(np.arange(3))
    with pytest.raises(TypeError, match="argument 1 must be floating.*int"):
        tg.grad(lambda x, n: x.sum() * n, (0, 1))(X, 3)
    with pytest.raises(ValueError, match=r"must return one number, got shape \(3,\)"):
        tg.grad(lambda x: x * 2.0)(X)
    with pytest.raises(ValueError, match="must return one number"):
        tg.grad(lambda x: (x.sum(), x.sum()))(X)


@pytest.mark.parametrize("kind", [float, np.asarray, Tensor])
def test_grad_nests_to_third_order_and_beyond(kind):
    f, x = lambda x: x**5, kind(2.0)  # noqa: E731
    for order, expected in enumerate([80.0, 160.0, 240.0, 240.0, 120.0]):
        f = tg.grad(f)
        g = f(x)
        assert isinstance(g, Tensor) == (kind is Tensor), order
        np.testing.assert_allclose(g if kind is not Tensor else g.data, expected)


def test_mixed_derivatives():
    f = lambda x, y: tg.sin(x) * y**2  # noqa: E731
    fxy = tg.grad(lambda y, x: tg.grad(f, 0)(x, y))
    np.testing.assert_allclose(fxy(np.array(0.7), np.array(0.3)), 2 * 0.7 * np.cos(0.3))


def test_a_tracked_tensor_is_differentiated_through_without_being_asked():
    x = Tensor(X, requires_grad=True)
    g = tg.grad(quartic)(x)
    assert g.requires_grad
    g.sum().backward()
    np.testing.assert_allclose(x.grad.data, 12 * X**2)


def test_closed_over_parameters():
    w = Tensor(W, requires_grad=True)
    g = tg.grad(lambda x: tg.tanh(x * w).sum())(X)
    assert type(g) is np.ndarray and w.grad is None  # nothing reaches w but by create_graph
    g = tg.grad(lambda x: tg.tanh(x * w).sum(), create_graph=True)(X)
    (g**2).sum().backward()
    t = np.tanh(X * W)
    expected = 2 * (1 - t**2) ** 2 * W - 4 * W**2 * X * t * (1 - t**2) ** 2
    np.testing.assert_allclose(w.grad.data, expected)


def test_gradients_inside_a_differentiated_function_are_recorded():
    """Though nothing tracked is among their arguments: the inner function closes over the outer one's variable."""

    def f(y):
        return tg.grad(lambda x: (tg.sin(x) * y**2).sum())(X).sum()

    np.testing.assert_allclose(tg.grad(f)(W), 2 * W * np.cos(X))
    second = tg.grad(lambda z: tg.grad(lambda y: f(y * z))(W).sum())
    np.testing.assert_allclose(second(np.array(1.0)), (4 * W * np.cos(X)).sum())
    t = tg.grad(lambda y: tg.jvp(lambda x: x * x * y, (X,), (W,))[1].sum())(X)
    np.testing.assert_allclose(t, 2 * X * W)
    g = tg.grad(lambda y: tg.vjp(lambda x: x * x * y, X)[1](W)[0].sum())(X)
    np.testing.assert_allclose(g, 2 * X * W)
    H = tg.grad(lambda y: (tg.hessian(lambda x: (x**3 * y).sum())(X) * np.eye(3)).sum())(W)
    np.testing.assert_allclose(H, 6 * X)


def test_what_was_computed_outside_survives():
    w = Tensor(W, requires_grad=True)
    y = w * w
    tg.grad(lambda x: (x * y).sum())(X)
    y.sum().backward()
    np.testing.assert_allclose(w.grad.data, 2 * W)


def test_inside_no_grad_gradients_are_found_all_the_same():
    with tg.no_grad():
        np.testing.assert_allclose(tg.grad(quartic)(X), 4 * X**3)
        np.testing.assert_allclose(tg.grad(lambda x: tg.grad(quartic)(x).sum())(X), 12 * X**2)


# ------------------------------------------------------------------------------------------------ forward mode


def test_jvp_is_the_matrix_product():
    y, t = tg.jvp(lambda a, b: (tg.sin(a) * b, a * 3.0), (X, W), (np.ones(3), X))
    np.testing.assert_allclose(y[0], np.sin(X) * W)
    np.testing.assert_allclose(t[0], np.cos(X) * W + np.sin(X) * X)
    np.testing.assert_allclose(t[1], [3.0] * 3)
    y, t = tg.jvp(tg.exp, (Tensor(X),), (Tensor(W),))
    assert type(y) is Tensor and type(t) is Tensor
    np.testing.assert_allclose(t.data, np.exp(X) * W)
    for wrong in (lambda: tg.jvp(tg.exp, X, W), lambda: tg.jvp(tg.exp, (X,), W)):
        with pytest.raises(TypeError, match="jvp takes tuples"):
            wrong()
    with pytest.raises(ValueError, match="1 primals and 2 tangents"):
        tg.jvp(tg.exp, (X,), (W, W))


def test_jvp_nests_and_mixes_with_grad():
    second = tg.jvp(lambda x: tg.jvp(lambda z: z**3, (x,), (np.ones(3),))[1], (X,), (np.ones(3),))[1]
    np.testing.assert_allclose(second, 6 * X)
    directional = tg.grad(lambda x: tg.jvp(tg.sin, (x,), (W,))[1].sum())(X)
    np.testing.assert_allclose(directional, -np.sin(X) * W)
    np.testing.assert_allclose(tg.jvp(tg.grad(quartic), (X,), (W,))[1], 12 * X**2 * W)


def test_jvp_where_the_output_is_not_finite():
    y, t = tg.jvp(lambda x: x * 2.0, (np.array([np.inf, 1.0]),), (np.ones(2),))
    np.testing.assert_array_equal(t, [2.0, 2.0])


# ------------------------------------------------------------------------------------------------ matrices


def test_jacobian_hessian_and_hvp_agree():
    A = RNG.normal(size=(2, 3))
    jac = tg.jacobian(lambda x: tg.tanh(A @ x if isinstance(x, Tensor) else tg.matmul(A, x)))(X)
    np.testing.assert_allclose(jac, (1 - np.tanh(A @ X) ** 2)[:, None] * A)

    def f(x):
        return tg.logsumexp(x) * (x**3).sum()

    H = tg.hessian(f)(X)
    np.testing.assert_allclose(H, H.T, atol=1e-12)
    for v in np.eye(3):
        np.testing.assert_allclose(tg.hvp(f, X, v), H @ v, atol=1e-12)
    columns = [(tg.grad(f)(X + 1e-5 * v) - tg.grad(f)(X - 1e-5 * v)) / 2e-5 for v in np.eye(3)]
    np.testing.assert_allclose(H, np.stack(columns, 1), atol=1e-7)


def test_jacobian_of_any_shape():
    x = RNG.normal(size=(2, 3))
    jac = tg.jacobian(lambda x: tg.transpose(x * x))(x)
    assert jac.shape == (3, 2, 2, 3)
    for i in range(2):
        for j in range(3):
            expected = np.zeros((3, 2))
            expected[j, i] = 2 * x[i, j]
            np.testing.assert_array_equal(jac[:, :, i, j], expected)
    assert tg.jacobian(lambda x: x.sum())(x).shape == (2, 3)
    assert tg.jacobian(lambda x: x[:0])(x).shape == (0, 3, 2, 3)
    assert tg.jacobian(lambda x: x[:0])(np.ones(3, np.float32)).dtype == np.float32


def test_jacobian_and_hessian_of_tracked_tensors_are_recorded():
    x = Tensor(X, requires_grad=True)
    trace = tg.einsum("ij,ij->", tg.hessian(quartic)(x), np.eye(3))
    trace.backward()
    np.testing.assert_allclose(x.grad.data, 24 * X)


def test_third_derivatives_of_a_vector_function():
    T = tg.jacobian(tg.hessian(lambda x: (x**3).sum() * x[0]))(X)
    assert T.shape == (3, 3, 3)
    np.testing.assert_allclose(T, np.transpose(T, (2, 1, 0)), atol=1e-12)
    np.testing.assert_allclose(T[1, 1, 1], 6 * X[0])
    np.testing.assert_allclose(T[0, 0, 0], 24 * X[0])


def test_arguments_that_are_no_floats_are_passed_on():
    """Whether given as an array, as a Tensor or as a number; their gradient is None."""

    def picked(x, i, k):
        return x[i] * k

    for i in (np.array([0, 2]), Tensor(np.array([0, 2]))):
        _, pull = tg.vjp(picked, np.arange(3.0), i, 2)
        gx, gi, gk = pull(np.ones(2))
        np.testing.assert_array_equal(np.asarray(gx), [2.0, 0.0, 2.0])
        assert gi is None and gk is None


def test_where_no_argument_is_a_float_there_is_nothing_to_find():
    walked = []

    @tg.op
    def noted(xp, x):
        return x * 1.0

    noted.vjp("x")(lambda g: walked.append(g) or g)
    w = Tensor([2.0, 3.0], requires_grad=True)
    out, pull = tg.vjp(lambda i: noted(w[i]), 1)
    assert out.item() == 3.0 and pull(np.array(1.0)) == (None,) and w.grad is None and walked == []


def test_jvp_of_results_that_are_constants():
    (fixed, square), (still, slope) = tg.jvp(lambda x: (np.ones(2), x * x), (np.array([3.0]),), (np.array([1.0]),))
    assert square == 9.0 and slope == 6.0
    np.testing.assert_array_equal(fixed, np.ones(2))
    np.testing.assert_array_equal(still, np.zeros(2))


def test_grad_frees_the_tape_as_it_passes_and_vjp_keeps_it():
    @tg.op(aux="cache")
    def doubled(xp, x):
        cache = x + x
        kept.append(weakref.ref(cache))
        return x * 2.0, cache

    @doubled.vjp("x")
    def _(g, cache):
        alive.append([ref() is not None for ref in kept])
        return g * 2.0

    x, kept, alive = np.array([1.0]), [], []
    assert tg.grad(lambda x: doubled(doubled(x)).sum())(x) == 4.0
    assert alive == [[True, True], [True, False]]  # the newer one, passed already, is gone
    kept, alive = [], []
    pull = tg.vjp(lambda x: doubled(doubled(x)).sum(), x)[1]
    assert pull(np.array(1.0)) == (4.0,) and pull(np.array(1.0)) == (4.0,)
    assert alive == [[True, True]] * 4
