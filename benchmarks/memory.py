"""Memory of training the GPT of ``train_step.py``: ours against torch eager's.

    python benchmarks/memory.py [--kernels reference] [--processes N] [--steps N] [--json FILE]

Each side trains in fresh processes of its own.  The figure is the highest resident memory during the training steps
minus the resident memory when the library is imported and the model built: gradients, optimizer state, what the tape
keeps, temporary arrays, and what the library loads and sets up when it first computes.  The last is no small part, so
a second figure leaves it out: there, a model of one layer has made a step with one sequence before the count begins.
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
    from tinygrad_lm import bench
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

import train_step  # the sibling script: the same models, weights and batches

MB = 1e6


def resident(field: str) -> int:
    """Bytes of this process: ``VmRSS``, resident now, or ``VmHWM``, the most it has been."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def training(side: str, kernels: str, threads: int, steps: int) -> Callable[[], dict[str, Any]]:
    """What trains in this process and returns {"built", "used", "peak": bytes, "loss": the last, "method"}."""
    build: Callable[..., Any]
    make_step: Callable[..., train_step.Step]
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
        build, make_step = train_step.torch_model, train_step.torch_step
    else:
        train_step.tg.set_kernels(kernels)
        build, make_step = train_step.our_model, train_step.our_step

    def run() -> dict[str, Any]:
        model = build()
        gc.collect()
        built = resident("VmRSS")
        make_step(build(layers=1), batch=1)()
        gc.collect()
        used = resident("VmRSS")
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far: importing may have had a higher one
            method = "VmHWM"
        except OSError:
            method = "ru_maxrss"
        step = make_step(model)  # the optimizer's state counts, whether it is made here or in the first step
        loss = [step()[0] for _ in range(steps)][-1]
        peak = resident("VmHWM") if method == "VmHWM" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"built": built, "used": used, "peak": peak, "loss": loss, "method": method}

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
            with bench.Worker(training, side, options.kernels, options.threads, options.steps, env=settings) as worker:
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
        runs=runs,
    )


if __name__ == "__main__":
    sys.exit(main())
