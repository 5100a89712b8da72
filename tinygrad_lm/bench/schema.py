"""Is a document what `schema.json` says?  The part of JSON Schema (2020-12) that it uses, in one function.

Whoever reads a document relies on it: tables, pictures, pages and comparisons ask no further.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TYPES: dict[str, Any] = {
    **{"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float)},
    "integer": int,
}


@functools.cache
def schema() -> dict[str, Any]:
    """The schema of result documents."""
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def misfit(document: Any) -> str | None:
    """Where a document is not what the schema says and why, in one line; None where it is.

    >>> misfit({"schema": "tinygrad_lm bench 1", "environment": {}})
    "'figures' is missing"
    """
    return next(misfits(document, schema(), ""), None)


def misfits(value: Any, rule: Mapping[str, Any], at: str) -> Iterator[str]:
    """Everything that is wrong with a value; `at`: where in the document it stands."""
    here = f"{at.removeprefix('.')}: " * bool(at)
    if "$ref" in rule:
        yield from misfits(value, schema()["$defs"][rule["$ref"].rpartition("/")[2]], at)
    if "anyOf" in rule:
        each = [list(misfits(value, choice, at)) for choice in rule["anyOf"]]
        if all(each):
            yield each[-1][0]
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type")
    if kinds and not any(is_a(value, kind) for kind in kinds):
        yield f"{here}expected {' or '.join(kinds)}, got {short(value)}"
        return
    known = rule.get("enum", [rule["const"]] if "const" in rule else None)
    if known is not None and not any(value == k and type(value) is type(k) for k in known):
        yield f"{here}expected {' or '.join(map(short, known))}, got {short(value)}"
    if isinstance(value, dict):
        for name in rule.get("required", ()):
            if name not in value:
                yield f"{here}{name!r} is missing"
        for name, inner in value.items():
            yield from misfits(
                inner, rule.get("properties", {}).get(name, rule.get("additionalProperties", {})), f"{at}.{name}"
            )
    elif isinstance(value, list):
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            yield f"{here}{len(value)} items, expected {rule.get('maxItems') or 'at least ' + str(rule['minItems'])}"
        for i, inner in enumerate(value):
            yield from misfits(inner, rule.get("items", {}), f"{at}[{i}]")
    elif is_a(value, "number") and value < rule.get("minimum", value):
        yield f"{here}expected at least {rule['minimum']}, got {short(value)}"


def is_a(value: Any, kind: str) -> bool:
    """Whether a value of JSON is of this kind: true is no number.

    >>> is_a(True, "integer"), is_a(2.0, "integer"), is_a(2, "number")
    (False, True, True)
    """
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def short(value: Any) -> str:
    """A value in few letters."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."
