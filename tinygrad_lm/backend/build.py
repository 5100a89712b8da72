"""Compiling kernels: finds `kernels/`, finds a compiler, builds shared objects and cubins.

Standard library only: `setup.py` loads this file by its path before anything is installed.  Run as a program, it builds
the native kernels in place, for a checkout or after a compiler has been installed:

    python -m tinygrad_lm.backend.build
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent
NATIVE = PACKAGE / "_native"  # the built CPU kernels and build.json, the record of how they were built
BUILD_COMMAND = "python -m tinygrad_lm.backend.build"

# -O3 vectorises; -fopenmp-simd obeys `#pragma omp simd` (reductions in vector lanes) without the OpenMP library.  Not
# -ffast-math: it assumes that there is no NaN and no infinity, reorders the additions that rounding tricks are made of,
# and older compilers switch the whole process to flush-to-zero when they link with it.  The two flags below are its
# harmless part: nobody reads errno or floating-point exceptions.  Fused multiply-add is welcome where it exists.
NATIVE_FLAGS = (
    "-std=c++17 -O3 -fPIC -shared -fvisibility=hidden -fno-exceptions -fno-rtti -fopenmp-simd -fno-math-errno "
    "-fno-trapping-math -ffp-contract=fast"
).split()

# One source, several instruction sets; the best one the processor has is chosen when it is loaded.
X86_VARIANTS = {
    "x86-64": [],
    "x86-64-v3": ["-march=x86-64-v3"],  # AVX2 and FMA
    "x86-64-v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],  # AVX-512
}

# No contraction: the emulated kernels round like the plain arithmetic they are written in.
EMULATOR_FLAGS = "-std=c++17 -O2 -x c++ -fPIC -shared -fvisibility=hidden -ffp-contract=off".split()


class BuildFailed(RuntimeError):
    """Nothing could be compiled; the message is the reason, in one line."""


def kernels_folder() -> Path:
    """Where the kernel sources are: inside an installed package, else beside the package in a checkout."""
    packaged = PACKAGE / "_kernels"
    return packaged if packaged.is_dir() else PACKAGE.parent / "kernels"


def cache_folder() -> Path:
    """Where compiled files are kept: TINYGRAD_LM_CACHE_DIR, else ~/.cache/tinygrad_lm."""
    return Path(os.environ.get("TINYGRAD_LM_CACHE_DIR") or Path.home() / ".cache" / "tinygrad_lm")


def find_compiler() -> list[str]:
    """The C++ compiler as a command: CXX if set, else the first of g++, clang++, c++ on PATH."""
    chosen = os.environ.get("CXX")
    for candidate in [shlex.split(chosen)] if chosen else [["g++"], ["clang++"], ["c++"]]:
        if candidate and shutil.which(candidate[0]):
            return candidate
    raise BuildFailed(f"CXX={chosen!r} was not found" if chosen else "no C++ compiler found (g++, clang++ or c++)")


def run(command: Sequence[str | Path], sources: Sequence[Path] = ()) -> str:
    """What a command prints, both streams; BuildFailed with the first line that says why it failed.

    sources: files of which such a line may speak, to be quoted.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{words[0]} could not be run: {error}") from None
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise BuildFailed(f"{Path(words[0]).name} failed: {first_error(said, sources)}")
    return done.stdout + done.stderr


def first_error(log: str, sources: Sequence[Path] = ()) -> str:
    """The first line of a compiler's output that names an error, and the line of the source that it speaks of."""
    lines = log.strip().splitlines() or ["no message"]
    line = next((line for line in lines if "error" in line.lower()), lines[0]).strip()
    found = re.match(r"(.+?)[:(](\d+)[:)]", line)  # file:12:3: of g++, file(12): of NVIDIA
    for path in sources if found else ():
        if Path(found[1]).name == path.name:  # type: ignore[index]
            text = path.read_text(encoding="utf-8").splitlines()
            number = int(found[2])  # type: ignore[index]
            if number <= len(text):
                return f"{line} | {text[number - 1].strip()}"
    return line


