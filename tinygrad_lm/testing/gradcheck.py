"""A derivative against finite differences, in float64, coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lm.backend import backend_of, is_float
from tinygrad_lm.core import flatten, raw, vjp


class GradcheckError(AssertionError):
    """A derivative that finite differences refute; the message names the input, the element and both values."""


def gradcheck(
    fn: Callable, inputs: Any, *, eps: float = 1e-5, rtol: float = 1e-6, atol: float = 1e-7, seed: int = 0
) -> bool:
    """Check the gradient of `fn(*inputs)` at every element of every floating input: True, or `GradcheckError`.

    With a random cotangent u for each floating output (not ones, under which symmetric mistakes cancel) the number
    L = sum(u * fn(x)) has the gradient u^T J, which is compared with (L(x + eps) - L(x - eps)) / (2 eps):

        |analytic - numeric| <= atol + rtol |numeric|

    Inputs (one, or a list or tuple) are arrays or Tensors.  Floating ones are checked, as float64 copies; integers,
    booleans and Python numbers are passed on as they are.  The result is an array or Tensor, or lists, tuples and dicts
    of them.  The difference itself is wrong by about eps^2 |f'''| / 6 + 1e-16 |L| / eps, so stay clear of kinks by eps.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.testing.gradcheck(lambda x, y: tg.sin(x) * y, (np.array([1.0, 2.0]), np.array(3.0)))
    True
    """
    f, floats, places = _of_floats(fn, inputs)
    _compare("gradcheck", f, floats, [f"input {i}" for i in places], eps, rtol, atol, np.random.default_rng(seed))
    return True


def gradgradcheck(
    fn: Callable, inputs: Any, *, eps: float = 1e-5, rtol: float = 1e-6, atol: float = 1e-7, seed: int = 0
) -> bool:
    """Check the second derivatives: `gradcheck` of (x, u) -> u^T J(x), in the inputs and in the cotangents u.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.testing.gradgradcheck(tg.tanh, np.array([0.5, -1.0]))
    True
    """
    f, floats, places = _of_floats(fn, inputs)
    rng = np.random.default_rng(seed)
    cotangents = _like(f(*floats), rng)

    def gradient(*both: Any) -> tuple:
        return vjp(f, *both[: len(floats)])[1](list(both[len(floats) :]))

    names = [f"input {i}" for i in places] + [f"the cotangent of output {i}" for i in range(len(cotangents))]
    _compare("gradgradcheck", gradient, [*floats, *cotangents], names, eps, rtol, atol, rng)
    return True


def _compare(
    title: str,
    f: Callable,
    floats: list[np.ndarray],
    names: list[str],
    eps: float,
    rtol: float,
    atol: float,
    rng: np.random.Generator,
) -> None:
    outs, pull = vjp(f, *floats)
    if not outs:
        raise ValueError("nothing to check: the function returned no floating array or Tensor")
    cotangents = _like(outs, rng)

    def number() -> float:
        return sum([float((u * raw(y)).sum()) for u, y in zip(cotangents, f(*floats), strict=True)])

    for name, x, analytic in zip(names, floats, pull(list(cotangents)), strict=True):
        if analytic.shape != x.shape or analytic.dtype != x.dtype:
            got = f"{analytic.dtype} {analytic.shape}"
            raise GradcheckError(f"{title}: {name} is {x.dtype} {x.shape}, its gradient {got}")
        for at in np.ndindex(x.shape):
            kept = float(x[at])
            x[at] = kept + eps
            above = number()
            x[at] = kept - eps
            numeric = (above - number()) / (2 * eps)
            x[at] = kept
            difference, allowed = abs(float(analytic[at]) - numeric), atol + rtol * abs(numeric)
            if not difference <= allowed:  # said this way round, nan fails
                where = f" at index {at}" if at else ""
                raise GradcheckError(
                    f"{title}: {name}{where}: analytic {analytic[at]:.9g}, numeric {numeric:.9g} "
                    f"(they differ by {difference:.2g}, allowed {allowed:.2g})"
                )


def _of_floats(fn: Callable, inputs: Any) -> tuple[Callable, list[np.ndarray], list[int]]:
    """(`fn` as a function of its floating inputs alone, those inputs, which of all inputs they are)."""
    values = [raw(x) for x in (inputs if isinstance(inputs, (list, tuple)) else (inputs,))]
    places = [i for i, v in enumerate(values) if _is_floating(v)]
    if not places:
        raise ValueError(f"nothing to check: none of the {len(values)} inputs is a floating array or Tensor")

    def f(*floats: Any) -> list:
        full = list(values)
        for i, x in zip(places, floats, strict=True):
            full[i] = x
        return [y for y in flatten(fn(*full))[0] if _is_floating(raw(y))]

    floats = [np.array(backend_of(values[i]).to_numpy(values[i]), np.float64) for i in places]
    return f, floats, places


def _is_floating(value: Any) -> bool:
    return hasattr(value, "dtype") and is_float(value.dtype)


def _like(outs: Sequence[Any], rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=raw(y).shape) for y in outs]
