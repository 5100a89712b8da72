"""Differentiable programs: straight-line code over the registered operations, as data that runs and prints itself.

    step after step       v2 = op(x0, v1, keyword=...)
    what is returned      the last result, or every value that no later step reads

An operation joins by declaring samples.  It is tried on earlier values as they are; if they do not suit it, on values
brought to the shape and range of one of its samples; if that is no smooth place, on that sample, moved a little by the
earlier values.  What suits is seen from values alone, never from a derivative: a program runs at four nearby points,
each argument being nudged on its own there too, and results must be finite, and change slowly and almost linearly.
So finite differences mean something, and a wrong rule cannot hide by making its program unsuitable.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tinygrad_lm import ops
from tinygrad_lm.backend import is_float
from tinygrad_lm.core import OPS, Op
from tinygrad_lm.ops.samples import Spec

__all__ = ["Program", "Step", "assemble", "differentiable"]

NUDGE = 1e-3  # the distance of the points
LARGEST, STEEPEST, MOST_CURVED = 4.0, 8.0, 100.0  # of a value, its slope, and how the slope changes
MOST_ELEMENTS, MOST_AXES = 256, 6


@dataclass(frozen=True)
class Step:
    """`outs = op(*args, **params)`.  An argument that is a string names an input or the result of an earlier step.

    outs is one name, or a tuple of them for an operation with several results.
    """

    op: str
    args: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)
    outs: str | tuple[str, ...] = ""

    def __str__(self) -> str:
        function = f"tg.{self.op}" if is_public(self.op) else f'tg.OPS["{self.op}"].function'
        given = [a if isinstance(a, str) else literal(a) for a in self.args]
        if OPS[self.op].variadic:
            given = [f"[{', '.join(given)}]"]
        given += [f"{k}={self.keyword(k, v)}" for k, v in self.params.items()]
        return f"{self.outs if isinstance(self.outs, str) else listed(self.outs)} = {function}({', '.join(given)})"

    def keyword(self, name: str, value: Any) -> str:
        """Python text for the value of a keyword; what only the operation can make is fetched from its samples."""
        try:
            return literal(value)
        except TypeError:
            i = [case.params.get(name) is value for case, _ in samples(OPS[self.op])].index(True)
            return f'tg.OPS["{self.op}"].facts["samples"]()[{i}].params["{name}"]'


def is_public(op: str) -> bool:
    """Whether users call the operation itself, and not a function in front of it."""
    return getattr(ops, op, None) is OPS[op].function


def call(op: str, args: Sequence[Any], params: dict[str, Any]) -> Any:
    given = [list(args)] if OPS[op].variadic else args
    return OPS[op].function(*given, **params)


@dataclass(frozen=True)
class Program:
    """A function of arrays or Tensors, with inputs at which it is smooth.  `print(program)` gives Python that runs.

    >>> import numpy as np, tinygrad_lm as tg
    >>> from tinygrad_lm.testing.programs import Program, Step
    >>> program = Program({"x0": np.array([1.0, 2.0])}, (Step("exp", ("x0",), {}, "v0"),), ("v0",))
    >>> program(np.zeros(2))
    array([1., 1.])
    >>> print(program)
    import numpy as np
    import tinygrad_lm as tg
    from tinygrad_lm.testing import gradcheck
    <BLANKLINE>
    x0 = np.array([1.0, 2.0])
    <BLANKLINE>
    <BLANKLINE>
    def f(x0):
        v0 = tg.exp(x0)
        return v0
    <BLANKLINE>
    <BLANKLINE>
    gradcheck(f, (x0,))
    """

    named: dict[str, np.ndarray]
    steps: tuple[Step, ...]
    outs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        return tuple(self.named.values())

    def __call__(self, *inputs: Any) -> Any:
        return self.run(inputs)

    def run(self, inputs: Sequence[Any], call: Callable[[str, Sequence[Any], dict], Any] = call) -> Any:
        """What the steps make of the inputs; `call(op, args, params)` does one step, e.g. with another library."""
        values = dict(zip(self.named, inputs, strict=True))
        for step in self.steps:
            result = call(step.op, [values[a] if isinstance(a, str) else a for a in step.args], step.params)
            values |= {step.outs: result} if isinstance(step.outs, str) else zip(step.outs, result, strict=True)
        outs = tuple([values[name] for name in self.outs])
        return outs[0] if len(outs) == 1 else outs

    def __str__(self) -> str:
        names = listed(tuple(self.named))
        return "\n".join(
            [
                "import numpy as np",
                "import tinygrad_lm as tg",
                "from tinygrad_lm.testing import gradcheck",
                "",
                *[f"{name} = {literal(x)}" for name, x in self.named.items()],
                "",
                "",
                f"def f({', '.join(self.named)}):",
                *[f"    {step}" for step in self.steps],
                f"    return {', '.join(self.outs)}",
                "",
                "",
                f"gradcheck(f, ({names}))",
            ]
        )

    def __repr__(self) -> str:
        return f"<program {' -> '.join(step.op for step in self.steps)}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis names it in a report, which has the text as a note."""
        printer.text(repr(self))


