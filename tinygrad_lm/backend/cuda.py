"""CuPy arrays and the CUDA kernels.  The only file that imports cupy; importing *this* file needs neither it nor a GPU.

Kernels are compiled by NVRTC or nvcc at their first call, kept by content hash, and loaded as cubins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from tinygrad_lm.backend import build, launch
from tinygrad_lm.backend.record import Backend, Unavailable, register_backend

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


def load() -> dict[str, Callable[..., Any]]:
    """The CUDA table; raises Unavailable where there is no GPU.  A kernel is compiled at its first call."""
    cupy_module()
    return launch.table(_run)


def _run(
    file: str,
    kernel: str,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    shared_bytes: int,
    arguments: Sequence[Any],
) -> None:
    device = cupy_module().cuda.Device()
    function = _function(file, kernel, device.id, device.compute_capability)
    if shared_bytes > PLAIN_SHARED_BYTES and function.max_dynamic_shared_size_bytes < shared_bytes:
        function.max_dynamic_shared_size_bytes = shared_bytes
    function(grid, block, tuple(arguments), shared_mem=shared_bytes)


@functools.cache
def _function(file: str, kernel: str, device: int, capability: str) -> Any:
    path = build.cubin(build.kernels_folder() / file, f"sm_{capability}")
    return cupy_module().RawModule(path=str(path)).get_function(kernel)
