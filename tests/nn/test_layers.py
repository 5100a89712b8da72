import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn

F64 = np.float64


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")


def load(theirs, ours):
    """Give the torch module the same parameters."""
    import torch

    theirs.load_state_dict({n: torch.tensor(v) for n, v in ours.state_dict().items()})


def numbers(*shape):
    return tg.Generator(3).normal(shape, F64)


def pairs(torch):
    t, f64 = torch.nn, torch.float64
    x, wide = numbers(5, 3), numbers(2, 3, 4)
    return {
        "linear": (nn.Linear(3, 4, dtype=F64), t.Linear(3, 4, dtype=f64), x),
        "linear, no bias": (nn.Linear(4, 2, bias=False, dtype=F64), t.Linear(4, 2, False, dtype=f64), wide),
        "embedding": (nn.Embedding(7, 3, dtype=F64), t.Embedding(7, 3, dtype=f64), np.array([[1, 6], [1, 0]])),
        "norm": (nn.LayerNorm(4, dtype=F64), t.LayerNorm(4, dtype=f64), wide),
        "norm, no bias": (nn.LayerNorm(4, bias=False, dtype=F64), t.LayerNorm(4, bias=False, dtype=f64), wide),
        "bare norm": (nn.LayerNorm(4, weight=False, bias=False), t.LayerNorm(4, elementwise_affine=False), wide),
        "relu": (nn.ReLU(), t.ReLU(), x),
        "gelu": (nn.GELU(), t.GELU(), x),
        "gelu tanh": (nn.GELU("tanh"), t.GELU("tanh"), x),
        "silu": (nn.SiLU(), t.SiLU(), x),
        "tanh": (nn.Tanh(), t.Tanh(), x),
        "sigmoid": (nn.Sigmoid(), t.Sigmoid(), x),
        "leaky relu": (nn.LeakyReLU(0.2), t.LeakyReLU(0.2), x),
        "elu": (nn.ELU(alpha=0.5), t.ELU(alpha=0.5), x),
        "selu": (nn.SELU(), t.SELU(), x),
        "mish": (nn.Mish(), t.Mish(), x),
        "softplus": (nn.Softplus(), t.Softplus(), x),
        "hardtanh": (nn.Hardtanh(-0.5, 0.7), t.Hardtanh(-0.5, 0.7), x),
        "log sigmoid": (nn.LogSigmoid(), t.LogSigmoid(), x),
        "hardsigmoid": (nn.Hardsigmoid(), t.Hardsigmoid(), x),
        "hardswish": (nn.Hardswish(), t.Hardswish(), x),
        "softmax": (nn.Softmax(axis=0), t.Softmax(dim=0), x),
        "log softmax": (nn.LogSoftmax(), t.LogSoftmax(dim=-1), x),
        "prelu": (nn.PReLU(dtype=F64), t.PReLU(dtype=f64), x),
        "prelu, each channel": (nn.PReLU(3, start=-0.5, dtype=F64), t.PReLU(3, init=-0.5, dtype=f64), wide),
        "sequential": (
            nn.Sequential(nn.Linear(3, 8, dtype=F64), nn.Tanh(), nn.Linear(8, 1, dtype=F64)),
            t.Sequential(t.Linear(3, 8), t.Tanh(), t.Linear(8, 1)).double(),
            x,
        ),
    }


def test_layers_equal_torch_with_the_same_parameters(torch):
    for name, (ours, theirs, x) in pairs(torch).items():
        load(theirs, ours)
        y, expected = ours(x if x.dtype.kind == "i" else tg.Tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
        if ours.num_parameters():
            (y * y).sum().backward()
            (expected * expected).sum().backward()
            for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
                where = f"{name}: {key}"
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=where)


def test_initial_values_come_from_the_generator_and_have_the_documented_spread():
    make = lambda seed: nn.Linear(400, 300, generator=tg.Generator(seed))  # noqa: E731
    a, b, c = make(1), make(1), make(2)
    np.testing.assert_array_equal(a.weight.data, b.weight.data)
    assert (a.weight.data != c.weight.data).any()
    assert a.weight.dtype == np.float32 and a.weight.shape == (300, 400)
    for parameter in a.parameters():
        assert 0.045 < abs(parameter.data).max() <= 0.05  # 1 / sqrt(400)
    assert abs(nn.Embedding(100, 200, tg.Generator(1)).weight.data.std() - 1) < 0.02


