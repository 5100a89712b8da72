"""What ``import tinygrad_lm`` costs beyond ``import numpy``, and that it leaves heavy modules alone.

    python benchmarks/import_time.py [--pairs N] [--json FILE]

Fresh processes, alternating; each times its one import statement itself, so the interpreter's own start is not in it.
The figure is the median of the paired differences.  One pair that fills the disk cache and writes the compiled modules
is thrown away: a user's second import is what counts, whatever this machine's settings for bytecode are.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

try:
    from tinygrad_lm import bench
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

HEAVY = ("cupy", "hypothesis", "matplotlib", "rich", "safetensors", "tokenizers", "torch")
CHILD = """
import sys, time
start = time.perf_counter()
import {module}
took = time.perf_counter() - start
print(took, *(name for name in {heavy} if name in sys.modules))
"""


def import_in_a_fresh_process(module: str, bytecode: str) -> tuple[float, list[str]]:
    """(seconds, the heavy modules that came along)."""
    code = CHILD.format(module=module, heavy=HEAVY)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": bytecode}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{sys.argv[0]}: `import {module}` failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        raise SystemExit(2)
    took, *heavy = done.stdout.split()
    return float(took), heavy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15, help="pairs of processes (15)")
    parser.add_argument("--json", metavar="FILE", help="write figures, samples and environment there")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error(f"--pairs must be at least 1, got {options.pairs}")

    numpy_times, our_times, heavy = [], [], set()
    with tempfile.TemporaryDirectory() as bytecode:
        for k in range(options.pairs + 1):
            order = ("numpy", "tinygrad_lm") if k % 2 else ("tinygrad_lm", "numpy")
            found = {module: import_in_a_fresh_process(module, bytecode) for module in order}
            numpy_times.append(found["numpy"][0])
            our_times.append(found["tinygrad_lm"][0])
            heavy.update(found["tinygrad_lm"][1])
    del numpy_times[0], our_times[0]
    print(f"import numpy        {bench.seconds(statistics.median(numpy_times))}")
    print(f"import tinygrad_lm  {bench.seconds(statistics.median(our_times))}, numpy included")
    print(f"of {', '.join(HEAVY)} it imports: {', '.join(sorted(heavy)) or 'none'}")
    difference = statistics.median(b - a for a, b in zip(numpy_times, our_times, strict=True))
    return bench.report(
        [
            bench.Figure("import tinygrad_lm beyond import numpy", difference, 0.10, "s"),
            bench.Figure("heavy modules that it imports", len(heavy), 0),
        ],
        json_file=options.json,
        samples_s={"numpy": numpy_times, "tinygrad_lm": our_times},
    )


if __name__ == "__main__":
    sys.exit(main())