def version_of(compiler: Sequence[str]) -> str:
    """The first line of `compiler --version`."""
    return (run([*compiler, "--version"]).strip().splitlines() or ["unknown"])[0]


def digest(texts: Iterable[str | bytes]) -> str:
    """A short hash of these texts in this order."""
    total = hashlib.sha256()
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:24]


def with_headers(sources: Sequence[Path], include: Path) -> list[Path]:
    """These files and every header of ``include`` that they include, directly or not."""
    found = list(sources)
    for path in found:  # grows while it is walked
        for name in re.findall(r'^\s*#\s*include "([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE):
            if include / name not in found:
                found.append(include / name)
    return found


# ---- compiled on first use: kept by the hash of all that went in -----------------------------------------------------


def cached(source: Path, made_by: Sequence[str], suffix: str, make: Callable[[Path], object]) -> Path:
    """The file that ``make(path)`` writes from ``source``, from the cache if no input has changed.

    ``made_by``: the tool, its version and its options, which are inputs too.  Two processes may do this at once: each
    writes a file of its own and moves it into place in one step.
    """
    inputs = with_headers([source], kernels_folder() / "include")
    key = digest([*made_by, *(path.read_bytes() for path in inputs)])
    target = cache_folder() / f"{source.parent.name}-{source.stem}-{key}{suffix}"
    if not target.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(suffix=suffix, dir=target.parent)
            os.close(handle)
        except OSError as error:
            raise BuildFailed(
                f"{target.parent}: {error.strerror}; set TINYGRAD_LM_CACHE_DIR to another folder"
            ) from None
        temporary = Path(name)
        try:
            make(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def only(suffix: str) -> list[str]:
    """The option that leaves of a .cu file the kernels whose names end with one dtype's word.

    >>> only("f32"), only("finish")
    (['-DTG_ONLY_f32'], [])
    """
    return [f"-DTG_ONLY_{suffix}"] if suffix in ("f32", "f16", "bf16") else []


def emulated_object(source: Path) -> Path:
    """A .cu file compiled for the host."""
    command = [*find_compiler(), *EMULATOR_FLAGS, "-I", str(kernels_folder() / "include")]
    made_by = [version_of(find_compiler()), *EMULATOR_FLAGS]
    sources = with_headers([source], kernels_folder() / "include")
    return cached(source, made_by, ".so", lambda target: run([*command, "-o", target, source], sources))


def cubin(source: Path, architecture: str, suffix: str = "") -> Path:
    """A .cu file compiled for one GPU architecture, such as "sm_80" or "sm_90a": by NVRTC if it is installed, else by
    nvcc.  Not by CuPy's own front ends, which cannot be told "sm_90a".  suffix: of one dtype, to compile no other.

    For the `CHECKED` architectures a kernel that keeps registers in memory (spills) is an error, and so is what makes
    the compiler wait after each wgmma; set TINYGRAD_LM_ALLOW_SPILLS=1 to run it all the same.
    """
    nvrtc, nvcc = find_nvrtc(), shutil.which("nvcc")
    if nvrtc is not None:
        return nvrtc_cubin(nvrtc, source, architecture, suffix)
    if nvcc is not None:
        return nvcc_cubin(nvcc, source, architecture, suffix)
    raise BuildFailed('no CUDA compiler found: install "cupy-cuda13x[ctk]" (or 12x) or put nvcc on PATH')


CHECKED = ("sm_80", "sm_90", "sm_90a")


class Resources(NamedTuple):
    """What a kernel takes: registers of a thread, bytes of shared memory of a block, bytes of spilled registers."""

    registers: int
    shared: int = 0
    spills: int = 0


def resources_of(log: str) -> dict[str, Resources]:
    """What the assembler says of each kernel.

    >>> log = "Function properties for f | 4 bytes spill stores, 8 bytes spill loads. Used 40 registers, 256 bytes smem"
    >>> resources_of(log)
    {'f': Resources(registers=40, shared=256, spills=12)}
    """
    found = {}
    for block in log.split("Function properties for ")[1:]:
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", block)
        registers, shared = re.search(r"Used (\d+) registers", block), re.search(r"(\d+) bytes smem", block)
        if spills and registers:
            kept = int(spills[1]) + int(spills[2])
            found[block.split()[0]] = Resources(int(registers[1]), int(shared[1]) if shared else 0, kept)
    return found


def resources(source: Path, architecture: str) -> dict[str, Resources]:
    """What each kernel of a .cu file takes on an architecture, by name, as `cubin`'s compiler says."""
    log = cubin(source, architecture).with_suffix(".log")
    return resources_of(log.read_text(encoding="utf-8"))


def judge(log: str, source: Path, architecture: str) -> None:
    """BuildFailed if the log of a compilation says what makes a kernel needlessly slow."""
    if architecture not in CHECKED or os.environ.get("TINYGRAD_LM_ALLOW_SPILLS") == "1":
        return
    how = "; or set TINYGRAD_LM_ALLOW_SPILLS=1"
    for name, kernel in resources_of(log).items():
        if kernel.spills:
            raise BuildFailed(
                f"{source.name}, {name} on {architecture}: {kernel.spills} bytes of registers are spilled; "
                f"keep less in registers, or launch fewer threads (__launch_bounds__){how}"
            )
    for line in log.splitlines():
        if "wgmma" in line and "serializ" in line.lower():
            raise BuildFailed(f"{source.name} on {architecture}: {line.strip()}{how}")


def judged(source: Path, architecture: str, made_by: Sequence[str], make: Callable[[Path], str]) -> Path:
    """The cubin that make(path) writes, from the cache if no input has changed.  What make returns, the compiler's
    words, is kept beside it and judged each time: what was allowed once need not be now."""

    def both(target: Path) -> None:
        words = make(target)
        cached(
            source, made_by, ".log", lambda log: log.write_text(words, encoding="utf-8")
        )  # there before the cubin is

    made = cached(source, made_by, ".cubin", both)
    judge(made.with_suffix(".log").read_text(encoding="utf-8"), source, architecture)
    return made


def nvcc_cubin(nvcc: str, source: Path, architecture: str, suffix: str = "") -> Path:
    """A .cu file compiled by nvcc."""
    number = architecture.removeprefix("sm_")
    options = ["-std=c++17", "-O3", f"-gencode=arch=compute_{number},code=sm_{number}", "-cubin", "-Xptxas=-v"]
    options += only(suffix)
    command = [nvcc, *options, "-I", str(kernels_folder() / "include")]
    sources = with_headers([source], kernels_folder() / "include")
    made_by = [run([nvcc, "--version"]), *options]
    return judged(source, architecture, made_by, lambda target: run([*command, "-o", target, source], sources))


def find_nvrtc() -> ctypes.CDLL | None:
    """NVIDIA's run-time compiler, as the packages that CuPy depends on locate it; None if there is none."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        path = load_nvidia_dynamic_lib("nvrtc").abs_path
        return ctypes.CDLL(path) if path else None
    except (ImportError, OSError, RuntimeError):  # pathfinder's own "not found" is a RuntimeError
        return None


def nvrtc_cubin(nvrtc: ctypes.CDLL, source: Path, architecture: str, suffix: str = "") -> Path:
    """A .cu file compiled by NVRTC, with its headers given as text: no include path, no files of the CUDA toolkit."""

    def check(status: int) -> None:
        if status != 0:
            nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise BuildFailed(f"NVRTC failed: {nvrtc.nvrtcGetErrorString(status).decode()}")

    def text(kind: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        check(getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        check(getattr(nvrtc, f"nvrtcGet{kind}")(program, buffer))
        return buffer.raw

    def make(target: Path) -> str:
        sources = with_headers([source], kernels_folder() / "include")
        headers = sources[1:]
        strings = ctypes.c_char_p * len(headers)
        bodies = strings(*(path.read_bytes() for path in headers))
        names = strings(*(path.name.encode() for path in headers))
        program = ctypes.c_void_p()
        check(
            nvrtc.nvrtcCreateProgram(
                ctypes.byref(program), source.read_bytes(), source.name.encode(), len(headers), bodies, names
            )
        )
        try:
            flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = nvrtc.nvrtcCompileProgram(program, len(options), flags) != 0
            log = text("ProgramLog", program).rstrip(b"\0").decode(errors="replace")
            if failed:
                raise BuildFailed(f"NVRTC failed: {first_error(log, sources)}")
            target.write_bytes(text("CUBIN", program))
            return log
        finally:
            nvrtc.nvrtcDestroyProgram(ctypes.byref(program))

    options = ["-std=c++17", f"-arch={architecture}", "--ptxas-options=-v", *only(suffix)]
    return judged(source, architecture, [nvrtc_version(nvrtc), *options], make)


def nvrtc_version(nvrtc: ctypes.CDLL) -> str:
    """Such as "nvrtc 13.0"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    if nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)) != 0:
        raise BuildFailed("NVRTC failed: it does not say its version")
    return f"nvrtc {major.value}.{minor.value}"


