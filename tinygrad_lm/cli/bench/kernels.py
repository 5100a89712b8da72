"""tinygrad-lm bench kernels: the CUDA kernels, and what they take on a GPU, whether or not there is one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tinygrad_lm.data.errors import UserError, nearest

HELP = "list the CUDA kernels; --static: what each takes of a GPU, without one"
DESCRIPTION = """The CUDA kernels by operation: every rung, its file, and the dtypes that it serves.

--static compiles them and launches nothing: registers, shared memory and spilled bytes by the compiler, how much of a
multiprocessor's warps can be there at once, and the least time that the roofline of a GPU allows on the usual sizes."""
EPILOG = """examples:
  tinygrad-lm bench kernels
  tinygrad-lm bench kernels softmax matmul --static --gpu H200
  tinygrad-lm bench kernels --static --arch sm_90 --json card.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="operations (all)")
    parser.add_argument("--static", action="store_true", help="compile them, and say what they take")
    parser.add_argument("--arch", default="sm_80,sm_90", metavar="A,A", help="architectures (sm_80,sm_90)")
    parser.add_argument("--gpu", default="H200", metavar="NAME", help="whose roofline: A100, H100 or H200 (H200)")
    parser.add_argument("--dtype", default="float32", metavar="D", help="of the arrays (float32)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.backend import build, launch
    from tinygrad_lm.bench import document, save, static

    for name in arguments.names:
        if name not in launch.LADDERS:
            raise UserError(f"no CUDA kernel computes {name!r}; {nearest(name, launch.LADDERS)}")
    if not arguments.static:
        for name in arguments.names or launch.LADDERS:
            for word, rung in launch.LADDERS[name].items():
                print(f"{name:20} {word:16} {rung.file:28} {', '.join(rung.dtypes)}")
        return 0
    if arguments.gpu not in static.GPUS:
        raise UserError(f"--gpu {arguments.gpu}: expected one of {', '.join(static.GPUS)}")
    if arguments.dtype not in launch.common.FLOATS:
        raise UserError(f"--dtype {arguments.dtype}: expected one of {', '.join(launch.common.FLOATS)}")
    architectures = arguments.arch.split(",")
    if unknown := [a for a in architectures if a not in static.SHARED]:
        raise UserError(f"--arch {unknown[0]}: expected some of {', '.join(static.SHARED)}")
    names = [name for name in arguments.names if name in static.SIZES]
    if arguments.names and not names:
        raise UserError(f"{arguments.names[0]} is launched with the operation whose derivative it is: name that one")
    try:
        rows = static.cards(names, architectures, arguments.gpu, arguments.dtype)
    except build.BuildFailed as failure:
        raise UserError(str(failure)) from None
    head = ("registers", "spilled", "shared", "threads", "occupancy", "MB", "FLOP/B", "least us")
    columns = " ".join(f"{word:>9}" for word in head)
    print(f"{'kernel':38} {'arch':6} {columns}   ({static.compiler()}; {arguments.gpu})")
    for row in rows:
        words = [
            *(str(row[key]) for key in ("registers", "spills")),
            str(row["shared"] + row["dynamic"]),
            str(row["threads"]),
            f"{row['occupancy']:.0%}",
            f"{row['bytes'] / 1e6:.2f}",
            "-" if row["intensity"] is None else f"{row['intensity']:.1f}",
            f"{row['seconds'] * 1e6:.2f}",
        ]
        print(f"{row['kernel']:38} {row['architecture']:6} {' '.join(f'{word:>9}' for word in words)}")
    if arguments.json:
        save(arguments.json, document(kernels=rows))
        print(f"written: {arguments.json}", file=sys.stderr)
    return 1 if any(row["spills"] for row in rows) else 0
