"""Does a function compute what it is said to compute, however it is asked?  The question before its time is taken.

A benchmark rewards whoever skips work: by returning what was right last time, by leaving the output as it was, by
computing in fewer bits, by a formula that holds for the inputs that benchmarks usually use.  `verify` calls a function
as a benchmark would, with numbers that it cannot know, and compares with a float64 reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.testing.adapters import EPS, SMALLEST, dtype_of, to_float64

OUTLIERS = 64.0  # how much larger than the others some entries are made
ROUNDINGS = 16.0  # how much more a function may be off than rounding its inputs once would make it, at worst
PER_TERM = 2.0  # and this times the square root of the number of terms: a sum one by one rounds that many times
DRAWS = 8
PROBES = 3  # entries of each input that are changed to see how many entries of the result depend on them


class Refused(AssertionError):
    """A function that does not compute what it should.  `cause`: what it looks like; `call`: at which call."""

    def __init__(self, message: str, cause: str, call: str):
        super().__init__(message)
        self.cause, self.call = cause, call


def verify(
    function: Callable,
    reference: Callable,
    draw: Callable[[np.random.Generator], Sequence[Any]],
    *,
    writes: Sequence[int] = (),
    outliers: float = OUTLIERS,
    seed: int | None = None,
    name: str = "the function",
) -> None:
    """Raise `Refused` unless `function(*inputs)` agrees with `reference` on inputs that it has never seen.

    draw(rng): fresh inputs, NumPy arrays (or anything else, which is passed on).  `reference` gets them in float64
    and returns an array, or several.  `function` returns as many, of any library; or it writes into those of its inputs
    that `writes` numbers, which are poisoned (nan; for integers the largest number) before every call.

    It is called three times: with fresh inputs; with other numbers in the same arrays; and with fresh arrays again.
    A few entries of every floating input are made `outliers` times as large (1 leaves them).  What it may be off by is
    computed, entry by entry: 16 + 2 sqrt(n) times what rounding the inputs does to the reference, where n inputs go
    into a result (seen by changing some), 8 roundings of the result, and 4 of the largest result.  It must not change
    its other inputs, nor return less precision than it was given.
    seed: None draws anew each time.

    >>> import numpy as np, tinygrad_lm as tg
    >>> verify(tg.tanh, np.tanh, lambda rng: [rng.normal(size=(3, 4)).astype("f4")])
    >>> try:
    ...     verify(lambda x: x, np.tanh, lambda rng: [rng.normal(size=3)], name="lazy", seed=0)
    ... except Refused as error:
    ...     print(error.cause)
    it returns its input
    """
    rng = np.random.default_rng(seed)
    gate = Gate(function, reference, tuple(writes), name, rng)
    inputs = planted(list(draw(rng)), gate.writes, outliers, rng)
    gate.ask(inputs, "with fresh inputs")
    for old, new in zip(inputs, planted(list(draw(rng)), gate.writes, outliers, rng), strict=True):
        if isinstance(old, np.ndarray):
            old[...] = new
    gate.ask(inputs, "with other numbers in the same arrays")
    gate.ask(planted(list(draw(rng)), gate.writes, outliers, rng), "with fresh inputs again")


def planted(inputs: list, writes: tuple[int, ...], factor: float, rng: np.random.Generator) -> list:
    """The same with some entries made larger: about one in eight, and at least one of each floating array."""
    made = []
    for i, x in enumerate(inputs):
        if isinstance(x, np.ndarray) and dtype_of(x) in EPS and x.size and i not in writes:
            large = np.asarray(rng.random(x.shape) < 1 / 8)
            large.reshape(-1)[rng.integers(x.size)] = True
            x = np.where(large, x * x.dtype.type(factor), x).astype(x.dtype)
        made.append(x)
    return made


class Gate:
    """One function under suspicion, and what it has answered so far."""

    def __init__(
        self, function: Callable, reference: Callable, writes: tuple[int, ...], name: str, rng: np.random.Generator
    ):
        self.function, self.reference, self.writes, self.name, self.rng = function, reference, writes, name, rng
        self.before: list[np.ndarray] = []  # what the last call answered
        self.terms: list[float] = []  # inputs that go into an entry of each result

    def ask(self, inputs: list, call: str) -> None:
        """One call, judged."""
        for i in self.writes:
            inputs[i].fill(np.nan if inputs[i].dtype.kind not in "iub" else np.iinfo(inputs[i].dtype).max)
        kept = [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
        read = [k for i, k in enumerate(kept) if i not in self.writes]
        returned = self.function(*inputs)
        for i, (x, k) in enumerate(zip(inputs, kept, strict=True)):
            if isinstance(x, np.ndarray) and i not in self.writes and not np.array_equal(x, k, equal_nan=True):
                raise self.refused(f"it changed its input {i}", "it writes into its input", call)
        got = [inputs[i] for i in self.writes] if self.writes else listed(returned)
        wanted, allowed = self.judged(read)
        if len(got) != len(wanted):
            raise self.refused(f"it returned {len(got)} arrays, expected {len(wanted)}", "number of results", call)
        widest = max((EPS[dtype_of(x)] for x in read if dtype_of(x) in EPS), default=EPS["float64"])
        for k, (y, w, a) in enumerate(zip(got, wanted, allowed, strict=True)):
            which = f" of result {k}" * (len(got) > 1)
            if EPS.get(dtype_of(y), 0.0) > widest:
                raise self.refused(f"it returned {dtype_of(y)}{which}", "fewer bits than its inputs have", call)
            self.compare(np.array(to_float64(y)), w, a + SMALLEST.get(dtype_of(y), 0.0), which, read, k, call)
        self.before = [np.array(to_float64(y)) for y in got]

    def judged(self, read: list) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """(what is right, what a result may be off by)."""
        wide = [x.astype(np.float64) if dtype_of(x) in EPS else x for x in read]
        exact = [np.asarray(y, np.float64) for y in listed(self.reference(*wide))]
        eps = max((EPS[dtype_of(x)] for x in read if dtype_of(x) in EPS), default=EPS["float64"])
        moved = [np.zeros(y.shape) for y in exact]
        for _ in range(DRAWS):
            near = [x * (1 + eps * self.rng.uniform(-1, 1, x.shape)) if dtype_of(x) in EPS else x for x in wide]
            with np.errstate(invalid="ignore"):
                off = [np.abs(y - e) for y, e in zip(listed(self.reference(*near)), exact, strict=True)]
            moved = [np.fmax(m, np.where(np.isfinite(o), o, 0.0)) for m, o in zip(moved, off, strict=True)]
        self.terms = self.terms or self.counted(wide, exact)
        sizes = [np.abs(e) for e in exact]
        largest = [s[np.isfinite(s)].max(initial=0.0) for s in sizes]  # terms of that size may have cancelled
        each = zip(moved, sizes, largest, self.terms, strict=True)
        factors = [(ROUNDINGS + PER_TERM * n**0.5, m, eps * (8 * size + 4 * top)) for m, size, top, n in each]
        return exact, [factor * m + rest for factor, m, rest in factors]

    def counted(self, wide: list, exact: list[np.ndarray]) -> list[float]:
        """How many inputs an entry of each result depends on: what changing one entry changes, times their number."""
        terms = [1.0 for _ in exact]
        for i, x in enumerate(wide):
            if not isinstance(x, np.ndarray) or x.dtype != np.float64 or not x.size:
                continue
            changed = np.zeros(len(exact))
            for _ in range(PROBES):
                other = x.copy()
                place = self.rng.integers(x.size)
                other.reshape(-1)[place] += 1e-3 * (abs(x.reshape(-1)[place]) or 1.0)  # a little: still in the domain
                with np.errstate(all="ignore"):
                    results = listed(self.reference(*wide[:i], other, *wide[i + 1 :]))
                changed = np.maximum(changed, [np.sum(y != e) for y, e in zip(results, exact, strict=True)])
            terms = [max(n, c * x.size / max(e.size, 1)) for n, c, e in zip(terms, changed, exact, strict=True)]
        return terms

    def compare(
        self, got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray, which: str, read: list, k: int, call: str
    ) -> None:
        if got.shape != wanted.shape:
            raise self.refused(f"the shape{which} is {got.shape}, expected {wanted.shape}", "wrong shape", call)
        with np.errstate(invalid="ignore"):
            off = np.where((got == wanted) | (np.isnan(got) & np.isnan(wanted)), 0.0, np.abs(got - wanted))
        wrong = ~(off <= allowed)
        if not wrong.any():
            return
        excess = np.where(wrong, np.nan_to_num(off / np.maximum(allowed, 1e-300), nan=np.inf), -1.0)
        at = tuple(map(int, np.unravel_index(int(excess.argmax()), got.shape)))
        where = f" at {list(at)}" if at else ""
        said = (
            f"result{which}{where} is {got[at]:.9g}, expected {wanted[at]:.9g} (they differ by {off[at]:.2g}, allowed "
            f"{allowed[at]:.2g}; {int(wrong.sum())} of {got.size} entries are wrong)"
        )
        raise self.refused(said, self.cause(got, wanted, wrong, read, k), call)

    def cause(self, got: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, read: list, k: int) -> str:
        """What a wrong result looks like."""
        poison = np.isnan(got) & ~np.isnan(wanted)
        if poison.all():
            return "it writes nothing" if self.writes else "it returns nan"
        if poison.any():
            return "it leaves a part out"
        if k < len(self.before) and np.array_equal(got, self.before[k]):
            return "it returns what was right last time"
        if any(isinstance(x, np.ndarray) and np.array_equal(got, to_float64(x)) for x in read if dtype_of(x) in EPS):
            return "it returns its input"
        off = np.abs(got - wanted) / np.maximum(np.abs(wanted), np.abs(wanted).mean() or 1.0)
        if np.nanmax(off) < 0.05:
            return "it computes in fewer bits than its inputs have"
        return "it leaves a part out" if wrong.mean() < 0.9 else "it computes something else"

    def refused(self, what: str, cause: str, call: str) -> Refused:
        return Refused(f"{self.name} is refused: {call}, {what}: {cause}", cause, call)


def listed(results: Any) -> list:
    return list(results) if isinstance(results, (tuple, list)) else [results]
