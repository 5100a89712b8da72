"""How often is a verdict right?  `tg.bench.compare` of functions whose times are made up, by a clock that is a number.

    python benchmarks/verdicts.py --cases 10000 --json benchmarks/results/verdicts.json

Half of the cases compare two equal functions, half two that differ by 3 %, with 200 pairs each.  Every sample has
lognormal noise of 5 %; in each case the machine drifts by up to a half over the run, up or down, and up to one sample
in twenty is a spike of 2 to 10 times its length.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from rich.progress import track

from tinygrad_lm import bench

ROUNDS = 100  # of two pairs each
SHIFT = 0.03
TAKES = 0.01  # seconds


def case(number: int) -> tuple[str, str]:
    """(what is true, the verdict) of one case."""
    rng = np.random.default_rng(number)
    sign = 0 if number % 2 == 0 else 1 if rng.random() < 0.5 else -1
    drift, spikes, now = rng.uniform(-0.5, 0.5) / (4 * ROUNDS * TAKES), rng.uniform(0, 0.05), 0.0

    def function(takes: float):
        def run() -> None:
            nonlocal now
            factor = math.exp(0.05 * rng.standard_normal()) * (1 + drift * now)
            now += takes * factor * (rng.uniform(2, 10) if rng.random() < spikes else 1.0)

        return run

    a, b = function(TAKES * (1 + sign * SHIFT)), function(TAKES)
    found = bench.compare(a, b, rounds=ROUNDS, clock=lambda: now, seed=number)
    return {0: "SAME", 1: "SLOWER", -1: "FASTER"}[sign], str(found.verdict)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument("--json", metavar="FILE", help="write figures, counts and environment there")
    arguments = parser.parse_args()
    if arguments.cases < 2:
        parser.error(f"--cases must be at least 2, got {arguments.cases}")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(case, range(arguments.cases), chunksize=8)
        counts = Counter(track(answers, "cases", arguments.cases))
    equal = {verdict: n for (true, verdict), n in counts.items() if true == "SAME"}
    different = {key: n for key, n in counts.items() if key[0] != "SAME"}
    wrong = sum(n for (true, verdict), n in different.items() if true != verdict) / sum(different.values())
    unsure = sum(n for (_, verdict), n in different.items() if verdict == "UNSURE") / sum(different.values())
    called = (equal.get("FASTER", 0) + equal.get("SLOWER", 0)) / sum(equal.values())
    figures = [
        bench.Figure("equal functions called FASTER or SLOWER", called, 0.05),
        bench.Figure("functions that differ by 3 % not called what they are", wrong, 0.1),
        bench.Figure("functions that differ by 3 % called UNSURE", unsure, 0.1),
    ]
    shown = {f"{true}, called {verdict}": n for (true, verdict), n in sorted(counts.items())}
    print("\n".join([f"{what}: {n}" for what, n in shown.items()]))
    return bench.report(figures, json_file=arguments.json, cases=arguments.cases, pairs=2 * ROUNDS, counts=shown)


if __name__ == "__main__":
    raise SystemExit(main())
