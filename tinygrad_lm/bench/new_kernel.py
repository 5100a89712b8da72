"""A kernel of one's own, to begin with: a .cu file that runs, and a Python file that checks and times it.

What these two files have to say to the library is one line of the second: `launch.register`.
"""

from __future__ import annotations

import importlib.util
import inspect
import keyword
import os
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from tinygrad_lm.bench.workloads import axes_of, workload
from tinygrad_lm.core import OPS

# What one element of the result is, for the operations that a template can compute at once.
ELEMENTS = {
    **{"relu": "{0} < 0.0f ? 0.0f : {0}", "abs": "fabsf({0})", "negative": "-{0}", "square": "{0} * {0}"},
    **{"exp": "expf({0})", "tanh": "tanhf({0})", "sqrt": "sqrtf({0})", "log": "logf({0})", "sin": "sinf({0})"},
    **{"sigmoid": "1.0f / (1.0f + expf(-{0}))", "silu": "{0} / (1.0f + expf(-{0}))", "cos": "cosf({0})"},
    **{"add": "{0} + {1}", "subtract": "{0} - {1}", "multiply": "{0} * {1}", "divide": "{0} / {1}"},
}
C_TYPES = {"float32": "float", "int64": "int64_t", "int32": "int32_t", "bool": "bool"}

SOURCE = Template("""\
// $op: $what
//
// Idea                  One element after the other, each on its own.
// Maps threads to data  Thread i takes the elements i, i + all threads, ...: neighbours share loads.
// FLOPs and bytes       One evaluation per element; what is read and written is read and written once.
// Needs                 float32, C-contiguous arrays$alike.  Any architecture.
// Improves on           - (the first rung)
// Limits                Bound by memory.
#include "tg.h"

extern "C" __global__ void ${name}_kernel($pointers, float* __restrict__ out, int64_t count) {
    const int64_t threads = int64_t(gridDim.x) * blockDim.x;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += threads)
        out[i] = $element
}
TG_LAUNCHABLE(${name}_kernel)
""")

SCRIPT = Template('''\
"""$name.cu computes `$op`: checked against float64, then timed beside the reference.

    python $name.py            # on a GPU if there is one, else under the emulator
    python $name.py --check    # only: is it right?

How to go on: change $name.cu and run this again; nothing is timed that is not right.  The launcher below decides what
the kernel serves and how many threads it gets.  Keep each idea as a rung of its own, to compare them:
`compare` says FASTER, SLOWER, SAME or UNSURE.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm.backend import get_backend, launch, load_table
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.bench import Roofline, compare, function_of, measure, on_device, workload
from tinygrad_lm.bench.workloads import params_of
from tinygrad_lm.testing import Refused, verify

OP = "$op"
SMALL = $sizes  # for the emulator; no multiples of a block, where kernels go wrong
SOURCE = str(Path(__file__).resolve().with_suffix(".cu"))


def launcher(run, xp, $signature):
    """The operation's own parameters behind a runtime.  NotImplemented: not these, let the reference run."""
    if $declined:
        return NotImplemented
    out = xp.empty($like.shape, $like.dtype)
    if out.size:
        blocks = min(-(-out.size // 256), 1 << 16)
        arguments = [$arguments, out, np.int64(out.size)]
        run(SOURCE, "${name}_kernel", (blocks, 1, 1), (256, 1, 1), 0, arguments)
    return out


launch.register(OP, "$name", SOURCE, launcher, ["float32"])  # the tables `emulated` and `cuda` have it as the best rung


def check():
    """Raise Refused unless it agrees with float64 on inputs it has never seen, in every order of threads.

    And AssertionError or RuntimeError unless it is right on the operation's own samples, and under the sanitizers.
    """
    case, settings = workload(OP, **SMALL), params_of(OP, **SMALL)
    for order in ORDERS:
        kernel = partial(launcher, Emulator(order, seed=1), np, **settings)
        verify(kernel, case.reference, case.draw, outliers=case.outliers, name=f"$name, threads {order},")
    print("$name is right, in every order of threads")
    print(tg.testing.check_kernel(OP, "$name"))


def times(device):
    """Print its times beside those of the reference, and a verdict."""
    table, sizes, limit = ("cuda", {}, Roofline(device)) if device == "cuda" else ("emulated", SMALL, None)
    backend, case = get_backend(device), workload(OP, **sizes)
    kernel = partial(load_table(table, backend)[OP], backend.xp, **params_of(OP, **sizes))
    reference = function_of(OP, **sizes)
    arrays = [backend.from_numpy(x) for x in case.draw(np.random.default_rng(0))]
    with tg.use_kernels("reference", device):
        for name, function in (("$name", kernel), ("reference", reference)):
            print(measure(case, function, name, device=device, roofline=limit))
        sides = [on_device(partial(function, *arrays), device) for function in (kernel, reference)]
        print(compare(*sides, names=("$name", "reference"), max_time=10))


def main():
    try:
        check()
        if "--check" not in sys.argv:
            device = "cuda"
            try:
                get_backend(device)
            except tg.Unavailable as reason:
                print(f"{reason}: these are the emulator's times, which say nothing of a GPU's")
                device = "cpu"
            times(device)
    except (Refused, AssertionError, RuntimeError) as error:  # wrong; does not compile; touches what it should not
        sys.exit(str(error))


if __name__ == "__main__":
    main()
''')


