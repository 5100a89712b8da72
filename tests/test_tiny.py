"""Everything once, in seconds: run this first.  What fails here makes every other failure uninteresting."""

from __future__ import annotations

import numpy as np

import tinygrad_lm as tg


def test_a_tensor_and_its_gradient():
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = (x @ x.T * 0.5 + x).sum()
    y.backward()
    assert y.item() == 26 + 10
    np.testing.assert_array_equal(x.grad.data, [[5.0, 7.0], [5.0, 7.0]])


def test_a_function_and_its_derivatives():
    f = lambda x: tg.sin(x) * x  # noqa: E731
    x = np.array(0.5)
    np.testing.assert_allclose(tg.grad(f)(x), np.cos(x) * x + np.sin(x))
    np.testing.assert_allclose(tg.grad(tg.grad(f))(x), 2 * np.cos(x) - np.sin(x) * x)
    np.testing.assert_allclose(tg.hessian(lambda v: (v**3).sum())(np.array([1.0, 2.0])), [[6, 0], [0, 12]])
    assert tg.testing.gradcheck(f, np.array([0.1, -2.0]))


def test_numpy_keeps_the_gradient():
    x = tg.Tensor([0.5], requires_grad=True)
    np.exp(np.array([2.0], np.float32) * x).sum().backward()
    np.testing.assert_allclose(x.grad.data, [2 * np.e], rtol=1e-6)


def test_a_network_learns():
    generator = tg.Generator(0)
    model = tg.nn.Sequential(
        tg.nn.Linear(2, 16, generator=generator), tg.nn.Tanh(), tg.nn.Linear(16, 2, generator=generator)
    )
    inputs = tg.Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = np.array([0, 1, 1, 0])
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        loss = tg.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert (model(inputs).data.argmax(-1) == targets).all()


def test_a_language_model_steps_and_speaks():
    from tinygrad_lm.models import GPT, GPTConfig, generate

    model = GPT(GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=16), generator=tg.Generator(1))
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-2)
    text = np.arange(32) % 11
    ids, targets = text[:-1][:24].reshape(3, 8), text[1:][:24].reshape(3, 8)
    losses = []
    for _ in range(30):
        loss = model.loss(ids, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - np.log(11)) < 0.3 and losses[-1] < losses[0] / 2
    spoken = list(generate(model, np.array([0, 1, 2]), 5, temperature=0.0, generator=tg.Generator(0)))
    assert [int(t) for t in spoken] == [3, 4, 5, 6, 7]


def test_a_kernel_is_swapped_and_refused():
    calls = []

    def softmax(xp, x, *, axis=-1):
        calls.append(x.shape)
        return NotImplemented

    x = np.random.default_rng(0).normal(size=(3, 5))
    with tg.use_kernels("reference"):
        expected = tg.softmax(x)
        with tg.use_kernels({"softmax": softmax}):
            np.testing.assert_array_equal(tg.softmax(x), expected)
    np.testing.assert_allclose(tg.softmax(x), expected, rtol=1e-14)  # with whatever table is in use
    assert calls == [(3, 5)]
