"""Every option of a training run, once: the command line, TOML files and documentation are made from this class."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tinygrad_lm.data.corpus import PYTHON_REFERENCE, STANDARD_INPUT
from tinygrad_lm.data.errors import UserError, nearest
from tinygrad_lm.train.checkpoint import load_checkpoint
from tinygrad_lm.train.folder import existing_run

__all__ = ["PRESETS", "TrainConfig", "config_from_toml", "config_to_toml", "resolve_config"]


def option(default: Any, help: str, **limits: Any) -> Any:
    """A field with its help text, what it may be (``low`` and ``high`` inclusive, ``below``, ``choices``), and the word
    for its value in a command's help (``metavar``)."""
    metadata = {"help": help, **limits}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class TrainConfig:
    """What a run is made of. The defaults are the preset ``quick``."""

    # the text
    data: list[str] = option([PYTHON_REFERENCE], "files, folders, - for standard input, or python-reference")
    tokenizer: str = option("char", "how text becomes integers", choices=("char", "byte", "bpe"))
    vocab: int = option(512, "tokens that bpe learns (char and byte need no number)", low=256, high=1_000_000)

    # the model
    layers: int = option(2, "transformer blocks", low=1)
    heads: int = option(4, "attention heads; must divide the width", low=1)
    width: int = option(128, "features per token", low=1)
    context: int = option(64, "tokens the model sees at once", low=1)
    dropout: float = option(0.0, "share of activations dropped while training", low=0.0, below=1.0)
    bias: bool = option(False, "biases in linear layers and layer norms")

    # the steps
    steps: int = option(1000, "optimizer steps", low=0)
    batch: int = option(12, "windows of text per micro-batch", low=1)
    accumulate: int = option(1, "micro-batches whose mean gradient makes one step", low=1)
    learning_rate: float = option(4e-3, "highest learning rate", low=0.0)
    decay_to: float = option(0.1, "share of it that is left at the end of the schedule", low=0.0, high=1.0)
    schedule: str = option(
        "cosine",
        "how the learning rate falls after the warm-up (step: on three plateaus)",
        choices=("constant", "linear", "cosine", "step", "one_cycle"),
    )
    warmup: int = option(50, "steps over which the learning rate rises (one_cycle: the first part of the cycle)", low=0)
    decay_steps: int = option(0, "step at which the schedule reaches its end; 0: the last step", low=0)
    weight_decay: float = option(0.1, "AdamW's decay, on matrices only", low=0.0)
    beta1: float = option(0.9, "AdamW's memory of gradients", low=0.0, below=1.0)
    beta2: float = option(0.99, "AdamW's memory of squared gradients", low=0.0, below=1.0)
    clip: float = option(1.0, "largest gradient norm; 0: no clipping", low=0.0)

    # what is written down, and when
    eval_every: int = option(250, "steps between validations and samples; 0: only at the end", low=0)
    save_every: int = option(100, "steps between checkpoints; 0: only at the start and the end", low=0)
    sample_tokens: int = option(300, "tokens in each sample; 0: no samples", low=0)
    out: str = option("", "run folder; default: a new one under runs/", metavar="DIR")

    # how it is computed
    seed: int = option(0, "decides weights, batches, dropout and samples", low=0, high=2**64 - 1)
    dtype: str = option("float32", "of weights and activations", choices=("float32", "float64"))
    device: str = option("cpu", "where arrays live", choices=("cpu", "cuda"))
    kernels: str = option("auto", "which kernels compute", choices=("auto", "reference", "native", "emulated", "cuda"))
    init_from: str = option("", "run whose weights and tokenizer to begin with (fine-tuning)", metavar="DIR")

    def check(self) -> TrainConfig:
        """Returns itself, or raises UserError naming the first value that cannot be."""
        for f in fields(self):
            check_value(f, getattr(self, f.name))
        if self.width % self.heads:
            raise UserError(
                f"heads must divide width: {self.heads} heads do not divide a width of {self.width}; "
                f"try {largest_divisor(self.width, self.heads)} heads or a width of "
                f"{-(-self.width // self.heads) * self.heads}"
            )
        if self.schedule == "step" and not self.decay_to:
            raise UserError("schedule 'step' falls by equal factors, so decay_to must be above 0")
        if self.device == "cuda" and self.kernels in ("native", "emulated"):
            raise UserError(f"kernels {self.kernels!r} work on device cpu; on cuda use cuda, reference or auto")
        if self.device == "cpu" and self.kernels == "cuda":
            raise UserError("kernels 'cuda' need device cuda")
        return self

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.context * self.accumulate


