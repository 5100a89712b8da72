"""What every CUDA kernel takes on sm_80 and sm_90, by the compiler: the golden file that the tests compare with.

    python benchmarks/static.py [--json benchmarks/results/static.json]

No GPU is needed.  What is worse than in the golden file is printed; with --json the file is written anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from tinygrad_lm import bench
    from tinygrad_lm.bench import static
except ImportError as error:
    print(f"{sys.argv[0]}: tinygrad_lm cannot be imported ({error}): pip install -e .", file=sys.stderr)
    raise SystemExit(2) from None

GOLDEN = Path(__file__).resolve().parent / "results" / "static.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    kernels = static.everything()
    taken = [figures for names in kernels.values() for by_name in names.values() for figures in by_name.values()]
    for line in static.worse(bench.load(GOLDEN)["kernels"], kernels) if GOLDEN.exists() else ():
        print(line)
    return bench.report(
        [
            bench.Figure("kernels times architectures that were compiled", len(taken), None, ""),
            bench.Figure("of them spill registers", sum(spills > 0 for _, _, spills in taken), 0, ""),
            bench.Figure("most registers of a thread", max(registers for registers, _, _ in taken), None, ""),
        ],
        json_file=arguments.json,
        compiler=static.compiler(),
        kernels=kernels,
    )


if __name__ == "__main__":
    sys.exit(main())
