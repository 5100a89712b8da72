"""Whole training steps on the CUDA kernels, emulated: a GPT and a convolutional network, beside the reference.

Which operations had no kernel is part of the test: what is missing from a step is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn, optim
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.emulated import Emulator
from tinygrad_lm.core.operation import OPS
from tinygrad_lm.models import GPT, GPTConfig

pytestmark = pytest.mark.usefixtures("cache")


def step(make: Callable[[], tuple[Any, Callable[[Any], Any]]], kernels: Any, steps: int = 2) -> list[np.ndarray]:
    """Loss, norm of the gradients, and at the end the parameters, of some steps of training."""
    found = []
    with tg.use_kernels(kernels):
        model, loss_of = make()
        model.train()
        optimizer = optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            norm = optim.clip_grad_norm_(model.parameters(), 1.0)
            found += [np.asarray(loss.data), np.asarray(norm)]
            optimizer.step()
    return found + [p.data for p in model.parameters()]


def gpt() -> tuple[Any, Callable[[Any], Any]]:
    model = GPT(
        GPTConfig(vocab_size=37, context=20, layers=2, heads=2, width=24, dropout=0.1, bias=True), tg.Generator(1)
    )
    ids = np.random.default_rng(0).integers(0, 37, (3, 21))
    return model, lambda m: tg.cross_entropy(m(ids[:, :-1]), ids[:, 1:])


class Cnn(nn.Module):
    """A small network with everything that such networks are made of."""

    def __init__(self, generator: tg.Generator):
        # Without a bias, which the norm would take away: its gradient would be rounding errors, which Adam enlarges.
        self.first = nn.Conv2d(1, 6, 3, padding=1, bias=False, generator=generator)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3, stride=2, generator=generator)
        self.head = nn.Linear(8 * 3 * 3, 5, generator=generator)

    def __call__(self, x: Any) -> Any:
        x = tg.max_pool2d(tg.relu(self.norm(self.first(x))), 2)
        x = tg.avg_pool2d(tg.silu(self.second(x)), 1)
        return self.head(x.reshape(x.shape[0], -1))


def cnn() -> tuple[Any, Callable[[Any], Any]]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 1, 14, 14)).astype(np.float32), rng.integers(0, 5, 4)
    return Cnn(tg.Generator(1)), lambda m: tg.cross_entropy(m(x), y)


@pytest.mark.parametrize(
    ("make", "without"),
    [
        (
            gpt,
            {
                "add",
                "concatenate",
                "getitem",
                "getitem_grad",
                "multiply",
                "permute",
                "reshape",
                "broadcast_to",
                "sum",
                "split",
            },
        ),
        (cnn, {"add", "reshape", "multiply", "sum", "permute", "broadcast_to"}),
    ],
    ids=["gpt", "cnn"],
)
def test_a_step_is_that_of_the_reference(make, without: set[str]) -> None:
    expected = step(make, "reference")
    plain: set[str] = set()

    def noted(name: str, body: Callable[..., Any]) -> Callable[..., Any]:
        def call(xp: Any, *arrays: Any, **params: Any) -> Any:
            plain.add(name)
            return NotImplemented

        return call

    table = {name: noted(name, op.forward) for name, op in OPS.items()}
    for name, kernel in launch.table(Emulator()).items():
        table[name] = watched(name, kernel, plain)
    for y, e in zip(step(make, table), expected, strict=True):
        np.testing.assert_allclose(y, e, rtol=2e-4, atol=2e-6)
    assert plain <= without


def watched(name: str, kernel: Callable[..., Any], plain: set[str]) -> Callable[..., Any]:
    """The kernel; its name goes into `plain` where it does not serve a call."""

    def call(*arguments: Any, **params: Any) -> Any:
        result = kernel(*arguments, **params)
        if result is NotImplemented:
            plain.add(name)
        return result

    return call
