"""The other side of a `Worker`: builds a function in a process of its own, then calls and times it when asked to.

It needs nothing of this package but what it is told to build, so that it can be run as a program over another version
of it:

    PYTHONPATH=that/version python -P child.py FILE_DESCRIPTOR
"""

from __future__ import annotations

import itertools
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any


class Turns:
    """A function that takes its inputs from a few sets, one after the other, when it is called without any."""

    def __init__(self, function: Callable, sets: Sequence[Sequence[Any]], answer: Callable | None = None):
        self.function, self.sets = function, itertools.cycle(sets)
        self.answer = answer or function  # the same on NumPy arrays, for whoever checks what it computes

    def __call__(self, *arrays: Any) -> Any:
        return self.answer(*arrays) if arrays else self.function(*next(self.sets))


def serve(pipe: Connection, make: Callable[[], Callable], lead_in: float) -> None:
    """Answer (True, value) or (False, traceback) until the pipe closes.

    Asked are: a tuple of arguments, for the result of a call with them; a number of calls, for the seconds they take.
    """
    function: Callable | None = None
    asked: Any = None
    while True:
        try:
            if function is None:
                function, value = make(), None
            elif isinstance(asked, tuple):
                value = function(*asked)
            else:
                value = timed(function, asked, lead_in)
            answer = True, value
        except Exception:
            answer = False, traceback.format_exc()
        try:
            try:
                pipe.send(answer)
            except (TypeError, AttributeError, ValueError) as error:  # it cannot be pickled
                pipe.send((False, f"a result that cannot be passed on: {type(answer[1]).__name__}: {error}"))
            if function is None:
                return
            asked = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return


def timed(function: Callable[[], Any], calls: int, lead_in: float) -> float:
    """Seconds of `calls` calls, after `lead_in` seconds of others."""
    start = time.perf_counter()
    while time.perf_counter() - start < lead_in:
        function()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def operation(name: str, params: Mapping[str, Any], sets: Sequence[Sequence[Any]]) -> Turns:
    """An operation of whatever version of the package is found."""
    import numpy as np

    import tinygrad_lm.ops
    from tinygrad_lm.core import OPS

    if name not in OPS:
        raise ValueError(f"the version in {tinygrad_lm.__path__[0]} has no operation {name!r}")
    op = OPS[name]

    def found(*arrays: Any) -> Any:
        return op.function(arrays, **params) if getattr(op, "variadic", False) else op.function(*arrays, **params)

    def answer(*arrays: Any) -> Any:
        result = found(*arrays)
        return tuple(map(np.asarray, result)) if isinstance(result, tuple) else np.asarray(result)

    return Turns(found, sets, answer)


if __name__ == "__main__":
    _pipe = Connection(int(sys.argv[1]))
    _name, _params, _sets, _lead_in = _pipe.recv()
    serve(_pipe, lambda: operation(_name, _params, _sets), _lead_in)
