"""Operations: one block each, a forward whose body is the reference and the rules of its derivative.

    @op                                     # or @op(aux="mean rstd", samples=..., **facts)
    def multiply(xp, a, b):                 # xp: the array module; arrays positional; metadata keyword-only
        return xp.multiply(a, b)

    @multiply.vjp("a")                      # one rule per input ...
    def _(g, b):
        return g * b

    @thing.vjp("q", "k", "v")               # ... or a joint one where work is shared
    def _(g, q, k, v, out, lse, *, causal):
        return thing_grad(g, q, k, v, out, lse, causal=causal)

The words a rule may ask for, by naming them as parameters.  The tape keeps those and nothing else:

    g           the incoming gradient (first, always); a tuple if there are several outputs, zeros where nothing arrived
    out         the output (a tuple if several)
    a           an input, by its name in the forward; the tuple of them for a variadic `*xs`
    a_shape     its shape only, which keeps no array (a tuple of shapes for `*xs`)
    mean        an auxiliary result, declared with aux= and returned by the forward after its output; a floating one
                stops second derivatives with an error, unless it goes into a constant input or is declared constant
    axis        a keyword of the forward
    needs       one bool per input of the rule: which gradients will be used

A rule returns one gradient (a joint rule: one per input it was declared for); None means zero.  Its shape may be any
that broadcasting made of the input's: the walk sums it back.  It must not write to what it is given.

    @multiply.jvp("a")                      # forward mode, where somebody wrote it, is independent evidence
    def _(t, b):                            # t: the tangent of a (a joint rule: a tuple of them); words as below
        return t * b

Rules are written once and run in two ways.  First-order backward calls them with raw arrays, and an operation that is
given no Tensor just computes.  Under `create_graph` the same rules get Tensors, and what they do is recorded.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from keyword import iskeyword
from typing import Any

from tinygrad_lm.backend import BY_TYPE, backend_of, is_float, on_swap, table_of, widest_float
from tinygrad_lm.config import recording
from tinygrad_lm.core.errors import NotDifferentiable
from tinygrad_lm.core.functional import pullback
from tinygrad_lm.core.plan import EMPTY, RESERVED, Plan, boxed, caller, compiled, guard
from tinygrad_lm.core.tensor import Tensor, as_array, raw

KEYWORD, POSITIONAL, VARIADIC = (
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
FACTS = frozenset("name samples kinks cost analytic arithmetic diagnose promote ufunc".split())
OPS: dict[str, Op] = {}  # every operation by name: tests, docs and counters are driven by it


class Op:
    """A forward, its rules, and facts about it.  `function` is what a user calls."""

    def __init__(self, forward: Callable, aux: str = "", **facts: Any):
        if not isinstance(forward, types.FunctionType):
            raise TypeError(f"an operation is written as a function (xp, x, ...), got {forward!r}")
        if unknown := set(facts) - FACTS:
            known = ", ".join(sorted(FACTS))
            raise TypeError(f"{forward.__name__}: no fact is called {', '.join(sorted(unknown))}; there are: {known}")
        self.parameters = parameters_of(forward)[1:]  # without xp
        self.facts = facts
        self.forward: Callable = forward
        self.name: str = facts.pop("name", forward.__name__)
        self.inputs = [p.name for p in self.parameters if p.kind is not KEYWORD]
        self.required = [p.name for p in self.parameters if p.kind is not KEYWORD and p.default is not None]
        self.variadic = next((p.name for p in self.parameters if p.kind is VARIADIC), None)
        self.params = {p.name: p.default for p in self.parameters if p.kind is KEYWORD}
        # A keyword without a default cannot follow an input that may be left out, unless it must be named.
        self.by_name_only = len(self.required) < len(self.inputs) and EMPTY in self.params.values()
        self.aux = tuple(aux.split())
        if not self.name.isidentifier() or iskeyword(self.name):
            raise TypeError(f"an operation needs a name to call it by, not {self.name!r}: write it with def, or name=")
        named = {*self.inputs, *self.params, *self.aux}
        if clash := {"g", "t", "out", "needs"} & named:
            raise TypeError(
                f"{self.name}: {', '.join(clash)} is a word of the rules, call it otherwise (a gradient: dy)"
            )
        if clash := named & RESERVED:
            raise TypeError(f"{self.name}: {', '.join(clash)} is a name of the written-out code, call it otherwise")
        before = OPS.get(self.name)
        if before and is_ours(before.forward) and not is_ours(forward):  # its kernels would serve this one
            raise TypeError(f"there is an operation {self.name} already; use another name, or give one with name=")
        if self.variadic and len(self.inputs) > 1:
            raise TypeError(f"{self.name}: *{self.variadic} must be the only array input")
        self.rules: dict[str, Rule | None] = {}
        self.pushes: dict[str, Rule] = {}  # forward mode: an independent witness, used by nothing but the proof
        self.plain: Callable | None = None  # the same function made of simpler ops, where `composed` declared one
        self.records: dict[tuple, Callable] = {}  # pattern of tracked inputs -> Plan.record
        self.resolved: dict[Any, tuple] = {}  # types of the inputs -> (xp, kernel or body)
        on_swap(self.resolved.clear)
        self.text = ""
        self.function = self._public()
        OPS[self.name] = self

    # ------------------------------------------------------------------------------------------------ declarations

    def vjp(self, *inputs: str) -> Callable:
        """Declare the decorated function to be the rule for these inputs."""

        def declare(function: Callable) -> Callable:
            self._declare(Rule(self, inputs, function))
            return function

        return declare

    def jvp(self, *inputs: str) -> Callable:
        """Declare the decorated function to be the forward-mode rule for these inputs: tangents in, tangent out.

        The tangent of the output is the sum over the inputs.  Rules are written for arrays and serve as evidence: what
        they say must agree with the `vjp` rules, from which they may not be derived.
        """

        def declare(function: Callable) -> Callable:
            self.pushes.update(dict.fromkeys(inputs, Rule(self, inputs, function, first="t")))
            return function

        return declare

    def constant(self, *inputs: str) -> None:
        """Declare that no gradient flows to these: integers, masks, and caches of what the other inputs determine.

        An auxiliary result that does not depend on the inputs may be declared, too: a mask that was drawn.
        """
        if unknown := set(inputs) - {*self.inputs, *self.aux}:
            known = ", ".join([*self.inputs, *self.aux])
            raise TypeError(f"{self.name} has no input {', '.join(sorted(unknown))}; there are: {known}")
        self.rules.update(dict.fromkeys(inputs, None))
        self.records.clear()
        self.resolved.clear()

    def composed(self, plain: Callable) -> Callable:
        """Declare that the derivative is that of `plain`, a function of simpler ops with the same results.

        It serves the inputs for which nothing else was declared, and tests compare the op with it.
        """
        named = [p.name for p in parameters_of(plain)]
        inputs, rest = [n for n in named if n in self.inputs], [n for n in named if n not in self.inputs]
        at = [i for i, n in enumerate(inputs) if n not in self.rules]

        def rule(g: Any, *values: Any) -> Any:
            given = [getattr(values[i], "dtype", None) for i in at]
            g, values = tuple(map(single, g)) if isinstance(g, tuple) else single(g), tuple(map(single, values))
            params = dict(zip(rest, values[len(inputs) :], strict=True))

            def of_served(*served: Any) -> Any:
                tensors = list(values[: len(inputs)])
                for i, x in zip(at, served, strict=True):
                    tensors[i] = x
                return plain(*tensors, **params)

            recorded = any(isinstance(v, Tensor) for v in values)
            to_device = backend_of(*map(raw, g if isinstance(g, tuple) else (g,))).from_numpy  # numbers live nowhere
            leaves = [values[i] for i in at]
            leaves = [to_device(as_array(v)) if isinstance(v, int | float) else v for v in leaves]
            grads = pullback(of_served, leaves, create_graph=recorded, once=True)[1](g)
            grads = [d if d is None or d.dtype == t else d.astype(t) for d, t in zip(grads, given, strict=True)]
            return grads if len(at) > 1 else grads[0]

        if at:
            self._declare(Rule(self, [inputs[i] for i in at], rule, ["g", *inputs, *rest]))
        self.plain = plain
        return plain

    def _declare(self, rule: Rule) -> None:
        self.rules.update(dict.fromkeys(rule.inputs, rule))
        self.records.clear()
        self.resolved.clear()

    # ------------------------------------------------------------------------------------------------ calling

    def _public(self) -> Any:
        """The function that users call: written out on its first call, with a real signature from the start."""
        scope: dict[str, Any] = {}

        function: Any = types.FunctionType(_first_call.__code__, scope, self.name)

        def write_out() -> Any:
            self.text, names = caller(self)
            written = compiled(self.text, f"op {self.name}", names)[self.name]
            scope.update(names)
            function.__code__, function.__defaults__ = written.__code__, written.__defaults__
            return function

        scope["write_out"] = write_out
        spec = [
            p if p.kind is KEYWORD and self.by_name_only else inspect.Parameter(p.name, POSITIONAL, default=p.default)
            for p in self.parameters
        ]
        function.__signature__ = inspect.Signature(spec)
        function.__qualname__, function.__module__ = self.name, self.forward.__module__
        function.__doc__ = self.forward.__doc__
        function.__dict__.update(
            op=self, vjp=self.vjp, jvp=self.jvp, constant=self.constant, composed=self.composed, with_aux=self.with_aux
        )
        return function

    def with_aux(self, *args: Any, **params: Any) -> tuple:
        """(output, auxiliary results as raw arrays ...): for callers that keep statistics."""
        arrays = [raw(a) for a in args] + [None] * (len(self.inputs) - len(args))
        nodes = [a.node if isinstance(a, Tensor) else None for a in args] + [None] * (len(self.inputs) - len(args))
        params = {**self.params, **params}
        xp, compute = self.resolve(*arrays)
        out, *aux = compute(xp, *arrays, **params)
        if (seen := recording.get()) is not None and any(n is not None for n in nodes):
            record = self.record_of(tuple([n is not None for n in nodes]))
            out = record(seen, out, *aux, *arrays, *nodes, *params.values())
        elif any(isinstance(a, Tensor) for a in args):
            out = boxed(out)
        return (out, *aux)

    def push(self, arrays: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        """(output, its tangent) by the hand-written forward-mode rules, for raw arrays; a tangent None means zero.

        Raises `NotDifferentiable` if an input that has a tangent has no such rule.

        >>> import numpy as np, tinygrad_lm as tg
        >>> tg.multiply.op.push([np.array(3.0), np.array(2.0)], [np.array(1.0), None])
        (array(6.), array(2.))
        """
        given = list(arrays) + [None] * (0 if self.variadic else len(self.inputs) - len(arrays))
        moves = list(tangents) + [None] * (len(given) - len(tangents))
        params = {**self.params, **params}
        xp, compute = self.resolve(*given)
        results = compute(xp, *given, **params)
        out, *aux = results if self.aux else (results,)
        outs = tuple(out) if isinstance(out, (tuple, list)) else (out,)
        if self.variadic:
            values: dict[str, Any] = {
                self.variadic: tuple(given),
                f"{self.variadic}_shape": tuple(map(xp.shape, given)),
            }
            moving = [self.variadic] if any(t is not None for t in moves) else []
        else:
            values = dict(zip(self.inputs, given, strict=True))
            values |= {f"{n}_shape": xp.shape(a) for n, a in values.items() if a is not None}
            moving = [n for n, t in zip(self.inputs, moves, strict=True) if t is not None]
        values |= {**params, **dict(zip(self.aux, aux, strict=True)), "out": out}
        moving = [n for n in moving if self.rules.get(n, True) is not None]
        if lacking := [n for n in moving if n not in self.pushes]:
            raise NotDifferentiable(
                f"{self.name} has no forward-mode rule for {', '.join(lacking)}: write @{self.name}.jvp"
            )
        totals: list = [xp.zeros(xp.shape(y), y.dtype) for y in outs]
        for rule in dict.fromkeys(self.pushes[n] for n in moving):
            filled = [xp.zeros_like(a) if t is None and a is not None else t for a, t in zip(given, moves, strict=True)]
            by_name = {self.variadic: tuple(filled)} if self.variadic else dict(zip(self.inputs, filled, strict=True))
            t = tuple([by_name[n] for n in rule.inputs]) if len(rule.inputs) > 1 else by_name[rule.inputs[0]]
            flags = moves if self.variadic else [moves[self.inputs.index(n)] for n in rule.inputs]
            values["needs"] = tuple([f is not None for f in flags])
            words = {w: values[w] for w in rule.words}
            part = rule.function(
                t,
                *[v for w, v in words.items() if w not in rule.by_keyword],
                **{w: v for w, v in words.items() if w in rule.by_keyword},
            )
            parts = part if isinstance(part, (tuple, list)) else (part,)
            totals = [total + p if p is not None else total for total, p in zip(totals, parts, strict=True)]
        pushed = tuple(map(xp.asarray, totals))
        return (outs, pushed) if isinstance(out, (tuple, list)) else (xp.asarray(out), pushed[0])

    def record_of(self, pattern: tuple[bool, ...]) -> Callable:
        """What records a call with this pattern of tracked inputs; made once, and made anew when a rule is added."""
        self.records[pattern] = Plan(self, pattern).record
        return self.records[pattern]

    def resolve(self, *arrays: Any) -> tuple:
        """(array module, what computes) for arrays of these types; remembered until a kernel table is swapped."""
        chosen = self._chosen(*arrays)
        types_ = [type(a) for a in arrays]
        if all(t in BY_TYPE or t in (int, float, bool, type(None)) for t in types_):
            key: Any = frozenset(types_) if self.variadic else types_[0] if len(types_) == 1 else tuple(types_)
            self.resolved[key] = chosen
        return chosen

    def _chosen(self, *arrays: Any) -> tuple:
        backend = backend_of(*arrays)
        kernel, body, wide = table_of(backend).get(self.name), self.forward, self.facts.get("arithmetic", True)
        compute = body
        if kernel is not None:

            def compute(xp: Any, *arrays: Any, **params: Any) -> Any:
                result = kernel(xp, *arrays, **params)
                return body(xp, *arrays, **params) if result is NotImplemented else result

        # Integers never widen a float: NumPy makes float64 of float32 with int64, here it stays float32.  And a body
        # computes in float32 what comes in two bytes: sums do not overflow, and each result is rounded once.
        at = [] if self.variadic else [i for i, a in enumerate(arrays) if type(a) in BY_TYPE and self._promotes(i)]
        if not self.variadic and (not at or len(at) == 1 and not wide):
            return backend.xp, compute
        plain = compute

        def mixed(xp: Any, *arrays: Any, **params: Any) -> Any:
            among = at or [i for i, a in enumerate(arrays) if type(a) in BY_TYPE]
            dtype = widest_float([arrays[i].dtype for i in among])
            arrays = tuple(widened(arrays, among, dtype))
            if not wide or dtype is None or dtype.itemsize > 2:
                return plain(xp, *arrays, **params)
            result = NotImplemented if kernel is None else kernel(xp, *arrays, **params)
            if result is not NotImplemented:
                return result
            single = [a.astype("f4") if type(a) in BY_TYPE and is_float(a.dtype) else a for a in arrays]
            return self._narrowed(body(xp, *single, **params), dtype)

        if self.variadic:
            return backend.xp, lambda xp, *arrays, **params: (mixed if unlike(arrays) else plain)(xp, *arrays, **params)
        first, *others = [self.inputs[i] for i in at]
        return backend.xp, guard(self, first, others, plain, mixed)

    def _narrowed(self, results: Any, dtype: Any) -> Any:
        """What a body returned, its output in `dtype` where floating.  Auxiliary results stay as exact as they are."""
        out, *aux = results if self.aux else (results,)
        if isinstance(out, (tuple, list)):
            out = tuple([o.astype(dtype) if is_float(o.dtype) else o for o in out])
        elif is_float(out.dtype):
            out = out.astype(dtype)
        return (out, *aux) if self.aux else out

    def _promotes(self, i: int) -> bool:
        """Whether the i-th input takes part in promotion: those that promote= names, else those with a derivative."""
        name, named = self.inputs[i], self.facts.get("promote")
        return self.rules.get(name, True) is not None if named is None else name in named.split()

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join([*self.inputs, *self.params])})>"


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """`inspect.signature(function).parameters`, read off the code: hundreds of rules are declared at every import."""
    code, defaults = function.__code__, function.__defaults__ or ()
    names, n, k = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    given = (EMPTY,) * (n - len(defaults)) + defaults
    found = [
        inspect.Parameter(name, POSITIONAL, default=default) for name, default in zip(names[:n], given, strict=True)
    ]
    if code.co_flags & inspect.CO_VARARGS:
        found.append(inspect.Parameter(names[n + k], VARIADIC))
    keywords = function.__kwdefaults__ or {}
    return found + [inspect.Parameter(name, KEYWORD, default=keywords.get(name, EMPTY)) for name in names[n : n + k]]


def is_ours(function: Callable) -> bool:
    """Whether this package defines it."""
    return (function.__module__ or "").partition(".")[0] == __name__.partition(".")[0]


def single(x: Any) -> Any:
    """A float of two bytes in float32: a derivative of many steps rounds at its end, as the body of an op does."""
    return x.astype("f4") if hasattr(x, "dtype") and is_float(x.dtype) and x.dtype.itemsize == 2 else x


def unlike(arrays: Sequence[Any]) -> bool:
    """Whether arrays differ in dtype, or hold floats of two bytes."""
    dtypes = {a.dtype for a in arrays if type(a) in BY_TYPE}
    return len(dtypes) > 1 or any(d.itemsize == 2 for d in dtypes)


def widened(arrays: Sequence[Any], at: Sequence[int], dtype: Any) -> list:
    """`arrays` with the integer ones among those `at` cast to `dtype`, the widest floating one of them (or None).

    Booleans may stay: NumPy does not widen a float for them, and a mask must remain one.
    """
    cast = [i for i in at if dtype is not None and arrays[i].dtype.kind in "iu"]
    return [a.astype(dtype) if i in cast else a for i, a in enumerate(arrays)]


def _first_call(*args, **params):
    return write_out()(*args, **params)  # type: ignore[name-defined]  # noqa: F821 (each op has globals of its own)


class Rule:
    """A derivative and the words it asked for, checked when it is declared."""

    def __init__(self, op: Op, inputs: Sequence[str], function: Callable, words: Sequence[str] = (), first: str = "g"):
        spec = parameters_of(function)
        self.op, self.inputs, self.function = op, tuple(inputs), function
        leads, *self.words = words or [p.name for p in spec]
        self.by_keyword = {p.name for p in spec if p.kind is KEYWORD}
        known = {"out", "needs", *op.aux, *op.params, *op.inputs, *(f"{n}_shape" for n in op.inputs)}
        if leads != first or not set(self.words) <= known or not inputs or not set(inputs) <= set(op.inputs):
            raise TypeError(
                f"rule of {op.name} for ({', '.join(inputs)}) asks for ({', '.join([leads, *self.words])}); "
                f"{first} comes first, and there are: {', '.join(sorted(known))}"
            )


def op(forward: Callable | None = None, **facts: Any) -> Any:
    """Make the decorated function an operation: `@op` or `@op(aux="mean rstd", samples=..., kinks=..., cost=...)`.

    >>> import numpy as np, tinygrad_lm as tg
    >>> @tg.op
    ... def cube(xp, x):
    ...     return x**3
    >>> @cube.vjp("x")
    ... def _(g, x):
    ...     return 3.0 * g * x * x
    >>> tg.grad(cube)(np.array(2.0))
    array(12.)
    """
    return Op(forward, **facts).function if forward else lambda f: Op(f, **facts).function
