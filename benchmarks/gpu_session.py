"""Everything worth knowing about a GPU that is at hand for a few minutes, in one run that cannot hang or lose anything.

    python benchmarks/gpu_session.py --out FOLDER [--budget 480] [--only STAGE ...] [--tiny]

Each stage is a process of its own with a time limit: one that crashes, hangs or makes the GPU unusable for its process
takes nothing with it.  FOLDER/STAGE.json is written before the next stage begins; a stage that failed leaves one with
its "error".  A short summary is printed at the end.  ``--tiny``: sizes for a rehearsal.

Without a GPU it can be rehearsed on a made-up one:
``PYTHONPATH=.:tests/fake_gpu python benchmarks/gpu_session.py --tiny --out FOLDER``.

Exit code 0 if every figure keeps its limit and no stage failed, else 1; 2 for wrong use.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm import bench
from tinygrad_lm.backend import BACKENDS, Unavailable, build, cuda, get_backend, launch, philox, use_kernels
from tinygrad_lm.backend.report import report as doctor_report
from tinygrad_lm.bench.devices import device_of, on_device
from tinygrad_lm.core import OPS, flatten
from tinygrad_lm.models import GPT, GPTConfig
from tinygrad_lm.testing.adapters import numpy_dtype
from tinygrad_lm.testing.kernels import is_float, judge
from tinygrad_lm.testing.trials import registered, trials

WORKERS = 14  # processes for what compiles hundreds of small kernels
Stage = Callable[["Session"], dict[str, Any]]


@dataclass
class Session:
    """What a stage is told: how long it may take, and whether this is a rehearsal."""

    seconds: float
    tiny: bool
    started: float
    part: int = 0

    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.started)

    def size(self, usual: int, tiny: int) -> int:
        return tiny if self.tiny else usual

    def again(self, word: str, seconds: float, *more: str) -> list[str]:
        """The command that runs this script's `word` in a process of its own."""
        words = [sys.executable, __file__, "--stage", word, "--seconds", f"{seconds:.0f}", *more]
        return [*words, *["--tiny"] * self.tiny]


def one_line(error: BaseException) -> str:
    said = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {said[0][:200]}"


def tool(words: Sequence[str], seconds: float, alone: bool = False) -> tuple[str, str]:
    """(what a command printed, why it is worth nothing or ""); ends it, and with `alone` all that it has started."""
    if shutil.which(words[0]) is None:
        return "", f"{words[0]} is not on the PATH"
    with tempfile.TemporaryFile() as printed:  # not a pipe: that would wait for processes left behind, too
        process = subprocess.Popen(words, stdout=printed, stderr=subprocess.STDOUT, start_new_session=alone)
        try:
            code = process.wait(seconds)
            refused = "" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            refused = f"took longer than {seconds:.0f} s"
        process.kill()
        process.wait()
        if alone:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        printed.seek(0)
        said = printed.read().decode(errors="replace")
    return said, f"{Path(words[0]).name}: {refused}: {' '.join(said.split())[-300:]}" if refused else ""


# -------------------------------------------------------------------------------------------------------- a: doctor


