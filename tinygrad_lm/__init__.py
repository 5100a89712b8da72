"""tinygrad_lm: reverse-mode autograd on NumPy and CuPy, with kernels, layers and language models built on it.

    import tinygrad_lm as tg

Not related to the project named tinygrad.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tinygrad_lm.backend import (
    Generator,
    Unavailable,
    default_generator,
    kernels_in_use,
    manual_seed,
    set_kernels,
    use_kernels,
)
from tinygrad_lm.config import default_dtype, enable_grad, keep_grads, no_grad, watch
from tinygrad_lm.core import (
    OPS,
    Function,
    NotDifferentiable,
    Tensor,
    checkpoint,
    debug,
    from_dlpack,
    grad,
    hvp,
    jvp,
    op,
    value_and_grad,
    vjp,
)
from tinygrad_lm.ops import *  # noqa: F403 (the one place: every operation is named in ops.__all__)
from tinygrad_lm.ops import __all__ as _operations

from tinygrad_lm import nn, optim  # isort: skip

__version__ = "0.1.0"

__all__ = [
    "OPS",
    "Function",
    "Generator",
    "NotDifferentiable",
    "Tensor",
    "Unavailable",
    "checkpoint",
    "debug",
    "default_dtype",
    "default_generator",
    "enable_grad",
    "from_dlpack",
    "grad",
    "hvp",
    "jvp",
    "keep_grads",
    "kernels_in_use",
    "manual_seed",
    "nn",
    "no_grad",
    "op",
    "optim",
    "set_kernels",
    "use_kernels",
    "value_and_grad",
    "vjp",
    "watch",
    *_operations,
]


def __getattr__(name: str) -> Any:
    """The rooms that a first import does not need are loaded when they are used: tg.models, tg.bench, ..."""
    if name in ("backend", "bench", "data", "models", "testing", "train"):
        return import_module(f"tinygrad_lm.{name}")
    raise AttributeError(f"module 'tinygrad_lm' has no attribute {name!r}")
