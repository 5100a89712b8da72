"""Swap the kernel under an operation: a table says what computes it, and everything above stays as it is.

python examples/swap_a_kernel.py
"""

import numpy as np

import tinygrad_lm as tg


def counting_softmax(xp, x, *, axis=-1):
    """A kernel has the signature of the operation's body.  NotImplemented means: not this shape, run the body."""
    if axis != -1:
        return NotImplemented
    counting_softmax.calls += 1
    e = xp.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


counting_softmax.calls = 0


def main():
    x = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    with tg.use_kernels("reference"):
        truth = tg.softmax(x)

    with tg.use_kernels({"softmax": counting_softmax}):
        y = tg.softmax(tg.Tensor(x, requires_grad=True))
        tg.softmax(x, axis=0)  # declined by the kernel: the body ran
    print(f"a kernel of my own:  called {counting_softmax.calls} time, off by at most {abs(y.data - truth).max():.1e}")

    # The same operation three ways.  `emulated` is the CUDA kernel, kernels/softmax/rows.cu, compiled for the host.
    for kernels in ("native", "emulated"):
        try:
            with tg.use_kernels(kernels):
                print(f"{kernels:>18}:  off by at most {abs(tg.softmax(x) - truth).max():.1e}")
        except tg.Unavailable as reason:
            print(f"{kernels:>18}:  not usable here: {reason}")


if __name__ == "__main__":
    main()
