"""fit: a run from its configuration to its folder. Start or resume, step, validate, save, and say what happened."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_lm.backend import Generator
from tinygrad_lm.data import TOKENIZERS, Corpus, UserError, read_corpus, split_text, tokenizer_from_state
from tinygrad_lm.data.corpus import STANDARD_INPUT
from tinygrad_lm.models import generate
from tinygrad_lm.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, write_atomically
from tinygrad_lm.train.config import (
    MAY_CHANGE,
    SHAPE,
    TrainConfig,
    absolute,
    config_from_dict,
    config_to_toml,
    recorded,
)
from tinygrad_lm.train.estimate import check_memory, expected_memory, expected_seconds
from tinygrad_lm.train.folder import RunFolder, existing_run, new_run
from tinygrad_lm.train.metrics import Metrics, read_metrics
from tinygrad_lm.train.picture import draw_losses
from tinygrad_lm.train.progress import Progress, progress_for, readable_bytes, readable_seconds
from tinygrad_lm.train.signals import stop_on_signals
from tinygrad_lm.train.trainer import Trainer, kernels_for, load_weights

__all__ = ["Result", "fit", "resume"]


@dataclass(frozen=True)
class Result:
    """How a run ended. ``stopped_by`` is the signal that stopped it before its last step, or None."""

    folder: Path
    step: int
    val_loss: float | None
    stopped_by: int | None = None


def fit(config: TrainConfig, *, name: str = "run", overwrite: bool = False, progress: Progress | None = None) -> Result:
    """Trains a new model as ``config`` says and returns where it is.

    The run folder is ``config.out``, or a new one ``runs/<name>-<n>``. Progress is shown as a bar on a terminal and as
    lines elsewhere; ``progress=Quiet()`` for silence. Raises UserError for what the user can mend.
    """
    progress = progress or progress_for()
    begin = first_weights(config.check())
    corpus = read_text(config, progress)
    with computing(absolute(config)) as config:
        trainer = new_trainer(config, corpus, begin)
        folder = new_run(config.out, name)
        with folder.locked():
            folder.make_room(overwrite)
            save_checkpoint(folder.checkpoint, trainer.state())  # first of all: from here on the run can be resumed
            return run(trainer, folder, progress)


def resume(
    path: str | os.PathLike[str], changes: Mapping[str, Any] | None = None, *, progress: Progress | None = None
) -> Result:
    """Continues the run in folder ``path`` to the same bits as if it had never stopped.

    ``changes`` may name other values for what no step depends on (``MAY_CHANGE``). More steps than before leave the
    schedule where it was. Raises UserError for any other change, or if the text is not the same any more.
    """
    folder = existing_run(path)
    progress = progress or progress_for()
    with folder.locked():
        checkpoint = load_checkpoint(folder.checkpoint)
        config = resumed_config(checkpoint, changes or {}, str(path))
        if checkpoint.step >= config.steps:
            progress.say(
                f"{path}: this run is finished ({checkpoint.step} of {config.steps} steps); "
                f"--steps N trains on, --init-from {path} begins a new run with its weights"
            )
            return conclude(config, checkpoint.step, folder, progress)
        corpus = read_text(config, progress)
        if corpus.fingerprint != checkpoint.text:
            raise UserError(
                f"{', '.join(config.data)}: not the text that this run was trained on, so it cannot be resumed; "
                f"name the same text with --data, or begin a new run with --init-from {path}"
            )
        with computing(absolute(config)) as config:
            trainer = new_trainer(config, corpus, checkpoint)
            trainer.load(checkpoint)
            return run(trainer, folder, progress)


def first_weights(config: TrainConfig) -> Checkpoint | None:
    """The run that ``init_from`` names, if it does. Raises UserError if its model has another shape."""
    if not config.init_from:
        return None
    begin = load_checkpoint(existing_run(config.init_from).checkpoint)
    shape = config_from_dict(begin.config, config.init_from)
    for name in SHAPE:
        if getattr(config, name) != getattr(shape, name):
            raise UserError(
                f"{config.init_from}: its model has {name} {getattr(shape, name)}, not {getattr(config, name)}; "
                f"fine-tuning keeps the shape of the model, so leave {name} out"
            )
    return begin


def read_text(config: TrainConfig, progress: Progress) -> Corpus:
    """The text to train on, and a line about files of a folder that hold none."""
    corpus = read_corpus(config.data)
    if corpus.skipped:
        progress.say(f"left out    {', '.join(corpus.skipped)}: not text")
    return corpus


def new_trainer(config: TrainConfig, corpus: Corpus, begin: Checkpoint | None = None) -> Trainer:
    """A trainer at step 0, with the tokenizer and the weights of ``begin`` if there is one."""
    parts = split_text(corpus.text)
    if begin:
        tokenizer = tokenizer_from_state(begin.tokenizer)
    elif config.tokenizer == "bpe":
        tokenizer = TOKENIZERS["bpe"].train(parts[0], config.vocab)
    else:
        tokenizer = TOKENIZERS[config.tokenizer].train(corpus.text, config.vocab)
    check_memory(config, tokenizer.size)
    train_tokens, val_tokens = (tokenizer.encode(part, ", ".join(corpus.files)) for part in parts)
    trainer = Trainer(config, tokenizer, train_tokens, val_tokens, corpus.fingerprint)
    if begin:
        load_weights(trainer.model, begin)
    return trainer


def resumed_config(checkpoint: Checkpoint, changes: Mapping[str, Any], path: str) -> TrainConfig:
    """The checkpoint's configuration with the changes that a resumed run may make."""
    before = config_from_dict(checkpoint.config, path)
    after = dataclasses.replace(before, **changes).check()
    for name, value in recorded(after).items():
        if name not in MAY_CHANGE and value != getattr(before, name):
            raise UserError(
                f"{path}: this run has {name} {getattr(before, name)}, and a resumed run cannot change it to {value}; "
                f"leave the option out, or begin a new run with --init-from {path}"
            )
    if after.steps < checkpoint.step:
        raise UserError(f"{path}: already at step {checkpoint.step}; --steps {after.steps} is fewer")
    return after


