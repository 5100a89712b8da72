"""tinygrad-lm bench run: rows, cold and hot, beside the roofline, and who is faster."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tinygrad_lm.cli.bench import common
from tinygrad_lm.data.errors import UserError

HELP = "time operations, cold and hot, by some tables of kernels and beside their peers"
DESCRIPTION = """Time operations.

A row shows the median and quartiles right after a call (hot) and with other things in the caches (cold), and which
share of the machine's own peak that is, measured in the same run.  With more than one table or peer, each is then
compared with the first: in pairs of neighbours, in processes of their own, until the answer is known."""
EPILOG = """exit code: 0 fine, 1 something was refused or is slower than the baseline, 2 wrong use, 3 could not decide

examples:
  tinygrad-lm bench run softmax --kernels native,reference --peers torch
  tinygrad-lm bench run matmul --axis M=128:1024:*2 --dtype float32,float64 --json rows.json
  tinygrad-lm bench run softmax --baseline rows.json --fail-if-slower 5%"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="operations (all)")
    common.add_sizes(parser)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where (cpu)")
    parser.add_argument("--kernels", default="auto", metavar="K,K", help="auto, reference, native, cuda (auto)")
    parser.add_argument("--rung", metavar="OP=RUNG,..", help="rungs of CUDA kernels, where not the best (matmul=tiled)")
    parser.add_argument("--peers", default="", metavar="P,P", help="numpy, torch, jax, as they are installed here")
    parser.add_argument("--max-time", type=float, default=1.0, metavar="S", help="seconds for each row (1)")
    parser.add_argument("--no-cold", action="store_true", help="hot times only")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="an earlier --json FILE: is anything slower now?")
    parser.add_argument("--any-machine", action="store_true", help="compare with a baseline of another machine, too")
    common.add_outputs(parser)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.bench import Roofline, document, environment
    from tinygrad_lm.bench.peers import PEERS
    from tinygrad_lm.bench.sides import TABLES, side_of

    common.positive(arguments, "max-time", "threads")
    on_cpu = arguments.device == "cpu"
    tables = common.words(arguments.kernels, "--kernels", TABLES if on_cpu else ("auto", "reference", "cuda"))
    peers = common.words(arguments.peers, "--peers", tuple(PEERS))
    if peers and not on_cpu:
        raise UserError("--peers: peers are timed on the CPU; leave out --device cuda")
    if arguments.fail_if_slower is not None and arguments.baseline is None:
        raise UserError("--fail-if-slower needs --baseline FILE, or use tinygrad-lm bench compare")
    cases = common.cases(arguments.names, arguments)
    force_rungs(arguments.rung)
    try:
        sides = {word: side_of(word, arguments.threads) for word in [*tables, *peers]} if on_cpu else {}
    except ValueError as error:
        raise UserError(str(error)) from None
    before = None
    if arguments.baseline is not None:
        before = common.read(arguments.baseline, "--baseline")
        common.alike({"environment": environment()}, before, arguments.any_machine)

    common.mind_the_load()
    arguments.seed = common.seed_of(arguments)
    roofline: Any = Roofline(arguments.device)
    rows: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []

    def note(row: dict[str, Any], said: str) -> None:
        print(said, flush=True)
        rows.append(row)
        write()

    def write() -> None:  # after every row: what comes later takes nothing with it
        common.write(
            arguments, document(rows=rows, comparisons=comparisons, roofline=roofline.record(), seed=arguments.seed)
        )

    for name, axes, dtype in cases:
        for table in tables:
            note(*row_of_table(name, axes, dtype, table, roofline, arguments))
        for word in peers:
            note(*row_of_peer(name, axes, dtype, word, arguments))
        fine = {row["variant"] for row in rows[-len(tables) - len(peers) :] if not row["refused"]}
        for other in [word for word in [*tables[1:], *peers] if on_cpu and {word, tables[0]} <= fine]:
            found = paired(sides[other], sides[tables[0]], name, axes, dtype, arguments)
            print(f"{common.called(name, axes, dtype)}: {found}", flush=True)
            comparisons.append(
                found.record() | {"case": name, "axes": axes, "dtype": dtype, "device": arguments.device}
            )
            write()
    slower = (
        against(before, rows, 0.05 if arguments.fail_if_slower is None else arguments.fail_if_slower) if before else []
    )
    return common.exit_code(slower, any(row["refused"] for row in rows))


