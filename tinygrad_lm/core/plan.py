"""Written-out code: the function a user calls, and for each pattern of tracked inputs what its tape keeps.

Every operation needs the same few steps: unwrap Tensors, compute, and, where an input is tracked, record a node.  Done
by loops over arguments these steps cost more than a small array operation itself, so they are written out as text,
once per operation, and compiled on the first call.  `print(op.text)` and `print(plan.text)` show them; for `multiply`:

    def multiply(a, b):                                         def pull(g, saved):         # only `a` tracked
        if a_boxed := isinstance(a, Tensor):                        b, = saved
            a_node, a = a.node, a.data                              g_a = rule_a(g, b)
        ...                                                         return (g_a,)
"""

from __future__ import annotations

import inspect
import linecache
from typing import Any

import numpy as np

from tinygrad_lm.backend import is_float
from tinygrad_lm.config import recording
from tinygrad_lm.core.errors import NotDifferentiable, explain
from tinygrad_lm.core.node import Bare, Node, next_rank, pick
from tinygrad_lm.core.tensor import Tensor

EMPTY = inspect.Parameter.empty
OUT = "out"  # a link: this word is the node's own output
RESERVED = frozenset(  # names that the texts below use, and so not those of an operation's inputs and keywords
    "Node Tensor any boxed compute error explain frozenset isinstance map missing mixed ndarray new next_rank "
    "node op params pattern plain plan record record_of recording records resolve resolved saved see seen "
    "misplaced settled several shape_of tensor tuple type with_aux xp".split()
)


def compiled(text: str, title: str, scope: dict[str, Any]) -> Any:
    """Run `text` in `scope`; tracebacks and debuggers show its lines."""
    filename = f"<{title}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), scope)
    return scope


def tuple_of(items: Any) -> str:
    items = list(items)
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


def settled(out: Any) -> Any:
    """NumPy decays 0-d results to scalars; a Tensor holds arrays."""
    return np.asarray(out) if isinstance(out, np.generic) else out


def joined(array: Any, node: Node | None) -> Tensor:
    """A Tensor put together from an array and its node."""
    tensor = object.__new__(Tensor)
    tensor.data, tensor.node = settled(array), node
    return tensor


def boxed(out: Any) -> Any:
    """An untracked result as a Tensor, or as a tuple of them."""
    return tuple([joined(o, None) for o in out]) if type(out) is tuple else joined(out, None)


def with_aux(results: Any, op: Any) -> tuple:
    """What a forward with auxiliary results returned, if it is as many."""
    if type(results) is not tuple or len(results) != 1 + len(op.aux):
        got = f"{len(results)} results" if type(results) is tuple else type(results).__name__
        raise TypeError(f"the forward must return its output, then {', '.join(op.aux)}; it returned {got}")
    return results


def misplaced(params: dict[str, Any]) -> TypeError:
    """For a Tensor given as a keyword, through which no gradient would flow."""
    names = ", ".join([name for name, value in params.items() if isinstance(value, Tensor)])
    return TypeError(f"{names} is a setting and passes no gradient, but got a Tensor: give a number, x.item()")


# ------------------------------------------------------------------------------------------------ the public function


