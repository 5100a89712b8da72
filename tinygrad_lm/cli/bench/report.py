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
    from tinygrad_lm.bench.page import joined, report

    wanted = {
        "csv": tables.csv_of,
        "md": tables.markdown_of,
        "pytest_benchmark": lambda found: json.dumps(tables.pytest_benchmark_of(found), indent=1),
        "pyperf": lambda found: json.dumps(tables.pyperf_of(found), indent=1),
    }
    if not arguments.out and not any(getattr(arguments, option) for option in wanted):
        raise UserError("say what to write: --out FOLDER, --csv, --md, --pytest-benchmark or --pyperf FILE")
    names = [path.name for path in arguments.files]
    names = [name if names.count(name) == 1 else str(path) for name, path in zip(names, arguments.files, strict=True)]
    documents = {name: common.read(path) for name, path in zip(names, arguments.files, strict=True)}
    first, *others = documents.values()
    for other in others:
        common.alike(first, other, arguments.any_machine)
    for option, text_of in wanted.items():
        if path := getattr(arguments, option):
            try:
                path.write_text(text_of(joined(documents)), encoding="utf-8")
            except (OSError, ValueError) as error:
                said = error.strerror if isinstance(error, OSError) else error
                raise UserError(f"--{option.replace('_', '-')}: {path} cannot be written: {said}") from None
            print(path)
    if arguments.out:
        try:
            written = report(documents, arguments.out)
        except OSError as error:
            raise UserError(f"--out: {error.filename} cannot be written: {error.strerror}") from None
        for path in written:
            print(path)
    return common.FINE
