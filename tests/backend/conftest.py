"""Kernels for the tests of this folder: built here, from the sources of this checkout, whatever is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinygrad_lm.backend import build, native


def need_compiler() -> None:
    try:
        build.find_compiler()
    except build.BuildFailed as failure:
        pytest.skip(str(failure))


@pytest.fixture(scope="session")
def native_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All variants of the native kernels, freshly built."""
    need_compiler()
    folder = tmp_path_factory.mktemp("native")
    record = build.build_native(build.kernels_folder(), folder)
    assert record["reason"] is None, record["reason"]
    return folder


@pytest.fixture
def fresh_native(native_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`native.load()` takes those, and loads anew."""
    monkeypatch.setattr(build, "NATIVE", native_folder)
    monkeypatch.setattr(native, "_library", None)
    return native_folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache of compiled files for the whole session."""
    need_compiler()
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_LM_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A kernel table by name: "native x86-64-v3", "emulated reverse", ... (indirect parametrisation)."""
    word, _, variant = request.param.partition(" ")
    if word == "emulated":
        request.getfixturevalue("cache")
        from tinygrad_lm.backend import launch
        from tinygrad_lm.backend.emulated import Emulator

        return launch.table(Emulator(variant, seed=1))
    request.getfixturevalue("fresh_native")
    if variant not in (usable := native.usable_variants()):
        pytest.skip(f"this machine has {', '.join(usable)}, not {variant}")
    request.getfixturevalue("monkeypatch").setenv("TINYGRAD_LM_ISA", variant)
    return native.load()
