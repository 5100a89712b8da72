"""A result document as tables for people and for the tools that they have: CSV, Markdown, pytest-benchmark, pyperf."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_lm.bench.paired import seconds
from tinygrad_lm.bench.roofline import quantity

COLUMNS = (
    *("case", "axes", "dtype", "device", "variant", "refused"),
    *("hot_q1_s", "hot_median_s", "hot_q3_s", "cold_median_s", "overhead_median_s", "samples"),
    *("flops_per_s", "bytes_per_s", "share_of_roofline", "bound", "notes"),
)


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row's figures by the names of `COLUMNS`; None where there is none."""
    timing = row.get("timing") or {}
    hot = quartiles(timing.get("hot_s") or [])
    found: dict[str, Any] = {name: row.get(name) for name in ("case", "dtype", "device", "variant", "refused", "bound")}
    found["axes"] = " ".join([f"{axis}={size}" for axis, size in (row.get("axes") or {}).items()])
    found |= dict(zip(("hot_q1_s", "hot_median_s", "hot_q3_s"), hot, strict=True))
    for kind in ("cold", "overhead"):
        found[f"{kind}_median_s"] = quartiles(timing.get(f"{kind}_s") or [])[1]
    found["samples"] = len(timing.get("hot_s") or [])
    for rate, what in (("flops_per_s", "flops"), ("bytes_per_s", "bytes")):
        found[rate] = row[what] / hot[1] if hot[1] and row.get(what) else None
    found["share_of_roofline"] = row.get("share_of_roofline")
    found["notes"] = "; ".join(timing.get("notes") or [])
    return found


