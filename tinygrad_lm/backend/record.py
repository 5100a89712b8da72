"""How arrays are computed: one small record per kind of array, and tables of kernels that may be swapped.

An op's body is the reference.  A kernel is a function with *the same signature as the body*, filed under the op's name;
where the table in use has one, it runs instead of the body.  A kernel may answer `NotImplemented` (a shape or dtype it
does not serve) and the body runs after all.  So ops contain no `if`, and a missing kernel is no special case.

Two words: *device* (`cpu`, `cuda`) says whose arrays, *kernels* (`reference`, `native`, `emulated`, `cuda`) which
table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy

Table = Mapping[str, Callable]


class Unavailable(RuntimeError):
    """A device, kernel table or forced kernel that cannot be used here; the message is the reason, in one line."""


@dataclass(eq=False)
class Backend:
    """One kind of array: `device` names it, `xp` is its array module, `to_numpy` and `from_numpy` cross the border."""

    device: str
    xp: Any
    array: type
    to_numpy: Callable[[Any], numpy.ndarray]
    from_numpy: Callable[[numpy.ndarray], Any]
    words: dict[str, str] = field(default_factory=dict)  # kernel table -> the module whose load() makes it
    default: tuple[str, ...] = ("reference",)  # the tables to try, best first
    kernels: Table | None = None  # the table in use; None: not chosen yet
    word: str = ""  # its name


CPU = Backend(
    "cpu",
    numpy,
    numpy.ndarray,
    to_numpy=lambda a: a,
    from_numpy=lambda a: a,
    words={"native": "tinygrad_lm.backend.native", "emulated": "tinygrad_lm.backend.emulated"},
    default=("native", "reference"),
)
BACKENDS: dict[str, Backend] = {"cpu": CPU}
BY_TYPE: dict[type, Backend] = {numpy.ndarray: CPU}
BY_TYPE.update(dict.fromkeys(set(numpy.sctypeDict.values()), CPU))
_forget: list[Callable[[], None]] = []  # ops drop their resolved kernels when a table is swapped


def on_swap(forget: Callable[[], None]) -> None:
    """Call `forget` whenever a kernel table or a backend changes."""
    _forget.append(forget)


def register_backend(backend: Backend) -> None:
    """Add a kind of array (the CuPy file does this)."""
    BACKENDS[backend.device] = backend
    BY_TYPE[backend.array] = backend
    _swapped()


def get_backend(device: str = "cpu") -> Backend:
    """The backend of a device word; raises `Unavailable` with the reason where it cannot be used."""
    if device not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}: expected 'cpu' or 'cuda'")
    if device not in BACKENDS:
        import_module("tinygrad_lm.backend.cuda").load_backend()
    return BACKENDS[device]


def load_table(word: str, backend: Backend = CPU) -> Table:
    """The kernel table of that name; raises `Unavailable` (why it cannot be used) or ValueError (no such word)."""
    if word == "reference":
        return {}
    if word not in backend.words:
        known = ", ".join(["reference", *backend.words])
        raise ValueError(f"unknown kernels {word!r} for device {backend.device!r}: expected one of {known}")
    return import_module(backend.words[word]).load()


def table_of(backend: Backend) -> Table:
    """The table in use.  Chosen at the first call: TINYGRAD_LM_KERNELS if set, else the best that loads."""
    if backend.kernels is None:
        forced = os.environ.get("TINYGRAD_LM_KERNELS")
        if forced and forced not in (known := ("reference", *CPU.words)):
            raise ValueError(f"TINYGRAD_LM_KERNELS={forced!r}: expected one of {', '.join(known)}")
        for word in (forced,) if forced and backend is CPU else backend.default:
            try:
                backend.kernels, backend.word = load_table(word, backend), word
                break
            except Unavailable:
                if forced:
                    raise
    assert backend.kernels is not None
    return backend.kernels


def kernels_in_use(device: str = "cpu") -> str:
    """The name of the kernel table that ops on this device use now."""
    backend = get_backend(device)
    table_of(backend)
    return backend.word


def set_kernels(kernels: str | Table, device: str = "cpu") -> None:
    """From now on ops on this device use these kernels: a table's name, or a mapping from op name to kernel."""
    backend = get_backend(device)
    table = load_table(kernels, backend) if isinstance(kernels, str) else kernels
    backend.kernels, backend.word = table, kernels if isinstance(kernels, str) else "custom"
    _swapped()


def reload_tables() -> None:
    """Make the tables of CUDA kernels anew, where they are in use: one was added to them."""
    for backend in BACKENDS.values():
        if backend.word in ("emulated", "cuda"):
            set_kernels(backend.word, backend.device)


@contextmanager
def use_kernels(kernels: str | Table, device: str = "cpu") -> Iterator[None]:
    """Within the block ops on this device use these kernels, in every thread; afterwards those they used before.

    >>> import numpy as np, tinygrad_lm as tg
    >>> def shouting_exp(xp, x):
    ...     print("exp!")
    ...     return xp.exp(x)
    >>> with tg.use_kernels({"exp": shouting_exp}):
    ...     y = tg.exp(np.zeros(2))
    exp!
    """
    backend = get_backend(device)
    before = backend.kernels, backend.word
    set_kernels(kernels, device)
    try:
        yield
    finally:
        backend.kernels, backend.word = before
        _swapped()


def _swapped() -> None:
    for forget in _forget:
        forget()


def backend_of(*arrays: Any) -> Backend:
    """The one backend of these arrays.  Scalars, Python's and NumPy's, and None belong to none; mixtures raise and name
    both."""
    found: dict[str, Backend] = {}
    for a in arrays:
        backend = BY_TYPE.get(type(a))
        if isinstance(a, numpy.generic):
            BY_TYPE.setdefault(type(a), CPU)  # a scalar of a type that NumPy does not have: bfloat16
        elif backend is not None:
            found[backend.device] = backend
        elif isinstance(a, (list, tuple)) or not isinstance(a, (int, float, complex, type(None))):
            room = type(a).__module__.split(".")[0]
            what = type(a).__name__ if room in ("builtins", "__main__") else f"{room}.{type(a).__name__}"
            raise TypeError(f"expected arrays, Tensors or numbers, got {what}; wrap it: Tensor(...)")
    if len(found) > 1:
        raise TypeError(f"arrays on different devices: {' and '.join(found)}; move one of them: x.to('cpu')")
    return next(iter(found.values()), CPU)


def is_float(dtype: Any) -> bool:
    """Whether gradients can flow through this dtype (float16 to float64, and bfloat16, whose kind is 'V')."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def widest_float(dtypes: Iterable[Any]) -> Any:
    """The NumPy promotion of the floating ones among `dtypes`; None if there are none."""
    floats = [d for d in dtypes if is_float(d)]
    return numpy.result_type(*floats) if floats else None
