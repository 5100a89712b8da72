"""A document as tables: what is in it is in them, and other tools' layouts have what those tools read."""

from __future__ import annotations

import csv
import io
import json
import statistics

import numpy as np
import pytest

from tinygrad_lm.bench import Case, compare, document, measure
from tinygrad_lm.bench.tables import csv_of, markdown_of, pyperf_of, pytest_benchmark_of, summary

HOT = [3e-3, 1e-3, 2e-3, 5e-3, 4e-3]


def row(**more) -> dict:
    timing = {"calls_per_sample": 7, "notes": ["odd, very"], "hot_s": HOT, "cold_s": [1e-2] * 3, "overhead_s": []}
    found = {"case": "sum", "axes": {"n": 8}, "dtype": "float32", "device": "cpu", "variant": "native", "refused": ""}
    return {**found, "flops": 6.0, "bytes": 12, "timing": timing, "share_of_roofline": 0.25, "bound": "memory", **more}


REFUSED = row(variant="evil|one", timing=None, refused="it returns\nits input", share_of_roofline=None, bound=None)
FOUND = {
    "names": ["b", "a"], "verdict": "SLOWER", "ratio": 1.25, "interval": [1.2, 1.3], "notes": ["n"],
    "case": "sum", "axes": {"n": 8}, "dtype": "float32", "device": "cuda",
}  # fmt: skip


def test_csv_has_a_line_for_each_row() -> None:
    first, second = csv.DictReader(io.StringIO(csv_of(document(rows=[row(), REFUSED]))))
    assert float(first["hot_median_s"]) == 3e-3 and (first["hot_q1_s"], first["hot_q3_s"]) == ("0.002", "0.004")
    assert float(first["cold_median_s"]) == 1e-2 and first["overhead_median_s"] == "" and first["samples"] == "5"
    assert float(first["flops_per_s"]) == 2000 and float(first["bytes_per_s"]) == 4000 and first["notes"] == "odd, very"
    assert second["refused"] == "it returns\nits input" and second["hot_median_s"] == "" and second["axes"] == "n=8"


def test_markdown_shows_rows_and_comparisons() -> None:
    lines = markdown_of(document(rows=[row(), REFUSED], comparisons=[FOUND])).splitlines()
    assert (
        "| sum n=8 float32 | native | 3 ms (2 ms to 4 ms) | 10 ms |  | 2 kFLOP/s, 4 kB/s | 25% memory | odd, very |"
        in lines
    )
    assert "| sum n=8 float32 | evil\\|one |  |  |  |  |  | refused: it returns its input |" in lines
    assert "| sum n=8 float32 cuda | b | a | 1.250 | 1.200 to 1.300 | SLOWER | n |" in lines
    assert markdown_of(document()).strip() == ""


def test_pytest_benchmark_has_its_statistics() -> None:
    made = pytest_benchmark_of(document(rows=[row(), REFUSED]))
    (found,) = json.loads(json.dumps(made))["benchmarks"]
    assert found["name"] == "sum n=8 float32 native" and found["group"] == "sum" and found["params"] == {"n": 8}
    stats = found["stats"]
    assert stats["median"] == 3e-3 and stats["iqr"] == pytest.approx(2e-3) and stats["data"] == HOT
    assert stats["rounds"] == 5 and stats["iterations"] == 7 and stats["total"] == pytest.approx(7 * sum(HOT))
    assert stats["stddev"] == statistics.pstdev(HOT) and stats["outliers"] == "2;0"


def test_pyperf_has_the_samples() -> None:
    (found,) = pyperf_of(document(rows=[row(), REFUSED]))["benchmarks"]
    assert found["metadata"] == {"name": "sum n=8 float32 native", "loops": 7} and found["runs"] == [{"values": HOT}]


def test_names_are_told_apart() -> None:
    names = [found["metadata"]["name"] for found in pyperf_of(document(rows=[row(), row(), row()]))["benchmarks"]]
    assert names == ["sum n=8 float32 native", "sum n=8 float32 native #2", "sum n=8 float32 native #3"]
    with pytest.raises(ValueError, match="no row has a time"):
        pyperf_of(document(rows=[REFUSED]))


def test_real_rows_and_comparisons() -> None:
    case = Case("tanh", lambda rng: [rng.normal(size=100)], np.tanh, flops=100.0, bytes=1600, dtype="float64")
    rows = [measure(case, np.tanh, "numpy", max_time=0.01).record()]
    found = compare(lambda: sum(range(50)), lambda: sum(range(50)), rounds=4, min_time=0).record()
    made = document(rows=rows, comparisons=[found])
    assert summary(made["rows"][0])["hot_median_s"] > 0 and "tanh float64" in markdown_of(made)
    assert csv_of(made).count("\n") == 2
