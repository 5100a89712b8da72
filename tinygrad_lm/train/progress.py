"""What a run says while it works: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

__all__ = ["Bar", "Lines", "Progress", "Quiet", "progress_for", "readable_bytes", "readable_seconds"]

SECONDS_BETWEEN_LINES = 5.0


class Progress(Protocol):
    """Told of every step; ``say`` is for whole lines of text."""

    def say(self, text: str) -> None: ...
    def start(self, step: int, steps: int) -> None: ...
    def step(self, row: dict[str, Any]) -> None: ...
    def stop(self) -> None: ...


class Quiet:
    """Says nothing."""

    def say(self, text: str) -> None: ...
    def start(self, step: int, steps: int) -> None: ...
    def step(self, row: dict[str, Any]) -> None: ...
    def stop(self) -> None: ...


class Lines:
    """A line every few seconds and at every validation."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def start(self, step: int, steps: int) -> None:
        self.first, self.steps = step, steps
        self.began = self.spoke = time.monotonic()

    def step(self, row: dict[str, Any]) -> None:
        now = time.monotonic()
        done = row["step"] - self.first
        if row["val_loss"] is None and row["step"] < self.steps and now - self.spoke < SECONDS_BETWEEN_LINES:
            return
        self.spoke = now
        left = (now - self.began) / done * (self.steps - row["step"])
        self.say(f"step {row['step']}/{self.steps}  {describe(row)}  {readable_seconds(left)} left")

    def stop(self) -> None: ...


class Bar:
    """rich's progress bar, with validations printed above it."""

    def __init__(self) -> None:
        from rich import progress

        self.bar = progress.Progress(
            progress.TextColumn("step {task.completed}/{task.total}"),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.description}"),
            progress.TimeRemainingColumn(),
        )

    def say(self, text: str) -> None:
        self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def start(self, step: int, steps: int) -> None:
        self.task = self.bar.add_task("", total=steps, completed=step)
        self.bar.start()

    def step(self, row: dict[str, Any]) -> None:
        self.bar.update(self.task, completed=row["step"], description=describe(row))
        if row["val_loss"] is not None:
            self.say(f"step {row['step']}  {describe(row)}")

    def stop(self) -> None:
        self.bar.stop()


def progress_for(stream: Any = None) -> Progress:
    """A bar if ``stream`` (standard output) is a terminal, else lines."""
    return Bar() if (stream or sys.stdout).isatty() else Lines()


def describe(row: dict[str, Any]) -> str:
    validation = "" if row["val_loss"] is None else f"  validation {row['val_loss']:.4f}"
    return f"loss {row['train_loss']:.4f}{validation}  {row['tokens_per_s']:,.0f} tokens/s"


def readable_seconds(seconds: float) -> str:
    """
    >>> readable_seconds(8), readable_seconds(100), readable_seconds(7300)
    ('8 s', '1 min 40 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def readable_bytes(count: float) -> str:
    """
    >>> readable_bytes(2_500_000), readable_bytes(3_000_000_000)
    ('2.5 MB', '3.0 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