def caller(op: Any) -> tuple[str, dict[str, Any]]:
    """The text of the function that a user calls, and the names it uses."""
    scope: dict[str, Any] = {
        "Tensor": Tensor, "recording": recording.get, "explain": explain, "boxed": boxed, "op": op,
        "resolved": op.resolved, "resolve": op.resolve, "records": op.records, "record_of": op.record_of,
        "misplaced": misplaced, "with_aux": with_aux,
        **{f"{p}_default": v for p, v in op.params.items() if v is not EMPTY},
    }  # fmt: skip
    params = [p if v is EMPTY else f"{p}={p}_default" for p, v in op.params.items()]
    given = ", ".join(f"{p}={p}" for p in op.params)
    named = ", ".join(f"{p!r}: {p}" for p in op.params)
    results = ", ".join(["out", *op.aux]) if op.aux else "out"
    if op.variadic:
        xs = op.variadic
        signature = [xs, *params]
        unwrap = [
            f"{xs} = tuple({xs})",
            f"{xs}_boxed = any([isinstance(x, Tensor) for x in {xs}])",
            f"{xs}_nodes = tuple([x.node if isinstance(x, Tensor) else None for x in {xs}])",
            f"{xs} = tuple([x.data if isinstance(x, Tensor) else x for x in {xs}])",
        ]
        together = xs
        arrays, key, nodes = f"*{xs}", f"frozenset(map(type, {xs}))", [f"{xs}_nodes"]
        tracked, pattern = f"any([n is not None for n in {xs}_nodes])", "()"
    else:
        signature = [n if n in op.required else f"{n}=None" for n in op.inputs] + ["*"] * op.by_name_only + params
        unwrap = []
        for n in op.inputs:
            unwrap += [f"if {n}_boxed := isinstance({n}, Tensor):", f"    {n}_node, {n} = {n}.node, {n}.data"]
            unwrap += ["else:", f"    {n}_node = None"]
        arrays, nodes = ", ".join(op.inputs), [f"{n}_node" for n in op.inputs]
        together = tuple_of(op.inputs)
        key = f"type({op.inputs[0]})" if len(op.inputs) == 1 else f"({', '.join(f'type({n})' for n in op.inputs)})"
        tracked = " or ".join(f"{n} is not None" for n in nodes)
        pattern = tuple_of(f"{n} is not None" for n in nodes)
    any_boxed = " or ".join(f"{n}_boxed" for n in op.inputs)
    words = ", ".join([results, *op.inputs, *nodes, *op.params])
    call = f"compute(xp, {arrays}{', ' + given if given else ''})"
    body = [
        *unwrap,
        "try:",
        *([f"    if {' or '.join(f'type({p}) is Tensor' for p in op.params)}:"] if op.params else []),
        *([f"        raise misplaced({{{named}}})"] if op.params else []),
        f"    xp, compute = resolved.get({key}) or resolve({arrays})",
        f"    {results} = {call}" if not op.aux else f"    {results} = with_aux({call}, op)",
        "except Exception as error:",
        f"    raise explain(error, op, {together}, {{{named}}}) from None",
        f"if not ({any_boxed}):",
        "    return out",
        f"if ({tracked}) and (seen := recording()) is not None:",
        f"    pattern = {pattern}",
        f"    return (records.get(pattern) or record_of(pattern))(seen, {words})",
        "return boxed(out)",
    ]
    return f"def {op.name}({', '.join(signature)}):\n    " + "\n    ".join(body) + "\n", scope


def guard(op: Any, first: str, others: list[str], plain: Any, mixed: Any) -> Any:
    """`plain`, or `mixed` where the arrays differ in dtype or hold floats of two bytes: asked at every call."""
    given = ", ".join(["xp", *op.inputs, *["**params"] * bool(op.params)])
    unlike = " or ".join([f"{first}.dtype.itemsize == 2", *[f"{n}.dtype is not {first}.dtype" for n in others]])
    text = f"def compute({given}):\n    return mixed({given}) if {unlike} else plain({given})\n"
    return compiled(text, f"op {op.name}, guard", {"plain": plain, "mixed": mixed})["compute"]


# ------------------------------------------------------------------------------------------------ what the tape keeps


