"""Does it learn? The preset nanogpt-cpu on a text, once per seed, one after the other.

    python benchmarks/learning.py tinyshakespeare.txt
    python benchmarks/learning.py tinyshakespeare.txt --seeds 1 2 3 --json

Prints the validation loss over the whole split along each run, and the mean of the last ones against the limit: 1.94,
where nanoGPT with the same settings reaches 1.921 on the text of that name. Exit code 1 above the limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tinygrad_lm.train import Quiet, fit, read_metrics, resolve_config

LIMIT = 1.94


def learn(data: str, seeds: list[int], out: Path, show: bool = True) -> dict[str, Any]:
    runs = []
    for seed in seeds:
        began = time.monotonic()
        config = resolve_config("nanogpt-cpu", flags={"data": [data], "seed": seed, "out": str(out / f"seed-{seed}")})
        result = fit(config, progress=Quiet())
        rows = read_metrics(result.folder / "metrics.jsonl")
        validation = {row["step"]: row["val_loss"] for row in rows if row["val_loss"] is not None}
        speed = statistics.median(row["tokens_per_s"] for row in rows)
        runs.append({"seed": seed, "val_loss": validation, "tokens_per_s": speed, "seconds": time.monotonic() - began})
        if show:
            along = "  ".join(f"{step}: {loss:.4f}" for step, loss in validation.items())
            print(f"seed {seed}  {along}  ({speed:,.0f} tokens/s, {runs[-1]['seconds']:.0f} s)", flush=True)
    last = [list(run["val_loss"].values())[-1] for run in runs]
    return {"runs": runs, "mean_val_loss": statistics.mean(last), "limit": LIMIT}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="text file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="keep the run folders here")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = learn(arguments.data, arguments.seeds, arguments.out or Path(temporary), not arguments.json)
    good = result["mean_val_loss"] <= LIMIT
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"mean validation loss {result['mean_val_loss']:.4f}, limit {LIMIT}: {'good' if good else 'TOO HIGH'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
