"""Counterparts in other libraries compute what ours do; what has none says so."""

from __future__ import annotations

import functools
import importlib
import sys

import numpy as np
import pytest

from tinygrad_lm.backend import Unavailable
from tinygrad_lm.bench import workload
from tinygrad_lm.bench.peers import PEERS, peer
from tinygrad_lm.bench.rows import crossing
from tinygrad_lm.bench.workloads import SIZES, axes_of, params_of
from tinygrad_lm.testing import verify

COUNTERPARTS = {"numpy": 100, "torch": 140, "jax": 115}  # at least


def small(name: str) -> dict:
    return {axis: min(size, 6) if type(size) is int else size for axis, size in axes_of(name).items()}


@pytest.fixture
def prepared():
    """Prepares a peer for one thread and float64, and leaves the settings of its library as they were."""
    left = []

    def prepare(name: str):
        other = peer(name)
        if name == "torch":
            torch = importlib.import_module("torch")
            left.append(functools.partial(torch.set_num_threads, torch.get_num_threads()))
        if name == "jax":
            jax = importlib.import_module("jax")
            left.append(functools.partial(jax.config.update, "jax_enable_x64", jax.config.jax_enable_x64))
        other.setup(1)
        return other

    yield prepare
    for restore in left:
        restore()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("op", SIZES)
def test_a_counterpart_computes_what_ours_does(prepared, name: str, op: str, dtype: str) -> None:
    pytest.importorskip(name)
    other, axes = prepared(name), small(op)
    try:
        function = other.function(op, params_of(op, **axes))
    except ValueError as error:
        assert str(error) == f"{name} has no counterpart of {op} here"
        return
    case = workload(op, dtype, **axes)
    verify(crossing(function, other.array), case.reference, case.draw, outliers=case.outliers, seed=0, name=op)


@pytest.mark.parametrize("name", PEERS)
def test_most_operations_have_a_counterpart(name: str) -> None:
    pytest.importorskip(name)

    def has(op: str) -> bool:
        try:
            return callable(peer(name).function(op, params_of(op, **small(op))))
        except ValueError:
            return False

    assert sum(map(has, SIZES)) >= COUNTERPARTS[name]


@pytest.mark.parametrize("name", PEERS)
def test_arrays_are_copies_of_the_same_dtype(name: str) -> None:
    pytest.importorskip(name)
    other = peer(name)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = other.array(x)
    assert type(there) is not np.ndarray or name == "numpy"
    x[:] = 0
    assert np.array_equal(np.asarray(there), [[0, 1, 2], [3, 4, 5]]) and str(there.dtype).endswith("float32")
    assert other.version


def test_who_is_not_there_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no peer is called 'tf': expected one of numpy, torch, jax"):
        peer("tf")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Unavailable, match="torch is not installed .*: pip install torch"):
        peer("torch")
