"""Layer 2: how derivatives flow.  docs/read-the-engine.md says in which order to read it."""

from tinygrad_lm.core.debug import debug
from tinygrad_lm.core.errors import NotDifferentiable, ndim_of
from tinygrad_lm.core.function import Function
from tinygrad_lm.core.functional import flatten, grad, hvp, jvp, value_and_grad, vjp
from tinygrad_lm.core.node import Node
from tinygrad_lm.core.operation import OPS, Op, op
from tinygrad_lm.core.recompute import checkpoint
from tinygrad_lm.core.tensor import Tensor, from_dlpack, ones_like, raw

__all__ = [
    "OPS",
    "Function",
    "Node",
    "NotDifferentiable",
    "Op",
    "Tensor",
    "checkpoint",
    "debug",
    "flatten",
    "from_dlpack",
    "grad",
    "hvp",
    "jvp",
    "ndim_of",
    "ones_like",
    "op",
    "raw",
    "value_and_grad",
    "vjp",
]
