"""A CUDA kernel of one's own under an operation of the library: registered in one line, checked without a GPU, used.

python examples/my_kernel.py

The kernel is examples/my_softplus.cu.  It runs on a GPU as it is, and here under the emulator.
"""

from pathlib import Path

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.build import BuildFailed

SOURCE = Path(__file__).with_name("my_softplus.cu")


def softplus(run, xp, x, *, beta=1.0):
    """The launcher: the signature of the operation's body, behind a runtime.  NotImplemented: let the body do it."""
    if x.dtype != np.float32 or beta != 1.0:
        return NotImplemented
    y = xp.empty(x.shape, x.dtype)
    if y.size:
        blocks = -(-y.size // 256)
        run(str(SOURCE), "my_softplus", (blocks, 1, 1), (256, 1, 1), 0, [xp.ascontiguousarray(x), y, np.int64(y.size)])
    return y


def main():
    launch.register("softplus", "mine", SOURCE, softplus, ["float32"])  # the one line
    try:
        print(tg.testing.check_kernel("softplus", "mine"))
        with tg.use_kernels("emulated"):
            x = tg.Tensor(np.linspace(-3, 3, 7, dtype=np.float32), requires_grad=True)
            y = tg.softplus(x)
            y.sum().backward()
        print("softplus:", np.round(y.data, 3), " slope:", np.round(x.grad.data, 3))
    except (BuildFailed, tg.Unavailable) as reason:
        print(f"no kernel can be built here: {reason}")
        return

    wrong = SOURCE.read_text().replace("i < count", "i <= count")  # and with a mistake in it
    broken = Path("my_broken_softplus.cu").resolve()
    broken.write_text(wrong)
    try:
        launch.register("softplus", "broken", broken, lambda run, *a, **k: softplus(moved(run, broken), *a, **k))
        tg.testing.check_kernel("softplus", "broken")
    except (AssertionError, RuntimeError) as found:
        print("found:", str(found).replace(str(broken), broken.name))
    finally:
        broken.unlink()


def moved(run, file):
    """The same runtime for another file."""
    return lambda _, *rest: run(str(file), *rest)


if __name__ == "__main__":
    main()
