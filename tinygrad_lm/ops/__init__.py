"""Layer 3: operations, one block each; importing this room attaches operators and methods to Tensor."""

# ruff: noqa: F403 (each file says in its __all__ what is public)

from tinygrad_lm.ops import (
    activation,
    binary_loss,
    channel_norms,
    choosing,
    class_loss,
    comparison,
    convolution,
    ctc,
    einstein,
    elementwise,
    exponential,
    indexing,
    joining,
    linalg,
    loss,
    matrices,
    methods,
    normalization,
    padding,
    pooling,
    products,
    random,
    recurrent,
    reduction,
    resampling,
    rotary,
    rounding,
    running,
    shape,
    similarity,
    softmax_attention,
    sorting,
    trigonometric,
)
from tinygrad_lm.ops.activation import *
from tinygrad_lm.ops.binary_loss import *
from tinygrad_lm.ops.channel_norms import *
from tinygrad_lm.ops.choosing import *
from tinygrad_lm.ops.class_loss import *
from tinygrad_lm.ops.comparison import *
from tinygrad_lm.ops.convolution import *
from tinygrad_lm.ops.ctc import *
from tinygrad_lm.ops.einstein import *
from tinygrad_lm.ops.elementwise import *
from tinygrad_lm.ops.exponential import *
from tinygrad_lm.ops.indexing import *
from tinygrad_lm.ops.joining import *
from tinygrad_lm.ops.loss import *
from tinygrad_lm.ops.matrices import *
from tinygrad_lm.ops.methods import *
from tinygrad_lm.ops.normalization import *
from tinygrad_lm.ops.padding import *
from tinygrad_lm.ops.pooling import *
from tinygrad_lm.ops.products import *
from tinygrad_lm.ops.random import *
from tinygrad_lm.ops.recurrent import *
from tinygrad_lm.ops.reduction import *
from tinygrad_lm.ops.resampling import *
from tinygrad_lm.ops.rotary import *
from tinygrad_lm.ops.rounding import *
from tinygrad_lm.ops.running import *
from tinygrad_lm.ops.shape import *
from tinygrad_lm.ops.similarity import *
from tinygrad_lm.ops.softmax_attention import *
from tinygrad_lm.ops.sorting import *
from tinygrad_lm.ops.trigonometric import *

methods.attach()

__all__: list[str] = ["linalg"]
__all__ += activation.__all__
__all__ += binary_loss.__all__
__all__ += channel_norms.__all__
__all__ += choosing.__all__
__all__ += class_loss.__all__
__all__ += comparison.__all__
__all__ += convolution.__all__
__all__ += ctc.__all__
__all__ += einstein.__all__
__all__ += elementwise.__all__
__all__ += exponential.__all__
__all__ += indexing.__all__
__all__ += joining.__all__
__all__ += loss.__all__
__all__ += matrices.__all__
__all__ += methods.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += pooling.__all__
__all__ += products.__all__
__all__ += random.__all__
__all__ += recurrent.__all__
__all__ += reduction.__all__
__all__ += resampling.__all__
__all__ += rotary.__all__
__all__ += rounding.__all__
__all__ += running.__all__
__all__ += shape.__all__
__all__ += similarity.__all__
__all__ += softmax_attention.__all__
__all__ += sorting.__all__
__all__ += trigonometric.__all__
