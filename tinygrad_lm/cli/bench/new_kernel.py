"""tinygrad-lm bench new-kernel: two files to begin a kernel with."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinygrad_lm.cli.bench.common import FINE
from tinygrad_lm.data.errors import UserError

HELP = "write a CUDA kernel to begin with, and a script that checks and times it"
DESCRIPTION = """Write NAME.cu, a CUDA kernel, and NAME.py, which compares it with float64 (on a GPU; without one, under
the emulator) and then times it beside the reference.  What is there already is left as it is."""
EPILOG = """examples:
  tinygrad-lm bench new-kernel my_relu
  tinygrad-lm bench new-kernel my_softmax --op softmax --out kernels_of_mine"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the kernel and its files, an identifier")
    parser.add_argument("--op", default="relu", metavar="OP", help="what it computes, see `bench list` (relu)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write them (here)")


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.bench.new_kernel import new_kernel

    try:
        source, script = new_kernel(arguments.name, arguments.op, arguments.out)
    except ValueError as error:
        raise UserError(f"new-kernel: {error}") from None
    except OSError as error:
        said = error if error.errno is None else f"{error.filename}: {error.strerror}"
        raise UserError(f"new-kernel: {said}") from None
    print(f"{source}\n{script}\nnow: python {script}")
    return FINE
