"""checkpoint: keep nothing of a part of the graph, and compute it again when its gradient comes.

The part is recorded as usual, so gradients reach whatever it closes over, to any order. But each new node gives up
what it saved, and its plan is replaced by one that fetches it: the first node to be pulled runs the function once
more and hands every node its share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

from tinygrad_lm import config
from tinygrad_lm.backend import Generator, default_generator
from tinygrad_lm.core.node import Node


def checkpoint(f: Callable, *args: Any, generators: Sequence[Generator] = ()) -> Any:
    """f(*args), with its intermediate arrays not kept but computed again during backward.

    It trades time (a second forward) for memory.  `f` must be deterministic; random numbers from the default generator
    and from `generators` are drawn again from the same state.

    >>> import tinygrad_lm as tg
    >>> x = tg.Tensor([0.5], requires_grad=True)
    >>> tg.checkpoint(lambda x: tg.exp(tg.sin(x)), x).backward()
    >>> round(x.grad.item(), 4)
    1.4174
    """
    return Region(f, args, (default_generator(), *generators)).run()


class Region:
    """The nodes of one checkpointed call, in the order in which they were made, and how to make them again."""

    def __init__(self, f: Callable, args: tuple, generators: Sequence[Generator]):
        self.f, self.args = f, args
        self.generators = [(g, g.state()) for g in generators]
        self.switches = copy_context()
        self.made: list[Any] = []  # the operations, to see that the second run does the same
        self.shares: list[tuple | None] = []  # (plan, saved) of a second run; None where a node has taken it

    def run(self) -> Any:
        nodes: list[Node] = []
        with config.listening(nodes.append):
            result = self.f(*self.args)
        self.made = [node.op for node in nodes]
        for i, node in enumerate(nodes):
            if node.parents is not None:  # else a backward inside the function has been here already
                node.plan, node.saved = Again(self, i), ()
        return result

    def run_again(self) -> None:
        nodes: list[Node] = []
        with config.switched(config.listeners, ()), config.enable_grad(), config.listening(nodes.append):
            self.f(*self.args)
        if [node.op for node in nodes] != self.made:
            raise RuntimeError(
                f"checkpoint: the function made {len(self.made)} nodes at first and {len(nodes)} others when it was "
                "run again; it must be deterministic"
            )
        self.shares = [(node.plan, node.saved) for node in nodes]

    def take(self, i: int) -> tuple:
        if not self.shares or self.shares[i] is None:
            now = [(g, g.state()) for g, _ in self.generators]
            try:
                for generator, state in self.generators:
                    generator.load_state(state)
                self.switches.copy().run(self.run_again)
            finally:
                for generator, state in now:
                    generator.load_state(state)
        share, self.shares[i] = self.shares[i], None
        assert share is not None
        return share


class Again:
    """The plan of a node that gave up its own: it fetches one, with what that one needs, from a second run."""

    words = ()

    def __init__(self, region: Region, i: int):
        self.region, self.i = region, i

    @property
    def op(self) -> Any:
        return self.region.made[self.i]

    def pull(self, g: Any, share: tuple) -> tuple:
        plan, saved = share or self.region.take(self.i)
        return plan.pull(g, saved)

    def lift(self, node: Node, share: tuple) -> tuple:
        plan, saved = share or self.region.take(self.i)
        return plan, plan.lift(node, saved)
