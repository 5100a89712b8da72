"""Layer 8: proving derivatives right."""

from importlib import import_module
from typing import Any

from tinygrad_lm.testing import mutants
from tinygrad_lm.testing.check import Verdict
from tinygrad_lm.testing.conventions import Convention, conventions
from tinygrad_lm.testing.gate import Refused, verify
from tinygrad_lm.testing.gradcheck import check_jvp, check_vjp, gradcheck, gradgradcheck
from tinygrad_lm.testing.layouts import LAYOUTS
from tinygrad_lm.testing.mutants import Mutant, Score, mutation_score
from tinygrad_lm.testing.properties import PROPERTIES, Refuted, prove, refutations
from tinygrad_lm.testing.tolerance import GradcheckError, assert_grad_close
from tinygrad_lm.testing.trials import Trial, trials

__all__ = [
    "LAYOUTS",
    "PROPERTIES",
    "Convention",
    "GradcheckError",
    "Mutant",
    "Refused",
    "Refuted",
    "Score",
    "Trial",
    "Verdict",
    "assert_grad_close",
    "check_jvp",
    "check_vjp",
    "conventions",
    "gradcheck",
    "gradgradcheck",
    "mutants",
    "mutation_score",
    "prove",
    "refutations",
    "trials",
    "verify",
]


def __getattr__(name: str) -> Any:
    """What needs Hypothesis or a compiler is loaded when it is used."""
    if name in ("strategies", "programs"):
        return import_module(f"tinygrad_lm.testing.{name}")
    if name in ("check_kernel", "judge"):
        return getattr(import_module("tinygrad_lm.testing.kernels"), name)
    if name == "gradtest":
        return import_module("tinygrad_lm.testing.decorator").gradtest
    raise AttributeError(f"module 'tinygrad_lm.testing' has no attribute {name!r}")