def doctor(session: Session) -> dict[str, Any]:
    """What is here."""
    versions = {}
    for name in ("numpy", "torch", "triton", "jax", "ml_dtypes", "rich", "safetensors", "matplotlib", "cupy-cuda13x"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    tools = {name: shutil.which(name) for name in ("nvidia-smi", "nvcc", "ncu", "compute-sanitizer")}
    return {"gpu": cuda.describe(), "doctor": doctor_report(), "packages": versions, "tools": tools}


# ------------------------------------------------------------------------------------- b: the softmax kernel is right


def plain_softmax(x: np.ndarray) -> np.ndarray:
    """The textbook formula in the precision of x; 0 where a row is -inf alone."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.where((x == -np.inf).all(axis=-1, keepdims=True), 0, e / e.sum(axis=-1, keepdims=True))


def ulps(y: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(y - exact) / np.spacing(np.abs(exact).astype(y.dtype)), initial=0.0))


def softmax_inputs(session: Session) -> Iterator[tuple[str, np.ndarray, Callable[[Any], Any]]]:
    """(name, a contiguous array, how the kernel's input is made of it on either side)."""
    rng = np.random.default_rng(0)

    def sample(*shape: int) -> np.ndarray:
        x = rng.normal(0, 3, shape)
        x.reshape(-1)[::7] += 40
        x.reshape(-1)[-1:] -= 80
        return x.astype(np.float32)

    ragged = [(1, 1), (3, 1), (5,), (2, 31), (2, 32), (4, 33), (2, 3, 65), (3, 257), (2, 1000), (1, 5000), (0, 4)]
    real = (
        [] if session.tiny else [(4096, 1024), (65536, 128), (100_003, 17), (128, 50257), (7, 1_000_003), (1, 1 << 24)]
    )
    for shape in ragged + real:
        yield str(shape), sample(*shape), lambda x: x
    base = sample(6, 5, 40)
    for name, view in {
        "transposed": lambda x: x.transpose(2, 0, 1),
        "every other column": lambda x: x[..., ::2],
        "every other row": lambda x: x[::2],
        "reversed": lambda x: x[..., ::-1],
        "offset by one element": lambda x: x.reshape(-1)[1:1001].reshape(25, 40),
    }.items():
        yield name, base, view


def softmax_cases(put: Callable, back: Callable, session: Session) -> Iterator[dict[str, Any]]:
    """Every input of softmax, against float64: at most twice the error of the plain version, or 2 ulp."""
    kernel, xp = cuda.load()["softmax"], get_backend("cuda").xp
    for name, array, view in softmax_inputs(session):
        x = view(array)
        exact = plain_softmax(x.astype(np.float64)) if x.size else x
        there = view(put(array))
        kept = back(there).copy()
        y = back(kernel(xp, there))
        found, allowed = ulps(y, exact), max(2 * ulps(plain_softmax(x), exact), 2.0) if x.size else 0.0
        passed = found <= allowed and y.shape == x.shape and y.dtype == x.dtype and np.array_equal(back(there), kept)
        yield {"kernel": "softmax", "input": name, "off": found, "allowed": allowed, "passed": bool(passed)}
    inf, nan = np.inf, np.nan
    rows = [[0, -inf, 1, -inf], [-inf] * 3 + [0], [-inf] * 4, [nan, 1, 2, 3], [1, 2, 3, nan], [inf, 0, 0, 0]]
    rows += [[inf, inf, -inf, nan], [1e30, 1e30, -1e30, 0], [0, -0.0, 0, 0]]
    for repeat in (1, 3, 17, 600):
        x = np.tile(np.array(rows, np.float32), repeat)
        passed = np.allclose(back(kernel(xp, put(x))), plain_softmax(x), rtol=1e-6, atol=0, equal_nan=True)
        yield {"kernel": "softmax", "input": f"nan and inf, {4 * repeat} columns", "passed": bool(passed)}


def matmul_cases(put: Callable, back: Callable, session: Session) -> Iterator[dict[str, Any]]:
    """Every rung of matmul on ragged sizes, batches and layouts; off: in units of what float32 sums may be off by."""
    rng, xp = np.random.default_rng(1), get_backend("cuda").xp
    shapes = [((1, 1), (1, 1)), ((33, 17), (17, 65)), ((127, 129), (129, 131)), ((2, 1, 31, 40), (3, 40, 20))]
    shapes += [((5, 7, 64), (64, 33)), ((3, 0), (0, 4))]
    shapes += (
        [] if session.tiny else [((1000, 1003), (1003, 1001)), ((2048, 2048), (2048, 2048)), ((64, 4096), (4096, 8))]
    )
    layouts: dict[str, Callable[[Any], Any]] = {
        "plain": lambda x: x,
        "transposed": lambda x: x.swapaxes(-1, -2).copy().swapaxes(-1, -2),
        "reversed": lambda x: x[..., ::-1, :].copy()[..., ::-1, :],
    }
    for rung in launch.LADDERS["matmul"]:
        kernel = cuda.load({"matmul": rung})["matmul"]
        for (m, n), (name, view) in itertools.product(shapes, layouts.items()):
            a, b = (rng.normal(size=s).astype(np.float32) for s in (m, n))
            y = back(kernel(xp, view(put(a)), view(put(b))))
            wide = a.astype(np.float64), b.astype(np.float64)
            allowed = 4 * max(m[-1], 1) ** 0.5 * 2.0**-24 * (np.abs(wide[0]) @ np.abs(wide[1]))
            off = np.abs(y - wide[0] @ wide[1]) / np.where(allowed > 0, allowed, 1.0)
            found = float(off.max(initial=0.0))
            passed = found <= 1 and y.dtype == np.float32 and y.shape == allowed.shape
            yield {"kernel": f"matmul {rung}", "input": f"{m} @ {n} {name}", "off": found, "passed": bool(passed)}


def compiled(file: str, suffix: str, architecture: str) -> tuple[float, str]:
    """(seconds, why it failed or "") of one compilation."""
    begin, why = time.monotonic(), ""
    try:
        build.cubin(build.kernels_folder() / file, architecture, suffix)
    except build.BuildFailed as failure:
        why = str(failure)
    return time.monotonic() - begin, why


def compiling(session: Session) -> dict[str, Any]:
    """Every kernel for this GPU, by all cores: the stages that follow find them in the cache."""
    architecture = f"sm_{cuda.cupy_module().cuda.Device().compute_capability}"
    todo = {rung.file for ladder in launch.LADDERS.values() for rung in ladder.values()}
    todo = {"softmax/rows.cu"} if session.tiny else todo
    jobs = [(file, suffix) for file in sorted(todo) for suffix in ("f32", "f16", "bf16", "")]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        made = list(pool.map(compiled, *zip(*jobs, strict=True), [architecture] * len(jobs)))
    failed = [f"{file} {suffix}: {why}" for (file, suffix), (_, why) in zip(jobs, made, strict=True) if why]
    figures = [bench.Figure("kernels that do not compile for this GPU", len(failed), 0)]
    took = {f"{file} {suffix}": seconds for (file, suffix), (seconds, _) in zip(jobs, made, strict=True)}
    return {"figures": figures, "failed": failed, "took": took, "architecture": architecture}


def sample_cases(put: Callable, back: Callable, session: Session) -> Iterator[dict[str, Any]]:
    """Every rung on the samples of its operation, in every dtype, judged as under the emulator."""
    backend = get_backend("cuda")
    for name, rung in [(name, rung) for name, ladder in launch.LADDERS.items() if name in OPS for rung in ladder]:
        if session.tiny and name != "softmax":
            continue
        for dtype in launch.LADDERS[name][rung].dtypes:
            for i, case in enumerate(OPS[name].facts["samples"]()):
                rng = np.random.default_rng(i)
                arrays = [a.draw(rng) if hasattr(a, "draw") else a for a in case.arrays]
                arrays = [a.astype(numpy_dtype(dtype)) if is_float(a) else a for a in arrays]
                found: dict[str, Any] = {"kernel": f"{name} {rung}", "input": f"sample {i}, {dtype}", "passed": True}
                try:
                    served = judge(name, rung, arrays, case.params, run=cuda.run, backend=backend)
                    found["served"] = served is not None
                except AssertionError as wrong:
                    found |= {"passed": False, "said": one_line(wrong)}
                yield found


def correct(session: Session) -> dict[str, Any]:
    """The CUDA kernels, compiled here, against float64; and under the vendor's checkers."""
    backend, cases, errors = get_backend("cuda"), [], []
    for make in (softmax_cases, matmul_cases, sample_cases):
        try:
            for case in make(backend.from_numpy, backend.to_numpy, session):
                cases.append(case)
        except Exception as error:
            errors.append(f"{make.__name__} after {len(cases)}: {one_line(error)}")
    checks = checked(session)
    figures = [
        bench.Figure("kernels on the GPU: wrong cases", sum(not c["passed"] for c in cases), 0),
        bench.Figure("kernels on the GPU: cases that could not be tried", len(errors), 0),
        bench.Figure(
            "checks by compute-sanitizer that failed or did not run", sum(not c["done"] for c in checks.values()), 0
        ),
    ]
    worst: dict[str, float] = {}
    for c in cases:
        worst[c["kernel"]] = max(worst.get(c["kernel"], 0.0), c.get("off", 0.0))
    return {"figures": figures, "cases": cases, "worst": worst, "errors": errors, "tools": checks}


def checked(session: Session) -> dict[str, Any]:
    """The same kernels under the vendor's checkers of memory and of races."""
    found = {}
    for word in ("memcheck", "racecheck"):
        limit = max(5.0, session.left() / 2 if word == "memcheck" else session.left() - 5)
        options = ["--report-api-errors", "no"] if word == "memcheck" else []  # what CuPy asks of the driver is its own
        words = ["compute-sanitizer", "--tool", word, *options, "--error-exitcode", "9"]
        said, refused = tool([*words, *session.again("sanitized", limit)], limit)
        summary = [line.strip("= ") for line in said.splitlines() if "SUMMARY" in line]
        found[word] = {"done": not refused and bool(summary), "said": summary[-1] if summary else refused}
    return found


def sanitized(session: Session) -> dict[str, Any]:
    """What runs under them."""
    backend = get_backend("cuda")
    if hasattr(backend.xp.cuda, "set_allocator"):
        backend.xp.cuda.set_allocator(None)  # of a pool's blocks it would not see the ends
    kernel, rng = cuda.load()["softmax"], np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return backend.from_numpy(rng.normal(size=shape).astype(np.float32))

    for shape in ((1, 1), (3, 31), (2, 32), (4, 33), (3, 257), (2, 1000), (1, 5000), (500, 65)):
        kernel(backend.xp, draw(*shape))
    for rung in launch.LADDERS["matmul"]:
        product = cuda.load({"matmul": rung})["matmul"]
        for m, k, n in ((1, 1, 1), (33, 17, 65), (127, 129, 131), (200, 5, 3)):
            product(backend.xp, draw(m, k), draw(k, n))
            product(backend.xp, draw(k, m).T, draw(n, k).T)
    for name, ladder in launch.LADDERS.items():  # and every kernel once more, on the samples of its operation
        for rung in ladder if name in OPS and not session.tiny else ():
            for i, case in enumerate(OPS[name].facts["samples"]()):
                arrays = [a.draw(np.random.default_rng(i)) if hasattr(a, "draw") else a for a in case.arrays]
                arrays = [a.astype(np.float32) if is_float(a) else a for a in arrays]
                there = [backend.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays]
                ladder[rung](cuda.run, backend.xp, *there, **{**OPS[name].params, **case.params})
    device_of("cuda").timer.finish()
    return {}


# --------------------------------------------------------------------------------------- c: every operation, training


LIMITS = {"float64": 1e-10, "float32": 1e-4}  # of the largest value, between a GPU's result and the CPU's
UP_TO_SIGN = ("eigh", "svd")  # eigenvectors and singular vectors: two libraries need not choose the same one of the two


def difference(there: Sequence[Any], here: Sequence[Any], back: Callable[[Any], np.ndarray]) -> float:
    """The largest difference of two lists of arrays, relative to the largest value of each array."""
    if len(there) != len(here):
        raise ValueError(f"{len(there)} results on the GPU, {len(here)} on the CPU")
    worst = 0.0
    for a, b in zip(there, here, strict=True):
        if a is None or b is None:
            if a is not b:
                raise ValueError("a result is None on one side only")
            continue
        a = back(a) if type(a) is BACKENDS["cuda"].array else a
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ValueError(f"{a.dtype}{list(a.shape)} on the GPU, {b.dtype}{list(b.shape)} on the CPU")
        if a.size and not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
            if a.dtype.kind not in "fc":
                raise ValueError(f"{np.sum(a != b)} of {a.size} entries differ")
            with np.errstate(invalid="ignore"):
                off = np.abs(a.astype(np.complex128) - b.astype(np.complex128))
            off = off[~((a == b) | (np.isnan(a) & np.isnan(b)))]
            size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
            worst = max(worst, float(off.max() / (size or 1.0)) if np.isfinite(off).all() else np.inf)
    return worst


def operations_part(session: Session) -> dict[str, Any]:
    """Every WORKERS-th operation on its own samples: forward, and pullback of random cotangents, beside the CPU."""
    backend = get_backend("cuda")
    put, back = backend.from_numpy, backend.to_numpy
    tried, failures, worst, skipped = 0, [], {}, []
    mine = registered()[session.part :: WORKERS]
    for op in mine[: 3 if session.tiny else None]:
        for trial in trials(op):
            if session.left() < 5:
                skipped.append(trial.id)
                continue
            for dtype, limit in LIMITS.items():
                step = "forward"
                tried += 1
                try:
                    arrays = trial.draw(np.dtype(dtype))
                    there = [put(a) if isinstance(a, np.ndarray) else a for a in arrays]
                    results = flatten(trial(*there))[0], flatten(trial(*arrays))[0]
                    if op.name in UP_TO_SIGN:
                        results = [abs(y) for y in results[0]], [abs(y) for y in results[1]]
                    off = difference(*results, back)
                    if off <= limit and trial.differentiable and op.name not in UP_TO_SIGN:
                        step = "gradient"
                        cotangents = trial.cotangents(arrays)
                        got = trial.gradients(there, [put(u) for u in cotangents])
                        off = max(off, difference(got, trial.gradients(arrays, cotangents), back))
                    worst[f"{op.name} {dtype}"] = max(off, worst.get(f"{op.name} {dtype}", 0.0))
                    error = "" if off <= limit else f"differs from the CPU by {off:.2g} of the largest value"
                except Exception as e:
                    frames = [f for f in traceback.extract_tb(e.__traceback__) if "tinygrad_lm" in f.filename]
                    where = f" [{Path(frames[-1].filename).name}:{frames[-1].lineno}]" if frames else ""
                    error = one_line(e) + where
                if error:
                    failures.append({"op": op.name, "sample": str(trial.case)[:120], "i": trial.i, "dtype": dtype,
                                     "step": step, "error": error})  # fmt: skip
                    if "cudaErrorIllegalAddress" in error or "cudaErrorLaunchFailure" in error:
                        return {
                            "tried": tried,
                            "failures": failures,
                            "worst": worst,
                            "skipped": [f"the rest of part {session.part}"],
                        }
    return {"tried": tried, "failures": failures, "worst": worst, "skipped": skipped}


def operations(session: Session) -> dict[str, Any]:
    """Every operation on arrays of the GPU: which of them fail, and how."""

    workers = session.size(WORKERS, 2)

    def part(k: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            file, limit = Path(folder) / "part.json", session.left() - 10
            said, refused = tool(
                session.again("operations_part", limit, "--part", str(k), "--file", str(file)), limit + 8
            )
            return bench.load(file) if file.exists() else {"error": refused or said[-300:]}

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(part, range(workers)))
    done = [p for p in parts if not p.get("error")]
    failures = [f for p in done for f in p["failures"]]
    by_op: dict[str, Counter[str]] = {}
    for f in failures:
        by_op.setdefault(f["op"], Counter())[f"{f['step']}: {f['error']}"] += 1
    figures = [
        bench.Figure("operations that fail on the GPU", len(by_op), 0),
        bench.Figure("parts of the operations that did not end", len(parts) - len(done), 0),
    ]
    return {
        "figures": figures,
        "operations": len(registered()),
        "tried": sum(p["tried"] for p in done),
        "skipped": [s for p in done for s in p["skipped"]],
        "failing": {name: dict(counts.most_common(4)) for name, counts in sorted(by_op.items())},
        "failures": failures,
        "largest_difference": {k: v for p in done for k, v in p["worst"].items()},
        "errors": [p["error"] for p in parts if p.get("error")],
    }


def training(session: Session) -> dict[str, Any]:
    """Random bits, masks and weights equal to the CPU's; a small GPT's gradients and its losses over 100 steps."""
    backend = get_backend("cuda")
    draws = {
        "32 bits": lambda xp: philox.random_bits(xp, (1001, 3), (7, 1 << 40)),
        "64 bits": lambda xp: philox.random_bits(xp, (1001,), (1 << 50, 3), width=64),
        "dropout mask": lambda xp: philox.dropout_mask(xp, (123, 45), 0.1, (3, 4)),
        **{f"uniform {d}": functools.partial(lambda d, xp: philox.uniform(xp, (9999,), (1, 2), d), d)
           for d in ("float64", "float32", "float16")},
        **{f"normal {d}": functools.partial(lambda d, xp: philox.normal(xp, (9999,), (1, 2), d), d)
           for d in ("float64", "float32", "float16")},
    }  # fmt: skip
    random = {}
    for name, draw in draws.items():
        try:
            random[name] = "equal" if np.array_equal(backend.to_numpy(draw(backend.xp)), draw(np)) else "DIFFERENT"
        except Exception as error:
            random[name] = one_line(error)
    context, batch = session.size(32, 7), session.size(8, 2)
    config = GPTConfig(vocab_size=65, context=context, layers=2, heads=4, width=session.size(64, 16), dropout=0.1)
    ids = np.random.default_rng(0).integers(0, 65, (session.size(100, 2), batch, context + 1))

    def trained(device: str) -> tuple[list[np.ndarray], list[float], list[float]]:
        model = GPT(config, tg.Generator(0)).to(device)
        parameters = list(model.parameters())
        optimizer = tg.optim.AdamW(parameters, lr=1e-3)
        gradients, losses, norms = [], [], []
        for batch in ids:
            x, y = (tg.Tensor(np.ascontiguousarray(a)).to(device).data for a in (batch[:, :-1], batch[:, 1:]))
            loss = model.loss(x, y)
            optimizer.zero_grad()
            loss.backward()
            gradients = gradients or [BACKENDS[device].to_numpy(p.grad.data).copy() for p in parameters]
            norms.append(float(tg.optim.clip_grad_norm_(parameters, 1.0)))
            optimizer.step()
            losses.append(float(loss.item()))
        return gradients, losses, norms

    wrong = sum(said != "equal" for said in random.values())
    figures = [bench.Figure("kinds of random numbers that differ from the CPU's", wrong, 0)]
    found: dict[str, Any] = {"random": random, "training": {}}
    here, losses, _ = trained("cpu")
    for table in ("reference", "cuda"):
        off = apart = last = np.nan
        try:
            with use_kernels(table, "cuda"):
                there, found["training"][table], _ = trained("cuda")
            off = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(there, here, strict=True))
            each = [abs(a - b) / abs(b) for a, b in zip(found["training"][table], losses, strict=True)]
            apart, last = max(each[:20]), each[-1]
        except Exception as error:
            found["training"][table] = [one_line(error), *traceback.format_exc().splitlines()[-12:]]
        figures += [
            bench.Figure(f"gradients of a GPT, kernels {table}, largest relative difference", float(off), 1e-5),
            bench.Figure(f"first 20 losses, kernels {table}, largest relative difference", float(apart), 1e-4),
            bench.Figure(f"loss at step {len(ids)}, kernels {table}, relative difference", float(last), 1e-2),
        ]
    return {"figures": figures, "losses_cpu": losses, **found}


# ------------------------------------------------------------------- d: event times against the vendor's own profiler


def timed_kernels(session: Session) -> dict[str, Callable[[], Any]]:
    """Functions of one kernel each, from a few microseconds to milliseconds, of several makers."""
    gpu, backend = device_of("cuda"), get_backend("cuda")
    xp, put, rng = backend.xp, backend.from_numpy, np.random.default_rng(0)
    table = cuda.load()
    found: dict[str, Callable[[], Any]] = {"nothing": lambda: gpu.timer.wait(0)}
    for rows, columns in [
        (session.size(r, 8), session.size(c, 16)) for r, c in ((1024, 256), (8192, 1024), (65536, 1024))
    ]:
        x = put(rng.normal(size=(rows, columns)).astype(np.float32))
        found[f"softmax {rows}x{columns}"] = functools.partial(table["softmax"], xp, x)
    for n in [session.size(n, 64) for n in (1 << 20, 1 << 24, 1 << 28)]:
        a, out = xp.ones(n, np.float32), xp.ones(n, np.float32)
        found[f"add {n}"] = functools.partial(xp.add, a, a, out=out)
    for n in [session.size(n, 16) for n in (512, 1024, 4096)]:
        a = put(rng.normal(size=(n, n)).astype(np.float32))
        found[f"matmul {n}"] = functools.partial(xp.matmul, a, a, out=xp.zeros_like(a))
        for rung in launch.LADDERS["matmul"] if n == session.size(1024, 16) else ():
            found[f"matmul {n} {rung}"] = functools.partial(cuda.load({"matmul": rung})["matmul"], xp, a, a)
    for steps in (512, 8192):
        found[f"multiply-adds {steps}"] = gpu.timer.fma(steps)[1]
    try:
        import torch

        if torch.cuda.is_available():
            x = torch.randn(8192, 1024, device="cuda")
            found["torch softmax"] = lambda: torch.softmax(x, -1)
            half = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
            found["torch matmul bfloat16"] = lambda: torch.matmul(half, half)
            found["triton add"] = triton_add(torch)
    except Exception as error:
        print("torch, triton:", one_line(error), file=sys.stderr)
    return found


def triton_add(torch: Any) -> Callable[[], Any]:
    global tl  # where Triton looks for it
    import triton
    import triton.language as tl

    @triton.jit
    def add(x, y, n, block: tl.constexpr):
        at = tl.program_id(0) * block + tl.arange(0, block)
        tl.store(y + at, tl.load(x + at, mask=at < n) + 1.0, mask=at < n)

    x = torch.ones(1 << 24, device="cuda")
    y = torch.empty_like(x)
    return lambda: add[(triton.cdiv(1 << 24, 1024),)](x, y, 1 << 24, 1024)


def odd_ones(session: Session) -> dict[str, Callable[[], Any]]:
    """Functions whose times events do not tell."""
    backend = get_backend("cuda")
    x = backend.xp.ones((session.size(4096, 8), 1024), np.float32)
    found: dict[str, Callable[[], Any]] = {"waits for the GPU": lambda: float(backend.to_numpy(x.sum()))}
    with suppress(Exception):
        import torch

        stream = torch.cuda.Stream() if torch.cuda.is_available() else None
        for rows in (1024, 65536) if stream else ():
            y = torch.randn(rows, 1024, device="cuda")

            def elsewhere(y: Any = y) -> None:
                with torch.cuda.stream(stream):
                    torch.softmax(y, -1)

            found[f"another stream, {rows} rows"] = elsewhere
    return found


def profiled(function: Callable[[], Any], calls: int) -> dict[str, float]:
    """What CUPTI, through torch's profiler, says: seconds per call in kernels, and from the first to the last."""
    import torch

    if not torch.cuda.is_available():
        raise Unavailable("torch finds no GPU")
    gpu = device_of("cuda")
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "trace.json")
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            gpu.hold(2e-2)
            for _ in range(calls):
                function()
            gpu.timer.finish()
        profile.export_chrome_trace(file)
        events = json.loads(Path(file).read_text())["traceEvents"]
    seen = [e for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    seen = sorted(seen, key=lambda e: e["ts"])[1:]  # without what held the GPU up
    return {
        "kernels_s": sum(e["dur"] for e in seen) * 1e-6 / calls,
        "span_s": (max(e["ts"] + e["dur"] for e in seen) - seen[0]["ts"]) * 1e-6 / calls,
        "launches": len(seen) / calls,
    }


def ncu_run(session: Session) -> dict[str, Any]:
    """What runs under ncu: each function three times, behind a marker."""
    gpu, runtime, functions = device_of("cuda"), get_backend("cuda").xp.cuda.runtime, timed_kernels(session)
    del functions["nothing"]  # it is the marker
    for function in functions.values():
        function()
    gpu.timer.finish()
    runtime.profilerStart()
    for function in functions.values():
        gpu.timer.wait(1)
        for _ in range(3):
            function()
    gpu.timer.finish()
    runtime.profilerStop()
    return {"order": list(functions)}


def by_ncu(session: Session) -> dict[str, Any]:
    """Seconds per call by Nsight Compute, which runs each kernel by itself; and whether it ran."""
    limit = max(10.0, min(session.left() - 5, 80))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "order.json"
        options = "--clock-control none --cache-control none --profile-from-start off --csv --print-units base"
        words = ["ncu", *options.split(), "--metrics", "gpu__time_duration.sum"]
        said, refused = tool([*words, *session.again("ncu_run", limit, "--file", str(file))], limit)
        if refused or not file.exists():
            return {"done": False, "said": refused or said[-300:]}
        return {"done": True, "said": "", "kernels_s": of_ncu(said, bench.load(file)["order"])}


def of_ncu(said: str, order: Sequence[str]) -> dict[str, float]:
    """Seconds per call, of three, of each function, from what ncu printed: a table of kernels, with markers between."""
    lines = said.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('"ID"'))
    groups: list[float] = []
    for row in csv.DictReader(lines[start:]):
        if (row.get("Kernel Name") or "").startswith("wait_cycles"):
            groups.append(0.0)
        elif row.get("Metric Value"):
            unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "nsecond": 1e-9, "usecond": 1e-6}[row["Metric Unit"]]
            groups[-1] += float(row["Metric Value"].replace(",", "")) * unit / 3
    return dict(zip(order, groups, strict=True))