def listed(names: Sequence[str]) -> str:
    """The inside of a tuple."""
    return f"{names[0]}," if len(names) == 1 else ", ".join(names)


def literal(value: Any) -> str:
    """Python text for a constant, given `import numpy as np`."""
    if isinstance(value, np.ndarray):
        if not value.size:
            return f"np.zeros({value.shape}, {value.dtype.name!r})"
        dtype = "" if value.dtype.name in ("float64", "int64", "bool") else f", {value.dtype.name!r}"
        return f"np.array({literal(value.tolist())}{dtype})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({listed(list(map(literal, value)))})" if value else "()"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(k)}: {literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, np.generic):
        return literal(value.item())
    if isinstance(value, np.dtype | type):
        return f"np.dtype({np.dtype(value).name!r})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if value is not None and not isinstance(value, bool | int | float | str | slice | type(...)):
        raise TypeError(f"no Python text is known for {value!r}")
    return "..." if value is Ellipsis else repr(value)


# ------------------------------------------------------------------------------------------------ making them


FITTING = ("multiply", "add", "reshape", "getitem")  # what makes earlier values suit an operation


def differentiable() -> list[str]:
    """The operations that programs are made of: they have samples, and an input that a gradient flows to.

    What fits values comes first, then what takes few arguments: examples shrink towards the beginning.
    """

    def joins(name: str) -> bool:
        return bool(OPS[name].facts.get("samples")) and any(r is not None for r in OPS[name].rules.values())

    others = sorted(set(filter(joins, OPS)) - {*FITTING}, key=lambda name: (len(OPS[name].inputs), name))
    return [*FITTING, *others]


