"""The one kind of file that every benchmark writes and every report reads.

    {"schema", "environment", "figures", "roofline", "rows", "comparisons", ... what else a script has to say}

All of it is plain values: a file is read by whatever reads JSON, and loading one executes nothing.  `schema.json` says
what is where, and `load` returns nothing else.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm.bench.machine import environment
from tinygrad_lm.bench.schema import misfit

SCHEMA = "tinygrad_lm bench 1"
MACHINE = ("cpu", "cores", "gpu")  # of the environment: what makes two times comparable


def document(
    *,
    rows: Sequence[Mapping[str, Any]] = (),
    comparisons: Sequence[Mapping[str, Any]] = (),
    figures: Sequence[Mapping[str, Any]] = (),
    roofline: Mapping[str, Any] | None = None,
    **details: Any,
) -> dict[str, Any]:
    """The records of one run, with the schema's name and where it ran.  Numbers that JSON lacks become None.

    >>> sorted(document(rows=[{"case": "exp", "flops": float("inf")}]))
    ['comparisons', 'environment', 'figures', 'roofline', 'rows', 'schema']
    """
    return plain(
        {
            "schema": SCHEMA,
            "environment": environment(),
            "figures": figures,
            "roofline": roofline,
            "rows": rows,
            "comparisons": comparisons,
            **details,
        }
    )


def plain(value: Any) -> Any:
    """The same as what JSON has: NumPy's numbers and arrays unwrapped, nan and the infinities None.

    >>> plain({"a": (np.float64(2.0), float("nan")), "b": np.arange(2)})
    {'a': [2.0, None], 'b': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def save(path: str | os.PathLike[str], found: Mapping[str, Any]) -> None:
    """Write a document; the file is the old one or the new one at every moment, whatever happens.  OSError if not.

    Raw samples of one row share a line.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text_of(plain(found)) + "\n")
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def text_of(value: Any, indent: int = 0) -> str:
    """JSON with one line for a list of numbers: thousands of raw samples do not make thousands of lines."""
    space = "\n" + " " * (indent + 1)
    if isinstance(value, dict) and value:
        inner = [f"{json.dumps(k)}: {text_of(v, indent + 1)}" for k, v in value.items()]
        return "{" + space + ("," + space).join(inner) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        return "[" + space + ("," + space).join(text_of(v, indent + 1) for v in value) + "\n" + " " * indent + "]"
    return json.dumps(value, allow_nan=False)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A document that `save` wrote.  ValueError, in one line, for what is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{path} is not a JSON file") from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        said = "names no schema" if schema is None else f"is of the schema {schema!r}"
        raise ValueError(f"{path} {said}, expected {SCHEMA!r}: write it again with this version")
    if wrong := misfit(found):
        raise ValueError(f"{path} is damaged: {wrong}")
    return found


def unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """How the machines of two documents differ, a line each; empty where their times may be compared.

    >>> here, there = {"environment": {"cpu": "X", "cores": 2}}, {"environment": {"cpu": "X", "cores": 8}}
    >>> unlike(here, there)
    ['cores: 2 / 8']
    """
    ours, theirs = a["environment"], b["environment"]
    both = [(key, named(ours.get(key)), named(theirs.get(key))) for key in MACHINE]
    return [f"{key}: {ours} / {theirs}" for key, ours, theirs in both if ours != theirs]


def named(value: Any) -> Any:
    """What stands for a part of the machine: a GPU's record also holds its clocks, which change."""
    return value.get("name") if isinstance(value, dict) else value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
