"""Worker: built over there, called and timed from here, loud when it fails."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

import pytest

from tinygrad_lm.bench import Worker, compare

FUNCTIONS = """
import os, time

def counter(start):
    state = [start]
    def step():
        state[0] += 1
        time.sleep(0.001)
        return state[0], os.getpid(), os.environ.get("BENCH_WORKER_TEST")
    return step

def sleeper(duration):
    return lambda: time.sleep(duration)

def broken():
    raise OSError("no such model")

def fails():
    def step():
        raise KeyError("lost weight")
    return step

def dies():
    return lambda: os._exit(7)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that the worker's process can import by name, whatever the test runner does with test files."""
    (tmp_path / "bench_worker_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("bench_worker_functions")


def test_state_process_and_environment_are_its_own(functions: ModuleType) -> None:
    before = dict(os.environ)
    with Worker(functions.counter, 10, env={"BENCH_WORKER_TEST": "2"}, lead_in=0.01) as worker:
        assert dict(os.environ) == before
        first, pid, word = worker()
        assert (first, word) == (11, "2") and pid != os.getpid()
        assert worker()[:2] == (12, pid)
        took = worker.seconds(5)
        calls = worker()[0] - 12 - 1
        assert 0.005 <= took < 5 and calls > 5  # five in the time, some before it
    with pytest.raises(OSError):
        worker()


def test_workers_can_be_compared(functions: ModuleType) -> None:
    with Worker(functions.sleeper, 0.002, lead_in=0) as slow, Worker(functions.sleeper, 0.0005, lead_in=0) as fast:
        found = compare(slow, fast, rounds=4, names=("slow", "fast"))
    assert found.verdict == "SLOWER" and found.ratio > 1.5


def test_failures_arrive_with_their_cause(functions: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="worker broken failed:(.|\n)*OSError: no such model"):
        Worker(functions.broken)
    with Worker(functions.fails) as worker:
        for _ in range(2):  # it lives on
            with pytest.raises(RuntimeError, match="worker fails failed:(.|\n)*lost weight"):
                worker()
    with Worker(functions.dies) as worker, pytest.raises(RuntimeError, match="worker dies died with exit code 7"):
        worker()
