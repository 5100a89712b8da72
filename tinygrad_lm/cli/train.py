"""tinygrad-lm train"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from tinygrad_lm.data.errors import UserError
from tinygrad_lm.train.config import PRESETS, TrainConfig, resolve_config

HELP = "train a model on text"
DESCRIPTION = """Train a GPT on text, into a run folder with its checkpoint, metrics, samples and a picture of the loss.

What --preset says is overruled by the --config file, and that by the other options."""
EPILOG = """examples:
  tinygrad-lm train --data book.txt
  tinygrad-lm train --preset nanogpt-cpu --data texts/ --out runs/mine --steps 3000
  tinygrad-lm train --resume runs/mine
  tinygrad-lm train --init-from runs/mine --data letters.txt --learning-rate 3e-4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("the run")
    run.add_argument("--preset", metavar="NAME", help=f"a set of options: {', '.join(PRESETS)} (default quick)")
    run.add_argument("--config", metavar="FILE", help="options from a TOML file, with the names below")
    run.add_argument("--resume", metavar="DIR", help="continue the run in this folder to the same bits")
    run.add_argument("--overwrite", action="store_true", help="replace the run that --out holds")
    options = parser.add_argument_group("options (with the values of the preset quick)")
    kinds: dict[str, dict[str, Any]] = {
        "int": {"type": int, "metavar": "N"},
        "float": {"type": float, "metavar": "X"},
        "str": {"metavar": "WORD"},
        "bool": {"action": argparse.BooleanOptionalAction},
        "list[str]": {"nargs": "+", "metavar": "PATH"},
    }
    defaults = TrainConfig()
    for f in dataclasses.fields(TrainConfig):
        default = getattr(defaults, f.name)
        shown = " ".join(default) if isinstance(default, list) else default
        settings = {**kinds[str(f.type)], "default": argparse.SUPPRESS}
        if "choices" in f.metadata:
            settings["metavar"] = "{" + ",".join(f.metadata["choices"]) + "}"
        if "metavar" in f.metadata:
            settings["metavar"] = f.metadata["metavar"]
        note = "" if shown == "" else f" ({shown})"
        options.add_argument("--" + f.name.replace("_", "-"), help=f.metadata["help"] + note, **settings)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.train.loop import fit, resume

    names = [f.name for f in dataclasses.fields(TrainConfig)]
    flags = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    if arguments.resume is not None:
        for option in ("preset", "config", "overwrite"):
            if getattr(arguments, option):
                raise UserError(f"--resume continues a run with the options it has; leave out --{option}")
        for option in ("out", "init_from"):
            if option in flags:
                raise UserError(f"--resume continues a run in its own folder; leave out --{option.replace('_', '-')}")
        result = resume(arguments.resume, flags)
    else:
        config = resolve_config(arguments.preset, arguments.config, flags)
        name = arguments.preset or (Path(arguments.config).stem if arguments.config else "run")
        result = fit(config, name=name, overwrite=arguments.overwrite)
    return 128 + result.stopped_by if result.stopped_by else 0
