"""The training steps of benchmarks/steps: all sides train alike, and a time is believed only where they do.

Times are not judged here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_lm as tg

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

sys.path.insert(0, str(BENCHMARKS))
try:
    train_step: Any = import_module("train_step")
finally:
    sys.path.remove(str(BENCHMARKS))
sides, WORKLOADS, PEERS = train_step.sides, train_step.WORKLOADS, train_step.PEERS


@pytest.fixture(autouse=True)
def in_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload imports what only one side needs when that side is made."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def ours(workload: Any) -> Any:
    return sides.our_step(workload, *sides.our_model(workload), workload.batches())


def threads_of(peer: str) -> int:
    """As many as there are already: the other tests of this process are to find them so."""
    return import_module("torch").get_num_threads() if peer == "torch" else os.cpu_count() or 1


def three(step: Any) -> np.ndarray:
    return np.array([step() for _ in range(3)])  # (3, 2): losses and norms


@pytest.mark.parametrize("peer", ["torch", "jax"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_sides_train_alike(name: str, peer: str) -> None:
    pytest.importorskip(peer)
    workload = WORKLOADS[name].small()
    assert type(workload) is type(WORKLOADS[name])
    with tg.use_kernels("reference"):
        expected = three(ours(workload))
    for variant, more in PEERS[peer].variants(workload).items():
        got = three(PEERS[peer].make(workload, threads_of(peer), *more))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5, err_msg=variant)
    assert len(set(expected[:, 0])) == 3 and np.all(expected[:, 1] > 0)  # batches differ, gradients are there


def test_both_layouts_of_images_are_torchs_to_choose() -> None:
    torch = pytest.importorskip("torch")
    for name, workload in WORKLOADS.items():
        names = ["torch eager", "torch eager, channels_last"] if name in ("cnn", "resnet-block") else ["torch eager"]
        assert list(PEERS["torch"].variants(workload)) == names
        assert list(PEERS["jax"].variants(workload)) == ["jax jit"]
    seen = []
    model, loss_of = sides.torch_model(WORKLOADS["cnn"].small())

    def watched(x: Any, y: Any) -> Any:
        weight = next(model.parameters())
        seen.append([t.is_contiguous(memory_format=torch.channels_last) for t in (x, weight)])
        return loss_of(x, y)

    sides.torch_step(WORKLOADS["cnn"].small(), model, watched, WORKLOADS["cnn"].small().batches(), True)()
    assert seen == [[True, True]]


def test_the_norm_of_a_large_gradient_is_right_on_torchs_side() -> None:
    """What adds up all squares one after the other, in float32, is off by more than the sides may differ."""
    pytest.importorskip("torch")

    @dataclass(frozen=True)
    class Wide(type(WORKLOADS["mlp"])):
        optimizer = None

    workload = Wide(widths=(1024, 2048, 10), batch=16)
    model, loss_of = sides.torch_model(workload)
    _, norm = sides.torch_step(workload, model, loss_of, workload.batches())()
    loss_of(*map(import_module("torch").from_numpy, workload.batches()[0])).backward()
    exact = sum(float((p.grad.numpy().astype(np.float64) ** 2).sum()) for p in model.parameters()) ** 0.5
    assert norm == pytest.approx(exact, rel=1e-5)


# ---------------------------------------------------------------------------------------------- what a run says of them

TINY = WORKLOADS["mlp-tiny"].small()


@dataclass(frozen=True)
class Perturbed(type(TINY)):
    """One weight of the first layer is not the one that the others begin with."""

    def start(self) -> dict[str, np.ndarray]:
        start = super().start()
        start["0.weight"][0, 0] += 0.01
        return start


def judged(capsys: pytest.CaptureFixture[str], **peers: Any) -> tuple[Any, str, dict[str, Any]]:
    """(what was found, what was printed, figures by name)."""
    with tg.use_kernels("reference"):
        makers = {"reference": partial(ours, TINY), **peers}
        found = train_step.judge("tiny", TINY, makers, steps=5, rounds=4)
    return found, capsys.readouterr().out, {f.name: f for f in found.figures}


def test_who_agrees_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    variants = {"torch eager": partial(ours, TINY), "torch eager, channels_last": partial(ours, TINY)}
    found, out, figures = judged(capsys, **variants)
    ratio, apart = figures["time of a step, tiny: reference / torch eager"], found.figures[-1]
    first, second = found.comparisons
    assert ratio.value == max(first["ratio"], second["ratio"])  # the faster of the two variants counts
    assert first["names"] == ["reference", "torch eager"] and first["case"] == "tiny" and first["axes"]["batch"] == 8
    assert (first["dtype"], first["device"], len(first["samples_s"])) == ("float32", "cpu", 2)
    assert (apart.value, apart.limit, found.missing) == (0, 1e-4, False) and len(found.figures) == 2
    assert all(side in out for side in variants) and f"{found.sides['tiny']['reference']['losses'][4]:.6f}" in out


def test_who_disagrees_is_refused_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    found, out, figures = judged(
        capsys, wrong=partial(ours, Perturbed(TINY.widths, TINY.batch)), right=partial(ours, TINY)
    )
    assert "tiny: wrong is refused" in out
    assert [c["names"] for c in found.comparisons] == [["reference", "right"]]
    assert "time of a step, tiny: reference / wrong" not in figures
    assert "time of a step, tiny: reference / right" in figures
    assert not found.figures[-1].passed and found.figures[-1].value > 1e-4


def test_nan_agrees_with_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found, out, _ = judged(capsys, nan=lambda: lambda: (np.nan, 1.0))
    assert "nan is refused" in out and not found.comparisons and not found.figures[-1].passed


def test_who_cannot_run_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    def never() -> Any:
        raise RuntimeError("worker torch_compile failed:\nTraceback ...\nInvalidCxxCompiler: No working C++ compiler")

    def tired() -> Any:
        step = ours(TINY)
        results = iter([step() for _ in range(5)])

        def run() -> Any:
            try:
                return next(results)
            except StopIteration:
                raise RuntimeError("worker tired died with exit code -9") from None

        return run

    found, out, figures = judged(capsys, never=never, tired=tired, right=partial(ours, TINY))
    assert "tiny: never cannot run: InvalidCxxCompiler: No working C++ compiler\n" in out
    assert "tiny: no time of reference against tired: worker tired died with exit code -9\n" in out
    assert found.missing and "time of a step, tiny: reference / right" in figures and len(found.comparisons) == 1


def test_we_cannot_run(capsys: pytest.CaptureFixture[str]) -> None:
    def never() -> Any:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        train_step.judge("tiny", TINY, {"reference": never, "right": partial(ours, TINY)}, steps=1, rounds=4)


def test_differences_are_relative_to_what_is_larger_than_1() -> None:
    a, b = np.array([[2.0, 100.0]]), np.array([[2.0, 101.0]])
    assert train_step.difference(a, b) == pytest.approx(1 / 101)
    assert train_step.difference(a / 200, b / 200) == pytest.approx(1 / 200)
    assert np.isnan(train_step.difference(a, b * np.nan))


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(PEERS, "ghost", train_step.Peer("ghost", "no_such_module", sides.jax_jit))
    assert train_step.installed(["ghost"]) == []
    line = capsys.readouterr().err
    assert "ghost: no_such_module is not installed" in line and line.count("\n") == 1


def test_the_list() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "train_step.py"), "--list"], capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(WORKLOADS)
    assert "layers 4, width 128" in done.stdout
