"""The kernel to begin with: it runs as it is written, and what is not right yet is refused."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_lm.backend import build, launch
from tinygrad_lm.bench.new_kernel import ELEMENTS, new_kernel
from tinygrad_lm.bench.workloads import SIZES
from tinygrad_lm.cli import main
from tinygrad_lm.core import OPS
from tinygrad_lm.testing import Refused

HEADINGS = ["Idea", "Maps threads to data", "FLOPs and bytes", "Needs", "Improves on", "Limits"]


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels can be compiled, and what a script adds to the ladders is forgotten."""
    try:
        build.find_compiler()
    except build.BuildFailed:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(launch, "LADDERS", {op: dict(ladder) for op, ladder in launch.LADDERS.items()})


def answer(script: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_as_written_it_is_checked_and_timed(tmp_path: Path, compiler: None) -> None:
    source, script = new_kernel("mine", folder=tmp_path)
    code, said = answer(script)
    assert code == 0, said
    assert "mine is right, in every order of threads" in said and "relu(n=1000, float32) mine: hot " in said
    assert re.search(r"reference: hot .*\n.*(FASTER|SLOWER|SAME|UNSURE)", said)

    right = source.read_text()
    source.write_text(right.replace("i < count", "i < count / 2"))
    code, said = answer(script, "--check")
    assert code == 1 and "mine, threads forward, is refused: " in said and "Traceback" not in said
    source.write_text(right.replace("i < count", "i <= count"))
    code, said = answer(script, "--check")
    assert code == 1 and "Traceback" not in said and "mine.cu, kernel mine_kernel: " in said
    source.write_text(right.replace("out[i]", "nonsense"))
    code, said = answer(script, "--check")
    assert code == 1 and said.count("\n") == 1 and "failed: " in said and "nonsense" in said


@pytest.mark.parametrize("op", sorted(ELEMENTS.keys() & SIZES.keys()))
def test_elementwise_operations_are_right_at_once(op: str, tmp_path: Path, compiler: None) -> None:
    source, script = new_kernel("k", op, tmp_path)
    runpy.run_path(str(script))["check"]()
    assert list(launch.LADDERS[op])[-1] == "k"


@pytest.mark.parametrize("op", sorted({"softmax", "matmul", "linear"} & SIZES.keys()))
def test_others_are_refused_until_they_are_written(op: str, tmp_path: Path, compiler: None) -> None:
    source, script = new_kernel("k", op, tmp_path)
    assert "Not yet" in source.read_text()
    with pytest.raises(Refused):
        runpy.run_path(str(script))["check"]()


@pytest.mark.parametrize("op", ["multiply", "embedding", "where"])
def test_a_gpu_could_run_it(op: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvrtc = build.find_nvrtc()
    if nvrtc is None:
        pytest.skip("NVRTC is not installed")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path))
    source, _ = new_kernel("k", op, tmp_path)
    assert build.nvrtc_cubin(nvrtc, source, "sm_80").read_bytes()[:4] == b"\x7fELF"


def test_every_operation_has_a_template_or_a_reason(tmp_path: Path) -> None:
    assert ELEMENTS.keys() <= OPS.keys()
    made = 0
    for op in SIZES:
        try:
            source, script = new_kernel(f"k_{op}", op, tmp_path)
        except ValueError as error:
            assert f"{op} is not made of one array" in str(error)
            continue
        compile(script.read_text(), str(script), "exec")
        text, made = source.read_text(), made + 1
        comment = text.split("#include")[0]
        found = [h for line in comment.splitlines() for h in HEADINGS if line.startswith(f"// {h}  ")]
        assert found == HEADINGS and "$" not in text + script.read_text()
    assert made > len(SIZES) / 2


@pytest.mark.parametrize("name", ["a-b", "2d", "", "class", "../x", "größe", "a b"])
def test_a_name_is_an_identifier(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name a kernel"):
        new_kernel(name, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_or_hidden(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(FileExistsError, match=r"mine\.py exists"):
        new_kernel("mine", folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"] and (tmp_path / "mine.py").read_text() == "precious"
    with pytest.raises(ValueError, match="name of a module"):
        new_kernel("numpy", folder=tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "new-kernel", "mine", "--out", str(tmp_path / "new")]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"now: python {tmp_path / 'new' / 'mine.py'}"
    assert main(words) == 2 and "exists and is left as it is" in capsys.readouterr().err
    assert main(["bench", "new-kernel", "x y"]) == 2 and "cannot name a kernel" in capsys.readouterr().err
    assert main(["bench", "new-kernel", "other", "--op", "nonsense"]) == 2
    assert "no workload is called 'nonsense'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["bench", "new-kernel", "other", "--out", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err
