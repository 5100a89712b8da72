"""The CuPy file on a machine without a GPU: it imports, it says why it cannot be used, and its wiring is right.

Nothing here runs on a GPU: `cupy` is played by a small module on top of NumPy, and launches go to the emulator.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_lm.backend import build, cuda, record
from tinygrad_lm.backend.emulated import Emulator
from tinygrad_lm.backend.record import Unavailable


class FakeArray(np.ndarray):
    """What plays the part of cupy.ndarray."""


def fake_cupy(available: bool) -> types.ModuleType:
    module = types.ModuleType("cupy")
    module.__version__ = "14.0.0"
    launches: list[dict[str, Any]] = []

    class Function:
        max_dynamic_shared_size_bytes = 48 << 10

        def __init__(self, path: str, name: str) -> None:
            self.path, self.name = path, name

        def __call__(self, grid, block, arguments, *, shared_mem) -> None:
            launches.append({"path": self.path, "grid": grid, "block": block, "shared": shared_mem})
            plain = [a.view(np.ndarray) if isinstance(a, np.ndarray) else a for a in arguments]
            Emulator()("softmax/rows.cu", self.name, grid, block, shared_mem, plain)

    class RawModule:
        def __init__(self, *, path: str) -> None:
            self.path = path

        def get_function(self, name: str) -> Function:
            return Function(self.path, name)

    class Device:
        id = 0
        compute_capability = "90"

    properties = {"name": b"Imaginary GPU"}
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1, getDeviceProperties=lambda i: properties)
    parts = {
        "is_available": lambda: available,
        "ndarray": FakeArray,
        "asnumpy": lambda a: a.view(np.ndarray),
        "asarray": lambda a: np.asarray(a).view(FakeArray),
        "empty": lambda shape, dtype: np.empty(shape, dtype).view(FakeArray),
        "ascontiguousarray": lambda a: np.ascontiguousarray(a).view(FakeArray),
        "RawModule": RawModule,
        "cuda": types.SimpleNamespace(Device=Device, runtime=runtime),
        "launches": launches,
    }
    for name, part in parts.items():
        setattr(module, name, part)
    return module


def reason(call) -> str:
    with pytest.raises(Unavailable) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for call in (cuda.load, cuda.load_backend, cuda.devices, lambda: record.get_backend("cuda")):
        assert reason(call).startswith("cuda: cup") and "tinygrad-lm[cuda13x]" in reason(call)


def test_installed_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(available=False))
    assert "cupy 14.0.0 finds no usable GPU or driver" in reason(cuda.load)
    assert "finds no usable GPU" in reason(lambda: record.get_backend("cuda"))


def test_real_cupy_without_a_gpu() -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    if cupy.is_available():
        pytest.skip("this machine has a GPU")
    assert "finds no usable GPU" in reason(cuda.load)


def test_wiring(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy(available=True)
    compiled: list[tuple[str, str]] = []

    def cubin(source: Path, architecture: str) -> Path:
        compiled.append((source.name, architecture))
        return Path("rows.cubin")

    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(build, "cubin", cubin)
    monkeypatch.setattr(record, "BACKENDS", dict(record.BACKENDS))
    monkeypatch.setattr(record, "BY_TYPE", dict(record.BY_TYPE))
    cuda._function.cache_clear()
    try:
        backend = record.get_backend("cuda")
        assert backend.xp is cupy and record.BY_TYPE[FakeArray] is backend and cuda.devices() == ["Imaginary GPU"]
        x = backend.from_numpy(np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32))
        table = record.load_table("cuda", backend)
        for _ in range(2):
            y = backend.to_numpy(table["softmax"](cupy, x))
        assert y.sum(axis=-1) == pytest.approx(1.0)
        assert compiled == [("rows.cu", "sm_90")]  # once
        launch = {"path": "rows.cubin", "grid": (3, 1, 1), "block": (256, 1, 1), "shared": 32}
        assert cupy.launches == [launch, launch]
    finally:
        cuda._function.cache_clear()


def test_no_cuda_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "find_nvrtc", lambda: None)
    with pytest.raises(build.BuildFailed, match="no CUDA compiler found"):
        build.cubin(build.kernels_folder() / "softmax" / "rows.cu", "sm_90")
