"""Functions of this library, of torch, of JAX and of plain NumPy in one shape: a float64 vector in, one out.

torch and jax are looked up among the modules that are loaded already: whoever passes one of their arrays has them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import NotDifferentiable, Tensor, flatten, raw, vjp

# The distance from 1 to the next number, per floating dtype that can be checked.
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
SMALLEST = {"float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133, "float64": 0.0}  # above zero

Vjp = Callable[[Callable[..., list], Sequence], tuple[list, Callable[[list], list]]]


@dataclass(frozen=True)
class Library:
    """What the checker has to know about one kind of array."""

    name: str
    wrap: Callable[[np.ndarray, str], Any]  # a float64 array, and the dtype to make of it
    unwrap: Callable[[Any], np.ndarray]  # to float64
    vjp: Vjp  # (f, inputs) -> (results, pull): f takes arrays and returns a list of them
    context: Callable[[], AbstractContextManager] = nullcontext


@cache
def name_of(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def dtype_of(value: Any) -> str:
    """The name of its dtype; "" for what is no array."""
    return name_of(value.dtype) if hasattr(value, "dtype") else ""


def floating(value: Any) -> bool:
    return dtype_of(value) in EPS


def numpy_dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def to_float64(value: Any) -> np.ndarray:
    """Any library's array as a NumPy array of float64; one that is so already is not copied."""
    value = raw(value)
    if type(value) is np.ndarray and value.dtype == np.float64:
        return value
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        return value.detach().double().cpu().numpy()
    if not isinstance(value, np.ndarray) and type(value).__module__.startswith("cupy"):
        value = backend_of(value).to_numpy(value)
    return np.asarray(value).astype(np.float64, copy=False)


# ------------------------------------------------------------------------------------------------ four libraries


