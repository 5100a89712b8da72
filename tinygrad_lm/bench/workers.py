"""Callables that live in processes of their own, called and timed one at a time.

Two libraries with two thread pools cannot be timed fairly inside one process: the threads of the one that is idle keep
spinning, waiting for work, on the cores that the other needs (a training step was seen to take 300 ms instead of 60).
Given a process each, the idle side's main thread is blocked in a read, each side keeps its own best settings, and
neither library's allocator or threads exist in the other's process.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from tinygrad_lm.bench import child


class Worker:
    """``make(*args)`` built in a fresh process; ``worker(...)`` calls the result there and returns what it returned.

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
        target = functools.partial(child.serve, theirs, functools.partial(make, *args), lead_in)
        self._process: Any = context.Process(target=target, daemon=True)
        before = dict(os.environ)
        os.environ.update(env or {})
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
            theirs.close()
        self._started()

    def _started(self) -> None:
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def __call__(self, *args: Any) -> Any:
        """Call once, over there."""
        self._ask(args)
        return self._answer()

    def seconds(self, calls: int) -> float:
        """Seconds that ``calls`` calls take, by the worker's clock."""
        self._ask(calls)
        return self._answer()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        self._pipe.close()
        self._wait(10)

    def _wait(self, seconds: float) -> int | None:
        """Its exit code; it is killed if it does not end in time."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._process.exitcode

    def _ask(self, what: Any) -> None:
        try:
            self._pipe.send(what)
        except BrokenPipeError:
            raise RuntimeError(f"worker {self._name} died with exit code {self._wait(10)}") from None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            good, value = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise RuntimeError(f"worker {self._name} died with exit code {self._wait(10)}") from None
        if not good:
            raise RuntimeError(f"worker {self._name} failed:\n{value}")
        return value


class Checkout(Worker):
    """An operation as the package in ``folder`` has it, any version of it, on a few sets of inputs in turn.

    ``worker(*arrays)`` gives its result on others, as NumPy arrays.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        params: Mapping[str, Any],
        sets: Sequence[Sequence[Any]],
        env: Mapping[str, str] | None = None,
        lead_in: float = 0.05,
    ) -> None:
        ours, theirs = socket.socketpair()
        self._name = f"{name} of {folder.name}"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", child.__file__, str(theirs.fileno())],
                env={**os.environ, **(env or {}), "PYTHONPATH": str(folder)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._pipe = Connection(ours.detach())
        self._ask((name, dict(params), list(sets), lead_in))
        self._started()

    def _wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
