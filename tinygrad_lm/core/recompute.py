"""checkpoint: keep nothing of a part of the graph, and compute it again when its gradient comes.

The part is recorded as usual, so gradients reach whatever it closes over, to any order. But each new node gives up
what it saved, and its plan is replaced by one that fetches it: the first node to be pulled runs the function once
more and hands every node its share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    >>> x.grad
    Tensor([1.4174416])
    """
    region = Region(f, args, (default_generator(), *generators))
    with config.listening(region.strip):
        return f(*args)


class Region:
    """The nodes of one checkpointed call, in the order in which they were made, and how to make them again."""

    def __init__(self, f: Callable, args: tuple, generators: Sequence[Generator]):
        self.f, self.args = f, args
        self.generators = [(g, g.state()) for g in generators]
        self.count = 0
        self.saved: list[tuple | None] = []  # filled by a second run, emptied as the gradient passes

    def strip(self, node: Node) -> None:
        node.plan, node.saved = Again(node.plan, self, self.count), ()
        self.count += 1

    def take(self, i: int) -> tuple:
        if not self.saved or self.saved[i] is None:
            self.run_again()
        saved, self.saved[i] = self.saved[i], None
        assert saved is not None
        return saved

    def run_again(self) -> None:
        saved: list[tuple | None] = []
        now = [(g, g.state()) for g, _ in self.generators]
        for generator, state in self.generators:
            generator.load_state(state)
        with config.listening(lambda node: saved.append(node.saved)), config.enable_grad():
            self.f(*self.args)
        for generator, state in now:
            generator.load_state(state)
        if len(saved) != self.count:
            raise RuntimeError(
                f"checkpoint: the function made {self.count} nodes at first and {len(saved)} when it was run again; "
                "it must be deterministic"
            )
        self.saved = saved


class Again:
    """A plan that fetches what its node gave up, and otherwise is the original."""

    words = ()

    def __init__(self, plan: Any, region: Region, i: int):
        self.plan, self.region, self.i, self.op = plan, region, i, plan.op

    def pull(self, g: Any, saved: tuple) -> tuple:
        return self.plan.pull(g, saved or self.region.take(self.i))

    def lift(self, node: Node, saved: tuple) -> tuple:
        return self.plan.lift(node, saved or self.region.take(self.i))
