"""Recurrent layers over whole sequences; parameters are named and shaped as torch's, so weights can be exchanged."""

from __future__ import annotations

from typing import Any

from tinygrad_lm import ops
from tinygrad_lm.backend import Generator, backend_of
from tinygrad_lm.core import raw
from tinygrad_lm.nn import init
from tinygrad_lm.nn.layers import Dropout, check_sizes, new_parameter
from tinygrad_lm.nn.module import Module


class Recurrent(Module):
    """What RNN, LSTM and GRU share: `num_layers` layers, one above the other, in one direction or in both.

    x: (T, N, inputs), with `batch_first` (N, T, inputs).  The first layer reads x, each further one what the one below
    gave out; with `bidirectional`, a second one reads backwards and its outputs stand behind those of the first.
    Between layers acts dropout, in training.  The result is (outputs, final state):

        outputs         (T, N, H), or (T, N, 2H) with both directions; (N, T, ...) with `batch_first`
        final state     (layers * directions, N, H); a pair (h, c) of them for LSTM.  The same is the initial state,
                        zeros if it is not given.

    Layer k has weight_ih_lk (gates * H, inputs), weight_hh_lk (gates * H, H), bias_ih_lk and bias_hh_lk (gates * H,);
    the backward ones end in _reverse.  All start as U(-a, a) with a = 1 / sqrt(H).
    """

    gates = 1
    states = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        generator: Generator | None = None,
        dtype: Any = None,
    ):
        check_sizes(self, inputs=inputs, width=width, num_layers=num_layers)
        self.inputs, self.width, self.num_layers = inputs, width, num_layers
        self.batch_first, self.bidirectional = batch_first, bidirectional
        self.dropout = Dropout(dropout, generator)
        for suffix in [s for layer in range(num_layers) for s in self.suffixes(layer)]:
            below = inputs if suffix in self.suffixes(0) else width * (1 + bidirectional)
            rows = self.gates * width
            for name, shape in {"weight_ih": (rows, below), "weight_hh": (rows, width)}.items():
                setattr(self, name + suffix, new_parameter(*shape, dtype=dtype))
            for name in ("bias_ih", "bias_hh"):
                setattr(self, name + suffix, new_parameter(rows, dtype=dtype) if bias else None)
        for parameter in self.parameters():
            init.uniform_(parameter, -(width**-0.5), width**-0.5, generator)

    def suffixes(self, layer: int) -> list[str]:
        """How the names of a layer's parameters end, for each direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def run(self, x: Any, *states_and_weights: Any) -> tuple:
        """(all outputs, each final state) of one layer in one direction."""
        raise NotImplementedError

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        if x.ndim != 3 or x.shape[-1] != self.inputs:
            order = "(N, T, inputs)" if self.batch_first else "(T, N, inputs)"
            raise ValueError(f"{type(self).__name__} takes {order} with inputs = {self.inputs}, got shape {x.shape}")
        x = ops.swapaxes(x, 0, 1) if self.batch_first else x
        initial = self.initial_state(x, state)
        finals: list[list] = [[] for _ in initial]
        for layer in range(self.num_layers):
            x = self.dropout(x) if layer else x
            directions = []
            for suffix in self.suffixes(layer):
                at = len(finals[0])
                weights = [getattr(self, n + suffix) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
                backwards = suffix.endswith("_reverse")
                read = ops.flip(x, axis=0) if backwards else x
                ys, *final = self.run(read, *[s[at] for s in initial], *weights)
                directions.append(ops.flip(ys, axis=0) if backwards else ys)
                for collected, s in zip(finals, final, strict=True):
                    collected.append(s)
            x = ops.concatenate(directions, axis=-1) if self.bidirectional else directions[0]
        last = tuple([ops.stack(collected) for collected in finals])
        return ops.swapaxes(x, 0, 1) if self.batch_first else x, last if self.states > 1 else last[0]

    def initial_state(self, x: Any, state: Any) -> tuple:
        """The states that all layers begin with, zeros for None; ValueError if one has another shape."""
        shape = (self.num_layers * (1 + self.bidirectional), x.shape[1], self.width)
        if state is None:
            return (backend_of(raw(x)).xp.zeros(shape, next(self.parameters()).dtype),) * self.states
        states = state if self.states > 1 else (state,)
        if len(states) != self.states or any(tuple(s.shape) != shape for s in states):
            kind = "a pair (h, c) of states" if self.states > 1 else "a state"
            got = [tuple(s.shape) for s in states]
            raise ValueError(
                f"{type(self).__name__} needs {kind} of shape {shape} (layers * directions, batch, width), got "
                f"{got if self.states > 1 else got[0]}"
            )
        return tuple(states)

    def extra_repr(self) -> str:
        shown = [f"{self.inputs}, {self.width}"]
        shown += [f"num_layers={self.num_layers}"] * (self.num_layers > 1)
        shown += ["bidirectional=True"] * self.bidirectional + ["batch_first=True"] * self.batch_first
        return ", ".join(shown)


class RNN(Recurrent):
    """h_t = tanh(x_t W_ih^T + b_ih + h_(t-1) W_hh^T + b_hh), or relu with `nonlinearity="relu"`; see `Recurrent`."""

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **settings: Any):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(*args, **settings)

    def run(self, x: Any, *states_and_weights: Any) -> tuple:
        return ops.rnn(x, *states_and_weights, nonlinearity=self.nonlinearity)


class LSTM(Recurrent):
    """Long short-term memory, whose state is a pair (h, c); see `Recurrent`, and `tg.lstm` for the formula."""

    gates = 4
    states = 2

    def run(self, x: Any, *states_and_weights: Any) -> tuple:
        return ops.lstm(x, *states_and_weights)


class GRU(Recurrent):
    """Gated recurrent units; see `Recurrent`, and `tg.gru` for the formula.

    >>> import numpy as np
    >>> from tinygrad_lm import nn
    >>> ys, h = nn.GRU(3, 4, num_layers=2)(np.ones((5, 2, 3), np.float32))
    >>> ys.shape, h.shape
    ((5, 2, 4), (2, 2, 4))
    """

    gates = 3

    def run(self, x: Any, *states_and_weights: Any) -> tuple:
        return ops.gru(x, *states_and_weights)
