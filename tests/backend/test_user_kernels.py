"""A kernel of a user's own: registered in one line, checked, used; and every way in which it may be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.backend import launch
from tinygrad_lm.backend.build import BuildFailed
from tinygrad_lm.backend.record import kernels_in_use

RIGHT = """// Twice x.
//
// Idea                  One thread for each element.
// Maps threads to data  Thread i takes element i.
// FLOPs and bytes       One product; read once, written once.
// Needs                 float32.
// Improves on           - (the first rung)
// Limits                None.
#include "tg.h"

extern "C" __global__ void mine(const float* x, float* y, int64_t count) {
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) y[i] = x[i] * x[i];
}
TG_LAUNCHABLE(mine)
"""

APART = "if (threadIdx.x % 2) __syncthreads(); else __shfl_xor_sync(TG_ALL_LANES, 0, 1);"


@pytest.fixture
def register(cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Register a source as the best rung of `square`; forgotten afterwards."""
    monkeypatch.setattr(launch, "LADDERS", {op: dict(ladder) for op, ladder in launch.LADDERS.items()})

    def made(source: str, name: str = "mine") -> None:
        path = tmp_path / f"{name}.cu"
        path.write_text(source)

        def launcher(run, xp, x):
            if x.dtype != np.float32:
                return NotImplemented
            y = xp.empty(x.shape, x.dtype)
            if y.size:
                given = [xp.ascontiguousarray(x), y, np.int64(y.size)]
                run(str(path), "mine", (-(-y.size // 64), 1, 1), (64, 1, 1), 0, given)
            return y

        launch.register("square", name, path, launcher, ["float32"])

    return made


def test_it_is_the_best_rung_and_right(register) -> None:
    register(RIGHT)
    assert list(launch.LADDERS["square"])[-1] == "mine"
    said = tg.testing.check_kernel("square", "mine")
    assert said.startswith("square, mine: ") and "gradients are those of the reference" in said and "memory" in said
    with tg.use_kernels("emulated"):
        x = tg.Tensor(np.array([3.0, -2.0], np.float32), requires_grad=True)
        y = tg.square(x)
        y.sum().backward()
    assert y.data.tolist() == [9.0, 4.0] and x.grad.data.tolist() == [6.0, -4.0]


def test_tables_in_use_have_it_at_once(register) -> None:
    with tg.use_kernels("emulated"):
        register(RIGHT.replace("x[i] * x[i]", "7.0f"))
        assert kernels_in_use() == "emulated" and tg.square(np.float32([3.0])).tolist() == [7.0]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (("x[i] * x[i]", "x[i] + x[i]"), AssertionError, r"^square, mine, result 0 \[.*exactly .*, off by .*, allowed"),
        (("i < count", "i <= count"), RuntimeError, r"mine.cu, kernel mine: .*access outside the arrays it was given"),
        (("y[i] =", "y[i] = nonsense ="), BuildFailed, r"failed: .*mine.cu.*nonsense.*\| if \(i < count\) y\[i\]"),
        (("if (i < count)", "if (i < count && i % 64 != 3)"), AssertionError, "^square, mine, result 0"),
        (("    if (i", f"    {APART}\n    if (i"), RuntimeError, r"mine.cu:\d+: .*deadlock"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_lost(register, change, error, says: str) -> None:
    register(RIGHT.replace(*change))
    with pytest.raises(error, match=says) as caught:
        tg.testing.check_kernel("square", "mine")
    assert "\n" not in str(caught.value)
    assert tg.square(np.float32([3.0])).tolist() == [9.0]  # the process and its tables are as before


def test_a_wrong_gradient_is_found(register, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kernel that is part of a derivative: here one of relu_grad, which passes twice too much."""
    register(RIGHT)
    path = Path(launch.LADDERS["square"]["mine"].file).with_name("grad.cu")
    path.write_text(RIGHT.replace("const float* x, float* y", "const float* g, const float* x, float* y")
                    .replace("x[i] * x[i]", "x[i] > 0.0f ? 2.0f * g[i] : 0.0f"))  # fmt: skip

    def launcher(run, xp, dy, x):
        if x.dtype != np.float32 or dy.dtype != np.float32 or not x.size:
            return NotImplemented
        y = xp.empty(x.shape, x.dtype)
        run(str(path), "mine", (-(-y.size // 64), 1, 1), (64, 1, 1), 0, [dy, x, y, np.int64(y.size)])
        return y

    launch.register("relu_grad", "mine", path, launcher, ["float32"])
    with pytest.raises(AssertionError, match="relu_grad, mine, result 0"):
        tg.testing.check_kernel("relu_grad", "mine")


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (RIGHT.replace("// Limits  ", "// "), ValueError, r"mine.cu lacks a header block: .* '// Limits  '"),
        (RIGHT.split("#include")[1], ValueError, "lacks a header block"),
    ],
)
def test_a_header_block_is_needed(register, source: str, error, says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        register(source)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_registered(register, tmp_path: Path) -> None:
    register(RIGHT)
    path = tmp_path / "mine.cu"
    with pytest.raises(FileNotFoundError, match="square, rung 'x': there is no file .*none.cu"):
        launch.register("square", "x", tmp_path / "none.cu", None)
    with pytest.raises(ValueError, match="softmax has a rung 'rows' already"):
        launch.register("softmax", "rows", path, None)
    with pytest.raises(ValueError, match="float8 is no dtype of kernels; they are float32, float16, bfloat16"):
        launch.register("square", "x", path, None, ["float8"])
