"""tinygrad-lm doctor"""

from __future__ import annotations

import argparse
from typing import Any

from tinygrad_lm.cli.common import add_json, print_json

HELP = "show what is installed and what works here"
DESCRIPTION = "What is installed, which devices and kernels can be used here and why not, threads, versions."
EPILOG = """example:
  tinygrad-lm doctor --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.backend.report import report

    found = report()
    if arguments.json:
        print_json(found)
    else:
        print("\n".join(readable(found)))
    return 0


def readable(found: dict[str, Any]) -> list[str]:
    """The report as aligned lines, groups under a heading."""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            nothing = "not installed" if name == "packages" else "not set"
            width = 2 + max(map(len, value), default=0)
            lines += [words(name), *(f"  {key:{width}}{state(key, entry, nothing)}" for key, entry in value.items())]
            if not value:
                lines.append("  nothing set")
        else:
            lines.append(f"{words(name):18}{plain(value, 'none')}")
            if name == "default_kernels" and not found["kernels"].get(value, {}).get("usable"):
                lines[-1] += ": cannot be used, see the kernels above and the environment below"
    return lines


def state(name: str, entry: Any, nothing: str) -> str:
    """One value; or whether a device or kernel table can be used, with its details or the reason why not."""
    if not isinstance(entry, dict):
        return plain(entry, nothing)
    if not entry["usable"]:
        return "no: " + entry["reason"].removeprefix(name).removeprefix(" kernels").removeprefix(": ")
    details = {key: value for key, value in entry.items() if key not in ("usable", "reason") and value}
    return "; ".join(["yes", *(f"{words(key)}: {plain(value, nothing)}" for key, value in details.items())])


def plain(value: Any, nothing: str) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} ({plain(v, nothing)})" for key, v in value.items())
    if isinstance(value, list):
        return ", ".join(plain(v, nothing) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return nothing if value is None else str(value)


def words(name: str) -> str:
    return name.replace("_", " ")
