"""Is this gradient right?  What a user calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lm.testing.adapters import subject_of
from tinygrad_lm.testing.check import Check, Verdict


def gradcheck(
    fn: Callable,
    inputs: Any,
    *,
    kinks: str = "subdifferential",
    exact: bool | None = None,
    directions: int = 8,
    second_order: bool = True,
    seed: int = 0,
) -> Verdict:
    """Check the gradient of `fn(*inputs)`: a `Verdict`, which is true, or `GradcheckError`.

    With a random cotangent u for each floating result (not ones, under which symmetric mistakes cancel) the number
    sum(u * fn(x)) has the gradient u^T J.  It is compared with central differences, and for functions of this library
    with the complex step and with forward-mode rules where every operation has them.  What may differ is computed:
    from the rounding of the values, and where that does not explain it from how the quotients settle as steps shrink.

    inputs: one array, or a list or tuple.  Floating ones are checked (where some have requires_grad, those), others
    passed on.  Arrays and Tensors reach `fn` as Tensors; **torch** tensors and **JAX** arrays as what they are, and
    their own autograd answers.  Results: arrays, or lists, tuples and dicts of them.  Everything is checked in float64;
    inputs of fewer bits are checked in their own dtype too, against the float64 gradient at the same numbers.

    kinks: at a point where slopes differ by side a gradient passes if it lies between them along every direction
    tried: coordinates, all equal entries together, random ones ("subdifferential").  "error" refuses such points,
    "avoid" leaves them out.
    exact: every entry alone (True), or `directions` random directions (False); by default entries, if they are few.
    second_order: also try a second derivative along one direction; one that raises is only noted.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.testing.gradcheck(lambda x, y: tg.abs(x) * y, (np.array([1.0, 0.0]), np.array(3.0)))
    gradcheck: passed, 3 entries of a tinygrad_lm function, each alone
    power: a single 1 % error is found with probability 1
    central differences: agree at every entry, along 8 random directions
    complex step: declined, abs is not declared analytic
    forward mode: not compared, the directions meet a kink
    tg.jvp: not asked, it is made of the rules under test
    second derivative: agrees along a random direction
    kink at input 0[1]: slopes -3 and 3, the rule says 0
    """
    subject = subject_of(fn, inputs)
    with subject.library.context(), np.errstate(all="ignore"):
        return Check("gradcheck", subject, kinks, exact, directions, seed).passed(second_order)


def gradgradcheck(
    fn: Callable,
    inputs: Any,
    *,
    kinks: str = "subdifferential",
    exact: bool | None = None,
    directions: int = 8,
    seed: int = 0,
) -> Verdict:
    """Check the second derivatives: `gradcheck` of (x, u) -> u^T J(x), in the inputs and in the cotangents u.

    >>> import numpy as np, tinygrad_lm as tg
    >>> assert tg.testing.gradgradcheck(tg.tanh, np.array([0.5, -1.0]))
    """
    subject = subject_of(fn, inputs)
    with subject.library.context(), np.errstate(all="ignore"):
        first = Check("gradgradcheck", subject, kinks, exact, directions, seed)
        return Check("gradgradcheck", subject.gradient(first.parts(first.u)), kinks, exact, directions, seed).passed()


def check_vjp(
    fn: Callable,
    vjp: Callable,
    inputs: Any,
    *,
    kinks: str = "subdifferential",
    exact: bool | None = None,
    directions: int = 8,
    seed: int = 0,
) -> Verdict:
    """Check a hand-written backward: `vjp(g, *inputs)` returns g^T J, one gradient for each (floating) input.

    `fn` and `vjp` get arrays as they are: plain NumPy needs no Tensor and no tape.  g is shaped like the result of `fn`
    (a tuple if that is one).  Otherwise as `gradcheck`.

    >>> import numpy as np, tinygrad_lm as tg
    >>> x, w = np.ones((2, 3)), np.arange(12.0).reshape(3, 4)
    >>> assert tg.testing.check_vjp(np.matmul, lambda g, x, w: (g @ w.T, x.T @ g), (x, w))
    >>> try:
    ...     tg.testing.check_vjp(np.sin, lambda g, x: -g * np.cos(x), np.ones(2))
    ... except tg.testing.GradcheckError as error:
    ...     print(error.cause)
    all 2 entries are wrong: wrong sign
    """
    subject = subject_of(fn, inputs, vjp, explicit=True)
    with subject.library.context(), np.errstate(all="ignore"):
        return Check("check_vjp", subject, kinks, exact, directions, seed).passed()


def check_jvp(
    fn: Callable,
    jvp: Callable,
    inputs: Any,
    *,
    kinks: str = "subdifferential",
    exact: bool | None = None,
    directions: int = 8,
    seed: int = 0,
) -> Verdict:
    """Check a hand-written forward mode: `jvp(t, *inputs)` returns J t, the tangent of the result.

    t is the tangent of the input, or a tuple of them if several inputs are floating.  Otherwise as `check_vjp`.

    >>> import numpy as np, tinygrad_lm as tg
    >>> assert tg.testing.check_jvp(np.multiply, lambda t, a, b: t[0] * b + a * t[1], (np.ones(3), np.arange(3.0)))
    """
    subject = subject_of(fn, inputs, explicit=True)
    with subject.library.context(), np.errstate(all="ignore"):
        return Check("check_jvp", subject, kinks, exact, directions, seed, jvp).passed()
