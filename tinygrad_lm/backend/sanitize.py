"""CUDA kernels under the compiler's sanitizers: what touches memory that is not its own, what races, by file and line.

A kernel is compiled with the emulator into a program of its own (kernels/include/driver.h), because a sanitizer watches
a whole process; the launch goes there in a file, and the arrays come back in another.

    sanitize("softmax/rows.cu", "softmax_short_f32", (3, 1, 1), (128, 1, 1), 0, [x, y, ...], with_="thread")
    launch.table(Sanitizer("address"))["softmax"](np, x)          # below the launchers, like the emulator
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm.backend import build
from tinygrad_lm.backend.emulated import ORDERS
from tinygrad_lm.backend.launch.common import MOST_TENSORS, Dims, Tensors, Values

FLAGS = {  # how each is told what, and how it is compiled
    "address": ("ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0", ["-fsanitize=address,undefined"]),
    "thread": ("TSAN_OPTIONS=report_signal_unsafe=0", ["-fsanitize=thread"]),
    "memory": (  # the emulator's own: the compiler only calls it at every access
        "_=",
        "-DTG_MEMORY -no-pie -fsanitize=kernel-address --param asan-globals=0 --param asan-stack=0 "
        "--param asan-instrumentation-with-call-threshold=0".split(),
    ),
}
COMMON = "-std=c++17 -g -O1 -x c++ -fno-omit-frame-pointer -ffp-contract=off -DTG_SANITIZED".split()
LONGEST_S = 600  # of one launch: threads take turns here, so one that waits in a loop for another would wait for ever


@functools.cache
def not_the_kernels() -> frozenset[str]:
    """Files whose frames are not the kernel's: the emulator's, and the sanitizers' own copies of memcpy and memset."""
    include = build.kernels_folder() / "include"
    emulator = build.with_headers([include / "emulator.h", include / "ptx.h"], include)
    return frozenset([*(path.name for path in emulator), "sanitizer_common_interceptors.inc"])


@dataclass(frozen=True)
class Finding:
    """What a sanitizer says of a kernel: the kind of mistake, where, and its own first line."""

    kind: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.text}"


def program(source: Path, with_: str, only: str = "") -> Path:
    """A .cu file as a program that launches its kernels (or those of one dtype), watched by a sanitizer."""
    options = [*COMMON, *FLAGS[with_][1], *build.only(only)]
    compiler, sources = build.find_compiler(), build.with_headers([source], build.kernels_folder() / "include")
    command = [*compiler, *options, "-I", str(build.kernels_folder() / "include")]
    made_by = [build.version_of(compiler), *options]

    def make(target: Path) -> None:
        build.run([*command, "-o", target, source], sources)
        target.chmod(0o755)

    return build.cached(source, made_by, f".{with_}", make)


def packed(kernel: str, grid: Dims, block: Dims, shared: int, arguments: Sequence[Any], order: str, seed: int) -> bytes:
    """A launch as the program reads it."""
    name = kernel.encode()
    parts = [np.uint32(len(name)).tobytes(), name, np.array([*grid, *block], np.uint32).tobytes()]
    parts += [np.uint64(shared).tobytes(), np.uint32(ORDERS.index(order)).tobytes(), np.uint64(seed).tobytes()]
    parts.append(np.uint32(len(arguments)).tobytes())
    for argument in arguments:
        if isinstance(argument, Tensors):
            parts += [np.array([2, MOST_TENSORS], np.uint32).tobytes()]
            for a in [*argument, *[None] * (MOST_TENSORS - len(argument))]:
                parts += [np.int64(-1).tobytes()] if a is None else [np.int64(a.nbytes).tobytes(), a.tobytes()]
        else:
            data = argument.bytes() if isinstance(argument, Values) else argument.tobytes()
            kind = 1 if isinstance(argument, np.ndarray) else 0
            parts += [np.uint32(kind).tobytes(), np.uint64(len(data)).tobytes(), data]
    return b"".join(parts)


