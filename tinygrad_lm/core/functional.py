"""Functions that differentiate functions: arrays in, arrays out; tracked Tensors in, recorded Tensors out.

Because rules are made of recorded operations, each of these can be nested in itself and in the others, to any order.
Arguments and results may be arrays, Tensors, or lists, tuples and dicts of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.backend import BY_TYPE, is_float
from tinygrad_lm.core.node import Node, Same
from tinygrad_lm.core.tensor import Tensor, ones_like, raw, zeros_like
from tinygrad_lm.core.walk import walk


def flatten(tree: Any) -> tuple[list, Callable[[Sequence], Any]]:
    """The leaves of nested lists, tuples and dicts, and a function that puts others in their places."""
    if isinstance(tree, dict):
        keys, parts = list(tree), [flatten(v) for v in tree.values()]
        build: Callable = lambda built: type(tree)(zip(keys, built, strict=True))  # noqa: E731
    elif isinstance(tree, (list, tuple)):
        parts = [flatten(v) for v in tree]
        build = lambda built: type(tree)(*built) if hasattr(tree, "_fields") else type(tree)(built)  # noqa: E731
    else:
        return [tree], lambda leaves: leaves[0]
    sizes = [len(leaves) for leaves, _ in parts]

    def rebuild(leaves: Sequence) -> Any:
        at, built = 0, []
        for (_, make), n in zip(parts, sizes, strict=True):
            built.append(make(leaves[at : at + n]))
            at += n
        return build(built)

    return [x for leaves, _ in parts for x in leaves], rebuild


def alias(x: Any) -> Any:
    """`x` as a tensor of its own to differentiate by; what is no floating array stays as it is."""
    if isinstance(x, Tensor):
        tensor = Tensor(x.data)
        if x.node is not None:
            tensor.node = Node(Same, (x.node,), (), x.shape, x.dtype)
    elif isinstance(x, float) or (type(x) in BY_TYPE and is_float(x.dtype)):
        tensor = Tensor(x)
    else:
        return x
    return tensor.requires_grad_() if tensor.node is None and is_float(tensor.dtype) else tensor


def pullback(f: Callable, inputs: Sequence[Any], create_graph: bool, once: bool) -> tuple[Any, Callable]:
    """(f(*inputs), pull); `once`: the tape is freed as the gradient passes."""
    leaves, rebuild = flatten(tuple(inputs))
    aliases = [alias(x) for x in leaves]
    boxed = any(isinstance(x, Tensor) for x in leaves)
    record = create_graph or any(isinstance(x, Tensor) and x.node is not None for x in leaves)
    with config.enable_grad(), config.switched(config.differentiating, True):
        result = f(*rebuild(aliases))
    outs, rebuild_out = flatten(result)
    nodes = [t.node if isinstance(t, Tensor) else None for t in aliases]

    def pull(g: Any) -> Any:
        gs, _ = flatten(g)
        if len(gs) != len(outs):
            raise ValueError(f"the function returned {len(outs)} arrays, the pull-back was given {len(gs)}")
        recorded = record or any(isinstance(x, Tensor) and x.node is not None for x in gs)
        roots, starts = [], []
        for out, start in zip(outs, gs, strict=True):
            if isinstance(out, Tensor) and out.node is not None:
                start = start if isinstance(start, Tensor) else Tensor(start)
                if start.shape != out.shape:
                    raise ValueError(f"the output has shape {out.shape}, its gradient {start.shape}")
                roots.append(out.node)
                starts.append(start if recorded else start.data)
        targets = {n for n in nodes if n is not None}
        found = walk(roots, starts, targets, create_graph=recorded, retain_graph=not once)
        grads: list[Any] = []
        for tensor, node in zip(aliases, nodes, strict=True):
            if node is None:
                grads.append(None)
                continue
            grad = found[node] if node in found else zeros_like(tensor)
            grad = grad if isinstance(grad, Tensor) else Tensor(grad)
            grads.append(grad if boxed or recorded else grad.data)
        return rebuild(grads)

    if not record:
        return rebuild_out([o.detach() if boxed and isinstance(o, Tensor) else raw(o) for o in outs]), pull
    return result, pull


def vjp(f: Callable, *inputs: Any, create_graph: bool = False) -> tuple[Any, Callable]:
    """(f(*inputs), pull), where `pull(g)` is g^T J: one gradient per input, for a `g` shaped like the output.

    `pull` may be called any number of times.  `create_graph` records the gradients, for functions that close over
    tensors which are to be differentiated afterwards; tracked inputs ask for it by themselves, and so do calls inside
    another function that is being differentiated.

    >>> import numpy as np, tinygrad_lm as tg
    >>> y, pull = tg.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    return pullback(f, inputs, create_graph or config.differentiating.get(), once=False)


