"""Kill training runs at random times, resume each in a new process, and compare the last bits with an undisturbed run.

The run saves after every step, with dropout and gradient accumulation on. SIGKILL comes at a random time, from the
first millisecond of start-up on; the next life resumes, or starts again if there was no checkpoint yet. When a run
reaches its end, its checkpoint file must equal the undisturbed one's byte for byte (weights, optimizer, random
streams, loader), and so must its metrics but for the speed, and its samples; then the next run begins, until all kills
are spent.

    python benchmarks/kill_resume.py                  # 200 kills, a few minutes
    python benchmarks/kill_resume.py --kills 4 --json FILE

Exit code 1 if any run ends with other bits, or fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tinygrad_lm import bench

TEXT = "".join(f"{n} times {n + 3} is {n * (n + 3)}, and {n} squared is {n * n}.\n" for n in range(200))
OPTIONS = """
layers = 2
heads = 2
width = 16
context = 16
batch = 4
accumulate = 3
dropout = 0.2
warmup = 5
eval_every = 25
save_every = 1
sample_tokens = 20
"""


def start(folder: Path, run: str, steps: int) -> subprocess.Popen[bytes]:
    """The next life of a run, as a new process: from the start if there is nothing to resume."""
    if (folder / run / "checkpoint.safetensors").exists():
        options = ["--resume", str(folder / run)]
    else:
        options = ["--config", str(folder / "options.toml"), "--data", str(folder / "text.txt")]
        options += ["--steps", str(steps), "--out", str(folder / run)]
    return subprocess.Popen(
        [sys.executable, "-m", "tinygrad_lm", "train", *options],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def check_end(process: subprocess.Popen[bytes]) -> None:
    errors = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(f"a run failed with exit code {process.returncode}: {errors.strip()}")


def step_of(run: Path) -> int:
    """The step of the checkpoint, from its header: -1 if there is none yet."""
    try:
        with open(run / "checkpoint.safetensors", "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except FileNotFoundError:
        return -1
    return int(json.loads(header["__metadata__"]["tinygrad_lm"])["step"])


def result_of(run: Path) -> dict[str, str]:
    """Hashes of what must be equal."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k != "tokens_per_s"} for line in lines]
    samples = {file.name: file.read_text() for file in sorted((run / "samples").iterdir())}
    return {
        "checkpoint": hashlib.sha256((run / "checkpoint.safetensors").read_bytes()).hexdigest(),
        "metrics": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        "samples": hashlib.sha256(json.dumps(samples).encode()).hexdigest(),
    }


def kill_and_resume(folder: Path, kills: int, steps: int, seed: int, show: bool = True) -> dict[str, Any]:
    """All runs, in ``folder``; returns what happened."""
    (folder / "text.txt").write_text(TEXT)
    (folder / "options.toml").write_text(OPTIONS)
    began = time.monotonic()
    process = start(folder, "whole", steps)
    while step_of(folder / "whole") < 1 and process.poll() is None:
        time.sleep(0.005)
    first_step = time.monotonic() - began  # start-up and one step
    check_end(process)
    expected = result_of(folder / "whole")

    chance = random.Random(seed)
    killed_at: list[int] = []  # the step of the checkpoint that each kill left, -1 for none
    while_starting = while_saving = 0
    wrong: list[str] = []
    runs = 0
    while len(killed_at) < kills or runs == 0:
        run = f"killed-{runs}"
        while True:
            process = start(folder, run, steps)
            before = step_of(folder / run)
            if len(killed_at) < kills and before < steps:  # the picture of a finished run is worth no kill
                try:
                    process.wait(chance.uniform(0.0, 2.0 * first_step))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    killed_at.append(step_of(folder / run))
                    while_starting += killed_at[-1] == before
                    while_saving += (folder / run / "checkpoint.safetensors.tmp").exists()
                    continue
            check_end(process)
            break
        found = result_of(folder / run)
        wrong += [f"{run}: other {name}" for name in expected if found[name] != expected[name]]
        runs += 1
        if show:
            print(f"{len(killed_at)} kills, {runs} runs, {len(wrong)} differences", flush=True)
    return {
        "kills": len(killed_at),
        "runs": runs,
        "steps": steps,
        "seed": seed,
        "before_the_first_checkpoint": killed_at.count(-1),
        "at_step_0": killed_at.count(0),
        "later": sum(step > 0 for step in killed_at),
        "while_starting": while_starting,
        "while_saving": while_saving,
        "seconds_to_first_step": round(first_step, 3),
        "seconds": round(time.monotonic() - began, 1),
        "expected": expected,
        "wrong": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steps", type=int, default=60, help="length of a run (60)")
    parser.add_argument("--seed", type=int, default=0, help="decides the times of the kills (0)")
    parser.add_argument("--json", metavar="FILE", help="write figures, counts and environment there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = kill_and_resume(Path(folder), arguments.kills, arguments.steps, arguments.seed)
    print(
        "{kills} kills: {before_the_first_checkpoint} before the first checkpoint, {at_step_0} at step 0, {later} "
        "later; {while_starting} before a new step, {while_saving} while a checkpoint was being written. "
        "{runs} runs of {steps} steps, {seconds} s".format(**result)
    )
    print("the last bits of all runs are equal" if not result["wrong"] else "\n".join(result["wrong"]))
    name = f"runs with other last bits, after {arguments.kills} kills"
    return bench.report([bench.Figure(name, len(result["wrong"]), 0)], json_file=arguments.json, **result)


if __name__ == "__main__":
    sys.exit(main())
