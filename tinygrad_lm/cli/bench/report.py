"""tinygrad-lm bench report: pictures and a page of result files, and the layouts of other tools."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tinygrad_lm.cli.bench import common
from tinygrad_lm.data.errors import UserError

HELP = "draw pictures and a page of result files, or write them as other tools read them"
DESCRIPTION = """Draw what result files hold: the roofline, times over sizes, who is faster, how far each rung comes;
as SVG and PNG, and as one HTML page that needs no network.  Or write them as other tools read them."""
EPILOG = """examples:
  tinygrad-lm bench report rows.json --out report
  tinygrad-lm bench report rows.json --csv rows.csv --pyperf pyperf.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what --json wrote")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write pictures and report.html there")
    parser.add_argument("--any-machine", action="store_true", help="show files of unlike machines together, too")
    for name, what in (("csv", "as CSV"), ("md", "as Markdown"), ("pytest-benchmark", "for it"), ("pyperf", "for it")):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write the rows there, {what}")


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.bench import tables
    from tinygrad_lm.bench.page import report

    wanted = {
        "csv": tables.csv_of,
        "md": tables.markdown_of,
        "pytest_benchmark": lambda found: json.dumps(tables.pytest_benchmark_of(found), indent=1),
        "pyperf": lambda found: json.dumps(tables.pyperf_of(found), indent=1),
    }
    if not arguments.out and not any(getattr(arguments, option) for option in wanted):
        raise UserError("say what to write: --out FOLDER, --csv, --md, --pytest-benchmark or --pyperf FILE")
    documents = {path.name: common.read(path) for path in arguments.files}
    first, *others = documents.values()
    for other in others:
        common.alike(first, other, arguments.any_machine)
    together = {**first, **{key: [r for d in documents.values() for r in d[key]] for key in ("rows", "comparisons")}}
    for option, text_of in wanted.items():
        if path := getattr(arguments, option):
            path.write_text(text_of(together), encoding="utf-8")
            print(path)
    if arguments.out:
        for path in report(documents, arguments.out):
            print(path)
    return common.FINE
