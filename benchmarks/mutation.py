"""Break the source of core/ and ops/ one small piece at a time, and see whether the tests notice.

    python benchmarks/mutation.py --sample 200              # the 200 mutants that this commit draws
    python benchmarks/mutation.py --json FILE               # all of them
    python benchmarks/mutation.py --only "products.py" ...  # those whose name contains a text

A mutant is one changed piece of a function's body: an operator swapped, a constant moved, a condition turned round, a
keyword or a statement left out, a result replaced by None.  Text that only becomes a message is left alone.

How it is fast: the tests are collected once, each is run once under `coverage` to learn which lines it reaches, and a
mutant is then a fork of this process in which the one function has another code object.  The fork runs the tests that
reach the changed line, quickest first, and ends at the first failure.

A mutant that no test notices has survived.  `mutation_survivors.toml` beside this file may name it with the reason why
it is the same function; everything else that survives counts against the score.  Exit code 1 if the score is below
95 %; and, where all mutants were tried, if a survivor has neither a reason nor a test.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import hashlib
import os
import pickle
import random
import resource
import select
import signal
import subprocess
import sys
import time
import tomllib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import pytest
from rich.progress import track

import tinygrad_lm
from tinygrad_lm import OPS, Tensor, bench
from tinygrad_lm.ops import methods

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(tinygrad_lm.__file__).resolve().parent
FILES = sorted([*(PACKAGE / "core").glob("*.py"), *(PACKAGE / "ops").glob("*.py")])
FILES.remove(PACKAGE / "ops/samples.py")  # what operations are tried on, not what they do
TESTS = ("tests/core", "tests/ops", "tests/test_tiny.py")
SURVIVORS = Path(__file__).with_name("mutation_survivors.toml")
MISSED = 0.05  # the share of mutants, without those that are the same function, that may go unnoticed
BUDGET = 20  # seconds of tests for one mutant; what was not noticed by then has survived
HANGS = 30  # seconds for one test; past that the mutant hangs, and counts as noticed
MEMORY = 4 << 30
ALL = ("every test", 0)  # a line that all tests reach


# ---------------------------------------------------------------------------------------------------- mutants


@dataclass(frozen=True)
class Mutant:
    """One change: `name` survives edits elsewhere in the file (function, change, which of several such changes)."""

    name: str
    file: Path
    line: int
    at: int  # the number of the changed node in a walk of the file's tree
    change: int  # which of the changes of that node


SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may stand in the place of this one."""
    new: Any = copy.copy(node)
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        new.op = SWAPS[type(node.op)]()
        yield new
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        new.ops = [SWAPS[type(node.ops[0])]()]
        yield new
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        new.value = not node.value
        yield new
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        new.value = node.value + 1
        yield new
    elif isinstance(node, (ast.If, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
        new.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        yield new
    elif isinstance(node, ast.Return) and node.value is not None and not is_none(node.value):
        new.value = ast.copy_location(ast.Constant(None), node.value)
        yield new
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.copy_location(ast.Pass(), node)
    elif isinstance(node, ast.Call) and not isinstance(node.func, ast.Lambda):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict"):  # zip(strict=True) guards against ourselves
                less = copy.copy(new)
                less.keywords = node.keywords[:i] + node.keywords[i + 1 :]
                yield less
    if isinstance(node, ast.AugAssign):
        yield ast.copy_location(ast.Pass(), node)


def is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def names_in(*nodes: ast.AST) -> set[str]:
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def of_samples(tree: Any) -> set[str]:
    """The functions of a file that make samples: named by the facts samples= and kinks=, or used by such alone."""
    uses = {f.name: names_in(*f.body) for f in tree.body if isinstance(f, ast.FunctionDef)}
    facts = [k for f in tree.body for d in getattr(f, "decorator_list", ()) for k in getattr(d, "keywords", ())]
    of_facts = [names_in(k.value) for k in facts if k.arg in ("samples", "kinks")]
    makers = {name for name in uses if any(name in names for names in of_facts) or "case" in uses[name]}
    while True:
        behaviour = names_in(*[k.value for k in facts if k.arg not in ("samples", "kinks")])
        behaviour |= {name for f in uses if f not in makers for name in uses[f]}
        more = {name for f in makers for name in uses[f] if name in uses} - behaviour - makers
        if not more:
            return makers
        makers |= more


def left_alone(node: ast.AST) -> bool:
    """What is no behaviour: messages."""
    strict = isinstance(node, ast.keyword) and node.arg == "strict"
    return strict or isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert))


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """The children in which changes are looked for."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        if isinstance(node, (ast.FunctionDef, ast.Lambda)) and field == "args":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not left_alone(child):
                yield child


def mutants_of(file: Path) -> Iterator[Mutant]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    numbers = {id(n): i for i, n in enumerate(ast.walk(tree))}
    seen: dict[str, int] = {}
    data = of_samples(tree)

    def visit(node: ast.AST, where: str, inner: bool) -> Iterator[Mutant]:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            where = f"{where}.{called(node)}" if where else called(node)
        if inner:
            for i, new in enumerate(changes(node)):
                before, after = (" ".join(ast.unparse(n).split("\n")[0].split()) for n in (node, new))
                name = f"{file.parent.name}/{file.name}::{where}: `{before[:60]}` -> `{after[:60]}`"
                seen[name] = seen.get(name, 0) + 1
                name += f" #{seen[name]}" if seen[name] > 1 else ""
                yield Mutant(name, file, node.lineno, numbers[id(node)], i)  # type: ignore[attr-defined]
        for child in inside(node):
            if isinstance(child, ast.FunctionDef) and child.name in data:
                continue
            yield from visit(child, where, inner or isinstance(node, (ast.FunctionDef, ast.Lambda)))

    yield from visit(tree, "", False)


def called(node: Any) -> str:
    """The name of a function; rules, which are all called _, by their decorator."""
    return ast.unparse(node.decorator_list[0]) if node.name == "_" and node.decorator_list else node.name


def code_of(mutant: Mutant) -> types.CodeType:
    """The code of the whole file with the change in it."""
    tree = ast.parse(mutant.file.read_text(encoding="utf-8"))
    target = next(n for i, n in enumerate(ast.walk(tree)) if i == mutant.at)
    new = list(changes(target))[mutant.change]

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is target else self.generic_visit(node)

    return compile(ast.fix_missing_locations(Put().visit(tree)), str(mutant.file), "exec")


# ---------------------------------------------------------------------------------------------------- living functions


def functions_of(code: types.CodeType) -> Iterator[types.CodeType]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield const
            yield from functions_of(const)


def place(code: types.CodeType) -> tuple:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def living() -> dict[tuple, list[types.FunctionType]]:
    """Every function of the package that exists now, by where it was written."""
    found: dict[tuple, list[types.FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is types.FunctionType and thing.__code__.co_filename.startswith(str(PACKAGE)):
            found.setdefault(place(thing.__code__), []).append(thing)
    return found


def attach_again() -> None:
    """Take the operators and methods of ops/ from Tensor, and do again what importing did."""
    for name, thing in list(vars(Tensor).items()):
        if getattr(getattr(thing, "fget", thing), "__module__", "").startswith("tinygrad_lm.ops"):
            delattr(Tensor, name)
    methods.attach()


def put_in_place(mutant: Mutant, alive: dict[tuple, list[types.FunctionType]]) -> bool:
    """Give the living functions their changed code; False if no living function has changed."""
    changed = False
    for code in functions_of(code_of(mutant)):
        for function in alive.get(place(code), ()):
            if function.__code__ != code:
                function.__code__ = code
                changed = True
    attach_again()
    for op in OPS.values():
        op.resolved.clear()
        op.records.clear()
    return changed


# ---------------------------------------------------------------------------------------------------- running tests


class Tool:
    """A pytest plugin that replaces the loop over tests."""

    def __init__(self, mutants: list[Mutant], reasons: dict[str, str], jobs: int):
        self.mutants, self.reasons, self.jobs = mutants, reasons, jobs
        self.survived: list[Mutant] = []
        self.failed = "the collection of the tests"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            FAILED.append(report.longreprtext or "failed")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        halves = [range(i, len(items), self.jobs) for i in range(self.jobs)]
        reached: dict[tuple[str, int], list[tuple[float, int]]] = {}
        for _, half in in_parallel([lambda h=h: learn(items, h) for h in halves], self.jobs, "tests"):
            if isinstance(half, str):
                self.failed = half
                return True
            for key, tests in half.items():
                reached.setdefault(key, []).extend(tests)
        everything = sorted(reached.pop(ALL))  # for what runs when it is imported, or in a thread
        alive = living()
        jobs = []
        for m in self.mutants:
            own = f"tests/{m.file.parent.name}/"  # the tests of the same room first, quick ones before slow ones
            known = reached.get((str(m.file), m.line))
            found = sorted(known, key=lambda t: (own not in items[t[1]].nodeid, t)) if known else everything
            tests = [items[i] for _, i in found]
            jobs.append(lambda m=m, tests=tests: noticed(m, tests, alive))
        for k, answer in in_parallel(jobs, self.jobs, "mutants"):
            m = self.mutants[k]
            if answer == "survived":
                self.survived.append(m)
                if m.name not in self.reasons:
                    nobody = "" if (str(m.file), m.line) in reached else " (no test reaches it)"
                    print(f"survived{nobody}: {m.name} (line {m.line})", flush=True)
        self.failed = ""
        return True


FAILED: list[str] = []  # what failing tests say, since the last look


def failure(item: pytest.Item) -> str:
    """What a failing test says, "" if it passes."""
    FAILED.clear()
    item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
    return "".join(FAILED)


def learn(items: list[pytest.Item], which: range) -> dict | str:
    """Run these tests: (file, line) -> [(seconds, test)], or the name of one that fails."""
    cov = coverage.Coverage(data_file=None, include=[str(f) for f in FILES], config_file=False)
    cov.start()
    took = {}
    for i in which:
        cov.switch_context(str(i))
        start = time.perf_counter()
        if said := failure(items[i]):
            return f"{said}\n{items[i].nodeid}"
        took[i] = time.perf_counter() - start
    cov.stop()
    data = cov.get_data()
    reached = {ALL: [(seconds, i) for i, seconds in took.items()]}
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items():
            reached[file, line] = [(took[int(c)], int(c)) for c in contexts if c]
    return reached


def noticed(mutant: Mutant, tests: list[pytest.Item], alive: dict) -> str:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if not put_in_place(mutant, alive):
        return "survived"
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a mutant that hangs dies of it
    end = time.perf_counter() + BUDGET
    for item in tests:
        signal.alarm(HANGS)
        if failure(item):
            return "noticed"
        if time.perf_counter() > end:
            break
    return "survived"


def in_parallel(jobs: list, at_once: int, what: str) -> Iterator[tuple[int, Any]]:
    """Run each job in a fork of this process: its number and what it returns, or "died", as they are done."""
    running: dict[int, tuple[int, int]] = {}  # pipe -> (job, process)
    waiting = iter(range(len(jobs)))
    for _ in track(range(len(jobs)), what, disable=not sys.stderr.isatty()):
        while len(running) < at_once and (k := next(waiting, None)) is not None:
            reader, writer = os.pipe()
            if not (process := os.fork()):
                os.close(reader)
                answer_and_leave(jobs[k], writer)
            os.close(writer)
            running[reader] = k, process
        ready, _, _ = select.select(list(running), [], [])
        k, process = running.pop(ready[0])
        with os.fdopen(ready[0], "rb") as pipe:
            text = pipe.read()
        os.waitpid(process, 0)
        yield k, pickle.loads(text) if text else "died"


def answer_and_leave(job: Any, writer: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(pickle.dumps(job()))
    os._exit(0)


# ---------------------------------------------------------------------------------------------------- the command


def drawn(mutants: list[Mutant], sample: int) -> list[Mutant]:
    """`sample` of them, drawn by the commit."""
    ran = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    seed = hashlib.sha256(ran.stdout.strip().encode()).digest()
    return sorted(random.Random(seed).sample(mutants, min(sample, len(mutants))), key=lambda m: m.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="how many mutants (default: all)")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="those whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="where to write the outcome")
    args = parser.parse_args()
    everything = [m for f in FILES for m in mutants_of(f)]
    mutants = [m for m in everything if not args.only or any(text in m.name for text in args.only)]
    mutants = drawn(mutants, args.sample) if args.sample else mutants
    if not mutants:
        parser.error("no mutant has such a name")
    reasons = tomllib.loads(SURVIVORS.read_text()) if SURVIVORS.exists() else {}
    if gone := set(reasons) - {m.name for m in everything}:
        parser.error(f"{SURVIVORS.name} names what is no mutant any more: {sorted(gone)[0]}")

    tool = Tool(mutants, reasons, args.jobs)
    start = time.perf_counter()
    os.chdir(ROOT)
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", *TESTS], plugins=[tool])
    if tool.failed:
        print(f"{tool.failed} fails without any mutant: mend that first", file=sys.stderr)
        return 2
    open_ = [m for m in tool.survived if m.name not in reasons]
    tested = max(len(mutants) - (len(tool.survived) - len(open_)), 1)
    print(
        f"{len(mutants)} mutants of {len(everything)}: {len(mutants) - len(tool.survived)} noticed, "
        f"{len(tool.survived) - len(open_)} the same function (with a reason), {len(open_)} survived; "
        f"{time.perf_counter() - start:.0f} s"
    )
    code = bench.report(
        [bench.Figure("share of changed pieces of core/ and ops/ that no test notices", len(open_) / tested, MISSED)],
        json_file=args.json,
        mutants=len(mutants),
        of=len(everything),
        noticed=len(mutants) - len(tool.survived),
        same={m.name: reasons[m.name] for m in tool.survived if m.name in reasons},
        survived=sorted(m.name for m in open_),
    )
    return code if args.sample or not open_ else 1


if __name__ == "__main__":
    sys.exit(main())
