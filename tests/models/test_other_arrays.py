"""Modules, optimizers and the GPT follow the arrays they are given.

Arrays of another kind, which refuse to mix with NumPy's own, stand in for those of a GPU.
"""

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.backend import BACKENDS, BY_TYPE, Backend, register_backend
from tinygrad_lm.models import GPT, GPTConfig, generate


class Elsewhere(np.ndarray):
    """An array that raises where a NumPy array (with at least one axis) meets it."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **keywords):
        if out:
            keywords["out"] = tuple(there(a) for a in out)
        result = getattr(ufunc, method)(*[there(a) for a in inputs], **keywords)
        return out[0] if out else here(result)

    def __array_function__(self, function, types, args, keywords):
        return here(function(*there(args), **there(keywords)))


def there(value):
    """The NumPy arrays behind; an array that is one already is a mistake of the code under test."""
    if isinstance(value, list | tuple):
        return type(value)(there(v) for v in value)
    if isinstance(value, dict):
        return {k: there(v) for k, v in value.items()}
    if type(value) is np.ndarray and value.ndim:
        raise TypeError("a NumPy array met an array of another device")
    return value.view(np.ndarray) if isinstance(value, Elsewhere) else value


def here(value):
    if isinstance(value, list | tuple):
        return type(value)(here(v) for v in value)
    return np.asarray(value).view(Elsewhere) if isinstance(value, np.ndarray | np.generic) else value


class Module:
    """NumPy, whose functions return the other kind of array."""

    def __getattr__(self, name):
        found = getattr(np, name)
        if isinstance(found, type | np.ufunc) or not callable(found):
            return found
        return lambda *args, **keywords: here(found(*args, **keywords))


@pytest.fixture
def elsewhere():
    before = BACKENDS.get("cuda")
    there, back = (lambda a: a.copy().view(Elsewhere)), (lambda a: a.view(np.ndarray))
    register_backend(Backend("cuda", Module(), Elsewhere, to_numpy=back, from_numpy=there))
    yield "cuda"
    del BACKENDS["cuda"], BY_TYPE[Elsewhere]
    if before is not None:
        register_backend(before)


def test_training_and_generation_are_the_same_elsewhere(elsewhere):
    config = GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=12, dropout=0.1)
    ids = np.arange(16).reshape(2, 8) % 11

    def trained(device):
        model = GPT(config, tg.Generator(0)).to(device)
        x, y = (tg.Tensor(a).to(device).data for a in (ids, (ids + 1) % 11))
        optimizer = tg.optim.AdamW(tg.optim.decay_groups(model.parameters(), 0.1), lr=1e-2)
        for _ in range(3):
            loss = model.loss(x, y)
            optimizer.zero_grad()
            loss.backward()
            norm = tg.optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return model, optimizer, norm

    model, optimizer, norm = trained("cpu")
    other, other_optimizer, other_norm = trained(elsewhere)
    assert {type(p.data) for p in other.parameters()} == {Elsewhere}
    assert {type(v) for v in other_optimizer.state_dict().values()} == {int, Elsewhere}
    assert other_norm == norm
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data.view(np.ndarray))
    draw = lambda m: list(generate(m, [1, 2], 12, generator=tg.Generator(1)))  # noqa: E731
    assert draw(model) == draw(other)


def test_state_crosses_the_border_both_ways(elsewhere):
    def made(seed, device):
        model = tg.nn.Sequential(tg.nn.Linear(2, 3, generator=tg.Generator(seed)), tg.nn.LayerNorm(3))
        model.register_buffer("seen", np.full(2, seed))
        return model.to(device)

    model, other = made(1, "cpu"), made(2, elsewhere)
    assert type(other.seen) is Elsewhere
    other.load_state_dict(model.state_dict())
    assert {type(v) for v in other.state_dict().values()} == {Elsewhere}
    third = made(3, "cpu")
    third.load_state_dict(other.state_dict())
    for a, b in zip(model.state_dict().values(), third.state_dict().values(), strict=True):
        assert type(b) is np.ndarray
        np.testing.assert_array_equal(a, b)
    a, b = tg.optim.Adam(model.parameters()), tg.optim.Adam(other.parameters())
    b.load_state_dict(a.state_dict())
    assert type(b.state_dict()["0.exp_avg"]) is Elsewhere
