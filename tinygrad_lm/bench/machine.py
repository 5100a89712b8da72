"""Where a figure comes from.  Without this a time is a rumour."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("tinygrad_lm", "numpy", "torch", "cupy", "jax")
VARIABLES = ("OMP_", "OPENBLAS_", "MKL_", "GOMP_", "KMP_", "MALLOC_", "TINYGRAD_LM_")


def environment() -> dict[str, Any]:
    """Processor, threads, load, versions, commit and command line of this process, as plain values for a JSON file.

    ``git`` is None where the package does not run from a checkout.  No host name, user name or folder is recorded.
    """
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(
            [os.path.basename(a) if os.path.isabs(a) else a for a in [Path(sys.argv[0]).name, *sys.argv[1:]]]
        ),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
        "git": _git(),
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    # Read from the installed records: importing torch to learn its version would load its threads into this process.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this very file belongs to; a copy in some environment has none."""
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
