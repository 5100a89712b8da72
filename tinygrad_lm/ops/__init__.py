"""Layer 3: operations, one block each; importing this room attaches operators and methods to Tensor."""

# ruff: noqa: F403 (each file says in its __all__ what is public)

from tinygrad_lm.ops import (
    activation,
    elementwise,
    indexing,
    loss,
    matrices,
    methods,
    normalization,
    products,
    random,
    reduction,
    shape,
    softmax_attention,
)
from tinygrad_lm.ops.activation import *
from tinygrad_lm.ops.elementwise import *
from tinygrad_lm.ops.indexing import *
from tinygrad_lm.ops.loss import *
from tinygrad_lm.ops.matrices import *
from tinygrad_lm.ops.methods import *
from tinygrad_lm.ops.normalization import *
from tinygrad_lm.ops.products import *
from tinygrad_lm.ops.random import *
from tinygrad_lm.ops.reduction import *
from tinygrad_lm.ops.shape import *
from tinygrad_lm.ops.softmax_attention import *

methods.attach()

__all__: list[str] = []
__all__ += activation.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += matrices.__all__
__all__ += loss.__all__
__all__ += methods.__all__
__all__ += normalization.__all__
__all__ += products.__all__
__all__ += random.__all__
__all__ += reduction.__all__
__all__ += shape.__all__
__all__ += softmax_attention.__all__