def honesty(session: Session) -> dict[str, Any]:
    """Event times beside the profiler's, what a pair of events and a launch cost, and how large a flush has to be.

    Between two kernels of a queue about a microsecond passes.  Events see it, as does the profiler from the first
    kernel to the last; the sum of its kernels does not.
    """
    gpu, functions, odd, table, refused = device_of("cuda"), timed_kernels(session), odd_ones(session), [], Counter()
    for name, function in {**functions, **odd}.items():
        timing = bench.do_bench(function, device="cuda", max_time=0.4)
        row: dict[str, Any] = {"function": name, "notes": list(timing.notes), "calls": timing.calls}
        row |= {f"{kind}_s": timing.quartiles(kind)[1] for kind in ("hot", "cold", "overhead")}
        table.append(row)
    for row in table[: len(functions)]:  # afterwards: a profiler that has run may leave something behind
        try:
            row |= profiled(functions[row["function"]], min(500, max(20, int(0.05 / row["hot_s"]))))
        except Exception as error:
            refused[one_line(error)] += 1
    try:
        ncu = by_ncu(session)
    except Exception as error:
        ncu = {"done": False, "said": one_line(error)}
    for row in table:
        row["ncu_s"] = ncu.get("kernels_s", {}).get(row["function"])

    def off(key: str, least: float) -> float:
        rows = [r for r in table if key in r and r["kernels_s"] >= least]
        return max([abs(r["hot_s"] / r[key] - 1) for r in rows], default=np.nan)

    unnoticed = [r["function"] for r in table if r["function"] in odd and not r["notes"]]
    figures = [
        bench.Figure("events against the profiler's kernels, of 50 us and more", off("kernels_s", 50e-6), 0.03),
        # Tracing widens the gaps between kernels, and so what lies between the first and the last.
        bench.Figure("events against the profiler, first kernel to last, of 20 us and more", off("span_s", 20e-6)),
        bench.Figure("events against the profiler's kernels, of 20 us and more", off("kernels_s", 20e-6)),
        bench.Figure("functions of other streams, or that wait, not noticed", len(unnoticed), 0),
    ]
    pairs = []
    for _ in range(20):
        gpu.hold(1e-4)
        start = gpu.timer.mark()
        pairs.append(gpu.timer.between(start, gpu.timer.mark()))
    tools = {"torch.profiler": refused or "done", "ncu": ncu["said"] or "done"}
    more = {"pair_of_events_s": sorted(pairs), "hertz": gpu.hertz, "flush": flushes(session), "gpu": cuda.describe()}
    return {"figures": figures, "table": table, "tools": tools, **more}


