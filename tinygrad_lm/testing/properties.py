"""What is true of every operation, as properties that run on every sample of it: `prove(op)` runs them all.

No property knows an operation, and none has a tolerance that could be set: each derives its own.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.core import Op, Tensor, debug, flatten, raw, vjp
from tinygrad_lm.testing.differences import (
    agree,
    close,
    differences,
    directions,
    finite,
    like,
    noise_of,
    one_sided,
    refuted,
    weighed,
)
from tinygrad_lm.testing.layouts import LAYOUTS
from tinygrad_lm.testing.trials import Trial, is_floating, trials

__all__ = ["PROPERTIES", "Property", "Refuted", "prove", "refutations"]

HALF, SINGLE, DOUBLE = np.dtype("f2"), np.dtype("f4"), np.dtype("f8")


class Refuted(AssertionError):
    """An operation and a property that does not hold for it, with the sample, the input and the element."""


@dataclass(frozen=True)
class Property:
    """Something that must hold: for each sample (`check(trial)`) or for the operation (`check(op)`).

    `when` tells from the declaration for which operations it says anything.
    """

    name: str
    check: Callable[[Any], None]
    per_sample: bool
    when: Callable[[Op], bool]

    def __call__(self, subject: Any) -> None:
        """Check an operation on all of its samples, or one trial; raise `Refuted` at the first that fails."""
        if isinstance(subject, Trial):
            places: Iterable = [subject] if self.per_sample else [subject.op]
        else:
            op = getattr(subject, "op", subject)
            places = trials(op) if self.per_sample else [op]
        for place in places:
            try:
                self.check(place)
            except Exception as error:
                said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
                raise Refuted(f"{self.name} of {place!r}: {said}") from error


PROPERTIES: dict[str, Property] = {}


def of(subject: str, when: Callable[[Op], bool] = lambda op: True) -> Callable:
    """Register a property of every "operation", of every "sample", or of every "gradient": a sample that has one."""

    def declare(check: Callable) -> Callable:
        asked: Callable = check
        if subject == "gradient":
            asked = lambda trial: check(trial) if trial.differentiable else None  # noqa: E731
        smooth = subject != "gradient"
        PROPERTIES[check.__name__] = Property(
            check.__name__, asked, subject != "operation", lambda op: when(op) and (smooth or differentiable(op))
        )
        return check

    return declare


def differentiable(op: Op) -> bool:
    return any(rule is not None for rule in op.rules.values())


# ---------------------------------------------------------------------------------------------------- the declaration


@of("operation")
def declared(op: Op) -> None:
    """Five samples of distinct shapes, a docstring, every input with a rule or constant."""
    shapes = {str([np.shape(a) for a in t.draw()]) for t in trials(op)}
    assert len(shapes) >= 5, f"samples= has {len(shapes)} distinct shapes, five are needed"
    assert op.forward.__doc__ and op.function.__doc__ == op.forward.__doc__, "no docstring"
    lacking = [n for n in op.inputs if n not in op.rules]
    assert not lacking, f"neither a rule nor .constant(...) for {', '.join(lacking)}"


# ---------------------------------------------------------------------------------------------------- the right numbers


@of("gradient")
def first_order(trial: Trial) -> None:
    """Gradients agree with central differences at every element of every input."""
    found = differences(trial)
    grads = trial.gradients(trial.draw(), [np.array(u) for u in found.cotangents])
    for k, (i, g) in enumerate(zip(trial.tracked, grads, strict=True)):
        assert g.shape == found.chosen[k].shape, f"the gradient of {trial.name(i)} has shape {g.shape}"
        found.refute(k, g, trial.name(i))


@of("gradient")
def second_order(trial: Trial) -> None:
    """The derivative of (x, u) -> u^T J(x) agrees with differences of it along random directions."""
    arrays = trial.draw()
    f, chosen = trial.of(trial.tracked, arrays)
    point, n = [*chosen, *trial.cotangents(arrays)], len(chosen)

    def gradient(*both: Any) -> tuple:
        return vjp(f, *both[:n])[1](list(both[n:]))

    grads, pull = vjp(gradient, *point)
    weights = like(grads, trial, 2)
    second, noise = pull(tuple(weights)), noise_of(weights, grads)

    def along(moves: Sequence[Any]) -> tuple[float, Callable]:
        return weighed(moves, second), lambda h: weighed(
            weights, gradient(*[x + h * v for x, v in zip(point, moves, strict=True)])
        )

    if any(refuted(*along(like(point, trial, which)), noise) for which in (3, 4)):
        names = [trial.name(i) for i in trial.tracked] + [f"cotangent {i}" for i in range(len(point) - n)]
        for k, x in enumerate(point):
            for at in np.ndindex(x.shape):
                one = [np.zeros(p.shape) for p in point]
                one[k][at] = 1.0
                if said := refuted(*along(one), noise):
                    where = f"{names[k]}{list(at) if at else ''}"
                    raise AssertionError(f"the second derivative by {where} is {said}")
        raise AssertionError("second derivatives are refuted along a random direction, but by no element alone")


@of("gradient")
def second_point(trial: Trial) -> None:
    """Right at other numbers too, after these: nothing is remembered from one call to the next."""
    trial.gradients(arrays := trial.draw(), trial.cotangents(arrays))
    other = trial.again(trial.seed[0] + 1, trial.layouts)
    arrays = other.draw()
    f, chosen = other.of(other.tracked, arrays)
    cotangents, moves = other.cotangents(arrays), like(chosen, other, 3)
    got = weighed(moves, other.gradients(arrays, cotangents))

    def number(h: float) -> float:
        return weighed(cotangents, f(*[x + h * v for x, v in zip(chosen, moves, strict=True)]))

    if said := refuted(got, number, noise_of(cotangents, f(*chosen))):
        raise AssertionError(f"along a random direction at other numbers the slope is {said}")


@of("gradient")
def linear(trial: Trial) -> None:
    """A pull-back may be used again, and is linear: twice the cotangent gives twice the gradient, to the bit."""
    arrays = trial.draw()
    u, v = trial.cotangents(arrays), trial.cotangents(arrays, 5)
    pull = trial.pullback(arrays)
    of_u, of_v, twice = pull(u), pull(v), pull([2 * a for a in u])
    both = pull([a + b for a, b in zip(u, v, strict=True)])
    for k, i in enumerate(trial.tracked):
        agree(twice[k], 2 * of_u[k], 0, f"the gradient of {trial.name(i)} for twice the cotangent")
        size = 1e-12 * (1 + np.abs(finite(of_u[k])).max(initial=0) + np.abs(finite(of_v[k])).max(initial=0))
        agree(both[k], of_u[k] + of_v[k], size, f"the gradient of {trial.name(i)} for a sum of cotangents")


@of("gradient")
def each_alone(trial: Trial) -> None:
    """Each input gets, as the only one that is tracked, the gradient that it gets among others."""
    arrays = trial.draw()
    cotangents = trial.cotangents(arrays)
    together = trial.gradients(arrays, cotangents)
    for i, expected in zip(trial.tracked, together, strict=True) if len(together) > 1 else ():
        f, chosen = trial.of([i], arrays)
        agree(vjp(f, *chosen)[1](cotangents)[0], expected, 0, f"the gradient of {trial.name(i)} alone")


@of("gradient", lambda op: bool(op.pushes))
def forward_mode(trial: Trial) -> None:
    """Hand-written tangents agree with differences, and with the gradients: <u, J t> = <J^T u, t>."""
    arrays = trial.draw()
    cotangents = trial.cotangents(arrays)
    grads = dict(zip(trial.tracked, trial.gradients(arrays, cotangents), strict=True))
    pushed = [i for i in trial.tracked if (trial.op.variadic or trial.op.inputs[i]) in trial.op.pushes]
    moves = dict(zip(pushed, like([arrays[i] for i in pushed], trial, 6), strict=True))
    for alone in [[i] for i in pushed] + [pushed] * (len(pushed) > 1):
        tangents = [moves[i] if i in alone else None for i in range(len(arrays))]
        outs, tangent = trial.op.push(arrays, tangents, **trial.case.params)
        sizes = [is_floating(y) for y in flatten(outs)[0]]
        tangent = [t for t, floating in zip(flatten(tangent)[0], sizes, strict=True) if floating]
        what = f"the tangent for {' and '.join(map(trial.name, alone))}"
        for t, y in zip(tangent, trial.outputs(*arrays), strict=True):
            assert t.shape == y.shape and t.dtype == y.dtype, f"{what} is {t.dtype} {t.shape}, expected that of {y!r}"

        def number(h: float, alone: list = alone) -> float:
            return weighed(
                cotangents, trial.outputs(*[a + h * moves[i] if i in alone else a for i, a in enumerate(arrays)])
            )

        got, by_rules = weighed(cotangents, tangent), [moves[i] * grads[i] for i in alone]
        if said := refuted(got, number, noise_of(cotangents, trial.outputs(*arrays))):
            raise AssertionError(f"{what}, times u, is {said}")
        size = sum([np.abs(u * t).sum() for u, t in zip(cotangents, tangent, strict=True)], start=1.0)
        size += sum([np.abs(p).sum() for p in by_rules])
        agree(got, sum([p.sum() for p in by_rules]), 1e-11 * size, f"<u, J t> against <J^T u, t>: {what}")


@of("gradient", lambda op: bool(op.facts.get("analytic")))
def complex_step(trial: Trial) -> None:
    """What is declared analytic is: Im f(x + i h t) / h, without cancellation, is the gradient along t."""
    arrays = trial.draw()
    cotangents, op, h = trial.cotangents(arrays), trial.op, 1e-30
    for i, g in zip(trial.tracked, trial.gradients(arrays, cotangents), strict=True):
        t = like([arrays[i]], trial, 7)[0]
        given = [a + 1j * h * t if k == i else a for k, a in enumerate(arrays)]
        given += [None] * (0 if op.variadic else len(op.inputs) - len(given))
        results = op.forward(np, *given, **{**op.params, **trial.case.params})
        outs = flatten(results[0] if op.aux else results)[0]
        stepped = weighed(cotangents, [np.imag(y) / h for y in outs])
        size = 1 + np.abs(g * t).sum() + weighed(list(map(np.abs, cotangents)), [np.abs(np.imag(y)) / h for y in outs])
        agree((g * t).sum(), stepped, 1e-12 * size, f"the gradient of {trial.name(i)} against a complex step")


@of("sample", lambda op: op.plain is not None)
def composed(trial: Trial) -> None:
    """The operation equals the function of simpler ones that it is declared to be."""
    op, plain = trial.op, trial.op.plain
    assert plain is not None
    named = dict.fromkeys(op.inputs) | dict(zip(op.inputs, trial.draw(), strict=False)) | op.params | trial.case.params
    reference = plain(**{n: named[n] for n in inspect.signature(plain).parameters})
    for y, z in zip(flatten(trial(*trial.draw()))[0], flatten(reference)[0], strict=True):
        if np.shape(y) != np.broadcast_shapes(np.shape(y), np.shape(z)):  # a rule's result may be summed by the walk
            raise AssertionError(f"the composed result has shape {np.shape(z)}, the operation's {np.shape(y)}")
        close(y, np.broadcast_to(raw(z), np.shape(y)), "the result, against the composed one")


@of("operation", lambda op: bool(op.facts.get("kinks")))
def kinks(op: Op) -> None:
    """At declared kinks the gradient is the declared one, and no direction refutes it.

    Along a direction where f has slopes on both sides, u^T v must lie between them.  Coordinates, directions that move
    equal entries together, and random ones are tried; where f jumps or has no slope, a direction says nothing.
    """
    for kink in op.facts["kinks"]:
        given = [np.asarray(v) for v in kink.inputs]
        names = [op.variadic] * len(given) if op.variadic else op.inputs
        tracked = [i for i, n in enumerate(names[: len(given)]) if op.rules[str(n)] is not None]
        arrays = [a.astype(float) if i in tracked else a for i, a in enumerate(given)]
        leaves = [Tensor(a, requires_grad=i in tracked) for i, a in enumerate(arrays)]

        def call(xs: list, params: dict = kink.params) -> Any:
            return op.function(*([xs] if op.variadic else xs), **params)

        with np.errstate(all="ignore"):
            outs = [y for y in flatten(call(leaves))[0] if is_floating(y)]
            sum([y.sum() for y in outs[1:]], outs[0].sum()).backward()
            for i in tracked:
                g = leaves[i].grad
                assert g is not None, f"no gradient of {names[i]} at {kink.inputs}"
                agree(g, np.array(kink.grads[i], float), 0, f"the gradient of {names[i]} at {kink.inputs}")
            if not all(np.isfinite(np.array(kink.grads[i], float)).all() for i in tracked):
                continue
            for moves in directions([arrays[i] for i in tracked]):
                sides = [one_sided(lambda *xs: outputs_sum(call(list(xs))), arrays, tracked, moves, s) for s in (1, -1)]
                got = sum(
                    [float((m * np.array(kink.grads[i], float)).sum()) for i, m in zip(tracked, moves, strict=True)]
                )
                if not np.isfinite(sides).all():
                    continue
                low, high = sorted([sides[0], -sides[1]])
                assert low - 1e-4 <= got <= high + 1e-4, (
                    f"at {kink.inputs} along {[m.tolist() for m in moves]} the declared gradient means {got:.6g}, "
                    f"the slopes on both sides are {low:.6g} and {high:.6g}"
                )


def outputs_sum(result: Any) -> float:
    return sum([float(np.sum(raw(y))) for y in flatten(result)[0] if is_floating(y)])


# ---------------------------------------------------------------------------------------------------- two ways to run


@of("sample")
def boxes(trial: Trial) -> None:
    """Arrays in, arrays out; Tensors in, Tensors out; the same numbers."""
    arrays = trial.draw()
    bare = flatten(trial(*arrays))[0]
    boxed = flatten(trial(*[Tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]))[0]
    for y, z in zip(bare, boxed, strict=True):
        assert not isinstance(y, Tensor), "arrays came in and a Tensor came out"
        assert type(z) is Tensor and type(z.data) is np.ndarray and z.node is None, f"Tensors in, {type(z)} out"
        agree(z, y, 0, "the result for Tensors")


@of("gradient")
def rules_on_tensors(trial: Trial) -> None:
    """A rule that is recorded computes the same bits as one that is not."""
    arrays = trial.draw()
    cotangents = trial.cotangents(arrays)
    f, chosen = trial.of(trial.tracked, arrays)
    recorded = vjp(f, *map(Tensor, chosen), create_graph=True)[1]([Tensor(u) for u in cotangents])
    for i, g, h in zip(trial.tracked, trial.gradients(arrays, cotangents), recorded, strict=True):
        assert type(g) is np.ndarray and type(h) is Tensor and type(h.data) is np.ndarray, f"{type(g)} and {type(h)}"
        agree(h, g, 0, f"the gradient of {trial.name(i)} under create_graph")


@of("sample")
def same_bits(trial: Trial) -> None:
    """Run to run the same bits."""

    def run() -> list:
        arrays = trial.draw(SINGLE)
        results = flatten(trial(*arrays))[0]
        grads = trial.gradients(arrays, trial.cotangents(arrays)) if trial.differentiable else ()
        return [a.tobytes() for a in (*results, *grads)]

    first = run()
    assert run() == first and run() == first, "another run, other bits"


# ---------------------------------------------------------------------------------------------------- memory


@of("sample")
def layouts(trial: Trial) -> None:
    """How arrays and cotangents lie in memory does not matter."""

    def run(arrays: list, layout: str) -> list:
        found = [("the result", y) for y in flatten(trial(*arrays))[0]]
        if trial.differentiable:
            put = LAYOUTS[layout]
            grads = trial.gradients(arrays, [put(u) for u in trial.cotangents(arrays)])
            found += [(f"the gradient of {trial.name(i)}", g) for i, g in zip(trial.tracked, grads, strict=True)]
        return found

    def compare(layout: str, expected: list) -> None:
        for (what, y), (_, z) in zip(run(trial.draw(layout=layout), layout), expected, strict=True):
            close(y, z, f"{what}, arrays laid out {layout},")

    contiguous = run(trial.draw(layout="contiguous"), "contiguous")
    for layout in LAYOUTS:
        if layout not in ("contiguous", "broadcast"):
            compare(layout, contiguous)
    with np.errstate(all="ignore"):
        same = [np.array(a, order="C") if isinstance(a, np.ndarray) else a for a in trial.draw(layout="broadcast")]
        try:
            first = [np.array(LAYOUTS["broadcast"](u)) for u in trial.cotangents(same)]
            results = [("the result", y) for y in flatten(trial(*same))[0]]
            if trial.differentiable:
                grads = trial.gradients(same, first)
                results += [(f"the gradient of {trial.name(i)}", g) for i, g in zip(trial.tracked, grads, strict=True)]
        except ValueError:  # equal numbers everywhere are outside the domain, as for a matrix that must be inverted
            return
        compare("broadcast", results)


@of("gradient")
def nothing_written(trial: Trial) -> None:
    """Inputs and cotangents are read-only here, and so is, by debug mode, all that the tape keeps."""

    def frozen(a: Any) -> Any:
        if isinstance(a, np.ndarray):
            a.flags.writeable = False
        return a

    arrays = [frozen(a) for a in trial.draw()]
    cotangents = [frozen(u) for u in trial.cotangents(arrays)]
    expected = trial.gradients(trial.draw(), trial.cotangents(arrays))
    with debug():
        f, chosen = trial.of(trial.tracked, arrays)
        first = vjp(f, *chosen)[1](list(cotangents))
        recorded = vjp(f, *map(Tensor, chosen), create_graph=True)[1]([Tensor(u) for u in cotangents])
    for i, g, h, e in zip(trial.tracked, first, recorded, expected, strict=True):
        close(g, e, f"the gradient of {trial.name(i)} from read-only arrays")
        close(h, e, f"the gradient of {trial.name(i)} from read-only arrays, under create_graph")


@of("gradient")
def nothing_shared(trial: Trial) -> None:
    """A gradient shares memory with no other, no input, no output, no cotangent; and no rule returns what is kept."""
    arrays = trial.draw()
    leaves = trial.leaves(arrays)
    outs = trial.outputs(*leaves)
    cotangents = trial.cotangents(arrays)

    def nothing_kept_is_returned(node: Any, g: Any, grads: Sequence[Any]) -> None:
        kept = [a for a in flatten(list(node.kept().values()))[0] if isinstance(a, np.ndarray)]
        returned = [h for h in grads if isinstance(h, np.ndarray)]
        assert not any(np.shares_memory(h, a) for h in returned for a in kept), f"{node} returned what it kept"

    with config.watch(nothing_kept_is_returned):
        for y, u in zip(outs, cotangents, strict=True):
            y.backward(u, retain_graph=True)
    tensors = [(i, leaves[i].grad) for i in trial.tracked]
    grads = [(trial.name(i), g.data) for i, g in tensors if g is not None]
    others = [("an input", x.data) for x in leaves if isinstance(x, Tensor)]
    others += [("an output", y.data) for y in outs] + [("a cotangent", u) for u in cotangents]
    for k, (name, g) in enumerate(grads):
        assert g.flags.writeable, f"the gradient of {name} is read-only"
        for other, a in (*grads[:k], *others):
            assert not np.shares_memory(g, a), f"the gradient of {name} shares memory with that of {other}"


# ---------------------------------------------------------------------------------------------------- dtypes


def bfloats() -> list[np.dtype]:
    """bfloat16, where ml_dtypes is installed."""
    if importlib.util.find_spec("ml_dtypes") is None:
        return []
    import ml_dtypes

    return [np.dtype(ml_dtypes.bfloat16)]


def keeps_dtype(trial: Trial) -> bool:
    return "dtype" not in trial.case.params


@of("gradient")
def dtypes(trial: Trial) -> None:
    """A gradient has its input's dtype and shape, and no rule computes in float64 what came in less."""
    for dtype in (HALF, *bfloats(), SINGLE, DOUBLE):
        arrays = trial.draw(dtype)
        leaves = trial.leaves(arrays)
        outs = trial.outputs(*leaves)

        def nothing_is_wider(node: Any, g: Any, grads: Sequence[Any], dtype: np.dtype = dtype) -> None:
            wide = [h for h in grads if getattr(h, "dtype", None) is not None and h.dtype == DOUBLE]
            assert dtype == DOUBLE or not wide or not keeps_dtype(trial), f"{node}: float64 out of a rule for {dtype}"

        with config.watch(nothing_is_wider):
            for y, u in zip(outs, trial.cotangents(arrays), strict=True):
                y.backward(u, retain_graph=True)
        for i in trial.tracked:
            g, what = leaves[i].grad, f"the gradient of {trial.name(i)} in {dtype}"
            assert type(g) is Tensor and type(g.data) is np.ndarray, f"{what} is {g!r}"
            assert g.dtype == dtype and g.shape == arrays[i].shape, f"{what} {arrays[i].shape} is {g.dtype} {g.shape}"


