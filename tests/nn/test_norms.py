"""Normalisation layers against torch's: both modes, the running statistics, all derivatives, and what is refused."""

import re

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn

F64 = np.float64
torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")


def numbers(*shape, seed=3):
    return tg.Generator(seed).normal(shape, F64)


def copied(ours, theirs):
    """torch's module with our state."""
    theirs = theirs.double()
    theirs.load_state_dict({n: torch.tensor(v) for n, v in ours.state_dict().items()})
    return theirs


def shaken(module):
    """Weights that are not all 1 and biases that are not all 0."""
    for i, parameter in enumerate(module.parameters()):
        parameter.data[...] = numbers(*parameter.shape, seed=i)
    return module


def compare(ours, theirs, x):
    """Values, and all gradients of a cotangent that is not symmetric in anything."""
    t, u = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(t), theirs(u)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    weights = numbers(*y.shape, seed=8)
    (y * weights).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), u.grad.numpy(), rtol=1e-9, atol=1e-11)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-11)
        p.grad = q.grad = None


BATCH = [(1, (5, 3)), (1, (4, 3, 2)), (2, (2, 3, 4, 2)), (3, (2, 3, 2, 1, 3))]


def batch_norms(dimensions, **settings):
    ours = getattr(nn, f"BatchNorm{dimensions}d")(3, dtype=F64, **settings)
    return ours, getattr(torch.nn, f"BatchNorm{dimensions}d")(3, **settings)


@pytest.mark.parametrize(("dimensions", "shape"), BATCH)
@pytest.mark.parametrize("settings", [{}, {"momentum": None, "eps": 0.1}, {"affine": False}, {"momentum": 1.0}])
def test_batch_norm_in_both_modes(dimensions, shape, settings):
    ours, theirs = batch_norms(dimensions, **settings)
    theirs = copied(shaken(ours), theirs)
    for seed in range(3):  # the running statistics move each time
        compare(ours, theirs, 2 + numbers(*shape, seed=seed))
        for name, theirs_now in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], theirs_now.numpy(), rtol=1e-12, err_msg=name)
    ours.eval()
    theirs.eval()
    before = {n: v.copy() for n, v in ours.state_dict().items()}
    compare(ours, theirs, numbers(*shape, seed=9))
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, before[name])  # evaluation moves nothing


def test_the_running_variance_is_that_of_the_population():
    layer = nn.BatchNorm1d(1, momentum=1.0, dtype=F64)
    layer(np.array([[1.0], [2.0], [6.0]]))
    assert layer.running_mean == 3.0 and layer.running_var == 7.0  # (4 + 1 + 9) / 2


def test_without_running_statistics_the_batch_is_used_in_both_modes():
    ours, theirs = batch_norms(1, track_running_stats=False)
    assert list(ours.state_dict()) == ["weight", "bias"]
    for mode in (True, False):
        compare(ours.train(mode), theirs.double().train(mode), numbers(4, 3))


def test_evaluation_has_its_own_derivative():
    """There the statistics are constants: the gradient of x is weight / sqrt(var + eps), whatever x is."""
    layer = nn.BatchNorm1d(2, dtype=F64)
    layer(numbers(6, 2))
    layer.weight.data[...] = [2.0, -3.0]
    g = numbers(4, 2, seed=5)
    for training in (True, False):
        x = tg.Tensor(numbers(4, 2, seed=6), requires_grad=True)
        variance = layer.running_var
        layer.train(training)(x).backward(g)
        slope = np.array([2.0, -3.0]) / np.sqrt(variance + layer.eps)
        assert np.allclose(x.grad.numpy(), g * slope) != training


def test_a_tape_of_evaluation_survives_later_training():
    """The running statistics are replaced, not written into: what the tape keeps of them stays."""
    layer = nn.BatchNorm1d(2, dtype=F64).eval()
    x = tg.Tensor(numbers(3, 2), requires_grad=True)
    y = layer(x)
    layer.train()(numbers(5, 2, seed=1) * 4)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((3, 2), 1 / np.sqrt(1 + 1e-5)))


@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_of_batch_norm(training):
    """Of a function that is not linear in the result, by x and by the weight, against torch."""
    ours, theirs = batch_norms(2)
    x = numbers(2, 3, 2, 2)
    theirs = copied(shaken(ours), theirs)
    ours.train(training)
    theirs.train(training)
    t, u = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    first = tg.grad(lambda t: (ours(t) ** 3).sum())
    second = tg.grad(lambda t: (first(t) ** 2).sum())(t)
    (inner,) = torch.autograd.grad((theirs(u) ** 3).sum(), u, create_graph=True)
    (outer,) = torch.autograd.grad((inner**2).sum(), u)
    np.testing.assert_allclose(second.detach().numpy(), outer.numpy(), rtol=1e-8)


