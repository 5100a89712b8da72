"""Recurrent layers against torch's with the same weights, and what is refused."""

import re

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn

F64 = np.float64
torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

KINDS = ["RNN", "LSTM", "GRU"]


def numbers(*shape, seed=3):
    return tg.Generator(seed).normal(shape, F64)


def pair(kind, inputs=3, width=4, **settings):
    """Our layer, and torch's with its weights."""
    ours = getattr(nn, kind)(inputs, width, dtype=F64, **settings)
    theirs = getattr(torch.nn, kind)(inputs, width, **settings).double()
    theirs.load_state_dict({n: torch.tensor(v) for n, v in ours.state_dict().items()})
    return ours, theirs


def flat(result):
    """(outputs, each final state)"""
    ys, state = result
    return [ys, *(state if isinstance(state, tuple) else [state])]


SETTINGS = [
    {},
    {"num_layers": 2},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"bias": False, "num_layers": 3},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("with_state", [True, False])
def test_values_and_all_gradients_are_torchs(kind, settings, with_state):
    ours, theirs = pair(kind, **settings)
    depth = settings.get("num_layers", 1) * (1 + settings.get("bidirectional", False))
    x = numbers(*((2, 5, 3) if settings.get("batch_first") else (5, 2, 3)))
    given = [x, *[numbers(depth, 2, 4, seed=s) for s in range((1 + (kind == "LSTM")) * with_state)]]
    mine = [tg.Tensor(a, requires_grad=True) for a in given]
    yours = [torch.tensor(a, requires_grad=True) for a in given]

    def run(layer, leaves):
        x, *states = leaves
        return flat(layer(x, (tuple(states) if kind == "LSTM" else states[0]) if with_state else None))

    results, expected = run(ours, mine), run(theirs, yours)
    total, wanted = 0.0, 0.0
    for i, (y, z) in enumerate(zip(results, expected, strict=True)):
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-13)
        weights = numbers(*y.shape, seed=20 + i)
        total, wanted = total + (y * weights).sum(), wanted + (z * torch.tensor(weights)).sum()
    total.backward()
    wanted.backward()
    for x, u in zip(mine, yours, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), u.grad.numpy(), rtol=1e-9, atol=1e-12)
    theirs_by_name = dict(theirs.named_parameters())
    assert [n for n, _ in ours.named_parameters()] == list(theirs_by_name)
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), theirs_by_name[name].grad.numpy(), rtol=1e-9, atol=1e-12)


