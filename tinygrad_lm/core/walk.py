"""The backward pass: gradients go down the graph, newest node first.

A consumer is always newer than what it consumes, so when a node comes up from the heap all of its gradient has arrived:
there is no topological sort, no first pass over the graph and no recursion.

The walk speaks to a gradient only through `+`, `.sum`, `.reshape`, `.astype` and `.copy`, which arrays and Tensors
share: on arrays it is fast, on Tensors it records itself (`create_graph`).  It knows no operation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any
from weakref import WeakSet

from tinygrad_lm import config
from tinygrad_lm.core.node import Bundle, Node

HOOKED: WeakSet[Node] = WeakSet()  # nodes with hooks; the hooks are theirs, and so die with them


def unbroadcast(g: Any, shape: tuple, made: Any = None) -> Any:
    """Sum `g` back to `shape`, which broadcasting grew; a shape that no broadcasting explains is a rule's mistake."""
    extra = len(g.shape) - len(shape)
    if extra >= 0 and all(m in (1, n) for n, m in zip(g.shape[extra:], shape, strict=True)):
        stretched = tuple(extra + i for i, m in enumerate(shape) if m == 1 != g.shape[extra + i])
        return g.sum(axis=(*range(extra), *stretched)).reshape(shape)
    raise ValueError(f"the derivative of {made!r} returned a gradient of shape {g.shape} for an input of shape {shape}")


def walk(
    roots: Sequence[Node],
    gradients: Sequence[Any],
    targets: set[Node] | None = None,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> dict[Node, Any]:
    """Send `gradients` of `roots` down the graph.

    With `targets` return {target: its gradient} and touch no leaf; nothing older than the oldest target is visited.
    Otherwise add to the `.grad` of every leaf.  What nodes kept is let go on the way, unless `retain_graph` or
    `create_graph`; with the latter `gradients` are Tensors and every rule is recorded.
    """
    pending: dict[Node, Any] = {}  # gradients that have arrived and wait for the rest
    heap: list[tuple[int, Node]] = []
    owned: set[Node] = set()  # nodes whose pending array was made here, and so may be added into
    handed = {id(g) for g in gradients}  # arrays that somebody else holds: no leaf may have them
    found: dict[Node, Any] = {}
    oldest = math.inf if targets is None else max((t.rank for t in targets), default=-math.inf)
    observers, keep_grads = config.observers.get(), config.keeping_grads.get() and targets is None
    hooked = bool(HOOKED)  # asked once: a weak set answers slowly
    keep = retain_graph or create_graph

    made: Any = None  # the node whose rules returned `grads`
    parents: Any = roots
    grads: Any = gradients
    while True:
        if len(parents) != len(grads):
            raise ValueError(f"a rule returned {len(grads)} gradients for {len(parents)} inputs")
        alone = not heap and len(parents) == 1  # nothing else waits, so this one need not queue
        i = 0
        for node in parents:
            g = grads[i]
            i += 1
            if g is None or node is None:
                continue
            try:
                alike = g.shape == node.shape
            except AttributeError:
                raise TypeError(f"the derivative of {made!r} returned {g!r} for an input, expected an array") from None
            if not alike:
                g = unbroadcast(g, node.shape, made)
            if g.dtype is not node.dtype and g.dtype != node.dtype:
                g = g.astype(node.dtype)
            if alone:
                break
            if node not in pending:
                pending[node] = g
                heappush(heap, (node.rank, node))
            elif node in owned:
                pending[node] += g
            else:
                pending[node] = pending[node] + g
                if not create_graph:
                    owned.add(node)
        else:
            if not heap:
                return found
            grads = ()
            node = heappop(heap)[1]
            g = pending.pop(node)
        if node.rank > oldest:
            return found

        if hooked and node in HOOKED:
            for hook in list(node.hooks):
                if (replaced := hook(g)) is None:
                    continue
                if getattr(replaced, "shape", None) != node.shape:
                    got = f"shape {replaced.shape}" if hasattr(replaced, "shape") else f"type {type(replaced).__name__}"
                    raise ValueError(f"a hook of {node!r} returned a gradient of {got}")
                g = replaced if replaced.dtype == node.dtype else replaced.astype(node.dtype)
                owned.discard(node)
                handed.add(id(g))
        if targets is not None and node in targets:
            found[node] = g if create_graph else unshared(g, node in owned, handed)
        made, plan, parents = node, node.plan, node.parents
        if plan is None:
            grads = ()
            if targets is None:
                before = getattr(node, "grad", None)
                if before is not None:
                    node.grad = before + g
                else:
                    node.grad = g if create_graph else unshared(g, node in owned, handed)
            continue
        if parents is None:
            raise RuntimeError(
                f"backward reached {node!r} a second time, but an earlier backward freed what it kept; "
                "pass retain_graph=True to the earlier one, or compute the value again"
            )
        if type(g) is Bundle:
            g = g.filled()
        elif keep_grads:
            before = getattr(node, "grad", None)
            node.grad = before + g if before is not None else g if create_graph else g.copy()
        try:
            grads = plan.pull(g, plan.lift(node, node.saved) if create_graph else node.saved)
        except Exception as error:
            error.add_note(f"in the derivative of {node!r}")
            raise
        for observer in observers:
            observer(node, g, grads)
        if not keep:
            node.parents = node.saved = None


def unshared(g: Any, mine: bool, handed: set[int]) -> Any:
    """`g`, or a copy of it: no two results ever share a buffer, nor a result and whoever called backward.

    `mine` says that the walk made this array for this node alone.  Else an array that owns its memory is taken as it is
    the first time it turns up, and copied when it does again (`a + b` passes one array to both).
    """
    if not mine:
        if getattr(g, "base", None) is not None or id(g) in handed:
            g = g.copy()
        handed.add(id(g))
    return g
