"""Figures, their report, and the record of where they were measured."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lm.bench import Figure, environment, report, require


def test_report_prints_limits_and_returns_the_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = [Figure("ratio", 0.46, 0.5), Figure("time", 1.5, unit="s")]
    assert report(good) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("ratio" in line and "0.46" in line and "<= 0.5" in line and line.endswith("PASS") for line in lines)
    assert any(line.startswith("time") and line.endswith("1.5 s") for line in lines)
    bad = [*good, Figure("memory", np.float64(1.3), 1.25), Figure("loss", math.nan, 1e-4)]
    out = tmp_path / "new folder" / "out.json"
    assert report(bad, json_file=str(out), samples=[1, 2]) == 1
    assert capsys.readouterr().out.count("MISS") == 2
    written = json.loads(out.read_text())
    assert [f["passed"] for f in written["figures"]] == [True, True, False, False]
    assert written["figures"][3]["value"] is None and written["samples"] == [1, 2]
    assert written["environment"]["versions"]["numpy"] == np.__version__


def test_a_limit_is_the_most_it_may_be() -> None:
    assert Figure("x", 2.5, 2.5).passed and not Figure("x", 2.5001, 2.5).passed and Figure("x", 9.0).passed


def test_require_ends_with_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    require("numpy", "json")
    with pytest.raises(SystemExit) as end:
        require("numpy", "no_such_module")
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert "no_such_module" in err and err.count("\n") == 1


def test_environment_says_where_and_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/where/tape.py", "--json", "a b.json"])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = environment()
    json.dumps(found)
    assert found["command"] == "tape.py --json 'a b.json'"
    assert found["variables"]["OMP_NUM_THREADS"] == "2"
    assert found["cores"] >= 1 and found["cpu"] and found["python"].startswith("3.")
    assert found["git"] is None or set(found["git"]) == {"commit", "dirty"}
