"""The data behind `tinygrad-lm doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tinygrad_lm.backend import build, native
from tinygrad_lm.backend.report import EXTRAS, report

ROOT = Path(__file__).resolve().parents[2]


def test_report_is_plain_data() -> None:
    found = report()
    assert json.loads(json.dumps(found)) == found
    assert set(found["kernels"]) == {"reference", "native", "emulated", "cuda"}
    assert found["kernels"]["reference"]["usable"] and found["devices"]["cpu"]["usable"]
    for status in [*found["kernels"].values(), *found["devices"].values()]:
        assert status["usable"] == (status["reason"] is None)
        assert status["usable"] or (status["reason"] and "\n" not in status["reason"])
    assert found["cpus"] >= 1 and found["packages"]["numpy"] and found["blas"]["name"]


def test_reasons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "NATIVE", tmp_path)
    monkeypatch.setattr(native, "_library", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("TINYGRAD_LM_KERNELS", raising=False)
    found = report()
    assert "they were not built" in found["kernels"]["native"]["reason"]
    assert "no C++ compiler" in found["kernels"]["emulated"]["reason"] and "no C++ compiler" in found["compiler"]
    assert found["default_kernels"] == "reference"


def test_native_details(fresh_native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYGRAD_LM_ISA", raising=False)
    monkeypatch.delenv("TINYGRAD_LM_KERNELS", raising=False)
    found = report()
    assert found["kernels"]["native"]["usable"] and found["default_kernels"] == "native"
    assert found["kernels"]["native"]["instruction_set"] == found["kernels"]["native"]["instruction_sets"][-1]
    monkeypatch.setenv("TINYGRAD_LM_ISA", "abacus")
    monkeypatch.setattr(native, "_library", None)  # as in a new process
    found = report()
    assert "TINYGRAD_LM_ISA=abacus" in found["kernels"]["native"]["reason"]
    assert found["environment"]["TINYGRAD_LM_ISA"] == "abacus" and found["default_kernels"] is None


def test_extras_are_those_of_the_project_file() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {word for name in EXTRAS for word in name.split(" / ")} == set(declared) - {"all"}


def test_nothing_is_written(tmp_path: Path) -> None:
    """In a new process: no file appears, and nothing optional is imported by asking."""
    program = (
        "import sys; from tinygrad_lm.backend.report import report; report();"
        "print(sorted({'matplotlib', 'torch', 'tokenizers', 'rich', 'hypothesis'} & set(sys.modules)))"
    )
    environment = {"TINYGRAD_LM_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {path.name for path in tmp_path.iterdir()} <= {".cupy"}  # which importing cupy makes, where it is installed
