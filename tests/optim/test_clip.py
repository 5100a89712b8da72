import math

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import Generator, Tensor, nn
from tinygrad_lm.optim import AdamW, clip_grad_norm_, decay_groups


def parameters(dtype=np.float64, scale=1.0):
    source = Generator(1)
    params = [nn.Parameter(np.zeros(shape, dtype)) for shape in [(30, 4), (4,), (7,)]]
    for p in params[:2]:
        p.grad = source.normal(p.shape, dtype) * dtype(scale)
    return params  # the last has no gradient


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6])
def test_equals_torch(max_norm):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    ours = parameters()
    theirs = [torch.zeros(p.shape, dtype=torch.float64, requires_grad=True) for p in ours]
    for p, q in zip(ours[:2], theirs, strict=False):
        q.grad = torch.tensor(p.grad.data.copy())
    norm = clip_grad_norm_(ours, max_norm)
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, max_norm)), rel=1e-12)
    assert type(norm) is float
    for p, q in zip(ours[:2], theirs, strict=False):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-5)  # torch divides by norm + 1e-6


def test_afterwards_the_norm_is_the_bound_and_below_it_nothing_changes():
    params = parameters()
    before = [p.grad.data.copy() for p in params[:2]]
    norm = clip_grad_norm_(params, math.inf)
    assert norm == pytest.approx(math.sqrt(sum((g**2).sum() for g in before)), rel=1e-14)
    clip_grad_norm_(params, norm * 1.001)
    assert all((p.grad.data == g).all() for p, g in zip(params, before, strict=False))
    clip_grad_norm_(params, 0.25)
    assert clip_grad_norm_(params, math.inf) == pytest.approx(0.25, rel=1e-12)
    assert params[2].grad is None


def test_is_added_up_in_float64():
    big, small = nn.Parameter(np.zeros(1, np.float32)), nn.Parameter(np.zeros(10_000, np.float32))
    big.grad, small.grad = np.full(1, 4096, np.float32), np.full(10_000, 0.5, np.float32)
    assert clip_grad_norm_([big, small], math.inf) == pytest.approx(math.sqrt(4096**2 + 2500), rel=1e-14)
    huge = parameters(np.float32, 1e25)  # the squares do not fit into float32
    assert 1e26 < clip_grad_norm_(huge, 1.0) < math.inf
    assert clip_grad_norm_(huge, math.inf) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_returned_and_scales_nothing(value):
    params = parameters()
    params[0].grad.data[0, 0] = value
    before = params[1].grad.data.copy()
    assert not math.isfinite(clip_grad_norm_(params, 1.0))
    assert (params[1].grad.data == before).all()


def test_the_gradients_of_a_backward_pass_can_be_scaled():
    x = Tensor(np.ones((3, 2)), requires_grad=True)
    tg.sum(x).backward()
    assert clip_grad_norm_([x], 1.0) == pytest.approx(math.sqrt(6))
    assert clip_grad_norm_(iter([x]), math.inf) == pytest.approx(1.0)


def test_no_gradients_have_norm_zero_and_a_bound_is_positive():
    assert clip_grad_norm_([nn.Parameter(np.zeros(2))], 1.0) == 0.0
    with pytest.raises(ValueError, match="max_norm must be above 0, got 0"):
        clip_grad_norm_([], 0)


def test_only_matrices_decay():
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    groups = decay_groups(model.parameters(), 0.1)
    assert [[p.ndim for p in g["params"]] for g in groups] == [[2, 2], [1, 1, 1]]
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    before = [p.data.copy() for p in model.parameters()]
    optimizer = AdamW(groups, lr=0.5)
    for p in model.parameters():
        p.grad = np.zeros(p.shape, p.dtype)
    optimizer.step()
    for p, b in zip(model.parameters(), before, strict=True):
        np.testing.assert_allclose(p.data, b * (0.95 if p.ndim == 2 else 1.0), rtol=1e-6)
