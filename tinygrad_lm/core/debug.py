"""Debug mode: every node knows the user's line, and nobody writes into an array that the tape kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.core.errors import user_line
from tinygrad_lm.core.node import Node

_locks: dict[int, Lock] = {}  # by id of the array; only arrays that were writeable before


class Lock:
    """A read-only array, how many nodes keep it, and the views that must wait for it to be writeable again."""

    __slots__ = ("array", "keepers", "waiting")

    def __init__(self, array: np.ndarray):
        self.array, self.keepers = array, 0
        self.waiting: list[Lock] = []
        array.flags.writeable = False

    def release(self) -> None:
        if isinstance(self.array.base, np.ndarray) and (base := _locks.get(id(self.array.base))):
            base.waiting.append(self)
            return
        self.array.flags.writeable = True
        del _locks[id(self.array)]
        for view in self.waiting:
            if not view.keepers and id(view.array) in _locks:
                view.release()


class Locked(tuple):
    """What a node saved, its arrays read-only while this tuple lives, which is as long as the node keeps it."""

    def __new__(cls, saved: tuple) -> Locked:
        self = super().__new__(cls, saved)
        for array in arrays_in(saved):
            if id(array) not in _locks and (id(array.base) in _locks or array.flags.writeable and may_lock(array)):
                _locks[id(array)] = Lock(array)
            if id(array) in _locks:
                _locks[id(array)].keepers += 1
        return self

    def __del__(self) -> None:
        for array in reversed(list(arrays_in(self))):  # an array before its views
            if lock := _locks.get(id(array)):
                lock.keepers -= 1
                if not lock.keepers:
                    lock.release()


def arrays_in(saved: tuple) -> Iterator[Any]:
    """The NumPy arrays among these, tuples opened, and the arrays that they are views of."""
    for value in saved:
        if isinstance(value, tuple):
            yield from arrays_in(value)
        while isinstance(value, np.ndarray):
            yield value
            value = value.base


def may_lock(array: np.ndarray) -> bool:
    """Whether NumPy would make it writeable again: not where the memory belongs to a library that it does not know."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    try:
        return bool(array.flags.owndata) or not memoryview(array.base).readonly  # type: ignore[arg-type]
    except TypeError:
        return False


def trace(node: Node) -> None:
    node.where = user_line()
    if node.saved:
        node.saved = Locked(node.saved)


@contextmanager
def debug() -> Iterator[None]:
    """Within the block, nodes note the user's file and line, and arrays that the tape keeps are read-only until freed.

    So an in-place write that would have changed a gradient silently raises at its own line, and a derivative that fails
    says where its operation was called.

    >>> import numpy as np, tinygrad_lm as tg
    >>> x = tg.Tensor(np.ones(3), requires_grad=True)
    >>> with tg.debug():
    ...     y = (x * x).sum()
    ...     x.data += 1
    Traceback (most recent call last):
    ValueError: output array is read-only
    """
    with config.listening(trace):
        yield