def value_and_grad(f: Callable, argnums: int | tuple[int, ...] = 0, create_graph: bool = False) -> Callable:
    """A function that returns (f(...), its gradient) for a scalar function `f`.

    `argnums`: which argument(s); a tuple of them gives a tuple of gradients.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def function(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        def of_wanted(*chosen: Any) -> Any:
            full = list(args)
            for i, x in zip(wanted, chosen, strict=True):
                full[i] = x
            return f(*full, **keywords)

        chosen = [args[i] for i in wanted]
        for i, x in zip(wanted, chosen, strict=True):
            for part in flatten(x)[0]:
                if hasattr(part, "dtype") and not is_float(part.dtype) or isinstance(part, int):
                    got = getattr(part, "dtype", "an int")
                    raise TypeError(f"argument {i} must be floating to be differentiated, got {got}: convert it first")
        out, pull = pullback(of_wanted, chosen, create_graph or config.differentiating.get(), once=True)
        if np.size(raw(out)) != 1 or isinstance(out, (tuple, list, dict)):
            raise ValueError(f"the function must return one number, got shape {np.shape(raw(out))}: sum it, or use vjp")
        grads = pull(ones_like(out))
        return out, grads[0] if isinstance(argnums, int) else grads

    function.__name__ = f"value_and_grad of {getattr(f, '__name__', 'a function')}"
    return function


def grad(f: Callable, argnums: int | tuple[int, ...] = 0, create_graph: bool = False) -> Callable:
    """The gradient of a scalar function, itself a function that can be differentiated again.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.grad(tg.grad(tg.grad(lambda x: x**4)))(np.array(2.0))
    array(48.)
    """
    both = value_and_grad(f, argnums, create_graph)
    return lambda *args, **keywords: both(*args, **keywords)[1]


def jvp(f: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(f(*primals), J v), by the double-backward trick: g -> J^T g is linear in g, and its own transpose is J.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 10.0]),))
    (array([1., 4.]), array([ 2., 40.]))
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp takes tuples: jvp(f, (x,), (v,))")
    if len(primals) != len(tangents):
        raise ValueError(f"jvp got {len(primals)} primals and {len(tangents)} tangents")
    out, pull = vjp(f, *primals, create_graph=True)
    outs, rebuild = flatten(out)
    anywhere = rebuild([ones_like(o) for o in outs])  # the map is linear
    boxed = any(isinstance(x, Tensor) for x in (*flatten(primals)[0], *flatten(tangents)[0]))
    _, push = vjp(
        lambda u: pull(u), anywhere, create_graph=any(isinstance(x, Tensor) and x.node is not None for x in outs)
    )
    tangent = push(tuple(tangents))[0]
    return (out, tangent) if boxed or config.differentiating.get() else (stripped(out), stripped(tangent))


def stripped(tree: Any) -> Any:
    """The same tree with raw arrays for Tensors."""
    leaves, rebuild = flatten(tree)
    return rebuild([raw(x) for x in leaves])


def hvp(f: Callable, primal: Any, tangent: Any) -> Any:
    """(Hessian of the scalar function f at `primal`) times `tangent`, without forming the Hessian.

    It is the pull-back of the gradient, the Hessian being symmetric.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    return vjp(grad(f), primal)[1](tangent)[0]