# The model's shape: fine-tuning takes these from the run it begins with.
SHAPE = ("tokenizer", "vocab", "layers", "heads", "width", "context", "bias")

# A resumed run may change these; none of them alters what a step computes. (The text may lie elsewhere, but must be
# the same text; more steps than before leave the schedule where it was.)
MAY_CHANGE = ("data", "steps", "eval_every", "save_every", "sample_tokens")

PRESETS: dict[str, dict[str, Any]] = {
    # A first look in a minute or two on two cores.
    "quick": {},
    # Proves that everything works, in seconds; learns spelling at best.
    "smoke": dict(
        layers=1, heads=2, width=32, context=32, batch=8, steps=200, learning_rate=1e-2, warmup=10, eval_every=100,
        save_every=50, sample_tokens=200,
    ),
    # nanoGPT's settings for a CPU: comparable with its published losses.
    "nanogpt-cpu": dict(
        tokenizer="char", layers=4, heads=4, width=128, context=64, dropout=0.0, bias=False, steps=2000, batch=12,
        accumulate=1, learning_rate=1e-3, decay_to=0.1, schedule="cosine", warmup=100, weight_decay=0.1,
        beta1=0.9, beta2=0.99, clip=1.0, eval_every=500, save_every=250,
    ),
    # The same recipe with twice the context and 2.6 times the parameters: an evening on a CPU, readable results.
    "medium": dict(
        layers=6, heads=6, width=192, context=128, dropout=0.1, steps=10000, batch=16, learning_rate=1e-3,
        decay_to=0.1, warmup=200, eval_every=500, save_every=250,
    ),
    # nanoGPT's settings for one GPU: 10.7 million parameters.
    "nanogpt-gpu": dict(
        tokenizer="char", layers=6, heads=6, width=384, context=256, dropout=0.2, bias=False, steps=5000, batch=64,
        accumulate=1, learning_rate=1e-3, decay_to=0.1, schedule="cosine", warmup=100, weight_decay=0.1,
        beta1=0.9, beta2=0.99, clip=1.0, eval_every=250, save_every=250,
    ),
}  # fmt: skip


