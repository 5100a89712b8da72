"""tinygrad-lm bench: rows, files, exit codes, and one clear line for wrong use."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.bench import commits, document, save
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
    assert written["schema"] == "tinygrad_lm bench 1" and written["environment"]["python"]
    assert written["rows"][0]["timing"]["hot_s"] and written["roofline"]["peak_flops"]["float32"] > 0


def test_kernels_and_peers_are_timed_side_by_side(capsys, tmp_path):
    words = ["softmax", "--axis", "rows=4", "--axis", "columns=8", "--kernels", "reference,auto", "--peers", "numpy"]
    before = tg.backend.kernels_in_use()
    assert main(["bench", "run", *words, *QUICK, "--json", str(tmp_path / "rows.json")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3].rstrip(":") for line in lines[:3]] == ["reference", "auto", "numpy"]
    assert "REFUSED, ValueError: numpy has no counterpart of softmax here" in lines[2]
    assert tg.backend.kernels_in_use() == before
    (found,) = json.loads((tmp_path / "rows.json").read_text())["comparisons"]
    assert found["names"] == ["auto", "reference"] and found["case"] == "softmax" and "auto" in lines[3]


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
        (["run", "matmull"], "no workload is called 'matmull'; did you mean matmul"),
        (["run", "matmul", "--axis", "Q=3"], "none of matmul has an axis Q: expected some of K, M, N"),
        (["run", "matmul", "--axis", "M=0"], "matmul: M must be at least 1, got 0"),
        (["run", "matmul", "--axis", "M=8:4:*2"], "--axis M=8:4:*2: expected sizes like M=256"),
        (["run", "matmul", "--axis", "M=1:4:*1"], "--axis M=1:4:*1: expected sizes like"),
        (["run", "matmul", "--axis", "M=x"], "--axis M=x: expected sizes like"),
        (["run", "matmul", "--axis", "M=1:2:"], "--axis M=1:2:: expected sizes like"),
        (
            ["run", "matmul", "--axis", "M=1000000", "--axis", "K=1000000"],
            "needs 7,458 GiB, more than 16",
        ),
        (["run", "matmul", "--dtype", "int8"], "--dtype: 'int8' is none of float32, float64, float16, bfloat16"),
        (["run", "matmul", "--kernels", "fast"], "--kernels: 'fast' is none of auto, reference"),
        (["run", "matmul", "--max-time", "0"], "--max-time must be positive, got 0"),
        (["run", "matmul", "--threads", "0"], "--threads must be positive, got 0"),
        (["run", "matmul", "--peers", "tf"], "--peers: 'tf' is none of numpy, torch, jax"),
        (["run", "matmul", "--rung", "matmul=fast"], "--rung: matmul has no rung 'fast': expected one of naive, tiled"),
        (["run", "matmul", "--fail-if-slower", "5%"], "--fail-if-slower needs --baseline FILE"),
        (["run", "matmul", "--fail-if-slower", "x"], "expected a percentage like 5%, got 'x'"),
        (["run", "matmul", "--baseline", "/no/file"], "--baseline: /no/file cannot be read"),
        (["run", "matmul", "--jsn", "x"], "unknown option --jsn; did you mean --json?"),
        (["compare", "reference"], "the following arguments are required: B"),
        (["compare", "reference", "auto"], "name at least one WORKLOAD"),
        (
            ["compare", "reference", "no-such-thing", "tanh"],
            "'no-such-thing' is no kernel table or peer (auto",
        ),
        (["compare", "reference", "no.py:f", "tanh"], "no.py:f: there is no file no.py"),
        (["compare", "reference", "auto", "tanh", "--rounds", "0"], "--rounds must be at least 4, got 0"),
        (["compare", "/no/a.json", "/no/b.json"], "/no/a.json cannot be read"),
        (["compare", "a.json", "b.json", "tanh"], "result files are compared as they are"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(words, says, capsys):
    assert main(["bench", *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_file_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "no").write_text("a file, not a folder")
    for option in ("--json", "--csv"):
        words = ["run", "tanh", "--axis", "n=4", *QUICK, option, str(tmp_path / "no" / "rows")]
        assert main(["bench", *words]) == 2
        assert f"{option}: " in (said := capsys.readouterr().err) and "cannot be written: " in said


# ------------------------------------------------------------------------------------------------ comparisons

MINE = """
import time

def quick():
    time.sleep(0.0005)

def slow():
    print("loud")
    time.sleep(0.005)

def tanh(x):
    import numpy
    return numpy.tanh(x)

def lazy(x):
    return x

def dies(x):
    import os
    os._exit(3)

def fails(x):
    raise KeyError("lost")
