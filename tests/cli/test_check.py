"""tinygrad-lm check: exit code 0 right, 1 wrong, 2 could not be checked, and one clear line."""

from __future__ import annotations

import json

import pytest

from tinygrad_lm.cli import main

MINE = '''
import numpy as np
import tinygrad_lm as tg
from tinygrad_lm.testing import gradtest
from tinygrad_lm.ops.samples import N, case

def product(x, w):
    return tg.tanh(x @ w)

class Cube(tg.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * x * 2.0

def cube(x):
    return Cube.apply(x)

@tg.op(samples=lambda: [case(N(*s)) for s in ((), (0,), (2,), (2, 3), (2, 1, 3))])
def quarter(xp, x):
    """x / 4."""
    return x / 4

@quarter.vjp("x")
def _(g):
    return g * 0.2525

@gradtest
def test_wrong(x):
    return cube(x)

@gradtest
def test_right(x):
    return tg.sin(x)

@gradtest
def test_broken(x):
    raise LookupError("no such\\nthing")

@tg.op(samples=lambda: [case(N(2)), nonsense])
def unsampled(xp, x):
    return x

def of_torch(x):
    import torch
    return torch.sin(x)

constant = 3
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_right_gradient(mine, capsys):
    assert main(["check", "mine.py:product", "--shape", "2,3", "--shape", "3,4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("mine.py:product: right\n") and "18 entries" in said and "central differences" in said
    assert main(["check", "mine.py:product", "--shape", "3", "--shape", "3", "--order", "2"]) == 0
    assert "gradgradcheck" in capsys.readouterr().out


def test_a_wrong_gradient_is_named(mine, capsys):
    assert main(["check", "mine.py:cube", "--shape", "4"]) == 1
    said = capsys.readouterr().out
    assert "mine.py:cube: WRONG" in said and "analytic" in said and "2/3" in said


def test_an_operation_is_put_to_every_property(mine, capsys):
    assert main(["check", "mine.py:quarter"]) == 1
    assert "first_order" in capsys.readouterr().out
    assert main(["check", "tinygrad_lm.ops:tanh"]) == 0
    assert "properties hold" in capsys.readouterr().out


def test_a_gradtest_runs_and_its_failure_can_be_reproduced(mine, capsys):
    assert main(["check", "mine.py:test_right"]) == 0
    assert main(["check", "mine.py:test_wrong"]) == 1
    said = capsys.readouterr().out
    assert "reproduce it with:" in said and "gradcheck(test_wrong.body, (x,))" in said


def test_as_json(mine, capsys):
    assert main(["check", "mine.py:cube", "--shape", "scalar", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["target"] == "mine.py:cube" and said["right"] is False and said["said"]


def test_ties_are_reported_as_kinks(mine, capsys):
    assert main(["check", "tinygrad_lm.ops:maximum", "--points", "ties", "--shape", "9", "--shape", "9"]) == 0
    assert "kink at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine.py"], "names no function: write package.module:function or file.py:function"),
        (["mine.py:"], "names no function"),
        (["mine.py:produkt"], "mine.py has no 'produkt'; did you mean product?"),
        (["mine.py:constant"], "mine.py:constant is a int, not a function"),
        (["other.py:f"], "there is no file other.py"),
        (["no_such_package:f"], "no_such_package cannot be imported: ModuleNotFoundError"),
        (["mine.py:cube", "--shape", "2,x"], "--shape 2,x: expected numbers with commas between"),
        (["mine.py:product"], "the last axis of a is 3, but axis -2 of b is 2"),
        (["mine.py:product"], "give the shapes with --shape, once for each argument"),
        (["mine.py:test_broken"], "mine.py:test_broken could not be checked: LookupError: no such thing"),
        (["mine.py:unsampled"], "could not be checked: NameError: name 'nonsense' is not defined"),
        (["math:gcd", "--shape", "2", "--shape", "2"], "could not be checked with shapes (2,), (2,): TypeError"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_code_2(mine, capsys, words, said):
    assert main(["check", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_function_of_torch_is_told_where_to_go(mine, capsys):
    pytest.importorskip("torch")
    assert main(["check", "mine.py:of_torch"]) == 2
    assert "; that is done in Python, with tinygrad_lm.testing.gradcheck" in capsys.readouterr().err


def test_the_guess_at_shapes_is_no_advice_where_none_were_guessed(mine, capsys):
    assert main(["check", "mine.py:test_broken"]) == 2
    assert "--shape" not in capsys.readouterr().err


def test_what_could_not_be_seen_is_not_called_right(capsys):
    assert main(["check", "tinygrad_lm.ops:sin", "--shape", "0,3"]) == 2
    said = capsys.readouterr().err
    assert "could not be checked: cannot tell, there is no entry to look at; try another --shape" in said
