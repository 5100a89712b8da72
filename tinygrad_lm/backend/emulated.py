"""The emulated table: the CUDA kernels of `kernels/`, compiled for the host.  Slow; made for testing GPU code.

The argument arrays are copied into guarded memory and back, so an access beyond one of them is reported, not suffered.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm.backend import build, launch
from tinygrad_lm.backend.launch.common import MOST_TENSORS, Tensors, Values
from tinygrad_lm.backend.record import Unavailable

ORDERS = ("forward", "reverse", "random")
_libraries: dict[str, ctypes.CDLL] = {}
_one_at_a_time = threading.RLock()  # the emulator keeps its state in globals


@dataclass(frozen=True)
class Emulator:
    """A runtime for the launchers.  ``order``: in which order threads and blocks take their turns, "forward",
    "reverse" or "random" (drawn from ``seed``); a right kernel gives the same result in every order.

    RuntimeError where a kernel fails, with the thread and what it did; BuildFailed where it does not compile.
    """

    order: str = "forward"
    seed: int = 0

    def __call__(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        shared_bytes: int,
        arguments: Sequence[Any],
    ) -> None:
        with _one_at_a_time:
            library = _library(file)
            areas: list[tuple[np.ndarray, int, int]] = []  # an array, its guarded area, the address of the copy there
            values: list[Any] = []
            try:

                def copied(array: np.ndarray) -> int:
                    """The address of a guarded copy."""
                    if not array.flags.c_contiguous:  # a kernel would take the view for the array behind it
                        raise ValueError(f"{file}, kernel {kernel}: its launcher passed a strided view")
                    area = library.guarded_new(array.nbytes)
                    copy = library.guarded_data(area)
                    areas.append((array, area, copy))
                    ctypes.memmove(copy, array.ctypes.data, array.nbytes)
                    return copy

                for argument in arguments:
                    if isinstance(argument, np.ndarray):
                        values.append(ctypes.c_void_p(copied(argument)))
                    elif isinstance(argument, Tensors):
                        addresses = [None if a is None else copied(a) for a in argument]
                        values.append((ctypes.c_void_p * MOST_TENSORS)(*addresses))
                    elif isinstance(argument, Values):
                        values.append(ctypes.create_string_buffer(argument.bytes()))
                    else:
                        values.append(np.ctypeslib.as_ctypes_type(argument.dtype)(argument))
                pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
                dimensions = ctypes.c_uint * 3
                start = getattr(library, f"{kernel}_launch")
                start.restype = ctypes.c_char_p
                failure = start(
                    dimensions(*grid),
                    dimensions(*block),
                    ctypes.c_size_t(shared_bytes),
                    pointers,
                    ctypes.c_uint(ORDERS.index(self.order)),
                    ctypes.c_uint64(self.seed),
                )
                if failure:
                    raise RuntimeError(f"{file}, kernel {kernel}: {failure.decode()}")
                for array, _, copy in areas:
                    if array.flags.writeable:  # inputs may be read-only; outputs never are
                        ctypes.memmove(array.ctypes.data, copy, array.nbytes)
            finally:
                for _, area, _ in areas:
                    library.guarded_delete(area)


def _library(file: str) -> ctypes.CDLL:
    if file not in _libraries:
        library = ctypes.CDLL(str(build.emulated_object(build.kernels_folder() / file)))
        library.guarded_new.argtypes = [ctypes.c_size_t]
        library.guarded_new.restype = ctypes.c_void_p
        library.guarded_data.argtypes = [ctypes.c_void_p]
        library.guarded_data.restype = ctypes.c_void_p
        library.guarded_delete.argtypes = [ctypes.c_void_p]
        library.guarded_delete.restype = None
        _libraries[file] = library
    return _libraries[file]


def load() -> dict[str, Callable[..., Any]]:
    """The table; raises Unavailable where there is no C++ compiler.  A kernel is compiled at its first call."""
    try:
        build.find_compiler()
    except build.BuildFailed as failure:
        raise Unavailable(f"emulated kernels: {failure}") from None
    return launch.table(Emulator())
