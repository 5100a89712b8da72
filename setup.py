"""Builds the native CPU kernels and ships the kernel sources; everything else is in pyproject.toml.

The kernels are plain shared objects, loaded with ctypes: no Python ABI.  If they cannot be built, for whatever reason,
the installation succeeds, the reason is written to tinygrad_lm/_native/build.json, and `tinygrad-lm doctor` shows it.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "tinygrad_lm"


def builder():
    """tinygrad_lm/backend/build.py by its path: the package cannot be imported before its requirements are there."""
    spec = importlib.util.spec_from_file_location("tinygrad_lm_build", PACKAGE / "backend" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildKernels(build_ext):
    """In place (an editable installation): builds beside the sources.  Otherwise: into the wheel, with the sources."""

    editable_mode = False

    def run(self) -> None:
        package = PACKAGE if self.inplace or self.editable_mode else Path(self.build_lib) / PACKAGE.name
        if package != PACKAGE:
            shutil.rmtree(package / "_kernels", ignore_errors=True)
            shutil.copytree(ROOT / "kernels", package / "_kernels")
        target = package / "_native"
        try:
            reason = builder().build_native(ROOT / "kernels", target)["reason"]
        except Exception as error:  # an installation never fails because of an optional speed-up
            reason = f"{type(error).__name__}: {error}"
            record_failure(target, reason)
        if reason:
            print(f"native kernels not built, the NumPy reference will be used: {reason}", file=sys.stderr)

    def get_outputs(self) -> list[str]:
        if self.inplace or self.editable_mode:
            return []
        package = Path(self.build_lib) / PACKAGE.name
        folders = (package / "_kernels", package / "_native")
        return [str(path) for folder in folders for path in folder.rglob("*") if path.is_file()]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return [str(path.relative_to(ROOT)) for path in (ROOT / "kernels").rglob("*") if path.is_file()]


def record_failure(target: Path, reason: str) -> None:
    """Leaves the reason where the package looks for it, if the folder can be written at all."""
    record = {"variants": [], "left_out": {}, "compiler": None, "sources": None, "reason": reason}
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / "build.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError:
        pass


class Wheel(bdist_wheel):
    """py3-none-<platform>: the shared objects depend on the platform, not on the version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class WithKernels(Distribution):
    """Has something to build, so that `build_ext` runs and the wheel belongs to a platform."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel}, distclass=WithKernels)
