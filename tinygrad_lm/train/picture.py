"""loss.png: the losses of a run over its steps, drawn by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw_losses"]

POINTS = 200  # the training loss is averaged down to about this many, or its noise hides its course


def draw_losses(rows: Sequence[dict[str, Any]], path: Path, title: str) -> str:
    """Draws the rows of a metrics file and returns one line that says where, or why there is no picture.

    A picture is never worth a run: whatever goes wrong here is told, not raised.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture of the loss: pip install 'tinygrad-lm[plot]'"
    try:
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        group = max(1, len(rows) // POINTS)
        groups = [rows[i : i + group] for i in range(0, len(rows), group)]
        axes.plot(
            [g[-1]["step"] for g in groups],
            [sum(row["train_loss"] for row in g) / len(g) for g in groups],
            color="0.6",
            label="training",
        )
        validated = [row for row in rows if row["val_loss"] is not None]
        axes.plot(
            [row["step"] for row in validated],
            [row["val_loss"] for row in validated],
            color="tab:blue",
            marker="o",
            label="validation",
        )
        if validated:
            last = validated[-1]
            axes.annotate(
                f"{last['val_loss']:.3f}",
                (last["step"], last["val_loss"]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="right",
                color="tab:blue",
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )
        axes.set(xlabel="step", ylabel="loss (nats per token)", title=title)
        axes.margins(y=0.1)  # room for the number
        axes.grid(alpha=0.25)
        axes.legend()
        figure.savefig(path, dpi=120)
    except Exception as error:
        return f"no picture of the loss: {type(error).__name__}: {error}"
    return f"loss picture  {path}"
