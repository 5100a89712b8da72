"""The scripts under benchmarks/ run, explain themselves and write what they promise.  Times are not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("import_time.py", "memory.py", "tape.py", "train_step.py")


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]],
        env={**os.environ, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "script", [*SCRIPTS, "deep.py", "kill_resume.py", "learning.py", "kernels.py", "verdicts.py", "verdicts_here.py"]
)
def test_help(script: str) -> None:
    done = run(script, "--help")
    assert done.returncode == 0 and "--json" in done.stdout and f"python benchmarks/{script}" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("train_step.py", "--kernels", "imaginary"),
        ("train_step.py", "gpt-9x999"),
        ("train_step.py", "--peers", "torch,imaginary"),
        ("train_step.py", "--rounds", "3"),
        ("train_step.py", "--max-time", "0"),
        ("train_step.py", "mlp", "lstm", "--profile"),
        ("memory.py", "--workload", "gpt-9x999"),
        ("memory.py", "--steps", "0"),
        ("import_time.py", "--pairs", "0"),
        ("verdicts.py", "--cases", "1"),
        ("verdicts_here.py", "--cases", "0"),
        ("kernels.py", "--only", "reshape"),
        ("kernels.py", "--max-time", "0"),
    ],
)
def test_wrong_use_is_code_2_without_a_traceback(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_without_the_package_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "tinygrad_lm").mkdir()
    (tmp_path / "tinygrad_lm" / "__init__.py").write_text("raise ImportError('not here')")
    for script in SCRIPTS:
        done = run(script, PYTHONPATH=str(tmp_path))
        assert done.returncode == 2 and "not here" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "figure", "needs_torch"),
    [
        (("import_time.py", "--pairs", "1"), "import tinygrad_lm beyond import numpy", False),
        (("train_step.py", "lstm", "--profile", "--steps", "1", "--threads", "1"), "one step: backward", False),
        (("tape.py", "--rounds", "4"), "200 ops forward and backward", True),
        (
            ("train_step.py", "mlp-tiny", "--steps", "5", "--rounds", "4", "--threads", "1", "--max-time", "1"),
            "time of a step, mlp-tiny: reference / torch eager",
            True,
        ),
        (("memory.py", "--processes", "1", "--steps", "1", "--threads", "1"), "training memory: reference", True),
        (("memory.py", "--workload", "cnn", "--processes", "1", "--steps", "1"), "training memory: reference", True),
        (("verdicts.py", "--cases", "12"), "equal functions called FASTER or SLOWER", False),
        (("kernels.py", "--only", "any", "--backward", "--max-time", "0.02"), "operations that are refused", False),
        (("verdicts_here.py", "--cases", "1", "--max-time", "0.1"), "A against itself: share", False),
    ],
    ids=[
        "import_time",
        "profile",
        "tape",
        "train_step",
        "memory",
        "memory_cnn",
        "verdicts",
        "kernels",
        "verdicts_here",
    ],
)
def test_it_runs(words: tuple[str, ...], figure: str, needs_torch: bool, tmp_path: Path) -> None:
    if needs_torch:
        pytest.importorskip("torch")
    done = run(*words, "--json", str(tmp_path / "out.json"))
    assert done.returncode in (0, 1) and not done.stderr, done.stdout + done.stderr
    written = json.loads((tmp_path / "out.json").read_text())
    names = [f["name"] for f in written["figures"]]
    assert any(name.startswith(figure) for name in names)
    assert all(f["value"] is not None for f in written["figures"])
    assert all(name in done.stdout for name in names) and written["environment"]["command"].startswith(words[0])
    # What does not depend on the machine's mood must hold.
    assert all(f["passed"] for f in written["figures"] if any(w in f["name"] for w in ("losses", "kept", "called")))
