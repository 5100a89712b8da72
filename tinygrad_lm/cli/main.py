"""Parses the command line, calls the verb, and turns what went wrong into one line and an exit code.

Exit codes: 0 good, 1 failed, 2 wrong use; 128 + n when signal n stopped it.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from tinygrad_lm import __version__
from tinygrad_lm.backend import Unavailable
from tinygrad_lm.cli import bench, check, doctor, evaluate, info, sample, train
from tinygrad_lm.data.errors import UserError, nearest

__all__ = ["main"]

VERBS = {
    "train": train,
    "sample": sample,
    "eval": evaluate,
    "info": info,
    "check": check,
    "bench": bench,
    "doctor": doctor,
}


class Parser(argparse.ArgumentParser):
    """Wrong use is one line, raised, instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def build_parser() -> tuple[Parser, dict[str, Parser]]:
    top = Parser(
        prog="tinygrad-lm",
        description="Train small language models and use them; check derivatives; time operations.",
        epilog="example: tinygrad-lm train --data book.txt",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    parsers = {}
    for name, module in VERBS.items():
        parsers[name] = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(parsers[name])
    return top, parsers


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    top, parsers = build_parser()
    arguments, unknown = top.parse_known_args(argv)
    if unknown:
        verb = getattr(arguments, "parser", parsers[arguments.verb])
        if unknown[0].startswith("-"):
            name = unknown[0].strip("-").partition("=")[0]
            options = [option[2:] for option in verb._option_string_actions if option.startswith("--")]
            verb.error(f"unknown option {unknown[0]}; {nearest(name, options, '--')}")
        verb.error(f"unexpected argument {unknown[0]!r}")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    forgive_output()
    try:
        arguments = parse(argv)
        code: int = VERBS[arguments.verb].run(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        return fail(error, error.exit_code)
    except Unavailable as error:
        return fail(error, 1)
    except MemoryError:
        return fail("out of memory; a smaller --batch, --context or --width needs less", 1)
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more while it closes: give it nowhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return fail(f"{error.filename or 'standard output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return fail("stopped", 130)
    except SystemExit as end:  # --help
        return int(end.code or 0)


def forgive_output() -> None:
    """A standard output that was closed swallows what is printed; a character that its encoding lacks becomes a "?"."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def fail(message: Any, code: int) -> int:
    print(f"tinygrad-lm: {' '.join(str(message).split())}", file=sys.stderr)
    return code
