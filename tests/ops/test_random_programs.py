"""The same random programs here and in torch: values and gradients, for the operations that have a twin.

Without torch these tests are skipped, unless TINYGRAD_LM_STRICT=1 says that they must run (`make test` does).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings

from tinygrad_lm import vjp
from tinygrad_lm.core import flatten
from tinygrad_lm.testing import strategies as some
from tinygrad_lm.testing.programs import differentiable

try:
    import torch

    from .test_ops_torch import TWINS, same
except ImportError:
    pytest.skip("the differential lane needs torch", allow_module_level=True)

SHARED = [name for name in differentiable() if name in TWINS]


def tensor(a):
    return torch.tensor(a) if isinstance(a, np.ndarray) else a


def in_torch(op, args, params):
    tensors = list(map(tensor, args))
    if any(torch.is_tensor(t) and not t.numel() for t in tensors):
        raise ValueError("what torch makes of no elements is compared sample by sample")
    return TWINS[op](*tensors, **params)


def of_torch(program):
    """(outputs, inputs) in torch; None if torch refuses what a step asks for."""
    leaves = [torch.tensor(x, requires_grad=True) for x in program.inputs]
    try:
        return flatten(program.run(leaves, in_torch))[0], leaves
    except (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, pytest.skip.Exception):
        return None


def test_programs_agree_with_torch():
    compared, refused = set(), []

    @settings(max_examples=500, phases=[Phase.generate, Phase.shrink])
    @given(some.programs(ops=SHARED))
    def agree(program):
        theirs = of_torch(program)
        if theirs is None:
            refused.append(program)
            return
        outs, leaves = theirs
        ours = flatten(program(*program.inputs))[0]
        us = [0.5 + np.cos(2.0 * np.arange(y.size) + i).reshape(y.shape) for i, y in enumerate(ours)]
        for y, z in zip(ours, outs, strict=True):
            same(y, z, "values")
        weighted = sum([(z * torch.tensor(u)).sum() for z, u in zip(outs, us, strict=True)], start=0 * leaves[0].sum())
        grads = torch.autograd.grad(weighted, leaves, allow_unused=True, materialize_grads=True)
        f = lambda *xs: flatten(program(*xs))[0]  # noqa: E731
        for g, h in zip(vjp(f, *program.inputs)[1](us), grads, strict=True):
            same(g, h, "gradients")
        compared.update(step.op for step in program.steps)

    agree()
    assert len(compared) >= 0.6 * len(SHARED), sorted(set(SHARED) - compared)
    assert len(refused) <= 200, "too few are compared"
