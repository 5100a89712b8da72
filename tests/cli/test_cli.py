"""The command: what each verb prints, its exit code, and one line for every mistake."""

from __future__ import annotations

import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tinygrad_lm import __version__
from tinygrad_lm.backend import CPU
from tinygrad_lm.cli import main
from tinygrad_lm.train import load_checkpoint, save_checkpoint

TEXT = "".join(f"{n} and {n + 1} make {2 * n + 1}.\n" for n in range(60))
TINY = "--layers 1 --heads 2 --width 8 --context 8 --batch 2 --steps 4 --warmup 1 --eval-every 2".split()
TINY += ["--sample-tokens", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained run, and its text beside it."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(TEXT)
    assert main(["train", "--data", str(folder / "text.txt"), "--out", str(folder / "run"), *TINY]) == 0
    return folder / "run"


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "text.txt").write_text(TEXT)
    return str(tmp_path / "text.txt")


def complaint(capsys: pytest.CaptureFixture[str], code: int, *argv: str) -> str:
    """The one line that a wrong command prints, without the command's name."""
    capsys.readouterr()
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("tinygrad-lm: ") and err.count("\n") == 1 and "Traceback" not in err
    return err.removeprefix("tinygrad-lm: ").rstrip("\n")


# ---- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["train", "sample", "eval", "info", "doctor"])
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"tinygrad-lm {verb}" in capsys.readouterr().out.split("example")[1]


def test_help_lists_the_verbs_and_every_option_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"    {verb} " in out for verb in ("train", "sample", "eval", "info", "doctor"))
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--learning-rate", "--no-bias", "--preset", "--resume", "--init-from"))


def test_starting_imports_nothing_slow() -> None:
    script = (
        "import sys; from tinygrad_lm.cli import main; main(['train', '--help']); "
        "print([m for m in ('rich', 'matplotlib', 'safetensors', 'tokenizers', 'torch', 'cupy') if m in sys.modules], "
        "file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr == "[]\n"


# ---- verbs -----------------------------------------------------------------------------------------------------------


def test_train_prints_where_what_and_how_long(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "--data", text, "--out", out, *TINY]) == 0
    printed = capsys.readouterr().out
    for part in (f"run folder  {out}", "char tokenizer", "1 layers", "expected    about", "step 4/4", "validation"):
        assert part in printed
    assert main(["train", "--resume", out]) == 0
    assert "this run is finished (4 of 4 steps)" in capsys.readouterr().out