def new_kernel(name: str, op: str = "relu", folder: str | os.PathLike[str] = ".") -> list[Path]:
    """Write ``name.cu``, a kernel for an operation, and ``name.py``, which checks and times it; both paths.

    For the elementwise operations of `ELEMENTS` it is right as it stands; for others it returns an input, which the
    check refuses until somebody has written the kernel.  Nothing is overwritten.

    Raises ValueError for a name that is no identifier or is a module's, for an operation that is not there or is no
    function of arrays with one array as its result; FileExistsError; OSError.
    """
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} cannot name a kernel: expected an identifier, letters, digits and _")
    values = facts(name, op)
    files = [Path(folder) / f"{name}{ending}" for ending in (".cu", ".py")]
    for path in files:
        if path.exists():
            raise FileExistsError(f"{path} exists and is left as it is: choose another name or folder")
    if importlib.util.find_spec(name):  # its own file would be imported in that module's place
        raise ValueError(f"{name!r} is the name of a module, which {name}.py would hide: choose another one")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, template in zip(files, (SOURCE, SCRIPT), strict=True):
        with path.open("x", encoding="utf-8") as file:
            file.write(template.substitute(values))
    return files


def facts(name: str, op: str) -> dict[str, Any]:
    """What the templates ask for."""
    sizes, found = small(op), OPS[op]
    case = workload(op, **sizes)
    arrays = case.draw(np.random.default_rng(0))
    result, floats = case.reference(*arrays), []
    if not found.variadic and not found.aux and isinstance(result, np.ndarray | np.floating):
        floats = [n for n, x in zip(found.inputs, arrays, strict=False) if getattr(x, "dtype", None) == np.float32]
    if not floats or not all(isinstance(x, np.ndarray) and x.dtype.name in C_TYPES for x in arrays):
        raise ValueError(f"{op} is not made of one array from a few: write its kernel after kernels/softmax/rows.cu")
    inputs, left_out = found.inputs[: len(arrays)], found.inputs[len(arrays) :]
    known, reference = op in ELEMENTS, (found.forward.__doc__ or op).strip().splitlines()[0]
    declined = [f'getattr({n}, "dtype", None) != np.float32' for n in floats]
    declined += [f"{n}.shape != {floats[0]}.shape" for n in inputs[1:] if known]
    declined += [f"{n} is not None" for n in left_out]
    element = ELEMENTS.get(op, "{0}").format(*[f"{n}[i]" for n in (inputs if known else floats)])
    pairs = zip(inputs, arrays, strict=True)
    parameters = list(inspect.signature(found.forward).parameters.values())[1:]
    return {
        "name": name,
        "op": op,
        "what": reference if known else f"{reference}  Not yet: it returns an input.",
        "alike": " of one shape" * (known and len(inputs) > 1),
        "pointers": ", ".join([f"const {C_TYPES[x.dtype.name]}* __restrict__ {n}" for n, x in pairs]),
        "element": f"{element};" + "  // to be written" * (not known),
        "sizes": repr(sizes).replace("'", '"'),
        "signature": str(inspect.Signature(parameters))[1:-1],
        "declined": " or ".join(declined),
        "like": floats[0],
        "arguments": ", ".join([f"xp.ascontiguousarray({n})" for n in inputs]),
    }


def small(op: str) -> dict[str, Any]:
    """Sizes of an operation that an emulator can do: the usual ones, cut; odd ones, where the operation takes them."""
    usual = axes_of(op)
    most = 1000 if len(usual) == 1 else 37
    cut: dict[str, Any] = {axis: size if isinstance(size, bool) else min(size, most) for axis, size in usual.items()}
    try:
        workload(op, **cut)
    except ValueError:
        return usual
    return cut
