"""One safetensors file that holds all of a run: weights, optimizer, random streams, loader, step, config, tokenizer.

Arrays are tensors of the file; everything else is one JSON text in its metadata. Nothing is ever unpickled, so loading
cannot run code. A save is atomic: contiguous arrays, a temporary file beside the old one, fsync, replace, fsync of the
folder. Whatever happens on the way, the file under the final name is a whole checkpoint, the old or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lm.data.errors import UserError

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

FORMAT = "tinygrad_lm run"
VERSION = 1
KINDS = {"step": int, "config": dict, "tokenizer": dict, "random": dict, "text": str, "numbers": dict}
KEY = "tinygrad_lm"  # one metadata key, so that equal states give equal files: the library orders keys at random


@dataclass
class Checkpoint:
    """What the file holds. ``arrays`` is flat (``model.…``, ``optimizer.…``); the rest is JSON."""

    step: int
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    random: dict[str, dict[str, int]]  # name of a stream -> the two integers of its generator
    text: str  # fingerprint of the training text
    arrays: dict[str, np.ndarray]
    numbers: dict[str, Any] = field(default_factory=dict)  # what of the optimizer's state is not an array

    def part(self, name: str) -> dict[str, Any]:
        """The arrays and numbers below ``name.``, without that prefix.

        >>> Checkpoint(0, {}, {}, {}, "", {"model.w": 1, "optimizer.m.w": 2}, {"optimizer.t": 3}).part("optimizer")
        {'m.w': 2, 't': 3}
        """
        prefix = name + "."
        return {k.removeprefix(prefix): v for k, v in {**self.arrays, **self.numbers}.items() if k.startswith(prefix)}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Replaces the file at ``path`` by this checkpoint, or leaves it as it was and raises UserError (exit code 1)."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    state = {
        "format": FORMAT,
        "version": VERSION,
        "step": checkpoint.step,
        "config": checkpoint.config,
        "tokenizer": checkpoint.tokenizer,
        "random": checkpoint.random,
        "text": checkpoint.text,
        "numbers": checkpoint.numbers,
    }
    temporary = path.with_name(path.name + ".tmp")
    try:
        # The library writes the memory behind an array, whatever its strides say: what is not contiguous is copied.
        arrays = {name: np.asarray(a, order="C") for name, a in checkpoint.arrays.items()}
        save_file(arrays, temporary, metadata={KEY: json.dumps(state)})
        os.chmod(temporary, path.parent.stat().st_mode & 0o666)  # as the folder: the library lets only the owner read
        synchronize(temporary)
        os.replace(temporary, path)
        synchronize(path.parent)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: step {checkpoint.step} could not be saved ({reason(error)})", exit_code=1) from None


def load_checkpoint(path: str | os.PathLike[str], arrays: bool = True) -> Checkpoint:
    """Reads what ``save_checkpoint`` wrote; all but the arrays if they are not wanted.

    Raises UserError, one line: missing, truncated, not ours, or from a newer version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if arrays else {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path}: truncated, damaged or not a safetensors file ({error})", exit_code=1) from None
    try:
        state = json.loads(text or "null")
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise UserError(f"{path}: a safetensors file, but not a checkpoint of tinygrad_lm", exit_code=1)
        if state["version"] > VERSION:
            raise UserError(
                f"{path}: checkpoint format {state['version']}, this version reads up to {VERSION}; "
                f"upgrade tinygrad_lm",
                exit_code=1,
            )
        for name, kind in KINDS.items():
            if not isinstance(state[name], kind):
                raise TypeError(f"{name} is {state[name]!r}")
        return Checkpoint(**{name: state[name] for name in KINDS}, arrays=tensors)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged checkpoint ({type(error).__name__}: {error})", exit_code=1) from None


def write_atomically(path: Path, text: str) -> None:
    """Replaces a small text file in one step."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def synchronize(path: Path) -> None:
    """Waits until the file (or folder entry) is on the disk, not only in memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reason(error: Exception) -> str:
    """The operating system's words, without the library's around them."""
    return getattr(error, "strerror", None) or str(error).removeprefix("Error while serializing: I/O error: ")