@contextmanager
def computing(config: TrainConfig) -> Iterator[TrainConfig]:
    """Within the block the configuration's kernels compute. Yields it with the words that a resumed run will need:
    which kernels ``auto`` stands for here, and the step at which the schedule ends.

    Raises Unavailable, with the reason, where the device or the kernels cannot be used.
    """
    with kernels_for(config.device, config.kernels) as word:
        yield dataclasses.replace(config, kernels=word, decay_steps=config.decay_steps or max(config.steps, 1))


def run(trainer: Trainer, folder: RunFolder, progress: Progress) -> Result:
    """Steps until the last one or a signal; every file of the folder is written here, but for the first checkpoint."""
    config = trainer.config
    saved = trainer.step
    try:
        write_atomically(folder.config, config_to_toml(config))
        with Metrics(folder.metrics, trainer.step) as metrics, stop_on_signals() as request:
            announce(trainer, folder, progress)
            progress.start(trainer.step, config.steps)
            try:
                while trainer.step < config.steps and request.signal is None:
                    row = trainer.train_step()
                    if due(config.eval_every, trainer.step) or trainer.step == config.steps:
                        row["val_loss"] = trainer.validate()
                        write_sample(trainer, folder)
                    metrics.write(row)
                    progress.step(row)
                    if due(config.save_every, trainer.step):
                        saved = save(trainer, folder, metrics)
                if saved < trainer.step:
                    saved = save(trainer, folder, metrics)
            finally:
                progress.stop()
    except BrokenPipeError:
        raise
    except (UserError, OSError) as error:
        what = f"{error.filename or folder.path}: {error.strerror}" if isinstance(error, OSError) else error
        raise UserError(f"{what}; {folder.path} keeps the checkpoint of step {saved}", exit_code=1) from None
    return conclude(config, trainer.step, folder, progress, request.signal)


def save(trainer: Trainer, folder: RunFolder, metrics: Metrics) -> int:
    """Makes this step the one that a resumed run begins with, and returns it; unless its weights are no good."""
    trainer.check()
    metrics.synchronize()
    save_checkpoint(folder.checkpoint, trainer.state())
    return trainer.step


def due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def announce(trainer: Trainer, folder: RunFolder, progress: Progress) -> None:
    """Where the run is, what it is, and how long and how much memory it is expected to take."""
    config, model = trainer.config, trainer.model
    train_tokens, val_tokens = len(trainer.batches.tokens), len(trainer.val_tokens)
    progress.say(f"run folder  {folder.path}")
    progress.say(
        f"text        {train_tokens:,} tokens to train on, {val_tokens:,} to validate on; "
        f"{trainer.tokenizer.kind} tokenizer with {trainer.tokenizer.size} tokens"
    )
    progress.say(
        f"model       {model.num_parameters():,} parameters: {config.layers} layers, {config.heads} heads, width "
        f"{config.width}, context {config.context}; {config.dtype} on {config.device}, {config.kernels} kernels"
    )
    step = trainer.probe()
    seconds = expected_seconds(config, step, trainer.step, val_tokens)
    memory = expected_memory(config, model.num_parameters(), trainer.tokenizer.size)
    progress.say(
        f"expected    about {readable_seconds(seconds)} for {config.steps - trainer.step} steps of "
        f"{step * 1000:.0f} ms, and {readable_bytes(memory)} of memory (estimates)"
    )


def write_sample(trainer: Trainer, folder: RunFolder) -> None:
    """A text from the model as it is now, in samples/. Its random numbers depend on the seed and the step alone, so the
    next steps do not depend on whether there was a sample."""
    config = trainer.config
    if config.sample_tokens:
        prompt = trainer.tokenizer.encode(trainer.tokenizer.opening)
        generator = Generator(config.seed).spawn(f"sample {trainer.step}")
        ids = generate(trainer.model, prompt, config.sample_tokens, temperature=0.8, generator=generator)
        text = trainer.tokenizer.decode([*prompt, *ids])
        folder.samples.mkdir(exist_ok=True)
        folder.sample(trainer.step).write_text(text + "\n", encoding="utf-8")


def conclude(
    config: TrainConfig, step: int, folder: RunFolder, progress: Progress, stopped_by: int | None = None
) -> Result:
    """The picture, the last sample, and how to go on."""
    rows = read_metrics(folder.metrics)
    if rows:
        progress.say(draw_losses(rows, folder.picture, folder.path.name))
    path = shlex.quote(str(folder.path))
    if step < config.steps:
        again = ", with the same text on standard input" if STANDARD_INPUT in config.data else ""
        progress.say(f"stopped and saved at step {step} of {config.steps}; to continue{again}:")
        progress.say(f"tinygrad-lm train --resume {path}")
    else:
        if folder.sample(step).exists():
            progress.say(f"a sample    {folder.sample(step)}:\n")
            progress.say(folder.sample(step).read_text(encoding="utf-8"))
        progress.say(f"more text:  tinygrad-lm sample {path} --tokens 500")
        progress.say(f"run folder  {folder.path}")
    return Result(folder.path, step, last_validation(folder), stopped_by)


def last_validation(folder: RunFolder) -> float | None:
    losses = [row["val_loss"] for row in read_metrics(folder.metrics) if row["val_loss"] is not None]
    return losses[-1] if losses else None
