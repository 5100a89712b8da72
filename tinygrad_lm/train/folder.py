"""The run folder: which file is what, and when a folder may be used."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinygrad_lm.data.corpus import CHECKPOINT
from tinygrad_lm.data.errors import UserError

__all__ = ["RunFolder", "existing_run", "new_run"]


@dataclass(frozen=True)
class RunFolder:
    """The files of a run. A folder holds a run exactly when it holds the checkpoint."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def picture(self) -> Path:
        return self.path / "loss.png"

    def sample(self, step: int) -> Path:
        return self.samples / f"step-{step:07d}.txt"

    def make_room(self, overwrite: bool = False) -> None:
        """For a new run; call it while the folder is locked. ``overwrite`` removes the files of a run, and nothing else
        that may lie there; the checkpoint last, so that the folder counts as a run until the end.

        Raises UserError if there is a run (unless ``overwrite``), or other files by the names that a run would write.
        """
        if self.checkpoint.exists():
            if not overwrite:
                raise UserError(
                    f"{self.path}: already holds a run; continue it with --resume {self.path}, or use another --out"
                )
            shutil.rmtree(self.samples, ignore_errors=True)
            for file in (self.config, self.metrics, self.picture, self.checkpoint):
                file.unlink(missing_ok=True)
        for file in (self.config, self.metrics, self.picture, self.samples):
            if file.exists():
                raise UserError(
                    f"{self.path}: holds {file.name} but no run, and it will not be replaced; use another --out"
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from training in the same folder; the system lets go when this one ends, however."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise UserError(f"{self.path}: another process is training in this folder", exit_code=1) from None
        finally:
            os.close(handle)


def new_run(out: str, name: str) -> RunFolder:
    """The folder ``out``, or the first free one of runs/<name>-1, -2, … if ``out`` is empty; created.

    Raises UserError if it cannot be. What it holds is not looked at: see ``make_room``.
    """
    if not out:
        return numbered_run(name)
    folder = RunFolder(Path(out))
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be used as a run folder ({error.strerror})") from None
    return folder


def numbered_run(name: str) -> RunFolder:
    number = 1
    while True:
        folder = RunFolder(Path("runs", f"{name}-{number}"))
        try:
            folder.path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UserError(f"{folder.path}: cannot be created ({error.strerror}); use --out FOLDER") from None
        else:
            return folder


def existing_run(path: str | os.PathLike[str]) -> RunFolder:
    """The run at ``path``; raises UserError if there is none."""
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise UserError(f"{path}: no such run folder")
    if not folder.checkpoint.exists():
        raise UserError(f"{path}: holds no run (no {folder.checkpoint.name} in it)")
    return folder
