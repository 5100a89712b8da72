"""tinygrad-lm bench: rows, files, exit codes, and one clear line for wrong use."""

from __future__ import annotations

import json

import pytest

import tinygrad_lm as tg
from tinygrad_lm.cli import main

QUICK = ["--max-time", "0.01", "--no-cold"]


def test_list_names_every_workload_and_its_sizes(capsys):
    assert main(["bench", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["matmul", "M=512,", "K=512,", "N=512"] for line in lines) and len(lines) > 30
    assert main(["bench", "list", "softmax"]) == 0 and capsys.readouterr().out.startswith("softmax ")


def test_rows_are_printed_and_written(capsys, tmp_path):
    file = tmp_path / "rows.json"
    words = ["matmul", "--axis", "M=8:32:*2", "--axis", "K=8", "--axis", "N=4,5", "--dtype", "float32,float64"]
    assert main(["bench", "run", *words, *QUICK, "--json", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * 2 * 2 and lines[0].startswith("matmul(M=8, K=8, N=4, float32) auto: hot ")
    assert all("of the roofline" in line and "cold" not in line for line in lines)
    written = json.loads(file.read_text())
    assert [r["axes"]["M"] for r in written["rows"]] == [8] * 4 + [16] * 4 + [32] * 4
    assert written["schema"] == "tinygrad_lm rows 1" and written["environment"]["python"]
    assert written["rows"][0]["timing"]["hot_s"] and written["roofline"]["peak_flops"]["float32"] > 0


def test_kernels_are_timed_side_by_side(capsys):
    words = ["softmax", "--axis", "rows=4", "--axis", "columns=8", "--kernels", "reference,auto"]
    before = tg.backend.kernels_in_use()
    assert main(["bench", "run", *words, *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3].rstrip(":") for line in lines] == ["reference", "auto"]
    assert tg.backend.kernels_in_use() == before


def test_what_is_refused_is_exit_code_1_and_others_go_on(capsys, monkeypatch):
    from tinygrad_lm import bench

    right = bench.function_of
    monkeypatch.setattr(
        bench, "function_of", lambda name, **sizes: (lambda *a: a[0]) if name == "tanh" else right(name, **sizes)
    )
    assert main(["bench", "run", "tanh", "exp", "--axis", "n=10", *QUICK]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "REFUSED, tanh auto is refused: " in lines[0] and lines[1].startswith("exp(n=10, float32) auto: hot ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "matmull"], "no workload is called 'matmull'"),
        (["run", "matmul", "--axis", "Q=3"], "none of matmul has an axis Q: expected some of K, M, N"),
        (["run", "matmul", "--axis", "M=0"], "matmul: M must be at least 1, got 0"),
        (["run", "matmul", "--axis", "M=8:4:*2"], "--axis M=8:4:*2: expected sizes like M=256"),
        (["run", "matmul", "--axis", "M=1:4:*1"], "--axis M=1:4:*1: expected sizes like"),
        (["run", "matmul", "--axis", "M=x"], "--axis M=x: expected sizes like"),
        (["run", "matmul", "--axis", "M=1:2:"], "--axis M=1:2:: expected sizes like"),
        (["run", "matmul", "--axis", "M=1000000", "--axis", "K=1000000"], "needs about "),
        (["run", "matmul", "--dtype", "int8"], "--dtype: 'int8' is none of float32, float64, float16"),
        (["run", "matmul", "--kernels", "fast"], "--kernels: 'fast' is none of auto, reference"),
        (["run", "matmul", "--max-time", "0"], "--max-time must be positive, got 0"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(words, says, capsys):
    assert main(["bench", *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_file_that_cannot_be_written(capsys, tmp_path):
    assert main(["bench", "run", "tanh", "--axis", "n=4", *QUICK, "--json", str(tmp_path / "no" / "rows.json")]) == 2
    assert "cannot be written: No such file" in capsys.readouterr().err
