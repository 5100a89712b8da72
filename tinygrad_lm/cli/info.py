"""tinygrad-lm info"""

from __future__ import annotations

import argparse

from tinygrad_lm.cli.common import add_json, print_json

HELP = "show what a run folder holds"
DESCRIPTION = "What a run folder holds: the model, how far its training is, its losses, and all of its options."
EPILOG = """example:
  tinygrad-lm info runs/mine --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="run folder")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.train.folder import existing_run
    from tinygrad_lm.train.inference import load_run
    from tinygrad_lm.train.metrics import read_metrics

    folder = existing_run(arguments.folder)
    trained = load_run(arguments.folder, "cpu")
    rows = [row for row in read_metrics(folder.metrics) if row["step"] <= trained.step]
    validated = [row for row in rows if row["val_loss"] is not None]
    best = min(validated, key=lambda row: row["val_loss"], default=None)
    options = {name: value for name, value in vars(trained.config).items() if name != "out"}
    result = {
        "folder": str(folder.path),
        "step": trained.step,
        "steps": trained.config.steps,
        "parameters": trained.model.num_parameters(),
        "tokenizer": {"kind": trained.tokenizer.kind, "tokens": trained.tokenizer.size},
        "train_loss": rows[-1]["train_loss"] if rows else None,
        "val_loss": validated[-1]["val_loss"] if validated else None,
        "best_val_loss": best and {"step": best["step"], "val_loss": best["val_loss"]},
        "checkpoint_bytes": folder.checkpoint.stat().st_size,
        "config": options,
    }
    if arguments.json:
        print_json(result)
        return 0
    print(f"{folder.path}: step {trained.step} of {trained.config.steps}")
    if best:
        print(f"validation loss {validated[-1]['val_loss']:.4f} (best {best['val_loss']:.4f} at step {best['step']})")
    print(f"{trained.tokenizer.kind} tokenizer with {trained.tokenizer.size} tokens")
    print(trained.model)
    for name, value in options.items():
        print(f"  {name} = {value}")
    return 0
