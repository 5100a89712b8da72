"""tinygrad-lm bench: time operations, compare them, and believe it.  One file per action."""

from __future__ import annotations

import argparse

from tinygrad_lm.cli.bench import compare, kernels, listing, new_kernel, report
from tinygrad_lm.cli.bench import run as run_action

HELP = "time operations and compare them: checked first, paired, beside the machine's roofline"
DESCRIPTION = """Time operations of this library, of its peers and of your own, so that the answer can be trusted.

Each function is called with inputs that it has never seen, some of them large, and compared with float64 before its
time is taken and once more afterwards: what is not right has no time."""
EPILOG = """exit code: 0 fine, 1 slower or refused, 2 wrong use, 3 could not decide

examples:
  tinygrad-lm bench list softmax
  tinygrad-lm bench run softmax --kernels reference,native
  tinygrad-lm bench compare HEAD~3 HEAD softmax
`tinygrad-lm bench ACTION --help` explains each"""

ACTIONS = {
    "list": listing,
    "run": run_action,
    "compare": compare,
    "report": report,
    "kernels": kernels,
    "new-kernel": new_kernel,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    for name, module in ACTIONS.items():
        action = actions.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(action)
        action.set_defaults(parser=action)


def run(arguments: argparse.Namespace) -> int:
    return ACTIONS[arguments.action].run(arguments)
