"""The calls that properties run on: every sample of an operation, drawn, laid out and differentiated."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from tinygrad_lm.backend import is_float
from tinygrad_lm.core import OPS, Op, Tensor, flatten, raw, vjp
from tinygrad_lm.core.operation import is_ours
from tinygrad_lm.testing.layouts import LAYOUTS

__all__ = ["Trial", "registered", "trials"]


class Trial:
    """One operation on one of its samples: the call as a function of its arrays.

    The numbers are decided by `seed`; `layouts` names how each array lies in memory (contiguous where it says nothing).

    >>> import tinygrad_lm as tg
    >>> trial = tg.testing.trials(tg.multiply)[0]
    >>> trial, [a.shape for a in trial.draw()]
    (<multiply, sample 0: normal(2,3),normal(2,3)>, [(2, 3), (2, 3)])
    """

    def __init__(self, op: Op, case: Any, i: int, seed: Sequence[int] = (), layouts: Sequence[str] = ()):
        self.op, self.case, self.i, self.layouts = op, case, i, tuple(layouts)
        self.seed = list(seed) or [zlib.crc32(op.name.encode()), i]
        self.id = f"{op.name}-{i}"

    def again(self, seed: int, layouts: Sequence[str] = ()) -> Trial:
        """The same call with other numbers, laid out otherwise."""
        return Trial(self.op, self.case, self.i, [seed], layouts)

    def __repr__(self) -> str:
        laid_out = f", laid out {', '.join(self.layouts)}" if self.layouts else ""
        return f"<{self.op.name}, sample {self.i}: {self.case}{laid_out}>"

    # ------------------------------------------------------------------------------------------------ the call

    def draw(self, dtype: Any = np.float64, layout: str | None = None) -> list:
        """The inputs, new arrays at each call; floating ones in `dtype`.  The same numbers, rounded, for every dtype.

        `layout` puts every array into that layout; `broadcast`, which changes values, floating ones only.
        """
        drawn = self.case.draw(np.random.default_rng(self.seed), np.float64)
        arrays = [np.array(a, dtype if is_floating(a) else None) if isinstance(a, np.ndarray) else a for a in drawn]
        names = self.layouts if layout is None else [layout] * len(arrays)
        for i, name in enumerate(names):
            if isinstance(arrays[i], np.ndarray) and (is_floating(arrays[i]) or name != "broadcast"):
                arrays[i] = LAYOUTS[name](arrays[i])
        return arrays

    def __call__(self, *arrays: Any) -> Any:
        given = [list(arrays)] if self.op.variadic else arrays
        return self.op.function(*given, **self.case.params)

    def outputs(self, *arrays: Any) -> list:
        """The floating outputs, as a list."""
        return [y for y in flatten(self(*arrays))[0] if is_floating(y)]

    def name(self, i: int) -> str:
        """What the i-th input is called."""
        return f"{self.op.variadic}[{i}]" if self.op.variadic else self.op.inputs[i]

    # ------------------------------------------------------------------------------------------------ its derivative

    @cached_property
    def tracked(self) -> list[int]:
        """Positions of the inputs that a gradient flows to."""
        arrays = self.draw()
        names = [self.op.variadic] * len(arrays) if self.op.variadic else self.op.inputs
        rules: list = [self.op.rules.get(str(n), "undeclared") for n in names]
        return [i for i, a in enumerate(arrays) if is_floating(a) and rules[i] is not None]

    @cached_property
    def differentiable(self) -> bool:
        return bool(self.tracked) and bool(self.outputs(*self.draw()))

    def of(self, positions: Sequence[int], arrays: Sequence[Any]) -> tuple[Callable, list]:
        """(the floating outputs as a function of the inputs at `positions`, those inputs)."""

        def f(*chosen: Any) -> list:
            full = list(arrays)
            for i, x in zip(positions, chosen, strict=True):
                full[i] = x
            return self.outputs(*full)

        return f, [arrays[i] for i in positions]

    def leaves(self, arrays: Sequence[Any]) -> list:
        """Tensors for the arrays; those that a gradient flows to require it."""
        return [
            Tensor(a, requires_grad=i in self.tracked) if isinstance(a, np.ndarray) else a for i, a in enumerate(arrays)
        ]

    def cotangents(self, arrays: Sequence[Any], which: int = 1) -> list:
        """Random weights for the floating outputs, in their dtypes; another `which`, other weights."""
        rng = np.random.default_rng([*self.seed, which])
        return [np.asarray(rng.normal(size=y.shape), y.dtype) for y in self.outputs(*arrays)]

    def pullback(self, arrays: Sequence[Any]) -> Callable:
        """cotangents -> gradients of the tracked inputs."""
        f, chosen = self.of(self.tracked, arrays)
        pull = vjp(f, *chosen)[1]
        return lambda cotangents: pull(list(cotangents))

    def gradients(self, arrays: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
        return self.pullback(arrays)(cotangents)


def is_floating(a: Any) -> bool:
    """Whether it is an array or Tensor of floats."""
    return is_float(getattr(raw(a), "dtype", np.dtype(int)))


def registered() -> list[Op]:
    """The operations of this package."""
    return [op for op in OPS.values() if is_ours(op.forward)]


def trials(op: Any = None) -> list[Trial]:
    """The calls of one operation (the function that users call, or its record), or of all of this package."""
    if op is None:
        return [trial for op in registered() for trial in _of(op)]
    return list(_of(getattr(op, "op", op)))


@cache
def _of(op: Op) -> tuple[Trial, ...]:
    return tuple([Trial(op, case, i) for i, case in enumerate(op.facts.get("samples", list)())])