@of("sample")
def integers_never_widen(trial: Trial) -> None:
    """Each floating input in turn is an int64 array, the others are float32: so is the result."""
    arrays = trial.draw(SINGLE)
    floats = [i for i, a in enumerate(arrays) if is_floating(a)]
    for i in floats if len(floats) > 1 and keeps_dtype(trial) else ():
        mixed = list(arrays)
        mixed[i] = np.ones(arrays[i].shape, np.int64)
        try:
            outs = trial.outputs(*mixed)
        except ValueError:  # ones make no matrix that could be inverted: the identity does
            mixed[i] = np.zeros(arrays[i].shape, np.int64) + np.eye(*arrays[i].shape[-2:], dtype=np.int64)
            outs = trial.outputs(*mixed)
        for y in outs:
            assert y.dtype == SINGLE, f"the result is {y.dtype} where {trial.name(i)} is int64"


def within_rounding(trial: Trial, dtype: np.dtype) -> None:
    """Results and gradients in `dtype` agree with those in float64 of the same (rounded) numbers.

    The bound is 16 times what rounding the inputs changes, which is the condition, measured, and 8 roundings.  It is a
    quarter of that in two bytes: bodies compute in float32 then, and only results and steps of rules are rounded.
    """
    arrays = trial.draw(dtype)
    if keeps_dtype(trial):
        for y in trial.outputs(*arrays):
            assert y.dtype == dtype, f"the result is {y.dtype}, the inputs are {dtype}"
    compare_rounded(trial, trial.outputs, arrays, dtype, "the result")
    if trial.differentiable:
        n, cotangents = len(arrays), trial.cotangents(arrays)
        names = ", ".join(map(trial.name, trial.tracked))
        compare_rounded(
            trial, lambda *xs: trial.gradients(xs[:n], xs[n:]), [*arrays, *cotangents], dtype, f"gradient ({names})"
        )