def quartiles(samples: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """(lower, median, upper), as NumPy has them; None without samples."""
    if len(samples) < 2:
        return (samples[0],) * 3 if samples else (None, None, None)
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, middle, high


def csv_of(document: Mapping[str, Any]) -> str:
    """The rows of a document with a header; times in seconds.

    >>> print(csv_of({"rows": [], "comparisons": []})[:18])
    case,axes,dtype,de
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in document["rows"]:
        writer.writerow(summary(row))
    return text.getvalue()


def markdown_of(document: Mapping[str, Any]) -> str:
    """Rows and comparisons as tables."""
    parts = []
    if document["rows"]:
        columns = ("what", "variant", "hot", "cold", "host", "rate", "of the roofline", "")
        parts.append(table(columns, [row_cells(summary(row)) for row in document["rows"]]))
    if document["comparisons"]:
        head = ("what", "a", "b", "time a / time b", "95 % interval", "verdict", "")
        parts.append(table(head, [comparison_cells(found) for found in document["comparisons"]]))
    return "\n\n".join(parts) + "\n"


def row_cells(found: Mapping[str, Any]) -> list[str]:
    """What a reader sees of a row."""
    hot = shown(found["hot_median_s"])
    if found["hot_q1_s"] is not None:
        hot += f" ({seconds(found['hot_q1_s'])} to {seconds(found['hot_q3_s'])})"
    rates = [(found["flops_per_s"], "FLOP/s"), (found["bytes_per_s"], "B/s")]
    rate = ", ".join([quantity(value) + unit for value, unit in rates if value])
    share = found["share_of_roofline"]
    of_roofline = "" if share is None else f"{share:.0%} {found['bound'] or ''}".strip()
    notes = f"refused: {found['refused']}" if found["refused"] else found["notes"]
    times = [hot, shown(found["cold_median_s"]), shown(found["overhead_median_s"])]
    return [what_of(found), str(found["variant"] or ""), *times, rate, of_roofline, notes]


def comparison_cells(found: Mapping[str, Any]) -> list[str]:
    """What a reader sees of a comparison."""
    low, high = found["interval"]
    axes = " ".join([f"{axis}={size}" for axis, size in (found.get("axes") or {}).items()])
    what = what_of({**found, "axes": axes})
    ratio = f"{found['ratio']:.3f}", f"{low:.3f} to {high:.3f}"
    return [what, *map(str, found["names"]), *ratio, found["verdict"], "; ".join(found.get("notes") or [])]


def what_of(found: Mapping[str, Any]) -> str:
    """
    >>> what_of({"case": "sum", "axes": "n=3", "dtype": "float32", "device": "cuda"})
    'sum n=3 float32 cuda'
    """
    device = found.get("device") if found.get("device") != "cpu" else None
    return " ".join([str(part) for part in (found.get("case"), found.get("axes"), found.get("dtype"), device) if part])


def shown(value: float | None) -> str:
    return "" if value is None else seconds(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.  What is in a cell stays in it.

    >>> print(table(("a", "b"), [("1|2", "x")]))
    | a | b |
    |---|---|
    | 1\\|2 | x |
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join([" ".join(str(cell).split()).replace("|", "\\|") for cell in row]) + " |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------- other tools


def timed(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(a name of its own, the row) of every row that has a time."""
    found, named = [row for row in document["rows"] if row.get("timing")], []
    seen: Counter[str] = Counter()
    for row in found:
        name = f"{what_of(summary(row))} {row.get('variant') or ''}".strip()
        seen[name] += 1
        named.append((f"{name} #{seen[name]}" if seen[name] > 1 else name, row))
    return named


def pytest_benchmark_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The rows as `pytest-benchmark compare` reads them."""
    where, git = document["environment"], document["environment"].get("git") or {}
    machine = {"cpu": {"brand_raw": where.get("cpu"), "count": where.get("cores")}, "system": where.get("system")}
    return {
        "machine_info": {**machine, "node": "", "python_version": where.get("python")},
        "commit_info": {"id": git.get("commit"), "dirty": git.get("dirty")},
        "benchmarks": [
            {
                **{"group": row["case"], "name": name, "fullname": name, "params": row["axes"], "param": None},
                "extra_info": {"variant": row.get("variant"), "share_of_roofline": row.get("share_of_roofline")},
                "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True},
                "stats": statistics_of(row["timing"]["hot_s"], row["timing"]["calls_per_sample"]),
            }
            for name, row in timed(document)
        ],
        "datetime": where.get("time"),
        "version": "5.0.0",
    }


def statistics_of(samples: Sequence[float], calls: int) -> dict[str, Any]:
    """What pytest-benchmark keeps of the samples of a function."""
    low, middle, high = quartiles(samples)
    assert low is not None and middle is not None and high is not None
    spread, mean, deviation = high - low, statistics.fmean(samples), statistics.pstdev(samples)
    inside = [s for s in samples if low - 1.5 * spread <= s <= high + 1.5 * spread]
    beyond = sum(abs(s - mean) > deviation for s in samples)
    return {
        **{"min": min(samples), "max": max(samples), "mean": mean, "stddev": deviation, "median": middle},
        **{"q1": low, "q3": high, "iqr": spread, "ld15iqr": min(inside), "hd15iqr": max(inside)},
        **{"outliers": f"{beyond};{len(samples) - len(inside)}", "stddev_outliers": beyond},
        **{"iqr_outliers": len(samples) - len(inside), "rounds": len(samples), "iterations": calls},
        **{"total": sum(samples) * calls, "ops": 1 / mean if mean else 0.0, "data": list(samples)},
    }


def pyperf_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The rows as `python -m pyperf show` and `compare_to` read them.  ValueError for none: it reads no empty file."""
    if not timed(document):
        raise ValueError("no row has a time")
    where = document["environment"]
    common = {"unit": "second", "python_version": where.get("python"), "cpu_model_name": where.get("cpu")}
    shared = {key: value for key, value in common.items() if value}
    return {
        "version": "1.0",
        "metadata": shared,
        "benchmarks": [
            {
                "metadata": {"name": name, "loops": row["timing"]["calls_per_sample"]},
                "runs": [{"values": list(row["timing"]["hot_s"])}],
            }
            for name, row in timed(document)
        ],
    }
