"""One check of one derivative: everyone who can answer is asked, and the answer explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.core import NotDifferentiable, Op, raw
from tinygrad_lm.testing.adapters import EPS, SMALLEST, OfFloats, Subject, dtype_of
from tinygrad_lm.testing.causes import likely_cause
from tinygrad_lm.testing.guards import ReadOnly, grown
from tinygrad_lm.testing.kinks import Behaviour, Kink
from tinygrad_lm.testing.oracles import Declined, Differences, complex_step, culprit, forward_mode
from tinygrad_lm.testing.tolerance import GradcheckError, conditioned, detection, refuse_beyond

AFFORDABLE = 1024  # entries that are checked one by one if nothing else is said
STEPS = 2.0**-17, 2.0**-15  # of the unit of an entry: rounding is about 1e-11, truncation f''' 1e-11, and 16 times that
ALTOGETHER = 16  # groups of equal entries that get a direction of their own


@dataclass
class Verdict:
    """What a check that passed has checked.  It is true, and as text it explains itself.

    power: the probability that a single entry which is off by 1 % would have been found.  kinks: points where the
    derivative is a choice.  oracles: who was asked, and the answer.  notes: what else is worth knowing.
    """

    check: str
    library: str
    entries: int
    exact: bool
    directions: int
    power: float
    kinks: list[Kink] = field(default_factory=list)
    oracles: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        how = "each alone" if self.exact else f"{self.directions} random directions over them"
        find = f"a single 1 % error is found with probability {self.power:.2g}"
        lines = [
            f"{self.check}: passed, {self.entries:,} entries of a {self.library} function, {how}",
            f"power: {find}" + ("" if self.exact else "; use exact=True to check every entry"),
            *[f"{name}: {answer}" for name, answer in self.oracles.items()],
            *map(str, self.kinks[:8]),
            *([f"... and {len(self.kinks) - 8} more such points"] if len(self.kinks) > 8 else []),
            *self.notes,
        ]
        return "\n".join(lines)

    __repr__ = __str__


class Check:
    """One check: the values, the derivative under test, and everything that is asked about it."""

    def __init__(
        self,
        title: str,
        subject: Subject,
        kinks: str,
        exact: bool | None,
        directions: int,
        seed: int,
        jvp: Callable | None = None,
    ):
        if kinks not in ("subdifferential", "error", "avoid"):
            raise ValueError(f"kinks={kinks!r}: expected 'subdifferential', 'error' or 'avoid'")
        if not isinstance(directions, int) or directions < 1:
            raise ValueError(f"directions={directions}: expected a whole number of at least 1")
        self.title, self.subject, self.policy, self.jvp = title, subject, kinks, jvp
        self.rng = np.random.default_rng(seed)
        self.outs = self.results()
        y0 = subject.joined(self.outs)
        subject.finite = np.isfinite(y0)
        if y0.size and not subject.finite.any():
            raise ValueError("nothing to check: no result is finite here; choose inputs where the function is defined")
        self.notes = [] if subject.finite.all() else [f"{(~subject.finite).sum()} results are not finite and left out"]
        self.u = np.where(subject.finite, self.rng.normal(size=y0.shape), 0.0)
        eps = np.repeat([EPS[dtype_of(y)] for y in self.outs], [np.size(y) for y in self.parts(y0)])[subject.finite]
        self.tape: list[Any] = []  # the operations that the derivative went through
        self.g = np.zeros(subject.x.size)
        if jvp is None:
            self.g = np.array(self.gradient())
        self.differences = Differences(subject, self.u[subject.finite], y0[subject.finite], eps)
        lost = ~np.isfinite(self.g) & (not subject.finite.all())  # 0 times inf, if only what is left out depends on it
        for i in np.flatnonzero(lost & np.isfinite(subject.x)).tolist():
            lost[i] = self.differences.behaviour(i) == Behaviour("smooth", 0.0, 0.0, 0.0, 0.0)
        self.g[lost] = 0.0
        self.moves = np.isfinite(subject.x) & ~lost
        self.movable = np.flatnonzero(self.moves).tolist()
        self.exact = len(self.movable) <= AFFORDABLE if exact is None else exact
        if jvp is not None:  # the slopes along the entries: all that are checked, or some to judge the power by
            for i in self.movable if self.exact else self.movable[:: max(1, len(self.movable) // 64)]:
                self.g[i] = self.slope(np.eye(1, subject.x.size, i)[0])
        self.unit = self.differences.unit
        self.largest = float(np.nanmax(np.abs(self.g * self.unit), initial=0.0))
        self.verdict = Verdict(title, subject.library.name, len(self.movable), self.exact, directions, 0.0)
        self.numeric = np.full(subject.x.size, np.nan)  # rough slopes along entries, for the message
        self.kinked: set[int] = set()
        self.moved: np.ndarray | None = None
        self.around = self.pooled(np.nan_to_num(np.abs(self.g), posinf=0.0))  # the slopes of entries of a like size

    # ---------------------------------------------------------------------------------------------- what is checked

    def parts(self, y: np.ndarray) -> list[np.ndarray]:
        """The vector of all results, or of their cotangents, in the shapes of the results."""
        shapes = [tuple(out.shape) for out in self.outs]
        ends = np.cumsum([int(np.prod(s)) for s in shapes])
        return [part.reshape(s) for part, s in zip(np.split(y, ends[:-1]), shapes, strict=True)] if shapes else []

    def results(self) -> list:
        """The floating results, after two calls that must agree to the last bit."""
        subject = self.subject
        inputs = subject.wrapped(subject.x)
        try:
            outs, again = subject.f(*inputs), subject.f(*subject.wrapped(subject.x))
        except TypeError as error:
            if "must be Tensor, not Tensor" not in str(error):
                raise
            raise TypeError(
                "this is a function of torch tensors: pass its inputs as such, torch.from_numpy(x)"
            ) from error
        for out in outs:
            if dtype_of(out) not in EPS:
                raise TypeError(f"results must be real floating numbers to be checked, got {dtype_of(out)}")
        if not outs:
            got = ""
            if isinstance(subject.f, OfFloats):
                result = subject.f.whole(*subject.wrapped(subject.x))
                got = f", but {dtype_of(result) or type(result).__name__}"
            raise ValueError(f"nothing to check: the function returned no floating array or Tensor{got}")
        self.unchanged(inputs, "the function writes into")
        same = [np.array_equal(subject.library.unwrap(a), subject.library.unwrap(b), equal_nan=True)
                for a, b in zip(outs, again, strict=len(outs) == len(again))]  # fmt: skip
        if len(outs) != len(again) or not all(same):
            raise self.refused("the function is not deterministic: two calls with the same inputs differ; fix its seed")
        return outs

    def unchanged(self, inputs: list, what: str) -> None:
        for k, (value, s) in enumerate(zip(inputs, self.subject.slices, strict=True)):
            if not np.array_equal(self.subject.library.unwrap(value).reshape(-1), self.subject.x[s], equal_nan=True):
                name = self.subject.names[k]
                raise self.refused(f"{what} its {name}: make a new array instead", "writes in place", k)

    def gradient(self) -> np.ndarray:
        """The gradient under test, having looked at its shapes and dtypes, and at what it does to what it is given."""
        subject, library = self.subject, self.subject.library
        if library.name == "tinygrad_lm":
            with self.guarded():
                self.pulled(subject.f)
        inputs, us, grads = self.pulled(subject.f)
        self.unchanged(inputs, "the derivative writes into")
        if not np.array_equal(subject.joined(us), self.u):
            raise self.refused(
                "the derivative writes into the incoming gradient: make a new array instead", "writes in place"
            )
        self.shaped(grads, ["float64"] * len(subject.shapes))
        if library.name in ("tinygrad_lm", "numpy"):
            self.unshared(grads, [*inputs, *us])
        g, again = (subject.joined(each) for each in (grads, self.pulled(subject.f)[2]))
        if not np.array_equal(g, again, equal_nan=True):
            raise self.refused("the derivative is not deterministic: two runs on the same inputs differ")
        return g

    def pulled(
        self, f: Callable[..., list], dtypes: Sequence[str] | None = None, x: np.ndarray | None = None
    ) -> tuple[list, list, list]:
        """(inputs, cotangents, gradients) of one run, as the library's arrays."""
        subject = self.subject
        inputs = subject.wrapped(subject.x if x is None else x, dtypes)
        outs, pull = subject.library.vjp(f, inputs)
        us = [subject.library.wrap(u.copy(), dtype_of(y)) for u, y in zip(self.parts(self.u), outs, strict=True)]
        return inputs, us, filled(pull(us), subject.shapes)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whoever writes into what the tape keeps, or into a gradient that comes in, raises."""

        def guard(node: Any) -> None:
            if node.plan is not None:
                self.tape.append(node.op)
                node.plan = ReadOnly(node, self.refused)

        try:
            with config.listening(guard):
                yield
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            where = "; ".join(getattr(error, "__notes__", []))
            raise self.refused(
                f"a derivative writes into what it was given ({where or error}): make a new array instead",
                "writes in place",
            ) from error

    def shaped(self, grads: Sequence, dtypes: Sequence[str]) -> None:
        for k, (g, shape, dtype) in enumerate(zip(grads, self.subject.shapes, dtypes, strict=True)):
            got = np.shape(self.subject.library.unwrap(g))
            if got == shape and dtype_of(g) in (dtype, ""):
                continue
            cause = f"cast it: gradient.astype('{dtype}')"
            if got != shape:
                cause = "sum over the axes that broadcasting added (missing un-broadcast)"
                cause = cause if grown(got, shape) else "transposed" if got == shape[::-1] else "wrong shape"
            what = f"{self.subject.names[k]} is {dtype} {shape}, its gradient {dtype_of(g)} {got}"
            raise self.refused(f"{what}: {cause}", cause, k)

    def unshared(self, grads: Sequence, others: Sequence) -> None:
        """No gradient may share memory with another one, nor with what was given."""
        arrays = [raw(a) for a in (*grads, *others)]
        for k in range(len(grads)):
            for other, b in enumerate(arrays[k + 1 :], k + 1):
                if isinstance(b, np.ndarray) and isinstance(arrays[k], np.ndarray) and np.shares_memory(arrays[k], b):
                    whose = f"the gradient of {self.subject.names[other]}" if other < len(grads) else "what was given"
                    said = f"the gradient of {self.subject.names[k]} shares memory with {whose}"
                    if self.subject.library.name == "tinygrad_lm":
                        raise self.refused(said, "shared memory", k)
                    self.notes.append(f"{said}: adding to it in place would change both")
                    return

    def slope(self, d: np.ndarray) -> float:
        """What the derivative under test says about the direction d."""
        if self.jvp is None:
            return float(np.where(d == 0, 0.0, self.g * d).sum())
        subject = self.subject
        f: Any = subject.f
        ts = subject.wrapped(d)
        inputs = subject.wrapped(subject.x)
        tangent = self.jvp(ts[0] if len(ts) == 1 else tuple(ts), *f.filled(inputs))
        self.unchanged(inputs, "the rule writes into")
        tangents = list(tangent) if isinstance(tangent, (tuple, list)) else [tangent]
        got = [tuple(np.shape(t)) for t in tangents]
        if got != (expected := [tuple(y.shape) for y in self.outs]):
            raise self.refused(f"the tangent has the shapes {got}, the result {expected}", "wrong shape")
        return float(self.u @ subject.joined(tangents))

    # ---------------------------------------------------------------------------------------------- the check

    def passed(self, second_order: bool = False) -> Verdict:
        """The verdict, or `GradcheckError`."""
        verdict, scaled = self.verdict, np.abs(self.g * self.unit)
        if self.exact:
            resolved, known = self.each(self.movable), scaled[self.movable]
            seen = resolved < 0.01 * known
            if not known.any():  # where all is flat, a slope a millionth as large as the cotangents would be seen
                seen = resolved <= 1e-6 * np.abs(self.u).sum()
            verdict.power = float(np.mean(seen[(known > 0) | ~known.any()])) if seen.size else 0.0
        ties = self.ties()
        resolutions = [self.along(d, name) for d, name in ties]
        randoms = [self.random() for _ in range(verdict.directions)]
        resolutions = [self.along(d, "a random direction") for d in randoms]
        if not self.exact:
            verdict.power = detection(scaled[scaled > 0], resolutions)
        answers = [*["at every entry"] * self.exact, *[f"along {len(ties)} directions that keep ties"] * bool(ties)]
        answers += [f"along {len(randoms)} random directions"] * bool(randoms)
        verdict.oracles["central differences"] = f"agree {', '.join(answers)}"
        if not verdict.power:
            why = "steps lose too many digits here" if self.movable else "there is no entry to look at"
            verdict.oracles["central differences"] = f"cannot tell, {why}"
        if self.subject.library.name == "tinygrad_lm" and self.jvp is None and self.title == "gradcheck":
            self.independent()
        if any(d != "float64" for d in self.subject.dtypes):
            self.narrow()
        if second_order:
            verdict.oracles["second derivative"] = self.second()
        verdict.notes = list(dict.fromkeys(self.notes))
        return verdict

    def random(self) -> np.ndarray:
        """A direction that moves every entry which may be moved."""
        d = self.differences.drawn(self.rng, np.arange(self.subject.x.size)) * self.moves
        if self.policy == "avoid":
            d[list(self.kinked)] = 0.0
        return d

    def ties(self) -> list[tuple[np.ndarray, str]]:
        """Directions that move equal entries together: the first groups alone, and all at random."""
        x, found = self.subject.x, []
        _, group, count = np.unique(x, return_inverse=True, return_counts=True, equal_nan=False)
        shared = [k for k in np.flatnonzero(count > 1) if self.moves[group == k].all()]
        if self.policy == "avoid" or not shared:
            return []
        for k in shared[:ALTOGETHER]:
            members = np.flatnonzero(group == k).tolist()
            named = ", ".join(map(self.subject.spot, members[:3])) + ", ..." * (len(members) > 3)
            found.append(((group == k) * self.unit, f"{named} moved together"))
        drawn = [self.differences.drawn(self.rng, group) * self.moves for _ in range(2)]
        return found + [(d, "a direction that keeps ties") for d in drawn]

    def compared(
        self, differences: Differences, lines: list, expected: np.ndarray, largest: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(slopes, what they may be off by, whether they agree with `expected` beyond doubt): by one step, or by two.

        Beyond doubt: what they may be off by is far below the slope, or below the `largest` there is (both in units).
        """
        unit = np.array([1.0 if isinstance(line, np.ndarray) else differences.unit[line] for line in lines])
        enough = np.maximum(1e-3 * np.abs(expected), 1e-6 * largest / unit)
        slopes, allowed, bent = differences.quotients(lines, STEPS[0])
        allowed += 4 * EPS["float64"] * np.abs(expected)
        agree = (np.abs(expected - slopes) <= allowed) & ~bent & (allowed <= enough)
        again = np.flatnonzero(~agree & ~bent)
        if len(again):
            longer, _, bends = differences.quotients([lines[j] for j in again], STEPS[1])
            allowed[again] += np.abs(longer - slopes[again])
            slopes[again] += (slopes[again] - longer) / 15  # Richardson
            agree[again] = (np.abs(expected - slopes) <= np.minimum(allowed, enough))[again] & ~bends
        return slopes, allowed, agree

    def each(self, entries: list[int]) -> np.ndarray:
        """Compare entry by entry; what the slopes (in units) may be off by."""
        unit = self.unit[entries]
        slopes, allowed, agree = self.compared(self.differences, entries, self.g[entries], self.largest)
        self.numeric[entries] = slopes
        refuted: list[tuple[int, Behaviour]] = []
        for j in np.flatnonzero(~agree).tolist():
            i, found = entries[j], self.differences.behaviour(entries[j])
            self.numeric[i] = found.numeric
            allowed[j] = (found.high - found.low) / 2 + self.slack(found, i)
            if found.kind != "smooth":
                self.meet(i, found)
            allows = self.allowed(found, self.g[i], i)
            if allows or (found.kind != "smooth" and self.policy == "avoid"):
                continue
            refuted.append((i, found))
            if len(refuted) == 4:
                break
        for i, found in refuted:
            if not self.acquitted(np.eye(1, self.subject.x.size, i)[0], found):
                self.refuse(i, found)
        return allowed * unit

    def pooled(self, sizes: np.ndarray) -> np.ndarray:
        """The largest of `sizes` among the entries of an input; of those with another unit, as much less as that is
        larger or smaller."""
        found = np.zeros(sizes.shape)
        for part in self.subject.slices:
            units, member = np.unique(self.unit[part], return_inverse=True)
            largest = np.zeros(units.shape)
            np.maximum.at(largest, member, sizes[part])
            ratio = np.minimum(units[:, None] / units, units / units[:, None])
            found[part] = (ratio * largest).max(-1, initial=0.0)[member]
        return found

    def lost(self) -> np.ndarray:
        """What the derivative under test may lose by rounding itself, entry by entry; asked only where it disagrees.

        By how much it is off a straight line between close points, but at most 1e-6: more would be another branch,
        taken off a tie.  One entry may be lucky there, all of a like size are not.
        """
        if self.moved is None:
            x, moved = self.subject.x, np.zeros(self.g.shape)
            for _ in range(4 if self.jvp is None else 0):
                step = 2.0**-24 * x * self.rng.uniform(-1, 1, x.shape)
                try:
                    ends = [self.subject.joined(self.pulled(self.subject.f, x=x + s)[2]) for s in (step, -step)]
                except (ValueError, ArithmeticError):
                    break  # x is at the end of where the function is defined
                moved = np.fmax(moved, np.abs(ends[0] + ends[1] - 2 * self.g))
            self.moved = np.minimum(8 * self.pooled(moved), 1e-6 * self.around)
        return self.moved + 64 * EPS["float64"] * self.around

    def allowed(self, found: Behaviour, slope: float, line: Any) -> bool:
        """Whether `slope` is not refuted, given what the derivative under test may lose."""
        return found.allows(float(slope), self.slack(found, line))

    def slack(self, found: Behaviour, line: Any) -> float:
        """What the derivative under test may lose along a line, also where terms as large as the values cancel."""
        d = np.abs(line) if isinstance(line, np.ndarray) else np.eye(1, self.g.size, line)[0]
        terms = 64 * EPS["float64"] * self.differences.terms(line) * float((d / self.unit).sum())
        return float(d @ self.lost()) + terms + self.cancelled(found, self.u, d)

    @staticmethod
    def cancelled(found: Behaviour, u: np.ndarray, d: np.ndarray) -> float:
        """What terms of the size of the cotangent leave when they cancel; 0 where the function does move along d."""
        still = abs(found.numeric) <= found.high - found.low
        return 64 * EPS["float64"] * float(np.abs(u).sum() * np.abs(d).sum()) if still else 0.0

    def meet(self, i: int, found: Behaviour) -> None:
        """Note a point where the derivative is a choice."""
        self.kinked.add(i)
        k, index = self.subject.at(i)
        sides, says = (
            (found.left / found.weight + 0.0, found.right / found.weight + 0.0),
            self.g[i] / found.weight + 0.0,
        )
        kink = Kink(found.kind, self.subject.arguments[k], index, self.subject.spot(i), sides, float(says))
        equal = np.flatnonzero(self.subject.x == self.subject.x[i])
        if 1 < len(equal) <= 64 and found.kind == "kink":
            d = np.zeros(self.subject.x.size)
            d[equal] = 1.0
            if self.differences.behaviour(d).kind == "smooth":  # moved together they meet no kink: it is a tie
                kink.tied = [self.subject.spot(j) for j in equal.tolist() if j != i][:3]
        self.verdict.kinks.append(kink)
        if self.policy == "error":
            raise self.refused(str(kink), found.kind, i=i)

    def along(self, d: np.ndarray, name: str) -> float:
        """Compare along the direction d; what the slope may be off by."""
        if not d.any():
            return np.inf
        expected = np.array([self.slope(d)])
        _, allowed, agree = self.compared(self.differences, [d], expected, self.largest)
        if agree[0]:
            return float(allowed[0])
        found = self.differences.behaviour(d)
        if found.kind != "smooth":
            if self.policy == "error" and not self.kinked:
                raise self.refused(f"there is a {found.kind} along {name}", found.kind)
            if not self.exact:
                self.notes.append(f"{name} meets a {found.kind}")
            if self.policy == "avoid":
                return np.inf
        if self.allowed(found, float(expected[0]), d) or self.acquitted(d, found):
            return (found.high - found.low) / 2 + self.slack(found, d)
        tied = name != "a random direction"
        if not self.exact and not tied:
            self.locate(d)
        mixed = (np.abs(self.subject.x) < 1e-7 * self.unit)[(d != 0) & (self.subject.x != 0)].any()
        if mixed and not self.kinked and found.kind == "smooth" and "moved together" not in name:
            self.notes.append(f"{name} says otherwise, but no entry alone: scales differ too much to tell")
            return np.inf
        cause = "equal entries do not share the slope rightly: not in the subdifferential" if tied else ""
        raise self.refused(f"along {name}", cause, found=found, analytic=float(expected[0]))

    def locate(self, d: np.ndarray) -> None:
        """Halve a refuted direction until one entry is left that is refuted alone."""
        entries = np.flatnonzero(d)
        while len(entries) > 1:
            halves = [entries[: len(entries) // 2], entries[len(entries) // 2 :]]
            masked = [np.where(np.isin(np.arange(d.size), half), d, 0.0) for half in halves]
            expected = np.array([self.slope(m) for m in masked])
            slopes, allowed, _ = self.compared(self.differences, masked, expected, self.largest)
            off = np.nan_to_num(np.abs(expected - slopes) - allowed, nan=np.inf)
            entries = halves[int(off.argmax())]
        i = int(entries[0])
        if self.jvp is not None:
            self.g[i] = self.slope(np.eye(1, d.size, i)[0])
        found = self.differences.behaviour(i)
        if not self.allowed(found, self.g[i], i):
            s = self.subject.slices[self.subject.at(i)[0]]
            around = [j for j in self.movable if s.start <= j < s.stop] if self.jvp is None else []
            if len(around) <= 16 * AFFORDABLE:
                self.numeric[around] = self.differences.quotients(around, STEPS[0])[0]
            self.numeric[i] = found.numeric
            self.refuse(i, found)

    # ---------------------------------------------------------------------------------------------- refusing

    def refuse(self, i: int, found: Behaviour) -> None:
        subject, k = self.subject, self.subject.at(i)[0]
        cause = likely_cause(subject.split(self.g), subject.split(self.numeric), subject.names, k)
        raise self.refused(subject.place(i), cause, i=i, found=found, analytic=float(self.g[i]))

    def refused(
        self,
        what: str,
        cause: str = "",
        k: int | None = None,
        i: int | None = None,
        found: Behaviour | None = None,
        analytic: float | None = None,
    ) -> GradcheckError:
        """The error to raise, as one sentence and as fields.  k: the input that it is about, i: the entry."""
        fields: dict[str, Any] = {"check": self.title, "cause": cause or what, "analytic": analytic}
        if i is not None:
            k, fields["index"] = self.subject.at(i)
        if k is not None:
            fields["input"] = self.subject.arguments[k]
        message = f"{self.title}: {what}"
        if found is not None and analytic is not None:
            allowed, numeric = (found.high - found.low) / 2, found.numeric
            fields |= {"numeric": numeric, "allowed": allowed, "one_sided": (found.left, found.right)}
            between = f"numeric {numeric:.9g} (they differ by {abs(analytic - numeric):.2g}, allowed {allowed:.2g})"
            if found.kind != "smooth":
                between = f"numeric between {found.low:.9g} and {found.high:.9g} (a {found.kind})"
            message += f": analytic {analytic:.9g}, {between}" + f"; {cause}" * bool(cause)
        return GradcheckError(message, **fields)

    def acquitted(self, d: np.ndarray, found: Behaviour) -> bool:
        """Whether the complex step says what the rule says, so that the differences are the odd one out."""
        if found.kind != "smooth" or self.subject.library.name != "tinygrad_lm" or self.title != "gradcheck":
            return False
        try:
            exact = float(self.u[self.subject.finite] @ complex_step(self.subject, self.subject.x, d))
        except Declined:
            return False
        if not abs(exact - self.slope(d)) <= 1e-9 * abs(exact):  # said this way round, nan acquits nobody
            return False
        self.notes.append("the complex step and the rule agree; differences, which do not, lose too many digits here")
        return True

    # ---------------------------------------------------------------------------------------------- other witnesses

    def independent(self) -> None:
        """Ask the complex step and forward mode along one direction each; with several answers name the odd one."""
        d = self.random()
        lacking = {
            "complex step": lambda op: None if op.facts.get("analytic") else f"{op.name} is not declared analytic",
            "forward mode": lambda op: None if op.pushes else f"{op.name} has no forward-mode rule",
        }
        smooth, differing = True if not self.kinked else self.differences.behaviour(d).kind == "smooth", {}
        for name, oracle in (("complex step", complex_step), ("forward mode", forward_mode)):
            reasons = [lacking[name](op) for op in self.tape if isinstance(op, Op)]
            if reason := next(filter(None, reasons), None):
                self.verdict.oracles[name] = f"declined, {reason}"
                continue
            if not smooth:
                self.verdict.oracles[name] = "not compared, the directions meet a kink"
                continue
            try:
                answer = self.answered(name, oracle, d)
            except Declined as reason:
                self.verdict.oracles[name] = f"declined, {reason}"
                continue
            self.verdict.oracles[name] = "agrees along a random direction"
            if answer is not None:
                differing[name] = answer
                self.verdict.oracles[name] = (
                    f"differs by {abs(answer - self.slope(d)):.2g}, which differences cannot see"
                )
        step, forward = (differing.get(name, np.nan) for name in lacking)
        if abs(step - forward) < 0.1 * abs(step - self.slope(d)):
            raise self.refused(
                f"along a random direction the rule says {self.slope(d):.15g}, the complex step and forward mode agree "
                f"on {step:.15g}",
                "the rule is the odd one out",
            )
        self.verdict.oracles["tg.jvp"] = "not asked, it is made of the rules under test"

    def answered(self, name: str, oracle: Callable, d: np.ndarray) -> float | None:
        """None if the oracle agrees with the rule up to rounding; its answer if differences cannot say who is right."""
        subject, u, eps = self.subject, self.u[self.subject.finite], EPS["float64"]
        tangent = oracle(subject, subject.x, d)
        terms = np.abs(u * tangent).sum() + np.abs(self.g * d).sum()
        answer, expected = float(u @ tangent), self.slope(d)
        if abs(answer - expected) <= 64 * eps * terms:
            return None
        found = self.differences.behaviour(d)
        again = oracle(subject, subject.x, d * (1 + eps * self.rng.uniform(-1, 1, d.shape)))  # it rounds as well
        self.lost()
        rounding = 8 * float(np.abs(d) @ self.moved) + 64 * abs(u @ again - answer)
        rounding += self.cancelled(found, u, np.abs(d))
        if abs(answer - expected) <= rounding:
            return None
        if found.kind != "smooth":
            raise Declined(f"the direction meets a {found.kind}")
        if found.low <= answer <= found.high:
            return answer
        calls: list = []
        oracle(subject, subject.x, d, calls)
        if op := culprit(calls):
            rule = (
                f"the forward-mode rule of {op}" if name == "forward mode" else f"{op}, declared analytic but is not,"
            )
            raise self.refused(
                f"central differences and the rule agree ({expected:.9g}), {rule} disagrees ({answer:.9g})",
                f"{name} of {op} is the odd one out",
            )
        raise Declined("something is computed outside of operations")

    def narrow(self) -> None:
        """The rule in the dtypes of the inputs against the float64 gradient at the same numbers.

        It may be off by what rounding the inputs and cotangents does to the gradient, measured, and a few roundings.
        """
        subject, dtypes = self.subject, self.subject.dtypes
        inputs, us, grads = self.pulled(subject.native, dtypes)
        self.shaped(grads, dtypes)
        eps, n = max(EPS[dtype_of(a)] for a in (*inputs, *us)), subject.x.size

        def wide(both: np.ndarray) -> np.ndarray:
            outs, pull = subject.library.vjp(subject.f, subject.wrapped(both[:n]))
            rounded = [subject.library.wrap(v, dtype_of(y)) for v, y in zip(self.parts(both[n:]), outs, strict=True)]
            return subject.joined(filled(pull(rounded), subject.shapes))

        both = np.concatenate([subject.x, subject.joined(us)])
        exact, moved = conditioned(wide, both, np.full(both.shape, eps), self.rng, 8)
        for k, s in enumerate(subject.slices):
            if s.stop == s.start:
                continue
            size = 16 * np.max(moved[s]) + 8 * eps * np.abs(exact[s]).max() + 16 * SMALLEST[dtypes[k]]
            g, wanted = subject.library.unwrap(grads[k]), exact[s].reshape(subject.shapes[k])
            said = {"input": subject.arguments[k], "cause": f"right in float64, wrong in {dtypes[k]}"}
            title = f"{self.title}: {subject.names[k]} in {dtypes[k]}"
            refuse_beyond(title, g, wanted, np.full(g.shape, size), "from float64", check=self.title, **said)
        self.verdict.oracles["the same in float64"] = f"agrees with {', '.join(sorted(set(dtypes)))}"

    def second(self) -> str:
        """A second derivative along one direction: silence would be a gradient that was taken for a constant."""
        d, subject = self.random(), self.subject
        d[list(self.kinked)] = 0.0
        further = subject.gradient(self.parts(self.u))
        if not d.any() or not np.isfinite(self.g).all():
            return "not compared, there is no direction to go"
        direction = np.concatenate([d, np.zeros(further.x.size - d.size)])
        w = self.rng.normal(size=self.g.shape)
        try:
            outs, pull = further.library.vjp(further.f, further.wrapped(further.x))
            slope = float(further.joined(filled(pull(subject.wrapped(w)), further.shapes)) @ direction)
        except (NotDifferentiable, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            return f"there is none, which is said: {str(error).splitlines()[0]}"
        if not np.isfinite(slope):
            return f"is {slope} along a random direction"
        differences = Differences(further, w, self.g, np.full(w.shape, EPS["float64"]))
        if self.compared(differences, [direction], np.array([slope]), abs(slope))[2][0]:
            return "agrees along a random direction"
        terms = 64 * EPS["float64"] * self.differences.terms(d) / self.unit
        differences.eps = np.maximum(differences.eps, np.nan_to_num((self.lost() + terms) / np.abs(self.g)))
        found = differences.behaviour(direction)
        if found.kind != "smooth":
            return f"not compared, the gradient has a {found.kind} here"
        lost = 1e-9 * (abs(slope) + float(np.abs(w * self.g).sum()))  # one that was left out is no such small part
        if found.allows(slope, lost + 16 * self.cancelled(found, w, d)):
            return "agrees along a random direction"
        cause = "a second derivative is silently wrong: what backward computes was taken for a constant"
        what = "the gradient is right, its own derivative along a random direction is not"
        raise self.refused(what, cause, found=found, analytic=slope)


def filled(grads: Sequence, shapes: Sequence[tuple]) -> list:
    """Gradients with zeros for None."""
    return [np.zeros(shape) if g is None else g for g, shape in zip(grads, shapes, strict=True)]
