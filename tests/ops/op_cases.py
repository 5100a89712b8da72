"""The calls that the tests of operations run on: every sample of every registered operation."""

from __future__ import annotations

import zlib
from functools import cached_property

import numpy as np

from tinygrad_lm import OPS, Tensor, vjp
from tinygrad_lm.core import flatten, raw


class Trial:
    """One operation on one of its samples: the call as a function of its arrays."""

    def __init__(self, op, case, i):
        self.op, self.case = op, case
        self.seed = [zlib.crc32(op.name.encode()), i]
        self.id = f"{op.name}-{i}"

    def draw(self, dtype=np.float64):
        """The inputs; floating arrays in `dtype`, others as they are.  The same numbers, rounded, for every dtype."""
        drawn = self.case.draw(np.random.default_rng(self.seed), np.float64)
        return [np.asarray(a, dtype) if is_floating(a) else a for a in drawn]

    def __call__(self, *arrays):
        given = [list(arrays)] if self.op.variadic else arrays
        return self.op.function(*given, **self.case.params)

    def outputs(self, *arrays):
        """The floating outputs, as a list."""
        return [y for y in flatten(self(*arrays))[0] if is_floating(y)]

    @cached_property
    def tracked(self):
        """Positions of the inputs that a gradient flows to."""
        arrays = self.draw()
        names = [self.op.variadic] * len(arrays) if self.op.variadic else self.op.inputs
        rules = [self.op.rules.get(n, "undeclared") for n in names]
        return [i for i, a in enumerate(arrays) if is_floating(a) and rules[i] is not None]

    @cached_property
    def differentiable(self):
        return bool(self.tracked) and bool(self.outputs(*self.draw()))

    def of(self, positions, arrays):
        """(the floating outputs as a function of the inputs at `positions`, those inputs)."""

        def f(*chosen):
            full = list(arrays)
            for i, x in zip(positions, chosen, strict=True):
                full[i] = x
            return self.outputs(*full)

        return f, [arrays[i] for i in positions]

    def leaves(self, arrays):
        """Tensors for the arrays; those that a gradient flows to require it."""
        return [
            Tensor(a, requires_grad=i in self.tracked) if isinstance(a, np.ndarray) else a for i, a in enumerate(arrays)
        ]

    def cotangents(self, arrays):
        rng = np.random.default_rng([*self.seed, 1])
        return [np.asarray(rng.normal(size=y.shape), y.dtype) for y in self.outputs(*arrays)]

    def gradients(self, arrays, cotangents):
        f, chosen = self.of(self.tracked, arrays)
        return vjp(f, *chosen)[1](list(cotangents))


def is_floating(a):
    return getattr(raw(a), "dtype", np.dtype(int)).kind == "f"


def close(actual, desired, scale=1.0):
    """Equal up to the order of additions in float64: 1e-12 of the largest number around."""
    desired = np.asarray(raw(desired))
    largest = max(scale, np.abs(desired).max(initial=0))
    np.testing.assert_allclose(raw(actual), desired, rtol=0, atol=1e-12 * largest)


REGISTERED = [op for op in OPS.values() if op.forward.__module__.startswith("tinygrad_lm.")]
TRIALS = [Trial(op, case, i) for op in REGISTERED for i, case in enumerate(op.facts.get("samples", list)())]
SMOOTH = [t for t in TRIALS if t.differentiable]
