"""Launchers of what is done to many parameters at once, in place (kernels/optimizer).

A step of an optimizer: `kernel(xp, parameters, settings)`, where a parameter is (array, gradient, state) and the state
is the optimizer's own dictionary, whose arrays and counters are moved on.  The norm of gradients: `kernel(xp, arrays)`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.backend.launch.common import MOST_TENSORS, Run, Rung, Tensors, Values, suffix_of

CHUNK = 8192  # numbers that a block takes
THREADS = 256
Entry = tuple[Any, Any, dict[str, Any]]


def served(arrays: Sequence[Any]) -> bool:
    """Whether kernels can work on these in place."""
    return suffix_of(*arrays) is not None and all(a.flags.c_contiguous for a in arrays)


def launches(arrays: Sequence[Any]) -> Iterator[tuple[list[int], Values, int]]:
    """Which arrays go into one launch, their sizes, and the number of blocks; those without elements in none."""
    full = [i for i, a in enumerate(arrays) if a.size]
    for start in range(0, len(full), MOST_TENSORS):
        some = full[start : start + MOST_TENSORS]
        sizes = np.array([arrays[i].size for i in some], np.int64)
        yield some, Values(sizes), int((-(-sizes // CHUNK)).sum())


def by_dtype(parameters: Sequence[Entry]) -> list[list[Entry]]:
    """Parameters of one dtype together: a launch has one."""
    found: dict[Any, list[Entry]] = {}
    for parameter in parameters:
        found.setdefault(parameter[0].dtype, []).append(parameter)
    return list(found.values())


def arrays_of(parameter: Entry) -> list[Any]:
    array, gradient, state = parameter
    return [array, gradient, *(value for value in state.values() if not isinstance(value, int))]


def adam(run: Run, xp: Any, parameters: Sequence[Entry], settings: dict[str, Any], *, decoupled: bool) -> Any:
    """A step of Adam or AdamW."""
    if not all(served(arrays_of(p)) for p in parameters):
        return NotImplemented
    (beta1, beta2), lr, decay = settings["betas"], settings["lr"], settings["weight_decay"]
    for group in by_dtype(parameters):
        for _, _, state in group:
            state["step"] += 1
        roots = [math.sqrt(1 - beta2 ** s["step"]) for _, _, s in group]
        rates = [lr * root / (1 - beta1 ** s["step"]) for root, (_, _, s) in zip(roots, group, strict=True)]
        numbers = [beta1, beta2, 1 - beta1, 1 - beta2, 0 if decoupled else decay, 1 - lr * decay if decoupled else 1]
        for some, sizes, blocks in launches([p for p, _, _ in group]):
            chosen = [group[i] for i in some]
            tables = [
                Tensors(p for p, _, _ in chosen),
                Tensors(g for _, g, _ in chosen),
                Tensors(s["exp_avg"] for _, _, s in chosen),
                Tensors(s["exp_avg_sq"] for _, _, s in chosen),
            ]
            each = [
                Values(np.array([rates[i] for i in some], np.float32)),
                Values(np.array([settings["eps"] * roots[i] for i in some], np.float32)),
            ]
            given = [*tables, sizes, *each, *map(np.float32, numbers)]
            kernel = f"adam_{suffix_of(chosen[0][0])}"
            run("optimizer/adam.cu", kernel, (blocks, 1, 1), (THREADS, 1, 1), 0, given)
    return None


def sgd(run: Run, xp: Any, parameters: Sequence[Entry], settings: dict[str, Any]) -> Any:
    """A step of gradient descent."""
    if not all(served(arrays_of(p)) for p in parameters):
        return NotImplemented
    numbers = [np.float32(settings[name]) for name in ("lr", "momentum", "weight_decay")]
    for group in by_dtype(parameters):
        for some, sizes, blocks in launches([p for p, _, _ in group]):
            chosen = [group[i] for i in some]
            tables = [
                Tensors(p for p, _, _ in chosen),
                Tensors(g for _, g, _ in chosen),
                Tensors(s.get("momentum_buffer") for _, _, s in chosen),
            ]
            given = [*tables, sizes, *numbers, np.int32(settings["nesterov"])]
            kernel = f"sgd_{suffix_of(chosen[0][0])}"
            run("optimizer/sgd.cu", kernel, (blocks, 1, 1), (THREADS, 1, 1), 0, given)
    return None


def square_sum(run: Run, xp: Any, arrays: Sequence[Any]) -> Any:
    """The sum of the squares of all elements of arrays of one dtype, in float64, as an array without axes."""
    if not served(arrays):
        return NotImplemented
    todo = list(launches(arrays))
    total = sum(blocks for _, _, blocks in todo)
    part, out, done = xp.empty(total, np.float64), xp.zeros((), np.float64), 0
    for some, sizes, blocks in todo:
        given = [Tensors(arrays[i] for i in some), sizes, part[done : done + blocks]]
        kernel = f"norm_squares_{suffix_of(*arrays)}"
        run("optimizer/norm.cu", kernel, (blocks, 1, 1), (THREADS, 1, 1), 0, given)
        done += blocks
    if total:
        run("optimizer/norm.cu", "norm_total", (1, 1, 1), (THREADS, 1, 1), 0, [part, out, np.int64(total)])
    return out


def scale_all(run: Run, xp: Any, arrays: Sequence[Any], factor: float) -> Any:
    """Every array of one dtype times a number, in place."""
    if not served(arrays):
        return NotImplemented
    for some, sizes, blocks in launches(arrays):
        given = [Tensors(arrays[i] for i in some), sizes, np.float32(factor)]
        kernel = f"norm_scale_{suffix_of(*arrays)}"
        run("optimizer/norm.cu", kernel, (blocks, 1, 1), (THREADS, 1, 1), 0, given)
    return None


LADDERS: dict[str, dict[str, Rung]] = {
    "Adam": {"multi_tensor": Rung("optimizer/adam.cu", functools.partial(adam, decoupled=False))},
    "AdamW": {"multi_tensor": Rung("optimizer/adam.cu", functools.partial(adam, decoupled=True))},
    "SGD": {"multi_tensor": Rung("optimizer/sgd.cu", sgd)},
    "square_sum": {"multi_tensor": Rung("optimizer/norm.cu", square_sum)},
    "scale_all": {"multi_tensor": Rung("optimizer/norm.cu", scale_all)},
}
