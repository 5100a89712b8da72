"""The schema: it is one, what is written and committed fits it, and `misfit` judges as another implementation does."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_lm.bench import Case, Roofline, compare, document, load, measure
from tinygrad_lm.bench.results import SCHEMA
from tinygrad_lm.bench.schema import misfit, schema
from tinygrad_lm.cli import main

RESULTS = Path(__file__).parent.parent.parent / "benchmarks" / "results"


@pytest.fixture(scope="module")
def judge() -> Any:
    """Another implementation's verdict."""
    kind = pytest.importorskip("jsonschema").Draft202012Validator
    kind.check_schema(schema())
    return kind(schema())


def full() -> dict[str, Any]:
    """A document with everything in it."""
    case = Case("sum", lambda rng: [rng.normal(size=8)], lambda x: x.sum(), 8.0, 72, "float64", {"n": 8, "of": [1, 2]})
    roofline = Roofline(best=lambda function: 1e-3)
    rows = [measure(case, lambda x: x.sum(), "numpy", max_time=0.01), measure(case, lambda x: x, "lazy", seed=0)]
    found = compare(lambda: sum(range(50)), lambda: sum(range(50)), rounds=4, min_time=0).record()
    figures = [{"name": "f", "value": None, "limit": 2.0, "unit": "s", "passed": False}]
    roofline.place(1.0, 1.0, 5000)
    return document(
        rows=[row.record() for row in rows],
        comparisons=[found, {**found, "case": "sum", "axes": {"n": 8}, "dtype": "float32", "device": "cuda"}],
        figures=figures,
        roofline=roofline.record(),
        seed=3,
        more={"than": "that"},
    )


def test_what_is_made_fits(judge: Any) -> None:
    for made in (document(), full()):
        assert misfit(made) is None and judge.is_valid(made)
    assert schema()["title"] == schema()["properties"]["schema"]["const"] == SCHEMA


def test_what_the_command_writes_fits(judge: Any, tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    quick = ["--axis", "n=64", "--max-time", "0.01"]
    assert main(["bench", "run", "tanh", *quick, "--kernels", "reference,auto", "--json", str(a)]) == 0
    assert main(["bench", "compare", "reference", "numpy", "abs", *quick, "--json", str(b)]) in (0, 1, 3)
    for file in (a, b):
        found = json.loads(file.read_text())
        assert list(judge.iter_errors(found)) == [] and found["comparisons"]
    # A key that the schema does not know was forgotten there.
    known = schema()["$defs"]["environment"]["properties"].keys()
    assert found["environment"].keys() <= known and found["seed"] is not None


@pytest.mark.parametrize("file", sorted(RESULTS.rglob("*.json")), ids=lambda file: file.stem)
def test_what_is_committed_fits(file: Path, judge: Any) -> None:
    found = json.loads(file.read_text())
    if "schema" in found:
        assert [error.message for error in judge.iter_errors(found)] == []
        load(file)


def places(value: Any, at: tuple = ()) -> list[tuple]:
    """The ways to everything in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *[place for key, each in inner for place in places(each, (*at, key))]]


FULL = json.loads(json.dumps(full()))
for row in FULL["rows"]:
    for kind in ("hot_s", "cold_s"):
        if row["timing"]:
            row["timing"][kind] = row["timing"][kind][:2]
SPOILT = st.sampled_from([None, True, 0, -1, 2.0, 2.5, "x", "cpu", "SAME", [], {}, ["x"], [1.0, 2.0], [None], ...])


@settings(max_examples=500, deadline=None)
@given(at=st.sampled_from(places(FULL)[1:]), what=SPOILT)
def test_judged_as_by_another_implementation(judge: Any, at: tuple, what: Any) -> None:
    made = copy.deepcopy(FULL)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    if what is ...:
        del inner[at[-1]]
    else:
        inner[at[-1]] = what
    said = misfit(made)
    assert (said is None) == judge.is_valid(made), said
    assert said is None or ("\n" not in said and len(said) < 200)


@pytest.mark.parametrize(
    ("at", "what", "says"),
    [
        ("rows", 3, "rows: expected array, got 3"),
        ("rows", [{"case": "x"}], "rows[0]: 'axes' is missing"),
        ("environment", {}, "environment: 'time' is missing"),
        ("roofline", {"device": "tpu"}, "roofline: 'peak_flops' is missing"),
        ("figures", [{**FULL["figures"][0], "passed": 1}], "figures[0].passed: expected boolean, got 1"),
    ],
)
def test_it_says_where_and_why(at: str, what: Any, says: str) -> None:
    assert misfit({**FULL, at: what}) == says


def test_samples_are_times() -> None:
    made = copy.deepcopy(FULL)
    made["rows"][0]["timing"]["hot_s"][1] = -1.0
    assert misfit(made) == "rows[0].timing.hot_s[1]: expected at least 0, got -1.0"
    made["rows"][0]["timing"]["hot_s"] = []
    assert misfit(made) == "rows[0].timing.hot_s: 0 items, expected at least 1"
