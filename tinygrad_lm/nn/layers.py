"""Layers: each owns its parameters and calls one operation.

Every constructor takes `generator`, from which initial values are drawn (None: the default generator), and `dtype`
(None: `tg.default_dtype()`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_lm import config, ops
from tinygrad_lm.backend import Generator, default_generator
from tinygrad_lm.nn import init
from tinygrad_lm.nn.module import Module, Parameter


def new_parameter(*shape: int, dtype: Any = None) -> Parameter:
    """A parameter of zeros, to be filled by an initialiser."""
    return Parameter(np.zeros(shape, config.default_dtype() if dtype is None else dtype))


def check_sizes(layer: Module, **sizes: int) -> None:
    """ValueError unless all are whole numbers above zero."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{type(layer).__name__}: {name} must be a whole number above 0, got {size!r}")


class Linear(Module):
    """y = x @ weight.T + bias:  (..., inputs) -> (..., outputs).

    `weight` has shape (outputs, inputs); both start as U(-a, a) with a = 1 / sqrt(inputs).
    """

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, generator: Generator | None = None, dtype: Any = None
    ):
        check_sizes(self, inputs=inputs, outputs=outputs)
        bound = inputs**-0.5
        self.weight = new_parameter(outputs, inputs, dtype=dtype)
        init.uniform_(self.weight, -bound, bound, generator)
        self.bias = None
        if bias:
            self.bias = new_parameter(outputs, dtype=dtype)
            init.uniform_(self.bias, -bound, bound, generator)

    def forward(self, x: Any) -> Any:
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}{', bias=False' if self.bias is None else ''}"


class Embedding(Module):
    """A row of `weight` (count, width) for every id:  integers (...) -> (..., width).  Starts as N(0, 1)."""

    def __init__(self, count: int, width: int, generator: Generator | None = None, dtype: Any = None):
        check_sizes(self, count=count, width=width)
        self.weight = new_parameter(count, width, dtype=dtype)
        init.normal_(self.weight, generator=generator)

    def forward(self, ids: Any) -> Any:
        return ops.embedding(ids, self.weight)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over the last axis, which has size `width`.

    `weight` starts as 1 and `bias` as 0; either may be left out.
    """

    def __init__(self, width: int, weight: bool = True, bias: bool = True, eps: float = 1e-5, dtype: Any = None):
        check_sizes(self, width=width)
        self.width, self.eps = width, eps
        self.weight = init.ones_(new_parameter(width, dtype=dtype)) if weight else None
        self.bias = new_parameter(width, dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}"


class Dropout(Module):
    """Sets each element to 0 with probability `p` and scales the others by 1 / (1 - p); nothing in evaluation mode.

    The mask is a function of the generator's seed and stream, so a run with the same generator state repeats it.
    """

    def __init__(self, p: float = 0.1, generator: Generator | None = None):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is the probability of dropping an element, from 0 to below 1, got {p!r}")
        self.p = p
        self.generator = default_generator() if generator is None else generator

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        return ops.dropout(x, rate=self.p, key=self.generator.key())

    def extra_repr(self) -> str:
        return f"{self.p}"


class Activation(Module):
    """An elementwise operation as a layer; its keywords are the settings of the layer: `LeakyReLU(negative_slope=0.1)`.

    `class ReLU(Activation, of=ops.relu)` is all that another one takes.
    """

    function: Callable[..., Any]

    def __init_subclass__(cls, of: Callable[..., Any]):
        cls.function = staticmethod(of)

    def __init__(self, *settings: Any, **named: Any):
        try:
            self.settings = inspect.signature(self.function).bind(None, *settings, **named).arguments
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        self.settings.pop("x")

    def forward(self, x: Any) -> Any:
        return self.function(x, **self.settings)

    def extra_repr(self) -> str:
        return ", ".join([f"{name}={value!r}" for name, value in self.settings.items()])


class ReLU(Activation, of=ops.relu):
    """max(x, 0)"""


class LeakyReLU(Activation, of=ops.leaky_relu):
    """x where x > 0, else negative_slope * x"""


class PReLU(Module):
    """x where x > 0, else weight * x, with one weight for all or one for each of `count` channels, axis 1 of x."""

    def __init__(self, count: int = 1, start: float = 0.25, dtype: Any = None):
        check_sizes(self, count=count)
        self.weight = new_parameter(count, dtype=dtype)
        self.weight.data[...] = start

    def forward(self, x: Any) -> Any:
        count = self.weight.size
        if count == 1:
            return ops.prelu(x, self.weight)
        if x.ndim < 2 or x.shape[1] != count:
            raise ValueError(f"PReLU({count}) takes (N, C, ...) with C = {count}, got shape {x.shape}")
        return ops.prelu(x, ops.reshape(self.weight, shape=(count, *(1,) * (x.ndim - 2))))

    def extra_repr(self) -> str:
        return f"{self.weight.size}"


class ELU(Activation, of=ops.elu):
    """x where x > 0, else alpha * (exp(x) - 1)"""


class SELU(Activation, of=ops.selu):
    """ELU scaled so that mean 0 and variance 1 pass through many layers"""


class GELU(Activation, of=ops.gelu):
    """x * Phi(x), with Phi the normal distribution function; `approximate="tanh"` for its faster approximation."""

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate is 'none' or 'tanh', got {approximate!r}")
        super().__init__(**{"approximate": approximate} if approximate != "none" else {})


class SiLU(Activation, of=ops.silu):
    """x * sigmoid(x)"""


class Mish(Activation, of=ops.mish):
    """x * tanh(softplus(x))"""


class Softplus(Activation, of=ops.softplus):
    """log(1 + exp(beta * x)) / beta"""


class Tanh(Activation, of=ops.tanh):
    """tanh(x)"""


class Hardtanh(Activation, of=ops.hardtanh):
    """x limited to [low, high]"""


class Sigmoid(Activation, of=ops.sigmoid):
    """1 / (1 + exp(-x))"""


class LogSigmoid(Activation, of=ops.logsigmoid):
    """log(sigmoid(x))"""


class Hardsigmoid(Activation, of=ops.hardsigmoid):
    """x / 6 + 1 / 2 limited to [0, 1]"""


class Hardswish(Activation, of=ops.hardswish):
    """x * hardsigmoid(x)"""


class Softmax(Activation, of=ops.softmax):
    """exp(x), divided by its sum along `axis`"""


class LogSoftmax(Activation, of=ops.log_softmax):
    """log(softmax(x)) along `axis`"""


class ModuleList(Module):
    """Modules in a row, named "0", "1", ...: a list that its parent finds parameters in.  It is not itself called."""

    def __init__(self, modules: Iterable[Module] = ()):
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__} holds modules, got {type(module).__name__}")
        setattr(self, str(len(self)), module)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]


class Sequential(ModuleList):
    """Modules applied one after another: the output of each is the input of the next.

    >>> from tinygrad_lm import nn
    >>> nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    Sequential: 65 parameters
      0: Linear(2, 16): 48 parameters: weight (16, 2), bias (16,)
      1: Tanh
      2: Linear(16, 1): 17 parameters: weight (1, 16), bias (1,)
    """

    def __init__(self, *modules: Module):
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x