def flushes(session: Session) -> dict[str, float]:
    """Cold time of a function whose data fit the second-level cache, after flushes of several sizes."""
    gpu, xp = device_of("cuda"), get_backend("cuda").xp
    n = session.size(gpu.timer.cache_bytes // 16, 64)  # two arrays of float32: half of the cache
    a, out, found = xp.ones(n, np.float32), xp.ones(n, np.float32), {}
    for factor in (0, 1, 2, 4):
        times = []
        for _ in range(session.size(30, 3)):
            xp.add(a, a, out=out)
            gpu.hold(3e-4)
            if factor:
                gpu.timer.flush(factor)
            start = gpu.timer.mark()
            xp.add(a, a, out=out)
            times.append(gpu.timer.between(start, gpu.timer.mark()))
        found[f"{factor} times the cache"] = float(np.median(times))
    return found


# ------------------------------------------------------------------------------------ e, f, g: roofline, verdicts, rows


def roofline(session: Session) -> dict[str, Any]:
    """The peaks of this GPU."""
    if session.tiny:
        gpu = device_of("cuda")
        gpu.heaviest = functools.partial(gpu.heaviest, side=16)
    found, refused, ways = bench.Roofline("cuda"), {}, {}
    for dtype in ("float32", "float64", "float16", "tf32", "bfloat16"):
        try:
            ways[dtype] = {way: flops / found.best(f) for way, (flops, f) in found.device.heaviest(dtype).items()}
            found.peaks[dtype] = max(ways[dtype].values())
            found.ways[dtype] = max(ways[dtype], key=ways[dtype].__getitem__)
        except Exception as error:
            refused[dtype] = one_line(error)
    for bits in range(12, session.size(33, 16)):
        found.bandwidth(1 << bits)
    return {"roofline": found.record(), "ways": ways, "refused": refused, "gpu": cuda.describe()}


def verdicts(session: Session) -> dict[str, Any]:
    """A against A, and against a copy of it that is 5 % slower, ten times each, with times by events."""
    gpu, backend = device_of("cuda"), get_backend("cuda")
    xp, kernel = backend.xp, cuda.load()["softmax"]

    def waits(cycles: int) -> Callable[[], Any]:
        return lambda: gpu.timer.wait(cycles)

    def rows(n: int) -> Callable[[], Any]:
        x = backend.from_numpy(np.random.default_rng(0).normal(size=(n, session.size(1024, 16))).astype(np.float32))
        return lambda: kernel(xp, x)

    size = session.size(20_000, 20)
    pairs = {
        "wait 50 us": (waits(100_000), waits(100_000), waits(105_000)),
        "wait 1 ms": (waits(2_000_000), waits(2_000_000), waits(2_100_000)),
        "softmax": (rows(size), rows(size), rows(size * 105 // 100)),
    }
    comparisons, counts = [], {}
    for turn in range(session.size(10, 1)):
        for name, (a, same, slower) in pairs.items():
            for true, b in (("SAME", same), ("SLOWER", slower)):
                if session.left() < 8:
                    continue
                found = bench.compare(
                    on_device(b), on_device(a), rounds=session.size(25, 4), names=(true, name), seed=turn
                )
                comparisons.append(found.record() | {"case": name, "axes": {}, "dtype": "float32", "device": "cuda"})
                counts.setdefault(f"{name}: {true}", Counter())[str(found.verdict)] += 1
    total = {t: [sum(c.values()) for k, c in counts.items() if k.endswith(t)] for t in ("SAME", "SLOWER")}
    right = {t: sum(c[t] for k, c in counts.items() if k.endswith(t)) for t in total}
    figures = [
        bench.Figure("A against A not called SAME", sum(total["SAME"]) - right["SAME"], 0.05 * sum(total["SAME"])),
        bench.Figure(
            "5 % slower not called SLOWER", sum(total["SLOWER"]) - right["SLOWER"], 0.1 * sum(total["SLOWER"])
        ),
    ]
    return {"figures": figures, "comparisons": comparisons, "counts": counts}


def rows(session: Session) -> dict[str, Any]:
    """Operations of this project on the GPU, by its reference and its kernels, beside torch eager."""
    tiny = session.tiny
    big = {"rows": session.size(2048, 8), "columns": session.size(1024, 8)}  # the gate's float64 is what takes time
    long = {"rows": session.size(40, 2), "columns": session.size(50257, 8)}
    flat = {"n": session.size(1 << 21, 64)}
    cases = [
        ("softmax", big), ("softmax", long), ("add", flat), ("exp", flat), ("gelu", flat), ("sum", big), ("max", big),
        ("layer_norm", big), ("log_softmax", big), ("matmul", dict.fromkeys("MKN", 16 if tiny else 1024)),
        ("add", {"n": 1000}), ("cross_entropy", {"rows": big["rows"], "classes": big["columns"]}),
        ("attention", {"batch": session.size(4, 1), "heads": 4, "length": session.size(512, 8), "head_size": 32}),
        ("logsumexp", big), ("cumsum", big), ("sigmoid", flat), ("multiply", flat), ("embedding", {}),
        ("rms_norm", big), ("batch_norm", {}), ("conv", {}), ("max_pool", {}), ("dropout", flat), ("silu", flat),
    ]  # fmt: skip
    roof, found, refused = bench.Roofline("cuda"), [], []
    if tiny:
        roof.device.heaviest = functools.partial(roof.device.heaviest, side=16)
        cases = cases[:3]
    peers: dict[str, Callable] = {}
    try:
        import torch
        from torch.nn import functional as F

        if not torch.cuda.is_available():
            raise Unavailable("this torch finds no GPU")
        peers = {
            "softmax": lambda x: torch.softmax(x, -1), "add": torch.add, "exp": torch.exp, "gelu": F.gelu,
            "sum": lambda x: x.sum(-1), "max": lambda x: x.amax(-1), "matmul": torch.matmul, "multiply": torch.multiply,
            "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b), "cumsum": lambda x: torch.cumsum(x, -1),
            "attention": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            "cross_entropy": F.cross_entropy, "logsumexp": lambda x: torch.logsumexp(x, -1), "sigmoid": torch.sigmoid,
            "log_softmax": lambda x: torch.log_softmax(x, -1), "embedding": lambda ids, w: F.embedding(ids, w),
        }  # fmt: skip
    except Exception as error:
        refused.append(f"torch: {one_line(error)}")
    for name, axes in cases:
        try:
            case, ours = bench.workload(name, "float32", **axes), bench.function_of(name, **axes)
        except Exception as error:
            refused.append(f"{name}: {one_line(error)}")
            continue
        variants: dict[str, tuple[Callable, Any, Any]] = {"reference": (ours, None, "reference")}
        for rung in launch.LADDERS.get(name, ()):
            variants[rung] = (ours, None, cuda.load({name: rung}))
        if name in peers:
            variants["torch"] = (peers[name], lambda a: torch.from_numpy(a).cuda(), "reference")
        for variant, (function, put, table) in variants.items():
            if session.left() < 8:
                refused.append(f"{name} {variant}: no time left")
                continue
            with use_kernels(table, "cuda"):
                row = bench.measure(case, function, variant, device="cuda", put=put, roofline=roof, max_time=0.3)
            found.append(row.record())
    return {"rows": found, "roofline": roof.record(), "refused": refused, "gpu": cuda.describe()}


def products(session: Session) -> dict[str, Any]:
    """The best matrix product of this project beside cuBLAS (float32, TF32 off on both sides), in every layout."""
    backend, found, wrong = get_backend("cuda"), [], 0
    xp, kernel = backend.xp, launch.table(cuda.run)["matmul"]
    sides = [16] if session.tiny else [1024, 2048, 4096, 8192]
    for n in sides:
        rng = np.random.default_rng(n)
        a, b = (backend.from_numpy(rng.standard_normal((n, n), dtype=np.float32)) for _ in "ab")
        for layout in ("nn",) if session.tiny else ("nn", "nt", "tn", "tt"):
            if session.left() < 10:
                break
            left, right = (x.T if how == "t" else x for x, how in zip((a, b), layout, strict=True))
            expected = xp.matmul(left, right)
            off = float(xp.abs(kernel(xp, left, right) - expected).max() / xp.abs(expected).max())
            wrong += not off < 1e-4
            sides_ = [
                bench.on_device(functools.partial(xp.matmul, left, right), "cuda"),
                bench.on_device(functools.partial(kernel, xp, left, right), "cuda"),
            ]
            compared = bench.compare(*sides_, names=("cuBLAS", "register_tiled"), max_time=0.5)
            found.append({"n": n, "layout": layout, "off": off, "ratio": compared.ratio, "said": str(compared)})
    large = [row["ratio"] for row in found if row["n"] >= 4096 or session.tiny]
    figures = [
        bench.Figure("products that differ from cuBLAS by 1e-4 of the largest", wrong, 0),
        bench.Figure("cuBLAS / register_tiled, least from 4096 on (0.8 wanted)", min(large, default=0.0), None),
    ]
    return {"figures": figures, "products": found, "gpu": cuda.describe()}


def steps(session: Session) -> dict[str, Any]:
    """A training step of GPTs on the kernels, beside torch eager (SDPA as torch chooses, TF32 off), float32."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from steps.gpt import GPT

    sizes = {"gpt 4 x 128": {}, "gpt 124M": {"layers": 12, "width": 768, "heads": 12, "context": 1024, "vocab": 50257}}
    found = []
    for name, size in sizes.items():
        if session.left() < 20 or session.tiny and size:
            found.append({"model": name, "refused": "no time left"})
            continue
        work = GPT(**size, **({"batch": 4} if size else {}))
        try:
            found.append({"model": name, **beside_torch(work, torch, session)})
        except Exception as error:
            found.append({"model": name, "refused": one_line(error)})
    whole = [row["ratio"] for row in found if row["model"] == "gpt 124M" and "ratio" in row]
    figures = [bench.Figure("torch eager / ours, a step of GPT 124M (0.5 wanted)", min(whole, default=0.0), None)]
    return {"figures": figures, "steps": found, "gpu": cuda.describe()}


def beside_torch(work: Any, torch: Any, session: Session) -> dict[str, Any]:
    """Times of a step of both, in turn, and their first losses."""
    from steps import sides

    backend, batch, settings = get_backend("cuda"), work.batches()[0], work.optimizer[1]
    ours, loss_of = sides.our_model(work)
    ours.to("cuda")
    there, step = [backend.from_numpy(x) for x in batch], tg.optim.AdamW(ours.parameters(), **settings)

    def our_step() -> Any:
        loss = loss_of(*there)
        loss.backward()
        tg.optim.clip_grad_norm_(ours.parameters(), work.clip)
        step.step()
        step.zero_grad()
        return loss

    theirs, their_loss = sides.torch_model(work)
    theirs.cuda()
    given = [torch.from_numpy(x).cuda() for x in batch]
    other = torch.optim.AdamW(theirs.parameters(), **settings, fused=True)

    def their_step() -> Any:
        loss = their_loss(*given)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), work.clip)
        other.step()
        other.zero_grad()
        return loss

    first = float(our_step().item()), float(their_step().item())
    pair = [bench.on_device(step, "cuda") for step in (their_step, our_step)]
    compared = bench.compare(*pair, names=("torch", "ours"), max_time=min(30.0, session.left() / 3))
    return {"losses": first, "ratio": compared.ratio, "said": str(compared)}


# ----------------------------------------------------------------------------------------------------------- all of it


# name -> (what it does, the seconds it may take).  The first ones take no times, and so may run at the same time.
FIRST: dict[str, tuple[Stage, int]] = {"compiling": (compiling, 120)}
CHECKS: dict[str, tuple[Stage, int]] = {
    "doctor": (doctor, 60),
    "correct": (correct, 150),
    "operations": (operations, 170),
    "training": (training, 120),
}
TIMES: dict[str, tuple[Stage, int]] = {
    "honesty": (honesty, 130),
    "roofline": (roofline, 50),
    "verdicts": (verdicts, 60),
    "products": (products, 60),
    "steps": (steps, 90),
    "rows": (rows, 200),
}
STAGES = {**FIRST, **CHECKS, **TIMES}
PARTS: dict[str, Stage] = {"operations_part": operations_part, "sanitized": sanitized, "ncu_run": ncu_run}


def without_folders(value: Any) -> Any:
    """The same without the names of folders of this machine: results are committed."""
    if isinstance(value, dict):
        return {key: without_folders(v) for key, v in value.items()}
    if isinstance(value, list):
        return [without_folders(v) for v in value]
    here = f"{Path(__file__).resolve().parent.parent}/"
    return value.replace(here, "").replace(str(Path.home()), "~") if isinstance(value, str) else value


def child(arguments: argparse.Namespace) -> int:
    """One stage, in this process."""
    session = Session(arguments.seconds, arguments.tiny, time.monotonic(), arguments.part)
    stage = PARTS.get(arguments.stage) or STAGES[arguments.stage][0]
    found = stage(session)
    if arguments.file:
        found["figures"] = [asdict(f) | {"passed": f.passed} for f in found.get("figures", ())]
        found = bench.document(**found, seconds=time.monotonic() - session.started)
        bench.save(arguments.file, without_folders(found))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the folder to write to")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS", help="for all stages together (480)")
    parser.add_argument("--only", nargs="+", metavar="STAGE", choices=STAGES, help="these stages only")
    parser.add_argument("--tiny", action="store_true", help="sizes for a rehearsal")
    parser.add_argument("--stage", choices=[*STAGES, *PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60, help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        return child(arguments)
    if arguments.out is None:
        parser.error("--out FOLDER is needed")
    end = time.monotonic() + arguments.budget
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted, failed = arguments.only or list(STAGES), 0
    groups = [list(FIRST), list(CHECKS), *[[name] for name in TIMES]]
    for together in [chosen for group in groups if (chosen := [name for name in group if name in wanted])]:
        with ThreadPoolExecutor(len(CHECKS)) as pool:
            for name, found in zip(together, pool.map(lambda n: ran(n, arguments, end), together), strict=True):
                failed += bool(found.get("error")) + sum(not f["passed"] for f in found["figures"])
                print("\n".join(summary(name, found)), flush=True)
    return 1 if failed else 0


def ran(name: str, arguments: argparse.Namespace, end: float) -> dict[str, Any]:
    """One stage in a process of its own; what it wrote, or a document with an "error"."""
    file, limit = arguments.out / f"{name}.json", min(STAGES[name][1], end - time.monotonic())
    file.unlink(missing_ok=True)
    refused = "no time left"
    if limit > 5:
        session = Session(limit, arguments.tiny, time.monotonic())
        _, refused = tool(session.again(name, limit - 3, "--file", str(file)), limit, alone=True)
    if not file.exists():
        bench.save(file, bench.document(error=refused or "it wrote nothing"))
    return bench.load(file)


def summary(name: str, found: Mapping[str, Any]) -> list[str]:
    """A stage in a few lines."""
    lines = [f"== {name}: {found.get('error') or format(found['seconds'], '.0f') + ' s'}"]
    for f in found["figures"]:
        limit = "" if f["limit"] is None else f" (<= {f['limit']:g}: {'PASS' if f['passed'] else 'MISS'})"
        lines.append(
            f"{f['name']}: {f['value'] if f['value'] is None else format(f['value'], '.4g')} {f['unit']}{limit}"
        )
    us = lambda v: "-" if v is None else f"{v * 1e6:.4g}"  # noqa: E731
    if name == "doctor" and "gpu" in found:
        lines += [json.dumps(found[key]) for key in ("gpu", "packages", "tools")]
    if name == "correct":
        wrong = [
            f"  {c['kernel']} {c['input']}: {c.get('off', c.get('said'))}"
            for c in found.get("cases", ())
            if not c["passed"]
        ]
        lines += [*wrong[:12], *found.get("errors", ()), json.dumps(found.get("worst"))]
        lines.append(json.dumps(found.get("tools", {})))
    if name == "operations" and "failing" in found:
        lines.append(f"{found['tried']} calls of {found['operations']} operations, {len(found['skipped'])} skipped")
        said = [f"  {op}: {next(iter(how))[:95]} x{sum(how.values())}" for op, how in found["failing"].items()]
        lines += [*said[:24], *[f"  and {len(said) - 24} more"] * (len(said) > 24), *map(str, found["errors"][:2])]
    if name == "training":
        lines += [f"  {k}: {v}" for k, v in found.get("random", {}).items() if v != "equal"]
        lines += [f"  {k}: {v[0]}" for k, v in found.get("training", {}).items() if isinstance(v[0], str)]
    if name == "honesty" and "table" in found:
        lines.append("  us: events hot, cold, host; profiler kernels, span; ncu")
        for r in found["table"]:
            times = ", ".join(us(r.get(f"{key}_s")) for key in ("hot", "cold", "overhead", "kernels", "span", "ncu"))
            lines.append(f"  {r['function']}: {times} {'; '.join(r['notes'])[:50]}")
        lines.append(f"  cold after {json.dumps(found['flush'])}; {json.dumps(found['tools'])}")
        lines.append(f"  pair of events {us(found['pair_of_events_s'][0])} to {us(found['pair_of_events_s'][-1])} us")
    if name == "roofline" and found["roofline"]:
        lines += [json.dumps({w: {k: f"{v:.3g}" for k, v in r.items()} for w, r in found["ways"].items()})]
        lines += [
            " ".join(
                f"{int(k).bit_length() - 1}:{v:.2g}" for k, v in found["roofline"]["bandwidth_bytes_per_s"].items()
            )
        ]
        lines += [json.dumps(found["refused"])] if found["refused"] else []
    if name == "verdicts":
        lines += [json.dumps(found.get("counts", {}))]
    if name == "rows":
        lines.append("  us: hot, cold, host; share of the roofline")
        for r in found["rows"]:
            what = f"  {r['case']} {'x'.join(map(str, r['axes'].values()))} {r['variant']}"
            t = {k: us(np.median(v)) if v else "-" for k, v in (r["timing"] or {}).items() if k.endswith("_s")}
            said = r["refused"][:120] or f"{t['hot_s']}, {t['cold_s']}, {t['overhead_s']}"
            lines.append(f"{what}: {said}" + (f" {r['share_of_roofline']:.0%} {r['bound']}" if r["bound"] else ""))
        lines += found.get("refused", [])
    return [line[:400] for line in lines]


if __name__ == "__main__":
    raise SystemExit(main())