def compare_rounded(trial: Trial, f: Callable, arrays: list, dtype: np.dtype, what: str) -> None:
    unit, tiny = unit_of(dtype)
    many = 16 if dtype == SINGLE else 4
    rng = np.random.default_rng([*trial.seed, 8])
    wide = [np.asarray(a, float) if is_floating(a) else a for a in arrays]
    exact = f(*wide)
    moved = [np.zeros(np.shape(y)) for y in exact]
    for _ in range(5):
        nearby = [a * (1 + unit * rng.uniform(-1, 1, a.shape)) if is_floating(a) else a for a in wide]
        moved = [np.maximum(m, np.abs(y - z)) for m, y, z in zip(moved, f(*nearby), exact, strict=True)]
    for k, (y, z, m) in enumerate(zip(f(*arrays), exact, moved, strict=True)):
        bound = many * (m.max(initial=0) + unit / 2 * np.abs(z).max(initial=0)) + tiny
        agree(y, z, bound, f"{what}, number {k}, in {dtype}")


def unit_of(dtype: np.dtype) -> tuple[float, float]:
    """(the spacing of numbers at 1, what underflow may cost)."""
    if dtype.name == "bfloat16":
        return 2.0**-7, 1e-37
    info = np.finfo(dtype)
    return float(info.eps), 16 * float(info.smallest_subnormal)


