"""Training steps on the CPU against peers: from the same weights, on the same batches, alternating in one run.

    python benchmarks/train_step.py [WORKLOAD ...] [--peers torch,torch-compile,jax] [--kernels reference]
                                    [--steps N] [--rounds N] [--threads 2] [--json FILE]
    python benchmarks/train_step.py --list
    python benchmarks/train_step.py gpt-4x128 --profile

A step is forward, backward, the norm of all gradients (to which language models are clipped) and the optimizer.  The
losses and norms of the first 20 steps are printed side by side, and must agree to 1e-4 before a time is believed.  The
peers are at their best: torch with fused optimizers and, for images, in the better of two layouts, both of which are
timed; JAX with the whole step under one ``jit``.  ``benchmarks/steps`` has the workloads, one file each.  ``--profile``
says where our time goes instead, and needs no peer.

A peer that disagrees or cannot run gets a line and no ratio; the others go on.  Exit code 1: sides disagree or a
limit is missed; 2: a peer is missing.

Each side runs in a process of its own.  In one process OpenBLAS's threads and torch's OpenMP threads would both wait
for work by spinning, each on the cores that the other is computing on, and the step of either would be several times
slower than for any user of one of the two.  Here the idle sides sleep in a read, and every timed step comes after
untimed ones during which the other side's threads fall asleep and the caches fill: what is timed is a step in the midst
of training.  Within a step both libraries' threads wait as they do by default; passive waiting would only slow them.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

try:
    from steps import WORKLOADS, sides
    from steps.sides import Step
    from steps.workload import Workload

    import tinygrad_lm as tg
    from tinygrad_lm import bench
    from tinygrad_lm.backend import Unavailable, kernels_in_use, load_table
    from tinygrad_lm.bench.figures import ADVICE
    from tinygrad_lm.core import OPS
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

AGREE = 1e-4  # the most that losses and norms may differ, relative to the larger of 1 and their size
LIMITS = {("gpt-4x128", "reference", "torch eager"): 2.5}  # of the ratio of times
MIN_TIME = 0.02  # seconds of a sample: more than one step where a step is shorter


@dataclass(frozen=True)
class Peer:
    """Somebody to compare with: ``make(workload, threads, *more)`` makes a step, for each ``more`` of its variants."""

    name: str
    module: str
    make: Callable[..., Step]

    def variants(self, workload: Workload) -> dict[str, tuple]:
        """What there is to time, by name: one, or both layouts of images."""
        layouts = workload.images and self.make is sides.torch_eager
        return {self.name: (False,), f"{self.name}, channels_last": (True,)} if layouts else {self.name: ()}


PEERS = {
    "torch": Peer("torch eager", "torch", sides.torch_eager),
    "torch-compile": Peer("torch compile", "torch", sides.torch_compile),
    "jax": Peer("jax jit", "jax", sides.jax_jit),
}


# ------------------------------------------------------------------------------------------------------------ comparing


@dataclass
class Found:
    """What was found out about one workload or, added up, about several."""

    figures: list[bench.Figure] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    sides: dict[str, dict[str, Any]] = field(default_factory=dict)  # workload -> side -> its losses and norms
    failed: bool = False  # we ourselves, somewhere
    missing: bool = False  # a peer that was asked for

    def add(self, other: Found) -> None:
        self.figures += other.figures
        self.comparisons += other.comparisons
        self.sides |= other.sides
        self.missing |= other.missing

    def details(self) -> dict[str, Any]:
        return {"comparisons": self.comparisons, "sides": self.sides}


def judge(
    name: str,
    workload: Workload,
    makers: Mapping[str, Callable[[], Step]],
    steps: int,
    rounds: int,
    max_time: float | None = None,
) -> Found:
    """Let all sides train, and time the first, which is ours, against each of those that agree with it.

    A name such as "torch eager, channels_last" is a variant of what stands before the comma: the fastest one counts.
    A peer that raises RuntimeError, when it is made or at any step, gets a line and no ratio; ours passes it on.
    """
    found, runs, trained = Found(), {}, {}
    us = next(iter(makers))
    for side, make in makers.items():
        try:
            runs[side] = make()
            trained[side] = np.array([runs[side]() for _ in range(steps)])  # (steps, 2)
        except RuntimeError as error:
            if side == us:
                raise
            print(f"{name}: {side} cannot run: {reason(error)}")
            found.missing = True
    print_side_by_side(name, trained)
    peers = [side for side in trained if side != us]
    found.sides[name] = {side: {"losses": t[:, 0], "norms": t[:, 1]} for side, t in trained.items()}
    apart = {peer: difference(trained[us], trained[peer]) for peer in peers}
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    for peer in peers:
        if not apart[peer] <= AGREE:  # nan does not
            print(f"{name}: {peer} is refused: losses or gradient norms differ by {apart[peer]:.2g}, more than {AGREE}")
            continue
        try:
            compared = bench.compare(
                runs[us],
                runs[peer],
                rounds=rounds,
                max_time=max_time,
                min_time=MIN_TIME,
                collect=True,
                names=(us, peer),
            )
        except RuntimeError as error:
            print(f"{name}: no time of {us} against {peer}: {reason(error)}")
            found.missing = True
            continue
        print(f"{name}: {compared}")
        ratios[peer.partition(",")[0]].append(compared.ratio)
        where = {"case": name, "axes": asdict(workload), "dtype": "float32", "device": "cpu"}
        found.comparisons.append(compared.record() | where)
    for peer, each in ratios.items():
        limit = LIMITS.get((name, us, peer))
        found.figures.append(bench.Figure(f"time of a step, {name}: {us} / {peer}", max(each), limit))
    if peers:
        worst = float(np.max(list(apart.values())))
        what = f"largest difference of losses and gradient norms, {steps} steps, {name}"
        found.figures.append(bench.Figure(what, worst, AGREE))
    return found


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest |ours - theirs| / max(1, |theirs|), nan if any is nan."""
    return float(np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))))


