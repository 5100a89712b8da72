"""Callables that live in processes of their own, called and timed one at a time.

Two libraries with two thread pools cannot be timed fairly inside one process: the threads of the one that is idle keep
spinning, waiting for work, on the cores that the other needs (a training step was seen to take 300 ms instead of 60).
Given a process each, the idle side's main thread is blocked in a read, each side keeps its own best settings, and
neither library's allocator or threads exist in the other's process.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class Worker:
    """``make(*args)`` built in a fresh process; ``worker()`` calls the result there and returns what it returned.

    ``make`` must be importable by name (a function of a module or of the script) and what passes must be picklable.
    ``env`` is added to the new process's environment before any import: the place for thread counts.

    ``worker.seconds(calls)`` times ``calls`` calls with the worker's own clock, so the pipe is not in the figure, and
    that is what `compare` asks for.  Untimed calls for ``lead_in`` seconds come first: a pool that has just worked in
    the other process spins on before it sleeps, and the caches have to be filled again.  (Torch's work that took 76 ms
    alone took 76 ms so, right after NumPy's in the other process, and 130 to 180 ms without.)

    Use it as a context manager, or call `close`.  A failure over there is a RuntimeError here, with its traceback.
    """

    def __init__(
        self,
        make: Callable[..., Callable[[], Any]],
        *args: Any,
        env: Mapping[str, str] | None = None,
        lead_in: float = 0.05,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._name = getattr(make, "__qualname__", repr(make))
        self._process = context.Process(target=_serve, args=(theirs, make, args, lead_in), daemon=True)
        before = dict(os.environ)
        os.environ.update(env or {})
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
            theirs.close()
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def __call__(self) -> Any:
        """Call once, over there."""
        self._pipe.send(0)
        return self._answer()

    def seconds(self, calls: int) -> float:
        """Seconds that ``calls`` calls take, by the worker's clock."""
        self._pipe.send(calls)
        return self._answer()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            good, value = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            raise RuntimeError(f"worker {self._name} died with exit code {self._process.exitcode}") from None
        if not good:
            raise RuntimeError(f"worker {self._name} failed:\n{value}")
        return value


def _serve(pipe: Connection, make: Callable[..., Callable[[], Any]], args: tuple[Any, ...], lead_in: float) -> None:
    """The other side: answer (True, value) or (False, traceback) until the pipe closes.  0 asks for a call's result."""
    function: Callable[[], Any] | None = None
    calls = 0
    while True:
        try:
            if function is None:
                function, value = make(*args), None
            elif calls == 0:
                value = function()
            else:
                value = _timed(function, calls, lead_in)
            answer = (True, value)
        except Exception:
            answer = (False, traceback.format_exc())
        try:
            pipe.send(answer)
            if function is None:
                return
            calls = pipe.recv()
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return


def _timed(function: Callable[[], Any], calls: int, lead_in: float) -> float:
    start = time.perf_counter()
    while time.perf_counter() - start < lead_in:
        function()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start
