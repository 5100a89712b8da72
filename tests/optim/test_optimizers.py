import tracemalloc
from typing import Any

import numpy as np
import pytest

from tinygrad_lm import Generator
from tinygrad_lm.nn import Parameter
from tinygrad_lm.optim import SGD, Adam, AdamW, Optimizer

SHAPES = [(3, 4), (4,), (), (2, 1, 3), (5, 2)]
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (SGD, {"lr": 0.1}),
    "sgd decay": (SGD, {"lr": 0.1, "weight_decay": 0.2}),
    "momentum": (SGD, {"lr": 0.1, "momentum": 0.9}),
    "momentum decay": (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    "nesterov": (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "nesterov decay": (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2}),
    "adam": (Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam decay": (Adam, {"lr": 0.05, "weight_decay": 0.3}),
    "adamw": (AdamW, {"lr": 0.05, "betas": (0.9, 0.99)}),
    "adamw decay": (AdamW, {"lr": 0.05, "weight_decay": 0.3, "eps": 1e-2}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def values(seed, dtype=np.float64):
    source = Generator(seed)
    return [np.asarray(source.normal(shape, dtype)) for shape in SHAPES]


def parameters(dtype=np.float64):
    return [Parameter(v) for v in values(0, dtype)]


def give_gradients(params, step):
    """Gradients of step `step`; the last parameter has none at every third step."""
    for p, g in zip(params, values(100 + step, params[0].dtype), strict=True):
        p.grad = None if p is params[-1] and step % 3 == 1 else g


def run(optimizer, params, steps):
    for step in steps:
        give_gradients(params, step)
        optimizer.step()


@every_kind
def test_twenty_steps_equal_torch(kind):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    make, settings = KINDS[kind]
    ours = parameters()
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]
    groups = lambda p: [{"params": p[:2], "weight_decay": 0.05}, {"params": p[2:], "lr": 0.02}]  # noqa: E731
    a, b = make(groups(ours), **settings), getattr(torch.optim, make.__name__)(groups(theirs), **settings)
    for step in range(20):
        give_gradients(ours, step)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = None if p.grad is None else torch.tensor(p.grad.data.copy())
        if step == 10:
            a.groups[0]["lr"] = b.param_groups[0]["lr"] = 0.03
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adam_is_its_formula(make):
    lr, (b1, b2), eps, decay = 0.01, (0.7, 0.9), 1e-4, 0.1
    (p,) = params = [Parameter(np.array([1.0, -2.0, 3.0]))]
    optimizer = make(params, lr=lr, betas=(b1, b2), eps=eps, weight_decay=decay)
    x, m, v = p.data.copy(), np.zeros(3), np.zeros(3)
    for t in range(1, 21):
        g = np.cos(t * np.arange(1.0, 4.0))
        p.grad = g
        optimizer.step()
        if make is AdamW:
            x = x - lr * decay * x
        else:
            g = g + decay * x
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        x = x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        np.testing.assert_allclose(p.data, x, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_its_formula(nesterov):
    lr, momentum, decay = 0.1, 0.9, 0.01
    (p,) = params = [Parameter(np.array([1.0, -2.0, 3.0]))]
    optimizer = SGD(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    x, buffer = p.data.copy(), 0
    for t in range(20):
        p.grad = np.sin(t + np.arange(3.0))
        optimizer.step()
        g = np.sin(t + np.arange(3.0)) + decay * x
        buffer = momentum * buffer + g
        x = x - lr * (g + momentum * buffer if nesterov else buffer)
        np.testing.assert_allclose(p.data, x, rtol=1e-12)


@every_kind
def test_updates_are_in_place_and_leave_the_gradient_alone(kind):
    make, settings = KINDS[kind]
    params = parameters(np.float32)
    arrays = [p.data for p in params]
    optimizer = make(params, **settings)
    give_gradients(params, 0)
    gradients = [p.grad.data for p in params]
    for g in gradients:
        g.flags.writeable = False
    optimizer.step()
    optimizer.step()
    assert all(p.data is array and p.dtype == np.float32 for p, array in zip(params, arrays, strict=True))
    assert all((g == v).all() for g, v in zip(gradients, values(100, np.float32), strict=True))
    assert all(v.dtype == np.float32 for v in optimizer.state_dict().values() if not isinstance(v, int))


@every_kind
def test_without_a_gradient_or_frozen_nothing_moves(kind):
    make, settings = KINDS[kind]
    params = parameters()
    optimizer = make(params, **settings)
    run(optimizer, params, range(2))
    before = [p.data.copy() for p in params]
    state = {n: np.array(v) for n, v in optimizer.state_dict().items()}
    params[0].grad = None
    params[1].requires_grad_(False)
    for p in params[2:]:
        p.grad = None
    optimizer.step()
    optimizer.zero_grad()  # a frozen parameter is no obstacle
    assert all((p.data == b).all() for p, b in zip(params, before, strict=True))
    assert all((optimizer.state_dict()[n] == v).all() for n, v in state.items())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"adam decay"}))  # which needs a second work space
def test_a_step_makes_no_large_arrays(kind):
    make, settings = KINDS[kind]
    p = Parameter(np.ones(100_000))
    p.grad = np.ones(100_000)
    optimizer = make([p], **settings)
    optimizer.step()
    tracemalloc.start()
    optimizer.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000


def test_zero_grad_forgets():
    params = parameters()
    give_gradients(params, 0)
    SGD(params, lr=0.1).zero_grad()
    assert all(p.grad is None for p in params)


@every_kind
def test_a_saved_state_continues_to_the_same_bits(kind):
    make, settings = KINDS[kind]
    straight, first = parameters(), parameters()
    whole, part = make(straight, **settings), make(first, **settings)
    names = list(part.state_dict())
    run(whole, straight, range(10))
    run(part, first, range(5))
    saved = {n: np.array(v) for n, v in part.state_dict().items()}  # numbers as arrays: what a file gives back
    assert list(saved) == names
    second = [Parameter(p.data.copy()) for p in first]
    continued = make(second, **settings)
    continued.load_state_dict(saved)
    for v in saved.values():
        v[...] = 0  # it was copied
    run(continued, second, range(5, 10))
    for p, q in zip(straight, second, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(continued.state_dict()[name], value)


def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed():
    params = parameters()
    optimizer = Adam(params)
    good = {n: np.array(v) + 1 for n, v in optimizer.state_dict().items()}
    assert list(good)[:3] == ["0.step", "0.exp_avg", "0.exp_avg_sq"]
    bad = {
        "missing: 3.step;": {n: v for n, v in good.items() if n != "3.step"},
        "unexpected: 5.exp_avg;": {**good, "5.exp_avg": np.zeros(2)},
        r"of another shape: 1.exp_avg \(7,\), not \(4,\);": {**good, "1.exp_avg": np.zeros(7)},
        r"of another shape: 1.step \(1,\), not \(\);": {**good, "1.step": np.zeros(1)},
    }
    for message, state in bad.items():
        with pytest.raises(ValueError, match=f"^this state does not fit Adam of 5 parameters: {message}[^\n]*$"):
            optimizer.load_state_dict(state)
    assert all((np.asarray(v) == 0).all() for v in optimizer.state_dict().values())


def one():
    return Parameter(np.zeros(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD([], lr=0.1), "SGD: there are no parameters"),
        (lambda: SGD([{"lr": 0.1}], lr=0.1), "SGD: there are no parameters"),
        (lambda: SGD([one()], lr=-0.1), "SGD: lr must be at least 0, got -0.1"),
        (lambda: SGD([one()], lr=float("nan")), "SGD: lr must be at least 0, got nan"),
        (lambda: SGD([one()], lr=0.1, momentum=1.0), "SGD: momentum must be from 0 to below 1, got 1.0"),
        (lambda: SGD([one()], lr=0.1, nesterov=True), "SGD: nesterov needs a momentum above 0"),
        (lambda: Adam([one()], betas=(0.9, 1.0)), r"Adam: betas\[1\] must be from 0 to below 1, got 1.0"),
        (lambda: Adam([one()], eps=0.0), "Adam: eps must be above 0, got 0.0"),
        (lambda: AdamW([one()], weight_decay=-1), "AdamW: weight_decay must be at least 0, got -1"),
        (lambda: AdamW([{"params": [one()], "lrr": 1}]), "AdamW: unknown setting 'lrr' in a group; known: lr, betas"),
        (lambda: AdamW([{"params": [one()], "lr": -1}]), "AdamW: lr must be at least 0, got -1"),
        (lambda: AdamW([p := one(), p]), "AdamW: a parameter was given twice"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        make()


def test_parameters_are_tensors():
    with pytest.raises(TypeError, match="SGD: parameters are Tensors, or dictionaries in a list; got ndarray"):
        SGD([np.zeros(3)], lr=0.1)  # type: ignore[arg-type]


def test_an_optimizer_of_ones_own_is_two_methods():
    class Signs(Optimizer):
        def new_state(self, xp, p, group):
            return {}

        def update(self, xp, p, g, scratch, state, group):
            xp.sign(g, out=scratch)
            scratch *= group["lr"]
            p -= scratch

    p = Parameter(np.zeros(3))
    p.grad = np.array([5.0, -2.0, 0.0])
    Signs((q for q in [p]), lr=0.5, weight_decay=0.0).step()
    assert p.data.tolist() == [-0.5, 0.5, 0.0]
