"""One training run in memory: what a step reads and changes, the step itself, and its state to save and to restore."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from tinygrad_lm.backend import Generator, get_backend, kernels_in_use, use_kernels
from tinygrad_lm.data import Batches, Tokenizer, UserError
from tinygrad_lm.models import GPT, GPTConfig
from tinygrad_lm.optim import AdamW, Schedule, clip_grad_norm_, decay_groups, schedule
from tinygrad_lm.train.checkpoint import Checkpoint
from tinygrad_lm.train.config import TrainConfig, recorded
from tinygrad_lm.train.evaluate import evaluate

__all__ = ["Trainer", "build_model", "kernels_for", "schedule_of"]


def build_model(config: TrainConfig, vocab_size: int, generator: Generator) -> GPT:
    """The GPT that ``config`` describes, freshly initialised, on its device; ``generator`` also feeds its dropout."""
    shape = GPTConfig(
        vocab_size=vocab_size,
        context=config.context,
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        dropout=config.dropout,
        bias=config.bias,
    )
    return GPT(shape, generator=generator, dtype=np.dtype(config.dtype)).to(config.device)


@contextmanager
def kernels_for(device: str, kernels: str) -> Iterator[str]:
    """Within the block these kernels compute ("auto": the best that can be used); yields the name of their table.

    Raises Unavailable or UserError, with the reason, where the device or the kernels cannot be used.
    """
    with ExitStack() as stack:
        try:
            if kernels != "auto":
                stack.enter_context(use_kernels(kernels, device))
            word = kernels_in_use(device)
        except ValueError as error:  # a table of another device, or a TINYGRAD_LM_ variable that names none
            raise UserError(str(error)) from None
        yield word


def schedule_of(config: TrainConfig) -> Schedule:
    """The learning rate of the update after ``step`` (0, 1, 2, …) updates, from ``learning_rate`` down to the
    share ``decay_to`` of it at step ``decay_steps``."""
    high, low = config.learning_rate, config.learning_rate * config.decay_to
    total = max(config.decay_steps or config.steps, 1)
    if config.schedule == "one_cycle":
        return schedule.one_cycle(high, total, rise=min(config.warmup, total - 1) / total, start=low, final=low)
    falling = max(total - config.warmup, 1)
    if config.schedule == "constant":
        after = schedule.constant(high)
    elif config.schedule == "step":  # three plateaus of equal length, each lower by the same factor
        plateaus = schedule.step(high, math.ceil(falling / 3), math.sqrt(config.decay_to))
        after = lambda step: max(plateaus(step), low)  # noqa: E731
    else:
        after = {"linear": schedule.linear, "cosine": schedule.cosine}[config.schedule](high, falling, low)
    return schedule.warmup(after, config.warmup)


class Trainer:
    """A model, its optimizer, its batches and the step they are at.

    ``state()`` is all that the next step depends on, and ``load(state)`` puts it back: a run that is saved and loaded
    between any two steps ends with the same bits as one that is not. ``text`` is the fingerprint of the training text.
    """

    def __init__(
        self,
        config: TrainConfig,
        tokenizer: Tokenizer,
        train_tokens: np.ndarray,
        val_tokens: np.ndarray,
        text: str = "",
    ):
        root = Generator(config.seed)
        self.streams = {"model": root.spawn("model"), "batches": root.spawn("batches")}
        self.batches = Batches(train_tokens, config.batch, config.context, self.streams["batches"])
        if len(val_tokens) < 2:
            raise UserError("the text is too short: its last 10 %, to validate on, must hold at least 2 tokens")
        self.model = build_model(config, tokenizer.size, self.streams["model"])
        self.optimizer = AdamW(
            decay_groups(self.model.parameters(), config.weight_decay),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
        )
        self.config, self.tokenizer, self.val_tokens, self.text = config, tokenizer, val_tokens, text
        self.backend, self.rate = get_backend(config.device), schedule_of(config)
        self.step = 0

    def train_step(self) -> dict[str, Any]:
        """One optimizer step. Returns its row of metrics, without a validation loss.

        Raises UserError (exit code 1), with weights and optimizer unchanged, if the loss or the norm of the gradients
        is not a number.
        """
        began = time.perf_counter()
        config, step = self.config, self.step + 1
        rate = self.rate(self.step)
        for group in self.optimizer.groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        with np.errstate(all="ignore"):  # an overflow shows in the loss or the norm, which are looked at
            loss = sum(self.micro_batch(*next(self.batches)) for _ in range(config.accumulate))
            if not math.isfinite(loss):
                raise not_finite(step, "training loss", loss)
            norm = clip_grad_norm_(self.model.parameters(), config.clip or math.inf)
            if not math.isfinite(norm):
                raise not_finite(step, "norm of the gradients", norm)
            self.optimizer.step()
        self.step = step
        return {
            "step": step,
            "train_loss": loss,
            "val_loss": None,
            "lr": rate,
            "grad_norm": norm,
            "tokens_per_s": round(config.tokens_per_step / (time.perf_counter() - began), 1),
        }

    def micro_batch(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Adds its share of the step's gradient, and returns its share of the step's loss."""
        to_device = self.backend.from_numpy
        loss = self.model.loss(to_device(ids), to_device(targets)) / self.config.accumulate
        loss.backward()
        return float(loss.item())

    def probe(self) -> float:
        """The seconds that a step takes, measured on one that leaves no trace: gradients and random streams return to
        what they were."""
        ids = np.zeros((self.config.batch, self.config.context), np.int64)
        before = {name: stream.state() for name, stream in self.streams.items()}
        seconds = math.inf
        with np.errstate(all="ignore"):
            for _ in range(2):  # the first also pays for what is done once
                began = time.perf_counter()
                self.micro_batch(ids, ids)
                seconds = min(seconds, time.perf_counter() - began)
        self.optimizer.zero_grad()
        for name, stream in self.streams.items():
            stream.load_state(before[name])
        return seconds * self.config.accumulate

    def validate(self) -> float:
        """The loss over the whole validation split. Raises UserError (exit code 1) if it is not a number."""
        return self.loss_on(self.val_tokens)

    def check(self) -> None:
        """Raises UserError (exit code 1) if the weights give no finite loss: they must not replace good ones."""
        self.loss_on(self.val_tokens[: self.config.context + 1])

    def loss_on(self, tokens: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            loss = evaluate(self.model, tokens, self.config.context, self.config.device)
        if not math.isfinite(loss):
            raise not_finite(self.step, "validation loss", loss)
        return loss

    def state(self) -> Checkpoint:
        """Everything the next step depends on. On a CPU the arrays are the model's own, not copies: save at once."""
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        flat = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        return Checkpoint(
            step=self.step,
            config=recorded(self.config),
            tokenizer=self.tokenizer.state(),
            random={name: stream.state() for name, stream in self.streams.items()},
            text=self.text,
            arrays={name: self.backend.to_numpy(v) for name, v in flat.items() if hasattr(v, "shape")},
            numbers={name: v for name, v in flat.items() if not hasattr(v, "shape")},
        )

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue where ``state()`` was taken. Raises UserError if it belongs to another model."""
        load_weights(self.model, checkpoint)
        try:
            self.optimizer.load_state_dict(checkpoint.part("optimizer"))
            for name, stream in self.streams.items():
                stream.load_state(checkpoint.random[name])
        except (ValueError, KeyError) as error:
            raise UserError(f"the checkpoint does not fit: {error}", exit_code=1) from None
        self.step = checkpoint.step


def not_finite(step: int, what: str, value: float) -> UserError:
    return UserError(f"step {step}: the {what} is {value}; a lower learning_rate may help", exit_code=1)


def load_weights(model: GPT, checkpoint: Checkpoint) -> None:
    """Raises UserError, before anything is written, if the weights are of another model."""
    try:
        model.load_state_dict(checkpoint.part("model"))
    except ValueError as error:
        raise UserError(f"the checkpoint does not fit: {error}", exit_code=1) from None
