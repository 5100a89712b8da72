"""tinygrad-lm bench list: what can be timed, and on which sizes."""

from __future__ import annotations

import argparse

from tinygrad_lm.cli.bench.common import usual_axes

HELP = "name the workloads and their sizes"
DESCRIPTION = "The operations that can be timed, each with the sizes that it is timed on unless --axis says otherwise."
EPILOG = """examples:
  tinygrad-lm bench list
  tinygrad-lm bench list matmul attention"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="operations (all)")


def run(arguments: argparse.Namespace) -> int:
    for name, axes in usual_axes(arguments.names).items():
        print(f"{name:16} {', '.join([f'{axis}={size}' for axis, size in axes.items()])}")
    return 0
