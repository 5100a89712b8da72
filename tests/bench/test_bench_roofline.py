"""The roofline of a pretended machine, and of this one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygrad_lm.backend import Unavailable, native
from tinygrad_lm.bench import Roofline
from tinygrad_lm.bench.devices import SIDE, Host, quickest_of_many
from tinygrad_lm.bench.roofline import quantity

PEAK, BANDWIDTH = 100e9, 10e9


def pretended(peak: float = PEAK, bandwidth: float = BANDWIDTH) -> Roofline:
    roofline = Roofline(best=lambda function: 2 * SIDE**3 / peak)
    roofline.bandwidths = dict.fromkeys(range(12, 50), bandwidth)
    return roofline


@pytest.mark.parametrize(
    ("flops", "bytes", "bound", "least"),
    [
        (1e9, 1000, "compute", 1e-2),
        (1e6, 10**7, "memory", 1e-3),
        (1e8, 10**7, "compute", 1e-3),
        (0, 10**7, "memory", 1e-3),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_time_beside_the_roofline(flops: float, bytes: int, bound: str, least: float, share: float) -> None:
    placed = pretended().place(least / share, flops, bytes)
    assert placed.bound == bound and math.isclose(placed.share, share) and placed.believable
    assert math.isclose(placed.flops, flops * share / least) and math.isclose(placed.bandwidth, bytes * share / least)
    assert math.isclose(placed.ridge, PEAK / BANDWIDTH) and math.isclose(placed.intensity, flops / bytes)
    assert f"{share:.0%} of the roofline ({bound}-bound: " in str(placed)


def test_what_the_machine_cannot_do_is_not_believed() -> None:
    roofline = pretended()
    for takes, believable in ((1e-2, True), (0.9e-2, True), (0.8e-2, False), (0.0, False)):
        placed = roofline.place(takes or 1e-300, 1e9, 1000)
        assert placed.believable is believable
        assert ("faster than this machine is (" in str(placed)) is not believable


@pytest.fixture
def products_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where no native kernel was built."""

    def none(dtype: str) -> None:
        raise Unavailable("not built")

    monkeypatch.setattr(native, "multiply_adds", none)


def test_the_peak_is_that_of_the_units_where_kernels_were_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "multiply_adds", lambda dtype: (1e12, lambda: None))
    roofline = Roofline(best=lambda function: 1.0)
    assert roofline.peak("float32") == 1e12 and roofline.peak("float16") == 1e12
    assert roofline.record()["reached_by"]["float32"] == "multiply-adds in registers"


def test_each_peak_is_measured_once_and_by_dtype_and_size(products_only: None) -> None:
    measured = []

    def best(function):
        function()
        measured.append(function)
        return 1e-3

    roofline = Roofline(best=best)
    assert roofline.peak("float32") == roofline.peak(np.float32) == 2 * SIDE**3 / 1e-3 and len(measured) == 1
    roofline.peak("float64")
    assert len(measured) == 2 and set(roofline.peaks) == {"float32", "float64"}
    assert roofline.bandwidth(1 << 20) == (1 << 20) / 1e-3 and len(measured) == 4
    assert roofline.bandwidth((1 << 21) - 1) == roofline.bandwidth(1 << 21) == (1 << 21) / 1e-3 and len(measured) == 6
    assert roofline.bandwidth(1) == 4096 / 1e-3
    assert roofline.record()["bandwidth_bytes_per_s"] == {
        str(n): n / 1e-3 for n in (4096, 1 << 20, 1 << 21)
    }  # as many bytes as the copy reads and writes
    assert roofline.record()["device"] == "cpu"
    assert roofline.record()["reached_by"] == dict.fromkeys(("float32", "float64"), "matrix product 1024 by NumPy")


def test_floats_of_two_bytes_are_computed_in_float32_on_a_processor(products_only: None) -> None:
    (function,) = [f for _, f in Host().heaviest("bfloat16", side=4).values()]
    assert function().dtype == np.float32 and Roofline(best=lambda f: 1.0).peak("bfloat16") == 2 * SIDE**3


def test_a_peak_that_was_measured_on_a_busy_machine_is_measured_again(products_only: None) -> None:
    takes = iter([8e-3, 9e-3, 4e-3, 2e-3, 5e-3, 1e-3, *[6e-3] * 6])
    roofline = Roofline(best=lambda function: next(takes))
    assert roofline.peak() == 2 * SIDE**3 / 8e-3 and roofline.bandwidth(1 << 20) == (1 << 20) / 4e-3  # the faster way
    roofline.doubt(1 << 20)
    assert roofline.peak() == 2 * SIDE**3 / 2e-3 and roofline.bandwidth(1 << 20) == (1 << 20) / 1e-3


def test_this_machine_has_peaks() -> None:
    roofline = Roofline(best=lambda function: quickest_of_many(function, 0.001))
    assert 1e8 < roofline.peak() < 1e14 and 1e8 < roofline.bandwidth(1 << 16) < 1e13


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.25e9, "1.25 G"), (3e12, "3 T"), (2e13, "20 T"), (1500.0, "1.5 k"), (2e6, "2 M"), (7.0, "7 ")],
)
def test_quantities(value: float, said: str) -> None:
    assert quantity(value) == said
