"""Write docs/operations.md from the operations themselves: what there is, how to call it, and what is known of it.

python benchmarks/operations_page.py            # write it
python benchmarks/operations_page.py --check    # exit code 1 if the page says something else
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tinygrad_lm import ops

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/operations.md"
HEAD = """# Operations

Written by `python benchmarks/operations_page.py`. All are in `tinygrad_lm`, imported as `tg`; many are methods of a
Tensor too. Floating dtypes stay what they are, and integers never widen them.

**derivative by**: the inputs that gradients flow to, to any order; a dash where the results are integers or booleans.
**forward mode** and **complex step**: whether the derivative has this witness too, which shares nothing with the
backward rule. **kernels**: tables that have one; NumPy computes where there is none. A function that is made of others
has no entries here: its derivative is theirs. `help(tg.softmax)` shows the rest: formula, shapes, errors, source.
"""


def listed() -> Iterator[tuple[str, Callable]]:
    """(name to call it by, function) of all that is public."""
    for name in ops.__all__:
        if name != "linalg":
            yield name, getattr(ops, name)
    for name in ops.linalg.__all__:
        yield f"linalg.{name}", getattr(ops.linalg, name)


def row(name: str, function: Callable) -> str:
    spec = inspect.signature(function)
    plain = [p.replace(annotation=p.empty) for p in spec.parameters.values()]
    called = f"`{name}{spec.replace(parameters=plain, return_annotation=spec.empty)}`"
    cells = [called, summary(inspect.getdoc(function) or ""), *known(function)]
    return f"| {' | '.join([cell.replace('|', chr(92) + '|') for cell in cells])} |"


def summary(doc: str) -> str:
    """The first line, and what follows if the sentence goes on."""
    lines = doc.partition("\n\n")[0].splitlines()
    end = next((i for i, line in enumerate(lines) if line.endswith((".", ":"))), len(lines))
    return " ".join(lines[: end + 1])


def known(function: Callable) -> tuple[str, str, str, str]:
    op = getattr(function, "op", None)
    if op is None:
        return "", "", "", ""
    by = [n for n in op.inputs if op.rules.get(n)]
    files = {file.suffix for file in (ROOT / "kernels" / op.name).glob("*.c*")}
    kernels = ["native"] * (".cpp" in files) + ["emulated", "cuda"] * (".cu" in files)
    analytic = bool(by) and op.facts.get("analytic", False)
    return ", ".join(by) or "-", "yes" * bool(op.pushes), "yes" * analytic, ", ".join(kernels)


def page() -> str:
    rooms: dict[str, list[str]] = {}
    for name, function in listed():
        rooms.setdefault(function.__module__, []).append(row(name, function))
    lines = [HEAD]
    for module in sorted(rooms):
        place = module.rpartition(".")[2]
        about = (sys.modules[module].__doc__ or "").splitlines()[0]
        lines += [f"## [{place.replace('_', ' ')}](../tinygrad_lm/ops/{place}.py)", "", about, ""]
        lines += ["| operation | what it is | derivative by | forward mode | complex step | kernels |"]
        lines += ["|---|---|---|---|---|---|", *sorted(rooms[module]), ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if parser.parse_args().check:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
