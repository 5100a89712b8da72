"""Tensor: an array, and the node that made it.

Operators, indexing and methods are attached in `tinygrad_lm.ops.methods`, where operations exist; this file knows none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_lm import config
from tinygrad_lm.backend import BY_TYPE, backend_of, get_backend, is_float
from tinygrad_lm.core.node import Node, leaf
from tinygrad_lm.core.walk import HOOKED, walk


class Tensor:
    """A multi-dimensional array whose history can be differentiated.

    `data`: an array (kept as it is, dtype included), a number or nested lists (floats become `default_dtype()`).
    `requires_grad`: whether to record what is computed from it, so that `backward()` can fill `grad`.

    >>> import tinygrad_lm as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = ("data", "node", "__weakref__")
    __hash__ = object.__hash__  # `==` compares element by element; as keys and set members tensors are themselves

    data: Any
    node: Node | None

    if TYPE_CHECKING:  # what ops.methods attaches
        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __rmatmul__: Any
        __neg__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __getitem__: Any
        __setitem__: Any
        __iter__: Any

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None):
        if type(data) not in BY_TYPE:
            data = as_array(data)
        elif isinstance(data, np.generic):
            data = np.asarray(data)
        self.data = data if dtype is None else data.astype(dtype, copy=False)
        self.node = None
        if requires_grad:
            self.requires_grad_()

    # ------------------------------------------------------------------------------------------------ what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def device(self) -> str:
        return backend_of(self.data).device

    @property
    def requires_grad(self) -> bool:
        return self.node is not None

    @property
    def is_leaf(self) -> bool:
        """True unless an operation made it."""
        return self.node is None or self.node.plan is None

    # ------------------------------------------------------------------------------------------------ gradients

    @property
    def grad(self) -> Tensor | None:
        """What backward has added up here: on leaves, and within `keep_grads()` on every tensor.  None before that."""
        g = getattr(self.node, "grad", None)
        if g is not None and not isinstance(g, Tensor):
            assert self.node is not None
            g = self.node.grad = Tensor(g)
        return g

    @grad.setter
    def grad(self, value: Any) -> None:
        if self.node is None:
            raise RuntimeError("this tensor does not require a gradient; call requires_grad_() first")
        if value is not None:
            value = value if isinstance(value, Tensor) else Tensor(value)
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(f"a gradient of {self.dtype} {self.shape} was assigned {value.dtype} {value.shape}")
        self.node.grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop, on a leaf) recording what is computed from this tensor; returns itself."""
        if not requires_grad:
            if not self.is_leaf:
                raise RuntimeError("only a leaf can stop requiring a gradient; use detach()")
            self.node = None
        elif self.node is None:
            if not is_float(self.data.dtype):
                raise TypeError(
                    f"only floating tensors can require gradients, this one is {self.data.dtype}; "
                    f"convert it: Tensor(x, dtype='{config.default_float.get()}')"
                )
            self.node = leaf(self.data)
        return self

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add d(self)/d(leaf), times `gradient`, to the `.grad` of every leaf that this tensor was computed from.

        gradient: same shape as this tensor; may be left out for a single number.  What the tape kept is freed on the
        way unless `retain_graph`; with `create_graph` the gradients are themselves recorded (and nothing is freed).
        """
        if self.node is None:
            raise RuntimeError("nothing to differentiate: this tensor was not computed from one that requires_grad")
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward() needs a number to start from and this tensor has shape {self.shape}: "
                    "call .sum().backward(), or pass a gradient of that shape"
                )
            gradient = ones_like(self)
        gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
        if gradient.shape != self.shape:
            raise ValueError(f"backward() got a gradient of shape {gradient.shape} for a tensor of shape {self.shape}")
        walk([self.node], [gradient if create_graph else gradient.data], None, create_graph, retain_graph)

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Call `hook(grad)` as soon as this tensor's gradient is complete; what it returns, if anything, replaces it.

        `grad` is a raw array, or a Tensor under `create_graph`.  It must not be written to.  Returns a function that
        removes the hook.
        """
        if self.node is None:
            raise RuntimeError("cannot hook a tensor that does not require a gradient")
        if self.node not in HOOKED:
            self.node.hooks = []
            HOOKED.add(self.node)
        hooks = self.node.hooks
        hooks.append(hook)
        return lambda: hooks.remove(hook) if hook in hooks else None

    def detach(self) -> Tensor:
        """The same array without its history."""
        return Tensor(self.data)

    # ------------------------------------------------------------------------------------------------ other worlds

    def numpy(self) -> np.ndarray:
        """The array, in host memory (not copied where it is there already)."""
        if self.node is not None:
            raise RuntimeError("this tensor requires a gradient, which an array cannot carry: use .detach().numpy()")
        return backend_of(self.data).to_numpy(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **how: Any) -> Any:
        if self.node is not None:
            raise BufferError("this tensor requires a gradient, which DLPack cannot carry: pass .detach()")
        return self.data.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def item(self) -> Any:
        """The one element, as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        return self.data.tolist()

    def to(self, device: str) -> Tensor:
        """This tensor on `device` ('cpu' or 'cuda'); itself if it is there already.  The result has no history."""
        if device == self.device:
            return self
        if not self.is_leaf:
            raise RuntimeError("a computed tensor cannot change its device; detach() it, or move what it was made from")
        array = get_backend(device).from_numpy(backend_of(self.data).to_numpy(self.data))
        return Tensor(array, requires_grad=self.requires_grad)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __index__(self) -> int:
        return self.data.__index__()

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("only leaves can be copied deeply; detach() this tensor first")
        new = object.__new__(type(self))
        new.data, new.node = self.data.copy(), None
        return new.requires_grad_() if self.requires_grad else new

    def __repr__(self) -> str:
        body = np.array2string(backend_of(self.data).to_numpy(self.data), separator=", ", prefix="Tensor(")
        notes = "" if self.dtype == config.default_float.get() or self.dtype.kind in "ib" else f", dtype={self.dtype}"
        if self.node is not None:
            notes += ", requires_grad=True" if self.is_leaf else f", op={getattr(self.node.op, 'name', 'alias')}"
        return f"Tensor({body}{notes})"


