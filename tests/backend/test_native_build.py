"""Building and loading the native kernels: every way it can go wrong leaves a reason and no exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lm.backend import build, native
from tinygrad_lm.backend.record import Unavailable

ROOT = Path(__file__).resolve().parents[2]


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_build_record(native_folder: Path) -> None:
    record = json.loads((native_folder / "build.json").read_text())
    assert record["reason"] is None and record["variants"][0] == next(iter(build.native_variants()))
    assert sorted(path.name for path in native_folder.glob("*.so")) == sorted(f"{v}.so" for v in record["variants"])
    assert set(record["variants"]) | set(record["left_out"]) == set(build.native_variants())


def test_load_chooses_the_best_that_runs(fresh_native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYGRAD_LM_ISA", raising=False)
    usable = native.usable_variants()
    assert usable and native.chosen_variant() == usable[-1]
    table = native.load()
    assert table["softmax"](np, np.zeros((1, 2), np.float32)).tolist() == [[0.5, 0.5]]
    for variant in usable:
        monkeypatch.setenv("TINYGRAD_LM_ISA", variant)
        assert native.chosen_variant() == variant


@pytest.mark.parametrize("word", ["x86-64-v9", "avx2"])
def test_forced_instruction_set_must_exist(fresh_native: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("TINYGRAD_LM_ISA", word)
    with pytest.raises(ValueError, match=f"TINYGRAD_LM_ISA={word} cannot be used here; this machine has ") as caught:
        native.load()
    assert "\n" not in str(caught.value)


def test_forced_instruction_set_must_run_here(fresh_native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that reports the baseline only gets the baseline only."""

    class OldProcessor:
        def cpu_level(self) -> int:
            return 1

    monkeypatch.setattr(native, "_open", lambda variant: OldProcessor())
    monkeypatch.setattr(build, "native_record", lambda: {**record, "variants": list(build.X86_VARIANTS)})
    record = json.loads((fresh_native / "build.json").read_text())
    assert native.usable_variants() == ["x86-64"]
    monkeypatch.setenv("TINYGRAD_LM_ISA", "x86-64-v4")
    with pytest.raises(ValueError, match="this machine has x86-64$"):
        native.chosen_variant()


def unavailable() -> str:
    with pytest.raises(Unavailable) as caught:
        native.load()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(build.BUILD_COMMAND)
    return str(caught.value)


def test_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_library", None)
    monkeypatch.setattr(build, "NATIVE", tmp_path)
    assert "they were not built" in unavailable()
    (tmp_path / "build.json").write_text("{ truncated")
    assert "they were not built" in unavailable()


def test_changed_sources(fresh_native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "native_digest", lambda folder: "another")
    assert "their sources have changed" in unavailable()


def test_damaged_object(fresh_native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in fresh_native.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() if path.suffix == ".json" else b"not an object")
    monkeypatch.setattr(build, "NATIVE", tmp_path)
    assert "native kernels: " in unavailable()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 1", "failed: exit status 1"),
        (
            'case "$1" in --version) echo fake 1.0;; *) echo "x.cpp:1: error: broken" >&2; exit 1;; esac',
            "error: broken",
        ),
        (None, "was not found"),
    ],
)
def test_failing_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str | None, reason: str) -> None:
    compiler = tmp_path / "compiler"
    monkeypatch.setenv("CXX", script(compiler, body) if body else str(compiler))
    target = tmp_path / "native"
    target.mkdir()
    (target / "x86-64.so").write_text("from an earlier build")
    record = build.build_native(build.kernels_folder(), target)
    assert reason in record["reason"] and record["variants"] == []
    assert [path.name for path in target.iterdir()] == ["build.json"]
    assert json.loads((target / "build.json").read_text()) == record


def test_no_compiler_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C++ compiler found" in build.build_native(build.kernels_folder(), tmp_path / "native")["reason"]


def test_variant_that_the_compiler_does_not_know_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = (
        'out=; for word; do case "$word" in --version) echo old 1.0; exit;; '
        "-march=x86-64-v*) echo \"error: unknown value '$word' for -march\" >&2; exit 1;; esac; "
        '[ "$last" = -o ] && out="$word"; last="$word"; done; : > "$out"'
    )
    monkeypatch.setenv("CXX", script(tmp_path / "old", body))
    monkeypatch.setattr(build, "native_variants", lambda: build.X86_VARIANTS)
    record = build.build_native(build.kernels_folder(), tmp_path / "native")
    assert record["reason"] is None and record["variants"] == ["x86-64"]
    assert list(record["left_out"]) == ["x86-64-v3", "x86-64-v4"] and "unknown value" in record["left_out"]["x86-64-v4"]


def test_other_processors_get_one_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.platform, "machine", lambda: "aarch64")
    assert build.native_variants() == {"aarch64": []}


def test_installation_survives_a_failing_compiler(tmp_path: Path) -> None:
    """setup.py itself, as pip runs it: exit code 0, kernel sources shipped, the reason recorded."""
    pytest.importorskip("setuptools", "77", reason="setup.py needs setuptools")
    environment = {**os.environ, "CXX": script(tmp_path / "compiler", "exit 3")}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    package = tmp_path / "lib" / "tinygrad_lm"
    assert "exit status 3" in json.loads((package / "_native" / "build.json").read_text())["reason"]
    shipped = {path.relative_to(package / "_kernels") for path in (package / "_kernels").rglob("*.*")}
    assert shipped == {path.relative_to(ROOT / "kernels") for path in (ROOT / "kernels").rglob("*.*")}
    assert "native kernels not built" in done.stderr


def test_process_keeps_its_floating_point_mode(fresh_native: Path) -> None:
    """Loading the kernels must not switch on flush-to-zero: subnormal numbers still exist."""
    native.load()
    tiny = np.array([2.0**-140], np.float32)
    assert (tiny * np.float32(0.5))[0] == np.float32(2.0**-141) != 0


def test_multiply_adds_are_what_they_say(fresh_native) -> None:
    """Each lane of each chain ends at 2, the fixed point of x / 2 + 1: so many lanes and chains there are."""
    for dtype in ("float32", "float64"):
        flops, run = native.multiply_adds(dtype, steps=200)
        totals = run()
        assert len(totals) == len(os.sched_getaffinity(0)) and len(set(totals)) == 1
        assert flops == totals[0] / 2 * 2 * 200 * len(totals)
    with pytest.raises(ValueError, match="float32 or float64, got float16"):
        native.multiply_adds("float16")