def test_the_state_is_torchs_and_goes_round():
    a, b = shaken(nn.BatchNorm2d(3, dtype=F64)), nn.BatchNorm2d(3, dtype=F64)
    a(numbers(2, 3, 2, 2))
    assert list(a.state_dict()) == list(torch.nn.BatchNorm2d(3).state_dict())
    b.load_state_dict(a.state_dict())
    x = numbers(1, 3, 2, 2, seed=4)
    np.testing.assert_array_equal(a.eval()(x).detach().numpy(), b.eval()(x).detach().numpy())
    assert b.num_batches_tracked == 1 and [n for n, _ in a.named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_narrow_types(dtype):
    """Statistics are gathered in float32: a mean far from 0 does no harm, and the result keeps its type."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    narrow = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = (100 + numbers(64, 2) * 8).astype(narrow)
    layer = nn.BatchNorm1d(2, dtype=narrow)
    t = tg.Tensor(x, requires_grad=True)
    y = layer(t)
    assert y.dtype == narrow
    exact = nn.BatchNorm1d(2, dtype=F64)(x.astype(F64)).detach().numpy()
    np.testing.assert_allclose(y.detach().numpy().astype(F64), exact, atol=8 * 2.0 ** -{"b": 8, "f": 11}[dtype[0]])
    (y * y * y).sum().backward()
    assert t.grad.dtype == narrow and layer.running_mean.dtype == narrow
    np.testing.assert_allclose(layer.running_mean.astype(float), 0.1 * x.astype(F64).mean(0), rtol=1e-2)


# ------------------------------------------------------------------------------------------------ groups and the rest


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("affine", [True, False])
def test_group_norm(groups, affine):
    ours = shaken(nn.GroupNorm(groups, 4, affine=affine, dtype=F64))
    compare(ours, copied(ours, torch.nn.GroupNorm(groups, 4, affine=affine)), numbers(2, 4, 3, 2))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("dimensions", "shape"), [(1, (2, 3, 4)), (2, (2, 3, 2, 3)), (3, (1, 3, 2, 2, 2))])
def test_instance_norm(dimensions, shape, affine):
    ours = shaken(getattr(nn, f"InstanceNorm{dimensions}d")(3, affine=affine, dtype=F64))
    compare(ours, copied(ours, getattr(torch.nn, f"InstanceNorm{dimensions}d")(3, affine=affine)), numbers(*shape))


@pytest.mark.parametrize("weight", [True, False])
def test_rms_norm(weight):
    ours = shaken(nn.RMSNorm(4, weight=weight, eps=0.01, dtype=F64))
    compare(ours, copied(ours, torch.nn.RMSNorm(4, eps=0.01, elementwise_affine=weight)), numbers(2, 3, 4))


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), "more than one value per channel, x (1, 3) has 1: use a larger"),
        (lambda: nn.BatchNorm1d(3)(np.ones((2, 4))), "BatchNorm1d(3) takes (N, C) or (N, C, L) with C = 3, got shape"),
        (lambda: nn.BatchNorm2d(3)(np.ones((2, 3))), "BatchNorm2d(3) takes (N, C, H, W) with C = 3, got shape (2, 3)"),
        (lambda: nn.BatchNorm1d(3, momentum=2.0), "BatchNorm1d: momentum must be from 0 to 1, or None, got 2.0"),
        (lambda: nn.BatchNorm1d(0), "BatchNorm1d: channels must be a whole number above 0, got 0"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: num_groups must divide channels, got 3 groups and 4 channels"),
        (lambda: nn.InstanceNorm1d(3)(np.ones((2, 3))), "InstanceNorm1d(3) takes (N, C, L) with C = 3, got shape (2,"),
        (lambda: nn.RMSNorm(0), "RMSNorm: width must be a whole number above 0, got 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_checkpointed_batch_is_counted_once():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    once, again = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    once(tg.Tensor(x)).sum().backward()
    y = tg.checkpoint(again, tg.Tensor(x, requires_grad=True))
    (y * y).sum().backward()
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_array_equal(getattr(again, name), getattr(once, name))
