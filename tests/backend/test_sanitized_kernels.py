"""The kernels of the library under the sanitizers: nothing beyond arrays, no races, nothing read too early.

One call of each rung, float32; what needs none of a block's shared memory has nothing to race for.
"""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lm.backend import build, launch
from tinygrad_lm.backend.sanitize import Sanitizer
from tinygrad_lm.ops.convolution import geometry_of
from tinygrad_lm.ops.windows import sliding

pytestmark = pytest.mark.usefixtures("cache")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


STEP = {"step": 0, "exp_avg": normal(37), "exp_avg_sq": normal(37) ** 2}
ADAM = {"betas": (0.9, 0.99), "lr": 0.1, "eps": 1e-8, "weight_decay": 0.1}
WINDOWS = (sliding(7, 4, 3, 2, 1), sliding(5, 3, 3, 2, 1))
_, PLACE = launch.pooling.max_pool(lambda *_: None, np, normal(2, 7, 5), windows=WINDOWS)
LSE = np.ones((5, 1), np.float32)

# op, rung -> arrays and settings, ragged where kernels go wrong.
CALLS: dict[tuple[str, str], tuple[list, dict]] = {
    **{("matmul", rung): ([normal(2, 37, 21), normal(21, 135)], {}) for rung in launch.LADDERS["matmul"]},
    **{("linear", rung): ([normal(5, 13), normal(9, 13), normal(9)], {}) for rung in launch.LADDERS["linear"]},
    **{(name, "rows"): ([normal(5, 70)], {}) for name in ("softmax", "log_softmax", "rms_norm")},
    **{(name, "rows"): ([normal(5, 70), normal(5, 70)], {}) for name in ("softmax_grad", "log_softmax_grad")},
    ("layer_norm", "rows"): ([normal(3, 1030), normal(1030), normal(1030)], {}),
    ("layer_norm_grad", "rows"): ([normal(70, 33), normal(70, 33), normal(33)], {}),
    ("rms_norm_grad", "rows"): ([normal(3, 1030), normal(3, 1030), normal(1030)], {}),
    ("cross_entropy", "rows"): ([normal(5, 33), np.array([0, 3, -100, 32, 1])], {"label_smoothing": 0.1}),
    ("cross_entropy_grad", "rows"): ([normal(), normal(5, 33), np.array([0, 3, -100, 32, 1]), None, LSE], {}),
    ("batch_norm", "channels"): ([normal(3, 5, 7, 3), normal(5), normal(5)], {}),
    ("batch_norm_grad", "channels"): ([normal(3, 5, 7, 3), normal(3, 5, 7, 3), normal(5)], {}),
    ("batch_norm_eval", "channels"): ([normal(3, 5, 7), normal(5), normal(5) ** 2, normal(5), normal(5)], {}),
    **{("attention", rung): ([normal(2, 21, 20), normal(2, 70, 20), normal(2, 70, 7)], {"causal": True})
       for rung in launch.LADDERS["attention"]},
    **{("attention_grad", rung): (
        [normal(5, 7), normal(5, 9), normal(70, 9), normal(70, 7), normal(5, 70) > 0, normal(5, 7), LSE],
        {"dropout": 0.2, "key": (1, 2)},
    ) for rung in launch.LADDERS["attention_grad"]},
    **{("conv", rung): ([normal(2, 4, 7, 5), normal(6, 2, 3, 2)], {"geometry": geometry_of(2, 2, 1, 1, 2)})
       for rung in launch.LADDERS["conv"]},
    **{("conv_transpose", rung): (
        [normal(2, 6, 4, 3), normal(6, 2, 3, 2)], {"size": (7, 5), "geometry": geometry_of(2, 2, 1, 1, 2)}
    ) for rung in launch.LADDERS["conv"]},
    **{("conv_weight_grad", rung): (
        [normal(2, 4, 7, 5), normal(2, 6, 4, 3)], {"kernel": (3, 2), "geometry": geometry_of(2, 2, 1, 1, 2)}
    ) for rung in launch.LADDERS["conv"]},
    ("max_pool", "windows"): ([normal(2, 7, 5)], {"windows": WINDOWS}),
    ("max_pool_grad", "windows"): (
        [normal(2, 4, 3), np.zeros((2, 4, 3), np.int64)], {"windows": WINDOWS, "shape": (2, 7, 5)}
    ),
    ("resample", "windows"): ([normal(3, 7, 2)], {"taps": WINDOWS[0], "axis": 1}),
    **{(name, "elementwise"): ([normal(4, 9)], {}) for name in ("relu", "silu", "sigmoid", "tanh", "gelu")},
    **{(name, "elementwise"): ([normal(4, 9), normal(4, 9)], {}) for name in ("relu_grad", "silu_grad")},
    ("gelu_grad", "elementwise"): ([normal(4, 9), normal(4, 9)], {"approximate": "tanh"}),
    ("embedding", "sorted"): ([np.array([[3, 0, 3]]), normal(5, 150)], {}),
    ("embedding_grad", "sorted"): ([normal(6, 150), np.array([3, 0, 3, 4, 4, 4])], {"rows": 5}),
    ("dropout", "philox"): ([normal(5, 7)], {"rate": 0.3, "key": (1, 2)}),
    ("random_bits", "philox"): ([33, (1, 2)], {"width": 64}),
    ("uniform", "philox"): ([33, (1, 2)], {"dtype": np.dtype(np.float32)}),
    ("dropout_mask", "philox"): ([33, (1, 2)], {"threshold": 5}),
    **{(name, "multi_tensor"): ([[(normal(37), normal(37), dict(STEP))], ADAM], {}) for name in ("Adam", "AdamW")},
    ("SGD", "multi_tensor"): (
        [[(normal(37), normal(37), {"momentum_buffer": normal(37)})],
         {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}], {}
    ),
    ("square_sum", "multi_tensor"): ([[normal(37), normal(8200)]], {}),
    ("scale_all", "multi_tensor"): ([[normal(37), normal(8200)], 0.5], {}),
}  # fmt: skip


def test_every_rung_is_here() -> None:
    assert set(CALLS) == {(name, rung) for name, ladder in launch.LADDERS.items() for rung in ladder}


def meets_others(file: str) -> bool:
    """Whether threads of a block speak to each other in this file."""
    text = (build.kernels_folder() / file).read_text()
    return any(word in text for word in ("__shared__", "TG_DYNAMIC_SHARED", "columns.h"))


@pytest.mark.parametrize("detector", ["address", "thread", "memory"])
@pytest.mark.parametrize(("name", "rung"), CALLS, ids=[f"{name}-{rung}" for name, rung in CALLS])
def test_nothing_is_found(name: str, rung: str, detector: str) -> None:
    if detector != "address" and not meets_others(launch.LADDERS[name][rung].file):
        return
    arrays, settings = CALLS[name, rung]
    assert launch.LADDERS[name][rung](Sanitizer(detector), np, *arrays, **settings) is not NotImplemented