def library_of(values: Sequence) -> Library:
    """The library whose arrays these are."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and any(isinstance(v, torch.Tensor) for v in values):
        return of_torch(torch)
    if jax is not None and any(isinstance(v, jax.Array) for v in values):
        return of_jax(jax)
    backend = backend_of(*[raw(v) for v in values if floating(v)])

    def wrap(array: np.ndarray, dtype: str) -> Tensor:
        return Tensor(backend.from_numpy(array if dtype == "float64" else array.astype(numpy_dtype(dtype))))

    def vjp_of_list(f: Callable[..., list], inputs: Sequence) -> tuple[list, Callable[[list], list]]:
        outs, pull = vjp(f, *inputs)
        return outs, lambda cotangents: list(pull(cotangents))

    return Library("tinygrad_lm", wrap, to_float64, vjp_of_list)


def of_torch(torch: Any) -> Library:
    def wrap(array: np.ndarray, dtype: str) -> Any:
        return torch.from_numpy(array).to(getattr(torch, dtype))

    def vjp_of_list(f: Callable[..., list], inputs: Sequence) -> tuple[list, Callable[[list], list]]:
        nested = any(x.requires_grad for x in inputs)
        with torch.enable_grad():
            leaves = [x if x.requires_grad else x.detach().requires_grad_() for x in inputs]
            outs = f(*leaves)

        def pull(cotangents: list) -> list:
            live = [(y, u) for y, u in zip(outs, cotangents, strict=True) if y.requires_grad]
            if not live:
                return [torch.zeros_like(x) for x in leaves]
            ys, us = zip(*live, strict=True)
            graph = nested or any(u.requires_grad for u in us)
            grads = torch.autograd.grad(ys, leaves, us, retain_graph=True, create_graph=graph, allow_unused=True)
            if any(g is None for g in grads) and forbids(ys):
                raise NotDifferentiable("torch marks it as once_differentiable")
            return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)]

        return outs, pull

    return Library("torch", wrap, to_float64, vjp_of_list)


def forbids(outs: Sequence) -> bool:
    """Whether torch put a node there that refuses to be differentiated: it is connected with nothing, so that asking
    for a gradient answers None instead of raising."""
    waiting, seen = [y.grad_fn for y in outs], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if node.name() == "torch::autograd::Error":
                return True
            waiting += [after for after, _ in node.next_functions]
    return False


def of_jax(jax: Any) -> Library:
    def wrap(array: np.ndarray, dtype: str) -> Any:
        return jax.numpy.array(array, dtype)

    def vjp_of_list(f: Callable[..., list], inputs: Sequence) -> tuple[list, Callable[[list], list]]:
        outs, pull = jax.vjp(f, *inputs)
        return outs, lambda cotangents: list(pull(list(cotangents)))

    return Library("jax", wrap, to_float64, vjp_of_list, lambda: jax.enable_x64(True))


def plain(values: Sequence, rule: Callable | None) -> Library:
    """Arrays as they are, and a hand-written `rule(g, *inputs)`; of Tensors, Tensors."""
    library = library_of(values)
    tensors = library.name != "tinygrad_lm" or any(isinstance(v, Tensor) for v in values)

    def wrap(array: np.ndarray, dtype: str) -> Any:
        return library.wrap(array, dtype) if tensors else array.astype(numpy_dtype(dtype), copy=False)

    def vjp_of_list(f: Any, inputs: Sequence) -> tuple[list, Callable[[list], list]]:
        assert rule is not None
        leaves, rebuild = flatten(f.whole(*inputs))
        places = [i for i, y in enumerate(leaves) if floating(y)]

        def pull(cotangents: list) -> list:
            full: list[Any] = [None] * len(leaves)
            for i, u in zip(places, cotangents, strict=True):
                full[i] = u
            return f.chosen(rule(rebuild(full), *f.filled(inputs)))

        return [leaves[i] for i in places], pull

    return Library(library.name if tensors else "numpy", wrap, to_float64, vjp_of_list, library.context)


# ------------------------------------------------------------------------------------------------ one shape


class OfFloats:
    """`fn` as a function of those inputs that are checked, which returns its floating results as a list."""

    def __init__(self, fn: Callable, values: Sequence, places: Sequence[int]):
        self.fn, self.values, self.places = fn, list(values), list(places)

    def filled(self, floats: Sequence) -> list:
        if len(floats) == len(self.values):
            return list(floats)
        full = list(self.values)
        for i, x in zip(self.places, floats, strict=True):
            full[i] = x
        return full

    def whole(self, *floats: Any) -> Any:
        return self.fn(*self.filled(floats))

    def __call__(self, *floats: Any) -> list:
        result = self.whole(*floats)
        leaves = flatten(result)[0] if isinstance(result, (list, tuple, dict)) else [result]
        return [y for y in leaves if floating(y) or dtype_of(y) == "complex128"]

    def chosen(self, grads: Any) -> list:
        """Of a hand-written rule's gradients (one per input, or per checked input) those of the checked inputs."""
        grads = list(grads) if isinstance(grads, (tuple, list)) else [grads]
        if len(grads) == len(self.places):
            return grads
        if len(grads) != len(self.values):
            raise ValueError(
                f"the rule returned {len(grads)} gradients for {len(self.values)} inputs, "
                f"{len(self.places)} of them floating: return one for each, None where there is none"
            )
        return [grads[i] for i in self.places]


