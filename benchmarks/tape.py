"""What the tape costs: 200 small operations, forward and backward, against torch eager in the same run.

    python benchmarks/tape.py [--rounds N] [--json FILE]

The work is 100 times ``y = y * 1.01 + 0.1`` on 16 floats, then ``y.sum().backward()``: the arithmetic is next to
nothing, so the time is that of recording and walking.  Both libraries run in one process, which is fair here as neither
uses a second thread for 16 numbers, and Python's garbage collector runs, as it does in training.  Needs torch.
"""

from __future__ import annotations

import argparse
import sys
import time
import weakref
from typing import Any

import numpy as np

try:
    import tinygrad_lm as tg
    from tinygrad_lm import bench
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

START = np.linspace(-1, 1, 16, dtype=np.float32)


def ours() -> np.ndarray:
    x: Any = tg.Tensor(START, requires_grad=True)
    y = x
    for _ in range(100):
        y = y * 1.01 + 0.1
    y.sum().backward()
    return x.grad.data


def ours_debugging() -> np.ndarray:
    with tg.debug():
        return ours()


def theirs() -> np.ndarray:
    import torch

    x: Any = torch.tensor(START, requires_grad=True)
    y = x
    for _ in range(100):
        y = y * 1.01 + 0.1
    y.sum().backward()
    return x.grad.numpy()


def long_chain(ops: int = 100_000) -> tuple[float, float, float]:
    """(seconds forward, seconds backward, relative error of the gradient) of a chain of that many operations."""
    x: Any = tg.Tensor(START, requires_grad=True)
    y = x
    start = time.perf_counter()
    for _ in range(ops // 2):
        y = y * 0.9999 + 0.1
    middle = time.perf_counter()
    y.sum().backward()
    end = time.perf_counter()
    expected = 0.9999 ** (ops // 2)
    return middle - start, end - middle, float(abs(x.grad.data / expected - 1).max())


def kept_by_sum() -> int:
    """Bytes that the tape of ``x.sum()`` holds: what its node says, and x's array if that outlives x."""
    x: Any = tg.Tensor(np.ones(100_000, np.float32), requires_grad=True)
    array = weakref.ref(x.data)
    y = x.sum()
    del x
    kept = y.node.kept().values()
    return sum(value.nbytes for value in kept if isinstance(value, np.ndarray)) + (
        400_000 if array() is not None else 0
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="rounds of four samples for each comparison (100)")
    parser.add_argument("--json", metavar="FILE", help="write figures, samples and environment there")
    options = parser.parse_args()
    if options.rounds < 4:
        parser.error(f"--rounds must be at least 4, got {options.rounds}")
    bench.require("torch")

    np.testing.assert_allclose(ours(), theirs(), rtol=1e-5)  # the same work, before its time is of interest
    against_torch = bench.compare(ours, theirs, rounds=options.rounds, collect=True, names=("ours", "torch"))
    print(against_torch)
    debugging = bench.compare(ours_debugging, ours, rounds=options.rounds, collect=True, names=("debug", "default"))
    print(debugging)
    forward, backward, error = long_chain()
    return bench.report(
        [
            bench.Figure("200 ops forward and backward: time / torch's", against_torch.ratio, 0.5),
            bench.Figure("200 ops in debug mode: time / default mode's", debugging.ratio, 2.0),
            bench.Figure("chain of 100,000 ops: relative error of the gradient", error, 1e-2),
            bench.Figure("chain of 100,000 ops: forward", forward, unit="s"),
            bench.Figure("chain of 100,000 ops: backward", backward, unit="s"),
            bench.Figure("bytes kept by the tape of x.sum()", kept_by_sum(), 0),
        ],
        json_file=options.json,
        comparisons=[against_torch.record(), debugging.record()],
    )


if __name__ == "__main__":
    sys.exit(main())
