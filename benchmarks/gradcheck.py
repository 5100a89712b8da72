"""What a gradient check costs: a two-layer network at default settings, against torch's gradcheck in the same run.

    python benchmarks/gradcheck.py [--rounds N] [--json FILE]

The function is tanh(tanh(x W + a) V + b) with 4 examples, 8 inputs, 16 hidden units and 4 results in float64; the 212
weights are checked, each alone, by both.  One process and one thread: the arrays are tiny.  Needs torch.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

try:
    import tinygrad_lm as tg
    from tinygrad_lm import bench
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

RNG = np.random.default_rng(0)
X, *WEIGHTS = [RNG.normal(size=shape) / 2 for shape in ((4, 8), (8, 16), (16,), (16, 4), (4,))]


def ours() -> Any:
    return tg.testing.gradcheck(lambda w, a, v, b: tg.tanh(tg.tanh(X @ w + a) @ v + b), WEIGHTS)


def theirs() -> bool:
    import torch

    x = torch.from_numpy(X)
    weights = [torch.from_numpy(w).requires_grad_() for w in WEIGHTS]
    return torch.autograd.gradcheck(lambda w, a, v, b: torch.tanh(torch.tanh(x @ w + a) @ v + b), weights)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of four samples (20)")
    parser.add_argument("--json", metavar="FILE", help="write figures, samples and environment there")
    options = parser.parse_args()
    if options.rounds < 4:
        parser.error(f"--rounds must be at least 4, got {options.rounds}")
    bench.require("torch")
    import torch

    torch.set_num_threads(1)
    verdict = ours()
    print(verdict, end="\n\n")
    assert theirs() and verdict.exact and verdict.entries == sum(w.size for w in WEIGHTS)
    compared = bench.compare(ours, theirs, rounds=options.rounds, collect=True, names=("ours", "torch"))
    print(compared)
    figures = [bench.Figure("gradcheck of a two-layer network: time / torch's", compared.ratio, 1.0)]
    return bench.report(figures, json_file=options.json, comparisons=[compared.record()])


if __name__ == "__main__":
    sys.exit(main())