def test_rnn_with_relu():
    ours, theirs = pair("RNN", nonlinearity="relu")
    x = numbers(6, 2, 3)
    np.testing.assert_allclose(ours(x)[0].detach().numpy(), theirs(torch.tensor(x))[0].detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_of_a_sequence_can_be_run_in_pieces(kind):
    layer = getattr(nn, kind)(3, 4, num_layers=2, dtype=F64)
    x = numbers(7, 2, 3)
    whole, end = layer(x)
    first, state = layer(x[:3])
    second, last = layer(x[3:], state)
    np.testing.assert_allclose(tg.concatenate([first, second]).detach().numpy(), whole.detach().numpy(), rtol=1e-12)
    for a, b in zip(flat((whole, end))[1:], flat((whole, last))[1:], strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind):
    """torch has none for its recurrent layers: differences of the gradient, of x and of a weight."""
    layer = getattr(nn, kind)(2, 2, num_layers=2, bidirectional=True, dtype=F64)

    def gradient(x):
        """Of a function that is not linear in the outputs, by x and by one weight."""
        x = tg.Tensor(x, requires_grad=True)
        layer.zero_grad()
        (layer(x)[0] ** 3).sum().backward(create_graph=True)
        return x, x.grad, layer.weight_hh_l0_reverse.grad

    x, v, h = numbers(3, 2, 2), numbers(3, 2, 2, seed=4), 1e-5
    leaf, *grads = gradient(x)
    above, below = gradient(x + h * v)[1:], gradient(x - h * v)[1:]
    for g, a, b in zip(grads, above, below, strict=True):
        weights = numbers(*g.shape, seed=6)
        leaf.grad = None
        (g * weights).sum().backward(retain_graph=True)
        difference = ((a - b) * weights).sum().item() / (2 * h)
        np.testing.assert_allclose((leaf.grad.detach().numpy() * v).sum(), difference, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_between_layers_in_training_only(kind):
    make = lambda p: getattr(nn, kind)(3, 4, num_layers=2, dropout=p, generator=tg.Generator(1), dtype=F64)  # noqa: E731
    layer, plain = make(0.5), make(0.0)
    plain.load_state_dict(layer.state_dict())
    x = numbers(5, 2, 3)
    wet, dry = layer(x)[0].detach().numpy(), plain(x)[0].detach().numpy()
    assert (wet != dry).any()
    np.testing.assert_array_equal(layer.eval()(x)[0].detach().numpy(), dry)
    single = getattr(nn, kind)(3, 4, dropout=0.9, generator=tg.Generator(1), dtype=F64)
    np.testing.assert_array_equal(single(x)[0].detach().numpy(), single.eval()(x)[0].detach().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_state_goes_round_and_starts_within_its_bounds(kind):
    a, b = [getattr(nn, kind)(3, 16, num_layers=2, generator=tg.Generator(s)) for s in (1, 2)]
    x = numbers(4, 1, 3).astype(np.float32)
    assert (a(x)[0].detach().numpy() != b(x)[0].detach().numpy()).any()
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a(x)[0].detach().numpy(), b(x)[0].detach().numpy())
    for p in a.parameters():
        assert p.dtype == np.float32 and 0.15 < abs(p.data).max() <= 0.25  # 1 / sqrt(16)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_types(kind, dtype):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    narrow = np.dtype(getattr(ml_dtypes, dtype, dtype))
    layer = getattr(nn, kind)(3, 4, dtype=narrow)
    exact = getattr(nn, kind)(3, 4, dtype=F64)
    exact.load_state_dict({n: v.astype(F64) for n, v in layer.state_dict().items()})
    x = numbers(5, 2, 3).astype(narrow)
    ys, _ = layer(x)
    unit = 2.0 ** -{"b": 8, "f": 11}[dtype[0]]
    assert ys.dtype == narrow
    np.testing.assert_allclose(
        ys.detach().numpy().astype(F64), exact(x.astype(F64))[0].detach().numpy(), rtol=unit, atol=unit / 8
    )
    (ys * ys).sum().backward()
    assert all(p.grad.dtype == narrow and p.grad.numpy().astype(F64).any() for p in layer.parameters())


def test_an_empty_batch_has_empty_results():
    ys, (h, c) = nn.LSTM(3, 4)(np.zeros((5, 0, 3), np.float32))
    assert ys.shape == (5, 0, 4) and h.shape == c.shape == (1, 0, 4)


def test_settings_are_shown():
    assert "LSTM(3, 4, num_layers=2, bidirectional=True)" in repr(nn.LSTM(3, 4, num_layers=2, bidirectional=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.GRU(3, 4)(np.ones((5, 3))), "GRU takes (T, N, inputs) with inputs = 3, got shape (5, 3)"),
        (lambda: nn.GRU(3, 4, batch_first=True)(np.ones((5, 2, 4))), "GRU takes (N, T, inputs) with inputs = 3, got"),
        (lambda: nn.RNN(3, 4)(np.ones((0, 2, 3))), "a sequence needs at least one step, got x (0, 2, 3)"),
        (
            lambda: nn.RNN(3, 4)(np.ones((5, 2, 3)), np.zeros((2, 4))),
            "RNN needs a state of shape (1, 2, 4) (layers * directions, batch, width), got (2, 4)",
        ),
        (
            lambda: nn.LSTM(3, 4)(np.ones((5, 2, 3)), (np.zeros((1, 2, 4)), np.zeros((1, 2, 3)))),
            "LSTM needs a pair (h, c) of states of shape (1, 2, 4) (layers * directions, batch, width), got [(1, 2, 4)",
        ),
        (lambda: nn.LSTM(3, 0), "LSTM: width must be a whole number above 0, got 0"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), "RNN: nonlinearity is 'tanh' or 'relu', got 'sin'"),
        (lambda: nn.GRU(3, 4, dropout=1.0), "p is the probability of dropping an element"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
