"""Options that several verbs share."""

from __future__ import annotations

import argparse
import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tinygrad_lm.backend import use_kernels

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
    return nullcontext() if arguments.kernels == "auto" else use_kernels(arguments.kernels, arguments.device)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")


def print_json(values: Any) -> None:
    print(json.dumps(values, indent=2, ensure_ascii=False))