def test_train_reads_standard_input_and_a_toml_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("preset = 'smoke'\nwidth = 8\nlayers = 1\ncontext = 8\nsteps = 9\nsample_tokens = 0\n")
    assert main(["train", "--config", "mine.toml", "--data", "-", "--steps", "2"]) == 0
    assert "run folder  runs/mine-1" in capsys.readouterr().out
    assert main(["info", "runs/mine-1", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert (config["width"], config["batch"], config["steps"], config["data"]) == (8, 8, 2, ["-"])


def test_resume_goes_on_and_the_config_of_a_run_starts_another(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["train", "--data", text, "--out", one, *TINY]) == 0
    assert main(["train", "--resume", one, "--steps", "6"]) == 0
    assert main(["train", "--config", f"{one}/config.toml", "--out", two]) == 0
    checkpoints = [(Path(folder) / "checkpoint.safetensors").read_bytes() for folder in (one, two)]
    assert checkpoints[0] == checkpoints[1]


def test_fine_tuning_keeps_the_shape(run: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "tuned")
    assert main(["train", "--init-from", str(run), "--data", text, "--out", out, "--steps", "1"]) == 0
    assert "1 layers, 2 heads, width 8, context 8" in capsys.readouterr().out


def test_sample_continues_the_prompt_and_repeats_itself(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sample", str(run), "--prompt", "7 and", "--tokens", "20", "--top-k", "5", "--top-p", "0.9"]
    capsys.readouterr()
    assert main(command) == 0
    first = capsys.readouterr().out
    assert first.startswith("7 and") and len(first) == len("7 and") + 20 + 1
    assert main(command) == 0 and capsys.readouterr().out == first
    assert main([*command, "--seed", "1"]) == 0 and capsys.readouterr().out != first
    assert main(["sample", str(run), "--tokens", "0"]) == 0 and capsys.readouterr().out == "\n\n"


def test_eval_repeats_the_validation_loss_of_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["eval", str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert main(["info", str(run), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert result["loss"] == info["val_loss"] and result["step"] == info["step"] == 4
    assert result["perplexity"] == pytest.approx(math.exp(result["loss"]))
    assert result["bits_per_byte"] == pytest.approx(
        result["loss"] / math.log(2) * (result["tokens"] - 1) / result["tokens"]
    )
    assert info["parameters"] > 0
    assert main(["eval", str(run), "--data", str(run.parent / "text.txt")]) == 0
    assert f"over {len(TEXT):,} tokens" in capsys.readouterr().out


def test_info_is_readable(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["info", str(run)]) == 0
    out = capsys.readouterr().out
    assert "step 4 of 4" in out and "GPT" in out and "learning_rate = 0.004" in out


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "numpy" in out and "reference" in out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


# ---- mistakes --------------------------------------------------------------------------------------------------------


def test_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert "required: VERB" in complaint(capsys, 2)
    assert "invalid choice: 'trian'" in complaint(capsys, 2, "trian")
    assert "unknown option --witdh; did you mean --width" in complaint(capsys, 2, "train", "--witdh", "3")
    assert "unknown option --lr; known: --accumulate, --batch" in complaint(capsys, 2, "train", "--lr", "3")
    assert "unexpected argument 'book.txt'" in complaint(capsys, 2, "train", "book.txt")
    assert "--layers: invalid int value: 'four'" in complaint(capsys, 2, "train", "--layers", "four")
    assert "expected one argument" in complaint(capsys, 2, "train", "--layers")
    assert "unknown preset 'quik'; did you mean quick?" in complaint(capsys, 2, "train", "--preset", "quik")
    assert "heads must divide width" in complaint(capsys, 2, "train", "--heads", "3")
    assert "width must be at least 1, got -8" in complaint(capsys, 2, "train", "--width", "-8")
    assert "required: DIR" in complaint(capsys, 2, "sample")


def test_wrong_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def of(data: bytes) -> str:
        (tmp_path / "t").write_bytes(data)
        return complaint(capsys, 2, "train", "--data", str(tmp_path / "t"), "--out", str(tmp_path / "r"), *TINY)

    assert "empty" in of(b"")
    assert "too short: 4 tokens to train on" in of(b"tiny!")
    assert "NUL byte at offset 1" in of(b"a\0b")
    assert "not UTF-8 (byte 0xe9 at offset 3)" in of("café".encode("latin1"))
    assert "no such file" in complaint(capsys, 2, "train", "--data", str(tmp_path / "none"))
    assert not (tmp_path / "r").exists()


def test_wrong_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("lerning_rate = 1")
    assert "did you mean learning_rate?" in complaint(capsys, 2, "train", "--config", str(tmp_path / "c.toml"))
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    assert "not valid TOML" in complaint(capsys, 2, "train", "--config", str(tmp_path / "c.toml"))


def test_wrong_run_folders(run: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "already holds a run" in complaint(capsys, 2, "train", "--data", text, "--out", str(run), *TINY)
    for verb in (["sample"], ["eval"], ["info"], ["train", "--resume"]):
        assert "no such run folder" in complaint(capsys, 2, *verb, str(tmp_path / "none"))
        assert "holds no run" in complaint(capsys, 2, *verb, str(tmp_path))
    assert "no such run folder" in complaint(capsys, 2, "train", "--init-from", str(tmp_path / "none"))
    assert "cannot change it to 16" in complaint(capsys, 2, "train", "--resume", str(run), "--width", "16")
    assert "leave out --preset" in complaint(capsys, 2, "train", "--resume", str(run), "--preset", "quick")
    assert "leave out --out" in complaint(capsys, 2, "train", "--resume", str(run), "--out", "x")
    assert "its model has width 8, not 32" in complaint(
        capsys, 2, "train", "--init-from", str(run), "--data", text, "--width", "32"
    )


def test_damaged_checkpoints(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (run / "checkpoint.safetensors").read_bytes()
    broken = tmp_path / "broken"
    broken.mkdir()
    for verb in (["sample"], ["eval"], ["info"], ["train", "--resume"], ["train", "--init-from"]):
        (broken / "checkpoint.safetensors").write_bytes(whole[:-7])
        assert "truncated" in complaint(capsys, 1, *verb, str(broken))
        (broken / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
        assert "not a safetensors file" in complaint(capsys, 1, *verb, str(broken))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"step": "four"}, "damaged checkpoint (TypeError: step is 'four')"),
        ({"config": None}, "damaged checkpoint (TypeError: config is None)"),
        ({"config": {"heads": 3, "width": 8}}, "heads must divide width"),
        ({"tokenizer": {"kind": "char"}}, "damaged char tokenizer (KeyError: 'characters')"),
        ({"tokenizer": {"kind": "char", "characters": ""}}, "damaged char tokenizer"),
        ({"tokenizer": {}}, "unknown tokenizer 'None'"),
        ({"config": {}}, "the checkpoint does not fit"),
    ],
)
def test_a_checkpoint_that_was_tampered_with(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: dict[str, Any], message: str
) -> None:
    checkpoint = load_checkpoint(run / "checkpoint.safetensors")
    for name, value in state.items():
        setattr(checkpoint, name, value)
    save_checkpoint(tmp_path / "checkpoint.safetensors", checkpoint)
    data = str(run.parent / "text.txt")
    for verb in (["sample"], ["train", "--data", data, "--steps", "9", "--init-from"]):
        capsys.readouterr()
        assert main([*verb, str(tmp_path)]) in (1, 2)
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and (message in err or verb != ["sample"])


def test_sizes_that_cannot_be_meant(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for size in (["--layers", "1000000000000"], ["--width", "10000000000000000000000000"], ["--batch", str(10**26)]):
        why = complaint(capsys, 1, "train", "--data", text, *TINY, *size)
        assert "this run needs about" in why and "and this machine has" in why


def test_wrong_ways_to_sample(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def of(*options: str) -> str:
        return complaint(capsys, 2, "sample", str(run), *options)

    assert "unknown character 'я' (U+044F) at position 0; the tokenizer knows" in of("--prompt", "я")
    assert "--prompt is empty" in of("--prompt", "")
    assert "--prompt is not valid UTF-8" in of("--prompt", "\udce9")
    assert "--tokens must be at least 0" in of("--tokens", "-1")
    assert "--temperature must be at least 0" in of("--temperature", "-0.5")
    assert "--top-k must be at least 1" in of("--top-k", "0")
    assert "--top-p must be above 0" in of("--top-p", "1.5")
    assert "--seed must be" in of("--seed", "-1")


def test_a_device_that_is_not_there(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tinygrad_lm.backend import Unavailable, get_backend

    try:
        get_backend("cuda")
    except Unavailable:
        out = str(tmp_path / "r")
        assert "cuda" in complaint(capsys, 1, "train", "--data", text, "--device", "cuda", "--out", out, *TINY)
        assert not Path(out).exists()
    else:
        pytest.skip("there is a GPU here")


def test_a_loss_that_explodes(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "r")
    options = [*TINY, "--learning-rate", "1e30", "--clip", "0", "--warmup", "0"]
    assert main(["train", "--data", text, "--out", out, *options]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("tinygrad-lm: step ")
    assert f"{out} keeps the checkpoint of step" in err


def test_output_that_cannot_be_written(run: Path) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(command("sample", str(run), "--tokens", "5"), stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr == b"tinygrad-lm: standard output: No space left on device\n"


# ---- a real process --------------------------------------------------------------------------------------------------


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "tinygrad_lm", *argv]


def test_ctrl_c_saves_and_the_printed_command_resumes(text: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = [*TINY, "--steps", "1000000", "--eval-every", "0", "--save-every", "0"]
    process = subprocess.Popen(
        command("train", "--data", text, "--out", str(out), *options),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = out / "metrics.jsonl"
    limit = time.monotonic() + 30
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and errors == ""
    assert printed.rstrip().endswith(f"tinygrad-lm train --resume {out}")
    step = int(printed.split("stopped and saved at step ")[1].split()[0])
    assert step == len(metrics.read_text().splitlines())
    assert main(["train", "--resume", str(out), "--steps", str(step + 1)]) == 0


def test_a_reader_that_leaves_early_is_no_traceback(run: Path) -> None:
    process = subprocess.Popen(
        command("sample", str(run), "--tokens", "3000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.read(1)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1 and errors == b""


def test_lines_where_there_is_no_terminal_and_a_bar_where_there_is(text: str, tmp_path: Path) -> None:
    import pty

    main_end, terminal = pty.openpty()
    out = str(tmp_path / "run")
    process = subprocess.Popen(
        command("train", "--data", text, "--out", out, *TINY),
        stdout=terminal, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(main_end, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main_end)
    assert process.stderr is not None and process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 0
    assert "━".encode() in shown and b"tokens/s" in shown and out.encode() in shown


def test_output_that_is_closed_or_knows_few_characters(run: Path, tmp_path: Path) -> None:
    def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        line = f"{shlex.join(command())} {line}"
        return subprocess.run(line, shell=True, capture_output=True, env={**os.environ, **environment}, cwd=tmp_path)

    for verb in (f"sample {run} --tokens 5", f"train --data {run.parent}/text.txt {shlex.join(TINY)} --out a"):
        result = shell(verb + " >&-")
        assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    (tmp_path / "u.txt").write_text("größer " * 20)
    result = shell(f"train --data u.txt {shlex.join(TINY)} --out größe", PYTHONIOENCODING="ascii")
    assert result.returncode == 0 and b"run folder  gr??e" in result.stdout.replace(b"gr????e", b"gr??e")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"tinygrad-lm {__version__}\n"


def test_doctor_says_that_the_chosen_kernels_cannot_be_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYGRAD_LM_KERNELS", "natvie")
    assert main(["doctor"]) == 0
    assert "default kernels   natvie: cannot be used" in capsys.readouterr().out


def test_kernels_that_do_not_exist_here(
    run: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "unknown kernels 'cuda' for device 'cpu': expected one of reference, native, emulated"
    assert complaint(capsys, 2, "sample", str(run), "--kernels", "cuda") == why
    monkeypatch.setattr(CPU, "kernels", None)  # as at the start of a process
    monkeypatch.setenv("TINYGRAD_LM_KERNELS", "natvie")
    why = "TINYGRAD_LM_KERNELS='natvie': expected one of reference, native, emulated"
    for argv in (["train", "--data", text, *TINY], ["sample", str(run)], ["eval", str(run)]):
        assert complaint(capsys, 2, *argv) == why
