"""Layer 4: modules, which own parameters and call operations."""

from tinygrad_lm.nn import init
from tinygrad_lm.nn.attention import KeyValueCache, MultiHeadAttention
from tinygrad_lm.nn.layers import (
    GELU,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    ModuleList,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Tanh,
)
from tinygrad_lm.nn.module import Module, Parameter

__all__ = [
    "Dropout",
    "Embedding",
    "GELU",
    "KeyValueCache",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "init",
]
