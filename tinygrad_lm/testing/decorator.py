"""`@gradtest`: a property test of a derivative from nothing but the function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tinygrad_lm.testing.gradcheck import gradcheck, gradgradcheck
from tinygrad_lm.testing.programs import literal
from tinygrad_lm.testing.strategies import broadcastable
from tinygrad_lm.testing.tolerance import GradcheckError


def gradtest(function: Callable | None = None, *, order: int = 1, **inputs: st.SearchStrategy) -> Any:
    """Turn a function of arrays into a test: Hypothesis draws its arguments, `gradcheck` judges what it returns.

    inputs: a strategy for each parameter; without any, all are arrays whose shapes broadcast together.
    order=2: the second derivatives too.  Settings, profiles and examples are Hypothesis' own, above the decorator.

    A failure shows the smallest arguments that were found, and the lines that reproduce it without pytest.

        @gradtest
        def test_sigmoid_of_a_product(x, y):
            return tg.sigmoid(x * y)

        @settings(max_examples=20)
        @gradtest(x=some.arrays(values="kink_seeking"), order=2)
        def test_relu(x):
            return tg.relu(x) ** 3
    """
    if function is None:
        return lambda f: gradtest(f, order=order, **inputs)
    body, names = function, list(inspect.signature(function).parameters)
    if not names or names[0] == "self":
        why = "is a method" if names else "takes none"
        raise TypeError(f"gradtest tests plain functions of arrays, {body.__qualname__} {why}")
    if order not in (1, 2):
        raise ValueError(f"gradtest checks derivatives of order 1 or 2, got order={order}")
    if inputs and set(inputs) != set(names):
        raise TypeError(
            f"gradtest needs a strategy for each of {', '.join(names)} (or none at all), got {', '.join(inputs)}"
        )
    drawn = st.tuples(*[inputs[n] for n in names]) if inputs else broadcastable(len(names))

    @given(drawn)
    def test(arguments: Any) -> None:
        try:
            gradcheck(body, tuple(arguments))
            if order == 2:
                gradgradcheck(body, tuple(arguments))
        except GradcheckError as error:
            error.reproducer = reproducer(body, dict(zip(names, arguments, strict=True)))  # type: ignore[attr-defined]
            raise error.with_traceback(None) from None  # the message says it; the frames of the checker add nothing

    for word in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(test, word, getattr(body, word))
    test.body = body  # type: ignore[attr-defined]
    return test


def reproducer(body: Callable, arguments: dict[str, Any]) -> str:
    """Python text that makes the same check; it imports the test, whose `body` is the function."""
    lines = ["import numpy as np", "from tinygrad_lm.testing import gradcheck"]
    lines.append(f"from {body.__module__} import {body.__name__}  # {inspect.getsourcefile(body)}")
    lines += [f"{name} = {literal(value)}" for name, value in arguments.items()]
    return "\n".join([*lines, f"gradcheck({body.__name__}.body, ({', '.join(arguments)},))"])
