"""tinygrad-lm bench: time operations, and believe it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tinygrad_lm.data.errors import UserError

HELP = "time operations: checked first, cold and hot, beside the machine's roofline"
DESCRIPTION = """Time operations of this library.

Each is called with inputs that it has never seen, some of them large, and compared with float64 before its time is
taken and once more afterwards: what is not right has no time.  A row shows the median and quartiles right after a call
(hot) and with other things in the caches (cold), and which share of the machine's own peak that is, measured in the
same run."""
EPILOG = """exit code: 0 all timed, 1 something was refused, 2 wrong use

examples:
  tinygrad-lm bench list
  tinygrad-lm bench run softmax --kernels reference,native
  tinygrad-lm bench run matmul --axis M=128:1024:*2 --dtype float32,float64 --json rows.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "run"), metavar="ACTION", help="list the workloads, or run some")
    parser.add_argument("names", nargs="*", metavar="NAME", help="operations (all)")
    parser.add_argument(
        "--axis",
        action="append",
        default=[],
        metavar="A=SIZES",
        help="sizes of an axis: 256, or 64,96, or 256:4096:*2, or 10:50:+10; once for each axis",
    )
    parser.add_argument("--dtype", default="float32", metavar="D,D", help="float32, float64, float16 (float32)")
    parser.add_argument("--kernels", default="auto", metavar="K,K", help="auto, reference, native, emulated (auto)")
    parser.add_argument("--max-time", type=float, default=1.0, metavar="S", help="seconds for each row (1)")
    parser.add_argument("--no-cold", action="store_true", help="hot times only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows, raw samples and the environment there")


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.bench import Roofline, function_of, measure, workload
    from tinygrad_lm.bench.workloads import SIZES, axes_of
    from tinygrad_lm.train.trainer import kernels_for

    names = arguments.names or sorted(SIZES)
    try:
        usual = {name: axes_of(name) for name in names}
    except ValueError as error:
        raise UserError(str(error)) from None
    if arguments.action == "list":
        for name, axes in usual.items():
            print(f"{name:16} {', '.join([f'{axis}={size}' for axis, size in axes.items()])}")
        return 0
    if not arguments.max_time > 0:
        raise UserError(f"--max-time must be positive, got {arguments.max_time:g}")
    axes = dict([axis_of(text) for text in arguments.axis])
    if unknown := [axis for axis in axes if not any(axis in known for known in usual.values())]:
        known = sorted({axis for each in usual.values() for axis in each})
        raise UserError(f"none of {', '.join(names)} has an axis {unknown[0]}: expected some of {', '.join(known)}")
    dtypes, tables = words(arguments.dtype, "--dtype", DTYPES), words(arguments.kernels, "--kernels", KERNELS)
    roofline, rows = Roofline(), []
    for name in names:
        for sizes in combinations({axis: axes[axis] for axis in usual[name] if axis in axes}):
            for dtype in dtypes:
                for table in tables:
                    with kernels_for("cpu", table):
                        try:
                            case, function = workload(name, dtype, **sizes), function_of(name, **sizes)
                        except ValueError as error:
                            raise UserError(str(error)) from None
                        row = measure(
                            case,
                            function,
                            table,
                            roofline=roofline,
                            max_time=arguments.max_time,
                            cold=not arguments.no_cold,
                        )
                    print(row, flush=True)
                    rows.append(row)
                    save(arguments.json, rows, roofline)  # after every row: a later one that dies takes nothing with it
    return 1 if any(row.refused for row in rows) else 0


DTYPES = ("float32", "float64", "float16")
KERNELS = ("auto", "reference", "native", "emulated")


def words(text: str, option: str, known: tuple[str, ...]) -> list[str]:
    """The words of a list with commas; UserError for one that is not known."""
    found = text.split(",")
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


def save(path: Path | None, rows: list[Any], roofline: Any) -> None:
    """What is known so far, as JSON."""
    from tinygrad_lm.bench import environment

    if path is None:
        return
    document = {
        "schema": "tinygrad_lm rows 1",
        "environment": environment(),
        "roofline": roofline.record(),
        "rows": [row.record() for row in rows],
    }
    text = json.dumps(document, indent=1) + "\n"
    try:
        path.write_text(text)
    except OSError as error:
        raise UserError(f"--json: {path} cannot be written: {error.strerror}") from None
