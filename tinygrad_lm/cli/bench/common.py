"""What the actions of `tinygrad-lm bench` share: axes, words, files, exit codes."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygrad_lm.data.errors import UserError

DTYPES = ("float32", "float64", "float16", "bfloat16")
FINE, SLOWER, UNDECIDED = 0, 1, 3


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Options that say what is computed."""
    parser.add_argument(
        "--axis",
        action="append",
        default=[],
        metavar="A=SIZES",
        help="sizes of an axis: 256, or 64,96, or 256:4096:*2, or 10:50:+10; once for each axis",
    )
    parser.add_argument(
        "--dtype", default="float32", metavar="D,D", help="float32, float64, float16, bfloat16 (float32)"
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Options that say what becomes of the result."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each side (what each starts by itself)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the inputs and of the bootstrap (drawn, and written)")
    parser.add_argument(
        "--fail-if-slower", type=percent, metavar="P%", help="exit code 1 if slower by more than this, 3 if unsure"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows, raw samples and the environment there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table there")
    parser.add_argument("--md", type=Path, metavar="FILE", help="write a table in Markdown there")


def percent(text: str) -> float:
    """
    >>> percent("5%"), percent("0.5")
    (0.05, 0.005)
    """
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"expected a percentage like 5%, got {text!r}")
    return value


def usual_axes(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The axes of these workloads (of all) with their usual sizes; UserError for an unknown one."""
    from tinygrad_lm.bench.workloads import SIZES, axes_of

    try:
        return {name: axes_of(name) for name in names or sorted(SIZES)}
    except ValueError as error:
        raise UserError(str(error)) from None


def cases(names: Sequence[str], arguments: argparse.Namespace) -> list[tuple[str, dict[str, int], str]]:
    """(workload, axes, dtype) of everything that is asked for; UserError for what makes no sense."""
    from tinygrad_lm.bench import workload

    usual, axes = usual_axes(names), dict([axis_of(text) for text in arguments.axis])
    if unknown := [axis for axis in axes if not any(axis in known for known in usual.values())]:
        known = sorted({axis for each in usual.values() for axis in each})
        raise UserError(f"none of {', '.join(usual)} has an axis {unknown[0]}: expected some of {', '.join(known)}")
    found = [
        (name, sizes, dtype)
        for name in usual
        for sizes in combinations({axis: axes[axis] for axis in usual[name] if axis in axes})
        for dtype in words(arguments.dtype, "--dtype", DTYPES)
    ]
    for name, sizes, dtype in found:  # before the first is timed
        try:
            workload(name, dtype, **dict[str, Any](sizes))
        except ValueError as error:
            raise UserError(str(error)) from None
    return found


def words(text: str, option: str, known: Sequence[str]) -> list[str]:
    """The words of a list with commas; UserError for one that is not known."""
    found = [word for word in text.split(",") if word]
    if unknown := [word for word in found if word not in known]:
        raise UserError(f"{option}: {unknown[0]!r} is none of {', '.join(known)}")
    return found


def axis_of(text: str) -> tuple[str, list[int]]:
    """(name, sizes) of M=256, M=64,96, M=256:4096:*2 or M=10:50:+10.

    >>> axis_of("M=256:1024:*2"), axis_of("n=3,5"), axis_of("n=10:30:+10")
    (('M', [256, 512, 1024]), ('n', [3, 5]), ('n', [10, 20, 30]))
    """
    name, _, sizes = text.partition("=")
    try:
        if ":" not in sizes:
            return name, [int(size) for size in sizes.split(",")]
        first, last, step = sizes.split(":")
        size, found, by = int(first), [], int(step[1:])
        if step[0] not in "*+" or by < (2 if step[0] == "*" else 1) or not 1 <= size <= int(last):
            raise ValueError
        while size <= int(last):
            found.append(size)
            size = size * by if step[0] == "*" else size + by
        return name, found
    except (ValueError, IndexError):
        raise UserError(f"--axis {text}: expected sizes like M=256, M=64,96, M=256:4096:*2 or M=10:50:+10") from None


def combinations(axes: dict[str, list[int]]) -> list[dict[str, int]]:
    """Every choice of one size for each axis."""
    chosen: list[dict[str, int]] = [{}]
    for axis, sizes in axes.items():
        chosen = [{**before, axis: size} for before in chosen for size in sizes]
    return chosen


def positive(arguments: argparse.Namespace, *options: str) -> None:
    """UserError for one of these options that is given and not positive."""
    for option in options:
        value = getattr(arguments, option.replace("-", "_"))
        if value is not None and not value > 0:
            raise UserError(f"--{option} must be positive, got {value:g}")


def seed_of(arguments: argparse.Namespace) -> int:
    """--seed, or one that is drawn."""
    return random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed


def mind_the_load() -> None:
    """Say so where other programs are using this machine."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        print(f"note: the load average is {load:.1f}: other programs may be using this machine", file=sys.stderr)


def write(arguments: argparse.Namespace, document: dict[str, Any]) -> None:
    """What is known so far, to the files that are asked for."""
    from tinygrad_lm.bench import save
    from tinygrad_lm.bench.tables import csv_of, markdown_of

    for option, text_of in (("json", None), ("csv", csv_of), ("md", markdown_of)):
        path = getattr(arguments, option)
        if path is None:
            continue
        try:
            if text_of is None:
                save(path, document)
            else:
                path.write_text(text_of(document), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--{option}: {path} cannot be written: {error.strerror}") from None


def read(path: Path, option: str = "") -> dict[str, Any]:
    """A result file; UserError for what is none."""
    from tinygrad_lm.bench import load

    try:
        return load(path)
    except ValueError as error:
        raise UserError(f"{option}: {error}".removeprefix(": ")) from None


def alike(a: dict[str, Any], b: dict[str, Any], anyway: bool) -> None:
    """UserError unless two documents come from machines of the same kind."""
    from tinygrad_lm.bench import unlike

    if not anyway and (differences := unlike(a, b)):
        raise UserError(f"times of unlike machines ({'; '.join(differences)}); --any-machine compares them anyway")


def key_of(row: dict[str, Any]) -> tuple:
    """What two rows must share to be compared."""
    return row["case"], tuple(sorted(row["axes"].items())), row["dtype"], row.get("device", "cpu"), row.get("variant")


def called(name: str, axes: dict[str, Any], dtype: str) -> str:
    """
    >>> called("sum", {"rows": 3}, "float32")
    'sum(rows=3, float32)'
    """
    return f"{name}({', '.join([*(f'{axis}={size}' for axis, size in axes.items()), dtype])})"


def exit_code(slower: Sequence[bool | None], failed: bool = False) -> int:
    """1 if anything is slower (or failed), else 3 if anything could not be decided, else 0."""
    if failed or True in slower:
        return SLOWER
    return UNDECIDED if None in slower else FINE
