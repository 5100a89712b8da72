"""The loop: resumed runs end with the same bits, accumulation is a mean, and trouble keeps the last good checkpoint."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_lm.backend import Generator
from tinygrad_lm.data import ByteTokenizer, CharTokenizer, UserError
from tinygrad_lm.models import generate
from tinygrad_lm.optim import AdamW
from tinygrad_lm.train import (
    Quiet,
    TrainConfig,
    Trainer,
    evaluate,
    fit,
    load_checkpoint,
    load_run,
    read_metrics,
    resume,
)
from tinygrad_lm.train.estimate import expected_memory, expected_seconds
from tinygrad_lm.train.metrics import Metrics
from tinygrad_lm.train.trainer import schedule_of

TEXT = "".join(f"{n} and {n + 1} make {2 * n + 1}.\n" for n in range(60))
TINY = TrainConfig(
    layers=1, heads=2, width=8, context=8, batch=3, accumulate=2, dropout=0.2, steps=6, warmup=2, eval_every=4,
    save_every=2, sample_tokens=5,
)  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    return file


def tiny(text: Path, out: str, **changes: Any) -> TrainConfig:
    return dataclasses.replace(TINY, **{"data": [str(text)], "out": str(text.parent / out), **changes})


def trainer(**changes: Any) -> Trainer:
    config = dataclasses.replace(TINY, **changes)
    tokens = CharTokenizer(TEXT).encode(TEXT)
    return Trainer(config, CharTokenizer(TEXT), tokens[:-50], tokens[-50:])


def final_bytes(folder: Path) -> bytes:
    return (folder / "checkpoint.safetensors").read_bytes()


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "tokens_per_s"} for row in read_metrics(folder / "metrics.jsonl")]


class StopAt(Quiet):
    """Raises at a step, as a process that dies there does not even do."""

    def __init__(self, step: int):
        self.at = step

    def step(self, row: dict[str, Any]) -> None:
        if row["step"] == self.at:
            raise KeyboardInterrupt


class SignalAt(StopAt):
    def __init__(self, step: int, number: int):
        super().__init__(step)
        self.number = number

    def step(self, row: dict[str, Any]) -> None:
        if row["step"] == self.at:
            os.kill(os.getpid(), self.number)


class Remember(Quiet):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


# ---- the folder and the result ---------------------------------------------------------------------------------------


def test_a_run_folder_holds_everything(text: Path) -> None:
    said = Remember()
    result = fit(tiny(text, "run"), progress=said)
    assert set(os.listdir(result.folder)) - {"loss.png"} == {
        "checkpoint.safetensors", "config.toml", "metrics.jsonl", "samples",
    }  # fmt: skip
    rows = read_metrics(result.folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["val_loss"] is not None for row in rows] == [False, False, False, True, False, True]
    assert result.val_loss == rows[-1]["val_loss"] and result.step == 6 and result.stopped_by is None
    assert sorted(os.listdir(result.folder / "samples")) == ["step-0000004.txt", "step-0000006.txt"]
    assert all(math.isfinite(row["train_loss"]) and row["grad_norm"] > 0 and row["tokens_per_s"] > 0 for row in rows)
    expected = next(line for line in said.lines if line.startswith("expected"))
    assert "6 steps" in expected and "of memory (estimates)" in expected
    assert any(str(result.folder) in line for line in said.lines)


def test_it_learns(text: Path) -> None:
    result = fit(
        tiny(text, "run", steps=60, dropout=0.0, learning_rate=1e-2, warmup=5, save_every=0, eval_every=0),
        progress=Quiet(),
    )
    rows = read_metrics(result.folder / "metrics.jsonl")
    assert rows[0]["train_loss"] > 2.5
    assert result.val_loss is not None and result.val_loss < rows[0]["train_loss"] - 0.7


def test_step_0_is_saved_before_anything_else(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Trainer) -> float:
        assert load_checkpoint(text.parent / "run" / "checkpoint.safetensors").step == 0
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "probe", die)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny(text, "run"), progress=Quiet())
    whole = fit(tiny(text, "whole"), progress=Quiet())
    assert final_bytes(resume(text.parent / "run", progress=Quiet()).folder) == final_bytes(whole.folder)


def test_no_steps_is_a_run_of_its_initial_weights(text: Path) -> None:
    result = fit(tiny(text, "run", steps=0), progress=Quiet())
    assert result.step == 0 and result.val_loss is None


# ---- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_run_that_died_at_any_step_resumes_to_the_same_bits(text: Path, step: int) -> None:
    whole = fit(tiny(text, "whole"), progress=Quiet())
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(text, "cut"), progress=StopAt(step))
    cut = text.parent / "cut"
    assert load_checkpoint(cut / "checkpoint.safetensors").step == (step - 1) // 2 * 2
    assert len(read_metrics(cut / "metrics.jsonl")) == step  # rows past the checkpoint, to be cut back
    resume(cut, progress=Quiet())
    assert final_bytes(cut) == final_bytes(whole.folder)
    assert metrics(cut) == metrics(whole.folder)
    for sample in (whole.folder / "samples").iterdir():
        assert (cut / "samples" / sample.name).read_text() == sample.read_text()


def test_the_probe_leaves_no_trace() -> None:
    probed, plain = trainer(), trainer()
    probed.probe()
    assert all(p.grad is None for p in probed.model.parameters())
    assert probed.state().random == plain.state().random
    for _ in range(2):
        one, two = probed.train_step(), plain.train_step()
        assert (one["train_loss"], one["grad_norm"]) == (two["train_loss"], two["grad_norm"])
    np.testing.assert_array_equal(
        probed.state().arrays["model.tokens.weight"], plain.state().arrays["model.tokens.weight"]
    )


def test_validation_draws_no_random_numbers_and_returns_to_training_mode() -> None:
    t = trainer()
    t.train_step()
    before = t.state().random
    assert t.validate() == t.validate()
    assert t.state().random == before and t.model.training


def test_more_steps_are_those_of_a_run_with_the_same_schedule(text: Path) -> None:
    short = fit(tiny(text, "short", steps=4), progress=Quiet())
    resume(short.folder, {"steps": 6}, progress=Quiet())
    long = fit(tiny(text, "long", steps=6, decay_steps=4), progress=Quiet())
    assert final_bytes(short.folder) == final_bytes(long.folder)


def test_samples_and_validations_do_not_touch_the_run(text: Path) -> None:
    with_samples = fit(tiny(text, "with"), progress=Quiet())
    without = fit(tiny(text, "without", sample_tokens=0, eval_every=0), progress=Quiet())
    a, b = (load_checkpoint(r.folder / "checkpoint.safetensors") for r in (with_samples, without))
    assert a.random == b.random
    assert all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
    run = load_run(with_samples.folder)
    prompt = run.tokenizer.encode("\n")
    ids = generate(run.model, prompt, 5, temperature=0.8, generator=Generator(0).spawn("sample 6"))
    expected = run.tokenizer.decode([*prompt, *ids]) + "\n"
    assert (with_samples.folder / "samples" / "step-0000006.txt").read_text() == expected
    assert not (without.folder / "samples").exists()


def test_seeds_decide(text: Path) -> None:
    one, two, other = (fit(tiny(text, n, seed=s), progress=Quiet()).folder for n, s in [("a", 1), ("b", 1), ("c", 2)])
    assert final_bytes(one) == final_bytes(two) and metrics(one) == metrics(two)
    assert metrics(one) != metrics(other)


def test_kill_and_resume_as_the_benchmark_does(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"
    spec = importlib.util.spec_from_file_location("kill_resume", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.kill_and_resume(tmp_path, kills=4, steps=12, seed=1, show=False)
    assert result["kills"] == 4 and result["wrong"] == []


# ---- what a step computes --------------------------------------------------------------------------------------------


def test_accumulation_is_the_mean_over_the_micro_batches() -> None:
    two = trainer(batch=3, accumulate=2, dropout=0.0, dtype="float64")
    one = trainer(batch=6, accumulate=1, dropout=0.0, dtype="float64")
    first, second = next(two.batches), next(two.batches)
    batches = iter([first, second])
    two.batches.__class__ = type("Fixed", (), {"__next__": lambda self: next(batches), "__iter__": lambda self: self})
    both = tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))
    one.batches.__class__ = type("Fixed", (), {"__next__": lambda self: both, "__iter__": lambda self: self})
    a, b = two.train_step(), one.train_step()
    assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-12)
    assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-10)
    np.testing.assert_allclose(two.model.tokens.weight.data, one.model.tokens.weight.data, rtol=1e-8)


def test_clipping_bounds_the_gradient_and_the_row_shows_what_it_was() -> None:
    t = trainer(clip=1e-3, dropout=0.0)
    norm = t.train_step()["grad_norm"]
    assert norm > 1e-3
    gradients = [p.grad.data for p in t.model.parameters() if p.grad is not None]
    clipped = math.sqrt(sum(float((g**2).sum()) for g in gradients))
    assert clipped == pytest.approx(1e-3, rel=1e-4)
    assert trainer(clip=0.0, dropout=0.0).train_step()["grad_norm"] == norm


def test_decay_is_on_matrices_only() -> None:
    groups = trainer(weight_decay=0.3).optimizer.groups
    decay = {p.ndim: group["weight_decay"] for group in groups for p in group["params"]}
    assert decay == {2: 0.3, 1: 0.0}


def test_dropout_is_on_in_training() -> None:
    assert trainer(dropout=0.5).train_step()["train_loss"] != trainer(dropout=0.0).train_step()["train_loss"]


def test_float64() -> None:
    t = trainer(dtype="float64")
    t.train_step()
    assert all(p.dtype == np.float64 for p in t.model.parameters())
    assert t.state().arrays["model.tokens.weight"].dtype == np.float64


def test_evaluation_is_the_mean_over_every_predicted_token() -> None:
    t = trainer(dtype="float64", dropout=0.0)
    tokens = t.val_tokens[:21]
    import tinygrad_lm as tg

    total = 0.0
    for first in range(0, 20, 8):
        ids, targets = tokens[first : min(first + 8, 20)], tokens[first + 1 : min(first + 8, 20) + 1]
        with tg.no_grad():
            log_probabilities = np.asarray(tg.log_softmax(t.model(ids[None].astype(np.int64)), axis=-1).data)[0]
        total -= log_probabilities[np.arange(len(targets)), targets].sum()
    assert evaluate(t.model, tokens, 8) == pytest.approx(total / 20, rel=1e-12)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "step", "one_cycle"])
def test_schedules_begin_low_reach_the_rate_and_end_at_their_share(name: str) -> None:
    rate = schedule_of(TrainConfig(schedule=name, steps=100, warmup=10, learning_rate=1.0, decay_to=0.1))
    rates = [rate(step) for step in range(100)]
    assert rates[0] <= 0.11 and max(rates) == pytest.approx(1.0) and rates.index(max(rates)) == 10
    assert rate(100) == pytest.approx(1.0 if name == "constant" else 0.1)
    assert rate(500) == pytest.approx(rate(100))


def test_a_warmup_longer_than_the_run() -> None:
    for name in ("constant", "linear", "cosine", "step", "one_cycle"):
        rate = schedule_of(TrainConfig(schedule=name, steps=5, warmup=50))
        assert all(0 < rate(step) <= 4e-3 for step in range(5))


def test_the_published_schedule() -> None:
    rate = schedule_of(TrainConfig(steps=2000, warmup=100, learning_rate=1e-3, decay_to=0.1))
    assert rate(0) == pytest.approx(1e-3 / 101)
    assert rate(1050) == pytest.approx(1e-4 + 0.5 * 9e-4)  # half way down
    assert rate(1999) == pytest.approx(1e-4, rel=1e-3)
    t = trainer()
    assert [t.train_step()["lr"] for _ in range(3)] == [t.rate(step) for step in range(3)]
    assert {group["lr"] for group in t.optimizer.groups} == {t.rate(2)}


# ---- trouble ---------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(text: Path) -> None:
    with pytest.raises(UserError) as caught:
        fit(tiny(text, "run", learning_rate=1e30, clip=0.0, warmup=0), progress=Quiet())
    assert caught.value.exit_code == 1
    message = str(caught.value)
    assert message.startswith("step ") and ("is nan; " in message or "is inf; " in message)
    checkpoint = load_checkpoint(text.parent / "run" / "checkpoint.safetensors")
    assert f"keeps the checkpoint of step {checkpoint.step}" in message
    assert all(np.isfinite(a).all() for name, a in checkpoint.arrays.items() if name.startswith("model."))


def test_a_loss_that_is_no_number_changes_nothing() -> None:
    t = trainer()
    t.model.tokens.weight.data[0] = np.nan
    before = t.model.tokens.weight.data.copy()
    with pytest.raises(UserError, match="step 1: the training loss is nan"):
        t.train_step()
    np.testing.assert_array_equal(t.model.tokens.weight.data, before)


def test_weights_without_a_finite_loss_never_replace_good_ones(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = AdamW.step

    def poison(self: AdamW) -> None:
        step(self)
        if self.state_dict()["0.step"] == 4:
            self.groups[0]["params"][0].data[:] = np.nan

    monkeypatch.setattr(AdamW, "step", poison)
    with pytest.raises(UserError, match="step 4: the validation loss is nan; .* keeps the checkpoint of step 2"):
        fit(tiny(text, "saved", eval_every=0), progress=Quiet())
    with pytest.raises(UserError, match="step 4: the validation loss is nan; .* keeps the checkpoint of step 3"):
        fit(tiny(text, "validated", save_every=3), progress=Quiet())
    for name in ("saved", "validated"):
        assert np.isfinite(load_run(text.parent / name).model.tokens.weight.data).all()
        assert all(row["step"] < 5 for row in read_metrics(text.parent / name / "metrics.jsonl"))


def test_metrics_that_cannot_be_written(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Metrics, row: dict[str, Any]) -> None:
        if row["step"] == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Metrics, "write", full)
    with pytest.raises(UserError, match="run: No space left on device; .* keeps the checkpoint of step 2") as caught:
        fit(tiny(text, "run"), progress=Quiet())
    assert caught.value.exit_code == 1


def test_a_signal_before_the_first_step_is_heard(text: Path) -> None:
    class Early(Remember):
        def start(self, step: int, steps: int) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    said = Early()
    assert fit(tiny(text, "run"), progress=said).step == 0
    assert "tinygrad-lm train --resume" in said.lines[-1]


def test_an_infinite_gradient_stops_before_the_update() -> None:
    t = trainer()
    t.train_step()
    before = t.model.tokens.weight.data.copy()
    t.model.tokens.weight.register_hook(lambda g: np.full_like(g, np.inf))
    with pytest.raises(UserError, match="step 2: the norm of the gradients is inf; a lower learning_rate may help"):
        t.train_step()
    np.testing.assert_array_equal(t.model.tokens.weight.data, before)
    assert t.step == 1


def test_a_full_disk_in_the_middle(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.numpy

    save_file = safetensors.numpy.save_file
    calls = []

    def full(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        save_file(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", full)
        with pytest.raises(UserError, match="step 4 could not be saved .No space left on device.*of step 2") as caught:
            fit(tiny(text, "run"), progress=Quiet())
    assert caught.value.exit_code == 1
    whole = fit(tiny(text, "whole"), progress=Quiet())
    resume(text.parent / "run", progress=Quiet())
    assert final_bytes(text.parent / "run") == final_bytes(whole.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_at_the_next_step_and_says_how_to_resume(text: Path, number: int) -> None:
    before = signal.getsignal(number)

    class SignalledAndHeard(SignalAt, Remember):
        def __init__(self) -> None:
            SignalAt.__init__(self, 3, number)
            Remember.__init__(self)

    said = SignalledAndHeard()
    result = fit(tiny(text, "run"), progress=said)
    assert result.stopped_by == number and result.step == 3
    assert load_checkpoint(result.folder / "checkpoint.safetensors").step == 3
    assert said.lines[-1] == f"tinygrad-lm train --resume {result.folder}"
    assert signal.getsignal(number) is before
    whole = fit(tiny(text, "whole"), progress=Quiet())
    resume(result.folder, progress=Quiet())
    assert final_bytes(result.folder) == final_bytes(whole.folder) and metrics(result.folder) == metrics(whole.folder)


def test_a_stopped_run_on_standard_input_says_that_it_needs_the_text_again(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SignalledAndHeard(SignalAt, Remember):
        def __init__(self) -> None:
            SignalAt.__init__(self, 1, signal.SIGINT)
            Remember.__init__(self)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    said = SignalledAndHeard()
    fit(tiny(text, "run", data=["-"]), progress=said)
    assert said.lines[-2].endswith("to continue, with the same text on standard input:")


def test_a_second_ctrl_c_stops_at_once(text: Path) -> None:
    class Twice(Quiet):
        def step(self, row: dict[str, Any]) -> None:
            if row["step"] == 3:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(tiny(text, "run"), progress=Twice())
    finally:
        signal.signal(signal.SIGINT, before)
    assert load_checkpoint(text.parent / "run" / "checkpoint.safetensors").step == 2


# ---- resuming what cannot be resumed, and fine-tuning ----------------------------------------------------------------


def test_resume_refuses_what_would_change_the_bits(text: Path) -> None:
    folder = fit(tiny(text, "run", steps=3), progress=Quiet()).folder
    for name, value in [("width", 16), ("learning_rate", 0.5), ("seed", 9), ("batch", 4), ("dtype", "float64")]:
        with pytest.raises(UserError, match=f"this run has {name} .* cannot change it to {value}"):
            resume(folder, {name: value, "steps": 9}, progress=Quiet())
    with pytest.raises(UserError, match="already at step 3; --steps 2 is fewer"):
        resume(folder, {"steps": 2}, progress=Quiet())
    other = text.parent / "other.txt"
    other.write_text(TEXT + "more")
    with pytest.raises(UserError, match="not the text that this run was trained on"):
        resume(folder, {"data": [str(other)], "steps": 9}, progress=Quiet())
    text.rename(text.parent / "moved.txt")
    assert resume(folder, {"data": [str(text.parent / "moved.txt")], "steps": 4}, progress=Quiet()).step == 4


def test_a_finished_run_says_so(text: Path) -> None:
    result = fit(tiny(text, "run"), progress=Quiet())
    said = Remember()
    again = resume(result.folder, progress=said)
    assert again == result and "finished (6 of 6 steps)" in said.lines[0]


def test_fine_tuning_begins_with_the_weights_and_a_fresh_optimizer(text: Path) -> None:
    first = fit(tiny(text, "first"), progress=Quiet()).folder
    other = text.parent / "other.txt"
    other.write_text(TEXT[::-1])
    second = fit(tiny(other, "second", init_from=str(first), steps=0), progress=Quiet()).folder
    a, b = (load_checkpoint(f / "checkpoint.safetensors") for f in (first, second))
    np.testing.assert_array_equal(a.arrays["model.tokens.weight"], b.arrays["model.tokens.weight"])
    assert a.tokenizer == b.tokenizer and b.step == 0
    assert not any(array.any() for name, array in b.arrays.items() if name.startswith("optimizer."))
    with pytest.raises(UserError, match="its model has width 8, not 16; fine-tuning keeps the shape"):
        fit(tiny(other, "third", init_from=str(first), width=16), progress=Quiet())
    with pytest.raises(UserError, match="its model has vocab 512, not 600; fine-tuning keeps the shape"):
        fit(tiny(other, "third", init_from=str(first), vocab=600), progress=Quiet())
    assert not (text.parent / "third").exists()
    other.write_text("ж" * 100)
    with pytest.raises(UserError, match="unknown character 'ж'"):
        fit(tiny(other, "fourth", init_from=str(first)), progress=Quiet())


def test_a_checkpoint_of_another_shape_is_one_line(text: Path) -> None:
    folder = fit(tiny(text, "run", steps=2), progress=Quiet()).folder
    checkpoint = load_checkpoint(folder / "checkpoint.safetensors")
    with pytest.raises(UserError, match="does not fit.*of another shape.*tokens.weight") as caught:
        trainer(width=16).load(checkpoint)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1


def test_a_run_can_be_loaded_for_use(text: Path) -> None:
    result = fit(tiny(text, "run", tokenizer="byte"), progress=Quiet())
    run = load_run(result.folder)
    assert isinstance(run.tokenizer, ByteTokenizer) and run.step == 6 and not run.model.training
    val = run.tokenizer.encode(TEXT[len(TEXT) * 9 // 10 :])
    assert evaluate(run.model, val, run.config.context) == result.val_loss


def test_too_short_for_the_context_leaves_no_folder(text: Path) -> None:
    text.write_text("only this")
    with pytest.raises(UserError, match="too short"):
        fit(tiny(text, "run"), progress=Quiet())
    assert not (text.parent / "run").exists()


# ---- estimates -------------------------------------------------------------------------------------------------------


def test_expected_time_counts_what_is_left() -> None:
    config = TrainConfig(steps=100, eval_every=50, batch=2, context=5, accumulate=1)
    assert expected_seconds(config, 1.0, 0, 30) == pytest.approx(100 + 3 * 1.0)
    assert expected_seconds(config, 1.0, 50, 30) == pytest.approx(50 + 2 * 1.0)


def test_expected_memory_grows_with_the_model_and_the_batch() -> None:
    small = expected_memory(TrainConfig(), 10**6, 100)
    assert expected_memory(TrainConfig(), 2 * 10**6, 100) - small == 4 * 4 * 10**6
    assert expected_memory(TrainConfig(batch=100), 10**6, 100) > 2 * small
    assert json.dumps(small)
