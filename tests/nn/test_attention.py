import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn

F64 = np.float64


def layer(**settings):
    return nn.MultiHeadAttention(8, 2, generator=tg.Generator(1), dtype=F64, **settings)


def numbers(*shape):
    return tg.Generator(2).normal(shape, F64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_equals_torch(bias, causal):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    ours = layer(bias=bias, causal=causal)
    theirs = torch.nn.MultiheadAttention(8, 2, bias=bias, batch_first=True, dtype=torch.float64)
    state = {n: torch.tensor(v) for n, v in ours.state_dict().items()}
    renamed = {"qkv.weight": "in_proj_weight", "qkv.bias": "in_proj_bias"}
    theirs.load_state_dict({renamed.get(n, n.replace("output", "out_proj")): v for n, v in state.items()})
    data = numbers(3, 5, 8)
    x, tx = tg.Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y = ours(x)
    hidden = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    expected, _ = theirs(tx, tx, tx, attn_mask=hidden, need_weights=False)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    assert x.grad is not None and ours.qkv.weight.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), atol=1e-11)
    np.testing.assert_allclose(ours.qkv.weight.grad.numpy(), theirs.in_proj_weight.grad.numpy(), atol=1e-11)


def test_causal_is_a_lower_triangular_mask_and_masks_broadcast():
    x = tg.Tensor(numbers(3, 5, 8))
    lower = np.tril(np.ones((5, 5), bool))
    expected = layer(causal=True)(x).detach().numpy()
    for mask in (lower, np.broadcast_to(lower, (3, 1, 5, 5)), np.where(lower, 0.0, -np.inf)):
        np.testing.assert_allclose(layer()(x, mask=mask).detach().numpy(), expected, atol=1e-12)


def test_any_leading_shape():
    attention, x = layer(), numbers(3, 5, 8)
    whole = attention(x).detach().numpy()
    np.testing.assert_allclose(attention(x[1]).detach().numpy(), whole[1], atol=1e-12)
    np.testing.assert_allclose(attention(x.reshape(3, 1, 5, 8)).detach().numpy()[:, 0], whole, atol=1e-12)


@pytest.mark.parametrize("cuts", [[1, 1, 1, 1, 1], [5], [2, 3], [3, 1, 1]])
def test_reading_in_pieces_with_a_cache_equals_reading_at_once(cuts):
    attention, x = layer(causal=True), numbers(3, 5, 8)
    cache, pieces = nn.KeyValueCache(6), []
    with tg.no_grad():
        expected = attention(x).numpy()
        for piece in np.split(x, np.cumsum(cuts)[:-1], axis=1):
            pieces.append(attention(piece, cache=cache).numpy())
    assert cache.length == 5
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=1e-12)


def test_a_cache_refuses_gradients_and_too_many_positions():
    attention, x = layer(causal=True), numbers(1, 4, 8)
    with pytest.raises(RuntimeError, match=r"a key/value cache passes no gradients: use it within tg\.no_grad\(\)"):
        attention(x, cache=nn.KeyValueCache(4))
    with tg.no_grad(), pytest.raises(ValueError, match="room for 3 positions, got 4"):
        attention(x, cache=nn.KeyValueCache(3))


def test_dropout_is_on_the_output():
    attention = layer(dropout=0.5)
    y = attention(numbers(2, 5, 8)).detach().numpy()
    assert 0.2 < (y == 0).mean() < 0.8
    assert (attention.eval()(numbers(2, 5, 8)).detach().numpy() != 0).all()
