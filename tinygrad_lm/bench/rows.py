"""One row of a benchmark: what was asked, that it was computed, how long it took, and how long it had to take.

A `Case` says what is to be computed: how inputs are drawn, what is right in float64, how much work it is.  Any callable
may compute it.  `measure` lets it pass the gate, times it on inputs that change from call to call, lets it pass once
more, and places the time beside the machine's roofline; what is refused has no time.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lm.bench.devices import device_of
from tinygrad_lm.bench.roofline import Placed, Roofline
from tinygrad_lm.bench.timing import Timing, do_bench
from tinygrad_lm.testing.adapters import to_float64
from tinygrad_lm.testing.gate import OUTLIERS, Refused, verify

SETS = 4  # of inputs, that calls take in turn


@dataclass(frozen=True)
class Case:
    """Something to be computed.

    draw(rng): fresh inputs.  reference: the same in float64, NumPy arrays in and out.  flops, bytes: of one call,
    bytes read and written at least once.  writes, outliers: as for `tg.testing.verify`.  shortcut: how many times fewer
    FLOPs the cleverest algorithm needs (Winograd's convolution), before a time is too good to be true.
    """

    name: str
    draw: Callable[[np.random.Generator], Sequence[Any]]
    reference: Callable
    flops: float = 0.0
    bytes: int = 0
    dtype: str = "float32"
    axes: Mapping[str, Any] = field(default_factory=dict)
    writes: tuple[int, ...] = ()
    outliers: float = OUTLIERS
    shortcut: float = 1.0

    def __str__(self) -> str:
        sizes = ", ".join([f"{name}={value}" for name, value in self.axes.items()])
        return f"{self.name}({sizes}{', ' * bool(sizes)}{self.dtype})"


@dataclass(frozen=True)
class Row:
    """What came of one case and one way to compute it: a timing, or why there is none."""

    case: Case
    variant: str
    timing: Timing | None = None
    placed: Placed | None = None
    refused: str = ""
    device: str = "cpu"

    def __str__(self) -> str:
        head = f"{self.case} {self.variant}: "
        if self.timing is None:
            return head + f"REFUSED, {self.refused}"
        return head + str(self.timing) + (f"; {self.placed}" if self.placed else "")

    def record(self) -> dict[str, Any]:
        """The same as plain values, for a JSON file."""
        return {
            "case": self.case.name,
            "axes": dict(self.case.axes),
            "dtype": self.case.dtype,
            "device": self.device,
            "variant": self.variant,
            "refused": self.refused,
            "flops": self.case.flops,
            "bytes": self.case.bytes,
            "timing": self.timing.record() if self.timing else None,
            "share_of_roofline": self.placed.share if self.placed else None,
            "bound": self.placed.bound if self.placed else None,
        }


def measure(
    case: Case,
    function: Callable,
    variant: str = "",
    *,
    device: Any = "cpu",
    put: Callable[[np.ndarray], Any] | None = None,
    roofline: Roofline | None = None,
    seed: int | None = None,
    **timing: Any,
) -> Row:
    """The row of one function: refused, or timed; `timing`: options of `do_bench`.

    device: where it runs and what takes its time, as for `do_bench`.  put(array): makes its inputs of NumPy arrays; the
    arrays of that device, unless told.

    It passes the gate before and after its time is taken, and what is faster than the machine's roofline allows is
    refused as well.  What it raises is a refusal, too: other rows go on.

    >>> import numpy as np
    >>> case = Case("tanh", lambda rng: [rng.normal(size=1000).astype("f4")], np.tanh, flops=1e4, bytes=8000)
    >>> measure(case, np.tanh, "numpy", max_time=0.02, cold=False).refused
    ''
    >>> print(measure(case, lambda x: x, "lazy", seed=0).refused.split(":")[-1])
     it returns its input
    """
    name, where = f"{case.name} {variant}".strip(), device_of(device)
    try:
        put = put or where.put
        judged = crossing(function, put)
        verify(judged, case.reference, case.draw, writes=case.writes, outliers=case.outliers, seed=seed, name=name)
        found = do_bench(taking_turns(function, case, seed, put), device=device, name=name, **timing)
        verify(judged, case.reference, case.draw, writes=case.writes, outliers=case.outliers, seed=seed, name=name)
    except Refused as error:
        return Row(case, variant, refused=str(error), device=where.name)
    except Exception as error:
        return Row(
            case, variant, refused=" ".join(traceback.format_exception_only(error)[-1].split()), device=where.name
        )
    placed = None
    if roofline and (case.flops or case.bytes):
        best = float(found.hot.min())
        placed = roofline.place(best, case.flops / case.shortcut, case.bytes, case.dtype)
        if not placed.believable:  # or the machine was not at its best when its peaks were measured
            roofline.doubt(case.bytes, case.dtype)
            placed = roofline.place(best, case.flops / case.shortcut, case.bytes, case.dtype)
        if not placed.believable:
            return Row(case, variant, refused=f"{name} is refused: {placed}", device=where.name)
        placed = roofline.place(found.quartiles()[1], case.flops, case.bytes, case.dtype)
    return Row(case, variant, found, placed, device=where.name)


def crossing(function: Callable, put: Callable[[np.ndarray], Any]) -> Callable:
    """The function on NumPy arrays: copied to where it works, and what it made of them copied back."""

    def called(*arrays: Any) -> Any:
        there = [put(a) if isinstance(a, np.ndarray) else a for a in arrays]
        result = function(*there)
        for a, t in zip(arrays, there, strict=True):
            if t is not a:
                a[...] = to_float64(t)
        return result

    return called


def taking_turns(
    function: Callable, case: Case, seed: int | None, put: Callable[[np.ndarray], Any] = lambda a: a
) -> Callable[[], Any]:
    """A call without arguments, on one of a few sets of inputs after the other."""
    rng = np.random.default_rng(seed)
    drawn = [case.draw(rng) for _ in range(SETS)]
    sets = itertools.cycle([[put(a) if isinstance(a, np.ndarray) else a for a in arrays] for arrays in drawn])
    return lambda: function(*next(sets))


def sweep(
    make: Callable[..., Case],
    variants: Mapping[str, Callable],
    axes: Mapping[str, Sequence[Any]],
    *,
    roofline: Roofline | None = None,
    **options: Any,
) -> Iterator[Row]:
    """A row for every variant at every combination of `axes`, as they are done; make(**axes) gives the case.

    >>> import numpy as np
    >>> def rows_of(n):
    ...     draw = lambda rng: [rng.normal(size=(8, n))]
    ...     return Case("sum", draw, lambda x: x.sum(-1), axes={"n": n}, dtype="float64")
    >>> found = list(sweep(rows_of, {"numpy": lambda x: x.sum(-1)}, {"n": [4, 8]}, max_time=0.01, cold=False))
    >>> [(row.case.axes["n"], row.refused) for row in found]
    [(4, ''), (8, '')]
    """
    for values in itertools.product(*axes.values()):
        case = make(**dict(zip(axes, values, strict=True)))
        for variant, function in variants.items():
            yield measure(case, function, variant, roofline=roofline, **options)
