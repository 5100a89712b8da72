"""Time functions so that the answer can be trusted: whoever they are from, they are checked first.

python examples/trust_a_timing.py
"""

import ctypes

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm import bench

ROWS, COLUMNS = 256, 512


def draw(rng):
    """Fresh inputs, and an array for the result, which is poisoned before every call."""
    return [rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), np.empty((ROWS, COLUMNS), np.float32)]


def numpys(x, out):
    np.copyto(out, x)


def from_a_shared_library(x, out):
    """C's own memcpy: any function that can be called can be timed."""
    ctypes.memmove(out.ctypes.data, x.ctypes.data, x.nbytes)


def lazy(x, out):
    """Looks fast, because it leaves the last row as it was."""
    out[:-1] = x[:-1]


def main():
    roofline = bench.Roofline()  # what this machine does at its best, measured now
    size = ROWS * COLUMNS * 4
    case = bench.Case("copy", draw, lambda x: x, flops=0.0, bytes=2 * size, writes=(1,))
    for function in (numpys, from_a_shared_library, lazy):
        print(bench.measure(case, function, function.__name__, roofline=roofline, max_time=0.3))

    # Which is faster?  Not two medians, but pairs of neighbours, until the answer is known or the time is up.
    x, out = draw(np.random.default_rng(0))
    print(
        bench.compare(
            lambda: from_a_shared_library(x, out), lambda: numpys(x, out), max_time=2.0, names=("memcpy", "numpy")
        )
    )

    # An operation of this library, with its usual sizes or others, by every table of kernels that there is.
    for kernels in ("reference", "native"):
        try:
            with tg.use_kernels(kernels):
                softmax = bench.workload("softmax", rows=ROWS, columns=COLUMNS)
                print(bench.measure(softmax, bench.function_of("softmax"), kernels, roofline=roofline, max_time=0.3))
        except tg.Unavailable as reason:
            print(f"{kernels}: not usable here: {reason}")


if __name__ == "__main__":
    main()
