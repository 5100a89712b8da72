"""What an operation's derivative is where mathematics leaves a choice, or none: declared, tested, and listed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm.core import OPS


@dataclass(frozen=True)
class Convention:
    """One point: the operation, its inputs there, the gradient of each for an incoming gradient of 1, and why.

    kind: "singular" (a slope is not finite), "jump" (the value itself leaps), "kink" (the slopes to both sides differ)
    or "smooth" (the derivative exists, and is easily got wrong).
    """

    op: str
    inputs: tuple[Any, ...]
    grads: tuple[Any, ...]
    kind: str
    why: str
    params: dict[str, Any]

    def __str__(self) -> str:
        given = [*map(str, self.inputs), *[f"{k}={v}" for k, v in self.params.items()]]
        return f"{self.op}({', '.join(given)}): {', '.join(map(str, self.grads))} ({self.kind}: {self.why})"


def conventions(op: Any = None) -> list[Convention]:
    """The declared conventions of one operation (the function or its name), or of all.

    Raises KeyError for what is no operation.

    >>> import tinygrad_lm as tg
    >>> print(tg.testing.conventions("maximum")[0])
    maximum(1.0, 1.0): 0.5, 0.5 (kink: a tie is shared)
    """
    name = getattr(getattr(op, "op", op), "name", op)
    if name is not None and name not in OPS:
        raise KeyError(f"there is no operation {name!r}; tg.OPS has them all")
    chosen = [OPS[name]] if name is not None else [OPS[name] for name in sorted(OPS)]
    return [
        Convention(o.name, k.inputs, k.grads, kind_of(o, k), k.why, k.params)
        for o in chosen
        for k in o.facts.get("kinks", ())
    ]


@np.errstate(all="ignore")
def kind_of(op: Any, kink: Any, h: float = 1e-7) -> str:
    """How the function behaves there, from its values a little to both sides along every coordinate."""
    if not all(np.isfinite(np.asarray(g, float)).all() for g in kink.grads):
        return "singular"
    at = [np.array(x, float) for x in kink.inputs]

    def value() -> np.ndarray:
        try:
            out = op.function(*at, **kink.params)
        except ValueError:  # outside of the domain
            return np.array(np.nan)
        return np.asarray(out[0] if isinstance(out, tuple) else out, float)

    here, kind = value(), "smooth"
    for x in at:
        for i in np.ndindex(x.shape):
            kept = float(x[i])
            x[i] = kept + h
            above = value()
            x[i] = kept - h
            below = value()
            x[i] = kept
            if not (np.isfinite(above).all() and np.isfinite(below).all() and np.isfinite(here).all()):
                kind = "kink"  # the edge of the domain
            elif max(np.abs(above - here).max(initial=0), np.abs(below - here).max(initial=0)) > 1e3 * h:
                return "jump"
            elif np.abs(above - 2 * here + below).max(initial=0) > 1e-2 * h:
                kind = "kink"
    return kind
