"""Where a figure comes from.  Without this a time is a rumour."""

from __future__ import annotations

import ctypes
import datetime
import functools
import os
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm.backend import CPU, Unavailable, cuda, native

PACKAGES = ("tinygrad_lm", "numpy", "torch", "cupy", "cupy-cuda12x", "cupy-cuda13x", "jax")
VARIABLES = ("OMP_", "OPENBLAS_", "MKL_", "GOMP_", "KMP_", "MALLOC_", "TINYGRAD_LM_")


def environment() -> dict[str, Any]:
    """What a time depends on: processor, caches, clocks, heat, load, GPU, BLAS, threads, versions, commit, command.

    Plain values for a JSON file; None for what cannot be read here.  ``git`` is None where the package does not run
    from a checkout (TINYGRAD_LM_COMMIT says it for a copy).  No host name, user name or folder is recorded.
    """
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(
            [os.path.basename(a) if os.path.isabs(a) else a for a in [Path(sys.argv[0]).name, *sys.argv[1:]]]
        ),
        **_processor(),
        **_state(),
        "gpu": _gpu(),
        "kernels": CPU.word or None,
        "instruction_set": _instruction_set(),
        **_blas(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": _versions(),
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
        "git": _git(),
    }


@functools.cache
def _processor() -> dict[str, Any]:
    """What does not change while this process runs."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": pages,
        "caches_bytes": cache_sizes(),
        "clock_limits_mhz": [_number(CLOCK / f"cpuinfo_{end}_freq", 1e-3) for end in ("min", "max")],
        "governor": _text(CLOCK / "scaling_governor"),
    }


CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq")
SENSORS = ("thermal/thermal_zone*/temp", "hwmon/hwmon*/temp*_input")


def _state() -> dict[str, Any]:
    """What changes: how busy, how fast and how hot the processor is now."""
    sensors = [path for pattern in SENSORS for path in sorted(Path("/sys/class").glob(pattern))]
    felt = [_number(path, 1e-3) for path in sensors]
    shown = [line.partition(":")[2] for line in (_text(Path("/proc/cpuinfo")) or "").splitlines() if "MHz" in line]
    return {
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "clock_mhz": _number(CLOCK / "scaling_cur_freq", 1e-3) or (max(map(float, shown)) if shown else None),
        "temperature_c": max([t for t in felt if t is not None], default=None),
    }


def _gpu() -> dict[str, Any] | None:
    """The GPU in use and its state; None where CuPy was not loaded: nothing ran on one then."""
    if "cupy" not in sys.modules:
        return None
    try:
        return cuda.describe()
    except Exception:  # whatever a driver says: the record of a time must not be what fails
        return None


def _instruction_set() -> str | None:
    """What the native kernels are loaded for; None where there are none."""
    try:
        return native.chosen_variant()
    except (Unavailable, ValueError):
        return None


def _blas(maps: Path = Path("/proc/self/maps")) -> dict[str, Any]:
    """The BLAS that NumPy uses and its threads: as the loaded library says, or as NumPy was built."""
    for path in sorted(set(re.findall(r"/.*openblas.*", _text(maps) or ""))):
        for name in ("scipy_openblas_{}64_", "openblas_{}64_", "openblas_{}"):  # how builds of it are told apart
            try:
                library = ctypes.CDLL(path)
                config, threads = (library[name.format(of)] for of in ("get_config", "get_num_threads"))
            except (OSError, AttributeError):
                continue
            config.restype = ctypes.c_char_p
            return {"blas": " ".join(config().decode().split()), "blas_threads": threads()}
    built = (np.show_config(mode="dicts") or {}).get("Build Dependencies", {}).get("blas", {})
    named = [str(built[key]) for key in ("name", "version") if built.get(key)]
    return {"blas": " ".join(named) or None, "blas_threads": None}


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version for name in PACKAGES if (version := _version(name)) is not None}


def cache_sizes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, int]:
    """{"L1d": bytes, "L2": ..., "L3": ...} of the first core; empty where the system does not say."""
    found = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            number = int(size.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(size[-1:], 0)
        except (OSError, ValueError):
            continue
        found[f"L{level}{kind[0].lower() if kind in ('Data', 'Instruction') else ''}"] = number
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, unit: float) -> float | None:
    try:
        return round(float(_text(path) or "") * unit, 1)
    except ValueError:
        return None


def _cpu() -> str:
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    # Read from the installed records: importing torch to learn its version would load its threads into this process.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this very file belongs to; a copy in some environment has none."""
    if said := os.environ.get("TINYGRAD_LM_COMMIT"):
        return {"commit": said, "dirty": False}
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        # What earlier benchmarks wrote does not make the code another one.
        changes = git("status", "--porcelain", "--", ":(top)", ":(top,exclude)benchmarks/results")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.SubprocessError):
        return None
