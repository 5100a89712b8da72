"""Who else knows a derivative: central differences, the complex step, and forward mode written by hand.

Independent means that nothing is shared with the rule under test but the forward itself.  `tg.jvp` is made of the vjp
rules, so it agrees with a wrong one, and is not asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm.backend import use_kernels
from tinygrad_lm.core import OPS, NotDifferentiable, Op, Tensor
from tinygrad_lm.testing.adapters import Subject
from tinygrad_lm.testing.kinks import Behaviour, behaviour

GRAIN = 4096.0
TINY = 1e-20  # the complex step: small enough that its square is nothing beside 1


class Declined(Exception):
    """An oracle that cannot tell, and why."""


# ------------------------------------------------------------------------------------------------ central differences


class Differences:
    """Slopes of u . f by differences on lines through x, the point of `subject`.

    A line is a number, which stands for that entry, or a direction, a vector.  `unit`: the step of an entry is a
    fraction of it; a power of two, so that points of directions that are multiples of unit / GRAIN round little.
    """

    def __init__(self, subject: Subject, u: np.ndarray, y0: np.ndarray, eps: np.ndarray):
        self.f, self.x, self.u, self.y0, self.eps = subject, subject.x, u, y0, eps
        self.unit = 2.0 ** np.ceil(np.log2(np.maximum(np.abs(np.where(np.isfinite(self.x), self.x, 1.0)), 1.0)))

    def drawn(self, rng: np.random.Generator, among: np.ndarray) -> np.ndarray:
        """A direction: one standard normal number for each of `among`, an index array shaped like x, times the unit."""
        return (np.round(rng.normal(size=among.max(initial=-1) + 1) * GRAIN) / GRAIN)[among] * self.unit

    def values(self, line: int | np.ndarray) -> Callable[[float], tuple[np.ndarray, float]]:
        """h -> (the values at that step, the step as it is after rounding)."""
        x = self.x.copy()

        def f(x: np.ndarray) -> np.ndarray:
            try:
                return self.f(x)
            except (ValueError, ArithmeticError):  # outside of where it is defined
                return np.full(self.y0.shape, np.nan)

        def at(h: float) -> tuple[np.ndarray, float]:
            if isinstance(line, np.ndarray):
                return f(self.x + h * line), h
            x[line] = self.x[line] + h
            y, step = f(x), float(x[line] - self.x[line])
            x[line] = self.x[line]
            return y, step

        return at

    def quotients(self, lines: Sequence[Any], fraction: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(central quotients, their rounding, whether the slopes to both sides differ) for steps of that fraction."""
        m, weight, parts = len(self.u), np.abs(self.u), []
        rows = max(1, 1_000_000 // max(m, 1))
        for start in range(0, len(lines), rows):
            some = lines[start : start + rows]
            up, down, run = np.empty((len(some), m)), np.empty((len(some), m)), np.empty((len(some), 2))
            for row, line in enumerate(some):
                at, h = self.values(line), fraction * (1.0 if isinstance(line, np.ndarray) else self.unit[line])
                up[row], run[row, 0] = at(h)
                down[row], run[row, 1] = at(-h)
            rise, fall, width = up - self.y0, self.y0 - down, run[:, 0] - run[:, 1]
            size = np.fmax(np.abs(up), np.abs(down)) * ((rise != 0) | (fall != 0))
            noise = 4 * (size @ (self.eps * weight))
            bend, slope = np.abs(rise - fall) @ weight, (np.abs(rise) + np.abs(fall)) @ weight
            parts.append(((up - down) @ self.u / width, 2 * noise / width, ~(bend <= 1e-3 * slope + noise)))
        if not parts:
            return np.zeros(0), np.zeros(0), np.zeros(0, bool)
        slopes, allowed, bent = zip(*parts, strict=True)
        return np.concatenate(slopes), np.concatenate(allowed), np.concatenate(bent)

    def terms(self, line: int | np.ndarray) -> float:
        """The sizes of all results that depend on the line, times their cotangents, added up.

        Steps are long here: a saturated softmax is flat nearby, and its largest result still is a part of each slope.
        What never moves, such as a masked score, is part of none.
        """
        at, unit = self.values(line), 1.0 if isinstance(line, np.ndarray) else float(self.unit[line])
        moved = np.zeros(self.y0.shape, bool)
        for length in (0.125, 1.0, 8.0, 64.0):
            for h in (length * unit, -length * unit):
                y, _ = at(h)
                moved |= np.isfinite(y) & (y != self.y0)
        return float(np.abs(self.u * self.y0)[moved].sum())

    def behaviour(self, line: int | np.ndarray) -> Behaviour:
        """How the function behaves along the line: many steps instead of one or two."""
        at = np.flatnonzero(line) if isinstance(line, np.ndarray) else np.array([line])
        unit, moves = (1.0, line[at]) if isinstance(line, np.ndarray) else (float(self.unit[line]), np.ones(1))
        scales = np.abs(self.x[at] / moves)[self.x[at] != 0]  # steps at which entries change altogether
        near = scales.min() if scales.size and scales.max() < 1e4 * scales.min() else unit
        return behaviour(self.values(line), self.y0, self.u, self.eps, unit, min(1e-12 * unit, 1e-5 * near))


# ------------------------------------------------------------------------------------------------ watching operations


@dataclass
class Call:
    """One operation that a forward called: what it was given, and how fast that moves; the same for its results."""

    op: Op
    arrays: list
    params: dict[str, Any]
    moves: list
    results: list
    tangents: list


class Intercepted(Mapping):
    """A kernel table that hands every call of an operation to `serve(op, xp, arrays, params)`."""

    def __init__(self, serve: Callable[..., Any]):
        self.serve, self.busy = serve, False

    def __getitem__(self, name: str) -> Callable:
        def kernel(xp: Any, *arrays: Any, **params: Any) -> Any:
            if self.busy or name not in OPS:
                return NotImplemented  # a call from within a rule or a body: the body runs
            self.busy = True
            try:
                return self.serve(OPS[name], xp, arrays, params)
            finally:
                self.busy = False

        return kernel

    def __iter__(self) -> Iterator[str]:
        return iter(OPS)

    def __len__(self) -> int:
        return len(OPS)


def settled(results: Any, aux: bool) -> tuple[Any, list]:
    """(what a kernel returns, its outputs as a list), all of them arrays, so that they are known by their id."""
    out, *rest = results if aux else (results,)
    several = isinstance(out, (tuple, list))
    outs = [np.asarray(o) for o in (out if several else (out,))]
    out = tuple(outs) if several else outs[0]
    return ((out, *rest) if aux else out), outs


def complex_step(subject: Subject, x: np.ndarray, d: np.ndarray, calls: list[Call] | None = None) -> np.ndarray:
    """J d as the imaginary part of f(x + i h d) / h (Squire and Trapp 1998): no difference is taken, nothing cancels.

    Every operation called must be declared `analytic=True`; otherwise `Declined` names the one that is not.
    """

    def serve(op: Op, xp: Any, arrays: tuple, params: dict) -> Any:
        if not any(np.iscomplexobj(a) for a in arrays):
            return NotImplemented
        if not op.facts.get("analytic"):
            raise Declined(f"{op.name} is not declared analytic")
        back, outs = settled(op.forward(xp, *arrays, **params), bool(op.aux))
        if calls is not None:
            moves = [np.imag(a) / TINY if np.iscomplexobj(a) else None for a in arrays]
            real = [np.real(a) if np.iscomplexobj(a) else a for a in arrays]
            calls.append(Call(op, real, params, moves, outs, [np.imag(o) / TINY for o in outs]))
        return back

    parts = [a + 1j * TINY * t for a, t in zip(subject.split(x), subject.split(d), strict=True)]
    outs = asked(lambda: subject.f(*map(Tensor, map(np.asarray, parts))), serve, results=complex)
    return joined(subject, [np.imag(o) / TINY for o in outs])


def forward_mode(subject: Subject, x: np.ndarray, d: np.ndarray, calls: list[Call] | None = None) -> np.ndarray:
    """J d by the hand-written forward-mode rules of the operations called; `Declined` names the one that has none."""
    known: dict[int, tuple[Any, np.ndarray]] = {}  # by id; holding the array keeps the id its own

    def serve(op: Op, xp: Any, arrays: tuple, params: dict) -> Any:
        moves = [known[id(a)][1] if id(a) in known else None for a in arrays]
        back, outs = settled(op.forward(xp, *arrays, **params), bool(op.aux))
        if all(t is None for t in moves):
            return back
        try:
            _, pushed = op.push(arrays, moves, **params)
        except NotDifferentiable as error:
            raise Declined(str(error).partition(":")[0]) from None
        tangents = [np.asarray(t) for t in (pushed if isinstance(pushed, tuple) else (pushed,))]
        for out, tangent in zip(outs, tangents, strict=True):
            known[id(out)] = out, tangent
        if calls is not None:
            calls.append(Call(op, list(arrays), params, moves, outs, tangents))
        return back

    parts = [a.copy() for a in subject.split(x)]
    known |= {id(part): (part, t) for part, t in zip(parts, subject.split(d), strict=True)}
    outs = asked(lambda: subject.f(*map(Tensor, parts)), serve, results=float)
    pushed = [known[id(o)][1] if id(o) in known else np.zeros(o.shape) for o in outs]
    return joined(subject, [np.broadcast_to(t, o.shape) for t, o in zip(pushed, outs, strict=True)])


def joined(subject: Subject, tangents: Sequence[np.ndarray]) -> np.ndarray:
    """The tangents of those results that are looked at, as a vector."""
    whole = np.concatenate([np.zeros(0), *[t.reshape(-1) for t in tangents]])
    if isinstance(subject.finite, np.ndarray) and whole.shape != subject.finite.shape:
        raise Declined("the function chooses its results by their dtype")
    return whole[subject.finite]


def asked(f: Callable[[], list], serve: Callable[..., Any], results: type) -> list:
    """The arrays that `f` returns while every operation is served by `serve`; `Declined` if it cannot run so."""
    with use_kernels(Intercepted(serve)), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            return [y.data if isinstance(y, Tensor) else np.asarray(y) for y in f()]
        except Declined:
            raise
        except Exception as error:
            of = "complex numbers" if results is complex else "its own kernels"
            raise Declined(f"the function does not run on {of}: {str(error).splitlines()[0]}") from None


def culprit(calls: Sequence[Call]) -> str | None:
    """The first operation whose results do not move as central differences of its own body say; None if all do."""
    for call in calls:
        units = [np.maximum(np.abs(a), 1.0) for a in call.arrays if a is not None]
        moves = [t for t in call.moves if t is not None]
        rate = max([float(np.abs(t).max(initial=0.0)) for t in moves]) or 1.0
        h = 1e-5 * max([float(unit.max(initial=1.0)) for unit in units]) / rate
        ends = []
        for step in (h, -h):
            arrays = [a if t is None else a + step * t for a, t in zip(call.arrays, call.moves, strict=True)]
            try:
                ends.append(settled(call.op.forward(np, *arrays, **call.params), bool(call.op.aux))[1])
            except (ValueError, ArithmeticError):
                raise Declined(f"{call.op.name} is not defined around this point") from None
        for up, down, tangent in zip(*ends, call.tangents, strict=True):
            near = 1e-5 * np.abs(tangent).max(initial=0.0) + 1e-15 / h * np.abs(up).max(initial=0.0)
            if not np.abs((up - down) / (2 * h) - tangent).max(initial=0.0) <= near:
                return call.op.name
    return None