def force_rungs(text: str | None) -> None:
    """Let every process use these rungs; UserError for one that does not exist."""
    from tinygrad_lm.backend import launch

    if text:
        try:
            launch.table(lambda *_: None, launch.forced_rungs(text))
        except ValueError as error:
            raise UserError(f"--rung: {error}") from None
        os.environ["TINYGRAD_LM_RUNGS"] = text


def row_of_table(
    name: str, axes: dict[str, Any], dtype: str, table: str, roofline: Any, arguments: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    from tinygrad_lm.bench import function_of, measure, workload
    from tinygrad_lm.train.trainer import kernels_for

    options = {"max_time": arguments.max_time, "cold": not arguments.no_cold, "seed": arguments.seed}
    with kernels_for(arguments.device, table):
        row = measure(
            workload(name, dtype, **axes),
            function_of(name, **axes),
            table,
            device=arguments.device,
            roofline=roofline,
            **options,
        )
    return row.record(), str(row)


def row_of_peer(
    name: str, axes: dict[str, Any], dtype: str, word: str, arguments: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    """Measured in a process of its own: two libraries' threads would wait for work on each other's cores."""
    from tinygrad_lm.bench import Row, Worker, workload
    from tinygrad_lm.bench.sides import a_row, side_of

    options = {"max_time": arguments.max_time, "cold": not arguments.no_cold, "seed": arguments.seed}
    try:
        env = side_of(word, arguments.threads).environment()
        with Worker(a_row, word, name, dtype, axes, arguments.threads or 0, options, env=env) as worker:
            return worker()
    except RuntimeError as error:
        row = Row(workload(name, dtype, **axes), word, refused=str(error).strip().splitlines()[-1])
        return row.record(), str(row)


def paired(b: Any, a: Any, name: str, axes: dict[str, Any], dtype: str, arguments: argparse.Namespace) -> Any:
    from tinygrad_lm.bench import compare

    with ExitStack() as stack:
        of_b, of_a = (stack.enter_context(side.start(name, dtype, axes)) for side in (b, a))
        options = {"max_time": arguments.max_time, "seed": arguments.seed}
        return compare(of_b, of_a, rounds=8, names=(b.name, a.name), **options)


def against(before: dict[str, Any], rows: list[dict[str, Any]], allowed: float) -> list[bool | None]:
    """What each row says beside the baseline's; rows without a counterpart are named."""
    from tinygrad_lm.bench.baseline import slower, unpaired

    known = {common.key_of(row): row for row in before["rows"] if row.get("timing")}
    answers = []
    print("\nbeside the baseline, taken at another time: the machine's drift is in the figures")
    for row in [row for row in rows if row["timing"]]:
        title = f"{common.called(row['case'], row['axes'], row['dtype'])} {row['variant']}"
        earlier = known.get(common.key_of(row))
        if earlier is None:
            print(f"{title}: the baseline has no such row")
            continue
        found = unpaired(row["timing"]["hot_s"], earlier["timing"]["hot_s"], ("now", "before"))
        answers.append(slower(found, allowed))
        word = {True: "slower than allowed", False: "fine", None: "could not decide"}[answers[-1]]
        low, high = found.interval
        print(f"{title}: {found.ratio:.3f} times the baseline's time ({low:.3f} to {high:.3f}): {word}")
    if not answers:
        raise UserError("--baseline: it has none of these rows")
    return answers
