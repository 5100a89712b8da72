"""What the CUDA kernels take, on a machine without a GPU: the compiler's figures, and what follows from them.

The launchers run with a runtime that only writes down what it is told, on the workloads of the operations and their
derivatives; every kernel that comes up is compiled, and its registers and shared memory say how many of its blocks fit
on a multiprocessor.  The least time is that of the roofline of a named GPU, whose figures are those of its vendor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tinygrad_lm.backend import build, launch, use_kernels
from tinygrad_lm.backend.build import Resources
from tinygrad_lm.backend.launch.common import Rung, Tensors
from tinygrad_lm.bench.workloads import SIZES, differentiable, function_of, workload
from tinygrad_lm.core import OPS, vjp

ARCHITECTURES = ("sm_80", "sm_90")
REGISTERS, WARPS, BLOCKS = 1 << 16, 64, 32  # of a multiprocessor, of these architectures
SHARED = {"sm_80": 164 << 10, "sm_90": 228 << 10}  # bytes, of which each block takes 1 KiB more than it asks for
ROUNDED_REGISTERS, ROUNDED_SHARED = 256, 128  # a warp's registers, a block's bytes


@dataclass(frozen=True)
class Gpu:
    """Peaks of a GPU: FLOP/s of float32 outside the tensor cores, bytes/s of its memory."""

    architecture: str
    flops: float
    bandwidth: float


# From the vendor's data sheets (SXM, 80 GB and 141 GB).
GPUS = {
    "A100": Gpu("sm_80", 19.5e12, 2.039e12),
    "H100": Gpu("sm_90", 66.9e12, 3.35e12),
    "H200": Gpu("sm_90", 66.9e12, 4.8e12),
}


def occupancy(kernel: Resources, threads: int, dynamic: int, architecture: str) -> float:
    """The share of a multiprocessor's warps that can be there at once (Resources of a thread and a block).

    >>> occupancy(Resources(registers=128), threads=256, dynamic=0, architecture="sm_90")
    0.25
    >>> occupancy(Resources(registers=32, shared=0), threads=1024, dynamic=200 << 10, architecture="sm_90")
    0.5
    """
    warps = -(-threads // 32)
    of_a_warp = -(-kernel.registers * 32 // ROUNDED_REGISTERS) * ROUNDED_REGISTERS
    by_registers = REGISTERS // of_a_warp // 4 * 4 // warps if kernel.registers else BLOCKS
    of_a_block = -(-(kernel.shared + dynamic + 1024) // ROUNDED_SHARED) * ROUNDED_SHARED
    return min(by_registers, SHARED[architecture] // of_a_block, WARPS // warps, BLOCKS) * warps / WARPS


@dataclass(frozen=True)
class Launch:
    """One kernel as a launcher started it: bytes are those of the arrays that it was given."""

    file: str
    kernel: str
    blocks: int
    threads: int
    dynamic: int
    bytes: int


@dataclass
class Call:
    """One operation that a rung computed, and what it launched for that; FLOPs by the operation's own formula."""

    op: str
    rung: str
    dtype: str
    flops: float | None
    launches: list[Launch] = field(default_factory=list)


def arrays_in(arguments: Sequence[Any]) -> list[np.ndarray]:
    """Each array among the arguments of a kernel once."""
    flat = [a for given in arguments for a in (given if isinstance(given, Tensors) else [given])]
    return list({id(a): a for a in flat if isinstance(a, np.ndarray)}.values())


def traced(function: Callable[[], Any], rungs: dict[str, str]) -> list[Call]:
    """The calls that `function` makes of operations that have kernels; their results are not computed."""
    calls: list[Call] = []

    def run(file: str, kernel: str, grid: Any, block: Any, dynamic: int, arguments: Sequence[Any]) -> None:
        moved = sum(a.nbytes for a in arrays_in(arguments))
        calls[-1].launches.append(Launch(file, kernel, math.prod(grid), math.prod(block), dynamic, moved))

    def kernel(op: str, rung: str, compute: Rung) -> Callable[..., Any]:
        def call(xp: Any, *arrays: Any, **params: Any) -> Any:
            cost = OPS[op].facts.get("cost")
            dtype = next(a.dtype.name for a in arrays if hasattr(a, "dtype"))
            calls.append(Call(op, rung, dtype, float(cost(*arrays, **params)) if cost else None))
            return compute(run, xp, *arrays, **params)

        return call

    table = {}
    for op, ladder in launch.LADDERS.items():
        if op in OPS:
            rung = rungs.get(op, list(ladder)[-1])
            table[op] = kernel(op, rung, ladder[rung])
    with use_kernels(table), np.errstate(all="ignore"):
        function()
    return [call for call in calls if call.launches]


