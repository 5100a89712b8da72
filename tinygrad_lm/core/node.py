"""The graph: one node per recorded call, and the bundle in which gradients of several outputs travel."""

from __future__ import annotations

import itertools
from typing import Any

from tinygrad_lm.backend import BY_TYPE, is_float

next_rank = itertools.count(0, -1).__next__  # falls with time: a consumer's rank is below those of its inputs


class Node:
    """One recorded call: whom to tell (`parents`), how (`plan`), and what was kept for it (`saved`).

    A node never refers to its own Tensor and keeps raw arrays only, so nothing here is a reference cycle and memory
    falls the moment the last reader has passed. `Plan.lift` puts an array and its node together again where a rule
    must be recorded. A leaf is a node without a plan; its gradient is added up in `grad`.
    """

    __slots__ = ("plan", "parents", "saved", "shape", "dtype", "rank", "grad", "hooks", "where", "__weakref__")

    plan: Any
    parents: tuple[Node | None, ...] | None  # None once freed
    saved: tuple | None
    shape: tuple
    dtype: Any
    rank: int
    grad: Any  # unset on most nodes
    hooks: list  # unset on most nodes: see `HOOKED` of the walk
    where: str  # the user's "file:line", noted in debug mode only

    def __init__(self, plan: Any, parents: tuple, saved: tuple, shape: tuple, dtype: Any):
        self.plan, self.parents, self.saved = plan, parents, saved
        self.shape, self.dtype, self.rank = shape, dtype, next_rank()

    def __lt__(self, other: Node) -> bool:  # of equal ranks, in the walk's heap, either may come first
        return False

    @property
    def op(self) -> Any:
        """The operation that was called; None for a leaf."""
        return self.plan.op if self.plan is not None else None

    def kept(self) -> dict[str, Any]:
        """What this node keeps for its rules, by the words they asked for."""
        return dict(zip(self.plan.words, self.saved, strict=True)) if self.saved else {}

    def __repr__(self) -> str:
        made_by = "leaf" if self.plan is None else getattr(self.plan.op, "name", "alias")
        return f"<node of {made_by}, {self.dtype} {self.shape}{', at ' + self.where if hasattr(self, 'where') else ''}>"


def leaf(array: Any) -> Node:
    """A node that gradients stop at, and are added up in."""
    return Node(None, (), (), array.shape, array.dtype)


class Bundle(dict):
    """The gradient of a call with several outputs, {which output: gradient}.

    It adds and compares like one array of shape `shape`, so the walk need not know that there is such a thing.
    """

    dtype = None

    def __init__(self, parts: dict, shape: tuple):
        super().__init__(parts)
        self.shape = shape  # (shape, dtype) of every output

    def __add__(self, other: Bundle) -> Bundle:
        both = {i: self[i] + other[i] for i in self.keys() & other.keys()}
        return Bundle({**self, **other, **both}, self.shape)

    def filled(self) -> tuple:
        """As the tuple that rules receive: zeros where nothing arrived."""
        like = next(iter(self.values()))
        xp = BY_TYPE[type(like.data if hasattr(like, "node") else like)].xp
        return tuple([self[i] if i in self else xp.zeros(*spec) for i, spec in enumerate(self.shape)])


class Bare:
    """A plan that keeps nothing."""

    words = ()

    @staticmethod
    def lift(node: Node, saved: tuple) -> tuple:
        return saved


class Pick(Bare):
    """The plan of the small node between the i-th of several outputs and the call that made them all."""

    def __init__(self, op: Any, i: int, shape: tuple):
        self.op = op
        self.pull = lambda g, saved: (Bundle({i: g}, shape),)


def pick(node: Node, i: int, array: Any) -> Node | None:
    """A node for the i-th output of the call `node`; None for integers and masks, which are constants."""
    if not is_float(array.dtype):
        return None
    return Node(Pick(node.op, i, node.shape), (node,), (), array.shape, array.dtype)


class Same(Bare):
    """The plan of an alias: the same value told apart from its original, so that a gradient can stop there."""

    op = None

    @staticmethod
    def pull(g: Any, saved: tuple) -> tuple:
        return (g,)