def assemble(
    inputs: Sequence[np.ndarray], choices: Sequence[tuple[str, int, Sequence[int]]], every: bool = True
) -> Program:
    """A program from choices: (operation, number of a sample of it, which earlier values, counted from the latest).

    Numbers are taken modulo what there is.  A choice that nothing can be made of is left out.  It returns `every` value
    that no step reads, or only the last results, without the steps and inputs that have no part in them.
    """
    workshop = Workshop(inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what makes NumPy warn does not suit
        for op, number, references in choices:
            workshop.grow(op, number, references)
    return workshop.program(every)


class Workshop:
    """A program in the making, with its values at four points: the inputs, and three around them."""

    def __init__(self, inputs: Sequence[np.ndarray]):
        self.steps: list[Step] = []
        self.values: dict[str, list] = {f"x{i}": [x] * 4 for i, x in enumerate(inputs)}
        self.inputs = self.offered = list(self.values)  # offered: what later steps may read
        self.last: list[str] = []  # what the last operation gave

    def program(self, every: bool) -> Program:
        read = {a for step in self.steps for a in step.args if isinstance(a, str)}
        outs = [n for n in self.offered[len(self.inputs) :] if n not in read] if every else self.last
        needed, steps = set(outs), []
        for step in reversed(self.steps):
            if needed & ({step.outs} if isinstance(step.outs, str) else {*step.outs}):
                needed |= {a for a in step.args if isinstance(a, str)}
                steps.append(step)
        named = {name: self.values[name][0] for name in self.inputs if name in needed}
        return Program(named, tuple(steps[::-1]), tuple(outs))

    def grow(self, op: str, number: int, references: Sequence[int]) -> None:
        """Add the operation, and what it takes to make earlier values suit it; nothing if nothing suits."""
        cases = samples(OPS[op])
        case, drawn = cases[number % len(cases)]
        chosen = [self.offered[-1 - r % len(self.offered)] for r in references]
        rules = [OPS[op].rules.get(name) for name in OPS[op].inputs]
        before, values = len(self.steps), dict(self.values)
        ways = ((False, False), (True, False), (True, True))  # (in a sample's shape, near its numbers)
        for fitting, near in ways if is_public(op) else ways[1:]:  # what users do not call may rely on its shapes
            try:
                args: list[Any] = list(drawn)
                for i, (spec, array) in enumerate(zip(case.arrays, drawn, strict=True)):
                    if isinstance(array, np.ndarray) and is_float(array.dtype) and rules[i % len(rules)]:
                        args[i] = self.suited(chosen[i % len(chosen)], spec, array, fitting, near)
                if any(isinstance(a, str) for a in args):
                    results = [self.tamed(out) for out in self.do(op, *args, **case.params)]
                    self.last, self.offered = results or self.last, self.offered + results
                return
            except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeWarning):
                del self.steps[before:]
                self.values = dict(values)

    def suited(self, name: str, spec: Any, array: np.ndarray, fitting: bool, near: bool) -> str:
        """The value, if need be in the shape and range of a sample of which `array` is a draw."""
        kind = spec.kind if isinstance(spec, Spec) else None
        near = near or kind not in ("normal", "uniform", "distinct")
        if fitting or near:
            name = self.fitted(name, array.shape, apart=not near)
        values = self.values[name]
        if near:  # so near that `distinct` numbers keep their order and the side of zero that they are on
            centre, reach = array, 0.03
        elif kind == "normal" or kind == "distinct":
            return name
        elif all((spec.low < a).all() and (a < spec.high).all() for a in values):
            return name
        else:
            centre, reach = (spec.low + spec.high) / 2, (spec.high - spec.low) / 2
        largest = max(np.abs(a).max(initial=1.0) for a in values)
        return self.do("add", self.do("multiply", name, 0.5 ** math.ceil(math.log2(largest / reach)))[0], centre)[0]

    def fitted(self, name: str, shape: tuple[int, ...], apart: bool) -> str:
        """The elements of the value, repeated or cut off to fill the shape; `apart`: no two are equal for that."""
        value = self.values[name][0]
        if value.shape == shape:
            return name
        if value.size == math.prod(shape):
            return self.do("reshape", name, shape=shape)[0]
        if not value.size:
            raise ValueError("there are no elements to repeat")
        flat = name if value.ndim == 1 else self.do("reshape", name, shape=(-1,))[0]
        filled = self.do("getitem", flat, index=np.resize(np.arange(value.size), shape))[0]
        if not apart or math.prod(shape) < value.size:
            return filled
        return self.do("add", filled, np.cos(np.arange(math.prod(shape))).round(2).reshape(shape))[0]

    def tamed(self, name: str) -> str:
        """The value, times a power of two if it is large or steep; ValueError if it is bent."""
        value = self.values[name][0]
        if not value.size:
            return name
        changes = np.array(self.values[name][1:]) - value
        excess = max(np.abs(value).max() / LARGEST, np.abs(changes).max() / NUDGE / STEEPEST, 1.0)
        bent = np.abs(changes.sum(0)).max() / NUDGE**2 / excess  # the nudges add up to 0, and so do linear changes
        if not (bent <= MOST_CURVED and excess <= 1000):  # said this way round, nan fails
            raise ValueError("the value is not smooth here")
        return name if excess == 1 else self.do("multiply", name, 0.5 ** math.ceil(math.log2(excess)))[0]

    def do(self, op: str, *args: Any, **params: Any) -> list[str]:
        """Add one step; the names of its floating results."""
        points = [
            nudged(self.values[a], i) if isinstance(a, str) else [a] * 4 for i, a in enumerate(args, len(self.steps))
        ]
        results = [call(op, given, params) for given in zip(*points, strict=True)]
        several = isinstance(results[0], (tuple, list))
        columns = [list(column) for column in zip(*results, strict=True)] if several else [results]
        names = [f"v{len(self.values) - len(self.inputs) + i}" for i in range(len(columns))]
        floating = [name for name, column in zip(names, columns, strict=True) if is_float(column[0].dtype)]
        for name, column in zip(names, columns, strict=True):
            if len({a.shape for a in column}) > 1 or column[0].size > MOST_ELEMENTS or column[0].ndim > MOST_AXES:
                raise ValueError("the value is too large, or its shape depends on the numbers")
            if name in floating and column[0].dtype != np.float64:
                raise ValueError("differences mean nothing in less than float64")
            self.values[name] = column
        self.steps.append(Step(op, args, params, tuple(names) if several else names[0]))
        return floating


def nudged(values: list, number: int) -> list:
    """A value at the four points, moved at three of them: each element on its own, and by 0 in sum."""
    ways = np.cos(np.multiply.outer([2.4, 5.3], np.arange(values[0].size)) + [[number], [2 * number + 1]])
    moves = NUDGE * np.array([*ways, -ways.sum(0)]).reshape(3, *values[0].shape)
    return [values[0], *[np.asarray(x + move) for x, move in zip(values[1:], moves, strict=True)]]


@cache
def samples(op: Op) -> list[tuple[Any, list]]:
    """The cases of an operation, each with numbers drawn for it."""
    return [(case, case.draw(np.random.default_rng(0))) for case in op.facts["samples"]()]
