"""The run folder: metrics are cut back to the checkpoint, and nothing of the user's is overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinygrad_lm.data import UserError
from tinygrad_lm.train import Quiet, TrainConfig, fit
from tinygrad_lm.train.folder import RunFolder, existing_run, new_run
from tinygrad_lm.train.metrics import COLUMNS, Metrics, read_metrics


def row(step: int) -> dict[str, float]:
    return {name: step for name in COLUMNS}


def write(path: Path, rows: int) -> None:
    with Metrics(path, 0) as metrics:
        for step in range(1, rows + 1):
            metrics.write(row(step))


def steps(path: Path) -> list[int]:
    return [r["step"] for r in read_metrics(path)]


def test_rows_are_on_file_as_soon_as_they_are_written(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "m", 0)
    metrics.write(row(1))
    assert read_metrics(tmp_path / "m") == [row(1)]
    metrics.close()


def test_opening_at_a_step_drops_later_rows(tmp_path: Path) -> None:
    write(tmp_path / "m", 5)
    with Metrics(tmp_path / "m", 3) as metrics:
        assert steps(tmp_path / "m") == [1, 2, 3]
        metrics.write(row(4))
    assert steps(tmp_path / "m") == [1, 2, 3, 4]


@pytest.mark.parametrize("cut", [1, 2, 10])
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "m", 3)
    size = (tmp_path / "m").stat().st_size
    os.truncate(tmp_path / "m", size - cut)
    assert steps(tmp_path / "m") == [1, 2]
    Metrics(tmp_path / "m", 3).close()
    assert (tmp_path / "m").read_bytes().endswith(b"\n") and steps(tmp_path / "m") == [1, 2]


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "m") == []


def test_new_folders_are_numbered_and_never_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(new_run("", "quick").path) for _ in range(3)] == ["runs/quick-1", "runs/quick-2", "runs/quick-3"]


def make_run(path: Path) -> RunFolder:
    folder = new_run(str(path), "x")
    for file in (folder.checkpoint, folder.config, folder.metrics, folder.picture):
        file.write_text("old")
    folder.samples.mkdir()
    folder.sample(3).write_text("old")
    return folder


def test_a_folder_with_a_run_is_refused_and_overwrite_clears_the_run_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r")
    (folder.path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds a run; continue it with --resume"):
        folder.make_room()
    assert folder.sample(3).read_text() == "old"
    folder.make_room(overwrite=True)
    assert os.listdir(folder.path) == ["notes.txt"]


def test_files_of_the_user_that_have_our_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds config.toml but no run"):
            new_run(str(tmp_path), "x").make_room(overwrite)
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_a_start_that_was_killed_before_its_first_checkpoint_can_be_started_again(tmp_path: Path) -> None:
    folder = new_run(str(tmp_path / "r"), "x")
    folder.checkpoint.with_name("checkpoint.safetensors.tmp").write_text("half")
    assert new_run(str(tmp_path / "r"), "x") == folder
    folder.make_room()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(UserError, match="cannot be used as a run folder"):
        new_run(str(tmp_path / "f"), "x")
    with pytest.raises(UserError, match="no such run folder"):
        existing_run(tmp_path / "f")
    with pytest.raises(UserError, match="no such run folder"):
        existing_run(tmp_path / "none")
    with pytest.raises(UserError, match="holds no run"):
        existing_run(tmp_path)


def test_overwrite_does_not_touch_a_run_that_is_training(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("so much text that it will do " * 9)
    folder = make_run(tmp_path / "r")
    config = TrainConfig(data=[str(tmp_path / "text")], out=str(folder.path), layers=1, width=4, context=4, steps=0)
    with folder.locked(), pytest.raises(UserError, match="another process is training"):
        fit(config, overwrite=True, progress=Quiet())
    assert folder.checkpoint.read_text() == folder.sample(3).read_text() == "old"
    fit(config, overwrite=True, progress=Quiet())
    assert not folder.samples.exists() and existing_run(folder.path)


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    folder = new_run(str(tmp_path / "r"), "x")
    with folder.locked():
        with pytest.raises(UserError, match="another process is training"), folder.locked():
            pass
    with folder.locked():
        pass
