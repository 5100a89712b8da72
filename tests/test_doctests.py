"""The examples in docstrings: of every operation, and of every module that imports without an extra."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import tinygrad_lm as tg

OPTIONS = doctest.NORMALIZE_WHITESPACE
EXTRAS = {"cupy", "matplotlib", "tokenizers", "torch", "ml_dtypes", "sklearn", "PIL", "tensorboard"}


def run(test):
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    report = []
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def importable():
    for info in pkgutil.walk_packages(tg.__path__, "tinygrad_lm."):
        if info.name.endswith("__main__") or "._" in info.name:
            continue
        try:
            yield importlib.import_module(info.name)
        except ImportError as error:
            if error.name is None or error.name.split(".")[0] not in EXTRAS:
                raise


def operations():
    """Generated functions are invisible to doctest's finder, so their examples are parsed here."""
    parser = doctest.DocTestParser()
    for op in tg.OPS.values():
        test = parser.get_doctest(op.function.__doc__, {"tg": tg, "np": np}, op.name, op.forward.__module__, None)
        if test.examples:
            yield test


def modules():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in importable():
        yield from [test for test in finder.find(module) if test.examples]


@pytest.mark.parametrize("test", list(operations()), ids=lambda test: test.name)
def test_examples_of_operations(test):
    run(test)


@pytest.mark.parametrize("test", list(modules()), ids=lambda test: test.name)
def test_examples_of_modules(test):
    run(test)


def test_the_examples_were_found():
    names = {test.name.removeprefix("tinygrad_lm.") for test in modules()}
    assert {"core.operation.op", "core.functional.grad", "core.tensor.Tensor", "testing.gradcheck.gradcheck"} <= names
    assert len(list(operations())) >= 5 and len(names) >= 15
