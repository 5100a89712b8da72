"""tinygrad-lm sample"""

from __future__ import annotations

import argparse
import math

from tinygrad_lm.cli.common import add_computing, computing
from tinygrad_lm.data.errors import UserError

HELP = "write text with a trained model"
DESCRIPTION = """Continue a prompt with a trained model, character by character as it is drawn.

The model sees the last tokens of the text only, as many as its context. While the text is shorter than that, what was
read is kept in a cache; beyond it every position moves, so each new token reads the whole window again."""
EPILOG = """example:
  tinygrad-lm sample runs/mine --prompt "Once upon" --tokens 300 --temperature 0.8 --top-k 40"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="run folder")
    parser.add_argument("--prompt", metavar="TEXT", help="text to continue (a line break)")
    parser.add_argument("--tokens", type=int, default=500, metavar="N", help="tokens to draw (500)")
    parser.add_argument(
        "--temperature", type=float, default=0.8, metavar="X", help="higher is wilder, 0 always the likeliest (0.8)"
    )
    parser.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest tokens only")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the fewest likeliest tokens that make up P")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another text (0)")
    add_computing(parser)


def run(arguments: argparse.Namespace) -> int:
    from tinygrad_lm.backend import Generator
    from tinygrad_lm.models import generate
    from tinygrad_lm.train.inference import load_run

    check(arguments)
    with computing(arguments):
        trained = load_run(arguments.folder, arguments.device)
        prompt = trained.tokenizer.opening if arguments.prompt is None else arguments.prompt
        ids = trained.tokenizer.encode(prompt, "--prompt")
        new_ids = generate(
            trained.model,
            ids,
            arguments.tokens,
            temperature=arguments.temperature,
            top_k=arguments.top_k,
            top_p=arguments.top_p,
            generator=Generator(arguments.seed),
        )
        print(prompt, end="", flush=True)
        for text in trained.tokenizer.stream(new_ids):
            print(text, end="", flush=True)
        print()
    return 0


def check(arguments: argparse.Namespace) -> None:
    if arguments.prompt == "":
        raise UserError("--prompt is empty: give at least one character to continue")
    try:
        (arguments.prompt or "").encode()
    except UnicodeEncodeError:
        raise UserError("--prompt is not valid UTF-8") from None
    if arguments.tokens < 0:
        raise UserError(f"--tokens must be at least 0, got {arguments.tokens}")
    if not 0 <= arguments.temperature < math.inf:
        raise UserError(f"--temperature must be at least 0, got {arguments.temperature}")
    if arguments.top_k is not None and arguments.top_k < 1:
        raise UserError(f"--top-k must be at least 1, got {arguments.top_k}")
    if arguments.top_p is not None and not 0 < arguments.top_p <= 1:
        raise UserError(f"--top-p must be above 0 and at most 1, got {arguments.top_p}")
    if not 0 <= arguments.seed < 2**64:
        raise UserError(f"--seed must be from 0 to 2**64 - 1, got {arguments.seed}")
