"""The record of where a time was taken: complete, quick, and silent about whose machine it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tinygrad_lm.backend import build, cuda
from tinygrad_lm.bench import environment, machine


def test_it_says_what_a_time_depends_on() -> None:
    found = json.loads(json.dumps(environment()))
    processor = {"cpu", "cores", "caches_bytes", "memory_bytes", "clock_mhz", "governor", "load", "temperature_c"}
    assert processor | {"gpu", "kernels", "blas", "system", "python", "versions", "variables", "git"} <= set(found)
    assert found["memory_bytes"] > 1 << 28 and found["versions"]["numpy"]


def test_the_instruction_set_of_the_native_kernels_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    built = build.native_record()["variants"]
    if not built:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("TINYGRAD_LM_ISA", built[0])
    assert environment()["instruction_set"] == built[0]
    monkeypatch.setenv("TINYGRAD_LM_ISA", "none")
    assert environment()["instruction_set"] is None


def test_the_threads_of_blas_are_those_that_were_asked_for(tmp_path: Path) -> None:
    found = environment()
    if "OpenBLAS" not in found["blas"]:
        pytest.skip("NumPy uses another BLAS")
    said = "from tinygrad_lm.bench.machine import environment; print(environment()['blas_threads'])"
    for threads in ("1", "2"):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", said], env=env, capture_output=True, text=True, check=True)
        assert int(done.stdout) == min(int(threads), found["cores"])
    built = machine._blas(tmp_path / "none")
    assert "openblas" in built["blas"] and built["blas_threads"] is None


def test_it_does_not_say_whose_machine_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{Path.home()}/bench.py", "--json", f"{Path.home()}/out.json"])
    assert str(Path.home()) not in json.dumps(environment())


def test_a_copy_may_say_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_LM_COMMIT", "abc")
    assert environment()["git"] == {"commit": "abc", "dirty": False}


def test_what_is_readable_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"cpuinfo_min_freq": "800000\n", "cpuinfo_max_freq": "x", "scaling_governor": "powersave\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "scaling_cur_freq").write_text("2400000")
    monkeypatch.setattr(machine, "CLOCK", tmp_path)
    machine._processor.cache_clear()
    try:
        found = environment()
    finally:
        machine._processor.cache_clear()
    assert found["clock_limits_mhz"] == [800.0, None] and found["governor"] == "powersave"
    assert found["clock_mhz"] == 2400.0


def test_a_gpu_is_described_where_one_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(cuda, "describe", lambda: {"name": "G"})
    assert environment()["gpu"] is None
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    assert environment()["gpu"] == {"name": "G"}
    monkeypatch.setattr(cuda, "describe", lambda: 1 / 0)
    assert environment()["gpu"] is None
