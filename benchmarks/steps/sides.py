"""A training step of any workload on each side: forward, backward, gradient norm (and clipping), optimizer.

``ours``, ``torch_eager``, ``torch_compile`` and ``jax_jit`` make a step; a step returns (loss, gradient norm before
clipping).  They are what a `bench.Worker` builds, each in a process of its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import tinygrad_lm as tg
from steps.data import Arrays
from steps.workload import Loss, Workload

Step = Callable[[], tuple[float, float]]


@contextmanager
def unobserved(phase: str) -> Iterator[None]:
    yield


def our_model(workload: Workload) -> tuple[Any, Loss]:
    model, loss_of = workload.ours()
    model.load_state_dict(workload.start())
    return model, loss_of


def our_step(
    workload: Workload,
    model: Any,
    loss_of: Loss,
    batches: list[Arrays],
    phase: Callable[[str], Any] = unobserved,
) -> Step:
    """``phase(name)`` makes a context manager around each part of the step."""
    parameters, stream = list(model.parameters()), cycle(batches)
    kind, settings = workload.optimizer or ("SGD", {"lr": 0.0})
    optimizer = getattr(tg.optim, kind)(parameters, **settings)

    def step() -> tuple[float, float]:
        batch = next(stream)
        with phase("forward"):
            loss = loss_of(*batch)
        with phase("backward"):
            loss.backward()
        with phase("gradient norm"):
            norm = tg.optim.clip_grad_norm_(parameters, workload.clip)
        with phase("optimizer"):
            if workload.optimizer:
                optimizer.step()
            optimizer.zero_grad()
        return loss.item(), float(norm)

    return step


def ours(workload: Workload, kernels: str) -> Step:
    tg.set_kernels(kernels)
    return our_step(workload, *our_model(workload), workload.batches())


def torch_model(workload: Workload) -> tuple[Any, Loss]:
    import torch

    model, loss_of = workload.torch()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in workload.start().items()})
    return model, loss_of


def torch_step(
    workload: Workload, model: Any, loss_of: Loss, batches: list[Arrays], channels_last: bool = False
) -> Step:
    import torch

    tensors = [[torch.from_numpy(a) for a in batch] for batch in batches]
    if channels_last:
        model.to(memory_format=torch.channels_last)
        tensors = [[t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for t in b] for b in tensors]
    parameters, stream = list(model.parameters()), cycle(tensors)
    # Row by row: what adds up a matrix of 4096 x 4096 at once, in float32, gives a norm that is off by 1 in 2000.  Nor
    # is it slower than torch's clip_grad_norm_: a step of gpt-4x128 takes as long, those of the MLPs 6 to 20 % less.
    row_norms = torch.linalg.vector_norm
    kind, settings = workload.optimizer or ("SGD", {"lr": 0.0})
    optimizer = getattr(torch.optim, kind)(parameters, fused=True, **settings)

    def step() -> tuple[float, float]:
        loss = loss_of(*next(stream))
        loss.backward()
        rows = [row_norms(p.grad.flatten(1) if p.ndim > 1 else p.grad[None], dim=1) for p in parameters]
        norm = row_norms(torch.cat(rows))
        if workload.clip < math.inf:
            torch.nn.utils.clip_grads_with_norm_(parameters, workload.clip, norm)
        if workload.optimizer:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item(), norm.item()

    return step


def torch_eager(workload: Workload, threads: int, channels_last: bool = False) -> Step:
    import torch

    torch.set_num_threads(threads)
    return torch_step(workload, *torch_model(workload), workload.batches(), channels_last)


def torch_compile(workload: Workload, threads: int) -> Step:
    """Forward and backward compiled; the optimizer is torch's own fused one."""
    import torch

    torch.set_num_threads(threads)
    model, loss_of = torch_model(workload)
    return torch_step(workload, model, torch.compile(loss_of), workload.batches())


def jax_jit(workload: Workload, threads: int) -> Step:
    """The whole step under one ``jit``, with the state donated, so that it is updated in place."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # XLA asks for the cores, and for nothing else
    import jax
    import jax.numpy as jnp

    from steps.jax_layers import OPTIMIZERS

    start = {name: jnp.array(w) for name, w in workload.start().items()}
    buffers = {name: w for name, w in start.items() if name.rpartition(".")[2].startswith(("running_", "num_"))}
    weights = {name: w for name, w in start.items() if name not in buffers}
    moments = {name: (jnp.zeros_like(w), jnp.zeros_like(w)) for name, w in weights.items()}
    stream = cycle([[jnp.asarray(a) for a in batch] for batch in workload.batches()])

    def loss_of(weights: Any, buffers: Any, *batch: Any) -> tuple[Any, Any]:
        p = {**weights, **buffers}
        loss = workload.jax(p, *batch)
        return loss, {name: p[name] for name in buffers}

    def whole(state: Any, *batch: Any) -> tuple[Any, Any, Any]:
        weights, buffers, moments, t = state
        (loss, buffers), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, buffers, *batch)
        norm, t = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients.values())), t + 1
        if workload.optimizer:
            kind, settings = workload.optimizer
            scale = jnp.minimum(1.0, workload.clip / (norm + 1e-6))
            after = {
                n: OPTIMIZERS[kind](w, gradients[n] * scale, moments[n], t, **settings) for n, w in weights.items()
            }
            weights, moments = ({n: pair[i] for n, pair in after.items()} for i in range(2))
        return (weights, buffers, moments, t), loss, norm

    whole = jax.jit(whole, donate_argnums=0)
    state = weights, buffers, moments, jnp.zeros((), jnp.float32)

    def step() -> tuple[float, float]:
        nonlocal state
        state, loss, norm = jax.block_until_ready(whole(state, *next(stream)))
        return float(loss), float(norm)

    return step
