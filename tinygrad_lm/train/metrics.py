"""metrics.jsonl: one row per step, appended as it happens, cut back to the checkpoint when a run is resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Metrics", "read_metrics"]

COLUMNS = ("step", "train_loss", "val_loss", "lr", "grad_norm", "tokens_per_s")


class Metrics:
    """The open file. Opening keeps the rows up to ``step`` and drops later ones and a torn last line."""

    def __init__(self, path: Path, step: int):
        if path.exists():
            os.truncate(path, sum(len(line) for _, line in whole_rows(path, step)))
        self.file = open(path, "ab", buffering=0)

    def write(self, row: dict[str, Any]) -> None:
        """One whole line in one system call."""
        self.file.write(json.dumps({name: row[name] for name in COLUMNS}).encode() + b"\n")

    def synchronize(self) -> None:
        """The rows a checkpoint stands on must not be younger than it after a power cut."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a metrics file; none if there is no file."""
    return [row for row, _ in whole_rows(path)] if path.exists() else []


def whole_rows(path: Path, last: float = float("inf")) -> list[tuple[dict[str, Any], bytes]]:
    """Rows and their bytes up to step ``last``, ending before the first line that is not a row."""
    rows = []
    with open(path, "rb") as file:
        for line in file:
            try:
                row = json.loads(line)
                step = row["step"]
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n") or step > last:
                break
            rows.append((row, line))
    return rows
