"""The CuPy file on a machine without a GPU: it imports, it says why it cannot be used, and its wiring is right.

Nothing here runs on a GPU: `cupy` is played by tests/fake_gpu, and launches go to the emulator.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.backend import build, cuda, record
from tinygrad_lm.backend.emulated import Emulator
from tinygrad_lm.backend.record import Unavailable
from tinygrad_lm.testing.adapters import to_float64


def reason(call) -> str:
    with pytest.raises(Unavailable) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for call in (cuda.load, cuda.load_backend, cuda.devices, lambda: record.get_backend("cuda")):
        assert reason(call).startswith("cuda: cup") and "tinygrad-lm[cuda13x]" in reason(call)


def test_installed_without_a_gpu(fake_cupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.fake(available=False))
    assert "cupy 14.0.0 finds no usable GPU or driver" in reason(cuda.load)
    assert "finds no usable GPU" in reason(lambda: record.get_backend("cuda"))


def test_real_cupy_without_a_gpu() -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    if cupy.is_available():
        pytest.skip("this machine has a GPU")
    assert "finds no usable GPU" in reason(cuda.load)


def test_wiring(cache: Path, gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[str, ...]] = []

    def cubin(source: Path, architecture: str, suffix: str) -> Path:
        compiled.append((source.name, architecture, suffix))
        return Path("softmax-rows-0.cubin")

    monkeypatch.setattr(build, "cubin", cubin)
    backend = record.get_backend("cuda")
    assert backend.xp is gpu and record.BY_TYPE[gpu.ndarray] is backend and cuda.devices() == ["Imaginary GPU"]
    x = backend.from_numpy(np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32))
    table = record.load_table("cuda", backend)
    for _ in range(2):
        y = backend.to_numpy(table["softmax"](gpu, x))
    assert y.sum(axis=-1) == pytest.approx(1.0)
    assert compiled == [("rows.cu", "sm_90", "f32")]  # once
    launch = {"path": "softmax-rows-0.cubin", "grid": (1, 1, 1), "block": (128, 1, 1), "shared": 0}
    assert gpu.machine.launches == [launch, launch]


def test_ops_and_the_gate_on_arrays_of_a_gpu(cache: Path, gpu) -> None:
    """Whole operations: results are arrays of the GPU, of which the gate makes NumPy's."""
    x = record.get_backend("cuda").from_numpy(np.array([[1.0, 2.0, 4.0]]))
    y, (g,) = tg.softmax(x), tg.vjp(tg.softmax, x)[1](x)
    assert type(y) is type(g) is gpu.ndarray
    assert np.array_equal(to_float64(y), tg.softmax(np.array([[1.0, 2.0, 4.0]])))


def test_a_timer_waits_flushes_and_tells_the_time(gpu) -> None:
    timer = cuda.Timer()
    start = timer.mark()
    timer.wait(3_000_000)  # of 1.5 GHz
    end = timer.mark()
    assert timer.passed(start) and not timer.passed(end)
    assert timer.between(start, end) == pytest.approx(2e-3 + gpu.machine.launch)
    assert timer.passed(end)
    timer.flush()
    assert timer.cache.nbytes == timer.cache_bytes == 1 << 20 and gpu.machine.flushed
    flops, function = timer.fma(steps=8)
    function()
    assert flops == 16 * 8 * 16 * 4 * 256 and gpu.machine.launches[-1]["grid"] == (64, 1, 1)
    timer.finish()
    assert gpu.machine.now == max(gpu.machine.free.values())


def test_the_kernels_for_timing_under_the_emulator(cache: Path) -> None:
    out = np.zeros(64, np.float32)
    given = [out, np.float32(0.5), np.float32(1.0), np.int32(8)]
    Emulator()("timing/fma.cu", "fma_chains", (2, 1, 1), (32, 1, 1), 0, given)
    start = np.arange(32)[:, None] + np.arange(8)
    assert np.allclose(out, np.tile((2 + (start - 2) / 2.0**8).sum(1), 2), rtol=1e-6)  # x -> x / 2 + 1, eight times
    begin = time.perf_counter()
    Emulator()("timing/cycles.cu", "wait_cycles", (1, 1, 1), (1, 1, 1), 0, [np.int64(3_000_000)])
    assert time.perf_counter() - begin >= 3e-3  # the host's cycles are nanoseconds


