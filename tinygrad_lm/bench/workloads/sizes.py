"""What each operation is timed on: its axes with their usual sizes, and the arrays and settings that these make.

A function declares sizes for some operations; its parameters are the axes, and it returns a `case` of specs, as an
operation's own samples are (`ops/samples.py`).  What is not timed is excused here, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lm.ops.convolution import Geometry
from tinygrad_lm.ops.samples import Case, Spec, booleans, case, integers
from tinygrad_lm.ops.samples import D as distinct
from tinygrad_lm.ops.samples import M as matrix
from tinygrad_lm.ops.samples import N as normal
from tinygrad_lm.ops.samples import P as positive
from tinygrad_lm.ops.samples import S as definite
from tinygrad_lm.ops.samples import U as unit
from tinygrad_lm.ops.windows import linear, sliding

# ruff: noqa: F811  (every declaration is named `_`)

SIZES: dict[str, Callable[..., Case]] = {}
OUTLIERS: dict[str, float] = {}  # how much larger the gate makes some entries, where 64 times makes no sense

READS: dict[str, Callable[..., int]] = {  # bytes, of those that do not read all of their inputs
    "trace": lambda x: x.nbytes // x.shape[-1],
    "nll_loss": lambda log_p, targets: targets.nbytes + targets.size * log_p.itemsize,
    "embedding": lambda ids, weight: ids.nbytes + ids.size * weight.shape[1] * weight.itemsize,
}
RESULTS: dict[str, Callable[..., int]] = {  # entries, of those whose result may be far larger than their inputs
    "matmul": lambda a, b: a[0] * b[1],
    "linear": lambda x, weight, bias: x[0] * weight[0],
    "outer": lambda a, b: a[0] * b[0],
    "inner": lambda a, b: a[0] * b[0],
    "kron": lambda a, b: a[0] * a[1] * b[0] * b[1],
    "tensordot": lambda a, b: a[0] * b[-1],
    "einsum": lambda a, b: a[0] * a[1] * b[2],
    "attention": lambda q, k, v: q[0] * q[1] * q[2] * k[2],  # its scores
}
SHORTCUTS = {"conv": 4.0, "conv_transpose": 4.0}  # F(4x4, 3x3) of Winograd's algorithms (Lavin and Gray 2016)


class Coins(Spec):
    """Booleans that are true with probability `high`."""

    def draw(self, rng: np.random.Generator, dtype: Any = None) -> Any:
        return rng.random(self.shape) < self.high


class Signs(Spec):
    """Integers that are 1 or -1."""

    def draw(self, rng: np.random.Generator, dtype: Any = None) -> Any:
        return 2 * rng.integers(0, 2, self.shape) - 1


def sizes(*names: str, outliers: float | None = None) -> Callable:
    """Declare the decorated function to say what these operations are timed on."""

    def declare(function: Callable) -> Callable:
        SIZES.update(dict.fromkeys(names, function))
        if outliers is not None:
            OUTLIERS.update(dict.fromkeys(names, outliers))
        return function

    return declare


def elementwise(
    *names: str, kinds: tuple[Callable[..., Spec], ...] = (normal,), outliers: float | None = None, **params: Any
) -> None:
    """Declare operations that take arrays of n elements of these kinds."""

    def made(n: int = 1_000_000) -> Case:
        return case(*[kind(n) for kind in kinds], **params)

    sizes(*names, outliers=outliers)(made)


# ------------------------------------------------------------------------------------------------------- elementwise

elementwise(
    *("tanh", "sigmoid", "relu", "gelu", "silu", "erf", "erfc", "abs", "negative", "square", "softplus", "sin", "cos"),
    *("atan", "asinh", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "elu", "selu", "logsigmoid", "mish"),
    *("sign", "floor", "ceil", "trunc", "round", "positive", "signbit"),
)
elementwise("isfinite", "isinf", outliers=math.inf)  # without a few, one answer would do for all inputs
elementwise("isnan", "nan_to_num", outliers=math.nan)
elementwise("exp", "exp2", "expm1", "sinh", "cosh", outliers=8.0)  # 64 times as large, they overflow
elementwise("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", kinds=(positive,), outliers=8.0)
elementwise("tan", "asin", "acos", "atanh", "clamped_log", kinds=(unit,), outliers=1.0)  # defined between -1 and 1
elementwise("acosh", kinds=(lambda n: Spec("uniform", (n,), 1.1, 3.0),))
elementwise(
    *("add", "subtract", "multiply", "maximum", "minimum", "fmax", "fmin", "logaddexp", "copysign"),
    *("less", "less_equal", "greater", "greater_equal"),
    kinds=(normal, normal),
)
elementwise("equal", "not_equal", kinds=(lambda n: integers(4, n),) * 2)  # drawn floats are never equal
elementwise("divide", "floor_divide", "remainder", "hypot", "atan2", "xlogy", kinds=(normal, positive), outliers=8.0)
elementwise("pow", kinds=(positive, normal), outliers=1.0)  # large powers of large numbers overflow
elementwise("lerp", kinds=(normal, normal, unit))
elementwise("logical_and", "logical_or", "logical_xor", kinds=(booleans, booleans))
elementwise("logical_not", kinds=(booleans,))
elementwise("where", kinds=(booleans, normal, normal))
elementwise("dropout", rate=0.1, key=(7, 3))


@sizes("clip")
def _(n: int = 1_000_000) -> Case:
    return case(normal(n), -0.5, 0.5)


@sizes("prelu")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(columns))


@sizes("cast")
def _(n: int = 1_000_000) -> Case:
    return case(normal(n), dtype="float64")


# -------------------------------------------------------------------------------------------- along rows and columns


@sizes(
    *("sum", "mean", "max", "min", "logsumexp", "var", "std", "norm", "argmax", "argmin"),
    *("softmax", "log_softmax", "cumsum", "sort", "argsort", "normalize"),
)
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), axis=-1)


@sizes("prod", "cumprod", outliers=1.0)  # the product of a thousand numbers is small or large enough as it is
def _(rows: int = 1024, columns: int = 64) -> Case:
    return case(positive(rows, columns), axis=-1)


@sizes("median")
def _(rows: int = 256, columns: int = 1024) -> Case:
    return case(normal(rows, columns), axis=-1)


@sizes("any")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(Coins("coins", (rows, columns), high=1 / columns), axis=-1)  # one in a row, so that the answers differ


@sizes("all")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(Coins("coins", (rows, columns), high=1 - 1 / columns), axis=-1)


@sizes("count_nonzero")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(booleans(rows, columns), axis=-1)


@sizes("topk")
def _(rows: int = 1024, columns: int = 1024, k: int = 8) -> Case:
    return case(distinct(rows, columns), k=min(k, columns), axis=-1)


@sizes("recurrence", outliers=1.0)
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(unit(rows, columns), normal(rows, columns))


@sizes("cosine_similarity")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(rows, columns), axis=-1)


@sizes("roll")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), shift=3, axis=-1)


@sizes("pad")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), pad_width=((1, 1), (2, 2)))


# ------------------------------------------------------------------------------------------------------------- norms


@sizes("layer_norm")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(columns), normal(columns))


@sizes("rms_norm")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(columns))


@sizes("batch_norm")
def _(N: int = 32, C: int = 64, H: int = 32, W: int = 32) -> Case:
    return case(normal(N, C, H, W), normal(C), normal(C))


@sizes("batch_norm_eval", outliers=8.0)
def _(N: int = 32, C: int = 64, H: int = 32, W: int = 32) -> Case:
    return case(normal(N, C, H, W), normal(C), positive(C), normal(C), normal(C))


@sizes("group_norm")
def _(N: int = 32, C: int = 64, H: int = 32, W: int = 32, groups: int = 8) -> Case:
    return case(normal(N, C, H, W), normal(C), normal(C), num_groups=groups if C % groups == 0 else 1)


# ---------------------------------------------------------------------------------------------------------- products


@sizes("matmul")
def _(M: int = 512, K: int = 512, N: int = 512) -> Case:
    return case(normal(M, K), normal(K, N))


@sizes("linear")
def _(rows: int = 512, inputs: int = 512, outputs: int = 512) -> Case:
    return case(normal(rows, inputs), normal(outputs, inputs), normal(outputs))


@sizes("dot")
def _(n: int = 1_000_000) -> Case:
    return case(normal(n), normal(n))


@sizes("vecdot")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(rows, columns))


@sizes("inner")
def _(rows: int = 512, columns: int = 512) -> Case:
    return case(normal(rows, columns), normal(rows, columns))


@sizes("outer")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows), normal(columns))


@sizes("kron")
def _(rows: int = 32, columns: int = 32) -> Case:
    return case(normal(rows, columns), normal(columns, rows))


@sizes("tensordot")
def _(rows: int = 512, K: int = 16, L: int = 16, columns: int = 512) -> Case:
    return case(normal(rows, K, L), normal(K, L, columns))


@sizes("einsum")
def _(batch: int = 8, rows: int = 128, K: int = 128, columns: int = 128) -> Case:
    return case(normal(batch, rows, K), normal(batch, K, columns), subscripts="bij,bjk->bik")


@sizes("trace")
def _(batch: int = 64, n: int = 128) -> Case:
    return case(normal(batch, n, n), axis1=-2, axis2=-1)


@sizes("det", "slogdet", outliers=1.0)
def _(batch: int = 16, n: int = 32) -> Case:
    return case(normal(batch, n, n))  # the determinants of the well-conditioned ones below are all the same


@sizes("inv", "cofactors", "qr", outliers=1.0)  # large entries would make them ill-conditioned
def _(batch: int = 16, n: int = 32) -> Case:
    return case(matrix(batch, n, n))


@sizes("cholesky", outliers=1.0)
def _(batch: int = 16, n: int = 32) -> Case:
    return case(definite(batch, n, n))


@sizes("solve", outliers=1.0)
def _(batch: int = 16, n: int = 32, k: int = 8) -> Case:
    return case(matrix(batch, n, n), normal(batch, n, k))


# ----------------------------------------------------------------------------------- indexing, joining and resampling


@sizes("embedding")
def _(rows: int = 4096, columns: int = 256, ids: int = 4096) -> Case:
    return case(integers(rows, ids), normal(rows, columns))


@sizes("gather")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), integers(columns, rows, columns), axis=-1)


@sizes("scatter_add")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), integers(columns, rows, columns), normal(rows, columns), axis=-1)


@sizes("setitem")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(-(-rows // 2), columns), index=slice(None, None, 2))


@sizes("concatenate", "stack")
def _(rows: int = 1024, columns: int = 512) -> Case:
    return case(normal(rows, columns), normal(rows, columns), axis=-1)


@sizes("resample")
def _(N: int = 8, C: int = 32, size: int = 64, out: int = 128) -> Case:
    return case(normal(N, C, size), taps=linear(size, out, None, False), axis=-1)


@sizes("rotary_embedding")
def _(batch: int = 8, heads: int = 4, length: int = 256, head_size: int = 64) -> Case:
    return case(normal(batch, heads, length, 2 * -(-head_size // 2)))


# --------------------------------------------------------------------------------------------- networks' own operations


@sizes("conv")
def _(
    N: int = 8, C: int = 32, H: int = 32, W: int = 32, out: int = 32, kernel: int = 3, stride: int = 1, groups: int = 1
) -> Case:
    groups = groups if C % groups == 0 == out % groups else 1
    half = (kernel // 2, kernel // 2)
    geometry = Geometry((stride, stride), (half, half), (1, 1), groups)
    return case(normal(N, C, H, W), normal(out, C // groups, kernel, kernel), geometry=geometry)


@sizes("conv_transpose")
def _(N: int = 8, C: int = 32, H: int = 16, W: int = 16, out: int = 32, stride: int = 2) -> Case:
    geometry = Geometry((stride, stride), ((1, 1), (1, 1)), (1, 1))
    size = ((H - 1) * stride + 1, (W - 1) * stride + 1)
    return case(normal(N, C, H, W), normal(C, out, 3, 3), size=size, geometry=geometry)


@sizes("max_pool")
def _(N: int = 16, C: int = 32, H: int = 32, W: int = 32) -> Case:
    return case(normal(N, C, H, W), windows=(sliding(H, H // 2, 2, 2, 0), sliding(W, W // 2, 2, 2, 0)))


@sizes("rnn", outliers=1.0)  # gates that are shut for good hide what comes before
def _(length: int = 32, batch: int = 16, inputs: int = 64, units: int = 64) -> Case:
    return case(normal(length, batch, inputs), normal(batch, units), *recurrent(1, inputs, units))


@sizes("gru", outliers=1.0)
def _(length: int = 32, batch: int = 16, inputs: int = 64, units: int = 64) -> Case:
    return case(normal(length, batch, inputs), normal(batch, units), *recurrent(3, inputs, units))


@sizes("lstm", outliers=1.0)
def _(length: int = 32, batch: int = 16, inputs: int = 64, units: int = 64) -> Case:
    return case(normal(length, batch, inputs), normal(batch, units), normal(batch, units), *recurrent(4, inputs, units))


def recurrent(gates: int, inputs: int, units: int) -> list[Spec]:
    """Weights and biases, small enough that a long sequence does not blow up."""
    shapes = (gates * units, inputs), (gates * units, units), (gates * units,), (gates * units,)
    return [Spec("uniform", shape, -(units**-0.5), units**-0.5) for shape in shapes]


@sizes("attention")
def _(batch: int = 2, heads: int = 4, length: int = 256, head_size: int = 32, causal: bool = True) -> Case:
    return case(*[normal(batch, heads, length, head_size) for _ in range(3)], causal=causal)


# ------------------------------------------------------------------------------------------------------------ losses


@sizes("cross_entropy", "nll_loss", "multi_margin_loss")
def _(rows: int = 1024, classes: int = 1024) -> Case:
    return case(normal(rows, classes), integers(classes, rows))


@sizes("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), normal(rows, columns))


@sizes("kl_div")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), unit(rows, columns))


@sizes("binary_cross_entropy", outliers=1.0)  # of probabilities
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(unit(rows, columns), unit(rows, columns))


@sizes("binary_cross_entropy_with_logits", outliers=1.0)  # its targets are probabilities
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), unit(rows, columns))


@sizes("hinge_loss")
def _(rows: int = 1024, columns: int = 1024) -> Case:
    return case(normal(rows, columns), Signs("signs", (rows, columns)))


EXCUSED = {
    **dict.fromkeys(("reshape", "permute", "broadcast_to", "flip", "getitem", "split", "unfold"), "makes a view"),
    **dict.fromkeys(("share", "part"), "is a helper of rules"),
    **dict.fromkeys(("eigh", "svd"), "has vectors that are unique up to their signs only, which the gate cannot know"),
    **dict.fromkeys(("ctc_loss", "ctc_loss_grad"), "takes targets that must fit its lengths"),
    **dict.fromkeys(
        (
            *(
                "attention_grad",
                "batch_norm_grad",
                "conv_weight_grad",
                "cofactors_grad",
                "cross_entropy_grad",
                "embedding_grad",
            ),
            *("gelu_grad", "getitem_grad", "gru_grad", "layer_norm_grad", "log_softmax_grad", "lstm_grad"),
            "max_pool_grad",
            *("relu_grad", "rms_norm_grad", "rnn_grad", "silu_grad", "softmax_grad", "standardize_grad", "unfold_grad"),
        ),
        "is timed with the derivative that it is a part of",
    ),
}
