"""A GPU that is made up, for a machine without one: the part of CuPy that this project uses, on top of NumPy.

Numbers are computed by NumPy, and by the emulator where a kernel is launched; they are there at once.  When they would
be there on a GPU is a model: the host takes `launch` seconds to enqueue something, a stream does one thing after the
other, its events know when, and a full queue makes the host wait.  With ``Machine(real=False)`` the host's clock is a
number, too, so that every time is exact.

Put this folder on the path and `import cupy` finds it; tests put a fresh `fake()` into `sys.modules`.
"""

from __future__ import annotations

import sys
import time
import types
from collections import deque
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_lm.core import Tensor

VERSION = "14.0.0"


class Machine:
    """What takes how long.  ``slower``: by how much the GPU's clock slows down per second."""

    def __init__(self, real: bool = False):
        self.real, self.now = real, 0.0
        self.launch, self.kernel, self.hertz, self.slower, self.depth = 5e-6, 20e-6, 1.5e9, 0.0, 1000
        self.free: dict[int, float] = {}  # stream -> when it will be done
        self.queue: deque[float] = deque()  # when the launches that wait will be done
        self.stream = 0
        self.flushed = False
        self.launches: list[dict[str, Any]] = []

    def clock(self) -> float:
        return time.perf_counter() if self.real else self.now

    def spend(self, seconds: float) -> None:
        """The host is busy."""
        self.now += seconds

    def wait(self, until: float) -> None:
        while self.real and time.perf_counter() < until:
            time.sleep(0)
        self.now = max(self.now, until)

    def enqueue(self, seconds: float) -> None:
        self.spend(self.launch)
        while self.queue and self.queue[0] <= self.clock():
            self.queue.popleft()
        if len(self.queue) >= self.depth:
            self.wait(self.queue.popleft())
        begin = max(self.free.get(self.stream, 0.0), self.clock())
        self.free[self.stream] = begin + seconds * (1 + self.slower * begin * (not self.real))
        self.queue.append(self.free[self.stream])

    def finish(self) -> None:
        self.wait(max(self.free.values(), default=0.0))

    @contextmanager
    def on_stream(self, number: int):
        before, self.stream = self.stream, number
        try:
            yield
        finally:
            self.stream = before


class FakeArray(np.ndarray):
    """An array that raises where a NumPy array (with at least one axis) meets it, as CuPy's does."""

    machine: Machine

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **keywords):
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # it knows better
        if out:
            keywords["out"] = tuple(there(a) for a in out)
        result = getattr(ufunc, method)(*[there(a) for a in inputs], **keywords)
        self.machine.enqueue(self.machine.kernel)
        return out[0] if out else here(result, type(self))

    def __array_function__(self, function, types, args, keywords):
        result = function(*there(args), **there(keywords))
        self.machine.enqueue(self.machine.kernel)
        return here(result, type(self))

    def fill(self, value):
        self.view(np.ndarray).fill(value)
        self.machine.flushed = True
        self.machine.enqueue(self.machine.kernel)

    def item(self, *args):
        self.machine.finish()
        return self.view(np.ndarray).item(*args)


def there(value):
    """The NumPy arrays behind; an array that is one already is a mistake of the code under test."""
    if isinstance(value, list | tuple):
        return type(value)(there(v) for v in value)
    if isinstance(value, dict):
        return {k: there(v) for k, v in value.items()}
    if type(value) is np.ndarray and value.ndim:
        raise TypeError("a NumPy array met an array of another device")
    return value.view(np.ndarray) if isinstance(value, FakeArray) else value


