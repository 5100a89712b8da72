"""Every operation, by every table of kernels that this machine has, and by every rung of a ladder.

    python benchmarks/kernels.py [--only NAME ...] [--backward] [--peers torch] [--device cuda] [--json FILE]

A row each: checked against float64, hot and cold, beside the roofline measured in the same run.  Where an operation
has a native kernel, and for each peer, a comparison with the reference follows, in pairs and in processes of their own.
The file is written after every row.  Which operations are not timed, and why, is printed at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.progress import track

import tinygrad_lm as tg
from tinygrad_lm import bench
from tinygrad_lm.backend import Unavailable, get_backend, launch, load_table
from tinygrad_lm.bench.peers import PEERS
from tinygrad_lm.bench.sides import a_row, side_of
from tinygrad_lm.bench.workloads import EXCUSED, SIZES, differentiable
from tinygrad_lm.core import OPS


def tables(device: str) -> dict[str, dict[str, Any]]:
    """The tables of kernels that load here, by name; for a GPU one for each lower rung as well."""
    backend, found = get_backend(device), {"reference": {}}
    word = {"cpu": "native", "cuda": "cuda"}[device]
    try:
        found[word] = dict(load_table(word, backend))
    except Unavailable as reason:
        print(f"{word}: {reason}", file=sys.stderr)
    if "cuda" in found:
        from tinygrad_lm.backend import cuda

        for name, ladder in launch.LADDERS.items():
            for rung in list(ladder)[:-1]:
                found[f"cuda {rung}"] = {name: cuda.load({name: rung})[name]}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these operations (all that are timed)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (cpu)")
    parser.add_argument("--backward", action="store_true", help="each with its derivative, too")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=[], metavar="PEER", help="numpy, torch, jax, too")
    parser.add_argument("--max-time", type=float, default=0.3, metavar="S", help="seconds for each row (0.3)")
    parser.add_argument("--json", metavar="FILE", help="write rows, comparisons and environment there")
    options = parser.parse_args()
    names = options.only or list(SIZES)
    if unknown := [name for name in names if name not in SIZES]:
        parser.error(f"{unknown[0]}: {EXCUSED.get(unknown[0], 'no operation of that name')}")
    if not options.max_time > 0:
        parser.error(f"--max-time must be positive, got {options.max_time:g}")
    if options.peers and options.device != "cpu":
        parser.error("--peers are timed on the CPU")
    bench.require(*options.peers)
    try:
        known = tables(options.device)
    except Unavailable as reason:
        parser.error(str(reason))

    roofline, timing = bench.Roofline(options.device), {"max_time": options.max_time}
    rows: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    failed = 0  # of the peers' rows

    def save(**more: Any) -> None:
        if options.json:
            found = {"rows": rows, "comparisons": comparisons, "roofline": roofline.record()}
            bench.save(options.json, bench.document(**found, **more))

    def note(record: dict[str, Any], said: str) -> None:
        print(said, flush=True)
        rows.append(record)
        save()

    def compared(name: str, word: str) -> None:
        with ExitStack() as stack:
            a, b = (stack.enter_context(side_of(side).start(name)) for side in (word, "reference"))
            found = bench.compare(a, b, rounds=8, names=(word, "reference"), max_time=options.max_time)
        axes = dict(bench.workload(name).axes)
        print(f"{name}: {found}", flush=True)
        comparisons.append(found.record() | {"case": name, "axes": axes, "dtype": "float32", "device": "cpu"})
        save()

    console = Console(stderr=True)
    for name in track(names, "operations", console=console, disable=not console.is_terminal):
        for word, table in known.items():
            if table and name not in table:
                continue  # this table computes it as the reference does
            for backward in (False, True)[: 1 + (options.backward and differentiable(name))]:
                with tg.use_kernels(table, options.device):
                    case, function = bench.workload(name, backward=backward), bench.function_of(name, backward=backward)
                    row = bench.measure(case, function, word, device=options.device, roofline=roofline, **timing)
                note(row.record(), str(row))
        if options.device == "cpu" and name in known.get("native", ()):
            compared(name, "native")
        for word in options.peers:
            try:
                with bench.Worker(a_row, word, name, "float32", {}, 0, timing) as worker:
                    record, said = worker()
            except RuntimeError as error:
                why = str(error).strip().splitlines()[-1]
                print(f"{name} {word}: {why}", flush=True)
                failed += "has no counterpart" not in why
                continue
            note(record, said)
            failed += bool(record["refused"])
            if not record["refused"]:
                compared(name, word)
    missing = set(OPS) - set(SIZES) - set(EXCUSED)
    ours = [row for row in rows if row["variant"] not in PEERS]
    figures = [
        bench.Figure("operations that are refused", len({row["case"] for row in ours if row["refused"]}), 0),
        bench.Figure("operations neither timed nor excused", len(missing), 0),
        *[bench.Figure("peers' rows that failed or are refused", failed, 0)] * bool(options.peers),
        bench.Figure("operations that are timed", len({row["case"] for row in ours if row["timing"]})),
    ]
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for name, why in EXCUSED.items():
        reasons[why].append(name)
    print("\nnot timed:\n" + "\n".join([f"  {', '.join(found)}: {why}" for why, found in reasons.items()]))
    code = bench.report(figures)
    save(figures=[vars(f) | {"passed": f.passed} for f in figures])
    return code


if __name__ == "__main__":
    raise SystemExit(main())
