"""Result files: written whole or not at all, read back, and refused in one line where they are something else."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_lm.bench import document, load, save, unlike
from tinygrad_lm.bench.results import SCHEMA, plain, text_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_text_is_json(value: object) -> None:
    assert json.loads(text_of(value)) == value


def test_a_list_of_numbers_is_one_line() -> None:
    text = text_of({"rows": [{"hot_s": list(range(1000))}], "empty": {}, "none": []})
    assert text.count("\n") == 8 and json.loads(text)["none"] == []


def test_what_json_lacks_becomes_none() -> None:
    found = plain({"a": [math.inf, np.float32("nan"), 1.5], "b": {"c": (np.int64(3), -math.inf)}, 3: np.ones(2)})
    assert found == {"a": [None, None, 1.5], "b": {"c": [3, None]}, "3": [1.0, 1.0]}


def test_there_and_back(tmp_path: Path) -> None:
    figure = {"name": "exp", "value": np.float32(0.5), "limit": None, "unit": "s", "passed": np.True_}
    made = document(figures=[figure], seed=7, samples_s=np.array([1e-3, 2e-3]))
    assert made["schema"] == SCHEMA and made["environment"]["python"]
    save(tmp_path / "new" / "out.json", made)
    assert load(tmp_path / "new" / "out.json") == made and made["samples_s"] == [1e-3, 2e-3]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new" / "out.json").stat().st_mode) == 0o666 & ~mask


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    save(file, document(seed=1))
    with pytest.raises(TypeError):
        save(file, document(seed=object()))
    assert load(file)["seed"] == 1 and [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not a JSON file"),
        ("\xff", "is not a JSON file"),
        ("[1]", "names no schema, expected"),
        ('{"rows": []}', "names no schema, expected"),
        ('{"schema": "other 2"}', "is of the schema 'other 2', expected"),
        (json.dumps({"schema": SCHEMA}), "is damaged: 'environment' is missing"),
        (
            json.dumps({**document(), "rows": [3]}),
            "is damaged: rows[0]: expected object, got 3",
        ),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(text: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as caught:
        load(file)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_unlike_machines_are_named() -> None:
    def machine(**parts: object) -> dict:
        return {"environment": {"cpu": "X", "cores": 2, "gpu": None, "load": 0.1, **parts}}

    assert unlike(machine(), machine(load=3.0)) == []
    assert unlike(machine(), machine(cpu="Y", cores=4)) == ["cpu: X / Y", "cores: 2 / 4"]
    gpu = {"name": "H", "clock": 3}
    assert unlike(machine(gpu=gpu), machine(gpu={**gpu, "clock": 9})) == []
    assert unlike(machine(gpu=gpu), machine()) == ["gpu: H / None"]
