"""What is switched on: recording, default dtype, observers.  Context managers and nothing else.

Every switch is a context variable: a `with` block in one thread (or task) does not reach into another, and a new thread
starts from the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

# ruff: noqa: B039  (an empty tuple and a dtype do not change)

# None: calls are not recorded.  Otherwise they are, and every new node is shown to each of these functions: none in
# plain use, one that notes the user's line in debug mode, one that collects nodes inside `checkpoint`.
recording: ContextVar[tuple[Callable[[Any], None], ...] | None] = ContextVar("recording", default=())
listeners: ContextVar[tuple[Callable[[Any], None], ...]] = ContextVar("listeners", default=())
observers: ContextVar[tuple[Callable[..., None], ...]] = ContextVar("observers", default=())
# Inside a function that is being differentiated: gradients taken in there are recorded, for the outer derivative.
differentiating: ContextVar[bool] = ContextVar("differentiating", default=False)
# Inside the second run of a checkpointed function, which must not count a batch again.
recomputing: ContextVar[bool] = ContextVar("recomputing", default=False)
keeping_grads: ContextVar[bool] = ContextVar("keeping_grads", default=False)
default_float: ContextVar[np.dtype] = ContextVar("default_float", default=np.dtype(np.float32))


@contextmanager
def switched(variable: ContextVar, value: Any) -> Iterator[None]:
    """Within the block `variable` is `value`; afterwards what it was."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def no_grad():
    """Within the block nothing is recorded: results do not require gradients."""
    return switched(recording, None)


def enable_grad():
    """Within the block calls are recorded, also inside a `no_grad` block."""
    return switched(recording, listeners.get())


@contextmanager
def listening(listener: Callable[[Any], None]) -> Iterator[None]:
    """Within the block every newly recorded node is shown to `listener`."""
    both = (*listeners.get(), listener)
    with switched(listeners, both), switched(recording, None if recording.get() is None else both):
        yield


def watch(observer: Callable[..., None]):
    """Within the block a backward pass calls `observer(node, g, grads)` at every node it passes.

    `g` is the complete gradient of the node's output and `grads` what its rules returned, one per parent.
    """
    return switched(observers, (*observers.get(), observer))


def keep_grads():
    """A backward pass within the block stores `.grad` on intermediate tensors too, not on leaves alone."""
    return switched(keeping_grads, True)


def default_dtype(dtype: Any = None) -> Any:
    """The dtype of tensors made from Python floats; with an argument, a block within which it is that one.

    >>> import tinygrad_lm as tg
    >>> tg.default_dtype()
    dtype('float32')
    >>> with tg.default_dtype("float64"):
    ...     tg.Tensor([1.0, 2.0]).dtype
    dtype('float64')
    """
    if dtype is None:
        return default_float.get()
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"the default dtype must be floating, got {dtype}")
    return switched(default_float, dtype)
