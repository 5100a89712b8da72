"""What can be compared by name: kernel tables, peers, commits, somebody's functions; each in a process of its own.

side = side_of("native")                          # or "torch", "HEAD~3", ".", "mine.py:function"
with side.start("softmax", "float32", {}) as worker:
    worker.seconds(10), worker(x)
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm.backend import CPU, set_kernels
from tinygrad_lm.bench import commits
from tinygrad_lm.bench.child import Turns
from tinygrad_lm.bench.devices import SIDE, Host, Ways
from tinygrad_lm.bench.peers import PEERS, Peer, peer
from tinygrad_lm.bench.rows import SETS, Case, crossing, measure
from tinygrad_lm.bench.workers import Checkout, Worker
from tinygrad_lm.bench.workloads import function_of, params_of, workload
from tinygrad_lm.testing.adapters import to_float64

TABLES = ("auto", "reference", *CPU.words)


@dataclass(frozen=True)
class Side:
    """One of two that are compared.  ``kind``: "kernels", "peer", "commit" or "function"; ``notes``: what to know."""

    name: str
    kind: str
    where: Any = None  # a commit's hash, or the (file, function) of a function
    threads: int | None = None
    notes: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """What its process is started with: each library asks a variable of its own how many threads to start."""
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return dict.fromkeys(names, str(self.threads)) if self.threads else {}

    def start(self, workload: str | None, dtype: str = "float32", axes: Mapping[str, Any] | None = None) -> Worker:
        """A process that holds it: called with arrays it returns NumPy arrays, and it times itself on inputs in turn.

        workload: None for a function that is called without arguments.
        """
        env = self.environment()
        if self.kind == "function":
            return Worker(a_function, *self.where, workload, dtype, dict(axes or {}), env=env)
        assert workload is not None
        if self.kind == "commit":
            folder = commits.HERE if self.name == "." else commits.unpacked(self.where)[0]
            return Checkout(
                folder, workload, params_of(workload, **axes or {}), sets(workload, dtype, axes or {}), env=env
            )
        make = a_peer if self.kind == "peer" else a_table
        return Worker(make, self.name, workload, dtype, dict(axes or {}), self.threads or 0, env=env)


def side_of(word: str, threads: int | None = None, root: Path = commits.HERE) -> Side:
    """What a word names: FILE.py:function, a kernel table, a peer, a commit or "." (the working tree), in this order.

    Raises ValueError, and Unavailable for a peer that is not installed.
    """
    file, colon, function = word.rpartition(":")
    if colon and file.endswith(".py"):
        if not Path(file).is_file():
            raise ValueError(f"{word}: there is no file {file}")
        return Side(word, "function", (str(Path(file).resolve()), function), threads)
    if word in TABLES:
        return Side(word, "kernels", None, threads)
    if word in PEERS:
        if importlib.util.find_spec(word) is None:
            peer(word)
        return Side(word, "peer", None, threads)
    if word == ".":
        commits.git("rev-parse", "--git-dir", root=root)
        return Side(word, "commit", None, threads)
    commit = commits.commit_of(word, root)
    if commit is None:
        known = ", ".join([*TABLES, *PEERS])
        raise ValueError(f"{word!r} is no kernel table or peer ({known}), no commit, and no FILE.py:function")
    _, failed = commits.unpacked(commit, root)
    notes = [f"{word} is {commit[:10]}"]
    notes += [f"its native kernels could not be built ({failed}): its reference runs"] * bool(failed)
    notes += ["the working tree has changes that no commit has: '.' is what you see"] * (
        commit == commits.commit_of("HEAD", root) and commits.dirty(root)
    )
    return Side(word, "commit", commit, threads, tuple(notes))


# ------------------------------------------------------------------------------------ what the processes are told to do


def sets(name: str, dtype: str, axes: Mapping[str, Any]) -> list[list[Any]]:
    """A few sets of inputs of a workload, the same for every side."""
    case, rng = workload(name, dtype, **axes), np.random.default_rng(0)
    return [list(case.draw(rng)) for _ in range(SETS)]


def plainly(function: Callable, put: Callable[[np.ndarray], Any] = lambda a: a) -> Callable:
    """The function on NumPy arrays, which answers with NumPy arrays."""
    called = crossing(function, put)

    def answer(*arrays: Any) -> Any:
        result = called(*arrays)
        return tuple(map(plain, result)) if isinstance(result, tuple | list) else plain(result)

    return answer


def plain(y: Any) -> Any:
    """An array of any library, as NumPy's, with as many bits as it has."""
    y = getattr(y, "data", y) if type(y).__module__.startswith("tinygrad_lm") else y
    return np.asarray(y) if hasattr(y, "__array__") or isinstance(y, int | float) else to_float64(y)


def a_table(kernels: str, name: str, dtype: str, axes: Mapping[str, Any], threads: int) -> Turns:
    if kernels != "auto":
        set_kernels(kernels)
    function = function_of(name, **axes)
    return Turns(function, sets(name, dtype, axes), plainly(function))


def a_peer(word: str, name: str, dtype: str, axes: Mapping[str, Any], threads: int) -> Turns:
    other, function = ready(word, name, axes, threads)
    there = [[other.array(a) if isinstance(a, np.ndarray) else a for a in s] for s in sets(name, dtype, axes)]
    return Turns(function, there, plainly(function, other.array))


def a_function(file: str, function: str, name: str | None, dtype: str, axes: Mapping[str, Any]) -> Callable:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[Path(file).stem] = module
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{file} has no function {function!r}")
    return found if name is None else Turns(found, sets(name, dtype, axes), plainly(found))


def a_row(
    word: str, name: str, dtype: str, axes: Mapping[str, Any], threads: int, options: Mapping[str, Any]
) -> Callable[[], tuple[dict[str, Any], str]]:
    """What makes a peer's row over there: its record and what it says, since a `Row` holds functions."""
    from tinygrad_lm.bench.roofline import Roofline

    other, function = ready(word, name, axes, threads)

    def row() -> tuple[dict[str, Any], str]:
        case: Case = workload(name, dtype, **axes)
        found = measure(case, function, word, put=other.array, roofline=Roofline(HostOf(other)), **options)
        return found.record(), str(found)

    return row


class HostOf(Host):
    """The processor as a peer uses it: with threads and a matrix product that NumPy may not have."""

    def __init__(self, other: Peer):
        super().__init__()
        self.other = other

    def heaviest(self, dtype: str, side: int = SIDE) -> Ways:
        x = self.other.array(np.full((side, side), 0.5, np.float64 if dtype == "float64" else np.float32))
        product = self.other.function("matmul", {})
        ways = {f"matrix product {side} by {self.other.name}": (2 * side**3, lambda: product(x, x))}
        return {**super().heaviest(dtype, side), **ways}

    def streams(self, size: int) -> Ways:
        x = self.other.array(np.ones(size // 8, np.float32))
        negative = self.other.function("negative", {})
        return {**super().streams(size), f"negation by {self.other.name}": (size, lambda: negative(x))}


def ready(word: str, name: str, axes: Mapping[str, Any], threads: int) -> tuple[Any, Callable]:
    other = peer(word)
    if threads or word == "jax":
        other.setup(threads)
    return other, other.function(name, params_of(name, **axes))