SAID = "580.1, 1980, 2619, 41, 112.5, 0x0000000000000024\n"


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_gpu_is_described(gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; printf "{SAID.strip()}"')
    found = cuda.describe()
    assert found["name"] == "Imaginary GPU" and found["compute_capability"] == "9.0"
    assert found["l2_bytes"] == 1 << 20 and found["multiprocessors"] == 4 and found["driver"] == "580.1"
    assert found["sm_clock_mhz"] == 1980.0 and found["power_w"] == 112.5
    assert found["throttle_reasons"] == ["power cap", "too hot (software)"]
    assert (tmp_path / "asked").read_text().startswith("-i 0000:00:00.0 --query-gpu=driver_version,clocks.sm,")


@pytest.mark.parametrize("script", ["exit 9", "echo nonsense"])
def test_a_state_that_cannot_be_read_is_left_out(gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script) -> None:
    smi(tmp_path, monkeypatch, script)
    assert cuda.state() == {} and "sm_clock_mhz" not in cuda.describe()
    smi(tmp_path, monkeypatch, "echo '580.1, [N/A], 2619, 41, [Unknown Error], x'")
    assert cuda.state() == {
        "driver": "580.1", "sm_clock_mhz": None, "memory_clock_mhz": 2619.0, "temperature_c": 41.0, "power_w": None,
        "throttle_reasons": None,
    }  # fmt: skip
    monkeypatch.setenv("PATH", "")
    assert cuda.state() == {}


def test_no_cuda_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "find_nvrtc", lambda: None)
    with pytest.raises(build.BuildFailed, match="no CUDA compiler found"):
        build.cubin(build.kernels_folder() / "softmax" / "rows.cu", "sm_90")


@pytest.mark.parametrize("name", ["fmax", "fmin", "xlogy"])
def test_numbers_beside_arrays_of_a_gpu(gpu, name: str) -> None:
    """A number belongs to no device, in a derivative that is made of simpler operations either."""
    x = record.get_backend("cuda").from_numpy(np.array([1.0, 2.5, 4.0]))
    y, pull = tg.vjp(lambda a: getattr(tg, name)(a, 2.0), x)
    (g,) = pull(x)
    assert type(y) is type(g) is gpu.ndarray
    expected = tg.vjp(lambda a: getattr(tg, name)(a, 2.0), np.array([1.0, 2.5, 4.0]))[1](np.array([1.0, 2.5, 4.0]))[0]
    assert np.array_equal(to_float64(g), expected)


@pytest.mark.parametrize("name", ["sum", "softmax", "log_softmax", "logsumexp", "max"])
def test_arrays_without_axes_of_a_gpu(gpu, name: str) -> None:
    """NumPy's have the axis -1 all the same; CuPy's refuse it."""
    x = record.get_backend("cuda").from_numpy(np.array(1.5))
    y, pull = tg.vjp(lambda a: getattr(tg, name)(a, axis=-1), x)
    assert type(y) is type(pull(y)[0]) is gpu.ndarray


def test_memory_of_the_pool(gpu) -> None:
    expected = {"used": 1 << 19, "held": 1 << 20, "limit": 0, "free": 3 << 28, "total": 1 << 30}
    assert cuda.memory() == expected
    cuda.release_memory()
    assert cuda.memory() == {**expected, "held": 0}


def test_a_gpu_that_is_too_old_for_the_kernels(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.cuda.Device, "compute_capability", "75")
    assert reason(cuda.load) == (
        "kernels 'cuda' need a GPU of compute capability 8.0 or later, Imaginary GPU has 7.5; "
        "with kernels 'reference' it computes by CuPy's array code"
    )
    record.get_backend("cuda")
    assert tg.kernels_in_use("cuda") == "reference"  # chosen by itself
