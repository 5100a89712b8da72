"""Write the table of figures in README.md from the committed results, so that nobody types one.

python benchmarks/readme_table.py            # write it
python benchmarks/readme_table.py --check    # exit code 1 if README.md says something else
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: python benchmarks/readme_table.py -->", "<!-- end of figures -->"
RESULTS = (
    *("learning", "train_step", "tape", "gradcheck", "memory", "import_time", "kill_resume", "mutation"),
    *("kernels", "verdicts", "verdicts_here"),
)
SHARED = "largest difference"  # figures of a script that begin so are one line: the largest of them


def read(name: str) -> dict[str, Any]:
    """A committed result."""
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())


def table() -> str:
    """The figures that have a limit, in Markdown, each with the command that prints it."""
    lines = ["| what | measured | limit | | printed by |", "|---|---|---|---|---|"]
    results = {name: read(name) for name in RESULTS}
    for name, result in results.items():
        limited = [f for f in result["figures"] if f["limit"] is not None]
        shared = [f for f in limited if f["name"].startswith(SHARED)]
        if len(shared) > 1:
            worst = max(shared, key=lambda f: f["value"])
            limited = [f for f in limited if f not in shared] + [worst | {"name": f"{worst['name']}, of {len(shared)}"}]
        for f in limited:
            value = "nothing" if f["value"] is None else f"{f['value']:.3g} {f['unit']}".strip()
            verdict, command = "holds" if f["passed"] else "**missed**", f"`python benchmarks/{name}.py`"
            lines.append(f"| {f['name']} | {value} | at most {f['limit']:g} | {verdict} | {command} |")
    machines = {result["environment"]["cpu"] for result in results.values()}
    lines += ["", f"Measured on two cores of: {', '.join(sorted(machines))}. {where_the_time_goes()}"]
    return "\n".join([*lines, "", *steps()])


def steps() -> list[str]:
    """Our training steps beside the peers', from the pairs that one run has taken in turn."""
    lines = [
        "A training step with the NumPy reference beside its peers (fused optimizers), taken in turn; losses and",
        "gradient norms agree (`python benchmarks/train_step.py`). The reference is there to be read and to be right;",
        "a native table of kernels is what shall be fast.",
        "",
        "| workload | beside | ours | theirs | time ours / theirs (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    others = [c for c in read("train_step_peers")["comparisons"] if not c["names"][1].startswith("torch eager")]
    for found in [*read("train_step")["comparisons"], *others]:
        ours, theirs = (f"{1e3 * t:.3g} ms" for t in found["medians_s"])
        low, high = found["interval"]
        ratio = f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {found['case']} | {found['names'][1]} | {ours} | {theirs} | {ratio} |")
    return lines


def where_the_time_goes() -> str:
    """The largest parts of the reference step, forward and backward together."""
    profile = read("train_step_profile")
    total = sum(f["value"] for f in profile["figures"]) / 1000
    parts: Counter[str] = Counter()
    for row in profile["ops"]:
        name = row["op"].removesuffix("_grad")
        parts["matrix products" if name in ("matmul", "linear") else name] += row["seconds"]
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in parts.most_common(4))
    return f"Where the time of the reference training step goes: {shares} (`train_step.py --profile`)."


def main() -> int:
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    new = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in sys.argv:
        return 0 if readme.read_text() == new else 1
    readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
