"""Settings of all tests: deterministic Hypothesis, one BLAS thread, and no test may leave a switch turned."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import pytest
from hypothesis import settings

from tinygrad_lm import manual_seed
from tinygrad_lm.backend import build, cuda, record
from tinygrad_lm.bench import devices
from tinygrad_lm.testing.plugin import register_profiles, tg_no_leaks  # noqa: F401 (a fixture, found by its name)

register_profiles()
settings.load_profile("tglm-ci")

# What a machine or an oracle cannot do.  Under TINYGRAD_LM_STRICT=1, which `make test` sets once it has installed what
# the tests need, a test that is skipped for any other reason fails: nothing goes missing quietly.
CANNOT = ("this machine has", "there is a GPU", "torch says", "torch makes", "nvcc is not installed")
CANNOT += () if os.environ.get("CI") else ("no C++ compiler",)


def quietly_missing(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a report that was skipped for something that ought to be there."""
    if report.skipped and os.environ.get("TINYGRAD_LM_STRICT") == "1" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(CANNOT):
            report.outcome, report.longrepr = "failed", f"skipped although it must run here: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    quietly_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    quietly_missing(report)
    return report


@pytest.fixture(autouse=True)
def clean(request):
    """Every test starts from seed 0, and fails if it leaves a switch or a kernel table other than it found it."""
    request.getfixturevalue("tg_no_leaks")
    manual_seed(0)


@pytest.fixture
def fake_cupy():
    """The module tests/fake_gpu/cupy, which is not called cupy unless a test says so."""
    spec = importlib.util.spec_from_file_location("fake_cupy", Path(__file__).parent / "fake_gpu/cupy/__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gpu(fake_cupy, monkeypatch):
    """A made-up GPU, used as "cuda" while the test runs; its `machine` says what takes how long."""
    cupy = fake_cupy.fake()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(build, "cubin", lambda source, *_: Path(f"{source.parent.name}-{source.stem}-0.cubin"))
    before = record.BACKENDS.pop("cuda", None)
    for cached in (cuda._function, cuda._module, devices._device):
        cached.cache_clear()
    yield cupy
    for cached in (cuda._function, cuda._module, devices._device):
        cached.cache_clear()
    record.BACKENDS.pop("cuda", None)
    record.BY_TYPE.pop(cupy.ndarray, None)
    if before is not None:
        record.register_backend(before)
