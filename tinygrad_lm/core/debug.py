"""Debug mode: every node knows the user's line, and nobody writes into an array that the tape kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.core.errors import user_line
from tinygrad_lm.core.node import Node

_locks: dict[int, list] = {}  # id(array) -> [array, how many keep it]; only arrays that were writeable before


class Locked(tuple):
    """What a node saved, its arrays read-only while this tuple lives, which is as long as the node keeps it."""

    def __new__(cls, saved: tuple) -> Locked:
        self = super().__new__(cls, saved)
        for array in arrays_in(saved):
            if id(array) in _locks or array.flags.writeable:
                _locks.setdefault(id(array), [array, 0])[1] += 1
                array.flags.writeable = False
        return self

    def __del__(self) -> None:
        for array in arrays_in(self):
            if id(array) in _locks:
                _locks[id(array)][1] -= 1
        for array, keepers in reversed(list(_locks.values())):  # an array is writeable again before its views can be
            if not keepers and not (isinstance(array.base, np.ndarray) and id(array.base) in _locks):
                array.flags.writeable = True
                del _locks[id(array)]


def arrays_in(saved: tuple) -> Iterator[Any]:
    """The NumPy arrays among these, tuples opened, and the arrays that they are views of."""
    for value in saved:
        if isinstance(value, tuple):
            yield from arrays_in(value)
        while isinstance(value, np.ndarray):
            yield value
            value = value.base


def trace(node: Node) -> None:
    node.where = user_line(2)
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