def here(value, kind):
    if isinstance(value, list | tuple):
        made = [here(v, kind) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return np.asarray(value).view(kind) if isinstance(value, np.ndarray | np.generic) else value


def unlike_numpy(name, args, keywords):
    """What CuPy refuses and NumPy does not, as seen on a GPU."""
    if name in ("max", "min") and "initial" in keywords:
        raise TypeError(f"a{name}() got an unexpected keyword argument 'initial'")
    reduces = name in ("sum", "max", "min", "prod", "mean", "argmax", "argmin", "any", "all")
    if reduces and isinstance(args[0], FakeArray) and args[0].ndim == 0 and keywords.get("axis") is not None:
        raise IndexError(f"axis {keywords['axis']} is out of bounds for array of dimension 0")


class Module(types.ModuleType):
    """CuPy: NumPy's functions, which return the other kind of array, and what `fake` adds."""

    def __getattr__(self, name):
        found = getattr(np, name)
        if isinstance(found, type | np.ufunc) or not callable(found):
            return found

        def called(*args, **keywords):
            unlike_numpy(name, args, keywords)
            return here(found(*args, **keywords), self.ndarray)

        return called


def fake(available: bool = True, machine: Machine | None = None) -> Any:
    """A module of its own, with a machine of its own: `fake().machine`."""
    machine = machine or Machine()

    class Array(FakeArray):
        pass

    Array.machine = machine

    class Function:
        max_dynamic_shared_size_bytes = 48 << 10

        def __init__(self, path: str, name: str) -> None:
            self.path, self.name = path, name

        def __call__(self, grid, block, arguments, *, shared_mem) -> None:
            machine.launches.append({"path": self.path, "grid": grid, "block": block, "shared": shared_mem})
            if self.name == "wait_cycles":
                return machine.enqueue(float(arguments[0]) / machine.hertz)
            machine.enqueue(machine.kernel)
            if self.name == "fma_chains":
                return None
            from tinygrad_lm.backend.emulated import Emulator

            folder, stem, _ = self.path.rpartition("/")[2].split("-")  # of a file in the cache of what was compiled
            plain = [struct(a) if isinstance(a, np.ndarray) else a for a in arguments]
            Emulator()(f"{folder}/{stem}.cu", self.name, grid, block, shared_mem, plain)

    def struct(a: np.ndarray) -> Any:
        """A NumPy array of one element is passed by value; pointers in it are good here, too."""
        if a.dtype.kind != "V" or a.dtype.names or isinstance(a, FakeArray):
            return a.view(np.ndarray)
        from tinygrad_lm.backend.launch.common import MOST_TENSORS, Values

        return Values(np.frombuffer(a.tobytes(), f"u{a.nbytes // MOST_TENSORS}"))

    class RawModule:
        def __init__(self, *, path: str) -> None:
            self.path = path

        def get_function(self, name: str) -> Function:
            return Function(self.path, name)

    class Event:
        when = 0.0

        def record(self) -> None:
            self.when = max(machine.free.get(machine.stream, 0.0), machine.clock())

        def synchronize(self) -> None:
            machine.wait(self.when)

        @property
        def done(self) -> bool:
            return self.when <= machine.clock()

    class Device:
        id = 0
        compute_capability = "90"
        pci_bus_id = "0000:00:00.0"

    properties = {
        "name": b"Imaginary GPU",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 4,
        "l2CacheSize": 1 << 20,
        "totalGlobalMem": 1 << 30,
    }
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda i: properties,
        deviceSynchronize=machine.finish,
        memGetInfo=lambda: (3 << 28, 1 << 30),
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    )

    def asnumpy(a: Any) -> np.ndarray:
        machine.finish()
        return np.array(a.view(np.ndarray)) if isinstance(a, FakeArray) else np.asarray(a)

    def asarray(a: Any, dtype: Any = None) -> Any:
        if isinstance(a, FakeArray) and dtype is None:
            return a
        return np.array(a.view(np.ndarray) if isinstance(a, FakeArray) else a, dtype).view(Array)

    class Pool:
        held = 1 << 20

        def used_bytes(self) -> int:
            return 1 << 19

        def total_bytes(self) -> int:
            return self.used_bytes() + self.held

        def get_limit(self) -> int:
            return 0

        def free_all_blocks(self) -> None:
            self.held = 0

    pool = Pool()
    module = Module("cupy")
    parts = {
        "__version__": VERSION,
        "is_available": lambda: available,
        "ndarray": Array,
        "asnumpy": asnumpy,
        "asarray": asarray,
        "RawModule": RawModule,
        "get_default_memory_pool": lambda: pool,
        "cuda": types.SimpleNamespace(
            Device=Device, Event=Event, runtime=runtime, get_elapsed_time=lambda a, b: (b.when - a.when) * 1e3
        ),
        "machine": machine,
    }
    for name, part in parts.items():
        setattr(module, name, part)
    return module


if __name__ == "cupy":  # imported as such: the host's clock is the real one
    instead = fake(machine=Machine(real=True))
    instead.__spec__ = __spec__
    sys.modules[__name__] = instead
