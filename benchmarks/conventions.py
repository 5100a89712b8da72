"""What each operation returns where its derivative is a convention, beside torch, JAX, MyGrad and HIPS autograd.

    python benchmarks/conventions.py            # ask the libraries that are installed; write the JSON and the page
    python benchmarks/conventions.py --check    # exit code 1 if the page is not that of the JSON and the operations

The points and our values are the `kinks=` of the operations; the other columns are what those libraries answered, with
their versions, at the same point for the same cotangent 1.  A dash: no such function of these
arguments there.  The libraries:

    pip install torch==2.13.0 jax mygrad autograd
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm import bench
from tinygrad_lm.testing import Convention, conventions

ROOT = Path(__file__).resolve().parent.parent
RESULT, PAGE = ROOT / "benchmarks/results/conventions.json", ROOT / "docs/conventions.md"
# Where the names differ from NumPy's, which are ours.
NAMES = {
    "silu": ("swish",),
    "divide": ("true_divide",),
    "clip": ("clamp",),
    "norm": ("linalg.norm",),
    "pow": ("power",),
}
PLACES = {
    "torch": ("torch.nn.functional", "torch", "torch.linalg", "torch.special"),
    "jax": ("jax.numpy", "jax.nn", "jax.numpy.linalg", "jax.scipy.special"),
    "mygrad": ("mygrad", "mygrad.nnet.activations", "mygrad.nnet.losses", "mygrad.linalg"),
    "autograd": ("autograd.numpy", "autograd.numpy.linalg", "autograd.scipy.special"),
}


def twins() -> dict[str, Callable]:
    """torch's counterparts, which the tests of the operations use too."""
    found: dict[str, Callable] = {}
    for file in sorted((ROOT / "tests/ops/twins").glob("[!_]*.py")):
        spec = importlib.util.spec_from_file_location(f"twins_{file.stem}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.TWINS
    return found


def by_torch(c: Convention) -> list | None:
    import torch

    leaves = [torch.tensor(np.array(x, float), requires_grad=True) for x in c.inputs]
    renamed = {{"axis": "dim", "keepdims": "keepdim"}.get(k, k): v for k, v in c.params.items()}
    try:
        out = function_of("torch", c.op)(*leaves, **renamed)
    except (LookupError, TypeError):  # other names or arguments: an adapter of the tests, but no formula of theirs
        twin = twins()[c.op]
        if getattr(twin, "__name__", "") != "<lambda>" and not (twin.__module__ or "torch").startswith("torch"):
            return None
        out = twin(*leaves, **c.params)
    grads = torch.autograd.grad(first(out).sum(), leaves, allow_unused=True, materialize_grads=True)
    return [g.tolist() for g in grads]


def by_jax(c: Convention) -> list:
    import jax

    jax.config.update("jax_enable_x64", True)
    f = function_of("jax", c.op)
    arrays = [jax.numpy.asarray(np.array(x, float)) for x in c.inputs]
    grads = jax.grad(lambda *xs: first(f(*xs, **c.params)).sum(), argnums=tuple(range(len(arrays))))(*arrays)
    return [np.asarray(g).tolist() for g in grads]


def by_mygrad(c: Convention) -> list:
    import mygrad

    leaves = [mygrad.tensor(np.array(x, float)) for x in c.inputs]
    first(function_of("mygrad", c.op)(*leaves, **c.params)).sum().backward()
    return [np.asarray(x.grad if x.grad is not None else 0 * x.data).tolist() for x in leaves]


def by_autograd(c: Convention) -> list:
    import autograd

    f, arrays = function_of("autograd", c.op), [np.array(x, float) for x in c.inputs]
    total = autograd.numpy.sum
    return [
        np.asarray(autograd.grad(lambda *xs: total(first(f(*xs, **c.params))), i)(*arrays)).tolist()
        for i in range(len(arrays))
    ]


PEERS = {"torch": by_torch, "jax": by_jax, "mygrad": by_mygrad, "autograd": by_autograd}


def function_of(library: str, op: str) -> Callable:
    for place in PLACES[library]:
        try:
            module = importlib.import_module(place)
        except ImportError:
            continue
        for name in (op, *NAMES.get(op, ())):
            if hasattr(module, name):
                return getattr(module, name)
    raise LookupError(op)


def first(out: Any) -> Any:
    return out[0] if isinstance(out, (tuple, list)) else out


def ask(c: Convention) -> dict[str, Any]:
    """Each library's gradients, None where it has no such function of these arguments, or the name of the error."""
    answers: dict[str, Any] = {}
    for library, by in PEERS.items():
        try:
            answers[library] = by(c)
        except (LookupError, AttributeError, TypeError):
            answers[library] = None
        except Exception as error:  # a peer may fail in any way; that it does is what the page says
            answers[library] = type(error).__name__
    return answers


def key(c: Convention) -> str:
    return json.dumps([c.op, c.inputs, {k: str(v) for k, v in sorted(c.params.items())}], default=str)


# ---------------------------------------------------------------------------------------------------- the page


def shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(shown, value)) + "]"
    if value is None:
        return "-"
    if isinstance(value, (int, float)):
        return "nan" if math.isnan(value) else f"{float(value):.4g}".replace("+0", "").replace("-0", "0", value == 0)
    return str(value)


def cell(grads: Any) -> str:
    if grads is None:
        return "-"
    return f"*{grads}*" if isinstance(grads, str) else ", ".join(map(shown, grads))


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def page(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{library} {version}" for library, version in result["versions"].items())
    lines = [
        "# Conventions: derivatives at kinks, jumps and singular points",
        "",
        'Written by `python benchmarks/conventions.py`; the same in Python: `tg.testing.conventions("maximum")`.',
        "",
        "Each row is a point where the derivative does not exist, or exists and is often got wrong, with the gradient",
        "of every input where the gradient that comes in is 1. Our values are declared with the operation and tested.",
        f"The other columns were measured: {versions}, float64, CPU. A dash: no such function of these arguments;",
        "in italics: an error.",
        "",
        "| operation | at | kind | tinygrad_lm | " + " | ".join(PEERS) + " | why |",
        "|---|---|---|---|" + "---|" * len(PEERS) + "---|",
    ]
    for c in conventions():
        row = result["answers"].get(key(c), {})
        at = cell(c.inputs) + "".join(f", {k}={v}" for k, v in c.params.items())
        peers = " | ".join(cell(row.get(library)) for library in PEERS)
        lines.append(f"| `{c.op}` | {at} | {c.kind} | **{cell(c.grads)}** | {peers} | {escaped(c.why)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if parser.parse_args().check:
        result = json.loads(RESULT.read_text())
        missing = [c.op for c in conventions() if key(c) not in result["answers"]]
        if missing or PAGE.read_text() != page(result):
            print(
                f"{PAGE.name} is out of date{f' ({missing[0]} is missing)' * bool(missing)}: run {Path(__file__).name}"
            )
            return 1
        return 0
    lacking = [library for library in PEERS if importlib.util.find_spec(library) is None]
    if lacking:
        print(f"not installed: {', '.join(lacking)}: pip install {' '.join(lacking)}", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    result = {
        "environment": bench.environment(),
        "versions": {library: importlib.metadata.version(library) for library in PEERS},
        "answers": {key(c): ask(c) for c in conventions()},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    PAGE.write_text(page(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
