"""Checkpoints: everything comes back, saves are atomic, and a bad file is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_lm.data import UserError
from tinygrad_lm.train.checkpoint import VERSION, Checkpoint, load_checkpoint, save_checkpoint


def example(step: int = 3) -> Checkpoint:
    values = np.arange(12, dtype=np.float32).reshape(3, 4) + step
    return Checkpoint(
        step=step,
        config={"layers": 2, "learning_rate": 1e-3},
        tokenizer={"kind": "char", "characters": 'a\n"é'},
        random={"batches": {"seed": 2**64 - 1, "stream": 2**63 + 5}},
        text="0" * 64,
        arrays={"model.w": values, "model.t": values.T, "optimizer.0.m": values[:, ::2].astype(np.float64)},
        numbers={"optimizer.0.step": step},
    )


def failure(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_everything_comes_back_strided_arrays_too(tmp_path: Path) -> None:
    saved = example()
    save_checkpoint(tmp_path / "c", saved)
    loaded = load_checkpoint(tmp_path / "c")
    for name in ("step", "config", "tokenizer", "random", "text", "numbers"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)
    assert load_checkpoint(tmp_path / "c", arrays=False).arrays == {}


def test_equal_states_are_equal_files(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", example())
    save_checkpoint(tmp_path / "b", example())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    save_checkpoint(tmp_path / "c", example())
    assert set(load_file(tmp_path / "c")) == {"model.w", "model.t", "optimizer.0.m"}


def test_a_save_leaves_one_file_and_reaches_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        events.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def watched_replace(a: Any, b: Any) -> None:
        events.append("replace")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    save_checkpoint(tmp_path / "c", example())
    assert events == ["fsync c.tmp", "replace", f"fsync {tmp_path.name}"]
    assert os.listdir(tmp_path) == ["c"]


def test_who_may_enter_the_folder_may_read_the_checkpoint(tmp_path: Path) -> None:
    for folder, file in ((0o755, 0o644), (0o700, 0o600)):
        tmp_path.chmod(folder)
        save_checkpoint(tmp_path / "c", example())
        assert (tmp_path / "c").stat().st_mode & 0o777 == file


@pytest.mark.parametrize("where", ["save_file", "fsync", "replace"])
def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    import safetensors.numpy

    save_checkpoint(tmp_path / "c", example(3))

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.numpy if where == "save_file" else os, where, full)
    with pytest.raises(UserError, match="step 4 could not be saved \\(No space left on device\\)") as caught:
        save_checkpoint(tmp_path / "c", example(4))
    assert caught.value.exit_code == 1
    assert load_checkpoint(tmp_path / "c").step == 3 and os.listdir(tmp_path) == ["c"]


def test_a_file_system_that_refuses_the_size_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    script = """
import resource, sys
import numpy as np
from tinygrad_lm.data import UserError
from tinygrad_lm.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
def state(step, size):
    return Checkpoint(step, {}, {}, {}, "", {"model.w": np.zeros(size, np.float32)})
save_checkpoint(sys.argv[1], state(1, 1000))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(sys.argv[1], state(2, 100_000))
except UserError as error:
    print(error)
assert load_checkpoint(sys.argv[1]).step == 1
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "c")], capture_output=True, text=True, check=True
    )
    assert "step 2 could not be saved (File too large" in result.stdout
    assert os.listdir(tmp_path) == ["c"]


def test_missing_truncated_and_foreign_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    assert "no such checkpoint" in failure(tmp_path / "none")
    save_checkpoint(tmp_path / "c", example())
    whole = (tmp_path / "c").read_bytes()
    for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        assert "truncated, damaged or not a safetensors file" in failure(tmp_path / "cut")
    (tmp_path / "text").write_text("hello, this is no checkpoint at all, not even nearly")
    assert "not a safetensors file" in failure(tmp_path / "text")
    save_file({"w": np.zeros(3)}, tmp_path / "foreign")
    assert "not a checkpoint of tinygrad_lm" in failure(tmp_path / "foreign")
    save_file({"w": np.zeros(3)}, tmp_path / "other", metadata={"tinygrad_lm": "[1]"})
    assert "not a checkpoint of tinygrad_lm" in failure(tmp_path / "other")
    save_file({"w": np.zeros(3)}, tmp_path / "broken", metadata={"tinygrad_lm": "{"})
    assert "damaged checkpoint" in failure(tmp_path / "broken")


def test_a_newer_format_says_upgrade(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    state = {"format": "tinygrad_lm run", "version": VERSION + 1}
    save_file({"w": np.zeros(3)}, tmp_path / "new", metadata={"tinygrad_lm": json.dumps(state)})
    assert f"format {VERSION + 1}, this version reads up to {VERSION}; upgrade" in failure(tmp_path / "new")
    del state["version"]
    save_file({"w": np.zeros(3)}, tmp_path / "odd", metadata={"tinygrad_lm": json.dumps(state)})
    assert "damaged checkpoint (KeyError: 'version')" in failure(tmp_path / "odd")


def test_a_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    assert str(tmp_path) in failure(tmp_path)