def test_the_default_generator_and_dtype_are_used():
    before = tg.default_generator().state()
    a = nn.Linear(3, 3)
    tg.default_generator().load_state(before)
    b = nn.Linear(3, 3)
    np.testing.assert_array_equal(a.weight.data, b.weight.data)
    with tg.default_dtype("float64"):
        assert {p.dtype for p in nn.MultiHeadAttention(4, 2).parameters()} == {np.dtype(F64)}


def test_dropout():
    x = tg.Tensor(np.ones(20_000, np.float32), requires_grad=True)
    layer = nn.Dropout(0.25, tg.Generator(9))
    y = layer(x)
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y.detach().numpy()[kept], 1 / 0.75, rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())  # the same mask backward
    assert (layer(x).detach().numpy() != y.detach().numpy()).any()  # another mask every time
    again = nn.Dropout(0.25, tg.Generator(9))(x)
    np.testing.assert_array_equal(again.detach().numpy(), y.detach().numpy())  # repeated by an equal generator


def test_dropout_is_the_identity_in_evaluation_and_at_zero():
    x, generator = tg.Tensor([1.0, 2.0]), tg.Generator(1)
    assert nn.Dropout(0.5, generator).eval()(x) is x
    assert nn.Dropout(0.0, generator)(x) is x
    assert generator.state()["stream"] == 0  # and draws nothing


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 3), "Linear: inputs must be a whole number above 0, got 0"),
        (lambda: nn.Linear(3, -1), "Linear: outputs must be a whole number above 0, got -1"),
        (lambda: nn.Linear(3, 1.5), "Linear: outputs must be a whole number above 0, got 1.5"),  # type: ignore[arg-type]
        (lambda: nn.Embedding(-2, 3), "Embedding: count must be a whole number above 0, got -2"),
        (lambda: nn.LayerNorm(0), "LayerNorm: width must be a whole number above 0, got 0"),
        (lambda: nn.Dropout(1.0), "Dropout: p is the probability.*got 1.0"),
        (lambda: nn.Dropout(-0.1), "Dropout: p is the probability.*got -0.1"),
        (lambda: nn.GELU("fast"), "GELU: approximate is 'none' or 'tanh', got 'fast'"),
        (lambda: nn.PReLU(0), "PReLU: count must be a whole number above 0, got 0"),
        (lambda: nn.MultiHeadAttention(10, 3), "MultiHeadAttention: heads must divide width, got 3 heads and width 10"),
        (lambda: nn.MultiHeadAttention(10, 0), "MultiHeadAttention: heads must be a whole number above 0, got 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        make()


def test_settings_of_activations_are_shown_and_checked():
    assert repr(nn.LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)" and repr(nn.ReLU()) == "ReLU"
    assert repr(nn.GELU("tanh")) == "GELU(approximate='tanh')" and repr(nn.GELU()) == "GELU"
    with pytest.raises(TypeError, match="^ELU: got an unexpected keyword argument 'beta'$"):
        nn.ELU(beta=1.0)
    with pytest.raises(TypeError, match="^ReLU: too many positional arguments$"):
        nn.ReLU(1.0)
    with pytest.raises(ValueError, match=r"PReLU\(3\) takes \(N, C, ...\) with C = 3, got shape \(2, 4\)"):
        nn.PReLU(3)(np.ones((2, 4)))


def test_a_list_of_modules_is_indexed_counted_and_extended():
    modules = nn.ModuleList([nn.ReLU()])
    modules.append(nn.Tanh())
    assert len(modules) == 2 and isinstance(modules[-1], nn.Tanh) and [type(m) for m in modules] == [nn.ReLU, nn.Tanh]
    with pytest.raises(TypeError, match="ModuleList holds modules, got function"):
        modules.append(test_dropout)  # type: ignore[arg-type]


def test_a_model_in_ten_lines_learns():
    generator = tg.Generator(0)
    model = nn.Sequential(nn.Linear(2, 16, generator=generator), nn.Tanh(), nn.Linear(16, 1, generator=generator))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    for _ in range(100):
        loss = tg.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
