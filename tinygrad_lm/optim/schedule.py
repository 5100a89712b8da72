"""Learning rates as plain functions of the step: no hidden state, so resuming a run needs nothing from them.

Each function here returns a `Schedule`, which maps a step (0, 1, 2, ...) to a rate:

>>> from tinygrad_lm.optim import schedule
>>> rate = schedule.warmup(schedule.cosine(1.0, steps=8, final=0.1), steps=3)
>>> [round(rate(step), 3) for step in (0, 1, 2, 3, 7, 11, 1000)]
[0.25, 0.5, 0.75, 1.0, 0.55, 0.1, 0.1]
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """rate"""
    _check("constant", rate=rate)
    return lambda step: rate


def step(rate: float, every: int, factor: float = 0.1) -> Schedule:
    """rate * factor^(step // every)"""
    _check("step", rate=rate, every=every, factor=factor)
    return lambda step: rate * factor ** (step // every)


def linear(rate: float, steps: int, final: float = 0.0) -> Schedule:
    """A straight line from `rate` at step 0 to `final` at step `steps`, and `final` from there on."""
    _check("linear", rate=rate, steps=steps, final=final)
    return lambda step: final + (rate - final) * (1 - _part(step, steps))


def cosine(rate: float, steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from `rate` at step 0 to `final` at step `steps`, and `final` from there on:

    final + (rate - final) * (1 + cos(pi * step / steps)) / 2
    """
    _check("cosine", rate=rate, steps=steps, final=final)
    return lambda step: final + (rate - final) * (1 + math.cos(math.pi * _part(step, steps))) / 2


def one_cycle(
    rate: float, steps: int, rise: float = 0.3, start: float | None = None, final: float | None = None
) -> Schedule:
    """Half a cosine up from `start` (None: rate / 25) to `rate`, during the share `rise` of the `steps`, and half a
    cosine down to `final` (None: start / 10000) at step `steps`.
    """
    start = rate / 25 if start is None else start
    final = start / 1e4 if final is None else final
    _check("one_cycle", rate=rate, steps=steps, start=start, final=final)
    if not 0 <= rise < 1:
        raise ValueError(f"one_cycle: rise is a share of the steps, from 0 to below 1, got {rise!r}")
    top = min(round(rise * steps), steps - 1)
    up, down = cosine(start, max(top, 1), rate), cosine(rate, steps - top, final)
    return lambda step: up(step) if step < top else down(step - top)


def warmup(after: Schedule, steps: int) -> Schedule:
    """`steps` equal increments up to the first rate of `after`, which then runs as if it began there:

    after(0) * (step + 1) / (steps + 1)   while step < steps,   else after(step - steps)
    """
    if steps < 0:
        raise ValueError(f"warmup: steps must be at least 0, got {steps!r}")
    first = after(0)
    return lambda step: first * (step + 1) / (steps + 1) if step < steps else after(step - steps)


def _part(step: int, steps: int) -> float:
    """How much of `steps` is over, from 0 to 1."""
    return min(step / steps, 1.0)


def _check(name: str, **settings: float) -> None:
    for setting, value in settings.items():
        least = 1 if setting in ("steps", "every") else 0
        if not least <= value < math.inf:
            raise ValueError(f"{name}: {setting} must be at least {least}, got {value!r}")
