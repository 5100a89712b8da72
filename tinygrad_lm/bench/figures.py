"""What a benchmark script ends with: figures beside their limits, a JSON file, an exit code."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinygrad_lm.bench.results import document, save

ADVICE = {"torch": "pip install torch==2.13.0 (a CPU build is enough)"}


@dataclass(frozen=True)
class Figure:
    """One measured value; ``limit`` is the most it may be, None for a value that is only reported."""

    name: str
    value: float
    limit: float | None = None
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the limit holds.  NaN passes none."""
        return self.limit is None or bool(self.value <= self.limit)


def require(*modules: str) -> None:
    """End the script with one line and exit code 2 unless every module can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        advice = "; ".join(ADVICE.get(name, f"pip install {name}") for name in missing)
        print(f"{Path(sys.argv[0]).name}: {', '.join(missing)} not installed: {advice}", file=sys.stderr)
        raise SystemExit(2)


def report(figures: Sequence[Figure], *, json_file: str | None = None, **details: Any) -> int:
    """Print the figures with their limits; write them to ``json_file``, a `document` with ``details``.

    Returns the exit code: 0, or 1 if a limit is missed.
    """
    width = max(len(f.name) for f in figures)
    print(f"\n{'figure':{width}}  {'value':>12}  {'limit':>10}")
    for f in figures:
        limit, word = ("", "") if f.limit is None else (f"<= {f.limit:g}", "PASS" if f.passed else "MISS")
        print(f"{f.name:{width}}  {f'{f.value:.4g} {f.unit}'.strip():>12}  {limit:>10}  {word}".rstrip())
    if json_file is not None:
        save(json_file, document(figures=[asdict(f) | {"passed": f.passed} for f in figures], **details))
    return 0 if all(f.passed for f in figures) else 1
