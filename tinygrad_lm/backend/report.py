"""What is installed and what can be used here, as data: `tinygrad-lm doctor` prints it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from tinygrad_lm.backend import build, cuda, emulated, native
from tinygrad_lm.backend.record import CPU, Unavailable, load_table

REQUIRED = ("numpy", "safetensors", "rich")
EXTRAS = {  # extra of pyproject.toml -> the modules it brings
    "cuda12x / cuda13x": ("cupy",),
    "bf16": ("ml_dtypes",),
    "tokenizers": ("tokenizers",),
    "plot": ("matplotlib",),
    "testing": ("pytest", "hypothesis"),
    "data": ("sklearn", "PIL"),
    "tensorboard": ("tensorboard",),
}
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def report() -> dict[str, Any]:
    """A dictionary of plain values (ready for JSON).  Changes nothing and compiles nothing.

    ``version``, ``python``, ``platform``, ``packages`` (name -> version or None), ``extras`` (name -> installed),
    ``cpus``, ``blas``, ``devices`` and ``kernels`` (word -> ``usable``, ``reason`` in one line, details),
    ``default_kernels``, ``compiler``, ``nvcc``, ``kernels_folder``, ``cache_folder``, ``environment``.
    """
    try:
        compiler = build.version_of(build.find_compiler())
    except build.BuildFailed as failure:
        compiler = str(failure)
    return {
        "version": _version("tinygrad-lm"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in REQUIRED},
        "extras": {name: all(find_spec(module) for module in modules) for name, modules in EXTRAS.items()},
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "blas": _blas(),
        "devices": {"cpu": _status(dict), "cuda": _status(lambda: {"names": cuda.devices()})},
        "kernels": {
            "reference": _status(dict),
            "native": _status(_native),
            "emulated": _status(lambda: emulated.load() and {}),
            "cuda": _status(lambda: cuda.load() and {}),
        },
        "default_kernels": os.environ.get("TINYGRAD_LM_KERNELS") or _default_kernels(),
        "compiler": compiler,
        "nvcc": shutil.which("nvcc"),
        "kernels_folder": str(build.kernels_folder()),
        "cache_folder": str(build.cache_folder()),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("TINYGRAD_LM_") or name in THREAD_VARIABLES
        },
    }


def _status(probe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"usable": True, "reason": None, **probe()}
    except (Unavailable, ValueError) as error:  # ValueError: TINYGRAD_LM_ISA names what this machine has not
        return {"usable": False, "reason": str(error)}


def _default_kernels() -> str | None:
    """What the first operation would choose; None where it would fail (a setting names what this machine has not)."""
    for word in CPU.default:
        try:
            load_table(word)
            return word
        except Unavailable:
            continue
        except ValueError:
            return None
    return None


def _native() -> dict[str, Any]:
    record = build.native_record()
    usable = native.usable_variants()
    return {
        "instruction_set": native.chosen_variant(),
        "instruction_sets": usable,
        "left_out": record["left_out"],
        "built_by": record["compiler"],
    }


def _blas() -> dict[str, Any]:
    """NumPy's matrix product: the library, and how many threads it may use (None: as many as it likes)."""
    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    threads = next((os.environ[name] for name in THREAD_VARIABLES if name in os.environ), None)
    return {"name": found.get("name"), "version": found.get("version"), "threads": threads}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
