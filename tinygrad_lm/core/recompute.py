"""checkpoint: keep nothing of a part of the graph, and compute it again when its gradient comes.

The part is recorded as usual, so gradients reach whatever it closes over, to any order. But each new node gives up
what it saved, and its plan is replaced by one that fetches it: the first node to be pulled runs the function once
more and hands every node its share.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from tinygrad_lm import config
from tinygrad_lm.backend import noting_draws
from tinygrad_lm.core.node import Node


def checkpoint(f: Callable, *args: Any) -> Any:
    """f(*args), with its intermediate arrays not kept but computed again during backward.

    It trades time (a second forward) for memory.  `f` must be deterministic; random numbers from any `Generator` are
    drawn again from the same state.

    >>> import tinygrad_lm as tg
    >>> x = tg.Tensor([0.5], requires_grad=True)
    >>> tg.checkpoint(lambda x: tg.exp(tg.sin(x)), x).backward()
    >>> round(x.grad.item(), 4)
    1.4174
    """
    return Region(f, args).run()


class Region:
    """The nodes of one checkpointed call, in the order in which they were made, and how to make them again."""

    def __init__(self, f: Callable, args: tuple):
        self.f, self.args = f, args
        self.drawn: dict[Any, Any] = {}  # generators that the function draws from, with their states before that
        self.switches = copy_context()
        self.made: list[Any] = []  # the operations, to see that the second run does the same
        self.shares: list[tuple | None] = []  # (plan, saved) of a second run; None where a node has taken it

    def run(self) -> Any:
        nodes: list[Node] = []
        with config.listening(nodes.append), noting_draws() as self.drawn:
            result = self.f(*self.args)
        self.made = [node.op for node in nodes]
        for i, node in enumerate(nodes):
            if node.parents is not None:  # else a backward inside the function has been here already
                node.plan, node.saved = Again(self.made[i], i), (self,)
        return result

    def run_again(self) -> None:
        nodes: list[Node] = []
        with config.switched(config.listeners, ()), config.switched(config.recomputing, True), config.enable_grad():
            with config.listening(nodes.append):
                self.f(*self.args)
        if [node.op for node in nodes] != self.made:
            raise RuntimeError(
                f"checkpoint: the function made {len(self.made)} nodes at first and {len(nodes)} others when it was "
                "run again; it must be deterministic"
            )
        self.shares = [(node.plan, node.saved) for node in nodes]

    def take(self, i: int) -> tuple:
        if not self.shares or self.shares[i] is None:
            now = [(g, g.state()) for g in self.drawn]
            try:
                for generator, state in self.drawn.items():
                    generator.load_state(state)
                self.switches.copy().run(self.run_again)
            finally:
                for generator, state in now:
                    generator.load_state(state)
        share, self.shares[i] = self.shares[i], None
        assert share is not None
        return share


class Again:
    """The plan of a node that kept its region instead: it fetches plan and saved of a second run from there."""

    words = ("region",)

    def __init__(self, op: Any, i: int):
        self.op, self.i = op, i

    def pull(self, g: Any, saved: tuple) -> tuple:
        plan, saved = saved if len(saved) == 2 else saved[0].take(self.i)
        return plan.pull(g, saved)

    def lift(self, node: Node, saved: tuple) -> tuple:
        """(plan, what it needs), for `pull`."""
        plan, saved = saved[0].take(self.i)
        return plan, plan.lift(node, saved)
