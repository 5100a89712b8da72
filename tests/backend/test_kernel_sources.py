"""Rules of the kernel sources: where inline assembly may stand, header blocks, the index, compilers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tinygrad_lm import bench
from tinygrad_lm.backend import build
from tinygrad_lm.bench import static

FOLDER = build.kernels_folder()
KERNELS = sorted(path for path in FOLDER.glob("*/*.*") if path.parent.name != "include")
CUDA = [path for path in KERNELS if path.suffix == ".cu"]
GOLDEN = Path(__file__).parents[2] / "benchmarks" / "results" / "static.json"
# The other compiler sees what it may read differently: inline assembly, structs by value.  All files take long.
WITH_NVCC = ("softmax/rows.cu", "matmul/tiled.cu", "optimizer/adam.cu", "random/philox.cu")
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


@pytest.fixture
def nvrtc(cache):
    found = build.find_nvrtc()
    if found is None:
        pytest.skip("NVRTC is not installed")
    return found


@pytest.mark.parametrize("path", CUDA, ids=name)
def test_takes_no_more_of_a_gpu_than_it_did(path: Path, nvrtc) -> None:
    """Compiled for each architecture: nothing spills, and registers and shared memory are those of the golden file."""
    golden = bench.load(GOLDEN)
    assert golden["compiler"] == build.nvrtc_version(nvrtc), "the golden file is of another compiler: write it anew"
    taken: dict[str, dict[str, list[int]]] = {}
    for architecture in static.ARCHITECTURES:
        assert build.nvrtc_cubin(nvrtc, path, architecture).read_bytes()[:4] == b"\x7fELF"
        for kernel, found in build.resources(path, architecture).items():
            taken.setdefault(kernel, {})[architecture] = [found.registers, found.shared, found.spills]
    assert taken and not static.worse({name(path): golden["kernels"].get(name(path), {})}, {name(path): taken})


def test_what_became_worse_is_said() -> None:
    before = {"a.cu": {"f": {"sm_80": [32, 0, 0]}, "g": {"sm_80": [32, 0, 0]}}}
    after = {"a.cu": {"f": {"sm_80": [40, 64, 12]}, "h": {"sm_80": [8, 0, 0]}}}
    assert static.worse(before, before) == [] and static.worse(before, after) == [
        "a.cu, f, sm_80: spills 12 bytes, 0 before",
        "a.cu, f, sm_80: takes 40 registers, 32 before",
        "a.cu, f, sm_80: takes 64 bytes of shared memory, 0 before",
        "a.cu, h, sm_80: is not in the golden file",
        "a.cu, g: is gone",
    ]


# 100 numbers that live at once and 24 registers to keep them in.
SPILLS = """#include "tg.h"
extern "C" __global__ void __launch_bounds__(1024, 2) hungry(float* x) {
    float kept[100];
    TG_UNROLL
    for (int i = 0; i < 100; i++) kept[i] = x[i * 1024 + threadIdx.x];
    for (int turn = 0; turn < int(x[0]); turn++) {
        TG_UNROLL
        for (int i = 0; i < 100; i++) kept[i] = kept[i] * kept[(i + 1) % 100] + kept[(i + 7) % 100];
    }
    TG_UNROLL
    for (int i = 0; i < 100; i++) x[i * 1024 + threadIdx.x] = kept[i];
}
TG_LAUNCHABLE(hungry)
"""


def test_spilling_is_an_error(nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "hungry.cu"
    source.write_text(SPILLS)
    with pytest.raises(build.BuildFailed, match=r"hungry.cu, hungry on sm_90: \d+ bytes of registers are spilled"):
        build.nvrtc_cubin(nvrtc, source, "sm_90")
    assert build.nvrtc_cubin(nvrtc, source, "sm_86").exists()  # nobody has looked after it there
    monkeypatch.setenv("TINYGRAD_LM_ALLOW_SPILLS", "1")
    assert build.nvrtc_cubin(nvrtc, source, "sm_90").exists() and build.resources(source, "sm_90")["hungry"].spills
    monkeypatch.delenv("TINYGRAD_LM_ALLOW_SPILLS")
    with pytest.raises(build.BuildFailed, match="are spilled"):  # that it is in the cache now changes nothing
        build.nvrtc_cubin(nvrtc, source, "sm_90")


def test_waiting_after_each_wgmma_is_an_error() -> None:
    said = "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ..."
    with pytest.raises(build.BuildFailed, match=r"hopper.cu on sm_90a: ptxas info .* are serialized"):
        build.judge(said, Path("hopper.cu"), "sm_90a")
    build.judge(said, Path("hopper.cu"), "sm_100")  # nobody has looked after it there
    build.judge("ptxas info    : Used 40 registers", Path("hopper.cu"), "sm_90a")


@pytest.mark.parametrize("path", [p for p in CUDA if name(p) in WITH_NVCC], ids=name)
def test_compiles_with_nvcc(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TINYGRAD_LM_ALLOW_SPILLS", "1")  # judged with NVRTC, which users have
    cubin = build.nvcc_cubin(nvcc, path, "sm_90")
    assert cubin.read_bytes()[:4] == b"\x7fELF" and cubin.parent == tmp_path


def test_errors_quote_the_line(nvrtc, tmp_path: Path) -> None:
    broken = tmp_path / "broken.cu"
    broken.write_text('#include "tg.h"\n  nonsense;\n')
    makes = [lambda: build.nvrtc_cubin(nvrtc, broken, "sm_90"), lambda: build.emulated_object(broken)]
    makes += [lambda: build.nvcc_cubin("nvcc", broken, "sm_90")] if shutil.which("nvcc") else []
    for make in makes:
        with pytest.raises(build.BuildFailed, match=r"failed: .*broken\.cu.*error.*\| nonsense;$") as caught:
            make()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [path for path in KERNELS if path.suffix == ".cpp"] + CUDA, ids=name)
def test_compiles_without_warnings(path: Path, cache) -> None:
    compiler = build.find_compiler()
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
