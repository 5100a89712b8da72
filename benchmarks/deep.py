"""What does not fit into CI, run one after the other, with the outcome written to one file.

    python benchmarks/deep.py --json benchmarks/results/deep.json [--data TEXT_FILE] [--only NAME ...]

Exit code 0 if everything passed, 1 if something failed, 2 for wrong use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tinygrad_lm.bench import environment

ROOT = Path(__file__).resolve().parent.parent


KERNELS = ("attention", "conv", "matmul", "optimizer", "pooling", "random", "row")
VARIABLES = {"every combination of a kernel's factors": {"TINYGRAD_LM_FULL": "1"}}


def stages(data: Path) -> dict[str, list[str]]:
    """The commands, by name.  Each checks its own figures and says so with its exit code."""
    return {
        "properties with fresh seeds": [
            *("-m", "pytest", "-q", "-n", "2", "--hypothesis-profile=tglm-intense", "-p", "no:cacheprovider"),
            *("tests/core", "tests/ops", "tests/testing"),
        ],
        "every combination of a kernel's factors": [
            *("-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "tests/backend/test_pairwise.py"),
        ],
        "kernels with fresh seeds": [
            *("-m", "pytest", "-q", "-n", "2", "--hypothesis-profile=tglm-dev", "-p", "no:cacheprovider"),
            *[f"tests/backend/test_{name}_kernels.py" for name in KERNELS],
        ],
        "mutants of the source": ["benchmarks/mutation.py", "--json", "benchmarks/results/mutation.json"],
        "verdicts by a made-up clock": [
            *("benchmarks/verdicts.py", "--cases", "10000", "--json", "benchmarks/results/verdicts.json"),
        ],
        "verdicts on this machine": ["benchmarks/verdicts_here.py", "--json", "benchmarks/results/verdicts_here.json"],
        "200 kills": ["benchmarks/kill_resume.py", "--json", "benchmarks/results/kill_resume.json"],
        "learning": ["benchmarks/learning.py", str(data), "--json", "benchmarks/results/learning.json"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the outcome")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/tinyshakespeare.txt", help="a text")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these stages only")
    args = parser.parse_args()
    todo = stages(args.data.resolve())
    if args.only:
        if unknown := set(args.only) - set(todo):
            parser.error(f"no stage named {', '.join(sorted(unknown))}; there are: {', '.join(todo)}")
        todo = {name: todo[name] for name in args.only}
    if "learning" in todo and not args.data.exists():
        parser.error(f"{args.data} does not exist: name a text with --data, or leave the stage out with --only")

    outcome = {}
    if args.only and args.json and args.json.exists():  # the other stages keep what they said, with their own commit
        outcome = json.loads(args.json.read_text())["stages"]
    for name, command in todo.items():
        print(f"== {name}: python {' '.join(command)}", flush=True)
        start = time.perf_counter()
        env = (
            os.environ | {"OPENBLAS_NUM_THREADS": "1"} | VARIABLES.get(name, {})
        )  # slower alone, but not at the mercy of what else runs
        ran = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        print(ran.stdout, flush=True)
        outcome[name] = {
            "passed": ran.returncode == 0,
            "seconds": round(time.perf_counter() - start, 1),
            "command": "python " + " ".join(command).replace(str(args.data.resolve()), args.data.name),
            "commit": environment()["git"],
            "said": ran.stdout.strip().splitlines()[-12:],
        }
        if args.json:  # after every stage: a later one that dies takes nothing with it
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({"environment": environment(), "stages": outcome}, indent=1) + "\n")
    failed = [name for name in todo if not outcome[name]["passed"]]
    print(f"{len(todo) - len(failed)} passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
