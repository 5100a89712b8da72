"""How often is a verdict right on this very machine?  A against itself, and against A with 5 % more work.

    python benchmarks/verdicts_here.py --json benchmarks/results/verdicts_here.json

A function is a small piece of work (Python's own, elementwise, a matrix product, softmax) done 20 times, so that 21
times is exactly 5 % more.  The pieces are made so long that the functions take 0.1 to 20 ms.  Each comparison has 60
seconds and stops when it knows.  The machine should do what it usually does: noise is what this is about.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm import bench

PIECES, PLANTED = 20, 1  # a function's pieces, and how many more the slower one does
TAKES = (1e-4, 3.5e-4, 1.4e-3, 5.4e-3, 2e-2)  # seconds


def python(n: int) -> Callable[[], object]:
    numbers = range(n)
    return lambda: sum(numbers)


def elementwise(n: int) -> Callable[[], object]:
    x, out = np.ones(n, np.float32), np.ones(n, np.float32)
    return lambda: np.multiply(x, x, out=out)


def product(n: int) -> Callable[[], object]:
    side = max(1, math.isqrt(n))
    a, out = np.ones((side, 64), np.float32), np.ones((side, side), np.float32)
    return lambda: np.matmul(a, a.T, out=out)


def softmax(n: int) -> Callable[[], object]:
    x = np.random.default_rng(0).normal(size=(max(1, n // 128), 128)).astype(np.float32)
    return lambda: tg.softmax(x)


KINDS = (python, elementwise, product, softmax)


def repeated(piece: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            piece()

    return run


def piece_of(kind: Callable[[int], Callable[[], object]], takes: float) -> Callable[[], object]:
    """Work of this kind that takes about so long."""

    def least(n: int) -> float:
        piece, times = kind(n), []
        for _ in range(20):
            start = time.perf_counter()
            piece()
            times.append(time.perf_counter() - start)
        return min(times)

    n = 16
    while least(n) < takes and n < 1 << 26:
        n *= 2
    for _ in range(3):  # caches and fixed costs: time is not quite proportional to size
        n = max(1, int(n * takes / least(n)))
    return kind(n)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60, metavar="N", help="comparisons of each of the two kinds (60)")
    parser.add_argument("--max-time", type=float, default=60.0, metavar="S", help="seconds for each, at most (60)")
    parser.add_argument("--json", metavar="FILE", help="write figures, comparisons and environment there")
    arguments = parser.parse_args()
    if arguments.cases < 1 or not arguments.max_time > 0:
        parser.error("--cases and --max-time must be positive")
    records, counts = [], Counter[tuple[str, str]]()
    start = time.perf_counter()
    for k in range(arguments.cases):
        kind, takes = KINDS[k % len(KINDS)], TAKES[k // len(KINDS) % len(TAKES)]
        piece = piece_of(kind, takes / PIECES)
        for what, more in (("itself", 0), ("with 5 % more work", PLANTED)):
            a, b = repeated(piece, PIECES + more), repeated(piece, PIECES)
            found = bench.compare(a, b, max_time=arguments.max_time, names=(what, "A"), seed=k)
            counts[what, str(found.verdict)] += 1
            records.append(found.record() | {"case": kind.__name__, "axes": {"takes": takes}, "kind": what})
            del records[-1]["samples_s"]  # a hundred thousand numbers that nobody reads
            print(f"{k + 1:3} {kind.__name__:11} {bench.seconds(takes):>7}  {found}", flush=True)
    missed = arguments.cases - counts["itself", "SAME"]
    unfound = arguments.cases - counts["with 5 % more work", "SLOWER"]
    return bench.report(
        [
            bench.Figure("A against itself: share without the verdict SAME", missed / arguments.cases, 3 / 60),
            bench.Figure("5 % more work: share without the verdict SLOWER", unfound / arguments.cases, 6 / 60),
            bench.Figure("time of all of it", time.perf_counter() - start, unit="s"),
        ],
        json_file=arguments.json,
        answers=records,
        cases=arguments.cases,
        counts={f"{what}: {verdict}": n for (what, verdict), n in sorted(counts.items())},
    )


if __name__ == "__main__":
    raise SystemExit(main())