def sanitize(
    file: str,
    kernel: str,
    grid: Dims,
    block: Dims,
    shared_bytes: int,
    arguments: Sequence[Any],
    *,
    with_: str = "address",
    order: str = "forward",
    seed: int = 1,
) -> list[Finding]:
    """Launch a kernel under a sanitizer; what it found, in order.

    "address": accesses beyond arrays in global and shared memory, misaligned ones, integers that overflow, impossible
    shifts.  "thread": races between threads of a block, and of blocks that ran one after the other, whatever order they
    ran in.  "memory": reads of shared memory that nobody wrote, or whose asynchronous copy was not waited for (plain
    reads at constant places of static shared memory are not watched: the emulator gives NaN there).
    The arrays among the arguments have the results afterwards, if the program came to its end.  BuildFailed if the
    kernel does not compile; RuntimeError for what the emulator itself reports.
    """
    if with_ not in FLAGS:
        raise ValueError(f"sanitize: with_ must be one of {', '.join(FLAGS)}, got {with_!r}")
    made = program(build.kernels_folder() / file, with_, kernel.rpartition("_")[2])
    with tempfile.TemporaryDirectory() as folder:
        launch, results = Path(folder) / "launch", Path(folder) / "results"
        launch.write_bytes(packed(kernel, grid, block, shared_bytes, arguments, order, seed))
        command = [str(made), str(launch), str(results)]
        if with_ == "thread" and shutil.which("setarch"):  # it needs addresses where it expects them
            command = ["setarch", "-R", *command]
        variable, value = FLAGS[with_][0].split("=", 1)
        words = ["env", f"{variable}={value}", *command]
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, errors="replace", timeout=LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired:
            waits = "does it wait in a loop for what another thread does?"
            raise RuntimeError(f"{file}, kernel {kernel}: no end after {LONGEST_S} s; {waits}") from None
        if done.returncode == 0 and results.exists():
            read_back(results.read_bytes(), arguments)
    found = findings(done.stderr, Path(file).name) + unwritten(done.stderr, made)
    if said := re.search(r"^emulator: (.*)$", done.stderr, re.MULTILINE):
        if not found:
            raise RuntimeError(f"{file}, kernel {kernel}: {said[1]}")
    elif done.returncode and not found:
        raise RuntimeError(
            f"{file}, kernel {kernel}: the {with_} sanitizer ended with {done.returncode}: {done.stderr[:300]!r}"
        )
    return found


def read_back(data: bytes, arguments: Sequence[Any]) -> None:
    """The arrays as they are after the launch; what is read-only was an input."""
    at = 0
    for argument in arguments:
        for a in argument if isinstance(argument, Tensors) else [argument]:
            if isinstance(a, np.ndarray):
                if a.flags.writeable:
                    a[...] = np.frombuffer(data[at : at + a.nbytes], a.dtype).reshape(a.shape)
                at += a.nbytes


def unwritten(report: str, made: Path) -> list[Finding]:
    """What the emulator says of reads that came too early; the addresses of the code become lines."""
    found = []
    for address, text in re.findall(r"^UNWRITTEN (0x[0-9a-f]+) (.*)$", report, re.MULTILINE):
        before = hex(int(address, 16) - 1)  # it is where the call returns to
        words = ["addr2line", "-i", "-e", str(made), before]
        places = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
        pairs = [place.rpartition(":")[::2] for place in places if place.partition(" ")[0].count(":")]
        own = [(Path(file).name, line) for file, line in pairs if Path(file).name not in not_the_kernels()]
        file, line = own[0] if own else ("?", "0")
        found.append(Finding("unwritten shared memory", file, int(re.sub(r"\D.*", "", line) or 0), text))
    return found


def findings(report: str, source: str) -> list[Finding]:
    """The mistakes in what a sanitizer printed, each with its first frame that is not the emulator's."""
    found = []
    blocks = re.split(
        r"(?=^==\d+==ERROR: |^WARNING: ThreadSanitizer: |^[^\n]*runtime error: )", report, flags=re.MULTILINE
    )
    for block in blocks:
        head = re.match(r"(?:==\d+==ERROR: (?:Address|Thread)Sanitizer|WARNING: ThreadSanitizer): ([\w -]+)", block)
        wrong = re.match(r"([^\n]*?):(\d+):\d+: runtime error: ([^\n]*)", block)
        if wrong:
            found.append(Finding("undefined behaviour", Path(wrong[1]).name, int(wrong[2]), wrong[3]))
        elif head:
            places = re.findall(r"^\s+#\d+ .*?([^\s/]+):(\d+)(?::\d+)?(?: |$)", block, re.MULTILINE)
            file, line = next(((f, n) for f, n in places if f not in not_the_kernels()), (source, "0"))
            kind = head[1].split(" on ")[0].split(" (")[0].strip()
            access = re.search(r"^\s*((?:READ|WRITE|Read|Write|Atomic \w+) of size \d+)", block, re.MULTILINE)
            found.append(Finding(kind, file, int(line), access[1] if access else kind))
    return found


@dataclass(frozen=True)
class Sanitizer:
    """A runtime for the launchers, like `Emulator`: RuntimeError with file and line for the first finding."""

    with_: str = "address"
    order: str = "forward"
    seed: int = 1

    def __call__(self, file: str, kernel: str, grid: Dims, block: Dims, shared: int, arguments: Sequence[Any]) -> None:
        found = sanitize(
            file, kernel, grid, block, shared, arguments, with_=self.with_, order=self.order, seed=self.seed
        )
        if found:
            raise RuntimeError(f"{file}, kernel {kernel}: {found[0]}")
