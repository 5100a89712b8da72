"""tinygrad-lm bench compare: which of two is faster, whatever they are."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tinygrad_lm.cli.bench import common
from tinygrad_lm.data.errors import UserError

HELP = "compare two commits, tables of kernels, libraries, functions of yours, or result files"
DESCRIPTION = """Compare B with A, as before and after, and say FASTER, SLOWER, SAME or UNSURE.

A and B are each one of these, tried in this order:
  FILE.py:function   a function of yours; with a WORKLOAD it is called with its inputs, else without arguments
  a kernel table     auto, reference, native, emulated
  a peer             numpy, torch, jax
  a commit           HEAD~3, a tag, a hash; "." is the working tree
or both are result files that `bench run --json` wrote.

Each runs in a process of its own and must compute what the workload's float64 reference does, before and after.  Their
samples are taken in turn, and only the ratio within neighbouring pairs counts."""
EPILOG = """exit code: 0 fine, 1 B is slower than A (or than allowed), 2 wrong use, 3 could not decide

examples:
  tinygrad-lm bench compare HEAD~3 . softmax matmul
  tinygrad-lm bench compare native torch softmax --axis rows=64:4096:*8
  tinygrad-lm bench compare mine.py:old mine.py:new --max-time 20
  tinygrad-lm bench compare before.json after.json --fail-if-slower 5%"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="before")
    parser.add_argument("b", metavar="B", help="after")
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help="operations; see tinygrad-lm bench list")
    common.add_sizes(parser)
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="the least rounds of four samples (25)")
    parser.add_argument("--max-time", type=float, default=10.0, metavar="S", help="seconds for each, at most (10)")
    parser.add_argument("--any-machine", action="store_true", help="compare files of unlike machines, too")
    common.add_outputs(parser)


def run(arguments: argparse.Namespace) -> int:
    common.positive(arguments, "max-time", "threads")
    if arguments.rounds < 4:
        raise UserError(f"--rounds must be at least 4, got {arguments.rounds}")
    if arguments.a.endswith(".json") and arguments.b.endswith(".json"):
        return files(arguments)
    from tinygrad_lm.bench import document
    from tinygrad_lm.bench.sides import side_of

    try:
        a, b = (side_of(word, arguments.threads) for word in (arguments.a, arguments.b))
    except ValueError as error:
        raise UserError(str(error)) from None
    if not arguments.names and {a.kind, b.kind} != {"function"}:
        raise UserError("name at least one WORKLOAD (`tinygrad-lm bench list` has them)")
    common.mind_the_load()
    arguments.seed = common.seed_of(arguments)
    for text in dict.fromkeys(a.notes + b.notes):
        print(text)
    todo: list[tuple[str | None, dict[str, int], str]] = [(None, {}, "")]
    if arguments.names:
        todo = [*common.cases(arguments.names, arguments)]
    answers, comparisons, failed = [], [], False
    for name, axes, dtype in todo:
        title = common.called(name, axes, dtype) if name else "called without arguments, so that no result is checked"
        found = one(a, b, name, axes, dtype, arguments)
        if isinstance(found, str):
            print(f"{title}: REFUSED, {found}", flush=True)
            failed = True
            continue
        print(f"{title}: {found}", flush=True)
        answers.append(answer(found, arguments.fail_if_slower))
        comparisons.append(found.record() | {"case": name or "", "axes": axes, "dtype": dtype, "device": "cpu"})
        common.write(arguments, document(comparisons=comparisons, seed=arguments.seed))
    return common.exit_code(answers, failed)


def one(a: Any, b: Any, name: str | None, axes: dict[str, Any], dtype: str, arguments: argparse.Namespace) -> Any:
    """The comparison of b with a, or why there is none."""
    from tinygrad_lm.bench import compare, workload
    from tinygrad_lm.testing.gate import Refused, verify

    try:
        with ExitStack() as stack:
            workers = {side: stack.enter_context(side.start(name, dtype, axes)) for side in (a, b)}
            names = (b.name, a.name)

            def check() -> None:
                if name is None:
                    return
                case = workload(name, dtype, **axes)
                for side, worker in workers.items():
                    what = f"{name} of {side.name}"
                    verify(worker, case.reference, case.draw, outliers=case.outliers, seed=arguments.seed, name=what)

            check()
            both = (workers[b], workers[a])
            options = {"rounds": arguments.rounds, "max_time": arguments.max_time, "seed": arguments.seed}
            found = compare(*both, names=names, **options)
            check()
            return found
    except Refused as error:
        return str(error)
    except (RuntimeError, ValueError) as error:  # a side that could not be built, failed or died
        return str(error).strip().splitlines()[-1]


def answer(found: Any, allowed: float | None) -> bool | None:
    """Whether b is slower than a, or than allowed; None where that is not sure."""
    from tinygrad_lm.bench.baseline import slower

    if allowed is not None:
        return slower(found, allowed)
    return {"SLOWER": True, "UNSURE": None}.get(str(found.verdict), False)


def files(arguments: argparse.Namespace) -> int:
    """Two result files: rows that both have, taken apart."""
    from tinygrad_lm.bench import document
    from tinygrad_lm.bench.baseline import unpaired

    if arguments.names or arguments.axis:
        raise UserError("result files are compared as they are: no WORKLOAD and no --axis")
    a, b = (common.read(Path(word)) for word in (arguments.a, arguments.b))
    common.alike(a, b, arguments.any_machine)
    before = {common.key_of(row): row for row in a["rows"] if row.get("timing")}
    comparisons, answers = [], []
    for row in [row for row in b["rows"] if row.get("timing")]:
        title = f"{common.called(row['case'], row['axes'], row['dtype'])} {row['variant']}"
        earlier = before.pop(common.key_of(row), None)
        if earlier is None:
            print(f"{title}: only in {arguments.b}")
            continue
        found = unpaired(row["timing"]["hot_s"], earlier["timing"]["hot_s"], (arguments.b, arguments.a))
        print(f"{title}: {found}")
        answers.append(answer(found, arguments.fail_if_slower))
        what = {name: row[name] for name in ("case", "axes", "dtype")} | {"device": row.get("device", "cpu")}
        comparisons.append(found.record() | what)
    for row in before.values():
        print(f"{common.called(row['case'], row['axes'], row['dtype'])} {row['variant']}: only in {arguments.a}")
    if not comparisons:
        raise UserError(f"{arguments.a} and {arguments.b} have no row in common")
    common.write(arguments, document(comparisons=comparisons))
    return common.exit_code(answers)
