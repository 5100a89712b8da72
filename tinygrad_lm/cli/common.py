"""Options that several verbs share."""

from __future__ import annotations

import argparse
import json
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["add_computing", "add_json", "computing", "print_json"]


def add_computing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where arrays live (cpu)")
    parser.add_argument(
        "--kernels",
        choices=("auto", "reference", "native", "emulated", "cuda"),
        default="auto",
        help="which kernels compute (auto)",
    )


def computing(arguments: argparse.Namespace) -> AbstractContextManager[Any]:
    """Within the block the kernels that the command line names compute."""
    from tinygrad_lm.train.trainer import kernels_for

    return kernels_for(arguments.device, arguments.kernels)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")


def print_json(values: Any) -> None:
    print(json.dumps(values, indent=2, ensure_ascii=False))