def resolve_config(
    preset: str | None = None, toml: str | os.PathLike[str] | None = None, flags: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Defaults, then the preset, the TOML file and the flags, each over the one before; checked.

    A TOML file may name its preset itself (key ``preset``). With ``init_from`` the default shape of the model is that
    of the run it names. Raises UserError for unknown names and impossible values.
    """
    from_toml = read_toml(toml) if toml else {}
    named = from_toml.pop("preset", None)
    values: dict[str, Any] = {**preset_values(preset or named), **from_toml, **(flags or {})}
    if values.get("init_from"):
        begin = load_checkpoint(existing_run(values["init_from"]).checkpoint, arrays=False)
        shape = config_from_dict(begin.config, values["init_from"])
        values = {**{name: getattr(shape, name) for name in SHAPE}, **values}
    return config_from_dict(values, "options").check()


def preset_values(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; {nearest(str(name), PRESETS)}")
    return PRESETS[name]


def config_from_dict(values: Mapping[str, Any], where: str) -> TrainConfig:
    known = {f.name: f for f in fields(TrainConfig)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{where}: unknown key {name!r}; {nearest(name, known)}")
        check_type(known[name], value, where)
    typed: dict[str, Any] = {name: float(v) if known[name].type == "float" else v for name, v in values.items()}
    return TrainConfig(**typed)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The flat keys of a TOML file, checked for name and type; dashes in keys count as underscores."""
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # of the format, of UTF-8, of a number with thousands of digits
        raise UserError(f"{path}: not valid TOML: {error}") from None
    values = {name.replace("-", "_"): value for name, value in values.items()}
    if isinstance(values.get("data"), str):
        values["data"] = [values["data"]]
    known = {f.name: f for f in fields(TrainConfig)}
    for name, value in values.items():
        if name != "preset" and name not in known:
            raise UserError(f"{path}: unknown key {name!r}; {nearest(name, [*known, 'preset'])}")
        if name != "preset":
            check_type(known[name], value, str(path))
    return values


def config_from_toml(path: str | os.PathLike[str]) -> TrainConfig:
    """The configuration a TOML file describes, over the defaults; checked."""
    return resolve_config(toml=path)


def config_to_toml(config: TrainConfig) -> str:
    """The whole configuration as TOML, with each option's help as a comment; ``config_from_toml`` reads it back.

    ``out`` is left out: a run's folder is not a property of the run, and its config can start another one.
    """
    lines = ["# The options of this run. It is resumed with those in its checkpoint; a copy can begin another.\n"]
    for f in fields(config):
        if f.name != "out":
            # A JSON string, number, boolean or list of strings is TOML too, but for U+007F, which TOML wants escaped.
            value = json.dumps(getattr(config, f.name), ensure_ascii=False).replace("\x7f", "\\u007f")
            lines.append(f"# {f.metadata['help']}\n{f.name} = {value}\n")
    return "\n".join(lines)


def recorded(config: TrainConfig) -> dict[str, Any]:
    """The configuration as a checkpoint holds it. ``out`` is left out: a run may be moved."""
    values = dataclasses.asdict(config)
    del values["out"]
    return values


def absolute(config: TrainConfig) -> TrainConfig:
    """The same with absolute paths, so that it means the same in every working directory."""
    words = (PYTHON_REFERENCE, STANDARD_INPUT)
    data = [source if source in words else str(Path(source).resolve()) for source in config.data]
    init_from = str(Path(config.init_from).resolve()) if config.init_from else ""
    return dataclasses.replace(config, data=data, init_from=init_from).check()


def check_type(f: dataclasses.Field[Any], value: Any, where: str) -> None:
    right = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, float)
        or (isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 1024),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
        "list[str]": isinstance(value, list) and all(isinstance(v, str) for v in value),
    }[str(f.type)]
    if not right:
        raise UserError(f"{where}: {f.name} must be {f.type}, got {value!r}")


def check_value(f: dataclasses.Field[Any], value: Any) -> None:
    limits = f.metadata
    if isinstance(value, (str, list)) and not is_utf8("".join(value)):
        raise UserError(f"{f.name}: {value!a} is not UTF-8, so it cannot be written into the run; rename it")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{f.name} must be a finite number, got {value}")
    if "choices" in limits and value not in limits["choices"]:
        raise UserError(f"{f.name} must be one of {', '.join(limits['choices'])}, got {value!r}")
    if "low" in limits and value < limits["low"]:
        raise UserError(f"{f.name} must be at least {limits['low']}, got {value}")
    if "high" in limits and value > limits["high"]:
        raise UserError(f"{f.name} must be at most {limits['high']}, got {value}")
    if "below" in limits and value >= limits["below"]:
        raise UserError(f"{f.name} must be below {limits['below']}, got {value}")


def is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a name on the command line or on the disk may hold any bytes
        return False
    return True


def largest_divisor(number: int, most: int) -> int:
    return next(n for n in range(min(most, number), 0, -1) if number % n == 0)