@of("sample")
def float32(trial: Trial) -> None:
    """float32 agrees with float64: results and gradients, to a bound that is derived from the condition."""
    within_rounding(trial, SINGLE)


@of("sample")
def float16(trial: Trial) -> None:
    """So does float16."""
    within_rounding(trial, HALF)


@of("sample")
def bfloat16(trial: Trial) -> None:
    """And bfloat16."""
    for dtype in bfloats():
        within_rounding(trial, dtype)


# ---------------------------------------------------------------------------------------------------- all of them


def refutations(op: Any, names: Iterable[str] = ()) -> dict[str, Refuted]:
    """{property: what refutes it} for an operation: of the properties named, or of all."""
    record, found = getattr(op, "op", op), {}
    for name in names or PROPERTIES:
        try:
            if PROPERTIES[name].when(record):
                PROPERTIES[name](record)
        except Refuted as error:
            found[name] = error
    return found


def prove(op: Any) -> str:
    """Run every property on every sample of an operation; return a line that says so, or raise all that is refuted.

    >>> import tinygrad_lm as tg
    >>> print(tg.testing.prove(tg.tanh))  # doctest: +ELLIPSIS
    tanh: ... properties hold on 5 samples (not asked: ...)
    """
    record = getattr(op, "op", op)
    if not isinstance(record, Op):
        raise TypeError(f"prove takes an operation, a function declared with @tg.op; got {op!r}")
    asked = [name for name, p in PROPERTIES.items() if p.when(record)]
    if found := refutations(record, asked):
        raise Refuted("\n".join([f"{record.name}: {len(found)} of {len(asked)} properties are refuted"]
                                + [f"  {error}" for error in found.values()]))  # fmt: skip
    rest = [name for name in PROPERTIES if name not in asked]
    unasked = f" (not asked: {', '.join(rest)})" if rest else ""
    return f"{record.name}: {len(asked)} properties hold on {len(trials(record))} samples{unasked}"
