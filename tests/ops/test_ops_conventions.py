"""Conventions between operations and the world: dtypes, NumPy's functions and operators, and the table of kernels."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import OPS, Tensor
from tinygrad_lm.testing.trials import is_floating, trials

A = np.array([[1.0, 2.0, 3.0], [0.5, 0.25, 4.0]])
SYMBOLS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARED = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def single(requires_grad=False):
    return Tensor(A.astype(np.float32), requires_grad)


# ------------------------------------------------------------------------------------------------ dtypes


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("other", [2, 2.5, True, np.int64(2), np.ones((2, 3), np.int64), np.ones(3, bool)], ids=repr)
def test_a_float_is_not_widened_by_numbers_integers_and_booleans(symbol, other):
    if symbol is operator.sub and isinstance(other, np.ndarray) and other.dtype.kind == "b":
        other = other.astype(np.int8)  # NumPy does not subtract booleans
    for requires_grad in (False, True):
        x = single(requires_grad)
        for y in (symbol(x, other), symbol(other, x), symbol(x, Tensor(other))):
            assert type(y) is Tensor and y.dtype == np.float32 and y.requires_grad == requires_grad
    np.testing.assert_allclose(symbol(x, other).data, symbol(A, other), rtol=1e-6)
    np.testing.assert_allclose(symbol(other, x).data, symbol(np.asarray(other, float), A), rtol=1e-6)


def test_two_floats_meet_at_the_wider_one_and_each_gets_its_own_gradient():
    x, w = single(True), Tensor(A.copy(), requires_grad=True)
    y = x * w
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32 and w.grad.dtype == np.float64


@pytest.mark.parametrize(
    "call",
    [
        lambda x, n: tg.matmul(x, n.T),
        lambda x, n: tg.einsum("ij,ij->i", x, n),
        lambda x, n: tg.concatenate([n, x]),
        lambda x, n: tg.stack([x, n, x]),
        lambda x, n: tg.linear(x, n),
        lambda x, n: tg.maximum(n, x),
        lambda x, n: tg.clip(x, n, 5 * n),
        lambda x, n: tg.layer_norm(x, n[0]),
        lambda x, n: tg.mse_loss(x, n),
        lambda x, n: tg.attention(n, x, x),
        lambda x, n: tg.attention(x, x, x, np.ones((2, 2), np.int64)),
        lambda x, n: tg.where(n > 0, x, n),
    ],
)
def test_integers_do_not_widen_operations_of_several_inputs(call):
    n = np.ones((2, 3), np.int64)
    x = single(True)
    y = call(x, n)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert call(A.astype(np.float32), n).dtype == np.float32
    assert call(A, n).dtype == np.float64  # each call resolves by types, not by what came first


def test_a_variadic_operation_mixes_numbers_and_arrays_in_any_order():
    half = np.array(0.5, np.float32)
    for parts in ([half, 1.0], [1.0, half], [1.0, half, np.array(2)], [np.array(2), 1.0, half]):
        assert tg.stack(parts).dtype == np.float32 or np.stack(parts).dtype == np.float64
        np.testing.assert_array_equal(tg.stack(parts), [float(p) for p in parts])
    assert tg.stack([half, np.array(2), half]).dtype == np.float32


def test_integers_and_booleans_among_themselves_stay_numpys():
    n = Tensor(np.arange(3))
    assert (n + 1).dtype == np.int64 and (n * n).dtype == np.int64 and (n / 2).dtype == np.float64
    assert (n > 1).dtype == bool and (n + np.ones(3, bool)).dtype == np.int64


# ------------------------------------------------------------------------------------------------ operators


@pytest.mark.parametrize("symbol", [*SYMBOLS, *COMPARED])
def test_operators_with_tensors_arrays_and_numbers_on_both_sides(symbol):
    x = Tensor(A, requires_grad=True)
    for left, right in ((x, x), (x, A), (A, x), (x, 2.0), (2.0, x), (x, Tensor(A)), (np.float64(2.0), x)):
        y = symbol(left, right)
        assert type(y) is Tensor and y.requires_grad == (symbol in SYMBOLS)
        values = [v.data if isinstance(v, Tensor) else v for v in (left, right)]
        np.testing.assert_array_equal(y.data, symbol(*values))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_reflected_operators_differentiate(symbol):
    x = Tensor(A.copy(), requires_grad=True)
    symbol(2.0, x).sum().backward()
    numeric = (symbol(2.0, A + 1e-6) - symbol(2.0, A - 1e-6)) / 2e-6
    np.testing.assert_allclose(x.grad.data, numeric, rtol=1e-6)


def test_matmul_operator_and_unary_ones():
    x = Tensor(A, requires_grad=True)
    for product in (x @ A.T, A @ x.T, x @ x.T):
        assert type(product) is Tensor and product.requires_grad
        np.testing.assert_allclose(product.data, A @ A.T)
    np.testing.assert_array_equal((-x).data, -A)
    np.testing.assert_array_equal(abs(-x).data, A)
    assert +x is x


@pytest.mark.parametrize("other", ["text", [1.0, 2.0], {}, object()], ids=lambda o: type(o).__name__)
def test_what_is_no_number_is_refused_with_its_type(other):
    with pytest.raises(TypeError, match=f"add.*got {type(other).__name__}"):
        Tensor(A) + other


def test_comparing_with_none_is_elementwise_and_tensors_are_their_own_keys():
    x, y = Tensor(A), Tensor(A)
    assert (x == y).data.all() and {x: 1, y: 2}[y] == 2


# ------------------------------------------------------------------------------------------------ NumPy's functions


@pytest.mark.parametrize("op", [op for op in OPS.values() if "ufunc" in op.facts], ids=lambda op: op.name)
def test_a_ufunc_runs_the_operation_of_its_name(op):
    ufunc = getattr(np, op.facts["ufunc"])
    arrays = next(d for d in (t.draw() for t in trials(op)) if all(is_floating(a) and a.ndim and a.size for a in d))
    x = Tensor(arrays[0], requires_grad=True)
    y = ufunc(x, *arrays[1:])
    assert type(y) is Tensor
    np.testing.assert_allclose(y.data, ufunc(*arrays), rtol=1e-15)  # vecdot may add in another order
    expected = op.function(x, *arrays[1:])
    assert y.requires_grad == expected.requires_grad
    if y.requires_grad:
        assert y.node.op is op
        y.backward(np.ones(y.shape))
        first = x.grad
        x.grad = None
        expected.backward(np.ones(y.shape))
        np.testing.assert_array_equal(first.data, x.grad.data)


def test_an_array_on_the_left_never_loses_the_gradient():
    x = Tensor(A.copy(), requires_grad=True)
    (np.full((2, 3), 3.0) * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 3.0))


TRACKED = {
    "reduce": lambda x: np.add.reduce(x),
    "accumulate": lambda x: np.add.accumulate(x),
    "outer": lambda x: np.multiply.outer(x, x),
    "at": lambda x: np.add.at(x, 0, 1.0),
    "no such operation": lambda x: np.heaviside(x, x),
    "where=": lambda x: np.exp(x, where=np.ones((2, 3), bool)),
    "dtype=": lambda x: np.exp(x, dtype=np.float32),
    "out= an array": lambda x: np.exp(x, out=np.empty((2, 3))),
    "+= on an array": lambda x: operator.iadd(np.ones((2, 3)), x),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.array of a list": lambda x: np.array([x, x]),
    "np.asarray": lambda x: np.asarray(x),
    "np.sum": lambda x: np.sum(x),
    "np.mean": lambda x: np.mean(x),
    "np.dot": lambda x: np.dot(A.T, x),
    "np.where": lambda x: np.where(A > 1, x, 0.0),
    "np.linalg.norm": lambda x: np.linalg.norm(x),
    "Tensor of a list": lambda x: Tensor([x, x]),
}


@pytest.mark.parametrize("call", TRACKED.values(), ids=TRACKED)
def test_what_would_lose_a_gradient_raises(call):
    with pytest.raises((TypeError, RuntimeError)):
        call(Tensor(A.copy(), requires_grad=True))


def test_the_way_out_is_named():
    x = Tensor(A, requires_grad=True)
    for refused in (lambda: np.asarray(x), lambda: x.numpy(), lambda: np.add.reduce(x), lambda: np.heaviside(x, 1)):
        with pytest.raises((RuntimeError, TypeError), match=r"\.detach\(\)\.numpy\(\)"):
            refused()
    assert x.detach().numpy() is x.data
    with pytest.raises(TypeError, match="np.add cannot write into a Tensor"):
        np.add(A, A, out=(x,))
    with pytest.raises(TypeError, match="cannot write into a Tensor"):
        np.exp(A, out=Tensor(A.copy()))


def test_without_a_gradient_numpy_may_do_as_it_likes():
    x = Tensor(A)
    np.testing.assert_array_equal(np.asarray(x), A)
    np.testing.assert_array_equal(np.add.reduce(x), A.sum(0))
    np.testing.assert_array_equal(np.heaviside(x, x), np.heaviside(A, A))
    np.testing.assert_array_equal(np.concatenate([x, x]), np.concatenate([A, A]))
    out = np.empty_like(A)
    assert np.exp(x, out=out) is out
    np.testing.assert_array_equal(out, np.exp(A))
    assert np.asarray(x) is x.data and np.array(x, copy=True) is not x.data
    assert np.asarray(x, np.float32).dtype == np.float32


# ------------------------------------------------------------------------------------------------ the table of kernels


def test_a_kernel_runs_in_place_of_the_body_inside_rules_too():
    calls = []

    def matmul(xp, a, b):
        calls.append((a.shape, b.shape))
        return np.matmul(a, b)

    x, w = Tensor(A.copy(), requires_grad=True), Tensor(A.T.copy(), requires_grad=True)
    with tg.use_kernels({"matmul": matmul}):
        y = x @ w
        assert calls == [((2, 3), (3, 2))]
        y.sum().backward()
    assert calls[1:] == [((2, 2), (2, 3)), ((3, 2), (2, 2))]
    x @ w
    assert len(calls) == 3, "after the block the table is what it was"


def test_a_batch_times_a_matrix_is_one_product_in_both_directions():
    shapes = []

    def matmul(xp, a, b):
        shapes.append((a.shape, b.shape))
        return NotImplemented

    x, w = Tensor(np.ones((5, 2, 3)), requires_grad=True), Tensor(np.ones((3, 4)), requires_grad=True)
    with tg.use_kernels({"matmul": matmul}):
        (x @ w).sum().backward()
    assert shapes == [((5, 2, 3), (3, 4)), ((5, 2, 4), (4, 3)), ((3, 10), (10, 4))]


def test_a_kernel_may_decline_and_then_the_body_runs():
    calls = []

    def softmax(xp, x, *, axis=-1):
        calls.append(axis)
        return NotImplemented if axis == 0 else np.full(x.shape, 7.0)

    with tg.use_kernels({"softmax": softmax}):
        np.testing.assert_allclose(tg.softmax(A, axis=0).sum(0), 1)
        assert (tg.softmax(A) == 7).all() and (tg.softmax(Tensor(A), axis=1).data == 7).all()
        x = Tensor(A, requires_grad=True)
        tg.softmax(x, axis=0)[0, 0].backward()
    p = tg.softmax(A, axis=0)
    np.testing.assert_allclose(x.grad.data[:, 0], [p[0, 0] * (1 - p[0, 0]), -p[0, 0] * p[1, 0]])
    assert calls == [0, -1, 1, 0]


def test_kernels_get_integers_already_in_the_dtype_of_the_floats():
    seen = []

    def multiply(xp, a, b):
        seen.append(b.dtype)
        return a * b

    with tg.use_kernels({"multiply": multiply}):
        tg.multiply(A.astype(np.float32), np.arange(3))
    assert seen == [np.float32]


def test_tables_nest_and_names_are_known():
    before = tg.kernels_in_use()
    with tg.use_kernels("reference"):
        assert tg.kernels_in_use() == "reference"
        with tg.use_kernels({"exp": lambda xp, x: x * 0}):
            assert tg.kernels_in_use() == "custom" and not tg.exp(A).any()
        np.testing.assert_array_equal(tg.exp(A), np.exp(A))
    assert tg.kernels_in_use() == before
    with pytest.raises(ValueError, match="unknown kernels 'quick'"), tg.use_kernels("quick"):
        pass
    with pytest.raises(ZeroDivisionError), tg.use_kernels({}):
        raise ZeroDivisionError
    assert tg.kernels_in_use() == before


def test_a_bug_in_a_kernel_is_its_own_and_says_where_it_was_called():
    def broken(xp, x):
        raise KeyError("stride")

    with tg.use_kernels({"exp": broken}), pytest.raises(KeyError) as caught:
        tg.exp(A)
    assert any("in exp(x: float64 (2, 3)), called at" in note and __file__ in note for note in caught.value.__notes__)
