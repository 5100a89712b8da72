"""Function: a user's own derivative in PyTorch's shape.  `@op` is this project's; both can be differentiated again."""

from __future__ import annotations

from typing import Any

from tinygrad_lm import config
from tinygrad_lm.backend import is_float
from tinygrad_lm.core.errors import NotDifferentiable
from tinygrad_lm.core.node import Node, pick
from tinygrad_lm.core.plan import joined
from tinygrad_lm.core.tensor import Tensor, raw


class Context:
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as attributes."""

    needs_input_grad: tuple[bool, ...]

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs or outputs (or None) for `backward`, which finds them in `saved_tensors`."""
        self.saved_tensors = tensors


class Function:
    """An operation with a hand-written derivative: subclass it, call it with `.apply(...)`.

    `forward(ctx, *args)` computes on Tensors, unrecorded, and returns a Tensor or a tuple of them.
    `backward(ctx, *grads)` gets one Tensor per output and returns one gradient per argument of forward (None where
    there is none).  It is recorded under `create_graph`, so a second derivative is right as long as it is made of
    operations on `saved_tensors`.

    >>> import tinygrad_lm as tg
    >>> class Square(tg.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2.0 * x * g
    >>> x = tg.Tensor([3.0], requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    Tensor([6.])
    """

    name = "Function"

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        ctx = Context()
        nodes = [a.node if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple([n is not None for n in nodes])
        with config.no_grad():
            result = cls.forward(ctx, *args)
        outs = result if isinstance(result, tuple) else (result,)
        outs = tuple([o if isinstance(o, Tensor) else Tensor(o) for o in outs])
        seen = config.recording.get()
        if seen is not None and any(ctx.needs_input_grad):
            # An input or output that is saved is known by its Tensor; the node keeps its array and which one it was.
            links = [next((i for i, a in enumerate((*args, *outs)) if a is s), None) for s in ctx.saved_tensors]
            plan = FunctionPlan(cls, ctx, nodes, links, isinstance(result, tuple))
            shape = tuple([(o.shape, o.dtype) for o in outs])
            saved = tuple([raw(s) for s in ctx.saved_tensors])
            ctx.saved_tensors = ()
            node = Node(plan, tuple(nodes), saved, shape, None)
            for see in seen:
                see(node)
            outs = tuple([joined(o.data, pick(node, i, o.data)) for i, o in enumerate(outs)])
        return outs if isinstance(result, tuple) else outs[0]


class FunctionPlan:
    """The plan of one call of a Function."""

    def __init__(self, function: type[Function], ctx: Context, nodes: list, links: list, several: bool):
        self.op, self.ctx, self.links, self.several = function, ctx, links, several
        self.words = [f"saved_tensors[{i}]" for i in range(len(links))]
        self.tracked = [n is not None for n in nodes]

    def pull(self, g: Any, saved: Any) -> tuple:
        recorded = any(isinstance(x, Tensor) for x in g)
        gs = [x if isinstance(x, Tensor) else Tensor(x) for x in g]
        self.ctx.saved_tensors = tuple([s if s is None or isinstance(s, Tensor) else Tensor(s) for s in saved])
        try:
            with config.enable_grad() if recorded else config.no_grad():
                grads = self.op.backward(self.ctx, *gs)
        finally:
            self.ctx.saved_tensors = ()
        grads = grads if isinstance(grads, tuple) else (grads,)
        if len(grads) != len(self.tracked):
            raise ValueError(
                f"{self.op.name}.backward returned {len(grads)} gradients for {len(self.tracked)} arguments of forward"
            )
        keep = [g if t else None for g, t in zip(grads, self.tracked, strict=True)]
        return tuple(keep) if recorded else tuple([None if g is None else raw(g) for g in keep])

    def lift(self, node: Node, saved: tuple) -> tuple:
        """The saved arrays as Tensors of the graph: inputs with their nodes, outputs with a pick of this one."""
        assert node.parents is not None
        lifted: list[Any] = []
        for array, link in zip(saved, self.links, strict=True):
            if array is None:
                lifted.append(None)
            elif link is None:
                if is_float(array.dtype):
                    raise NotDifferentiable(
                        f"{self.op.name} saved what is neither an input nor an output, so its second derivative is not "
                        "known: save inputs and compute it again in backward; a constant goes into an attribute of ctx"
                    )
                lifted.append(array)
            elif link < len(self.tracked):
                lifted.append(joined(array, node.parents[link]))
            else:
                lifted.append(joined(array, pick(node, link - len(self.tracked), array)))
        return tuple(lifted)
