"""CuPy arrays and the CUDA kernels.  The only file that imports cupy; importing *this* file needs neither it nor a GPU.

Kernels are compiled by NVRTC or nvcc at their first call, kept by content hash, and loaded as cubins.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_lm.backend import build, launch
from tinygrad_lm.backend.launch.common import Tensors, Values
from tinygrad_lm.backend.record import Backend, Unavailable, register_backend

LEAST_CAPABILITY = 80  # bfloat16 and asynchronous copies
PLAIN_SHARED_BYTES = 48 << 10  # a kernel must ask for more than this


def cupy_module() -> ModuleType:
    """The cupy package; Unavailable, with the reason in one line, where it or a usable GPU is missing."""
    try:
        import cupy
    except ImportError as error:
        why = "cupy is not installed" if error.name == "cupy" else f"cupy cannot be imported ({error})"
        raise Unavailable(f"cuda: {why}; pip install 'tinygrad-lm[cuda13x]' (or cuda12x)".replace("\n", " ")) from None
    if not cupy.is_available():  # false, without an exception, for: no driver, an old driver, no device
        raise Unavailable(f"cuda: cupy {cupy.__version__} finds no usable GPU or driver; ask nvidia-smi")
    return cupy


def load_backend() -> Backend:
    """Registers the backend of CuPy arrays and returns it; raises Unavailable."""
    cupy = cupy_module()
    backend = Backend(
        "cuda",
        cupy,
        cupy.ndarray,
        to_numpy=cupy.asnumpy,
        from_numpy=cupy.asarray,
        words={"cuda": __name__},
        default=("cuda", "reference"),
    )
    register_backend(backend)
    return backend


def devices() -> list[str]:
    """The names of the GPUs that can be used; raises Unavailable."""
    runtime = cupy_module().cuda.runtime
    return [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]


def memory() -> dict[str, int]:
    """Bytes of CuPy's memory pool on the current GPU: in use, held for later, and the most it may take (0: no limit);
    and what the GPU has and has free.  Raises Unavailable."""
    cupy = cupy_module()
    pool, (free, total) = cupy.get_default_memory_pool(), cupy.cuda.runtime.memGetInfo()
    used = int(pool.used_bytes())
    return {
        "used": used,
        "held": int(pool.total_bytes()) - used,
        "limit": int(pool.get_limit()),
        "free": int(free),
        "total": int(total),
    }


def release_memory() -> None:
    """Give back to the GPU what the pool holds for later; other programs can have it then.  Raises Unavailable."""
    cupy_module().get_default_memory_pool().free_all_blocks()


def load(rungs: Mapping[str, str] | None = None) -> dict[str, Callable[..., Any]]:
    """The CUDA table, of these rungs (`launch.table`); raises Unavailable where there is no GPU.

    A kernel is compiled at its first call.
    """
    device = cupy_module().cuda.Device()
    capability = device.compute_capability
    if int(capability) < LEAST_CAPABILITY:
        raise Unavailable(
            f"kernels 'cuda' need a GPU of compute capability 8.0 or later, {devices()[device.id]} has "
            f"{capability[:-1]}.{capability[-1]}; with kernels 'reference' it computes by CuPy's array code"
        )
    return launch.table(run, rungs)


def run(
    file: str,
    kernel: str,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    shared_bytes: int,
    arguments: Sequence[Any],
) -> None:
    """The runtime of CuPy arrays for the launchers: on the current stream of the current GPU."""
    device = cupy_module().cuda.Device()
    function = _function(file, kernel, device.id, device.compute_capability)
    if shared_bytes > PLAIN_SHARED_BYTES and function.max_dynamic_shared_size_bytes < shared_bytes:
        function.max_dynamic_shared_size_bytes = shared_bytes
    function(grid, block, tuple(map(_parameter, arguments)), shared_mem=shared_bytes)


def _parameter(argument: Any) -> Any:
    """An argument as CuPy takes it: a struct is an array of one element, which is passed by value."""
    if isinstance(argument, Tensors):
        argument = Values(np.array([0 if a is None else a.data.ptr for a in argument], np.uint64))
    if isinstance(argument, Values):
        struct = argument.bytes()
        return np.frombuffer(struct, f"V{len(struct)}")
    return argument


@functools.cache
def _function(file: str, kernel: str, device: int, capability: str) -> Any:
    return _module(file, kernel.rpartition("_")[2], device, capability).get_function(kernel)


@functools.cache
def _module(file: str, suffix: str, device: int, capability: str) -> Any:
    suffix = suffix if suffix in launch.common.SUFFIX.values() else ""
    path = build.cubin(build.kernels_folder() / file, f"sm_{capability}", suffix)
    return cupy_module().RawModule(path=str(path))


# ---- what measuring time on a GPU needs: the rest is in bench/devices.py --------------------------------------------

STATE = {  # what nvidia-smi calls it -> what it is called here
    "driver_version": "driver",
    "clocks.sm": "sm_clock_mhz",
    "clocks.mem": "memory_clock_mhz",
    "temperature.gpu": "temperature_c",
    "power.draw": "power_w",
    "clocks_event_reasons.active": "throttle_reasons",
}
REASONS = {  # bits of the last, those that make a GPU slower than it could be
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}


class Timer:
    """Events, the second-level cache and kernels of a known length, on CuPy's current stream of its current GPU.

    That is the null stream unless somebody chose another one, and so is torch's and, through it, Triton's.
    """

    def __init__(self) -> None:
        self.cupy = cupy_module()
        found = self.cupy.cuda.runtime.getDeviceProperties(self.cupy.cuda.Device().id)
        self.cache_bytes, self.processors = int(found["l2CacheSize"]), int(found["multiProcessorCount"])
        self.cache: Any = None

    def mark(self) -> Any:
        """An event at the end of what is enqueued now."""
        event = self.cupy.cuda.Event()
        event.record()
        return event

    def passed(self, event: Any) -> bool:
        """Whether the GPU has come to it.  Does not wait."""
        return bool(event.done)

    def between(self, start: Any, end: Any) -> float:
        """Seconds from one event to another; waits for the second."""
        end.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(start, end)) * 1e-3

    def finish(self) -> None:
        """Wait until the GPU has nothing left to do, on any stream."""
        self.cupy.cuda.runtime.deviceSynchronize()

    def wait(self, cycles: int) -> None:
        """Enqueue a kernel that takes that many cycles of the GPU's clock (kernels/timing/cycles.cu)."""
        run("timing/cycles.cu", "wait_cycles", (1, 1, 1), (1, 1, 1), 0, [np.int64(cycles)])

    def flush(self, factor: int = 1) -> None:
        """Enqueue writing over as many bytes as the second-level cache holds, or `factor` times as many."""
        if self.cache is None or self.cache.nbytes < factor * self.cache_bytes:
            self.cache = self.cupy.empty(factor * self.cache_bytes // 4, np.float32)
        self.cache[: factor * self.cache_bytes // 4].fill(0.0)

    def fma(self, steps: int = 4096) -> tuple[int, Callable[[], None]]:
        """(FLOPs, what enqueues them): multiply-adds of float32 in registers, on all units (kernels/timing/fma.cu)."""
        blocks, threads = 16 * self.processors, 256
        out = self.cupy.empty(blocks * threads, np.float32)
        given = [out, np.float32(0.5), np.float32(1.0), np.int32(steps)]
        flops = 16 * steps * blocks * threads
        return flops, lambda: run("timing/fma.cu", "fma_chains", (blocks, 1, 1), (threads, 1, 1), 0, given)


def describe() -> dict[str, Any]:
    """The current GPU as plain values: what it is, versions, and its `state` now.  Raises Unavailable."""
    cupy = cupy_module()
    runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
    found = runtime.getDeviceProperties(device.id)
    return {
        "name": found["name"].decode(),
        "compute_capability": f"{found['major']}.{found['minor']}",
        "multiprocessors": int(found["multiProcessorCount"]),
        "l2_bytes": int(found["l2CacheSize"]),
        "memory_bytes": int(found["totalGlobalMem"]),
        "cuda_driver": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        **state(),
    }


def state() -> dict[str, Any]:
    """Clocks, temperature, power and why the current GPU is slowed down, as nvidia-smi knows them; {} without it."""
    if shutil.which("nvidia-smi") is None:
        return {}
    which = cupy_module().cuda.Device().pci_bus_id
    words = ["nvidia-smi", "-i", which, f"--query-gpu={','.join(STATE)}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [word.strip() for word in said.strip().split(",")]
    if len(values) != len(STATE):
        return {}
    return {name: _reading(name, value) for name, value in zip(STATE.values(), values, strict=True)}


def _reading(name: str, value: str) -> Any:
    """One value as a number, the driver's version as text, reasons as words; None for what the GPU does not tell."""
    if name == "driver":
        return value
    try:
        if name == "throttle_reasons":
            return [reason for bit, reason in REASONS.items() if int(value, 16) & bit]
        return float(value)
    except ValueError:
        return None
