"""A pytest plugin, loaded wherever tinygrad_lm is installed: it adds names and changes nothing.

    --tg-kernels WORD   run the session on that kernel table (reference, native, emulated)
    tg_no_leaks         a fixture: the test fails if it leaves a switch or a kernel table other than it found it
    tglm-ci, tglm-dev, tglm-intense   Hypothesis profiles to ask for by name: --hypothesis-profile tglm-ci

A failing `gradtest` ends with lines that reproduce it outside of pytest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

PROFILES: dict[str, dict[str, Any]] = {
    "tglm-ci": {"derandomize": True},
    "tglm-dev": {"derandomize": False},  # new examples at every run
    "tglm-intense": {"derandomize": False, "max_examples": 2000},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinygrad_lm")
    group.addoption("--tg-kernels", metavar="WORD", help="kernel table for the session: reference, native or emulated")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis looks its profile up
def pytest_configure(config: pytest.Config) -> None:
    profile = config.getoption("--hypothesis-profile", default=None)
    if profile and profile.startswith("tglm-"):
        if profile not in PROFILES:
            raise pytest.UsageError(f"--hypothesis-profile: there is no {profile}, only {', '.join(PROFILES)}")
        register_profiles()
    if word := config.getoption("--tg-kernels"):
        from tinygrad_lm.backend import Unavailable, set_kernels

        try:
            set_kernels(word)
        except (ValueError, Unavailable) as error:
            raise pytest.UsageError(f"--tg-kernels: {error}") from None


def register_profiles() -> None:
    """Make the profiles known to Hypothesis; which one is in use stays as it was."""
    from hypothesis import settings

    for name, chosen in PROFILES.items():
        settings.register_profile(name, deadline=None, database=None, **chosen)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Any:
    report = yield
    if call.excinfo is not None and "tinygrad_lm.testing" in sys.modules:
        if lines := getattr(call.excinfo.value, "reproducer", None):
            report.sections.append(("reproduce it with", lines))
    return report


@pytest.fixture
def tg_no_leaks() -> Iterator[None]:
    """Fail the test if it leaves a switch of tinygrad_lm, its kernel table or NumPy's error state other than it was.

    Everything is put back, the default generator and the registered operations too, so that the next test starts clean.
    """
    import numpy as np

    from tinygrad_lm import config
    from tinygrad_lm.backend import CPU, default_generator, kernels_in_use, set_kernels
    from tinygrad_lm.core import OPS

    switches = [value for value in vars(config).values() if isinstance(value, ContextVar)]
    before, errors = [switch.get() for switch in switches], np.geterr()
    word, table = kernels_in_use(), CPU.kernels
    seed, operations = default_generator().state(), dict(OPS)
    yield
    leaked = [f"the switch {s.name!r}" for s, value in zip(switches, before, strict=True) if s.get() is not value]
    for switch, value in zip(switches, before, strict=True):
        switch.set(value)
    if CPU.kernels is not table:
        leaked.append(f"the kernel table (now {CPU.word!r}, before {word!r})")
        assert table is not None
        set_kernels(table)
        CPU.word = word
    if np.geterr() != errors:
        leaked.append(f"NumPy's error state (now {np.geterr()})")
        np.seterr(**errors)
    default_generator().load_state(seed)
    OPS.clear()
    OPS.update(operations)
    if leaked:
        pytest.fail(f"the test leaves behind: {', '.join(leaked)}", pytrace=False)
