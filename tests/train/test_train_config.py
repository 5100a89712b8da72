"""Options: one class for the command line, TOML and checkpoints; wrong names and values are one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tinygrad_lm.data import UserError
from tinygrad_lm.train.config import (
    MAY_CHANGE,
    PRESETS,
    SHAPE,
    TrainConfig,
    config_from_toml,
    config_to_toml,
    resolve_config,
)

NAMES = {f.name for f in dataclasses.fields(TrainConfig)}


def failure(**values: Any) -> str:
    with pytest.raises(UserError) as caught:
        resolve_config(flags=values)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    return str(caught.value)


def test_flags_overrule_the_file_which_overrules_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("layers = 3\nheads = 1\nbatch = 5\n")
    config = resolve_config("smoke", file, {"batch": 7})
    assert (config.width, config.layers, config.heads, config.batch) == (32, 3, 1, 7)


def test_a_file_may_name_its_preset_and_the_flag_overrules_it(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('preset = "smoke"\ndecay-to = 0\ndata = "one.txt"\n')
    config = resolve_config(toml=file)
    assert (config.width, config.decay_to, config.data) == (32, 0.0, ["one.txt"])
    assert resolve_config("nanogpt-gpu", file).width == 384


def test_every_preset_is_possible() -> None:
    for name in PRESETS:
        assert resolve_config(name)


def test_the_preset_of_the_published_comparison() -> None:
    config = resolve_config("nanogpt-cpu")
    expected = dict(
        tokenizer="char", layers=4, heads=4, width=128, context=64, batch=12, bias=False, dropout=0.0, steps=2000,
        learning_rate=1e-3, decay_to=0.1, schedule="cosine", warmup=100, beta1=0.9, beta2=0.99,
        weight_decay=0.1, clip=1.0, accumulate=1, dtype="float32",
    )  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected


def test_toml_round_trip(tmp_path: Path) -> None:
    config = resolve_config(
        flags={"data": ['a "quoted".txt', "tab\tand\x7f.txt"], "learning_rate": 1e-5, "bias": True, "init_from": ""}
    )
    (tmp_path / "c.toml").write_text(config_to_toml(config))
    assert config_from_toml(tmp_path / "c.toml") == config
    assert "out" not in {line.split(" =")[0] for line in config_to_toml(config).splitlines()}


def test_every_option_has_a_help_text_and_the_lists_name_options() -> None:
    assert all(f.metadata["help"] for f in dataclasses.fields(TrainConfig))
    assert set(MAY_CHANGE) | set(SHAPE) <= NAMES and not set(MAY_CHANGE) & set(SHAPE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heads": 3}, "heads must divide width: 3 heads do not divide a width of 128; try 2 heads or a width of 129"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"width": -4}, "width must be at least 1, got -4"),
        ({"batch": -1}, "batch must be at least 1, got -1"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be below 1.0, got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0.0, got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got nan"),
        ({"clip": float("inf")}, "clip must be a finite number, got inf"),
        ({"decay_to": 1.1}, "decay_to must be at most 1.0, got 1.1"),
        ({"schedule": "step", "decay_to": 0.0}, "decay_to must be above 0"),
        ({"beta1": 1.0}, "beta1 must be below 1.0, got 1.0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0.0, got -1.0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**64}, "seed must be at most 18446744073709551615"),
        ({"tokenizer": "word"}, "tokenizer must be one of char, byte, bpe, got 'word'"),
        ({"schedule": "cosin"}, "schedule must be one of constant, linear, cosine, step, one_cycle, got 'cosin'"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
        ({"device": "gpu"}, "device must be one of cpu, cuda, got 'gpu'"),
        ({"device": "cuda", "kernels": "native"}, "kernels 'native' work on device cpu"),
        ({"kernels": "cuda"}, "kernels 'cuda' need device cuda"),
        ({"vocab": 100}, "vocab must be at least 256, got 100"),
        ({"widht": 4}, "options: unknown key 'widht'; did you mean width?"),
        ({"layers": 2.0}, "options: layers must be int, got 2.0"),
        ({"layers": True}, "options: layers must be int, got True"),
        ({"bias": 1}, "options: bias must be bool, got 1"),
        ({"learning_rate": 10**400}, "options: learning_rate must be float, got 1000"),
        ({"heads": 3, "width": 10**26}, "or a width of 100000000000000000000000002"),
        ({"data": ["caf\udce9.txt"]}, "data: ['caf\\udce9.txt'] is not UTF-8"),
        ({"data": "a.txt"}, "options: data must be list[str], got 'a.txt'"),
    ],
)
def test_impossible_values_are_one_line(values: dict[str, Any], message: str) -> None:
    assert message in failure(**values)


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown preset 'nanogpt'; did you mean nanogpt-.*\\?"):
        resolve_config("nanogpt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("witdh = 3", "unknown key 'witdh'; did you mean width?"),
        ("width = 'x'", "width must be int, got 'x'"),
        ("[model]\nwidth = 3", "unknown key 'model'"),
        ("width = ", "not valid TOML"),
        ("width = 1" + 5000 * "0", "not valid TOML"),
        ("width = " + 5000 * "[", "not valid TOML"),
        ("preset = 'fast'", "unknown preset 'fast'"),
        ("preset = 3", "unknown preset 3"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        resolve_config(toml=file)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert "preset" in text or str(caught.value).startswith(str(file))


def test_a_missing_file() -> None:
    with pytest.raises(UserError, match="no.toml: cannot be read \\(No such file or directory\\)"):
        resolve_config(toml="no.toml")