class Subject:
    """The function under test: `subject(x)` is the vector of its floating results at the vector of its inputs."""

    def __init__(
        self,
        library: Library,
        f: Callable[..., list],
        arrays: Sequence[np.ndarray],
        names: Sequence[str],
        dtypes: Sequence[str] | None = None,
        native: Callable[..., list] | None = None,
    ):
        self.library, self.f, self.names = library, f, list(names)
        self.arguments = [f.places[k] if isinstance(f, OfFloats) else k for k in range(len(arrays))]
        self.native = native or f  # the same, where what is not checked keeps its dtype
        self.dtypes = list(dtypes or ["float64"] * len(arrays))
        self.shapes = [a.shape for a in arrays]
        ends = np.cumsum([a.size for a in arrays]).tolist()
        self.slices = [slice(end - a.size, end) for a, end in zip(arrays, ends, strict=True)]
        self.x = np.concatenate([np.ravel(a) for a in arrays]).astype(np.float64)
        self.buffer = self.x.copy()
        self.parts = self.split(self.buffer)
        self.finite: Any = slice(None)  # which results are looked at: those that are finite at x

    def wrapped(self, x: np.ndarray, dtypes: Sequence[str] | None = None) -> list:
        """Private copies of the inputs as the library's arrays."""
        wanted = dtypes or ["float64"] * len(self.shapes)
        return [self.library.wrap(a.copy(), d) for a, d in zip(self.split(x), wanted, strict=True)]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.buffer[...] = x
        outs = self.f(*[self.library.wrap(part, "float64") for part in self.parts])
        return self.joined(outs)[self.finite]

    def joined(self, arrays: Sequence) -> np.ndarray:
        if len(arrays) == 1:
            return self.library.unwrap(arrays[0]).reshape(-1)
        return np.concatenate([self.library.unwrap(a).reshape(-1) for a in arrays]) if arrays else np.zeros(0)

    def split(self, v: np.ndarray) -> list[np.ndarray]:
        """A vector like that of the inputs, in their shapes."""
        return [v[s].reshape(shape) for s, shape in zip(self.slices, self.shapes, strict=True)]

    def at(self, i: int) -> tuple[int, tuple[int, ...]]:
        """(which input, index in it) of the i-th entry of the vector."""
        k = next(k for k, s in enumerate(self.slices) if i < s.stop)
        return k, tuple(int(j) for j in np.unravel_index(i - self.slices[k].start, self.shapes[k]))

    def place(self, i: int) -> str:
        k, index = self.at(i)
        return f"{self.names[k]} at index {index}" if index else self.names[k]

    def spot(self, i: int) -> str:
        """The place in few letters: 'input 0[1, 2]'."""
        k, index = self.at(i)
        return f"{self.names[k]}{list(index) if index else ''}"

    def gradient(self, cotangents: Sequence[np.ndarray]) -> Subject:
        """The function (x, u) -> u^T J(x): what has to be right for second derivatives to be."""
        n = len(self.shapes)

        def f(*both: Any) -> list:
            return self.library.vjp(self.f, both[:n])[1](list(both[n:]))

        names = [*self.names, *[f"the cotangent of output {k}" for k in range(len(cotangents))]]
        return Subject(self.library, f, [*self.split(self.x), *cotangents], names)


def subject_of(fn: Callable, inputs: Any, rule: Callable | None = None, explicit: bool = False) -> Subject:
    """`fn` at `inputs`, one array or a list or tuple of them.

    Checked are the floating ones; where some were marked with requires_grad, those.  `explicit`: derivatives come from
    a hand-written `rule`, so plain arrays need not become Tensors.
    """
    values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    library = plain(values, rule) if explicit else library_of(values)
    floats = [i for i, v in enumerate(values) if floating(v)]
    if not floats:
        got = ", ".join([dtype_of(v) or type(v).__name__ for v in values]) or "nothing"
        raise ValueError(
            f"nothing to check: no input is a floating array or Tensor, got {got}; np.asarray(x, float) is one"
        )
    places = [i for i in floats if getattr(values[i], "requires_grad", False)] or floats
    with library.context():
        native = [library.wrap(to_float64(v), dtype_of(v)) if i in floats else v for i, v in enumerate(values)]
        wide = [library.wrap(to_float64(v), "float64") if i in floats else v for i, v in enumerate(values)]
    return Subject(
        library,
        OfFloats(fn, wide, places),
        [np.array(to_float64(values[i])) for i in places],
        [f"input {i}" for i in places],
        [dtype_of(values[i]) for i in places],
        OfFloats(fn, native, places),
    )
