"""tinygrad-lm eval"""

from __future__ import annotations

import argparse
import math

from tinygrad_lm.cli.common import add_computing, add_json, computing, print_json
from tinygrad_lm.data.errors import UserError

HELP = "measure a trained model on text"
DESCRIPTION = """The loss of a trained model on text: every token but the first is predicted once, in windows of the
model's context side by side. Without --data the text is the part of the run's own that it did not train on."""
EPILOG = """example:
  tinygrad-lm eval runs/mine --data letters.txt --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="run folder")
    parser.add_argument("--data", nargs="+", metavar="PATH", help="files, folders, - or python-reference")
    add_computing(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.data import read_corpus, split_text
    from tinygrad_lm.train.evaluate import evaluate
    from tinygrad_lm.train.inference import load_run

    with computing(arguments):
        trained = load_run(arguments.folder, arguments.device)
        corpus = read_corpus(arguments.data or trained.config.data)
        text = corpus.text
        if not arguments.data:
            if corpus.fingerprint != trained.text:
                raise UserError(f"{', '.join(corpus.files)}: not the text the run was trained on; name one with --data")
            text = split_text(text)[1]
        tokens = trained.tokenizer.encode(text, ", ".join(corpus.files))
        if len(tokens) < 2:
            raise UserError(f"{', '.join(corpus.files)}: too short, {len(tokens)} token; at least 2 are needed")
        loss = evaluate(trained.model, tokens, trained.config.context, trained.config.device)
    result = {
        "loss": loss,
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "bits_per_byte": loss / math.log(2) * (len(tokens) - 1) / len(text.encode()),
        "tokens": len(tokens),
        "step": trained.step,
        "files": list(corpus.files),
    }
    if arguments.json:
        print_json(result)
    else:
        print(f"loss           {loss:.4f} nats per token, over {len(tokens):,} tokens")
        print(f"perplexity     {result['perplexity']:.3f}")
        print(f"bits per byte  {result['bits_per_byte']:.4f}")
    return 0
