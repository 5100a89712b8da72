"""Rules of the kernel sources: where inline assembly may stand, header blocks, the index, compilers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tinygrad_lm.backend import build

FOLDER = build.kernels_folder()
KERNELS = sorted(path for path in FOLDER.glob("*/*.*") if path.parent.name != "include")
CUDA = [path for path in KERNELS if path.suffix == ".cu"]
HEADINGS = ["Idea", "Maps threads to data", "FLOPs and bytes", "Needs", "Improves on", "Limits"]


def name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def code(path: Path) -> str:
    """The text without comments."""
    return re.sub(r"//.*|/\*.*?\*/", "", path.read_text(encoding="utf-8"))


def test_assembly_stands_in_two_files() -> None:
    sources = [path for path in FOLDER.rglob("*.*") if path.suffix != ".md"]
    with_assembly = {name(path) for path in sources if re.search(r"\b(__)?asm(__)?\b", code(path))}
    assert with_assembly == {"include/ptx.h", "include/fibre.h"}


def test_every_instruction_has_a_host_body() -> None:
    text = code(FOLDER / "include" / "ptx.h")
    wrappers = re.findall(r"^TG_WRAPPER (.*?)^}", text, re.DOTALL | re.MULTILINE)
    assert wrappers
    for wrapper in wrappers:
        device, _, host = wrapper.partition("#else")
        assert "#ifdef __CUDACC__" in device and "asm" in device and "asm" not in host and ";" in host


@pytest.mark.parametrize("path", KERNELS, ids=name)
def test_header_block(path: Path) -> None:
    comment = path.read_text(encoding="utf-8").split("#include")[0]
    found = [heading for line in comment.splitlines() for heading in HEADINGS if line.startswith(f"// {heading}  ")]
    assert found == HEADINGS


def test_index_names_every_kernel() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w/]+\.\w+)` \| .*\| .*\| .*\| .*\|$", index, re.MULTILINE))
    assert listed == {name(path) for path in KERNELS} | {"cpu.cpp"}


def test_only_sources() -> None:
    assert {path.suffix for path in FOLDER.rglob("*") if path.is_file()} <= {".cu", ".cpp", ".h", ".md"}


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("path", CUDA, ids=name)
def test_compiles_for_a_gpu(path: Path, architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path))
    cubin = build.nvcc_cubin(nvcc, path, architecture)
    assert cubin.read_bytes()[:4] == b"\x7fELF" and cubin.parent == tmp_path


@pytest.mark.parametrize("path", CUDA, ids=name)
def test_compiles_with_nvrtc(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvrtc = build.find_nvrtc()
    if nvrtc is None:
        pytest.skip("NVRTC is not installed")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path))
    assert build.nvrtc_cubin(nvrtc, path, "sm_90a").read_bytes()[:4] == b"\x7fELF"
    broken = tmp_path / "broken.cu"
    broken.write_text('#include "tg.h"\nnonsense\n')
    with pytest.raises(build.BuildFailed, match="NVRTC failed: .*error"):
        build.nvrtc_cubin(nvrtc, broken, "sm_90a")


@pytest.mark.parametrize("path", [path for path in KERNELS if path.suffix == ".cpp"] + CUDA, ids=name)
def test_compiles_without_warnings(path: Path) -> None:
    try:
        compiler = build.find_compiler()
    except build.BuildFailed as failure:
        pytest.skip(str(failure))
    flags = build.EMULATOR_FLAGS if path.suffix == ".cu" else build.NATIVE_FLAGS
    command = [
        *compiler,
        *flags,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsyntax-only",
        "-I",
        str(FOLDER / "include"),
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