HOST, CUDA, PINNED = 1, 2, 3  # of DLPack's kinds of device


def from_dlpack(x: Any) -> Tensor:
    """A Tensor on the memory of another library's array, which is not copied: both see what either writes.

    x: anything with `__dlpack__`, on the CPU or a GPU (torch, JAX, CuPy, NumPy, ...).  The other way round, those
    libraries' own from_dlpack take a Tensor.  TypeError for anything else; ValueError for another kind of device;
    BufferError for what DLPack cannot carry: a gradient, or a dtype that one side does not know (bfloat16 for NumPy).

    >>> import numpy as np, tinygrad_lm as tg
    >>> a = np.zeros(2)
    >>> t = tg.from_dlpack(a)
    >>> a[0] = 5.0
    >>> t
    Tensor([5., 0.], dtype=float64)
    """
    if not hasattr(x, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: {type(x).__name__} has no __dlpack__; make a Tensor of it: Tensor(x)")
    kind = int(x.__dlpack_device__()[0])
    device = {HOST: "cpu", PINNED: "cpu", CUDA: "cuda"}.get(kind)
    if device is None:
        raise ValueError(f"from_dlpack: expected an array on the CPU or a CUDA GPU, got DLPack device {kind}")
    return Tensor(get_backend(device).xp.from_dlpack(x))


def as_array(data: Any) -> Any:
    """`data` as an array: lists and numbers; Python floats become the default dtype, other dtypes stay."""
    if isinstance(data, Tensor):
        if data.node is not None:
            raise TypeError("this is a Tensor that requires a gradient already; use it as it is, or .detach() it")
        return data.data
    array = np.asarray(data)
    if array.dtype.kind not in "fciub" and not is_float(array.dtype):
        raise TypeError(f"a tensor holds numbers, got {type(data).__name__} ({array.dtype})")
    if array.dtype == np.float64 and not hasattr(data, "dtype") and not hasattr(data, "__array__"):
        array = array.astype(config.default_float.get())
    return array


def raw(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def ones_like(x: Any) -> Any:
    """Ones of the same shape, dtype and backend, as a raw array."""
    array = raw(x)
    return backend_of(array).xp.ones_like(array)


def zeros_like(x: Any) -> Any:
    """Zeros, likewise."""
    array = raw(x)
    return backend_of(array).xp.zeros_like(array)
