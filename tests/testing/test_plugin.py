"""The pytest plugin, in sessions of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_lm.testing import gradtest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import numpy as np
import pytest
import tinygrad_lm as tg
from hypothesis import settings
from tinygrad_lm.testing import gradtest
from tinygrad_lm.testing import strategies as some
"""


@pytest.fixture
def session(tmp_path):
    """Runs pytest on a file with this text, with the plugin and nothing of this project's settings."""

    def run(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_mine.py").write_text(HEAD + text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        known = [] if installed() else ["-p", "tinygrad_lm.testing.plugin"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *known, *words, "test_mine.py"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def installed() -> bool:
    from importlib.metadata import entry_points

    return any(e.value == "tinygrad_lm.testing.plugin" for e in entry_points(group="pytest11"))


def test_a_gradtest_passes_and_fails_with_lines_that_reproduce_it(session, tmp_path):
    done = session("""
@gradtest
def test_right(x, y):
    return tg.sin(x * y)

class Wrong(tg.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3.0

    @staticmethod
    def backward(ctx, g):
        return g * 2.0

@settings(max_examples=10, database=None)
@gradtest(x=some.arrays(shape=(2,)), order=2)
def test_wrong(x):
    return Wrong.apply(x)
""")
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout
    _, _, lines = done.stdout.partition("reproduce it with")
    script = lines.partition("\n")[2].partition("\n---")[0].partition("\n===")[0]
    assert "gradcheck(test_wrong.body, (x,))" in script
    assert "raise self.refused(" not in done.stdout, "the frames of the checker are nothing to a user"
    again = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 1 and "GradcheckError" in again.stderr


def test_a_leak_fails_the_test_and_does_not_reach_the_next(session):
    done = session("""
@pytest.mark.usefixtures("tg_no_leaks")
def test_switch():
    tg.config.recording.set(None)

@pytest.mark.usefixtures("tg_no_leaks")
def test_table():
    tg.set_kernels({})

@pytest.mark.usefixtures("tg_no_leaks")
def test_numpy():
    np.seterr(all="ignore")

@pytest.mark.usefixtures("tg_no_leaks")
def test_clean():
    assert tg.config.recording.get() is not None and tg.kernels_in_use() != "custom" and np.geterr()["divide"] == "warn"
    with tg.no_grad():
        pass
""")
    assert "4 passed, 3 errors" in done.stdout
    for leak in ("the switch 'recording'", "the kernel table (now 'custom'", "NumPy's error state"):
        assert f"the test leaves behind: {leak}" in done.stdout


def test_the_kernel_table_of_a_session(session):
    text = "def test_it():\n    assert tg.kernels_in_use() == 'reference'\n"
    assert session(text, "--tg-kernels", "reference").returncode == 0
    done = session(text, "--tg-kernels", "imaginary")
    assert done.returncode == 4 and "--tg-kernels: unknown kernels 'imaginary'" in done.stderr


def test_profiles_are_there_for_the_asking_and_change_nothing(session):
    text = """
from hypothesis import settings
def test_it():
    assert settings().max_examples == {examples} and settings().derandomize == {fixed}
"""
    assert session(text.format(examples=100, fixed=bool(os.environ.get("CI")))).returncode == 0
    assert session(text.format(examples=2000, fixed=False), "--hypothesis-profile", "tglm-intense").returncode == 0
    assert session(text.format(examples=100, fixed=True), "--hypothesis-profile", "tglm-ci").returncode == 0


def test_a_profile_that_does_not_exist_is_refused_in_one_line(session):
    done = session("def test_it(): pass", "--hypothesis-profile", "tglm-slow")
    assert done.returncode == 4 and "there is no tglm-slow, only tglm-ci, tglm-dev, tglm-intense" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_only_functions_of_arrays_make_gradtests():
    with pytest.raises(TypeError, match=r"of_nothing takes none"):

        @gradtest
        def of_nothing():
            return 3

    with pytest.raises(TypeError, match=r"Tests.sine is a method"):

        class Tests:
            @gradtest
            def sine(self, x):
                return x


def test_nothing_heavy_is_imported_for_a_session_that_does_not_ask(tmp_path):
    """The plugin is loaded in every session of an environment: Hypothesis and this room are not, until used."""
    heavy = ("hypothesis", "torch", "rich")
    code = f"import sys, tinygrad_lm.testing.plugin; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