def calls_of(names: Sequence[str], dtype: str = "float32", seed: int = 0) -> Iterator[Call]:
    """One call of every rung of these operations (of all), with their derivatives, on their usual sizes."""
    seen = set()
    for name in names or [name for name in launch.LADDERS if name in SIZES]:
        for rung in launch.LADDERS[name]:
            case = workload(name, dtype)
            arrays = case.draw(np.random.default_rng(seed))

            def whole(name: str = name, arrays: Any = arrays) -> None:
                if not differentiable(name):
                    function_of(name)(*arrays)
                    return
                y, pull = vjp(function_of(name), *arrays)
                pull(tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y))

            for call in traced(whole, {name: rung}):
                key = call.op, call.rung, *[made.kernel for made in call.launches]
                if key not in seen:
                    seen.add(key)
                    yield call


def cards(names: Sequence[str], architectures: Sequence[str], gpu: str = "H200", dtype: str = "float32") -> list[dict]:
    """A row for each kernel that the operations launch and each architecture.  BuildFailed without a CUDA compiler.

    seconds: the least time on the GPU, by the bytes of the kernel's arrays and, where one kernel is all that the
    operation launches, by its FLOPs.
    """
    made, folder, best = [], build.kernels_folder(), GPUS[gpu]
    for call in calls_of(names, dtype):
        for one in call.launches:
            flops = call.flops if len(call.launches) == 1 else None
            for architecture in architectures:
                kernel = build.resources(folder / one.file, architecture)[one.kernel]
                made.append(
                    {
                        "op": call.op,
                        "rung": call.rung,
                        "dtype": call.dtype,
                        **asdict(one),
                        "architecture": architecture,
                        **kernel._asdict(),
                        "occupancy": occupancy(kernel, one.threads, one.dynamic, architecture),
                        "flops": flops,
                        "intensity": flops / one.bytes if flops and one.bytes else None,
                        "gpu": gpu,
                        "seconds": max(one.bytes / best.bandwidth, (flops or 0.0) / best.flops),
                    }
                )
    return made


def compiler() -> str:
    """The compiler that `build.cubin` uses, by name and version; BuildFailed if there is none."""
    nvrtc = build.find_nvrtc()
    return build.nvrtc_version(nvrtc) if nvrtc is not None else build.version_of(["nvcc"])


def everything(architectures: Sequence[str] = ARCHITECTURES) -> dict[str, dict[str, dict[str, list[int]]]]:
    """file -> kernel -> architecture -> [registers, bytes of shared memory, bytes spilled], of every kernel."""
    folder, found = build.kernels_folder(), {}
    for path in sorted(folder.glob("*/*.cu")):
        kernels: dict[str, dict[str, list[int]]] = {}
        for architecture in architectures:
            for name, kernel in sorted(build.resources(path, architecture).items()):
                kernels.setdefault(name, {})[architecture] = [kernel.registers, kernel.shared, kernel.spills]
        found[path.relative_to(folder).as_posix()] = kernels
    return found


def worse(before: dict, after: dict) -> list[str]:
    """What became worse from one `everything` to another: a kernel that spills, or fits less often."""
    found = []
    for file, kernels in after.items():
        for name, taken in kernels.items():
            for architecture, (registers, shared, spills) in taken.items():
                old = before.get(file, {}).get(name, {}).get(architecture)
                where = f"{file}, {name}, {architecture}"
                if old is None:
                    found.append(f"{where}: is not in the golden file")
                    continue
                if spills > old[2]:
                    found.append(f"{where}: spills {spills} bytes, {old[2]} before")
                if registers > old[0]:
                    found.append(f"{where}: takes {registers} registers, {old[0]} before")
                if shared > old[1]:
                    found.append(f"{where}: takes {shared} bytes of shared memory, {old[1]} before")
    gone = [
        f"{file}, {name}: is gone"
        for file, kernels in before.items()
        for name in kernels
        if name not in after.get(file, {})
    ]
    return found + gone
