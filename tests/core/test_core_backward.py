"""The backward pass: sums, ownership, hooks, observers, switches, second passes, dtypes and its errors."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Tensor

RNG = np.random.default_rng(1)


def tracked(*shape, dtype=float):
    return Tensor(RNG.normal(size=shape).astype(dtype), requires_grad=True)


# ------------------------------------------------------------------------------------------------ sums and buffers


def test_gradients_of_every_use_add_up():
    a = tracked(3)
    y = a * 1.0
    (y + y + y + y * y + a).sum().backward()
    np.testing.assert_allclose(a.grad.data, 4 + 2 * a.data)


def test_a_diamond_waits_until_all_has_arrived():
    x = tracked(3)
    y = tg.exp(x)
    passes = []
    y.register_hook(lambda g: passes.append(g.copy()))
    z = y * 2.0
    (tg.sin(y) + z * y + z).sum().backward()
    expected = np.cos(y.data) + 4 * y.data + 2
    assert len(passes) == 1
    np.testing.assert_allclose(passes[0], expected)
    np.testing.assert_allclose(x.grad.data, expected * y.data)


def test_gradients_accumulate_over_calls_and_are_cleared_by_none():
    x = tracked(3)
    for n in (1, 2, 3):
        (x * 2.0).sum().backward()
        np.testing.assert_array_equal(x.grad.data, [2.0 * n] * 3)
    held = x.grad.data.copy()
    before = x.grad.data
    (x * 2.0).sum().backward()
    np.testing.assert_array_equal(before, held)  # whoever kept the old array still has the old gradient
    x.grad = None
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones(3))


USES = {
    "a + b": lambda a, b: a + b,
    "a + b, scaled": lambda a, b: (a + b) * 2.0,
    "a - b": lambda a, b: a - b,
    "views": lambda a, b: a.reshape(4).reshape(2, 2) + b.T,
    "a twice": lambda a, b: a + a + b,
    "parts": lambda a, b: tg.concatenate(tg.split(tg.concatenate([a, b]), 2)),
    "stacked": lambda a, b: tg.stack([a, b]),
    "broadcast": lambda a, b: a[0] + b,
    "identity": lambda a, b: a,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_two_gradients_share_a_buffer(use):
    a, b = tracked(2, 2), tracked(2, 2)
    y = use(a, b)
    u = RNG.normal(size=y.shape)
    given = u.copy()
    y.backward(u)
    grads = [x.grad.data for x in (a, b) if x.grad is not None]
    for i, g in enumerate(grads):
        for other in (*grads[:i], u, y.data, a.data, b.data):
            assert not np.shares_memory(g, other)
        g[...] = 9.0
    np.testing.assert_array_equal(u, given)


def test_what_a_hook_returns_stays_its_own():
    mine, leaves = np.full(3, 5.0), [tracked(3), tracked(3)]
    for x in leaves:
        x.register_hook(lambda g: mine)
    (leaves[0] + leaves[1]).sum().backward()
    for x in leaves:
        assert not np.shares_memory(x.grad.data, mine)
        np.testing.assert_array_equal(x.grad.data, mine)
    x = tracked(3)
    x.register_hook(lambda g: mine)
    (x + x).sum().backward()  # a sum that the walk made itself, and a hook took the place of
    assert not np.shares_memory(x.grad.data, mine)
    wrong = tracked(3)
    wrong.register_hook(lambda g: g[:2])
    with pytest.raises(ValueError, match=r"a hook of <node.*returned a gradient of shape \(2,\)"):
        wrong.sum().backward()


def test_the_gradient_of_a_gradient_argument_is_not_mixed_up():
    x = tracked(3)
    u = Tensor(np.ones(3))
    x.backward(u)
    x.grad.data[...] = 7
    np.testing.assert_array_equal(u.data, np.ones(3))


# ------------------------------------------------------------------------------------------------ multiple outputs


def test_one_of_several_outputs_may_be_used():
    x = tracked(5)
    a, b, c = tg.split(x, [1, 3])
    (b * b).sum().backward()
    np.testing.assert_allclose(x.grad.data, [0, 2 * x.data[1], 2 * x.data[2], 0, 0])
    x.grad = None
    a, b, c = tg.split(x, [1, 3])
    (c * 3.0).sum().backward(retain_graph=True)
    (a * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 0, 0, 3, 3])


def test_an_output_used_twice_and_all_of_them():
    x = tracked(4)
    a, b = tg.split(x, 2)
    (a * b + a).sum().backward()
    np.testing.assert_allclose(x.grad.data, [*(x.data[2:] + 1), *x.data[:2]])


# ------------------------------------------------------------------------------------------------ hooks and observers


def test_hooks_run_in_order_replace_and_are_removed():
    x, seen = tracked(3), []
    y = x * 2.0
    y.register_hook(lambda g: seen.append(("first", g.copy())))
    remove = y.register_hook(lambda g: g * 10.0)
    y.register_hook(lambda g: seen.append(("last", g.copy())))
    y.sum().backward(retain_graph=True)
    assert [name for name, _ in seen] == ["first", "last"]
    np.testing.assert_array_equal(seen[0][1], [1, 1, 1])
    np.testing.assert_array_equal(seen[1][1], [10, 10, 10])
    np.testing.assert_array_equal(x.grad.data, [20, 20, 20])
    remove()
    remove()  # a second time does nothing
    x.grad = None
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 2, 2])


def test_a_hook_on_a_leaf_and_under_create_graph():
    x = tracked(3)
    x.register_hook(lambda g: -g)
    (x**3).sum().backward(create_graph=True)
    np.testing.assert_allclose(x.grad.data, -3 * x.data**2)
    assert x.grad.requires_grad
    second = tg.grad(lambda v: 0.0 * v.sum() + x.grad.sum(), create_graph=True)(np.ones(2))
    assert second.shape == (2,)
    with pytest.raises(RuntimeError, match="cannot hook a tensor that does not require"):
        Tensor(np.ones(3)).register_hook(print)


def test_an_observer_sees_every_node_newest_first():
    x = tracked(3)
    y = tg.exp(x)
    z = y * y
    seen = []
    with tg.watch(lambda node, g, grads: seen.append((node.op.name, g, grads))):
        z.sum().backward()
    assert [name for name, _, _ in seen] == ["sum", "multiply", "exp"]
    np.testing.assert_array_equal(seen[1][1], np.ones(3))
    np.testing.assert_allclose(seen[1][2], [y.data, y.data])
    np.testing.assert_allclose(seen[2][1], 2 * y.data)
    np.testing.assert_allclose(seen[2][2][0], x.grad.data)
    (tg.exp(x) * 1.0).sum().backward()
    assert len(seen) == 3  # not outside its block


def test_observers_nest():
    x, inner, outer = tracked(2), [], []
    with tg.watch(lambda *a: outer.append(a)):
        with tg.watch(lambda *a: inner.append(a)):
            (x * 2.0).sum().backward()
        x.sum().backward()
    assert (len(inner), len(outer)) == (2, 3)


def test_keep_grads_keeps_those_of_intermediate_tensors():
    x = tracked(3)
    y = x * 2.0
    z = y * y
    with tg.keep_grads():
        z.sum().backward()
    np.testing.assert_array_equal(z.grad.data, np.ones(3))
    np.testing.assert_allclose(y.grad.data, 2 * y.data)
    np.testing.assert_allclose(x.grad.data, 4 * y.data)
    passed_on = x + 1.0
    x.grad = None
    with tg.keep_grads():
        (passed_on * 2.0).sum().backward()
    assert not np.shares_memory(passed_on.grad.data, x.grad.data)
    again = x * 2.0
    again.sum().backward()
    assert again.grad is None


# ------------------------------------------------------------------------------------------------ switches


def test_no_grad_and_enable_grad():
    x = tracked(3)
    with tg.no_grad():
        assert not (x * 2.0).requires_grad
        with tg.enable_grad():
            assert (x * 2.0).requires_grad
        assert not tg.layer_norm(x).requires_grad
        assert Tensor(np.ones(2), requires_grad=True).requires_grad  # leaves are made as asked
    assert (x * 2.0).requires_grad


def test_no_grad_as_left_by_an_exception():
    x = tracked(3)
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert (x * 2.0).requires_grad


def test_a_switch_belongs_to_its_thread():
    x, seen = tracked(3), {}
    turned, checked = threading.Event(), threading.Event()

    def without():
        with tg.no_grad(), tg.default_dtype("float64"):
            turned.set()
            checked.wait(10)
            seen["inside"] = ((x * 2.0).requires_grad, Tensor([1.0]).dtype)

    thread = threading.Thread(target=without)
    thread.start()
    assert turned.wait(10)
    assert (x * 2.0).requires_grad and Tensor([1.0]).dtype == np.float32
    with tg.no_grad():
        fresh = threading.Thread(target=lambda: seen.update(fresh=(x * 2.0).requires_grad))
        fresh.start()
        fresh.join()
    checked.set()
    thread.join()
    assert seen == {"inside": (False, np.float64), "fresh": True}


def test_threads_may_differentiate_at_once():
    results = {}

    def work(i):
        x = Tensor(np.full(50, float(i)), requires_grad=True)
        y = x
        for _ in range(200):
            y = y * 1.01
        y.sum().backward()
        results[i] = x.grad.data

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(4):
        np.testing.assert_allclose(results[i], np.full(50, 1.01**200))


# ------------------------------------------------------------------------------------------------ passing again


def test_a_second_backward_raises_unless_the_graph_was_retained():
    x = tracked(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.data, 4 * x.data)
    with pytest.raises(RuntimeError, match="second time.*retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        (y * 2.0).backward()


def test_create_graph_records_the_gradient():
    x = tracked(3)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    (first * first).sum().backward(create_graph=True)
    np.testing.assert_allclose(x.grad.data, 36 * x.data**3)
    second = x.grad
    x.grad = None
    second.sum().backward()
    np.testing.assert_allclose(x.grad.data, 108 * x.data**2)
    assert not x.grad.requires_grad


def test_create_graph_accumulates_too():
    x = tracked(3)
    x.sum().backward()
    (x * x).sum().backward(create_graph=True)
    np.testing.assert_allclose(x.grad.data, 1 + 2 * x.data)
    g = x.grad
    x.grad = None
    g.sum().backward()
    np.testing.assert_allclose(x.grad.data, [2, 2, 2])


def test_create_graph_of_several_outputs():
    x = tracked(4)
    a, b = tg.split(x, 2)
    (a * a * b).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    (g * g).sum().backward()
    a, b = x.data[:2], x.data[2:]
    np.testing.assert_allclose(x.grad.data, [*(8 * a * b**2 + 4 * a**3), *(8 * a**2 * b)])


# ------------------------------------------------------------------------------------------------ dtypes


def test_a_gradient_is_cast_once_at_its_edge():
    x, w = tracked(3, dtype=np.float32), tracked(3)
    y = x * 1.5
    assert y.dtype == np.float32
    (y * w).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)
    h = tracked(3, dtype=np.float16)
    (h * w * x).sum().backward(np.array(2))
    assert h.grad.dtype == np.float16
    np.testing.assert_allclose(h.grad.data, 2 * w.data * x.data, rtol=1e-3)


def test_a_cotangent_may_be_an_array_a_tensor_a_list_or_a_number():
    for u in (np.array([1.0, 2.0]), Tensor([1.0, 2.0]), [1, 2], np.array([1, 2]), np.array([1, 2], np.float32)):
        x = tracked(2)
        (x * 3.0).backward(u)
        assert x.grad.dtype == np.float64
        np.testing.assert_array_equal(x.grad.data, [3.0, 6.0])


# ------------------------------------------------------------------------------------------------ errors


def test_errors_of_backward():
    x = tracked(2, 3)
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\): call .sum\(\).backward\(\)"):
        (x * 2.0).backward()
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\) for a tensor of shape \(2, 3\)"):
        (x * 2.0).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        Tensor(np.ones(1)).backward()
    one = tracked(1, 1)
    (one * 3.0).backward()  # one element is enough to start from
    np.testing.assert_array_equal(one.grad.data, [[3.0]])


def test_integers_cannot_require_gradients():
    for make in (lambda: Tensor([1, 2], requires_grad=True), lambda: Tensor([True]).requires_grad_()):
        with pytest.raises(TypeError, match="only floating tensors can require gradients, this one is (int64|bool)"):
            make()


def test_assigning_a_gradient():
    x = tracked(3)
    x.grad = np.ones(3)
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2.0] * 3)
    for wrong in (np.ones(2), np.ones(3, np.float32)):
        with pytest.raises(ValueError, match=r"gradient of float64 \(3,\) was assigned"):
            x.grad = wrong
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        Tensor(np.ones(3)).grad = np.ones(3)
    assert Tensor(np.ones(3)).grad is None


def test_a_rule_that_returns_a_wrong_shape_or_number_of_gradients_is_caught():
    @tg.op
    def odd(xp, x):
        return x * 1

    odd.vjp("x")(lambda g: g[:2])
    with pytest.raises(ValueError, match=r"gradient of shape \(2,\) for an input of shape \(3,\)"):
        odd(tracked(3)).sum().backward()

    @tg.op
    def pair(xp, *xs):
        return xs[0] + xs[1]

    pair.vjp("xs")(lambda g: (g,))
    with pytest.raises(ValueError, match="returned 1 gradients for 2 inputs"):
        pair([tracked(3), tracked(3)]).sum().backward()


def test_a_hook_dies_with_its_tensor():
    def hooked():
        x = Tensor([1.0], requires_grad=True)
        x.register_hook(lambda g: x.data * g)
        return weakref.ref(x.node)

    node = hooked()
    gc.collect()
    assert node() is None


def test_what_a_hook_returns_is_an_array_of_the_tensors_dtype():
    x = Tensor(1.0, requires_grad=True)
    x.register_hook(lambda g: g.astype(np.float64))
    (x * 2).backward()
    assert x.grad.dtype == np.float32
    x.register_hook(lambda g: 3.0)
    with pytest.raises(ValueError, match="a hook of .* returned a gradient of type float"):
        (x * 2).backward()


def test_kept_gradients_add_up_as_those_of_leaves_do():
    x = Tensor([1.0], requires_grad=True)
    y = x * 2
    with tg.keep_grads():
        z = y.sum()
        z.backward(retain_graph=True)
        z.backward()
    assert (x.grad.item(), y.grad.item()) == (4.0, 2.0)
