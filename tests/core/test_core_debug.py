"""Debug mode, and what an error says: the operation, what it was given, why that cannot be, and the user's own line."""

from __future__ import annotations

import _thread
import inspect
import threading
import types
from importlib import import_module

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Function, Tensor, op
from tinygrad_lm.backend import get_backend
from tinygrad_lm.core import errors

RNG = np.random.default_rng(8)
X = RNG.normal(size=(3, 4))


def leaf(a):
    return Tensor(np.array(a), requires_grad=True)


def line_above():
    """'file:line' of the line above the one that calls this."""
    return f"{__file__}:{inspect.currentframe().f_back.f_lineno - 1}"


# ------------------------------------------------------------------------------------------------ debug mode


class Doubled(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2.0


def test_a_node_knows_the_users_line():
    x = leaf(X)
    with tg.debug():
        y = x * 2.0
        here = line_above()
        z = tg.split(x, 2, axis=1)[0]
        there = line_above()
    assert y.node.where == here and here in repr(y.node)
    assert z.node.parents[0].where == there
    with tg.debug():
        w = Doubled.apply(x)
        here = line_above()
    assert w.node.parents[0].where == here
    assert not hasattr((x * 2.0).node, "where")


@pytest.mark.parametrize("through", ["backward", "deletion", "an exception"])
def test_a_write_into_what_the_tape_keeps_raises_until_it_is_freed(through):
    x = leaf(X)
    with tg.debug():
        y = x * x
        for write in (lambda: x.data.__iadd__(1.0), lambda: x.data.fill(0.0), lambda: x.data.__setitem__(0, 1.0)):
            with pytest.raises(ValueError, match="read-only"):
                write()
    with pytest.raises(ValueError, match="read-only"):
        x.data += 1.0  # outside the block too, as long as the tape keeps it
    np.testing.assert_array_equal(x.data, X)
    if through == "backward":
        y.sum().backward()
        np.testing.assert_allclose(x.grad.data, 2 * X)
    elif through == "an exception":
        with pytest.raises(ValueError):
            y.backward(np.ones(2))
        del y
    else:
        del y
    x.data += 1.0
    np.testing.assert_array_equal(x.data, X + 1)


def test_arrays_kept_twice_stay_locked_until_the_last_node_is_gone():
    x = leaf(X)
    with tg.debug():
        y, z = x * x, tg.sin(x)
    del y
    with pytest.raises(ValueError, match="read-only"):
        x.data += 1.0
    del z
    x.data += 1.0


def test_views_and_what_they_are_views_of():
    x = leaf(X)
    with tg.debug():
        y = tg.matmul(x.T, x[:, ::2]).sum()
        for array in (x.data, x.data.T):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0
        y.backward()
    x.data += 1.0


def test_a_view_waits_for_what_it_is_a_view_of():
    """NumPy makes no view writeable of an array that is not: it must be released after that, whoever is freed first."""
    x = leaf(X)
    rows = Tensor(x.data[:2], requires_grad=True)
    with tg.debug():
        whole = x * x
        for _ in range(2):  # waiting twice
            part = rows * rows
            del part
        part = rows * rows
    del whole
    for array in (x.data, rows.data):
        with pytest.raises(ValueError, match="read-only"):
            array += 1.0
    del part
    x.data += 1.0
    rows.data += 1.0

    with tg.debug():
        whole, part = x * x, rows * rows
    del part
    with pytest.raises(ValueError, match="read-only"):
        rows.data += 1.0
    del whole
    rows.data += 1.0
    x.data += 1.0


def test_a_view_that_waits_may_be_kept_again():
    x = leaf(X)
    rows = Tensor(x.data[:2], requires_grad=True)
    with tg.debug():
        whole = x * x
        part = rows * rows
        del part  # now the view waits for the array
        lock = import_module("tinygrad_lm.core.debug")._locks[id(rows.data)]
        lock.keepers += 1  # somebody keeps it again, as a second thread may
        del whole
        assert not rows.data.flags.writeable
        lock.keepers -= 1
        lock.release()
    rows.data += 1.0


def test_memory_of_a_library_that_numpy_does_not_know_is_left_alone():
    torch = pytest.importorskip("torch")
    x = Tensor(torch.from_numpy(X.copy()).numpy(), requires_grad=True)
    borrowed = Tensor(np.frombuffer(bytearray(X.tobytes())), requires_grad=True)
    with tg.debug():
        y, z = x * x, borrowed * borrowed
        x.data += 0.0  # could not be unlocked
        with pytest.raises(ValueError, match="read-only"):
            borrowed.data += 1.0
    del y, z
    x.data += 1.0
    borrowed.data += 1.0


def test_what_was_read_only_before_stays_so():
    fixed = X.copy()
    fixed.flags.writeable = False
    x = leaf(X)
    with tg.debug():
        (x * fixed).sum().backward()
        (x * np.broadcast_to(X[0], (3, 4))).sum().backward()
    assert not fixed.flags.writeable
    x.data += 1.0


def test_outputs_and_auxiliary_results_are_guarded_too():
    x = leaf(X)
    with tg.debug():
        y = tg.layer_norm(tg.exp(x))
        with pytest.raises(ValueError, match="read-only"):
            y.node.kept()["centre"][...] = 0.0
        z = tg.exp(x)
        with pytest.raises(ValueError, match="read-only"):
            z.data *= 2.0
    z.backward(np.ones((3, 4)))
    z.data *= 2.0


def test_in_place_operators_work_in_debug_mode():
    x = leaf(X)
    with tg.debug():
        y = x * x
        y += 1.0
        y[0] = 0.0
        y *= y
        y.sum().backward()
    expected = 4 * X * (X * X + 1)
    expected[0] = 0
    np.testing.assert_allclose(x.grad.data, expected)


def test_a_derivative_that_fails_says_where_its_operation_was_called():
    @tg.op
    def broken(xp, x):
        return x * 1

    @broken.vjp("x")
    def _(g, x_shape):
        raise ZeroDivisionError("in the rule")

    with tg.debug():
        y = broken(leaf(X))
        here = line_above()
    with pytest.raises(ZeroDivisionError) as caught:
        y.sum().backward()
    assert any("in the derivative of <node of broken" in note and here in note for note in caught.value.__notes__)


def test_debug_mode_leaves_results_as_they_are():
    def run():
        x, w = leaf(X), leaf(X.T[:, :2])
        y = tg.softmax(tg.layer_norm(x) @ w) * 2.0
        y.sum(axis=0)[0].backward()
        return y.data, x.grad.data, w.grad.data

    plain = run()
    with tg.debug():
        debugged = run()
        with tg.no_grad():
            assert not (leaf(X) * 2.0).requires_grad
    for a, b in zip(plain, debugged, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------ errors

ERRORS = {
    "matmul": (
        lambda: tg.matmul(X, X),
        ValueError,
        "matmul(a: float64 (3, 4), b: float64 (3, 4)): the last axis of a is 4, but axis -2 of b is 3; b.mT would fit",
    ),
    "matmul of numbers": (lambda: leaf(2.0) @ X, ValueError, "needs at least one axis on both sides"),
    "matmul batches": (
        lambda: tg.matmul(np.ones((2, 3, 4)), np.ones((5, 4, 1))),
        ValueError,
        "the leading axes (2,) and (5,) do not broadcast",
    ),
    "broadcasting": (
        lambda: leaf(X) + np.ones(3),
        ValueError,
        "add(a: float64 (3, 4), b: float64 (3,)): shapes (3, 4) and (3,) do not broadcast: on axis -1 they have 3 and",
    ),
    "an axis": (lambda: tg.sum(X, axis=2), IndexError, "sum(x: float64 (3, 4), axis=2): axis 2 is out of bounds"),
    "an index": (lambda: leaf(X)[5], IndexError, "getitem(x: float64 (3, 4), index=5): index 5 is out of bounds"),
    "reshape": (lambda: leaf(X).reshape(5), ValueError, "reshape(x: float64 (3, 4), shape=(5,)): the 12 elements"),
    "concatenate": (
        lambda: tg.concatenate([X, X.T]),
        ValueError,
        "concatenate(xs[0]: float64 (3, 4), xs[1]: float64 (4, 3))",
    ),
    "nothing to stack": (
        lambda: tg.stack([]),
        ValueError,
        "stack(): there is nothing to stack, give a list of at least one array",
    ),
    "split": (lambda: tg.split(X, 3, axis=1), ValueError, "split(x: float64 (3, 4), sections=3, axis=1)"),
    "linear, width": (lambda: tg.linear(X, X.T), ValueError, "needs a weight of shape (out, 4), got (4, 3)"),
    "linear, bias": (lambda: tg.linear(X, X, np.ones(4)), ValueError, "bias (4,) must be (3,)"),
    "layer_norm": (
        lambda: tg.layer_norm(X, np.ones(3)),
        ValueError,
        "weight and bias must have shape (4,), got (3,) and None",
    ),
    "embedding": (
        lambda: tg.embedding(np.array([0, 3]), X),
        IndexError,
        "ids reach from 0 to 3, the table has rows 0 to 2",
    ),
    "embedding, negative": (lambda: tg.embedding(np.array([-1]), X), IndexError, "ids reach from -1 to -1"),
    "embedding, floats": (lambda: tg.embedding(X, X), TypeError, "ids must be integers, got float64"),
    "attention, heads": (
        lambda: tg.attention(X, X[:, :2], X),
        ValueError,
        "q and k must have one head size, got 4 and 2",
    ),
    "attention, lengths": (lambda: tg.attention(X, X, X[:2]), ValueError, "k and v must have one length, got 3 and 2"),
    "attention, axes": (lambda: tg.attention(X[0], X, X), ValueError, "q, k and v need at least the axes (length"),
    "linear, input": (
        lambda: tg.linear(X[:, :3], X),
        ValueError,
        "x (3, 3) needs a weight of shape (out, 3), got (3, 4)",
    ),
    "tensordot, twice": (
        lambda: tg.tensordot(X, X, axes=((0, 0), (0, 1))),
        ValueError,
        "an axis is named twice in ((0, 0), (0, 1))",
    ),
    "tensordot, again": (
        lambda: tg.tensordot(X, X, axes=((0, -2), (0, 1))),
        ValueError,
        "an axis is named twice in ((0, -2), (0, 1))",
    ),
    "attention, mask": (
        lambda: tg.attention(X, X, X, np.ones((2, 2))),
        ValueError,
        "the mask (2, 2) must broadcast to (..., 3, 3)",
    ),
    "text": (lambda: leaf(X) * "a", TypeError, "multiply(a: float64 (3, 4), b: str): expected arrays, Tensors or"),
    "a list": (lambda: tg.exp([1.0]), TypeError, "got list; wrap it: Tensor(...)"),
    "einsum": (lambda: tg.einsum("ij,jk->ik", X, X), ValueError, "einsum"),
    "einsum, operands": (lambda: tg.einsum("ij->i", X, X), ValueError, "names 1 operands and got 2"),
    "einsum, axes": (lambda: tg.einsum("ijk->i", X), ValueError, "'ijk' names 3 axes of an array of shape (3, 4)"),
    "einsum, diagonal": (lambda: tg.einsum("ii->i", X), ValueError, "axis 'i' is 3 here and 4 there"),
    "einsum, twice": (lambda: tg.einsum("ij->ii", X), ValueError, "the result 'ii' must name each letter at most once"),
    "einsum, result": (lambda: tg.einsum("ij->k", X), ValueError, "the result names k, which no operand has"),
    "squeeze": (lambda: tg.squeeze(X, 0), ValueError, "squeeze: axis 0 of shape (3, 4) is not of size 1"),
    "squeeze, far": (
        lambda: tg.squeeze(X, 2),
        np.exceptions.AxisError,
        "squeeze: axis 2 is out of bounds for array of dimension 2",
    ),
    "expand_dims": (
        lambda: tg.expand_dims(X, 4),
        np.exceptions.AxisError,
        "expand_dims: axis 4 is out of bounds for array of dimension 3",
    ),
    "expand_dims, twice": (
        lambda: tg.expand_dims(X, (0, 0)),
        np.exceptions.AxisError,
        "axis (0, 0) names an axis twice",
    ),
}


@pytest.mark.parametrize(("call", "kind", "words"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_where_and_why(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert words in message and "\n" not in message
    assert type(caught.value).__name__ == kind.__name__
    assert "gufunc" not in message and "signature" not in message


@pytest.mark.parametrize("call", [lambda x: tg.matmul(x, [[1.0]]), lambda x: tg.layer_norm(x, [1.0])])
def test_what_is_no_array_is_not_taken_for_a_wrong_shape(call):
    with pytest.raises(TypeError, match="expected arrays, Tensors or numbers, got list"):
        call(np.ones((1, 1)))


def test_an_error_names_this_very_line():
    with pytest.raises(ValueError) as caught:
        leaf(X) + np.ones(3)
    here = f"{__file__}:{caught.traceback[0].lineno + 1}"
    assert str(caught.value).endswith(f"[{here}]")
    with pytest.raises(ValueError) as caught:
        tg.nn.Linear(3, 2)(Tensor(np.ones((1, 4), np.float32)))
    assert f"[{__file__}:{caught.traceback[0].lineno + 1}]" in str(caught.value)  # not a line inside the package


def test_a_call_from_nowhere_is_on_an_unknown_line():
    """In a thread that was started in C, whose frames are all of this package."""
    scope = {"user_line": errors.user_line, "found": [], "done": threading.Event()}
    code = compile("found.append(user_line()); done.set()", errors.PACKAGE + "inside.py", "exec")
    _thread.start_new_thread(types.FunctionType(code, scope), ())
    assert scope["done"].wait(10) and scope["found"] == ["an unknown line"]


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        ([(2, 3), (3,), ()], None),
        ([(2, 1, 3), (5, 1), (1,)], None),
        ([], None),
        ([(2, 3), (4,)], "shapes (2, 3) and (4,) do not broadcast: on axis -1 they have 3 and 4"),
        ([(5, 3), (2, 1), (1,)], "shapes (5, 3) and (2, 1) and (1,) do not broadcast: on axis -2 they have 2 and 5"),
        ([(0, 3), (2, 3)], "shapes (0, 3) and (2, 3) do not broadcast: on axis -2 they have 0 and 2"),
    ],
)
def test_why_shapes_do_not_broadcast(shapes, why):
    assert errors.no_broadcast(shapes) == why


def test_an_error_of_an_operation_within_an_operation_is_told_once():
    @op
    def summed(xp, x):
        return tg.sum(x, axis=7)

    with pytest.raises(IndexError, match=r"^sum\(x: float64 \(3, 4\), axis=7\)") as caught:
        summed(X)
    assert "summed" not in str(caught.value)


def test_an_error_inside_a_rule_is_told_once():
    @tg.op
    def clumsy(xp, x):
        return x * 1

    clumsy.vjp("x")(lambda g, x: tg.matmul(g, x))
    with pytest.raises(ValueError) as caught:
        clumsy(leaf(X)).sum().backward()
    assert str(caught.value).count("matmul") == 1
    assert any("in the derivative of <node of clumsy" in note for note in caught.value.__notes__)


def test_what_is_not_about_the_arguments_passes_with_a_note():
    def broken(xp, x):
        raise RuntimeError("the driver is gone")

    with tg.use_kernels({"exp": broken}), pytest.raises(RuntimeError, match="^the driver is gone") as caught:
        tg.exp(X)
    assert any("in exp(x: float64 (3, 4)), called at" in note for note in caught.value.__notes__)


def test_out_of_memory_names_the_arrays_and_what_needs_less(gpu):
    def exhausted(xp, x):
        raise MemoryError("Out of memory allocating 4,096 bytes (allocated so far: 8,192 bytes).")

    with tg.use_kernels({"exp": exhausted}), pytest.raises(MemoryError) as caught:
        tg.exp(X)
    text = str(caught.value)
    assert text.startswith("exp(x: float64 (3, 4)): out of memory on cpu: Out of memory allocating 4,096 bytes")
    assert "a smaller batch, tg.checkpoint" in text and "\n" not in text and "test_core_debug.py:" in text
    x = get_backend("cuda").from_numpy(X)
    with tg.use_kernels({"exp": exhausted}, "cuda"), pytest.raises(MemoryError, match="out of memory on cuda: "):
        tg.exp(x)


def test_an_error_in_a_users_own_forward_says_where_it_was_raised():
    @op
    def picky(xp, x):
        if x.ndim:
            raise ValueError("no axes, please")
        return x

    here = picky.op.forward.__code__.co_firstlineno + 3
    with pytest.raises(ValueError, match="no axes, please") as caught:
        picky(Tensor([1.0]))
    assert caught.value.__notes__ == [f"raised at {__file__}:{here}"]
    with pytest.raises(IndexError) as caught:
        tg.sum(np.ones(2), axis=3)
    assert not hasattr(caught.value, "__notes__")
