"""What went wrong, said once and clearly: the operation, what it was given, why that cannot be, and the user's line.

Nothing here runs unless something failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import zip_longest
from traceback import walk_tb
from typing import Any

from tinygrad_lm.backend import BY_TYPE

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class NotDifferentiable(TypeError):
    """A gradient was asked for where nobody wrote its rule."""


class OperationError(Exception):
    """Marks errors whose message already says which operation failed, on what, and where."""


# The same names as the built-in ones: a traceback shows no machinery.
KINDS: dict[type, Any] = {
    kind: type(kind.__name__, (OperationError, kind), {"__module__": "builtins"})
    for kind in (TypeError, IndexError, ValueError, MemoryError)
}


def user_line() -> str:
    """'file:line' of the innermost caller outside this package."""
    frame: Any = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((PACKAGE, "<op ", "<plan ")):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown line"


def describe(array: Any) -> str:
    """An argument in a few words: 'float32 (2, 3)' for an array, the value itself for a number."""
    if hasattr(array, "dtype"):
        return f"{array.dtype} {array.shape}"
    return repr(array) if array is None or is_number(array) else type(array).__name__


def ndim_of(function: str, x: Any) -> int:
    """x.ndim, for functions that look at x before any operation does; TypeError if x is no array."""
    try:
        return x.ndim
    except AttributeError:
        what = f"expected an array or a Tensor, got {type(x).__name__}; wrap it: Tensor(...)"
        raise KINDS[TypeError](f"{function}: {what} [{user_line()}]") from None


def setting(value: Any) -> str:
    """The value of a keyword in a few words."""
    if hasattr(value, "dtype"):
        return describe(value)
    return repr(value) if isinstance(value, str) else str(value)


def is_number(x: Any) -> bool:
    return isinstance(x, (int, float, complex))


def no_broadcast(shapes: Sequence[tuple]) -> str | None:
    """Why these shapes do not broadcast; None if they do."""
    for from_last, sizes in enumerate(zip_longest(*map(reversed, shapes), fillvalue=1)):
        if len(different := set(sizes) - {1}) > 1:
            listed, found = " and ".join(map(str, shapes)), " and ".join(map(str, sorted(different)))
            return f"shapes {listed} do not broadcast: on axis {-1 - from_last} they have {found}"
    return None


def no_loop(said: str, arrays: Sequence[Any]) -> str | None:
    """Why NumPy does not compute with these dtypes; None where it said something else."""
    if not any(word in said for word in ("ufunc", "numpy boolean", "promoted")):
        return None
    dtypes = dict.fromkeys(str(a.dtype) if hasattr(a, "dtype") else type(a).__name__ for a in arrays)
    return f"it is not defined for {' and '.join(dtypes)}: convert first, e.g. x.astype('float32')"


def explain(error: Exception, op: Any, arrays: Sequence[Any], params: dict[str, Any]) -> Exception:
    """The error to raise where a forward failed: one line with op, arguments, reason and the user's line.

    Errors that are not about the arguments pass unchanged but for a note.
    """
    if isinstance(error, OperationError):
        return error
    names = op.inputs if op.variadic is None else [f"{op.variadic}[{i}]" for i in range(len(arrays))]
    given = [f"{n}: {describe(a)}" for n, a in zip(names, arrays, strict=False) if a is not None]
    given += [f"{k}={setting(v)}" for k, v in params.items() if op.params[k] is not v]
    call = f"{op.name}({', '.join(given)})"
    if lacking := [n for n, a in zip(names, arrays, strict=False) if a is None and n in op.required]:
        error = TypeError(f"{', '.join(lacking)} must be given, got None")
    elif isinstance(error, AttributeError) and (
        bare := [n for n, a in zip(names, arrays, strict=False) if is_number(a)]
    ):
        error = TypeError(f"{', '.join(bare)} must be an array, got a number: np.asarray(...)")
    if isinstance(error, MemoryError):
        devices = {BY_TYPE[type(a)].device for a in arrays if type(a) in BY_TYPE}
        said = " ".join(str(error).split()) or "there is no room for what it makes"
        how = "a smaller batch, tg.checkpoint around a part of the model, or a smaller dtype needs less"
        return KINDS[MemoryError](
            f"{call}: out of memory on {' and '.join(sorted(devices))}: {said}; {how} [{user_line()}]"
        )
    if not isinstance(error, (ValueError, TypeError, IndexError)):
        error.add_note(f"in {call}, called at {user_line()}")
        return error
    shapes = [None if a is None else getattr(a, "shape", ()) for a in arrays]
    diagnose = op.facts.get("diagnose")
    if isinstance(error, TypeError):
        why = no_loop(str(error), [a for a in arrays if a is not None])
    elif diagnose:
        why = diagnose(*shapes, **params)
    else:
        why = no_broadcast([s for s in shapes if s]) if "broadcast" in str(error) else None
    kind = next(k for k in (TypeError, IndexError, ValueError) if isinstance(error, k))
    said = KINDS[kind](f"{call}: {why or ' '.join(str(error).split())} [{user_line()}]")
    if inside := users_body(error):
        said.add_note(f"raised at {inside}")
    return said


def users_body(error: Exception) -> str | None:
    """'file:line' in the user's own forward or kernel, where the error came out of one."""
    for frame, line in walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith((PACKAGE, "<op ")):
            return None if frame.f_globals.get("__name__", "").startswith(("numpy.", "cupy.")) else f"{file}:{line}"
    return None