# ---- compiled at installation: the native kernels --------------------------------------------------------------------


def native_sources(folder: Path) -> list[Path]:
    """The C++ files that make up the native kernels."""
    return sorted(folder.rglob("*.cpp"))


def native_digest(folder: Path) -> str:
    """A hash of everything the native kernels are made from."""
    inputs = with_headers(native_sources(folder), folder / "include")
    return digest([*NATIVE_FLAGS, *(path.read_bytes() for path in inputs)])


def native_variants() -> dict[str, list[str]]:
    """The instruction sets to build for, least demanding first, with the flags of each."""
    machine = platform.machine().lower()
    return X86_VARIANTS if machine in ("x86_64", "amd64") else {machine: []}


def build_native(kernels: Path, target: Path) -> dict[str, Any]:
    """Builds every variant into ``target`` and writes build.json beside them; never raises for want of a compiler.

    The record: ``variants`` (built, least demanding first), ``left_out`` (variant -> why), ``compiler``, ``sources``
    (their hash), ``reason`` (why nothing was built, else None).
    """
    record: dict[str, Any] = {"variants": [], "left_out": {}, "compiler": None, "sources": None, "reason": None}
    shutil.rmtree(target, ignore_errors=True)  # never leave what an earlier build made
    target.mkdir(parents=True, exist_ok=True)
    try:
        compiler = find_compiler()
        record["compiler"] = version_of(compiler)
        record["sources"] = native_digest(kernels)
        link = ["-Wl,--as-needed"] if sys.platform == "linux" else []
        for variant, flags in native_variants().items():
            out = target / f"{variant}.so"
            try:
                sources = native_sources(kernels)
                run([*compiler, *NATIVE_FLAGS, *flags, *link, "-I", kernels / "include", "-o", out, *sources])
                record["variants"].append(variant)
            except BuildFailed as failure:
                out.unlink(missing_ok=True)
                record["left_out"][variant] = str(failure)
        if not record["variants"]:
            record["reason"] = next(iter(record["left_out"].values()))
    except BuildFailed as failure:
        record["reason"] = str(failure)
    (target / "build.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def native_record() -> dict[str, Any]:
    """What `build_native` recorded for this installation, or a record whose reason says that it never ran."""
    try:
        return json.loads((NATIVE / "build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"variants": [], "left_out": {}, "compiler": None, "sources": None, "reason": "they were not built"}


if __name__ == "__main__":
    try:
        built = build_native(kernels_folder(), NATIVE)
    except OSError as error:
        sys.exit(f"cannot write to {NATIVE}: {error.strerror}")
    if built["reason"]:
        sys.exit(f"native kernels not built: {built['reason']}")
    print(f"native kernels built for {', '.join(built['variants'])} in {NATIVE}")