def print_side_by_side(name: str, trained: Mapping[str, np.ndarray]) -> None:
    widths = [max(len(side), 22) for side in trained]
    print(f"\n{name:14}" + "  ".join(f"{side:>{w}}" for side, w in zip(trained, widths, strict=True)))
    print(f"{'step':14}" + "  ".join(f"{'loss':>{w - 11}} {'norm':>10}" for w in widths))
    for k, pairs in enumerate(zip(*trained.values(), strict=True), 1):
        cells = (f"{loss:{w - 11}.6f} {norm:10.6f}" for (loss, norm), w in zip(pairs, widths, strict=True))
        print(f"{k:<14}" + "  ".join(cells))


def against(name: str, peers: Sequence[Peer], options: argparse.Namespace) -> Found:
    """`judge`, with each side in a process of its own."""
    workload, threads = WORKLOADS[name], options.threads
    # A worker's environment is read before its first import.  A peer's process needs no OpenBLAS threads at all.
    settings = thread_settings(threads)
    theirs = settings | {"OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as stack:

        def start(make: Callable[..., Step], *args: Any, env: Mapping[str, str]) -> Step:
            return stack.enter_context(bench.Worker(make, workload, *args, env=env))

        makers = {options.kernels: partial(start, sides.ours, options.kernels, env=settings)}
        for peer in peers:
            for variant, more in peer.variants(workload).items():
                makers[variant] = partial(start, peer.make, threads, *more, env=theirs)
        return judge(name, workload, makers, options.steps, options.rounds, options.max_time)


def reason(error: Exception) -> str:
    """The line of a worker's failure that names the error."""
    named = re.findall(r"^[\w.]+: .*", str(error), re.MULTILINE)
    return named[-1] if named else str(error).splitlines()[0]


def thread_settings(threads: int) -> dict[str, str]:
    """Environment of a worker: each library asks a variable of its own how many threads to start."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def installed(words: Sequence[str]) -> list[Peer]:
    """The peers that are installed; a line for each that is not."""
    absent = {word for word in words if importlib.util.find_spec(PEERS[word].module) is None}
    for word in words:
        if word in absent:
            module = PEERS[word].module
            print(f"{word}: {module} is not installed: {ADVICE.get(module, f'pip install {module}')}", file=sys.stderr)
    return [PEERS[word] for word in words if word not in absent]


def suite(options: argparse.Namespace) -> int:
    peers = installed(options.peers)
    if not peers:
        return 2
    total = Found(missing=len(peers) < len(options.peers))
    for name in options.workloads or WORKLOADS:
        try:
            total.add(against(name, peers, options))
        except RuntimeError as error:
            print(f"{name}: {options.kernels} cannot run: {reason(error)}")
            total.failed = True
        if options.json:  # after each: what is finished is never lost
            figures = [asdict(f) | {"passed": f.passed} for f in total.figures]
            bench.save(options.json, bench.document(figures=figures, **total.details()))
    code = bench.report(total.figures, json_file=options.json, **total.details()) if total.figures else 1
    return 1 if total.failed or code else 2 if total.missing else 0


# -------------------------------------------------------------------------------------------------------------- profile


def profiled(workload: Workload, kernels: str, steps: int) -> Callable[[], tuple[dict[str, float], list[dict]]]:
    """What measures (seconds of each phase, rows of phase, op, calls and seconds), all per step.

    The kernel table is the probe: an entry for every op that reads the clock around what would have run.
    """
    phases: defaultdict[str, float] = defaultdict(float)
    ops: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    current, inner = "", 0.0  # the phase; seconds spent in ops that the running op has called

    def probe(name: str, body: Callable, kernel: Callable | None) -> Callable:
        def timed(xp: Any, *arrays: Any, **params: Any) -> Any:
            nonlocal inner
            before, inner = inner, 0.0
            start = time.perf_counter()
            result = kernel(xp, *arrays, **params) if kernel else NotImplemented
            if result is NotImplemented:
                result = body(xp, *arrays, **params)
            took = time.perf_counter() - start
            row = ops[current, name]
            row[0] += 1
            row[1] += took - inner
            inner = before + took
            return result

        return timed

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        nonlocal current
        current, start = name, time.perf_counter()
        yield
        phases[name] += time.perf_counter() - start

    table = load_table(kernels)
    tg.set_kernels({name: probe(name, op.forward, table.get(name)) for name, op in OPS.items()})
    step = sides.our_step(workload, *sides.our_model(workload), workload.batches(), phase)

    def run() -> tuple[dict[str, float], list[dict]]:
        for _ in range(3):
            step()
        phases.clear()
        ops.clear()
        for _ in range(steps):
            step()
        rows = [{"phase": p, "op": op, "calls": n / steps, "seconds": t / steps} for (p, op), (n, t) in ops.items()]
        return {name: t / steps for name, t in phases.items()}, rows

    return run


def profile(options: argparse.Namespace) -> int:
    (name,) = options.workloads or ["gpt-4x128"]
    kernels, threads, steps = options.kernels, options.threads, options.steps
    with bench.Worker(profiled, WORKLOADS[name], kernels, steps, env=thread_settings(threads)) as worker:
        phases, rows = worker()
    total = sum(phases.values())
    print(
        f"a {name} step, {kernels} kernels, {threads} threads: {total * 1e3:.1f} ms (mean of {steps}, with the probes)"
    )
    print(f"\n{'':30}  {'calls':>5}  {'forward ms':>10}  {'backward ms':>11}  {'share':>6}")

    def line(name: str, calls: float | None, forward: float, backward: float) -> None:
        count, share = "" if calls is None else f"{calls:.0f}", (forward + backward) / total
        print(f"{name:30}  {count:>5}  {forward * 1e3:10.2f}  {backward * 1e3:11.2f}  {share:6.1%}")

    def spent(phase: str, op: str | None = None) -> float:
        return sum(r["seconds"] for r in rows if r["phase"] == phase and op in (None, r["op"]))

    names = {r["op"] for r in rows}
    for op in sorted(names, key=lambda op: -spent("forward", op) - spent("backward", op)):
        line(op, sum(r["calls"] for r in rows if r["op"] == op), spent("forward", op), spent("backward", op))
    rest = (phases[p] - spent(p) for p in ("forward", "backward"))
    line("tape and rules' own arithmetic", None, *rest)
    for phase in ("gradient norm", "optimizer"):
        line(phase, None, 0, phases[phase])
    return bench.report(
        [bench.Figure(f"one step: {phase}", seconds * 1e3, unit="ms") for phase, seconds in phases.items()],
        json_file=options.json,
        workload=name,
        ops=rows,
    )


# ----------------------------------------------------------------------------------------------------------- arguments


def kernels_word(word: str) -> str:
    """The type of ``--kernels``: a table that loads on this machine; ``auto`` is the one that is in use unasked."""
    try:
        if word == "auto":
            return kernels_in_use()
        load_table(word)
    except (ValueError, Unavailable) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def workload_word(word: str) -> str:
    if word not in WORKLOADS:
        raise argparse.ArgumentTypeError(f"no workload is called {word!r}: expected one of {', '.join(WORKLOADS)}")
    return word


def peer_words(words: str) -> list[str]:
    unknown = [word for word in words.split(",") if word not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no peer is called {unknown[0]!r}: expected some of {','.join(PEERS)}")
    return list(dict.fromkeys(words.split(",")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", type=workload_word, metavar="WORKLOAD", help="which of --list (all)")
    parser.add_argument("--list", action="store_true", help="list the workloads with their sizes")
    parser.add_argument("--peers", type=peer_words, default=["torch"], help=f"some of {','.join(PEERS)} (torch)")
    parser.add_argument(
        "--kernels", type=kernels_word, default="reference", help="our kernel table (reference), or auto"
    )
    parser.add_argument("--steps", type=int, default=20, help="steps whose losses are compared, or to profile (20)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of four timed samples at least (8)")
    parser.add_argument("--max-time", type=float, default=20, metavar="S", help="seconds to try for a verdict (20)")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side (2)")
    parser.add_argument("--profile", action="store_true", help="say where our time goes in one workload (gpt-4x128)")
    parser.add_argument("--json", metavar="FILE", help="write figures, samples and environment there")
    options = parser.parse_args()
    for name, least in (("rounds", 4), ("threads", 1), ("steps", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    if not options.max_time > 0:
        parser.error(f"--max-time must be above 0, got {options.max_time}")
    if options.list:
        for name, workload in WORKLOADS.items():
            print(f"{name:14}{', '.join(f'{k} {v}' for k, v in asdict(workload).items())}")
        return 0
    if options.profile and len(options.workloads) > 1:
        parser.error(f"--profile takes one workload, got {', '.join(options.workloads)}")
    return profile(options) if options.profile else suite(options)


if __name__ == "__main__":
    sys.exit(main())
