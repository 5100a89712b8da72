"""tinygrad-lm check"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_lm.backend import Unavailable
from tinygrad_lm.cli.common import add_computing, add_json, computing, print_json
from tinygrad_lm.data.errors import UserError, nearest

HELP = "check the derivative of a function of yours"
DESCRIPTION = """Check the derivative of a function, and explain the verdict.

TARGET is package.module:function or path/to/file.py:function. An operation declared with @tg.op and samples= is put to
every property that the library's own operations are tested with; a test made by @gradtest runs; any other function of
arrays, and an operation too if --shape is given, is called with random ones, and its gradient compared with finite
differences and whatever else can answer for it."""
EPILOG = """exit code: 0 right, 1 wrong, 2 could not be checked

examples:
  tinygrad-lm check mine/losses.py:focal --shape 4,3 --shape 4,3
  tinygrad-lm check mypackage.ops:swish --shape 5 --order 2
  tinygrad-lm check tinygrad_lm.ops:softmax"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="package.module:function or file.py:function")
    parser.add_argument(
        "--shape",
        action="append",
        metavar="N,N",
        help="the shape of an argument, e.g. 3,4, or 5, or scalar; once for each (without: 2,3 for all)",
    )
    parser.add_argument("--order", type=int, choices=(1, 2), default=1, help="which derivative (1)")
    parser.add_argument("--exact", action="store_true", help="every entry alone, however many there are")
    parser.add_argument(
        "--points", choices=("normal", "ties"), default="normal", help="random numbers, or few that coincide (normal)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")
    add_computing(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm import testing

    function = found(arguments.target)
    record, shaped = getattr(function, "op", None), bool(arguments.shape)
    proved = not shaped and record is not None and record.facts.get("samples")
    tested = not shaped and hasattr(function, "body")
    try:
        with computing(arguments):
            if proved:
                said = testing.prove(function)
            elif tested:
                function()
                said = f"{function.__name__}: no example that Hypothesis drew refutes it"
            else:
                verdict = gradient_of(function, arguments)
                if not verdict.power:
                    why_not = verdict.oracles["central differences"]
                    raise UserError(
                        f"{arguments.target} could not be checked: {why_not}; try another --shape or --seed"
                    )
                said = str(verdict)
    except (testing.GradcheckError, testing.Refuted) as error:
        return told(arguments, False, "\n".join([str(error), *reproducing(error)]))
    except (UserError, Unavailable, MemoryError, OSError):
        raise
    except Exception as error:  # of the function itself: it may raise anything
        raise UserError(
            f"{arguments.target} could not be checked{why(error, arguments, not (proved or tested))}"
        ) from error
    return told(arguments, True, said)


def told(arguments: argparse.Namespace, right: bool, said: str) -> int:
    if arguments.json:
        print_json({"target": arguments.target, "right": right, "said": said.splitlines()})
    else:
        print(f"{arguments.target}: {'right' if right else 'WRONG'}\n{said}")
    return 0 if right else 1


def reproducing(error: Exception) -> list[str]:
    lines = getattr(error, "reproducer", "")
    return ["reproduce it with:", lines] if lines else []


def gradient_of(function: Callable, arguments: argparse.Namespace) -> Any:
    """The verdict on `function` at random arrays of the shapes that were asked for."""
    import numpy as np

    from tinygrad_lm import testing

    shapes = [shape_of(text) for text in arguments.shape or ["2,3"] * required(function, arguments.target)]
    rng = np.random.default_rng(arguments.seed)
    draw = rng.standard_normal if arguments.points == "normal" else lambda s: rng.integers(-1, 2, s).astype(float)
    inputs = tuple([np.asarray(draw(s)) for s in shapes])
    check = testing.gradcheck if arguments.order == 1 else testing.gradgradcheck
    return check(function, inputs, exact=arguments.exact or None)


def why(error: Exception, arguments: argparse.Namespace, called: bool) -> str:
    """What a function of the user's raised, in one line; `called`: with shapes that were given or guessed."""
    shapes = ", ".join([str(shape_of(text)) for text in arguments.shape or ()])
    said = " ".join([str(error), *[f"({note})" for note in getattr(error, "__notes__", [])]])
    hint = ""
    if called and not shapes and isinstance(error, (ValueError, IndexError)):
        hint = "; give the shapes with --shape, once for each argument"
    if "function of torch tensors" in said:
        hint = "; that is done in Python, with tinygrad_lm.testing.gradcheck"
    return f"{f' with shapes {shapes}' * bool(shapes)}: {type(error).__name__}: {' '.join(said.split())}{hint}"


def required(function: Callable, target: str) -> int:
    """How many arrays the function must be given."""
    try:
        spec = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UserError(f"{target} does not say what it takes: give the shapes with --shape") from None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(p.kind in positional and p.default is inspect.Parameter.empty for p in spec)
    if not count:
        raise UserError(f"{target} takes no array that must be given: name shapes with --shape, e.g. --shape 2,3")
    return count


def shape_of(text: str) -> tuple[int, ...]:
    if text in ("scalar", "()"):
        return ()
    try:
        shape = tuple(int(n) for n in text.strip("()").rstrip(",").split(","))
    except ValueError:
        shape = (-1,)
    if min(shape) < 0:
        raise UserError(f"--shape {text}: expected numbers with commas between, e.g. 3,4, or the word scalar")
    return shape


def found(target: str) -> Callable:
    """The function that TARGET names.  Its module is imported: its code runs."""
    place, colon, path = target.rpartition(":")
    if not colon or not place or not path:
        raise UserError(f"{target!r} names no function: write package.module:function or file.py:function")
    thing: Any = module_at(place)
    for name in path.split("."):
        if not hasattr(thing, name):
            known = [n for n, v in vars(thing).items() if callable(v) and not n.startswith("_")] or ["nothing callable"]
            raise UserError(f"{place} has no {name!r}; {nearest(name, known)}")
        thing = getattr(thing, name)
    if not callable(thing):
        raise UserError(f"{target} is a {type(thing).__name__}, not a function")
    return thing


def module_at(place: str) -> Any:
    sys.path.insert(0, "")  # as python -m does: modules of this folder
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        if not Path(place).is_file():
            raise UserError(f"there is no file {place}")
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(module.__name__, module)
        spec.loader.exec_module(module)
        return module
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")
