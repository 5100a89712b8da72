"""Commits unpacked beside each other: a tiny package with a history of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lm.bench import commits, compare
from tinygrad_lm.bench.sides import side_of
from tinygrad_lm.bench.workers import Checkout

OPS = """
import time
import types

def double(x):
    time.sleep({sleep})
    print("a line that must not come between")
    return x * 2

OPS = {{"double": types.SimpleNamespace(function=double)}}
"""


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits; the second one sleeps ten times as long."""
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "checkout"
    (root / "tinygrad_lm" / "backend").mkdir(parents=True)
    for name in ("__init__.py", "ops.py", "backend/__init__.py", "backend/build.py"):
        (root / "tinygrad_lm" / name).write_text("")
    git(tmp_path, "init", "-q", str(root))
    for sleep in (0.0005, 0.005):
        (root / "tinygrad_lm" / "core.py").write_text(OPS.format(sleep=sleep))
        git(root, "add", "-A")
        git(root, "commit", "-qm", f"sleeps {sleep}")
    return root


def test_two_commits_are_compared_in_one_run(history: Path) -> None:
    x = np.arange(3.0)
    before, after = (commits.unpacked(commits.commit_of(word, history), history)[0] for word in ("HEAD~1", "HEAD"))
    with Checkout(before, "double", {}, [[x], [x]]) as a, Checkout(after, "double", {}, [[x]], lead_in=0.0) as b:
        assert np.array_equal(a(x), [0, 2, 4]) and np.array_equal(b(x + 1), [2, 4, 6])
        found = compare(b, a, rounds=4, min_time=0)
    assert found.verdict == "SLOWER" and found.ratio > 3


def test_a_commit_is_unpacked_once(history: Path) -> None:
    commit = commits.commit_of("HEAD", history)
    folder, failed = commits.unpacked(commit, history)
    assert folder.name == commit and failed == "" and [p.name for p in folder.parent.iterdir()] == [commit]
    (folder / "mark").write_text("")
    assert commits.unpacked(commit, history)[0] == folder and (folder / "mark").exists()


def test_kernels_that_cannot_be_built_are_said(history: Path) -> None:
    (history / "tinygrad_lm" / "backend" / "build.py").write_text("raise SystemExit('no compiler today')")
    git(history, "commit", "-qam", "no build")
    side = side_of("HEAD", root=history)
    assert "its native kernels could not be built (no compiler today): its reference runs" in side.notes


def test_what_a_word_names(history: Path) -> None:
    head = commits.commit_of("HEAD", history)
    assert commits.commit_of(head[:12], history) == head != commits.commit_of("HEAD~1", history)
    for word in ("nonsense", "--all", "HEAD~9", ""):
        assert commits.commit_of(word, history) is None
    assert not commits.dirty(history)
    (history / "new.txt").write_text("")
    assert commits.dirty(history)
    assert any("'.' is what you see" in note for note in side_of("HEAD", root=history).notes)
    assert not any("'.'" in note for note in side_of("HEAD~1", root=history).notes)
    with pytest.raises(ValueError, match="not a git repository"):
        commits.git("status", root=Path(os.sep))


def test_an_operation_that_a_commit_lacks(history: Path) -> None:
    folder, _ = commits.unpacked(commits.commit_of("HEAD", history), history)
    with pytest.raises(RuntimeError, match="has no operation 'triple'"):
        Checkout(folder, "triple", {}, [])


def test_a_side_ends_with_its_parent(history: Path) -> None:
    folder, _ = commits.unpacked(commits.commit_of("HEAD", history), history)
    worker = Checkout(folder, "double", {}, [[np.ones(1)]])
    process = worker._process
    assert process.poll() is None
    worker._pipe.close()  # what the end of this process would do
    assert process.wait(10) == 0