class Plan:
    """For one operation and one pattern of tracked inputs: what to keep, and how to call the rules.

    `record(seen, out, aux..., arrays..., nodes..., params...)` makes the node and the Tensor. `pull(g, saved)` runs
    the rules and returns one gradient per parent. `lift(node, saved)` is what was saved, with arrays of the graph
    made Tensors again.
    """

    def __init__(self, op: Any, pattern: tuple[bool, ...]):
        self.op = op
        self.words: list[str] = []  # kept, in the order of `saved`
        xs = op.variadic
        tracked = op.inputs if xs else [n for n, t in zip(op.inputs, pattern, strict=True) if t]
        self.wanted = [n for n in tracked if op.rules.get(n, EMPTY) is not None]
        scope = {
            "new": object.__new__, "Node": Node, "Tensor": Tensor, "ndarray": np.ndarray, "next_rank": next_rank,
            "shape_of": np.shape, "plan": self, "settled": settled, "several": several, "missing": self.missing,
        }  # fmt: skip

        calls, needs = [], "xs_needs" if xs else "needs"
        rules = list(dict.fromkeys(op.rules.get(n, EMPTY) for n in self.wanted))
        for k, rule in enumerate(rules):
            if rule is EMPTY:
                calls.append(f"raise missing({[n for n in self.wanted if n not in op.rules]!r})")
                continue
            needed = tuple(n in self.wanted for n in rule.inputs)
            arguments = ["g"]
            for w in rule.words:
                if w == "needs" and not xs:
                    value = repr(needed)
                else:
                    value = needs if w == "needs" else w
                    if value not in self.words:
                        self.words.append(value)
                arguments.append(f"{w}={value}" if w in rule.by_keyword else value)
            scope[f"rule_{k}"] = rule.function
            targets = ", ".join(f"g_{n}" for n in rule.inputs)
            calls.append(f"{targets}{',' * (len(rule.inputs) > 1)} = rule_{k}({', '.join(arguments)})")

        def kept(w: str) -> str:
            if xs:
                return {xs: xs, f"{xs}_shape": f"tuple(map(shape_of, {xs}))"}.get(
                    w, f"tuple([n is not None for n in {xs}_nodes])" if w == "xs_needs" else w
                )
            name = w.removesuffix("_shape")
            if w in op.inputs or name not in op.inputs:
                return w
            return f"{name}.shape" if name in tracked else f"shape_of({name})"

        nodes = [f"{xs}_nodes"] if xs else [f"{n}_node" for n in op.inputs]
        parents = f"{xs}_nodes" if xs else tuple_of(f"{n}_node" for n in self.wanted)
        signature = ", ".join(["seen", "out", *op.aux, *op.inputs, *nodes, *op.params])
        saved = tuple_of(map(kept, self.words))
        unpack = [f"{tuple_of(self.words)} = saved"] if self.words else []
        result = f"tuple(g_{xs})" if xs else tuple_of(f"g_{n}" for n in self.wanted)
        if EMPTY in rules:
            unpack, calls, result = [], [c for c in calls if c.startswith("raise")], "()"
        self.text = (
            f"def record({signature}):\n"
            f"    if type(out) is not ndarray:\n"
            f"        if type(out) is tuple:\n"
            f"            return several(plan, {parents}, {saved}, out, seen)\n"
            f"        out = settled(out)\n"
            f"    node = new(Node)\n"
            f"    node.plan, node.parents, node.saved = plan, {parents}, {saved}\n"
            f"    node.shape, node.dtype, node.rank = out.shape, out.dtype, next_rank()\n"
            f"    if seen:\n"
            f"        for see in seen:\n"
            f"            see(node)\n"
            f"    tensor = new(Tensor)\n"
            f"    tensor.data, tensor.node = out, node\n"
            f"    return tensor\n\n"
            f"def pull(g, saved):\n    " + "\n    ".join([*unpack, *calls, f"return {result}"]) + "\n"
        )
        compiled(self.text, f"plan of {op.name}", scope)
        self.record: Any = scope["record"]
        self.pull: Any = scope["pull"]
        if not self.wanted:  # every tracked input is a constant here
            self.record = lambda seen, out, *_: boxed(out)

    def missing(self, inputs: list[str]) -> NotDifferentiable:
        return NotDifferentiable(
            f"{self.op.name} has no derivative with respect to {', '.join(inputs)}: "
            f"write one with @{self.op.name}.vjp({', '.join(map(repr, inputs))}), or declare .constant(...)"
        )

    def lift(self, node: Node, saved: tuple) -> tuple:
        """What the node saved, with arrays that belong to the graph made Tensors again."""
        return tuple([self._lifted(w, value, node) for w, value in zip(self.words, saved, strict=True)])

    def _lifted(self, word: str, value: Any, node: Node) -> Any:
        parents: Any = node.parents
        if word == OUT:
            if type(value) is tuple:
                return tuple([joined(o, pick(node, i, o)) for i, o in enumerate(value)])
            return joined(value, node)
        if word == self.op.variadic:
            return tuple([value[i] if p is None else joined(value[i], p) for i, p in enumerate(parents)])
        if word in self.op.aux and word not in self.op.rules and inexact(value):
            return joined(value, hidden(node, word, value))
        return joined(value, parents[self.wanted.index(word)]) if word in self.wanted else value


def inexact(value: Any) -> bool:
    """Whether it is an array of numbers that may depend on the inputs without steps: floating or complex ones."""
    return hasattr(value, "dtype") and (is_float(value.dtype) or value.dtype.kind == "c")


class Hidden(Bare):
    """The plan of an auxiliary result, in a rule that is recorded: nobody knows how it depends on the inputs.

    A rule may hand it to a constant input.  A gradient that arrives here would be missing from a second derivative.
    """

    def __init__(self, op: Any, word: str):
        self.op, self.word = op, word

    def pull(self, g: Any, saved: tuple) -> tuple:
        name, word = self.op.name, self.word
        raise NotDifferentiable(
            f"{name} has no second derivative: its rule uses the auxiliary result {word!r}, whose own derivative is "
            f"unknown; compute it in the rule from the inputs, or declare @{name}.composed; if it does not depend on "
            f"them, {name}.constant({word!r})"
        )


def hidden(node: Node, word: str, array: Any) -> Node:
    """The node of an auxiliary result of the call `node`: as old, so that a walk to what came later (as in `jvp`) ends
    before it."""
    made = Node(Hidden(node.op, word), (), (), array.shape, array.dtype)
    made.rank = node.rank
    return made


def several(plan: Plan, parents: tuple, saved: tuple, outs: tuple, seen: tuple) -> tuple[Tensor, ...]:
    """Tensors for several outputs: each floating one picks its part out of the one node of the call."""
    outs = tuple(map(settled, outs))
    node = Node(plan, parents, saved, tuple([(o.shape, o.dtype) for o in outs]), None)
    for see in seen:
        see(node)
    return tuple([joined(o, pick(node, i, o)) for i, o in enumerate(outs)])
