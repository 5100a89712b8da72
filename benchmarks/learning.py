"""What the preset nanogpt-cpu learns: the validation loss, over the whole split, of runs with different seeds.

    python benchmarks/learning.py tinyshakespeare.txt [--seeds 0 1 2] [--out DIR] [--json FILE]

Prints the validation loss along each run, and the mean of the last ones against the limit: 1.94, where nanoGPT with the
same settings reaches 1.921 on the text of that name.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tinygrad_lm import bench
from tinygrad_lm.data import UserError
from tinygrad_lm.train import Quiet, fit, read_metrics, resolve_config


def learn(data: str, seed: int, out: Path) -> dict[str, Any]:
    """One run: its validation losses by step, its speed and its time."""
    began = time.monotonic()
    config = resolve_config("nanogpt-cpu", flags={"data": [data], "seed": seed, "out": str(out / f"seed-{seed}")})
    rows = read_metrics(fit(config, progress=Quiet()).folder / "metrics.jsonl")
    return {
        "seed": seed,
        "val_loss": {row["step"]: row["val_loss"] for row in rows if row["val_loss"] is not None},
        "tokens_per_s": statistics.median(row["tokens_per_s"] for row in rows),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="text file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="keep the run folders here")
    parser.add_argument("--json", metavar="FILE", help="write figures, losses and environment there")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            runs.append(run := learn(arguments.data, seed, arguments.out or Path(temporary)))
            along = "  ".join(f"{step}: {loss:.4f}" for step, loss in run["val_loss"].items())
            print(f"seed {seed}  {along}  ({run['tokens_per_s']:,.0f} tokens/s, {run['seconds']:.0f} s)", flush=True)
    mean = statistics.mean(list(run["val_loss"].values())[-1] for run in runs)
    name = f"validation loss of nanogpt-cpu after 2000 steps, mean of {len(runs)} seeds"
    return bench.report([bench.Figure(name, mean, 1.94)], json_file=arguments.json, runs=runs)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
