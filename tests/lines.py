"""Lines of code per folder: a number to look at, not a limit.

python tests/lines.py           # print them
python tests/lines.py --docs    # and bring the counts in docs/read-the-engine.md up to date
"""

import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".py", ".cpp", ".cu", ".h", ".cuh"}


def update_docs() -> None:
    """Write today's line counts into the reading order."""
    page = ROOT / "docs/read-the-engine.md"
    row = re.compile(r"(\]\(\.\./([^)]+\.py)\) \| )\d+ \|")
    page.write_text(row.sub(lambda m: f"{m[1]}{len((ROOT / m[2]).read_text().splitlines())} |", page.read_text()))


def main() -> None:
    if "--docs" in sys.argv:
        update_docs()
    lines: Counter[str] = Counter()
    for top in ("tinygrad_lm", "kernels", "tests", "benchmarks", "examples"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                folder = path.relative_to(ROOT).parent
                lines["/".join(folder.parts[:2])] += sum(1 for line in path.read_text().splitlines() if line.strip())
    for folder, count in sorted(lines.items()):
        print(f"{count:7,}  {folder}")
    print(f"{sum(lines.values()):7,}  lines that are not blank")


if __name__ == "__main__":
    main()