"""
SHORT = ["--max-time", "0.05", "--rounds", "4"]


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine_for_bench.py"
    file.write_text(MINE)
    return file


def test_functions_without_arguments(capsys, mine, tmp_path):
    out = tmp_path / "found.json"
    words = ["compare", f"{mine}:quick", f"{mine}:slow", *SHORT]
    assert main(["bench", *words, "--json", str(out), "--md", str(tmp_path / "x.md")]) == 1
    said = capsys.readouterr().out
    assert "called without arguments, so that no result is checked: " in said and ":slow is SLOWER than " in said
    (found,) = json.loads(out.read_text())["comparisons"]
    assert found["verdict"] == "SLOWER" and found["ratio"] > 2 and "SLOWER" in (tmp_path / "x.md").read_text()
    assert main(["bench", *words, "--fail-if-slower", "100000%"]) == 0
    assert main(["bench", "compare", f"{mine}:slow", f"{mine}:quick", *SHORT]) == 0


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("lazy", "it returns its input"),
        ("dies", "died with exit code 3"),
        ("fails", "KeyError: 'lost'"),
        ("missing", "has no function 'missing'"),
    ],
)
def test_what_computes_something_else_or_dies_has_no_verdict(function, says, capsys, mine):
    words = ["compare", "reference", f"{mine}:{function}", "tanh", "--axis", "n=20", *SHORT]
    assert main(["bench", *words]) == 1
    said = capsys.readouterr().out
    assert "tanh(n=20, float32): REFUSED, " in said and says in said and "Traceback" not in said


def test_a_right_function_is_compared(capsys, mine):
    words = ["compare", "reference", f"{mine}:tanh", "tanh", "--axis", "n=20", *SHORT, "--fail-if-slower", "100000%"]
    assert main(["bench", *words]) == 0
    assert "tanh(n=20, float32): " in capsys.readouterr().out


def rows(file, factor, cpu="X", **more):
    hot = (np.linspace(1.0, 1.01, 20) * factor * 1e-3).tolist()
    timing = {"calls_per_sample": 1, "notes": [], "hot_s": hot, "cold_s": [], "overhead_s": []}
    row = {"case": "tanh", "axes": {"n": 4}, "dtype": "float32", "device": "cpu", "variant": "auto", "refused": ""}
    found = document(rows=[{**row, "flops": 4.0, "bytes": 32, "timing": timing, **more}])
    found["environment"] |= {"cpu": cpu}
    save(file, found)


@pytest.mark.parametrize(("factor", "code", "says"), [(1.2, 1, "SLOWER"), (1.0, 0, "SAME"), (0.8, 0, "FASTER")])
def test_result_files(factor, code, says, capsys, tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    rows(a, 1.0)
    rows(b, factor)
    assert main(["bench", "compare", str(a), str(b)]) == code
    assert says in (said := capsys.readouterr().out) and "taken apart" in said
    assert main(["bench", "compare", str(a), str(b), "--fail-if-slower", "10%"]) == code
    assert main(["bench", "compare", str(a), str(b), "--fail-if-slower", "20%"]) == (3 if factor == 1.2 else 0)


def test_files_of_unlike_machines_or_without_a_common_row(capsys, tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    rows(a, 1.0)
    rows(b, 1.0, cpu="Y")
    assert main(["bench", "compare", str(a), str(b)]) == 2
    assert "times of unlike machines (cpu: X / Y); --any-machine" in capsys.readouterr().err
    assert main(["bench", "compare", str(a), str(b), "--any-machine"]) == 0
    rows(b, 1.0, variant="native")
    assert main(["bench", "compare", str(a), str(b)]) == 2
    said = capsys.readouterr()
    assert "only in" in said.out and "have no row in common" in said.err


def test_a_baseline(capsys, tmp_path):
    file, words = tmp_path / "before.json", ["bench", "run", "tanh", "--axis", "n=4", *QUICK, "--any-machine"]
    for factor, code in ((1e-6, 1), (1e6, 0)):
        rows(file, factor)
        assert main([*words, "--baseline", str(file), "--fail-if-slower", "5%"]) == code
        assert "times the baseline's time" in capsys.readouterr().out
    rows(file, 1.0, axes={"n": 5})
    assert main([*words, "--baseline", str(file)]) == 2
    said = capsys.readouterr()
    assert "the baseline has no such row" in said.out and "it has none of these rows" in said.err


def test_this_commit_and_the_working_tree(capsys, tmp_path, monkeypatch):
    if commits.commit_of("HEAD") is None:
        pytest.skip("this machine has no checkout with a commit")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path))
    words = ["compare", "HEAD", ".", "softmax", "--axis", "rows=4", "--axis", "columns=8", *SHORT]
    assert main(["bench", *words]) in (0, 1, 3)
    assert "HEAD is " in (said := capsys.readouterr().out) and "softmax(rows=4, columns=8, float32): " in said
    assert "REFUSED" not in said
