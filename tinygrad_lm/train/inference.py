"""A trained run for use: its model in evaluation mode, its tokenizer and its configuration."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from tinygrad_lm.backend import Generator
from tinygrad_lm.data import Tokenizer, tokenizer_from_state
from tinygrad_lm.models import GPT
from tinygrad_lm.train.checkpoint import load_checkpoint
from tinygrad_lm.train.config import TrainConfig, config_from_dict
from tinygrad_lm.train.folder import existing_run
from tinygrad_lm.train.trainer import build_model, load_weights

__all__ = ["TrainedRun", "load_run"]


@dataclass(frozen=True)
class TrainedRun:
    """What a run folder holds, ready to generate and to be evaluated."""

    model: GPT
    tokenizer: Tokenizer
    config: TrainConfig
    step: int
    text: str  # fingerprint of the training text


def load_run(path: str | os.PathLike[str], device: str | None = None) -> TrainedRun:
    """The run in folder ``path``, on ``device`` (default: where it was trained).

    Raises UserError if there is none or it is damaged.
    """
    checkpoint = load_checkpoint(existing_run(path).checkpoint)
    config = config_from_dict(checkpoint.config, str(path)).check()
    if device:
        config = dataclasses.replace(config, device=device)
    tokenizer = tokenizer_from_state(checkpoint.tokenizer)
    model = build_model(config, tokenizer.size, Generator(0))
    load_weights(model, checkpoint)
    return TrainedRun(model.eval(), tokenizer, config, checkpoint.step, checkpoint.text)
