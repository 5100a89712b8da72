"""The native table: CPU kernels in C++, built at installation and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tinygrad_lm.backend import build
from tinygrad_lm.backend.record import Unavailable

LEVELS = {"x86-64": 1, "x86-64-v3": 3, "x86-64-v4": 4}  # what cpu_level() must reach; other processors report 0
_library: ctypes.CDLL | None = None
_loading = threading.Lock()


def usable_variants() -> list[str]:
    """The built variants that this processor can run, least demanding first; Unavailable if nothing was built."""
    record = build.native_record()
    if record["reason"]:
        raise Unavailable(f"native kernels: {record['reason']}; to build them: {build.BUILD_COMMAND}")
    if record["sources"] != build.native_digest(build.kernels_folder()):
        raise Unavailable(f"native kernels: their sources have changed since; to build them: {build.BUILD_COMMAND}")
    level = _open(record["variants"][0]).cpu_level()
    return [variant for variant in record["variants"] if LEVELS.get(variant, 0) <= level]


def chosen_variant() -> str:
    """The variant in use: the last that this processor can run, or TINYGRAD_LM_ISA.

    ValueError if that names another one.
    """
    usable = usable_variants()
    forced = os.environ.get("TINYGRAD_LM_ISA")
    if forced and forced not in usable:
        raise ValueError(f"TINYGRAD_LM_ISA={forced} cannot be used here; this machine has {', '.join(usable)}")
    return forced or usable[-1]


def _open(variant: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(build.NATIVE / f"{variant}.so"))
    except OSError as error:
        raise Unavailable(f"native kernels: {error}; to build them: {build.BUILD_COMMAND}") from None


def load() -> dict[str, Callable[..., Any]]:
    """The table; raises Unavailable with the reason where the kernels were not built."""
    global _library
    with _loading:
        if _library is None:
            library = _open(chosen_variant())
            for function in (library.softmax_rows_float32, library.softmax_rows_float64):
                function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
                function.restype = None
            for function in (library.fma_float32, library.fma_float64):
                function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_double
            for function in (library.fma_flops_float32, library.fma_flops_float64):
                function.argtypes, function.restype = [], ctypes.c_int64
            _library = library
    return {"softmax": softmax}


def multiply_adds(dtype: str, steps: int = 1_000_000) -> tuple[float, Callable[[], Any]]:
    """(FLOPs, what computes them): multiply-adds in registers, on every core (kernels/timing/fma.cpp).

    Raises Unavailable where the kernels were not built, ValueError for another dtype than float32 and float64.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"multiply-adds are of float32 or float64, got {dtype}")
    load()
    assert _library is not None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kernel, work = getattr(_library, f"fma_{dtype}"), [steps] * cores
    pool = ThreadPoolExecutor(cores)
    flops = float(getattr(_library, f"fma_flops_{dtype}")() * steps * cores)
    return flops, lambda: list(pool.map(kernel, work))


def softmax(xp: Any, x: np.ndarray, *, axis: int = -1) -> Any:
    """Serves float32 and float64 over the last axis, any leading shape (kernels/softmax/rows.cpp)."""
    if _library is None or x.ndim == 0 or axis not in (-1, x.ndim - 1):
        return NotImplemented
    if x.dtype == np.float32:
        kernel = _library.softmax_rows_float32
    elif x.dtype == np.float64:
        kernel = _library.softmax_rows_float64
    else:
        return NotImplemented
    out = np.empty(x.shape, x.dtype)
    if out.size:
        x = np.ascontiguousarray(x)
        kernel(x.ctypes.data, out.ctypes.data, x.size // x.shape[-1], x.shape[-1])
    return out
