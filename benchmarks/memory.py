"""Memory of training a workload of ``train_step.py``, a GPT unless told otherwise: ours against torch eager's.

    python benchmarks/memory.py [--workload gpt-4x128] [--kernels reference] [--processes N] [--steps N] [--json FILE]

Each side trains in fresh processes of its own.  The figure is the highest resident memory during the training steps
minus the resident memory when the library is imported and the model built: gradients, optimizer state, what the tape
keeps, temporary arrays, and what the library loads and sets up when it first computes.  The last is no small part, so
a second figure leaves it out: there, a small model of the same kind has made a step before the count begins.
Needs Linux (``/proc``) and torch.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import tinygrad_lm as tg
    from tinygrad_lm import bench
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

import train_step  # the sibling script: the same kernels, threads and words
from steps import WORKLOADS, sides
from steps.workload import Workload

MB = 1e6


def resident(field: str) -> int:
    """Bytes of this process: ``VmRSS``, resident now, or ``VmHWM``, the most it has been."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def training(side: str, workload: Workload, kernels: str, threads: int, steps: int) -> Callable[[], dict[str, Any]]:
    """What trains in this process and returns {"built", "used", "peak": bytes, "loss": the last, "method"}."""
    build: Callable[[Workload], tuple[Any, Any]]
    make_step: Callable[..., sides.Step]
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
        build, make_step = sides.torch_model, sides.torch_step
    else:
        tg.set_kernels(kernels)
        build, make_step = sides.our_model, sides.our_step

    def run() -> dict[str, Any]:
        model, batches, small = build(workload), workload.batches(), workload.small()
        gc.collect()
        built = resident("VmRSS")
        make_step(small, *build(small), small.batches())()
        gc.collect()
        used = resident("VmRSS")
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far: importing may have had a higher one
            method = "VmHWM"
        except OSError:
            method = "ru_maxrss"
        step = make_step(workload, *model, batches)  # the optimizer's state counts, made here or in the first step
        loss = [step()[0] for _ in range(steps)][-1]
        peak = resident("VmHWM") if method == "VmHWM" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"built": built, "used": used, "peak": peak, "loss": loss, "method": method}

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workload", type=train_step.workload_word, default="gpt-4x128", help="one of train_step.py --list (gpt-4x128)"
    )
    parser.add_argument(
        "--kernels", type=train_step.kernels_word, default="reference", help="our kernel table (reference)"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of either side (2)")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes per side (3)")
    parser.add_argument("--steps", type=int, default=30, help="training steps in each (30)")
    parser.add_argument("--json", metavar="FILE", help="write figures, samples and environment there")
    options = parser.parse_args()
    for name in ("threads", "processes", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    bench.require("torch")
    if not Path("/proc/self/status").exists():
        print(f"{sys.argv[0]}: needs /proc/self/status, which only Linux has", file=sys.stderr)
        return 2

    runs: dict[str, list[dict[str, Any]]] = {options.kernels: [], "torch": []}
    for _ in range(options.processes):
        for side, found in runs.items():
            settings = train_step.thread_settings(options.threads)
            words = side, WORKLOADS[options.workload], options.kernels, options.threads, options.steps
            with bench.Worker(training, *words, env=settings) as worker:
                found.append(worker())
            now = found[-1]
            print(
                f"{side:10}  built {now['built'] / MB:6.1f} MB   used once {now['used'] / MB:6.1f} MB   "
                f"peak {now['peak'] / MB:6.1f} MB   loss {now['loss']:.6f}   ({now['method']})"
            )

    def median(side: str, since: str) -> float:
        return statistics.median(run["peak"] - run[since] for run in runs[side])

    figures = [
        bench.Figure(
            f"training memory: {options.kernels} / torch eager",
            median(options.kernels, "built") / median("torch", "built"),
            1.25,
        ),
        bench.Figure(
            "the same, after both were used once", median(options.kernels, "used") / median("torch", "used"), 1.25
        ),
    ]
    for side in runs:
        figures += [
            bench.Figure(f"training memory: {side}", median(side, "built") / MB, unit="MB"),
            bench.Figure(f"training memory: {side}, after it was used once", median(side, "used") / MB, unit="MB"),
        ]
    return bench.report(
        figures,
        json_file=options.json,
        workload=options.workload,
        runs=runs,
    )


if __name__ == "__main__":
    sys.exit(main())
