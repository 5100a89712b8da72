"""Mistakes that people make in kernels are found, with file and line; the same kernels without them are not accused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lm.backend import launch, sanitize
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.backend.sanitize import Sanitizer

SOURCE = Path(__file__).parent / "planted" / "bugs.cu"
CASES = str(Path(__file__).with_name("emulator_cases.cu"))
pytestmark = pytest.mark.usefixtures("cache")

FOUND_BY = {  # the emulator says it itself; or a sanitizer does, by which word
    "missing_barrier": ("thread", "data race"),
    "write_after_read": ("thread", "data race"),
    "plain_sum": ("thread", "data race"),
    "store_beyond": ("address", "heap-buffer-overflow"),
    "load_before": ("address", "heap-buffer-overflow"),
    "beyond_static_shared": ("address", "index 64 out of bounds"),
    "beyond_dynamic_shared": ("address", "heap-buffer-overflow"),
    "wrong_stride": ("address", "heap-buffer-overflow"),
    "ragged_edge": ("address", "heap-buffer-overflow"),
    "stack": ("address", "stack-overflow"),
    "missing_wait": ("memory", "not waited for"),
    "wait_for_too_few": ("memory", "not waited for"),
    "unwritten_static": ("memory", "nobody wrote"),
    "unwritten_dynamic": ("memory", "nobody wrote"),
    "misaligned": ("address", "misaligned address"),
    "overflow": ("address", "signed integer overflow"),
    "shift": ("address", "shift exponent 32 is too large"),
    "copy_left_behind": ("emulator", "copies that nobody waited for"),
    "divergent_barrier": ("emulator", "at another one"),
    "barrier_for_some": ("emulator", "waits at a barrier, while thread"),
    "outside_its_mask": ("emulator", "not in its own mask"),
    "shuffle_in_a_branch": ("emulator", "a warp collective of the lanes 0xffffffff that others never reach"),
    "store_beside_atomics": ("thread", "data race"),
    "sum_of_blocks": ("thread", "data race"),
    "unwritten_counter": ("memory", "nobody wrote"),
    "copy_too_early": ("thread", "data race"),
    "copy_from_beyond": ("address", "heap-buffer-overflow"),
    "masks_differ": (
        "emulator",
        r"lanes 0x0001ffff, while thread \(16, 0, 0\) waits at .* lanes 0xffffffff, bugs\.cu:",
    ),
}
BLOCKS = {"ragged_edge": 2, "sum_of_blocks": 2}
MORE = {
    "wrong_stride": (4, 16, 20),  # rows, columns, and how far apart they are thought to be
    "ragged_edge": (70,),
    "overflow": (70000, 70000),
    "shift": (32,),
}


def launched(run, name: str) -> np.ndarray:
    """The result of a kernel of the file, by a runtime."""
    mistake = name.rpartition("_")[0]
    count = 70 if mistake == "ragged_edge" else 64
    x, y = np.arange(1, count + 1, dtype=np.float32), np.zeros(count, np.float32)
    more = [np.int32(n) for n in MORE.get(mistake, ())]
    run(str(SOURCE), name, (BLOCKS.get(mistake, 1), 1, 1), (64, 1, 1), 256, [x, y, *more])
    return y


def lines_of(name: str) -> range:
    """The lines of the file between the numbered comment of a mistake and its BOTH."""
    lines = SOURCE.read_text().splitlines()
    end = next(i for i, line in enumerate(lines, 1) if line.startswith(f"BOTH({name},"))
    start = max(i for i, line in enumerate(lines[:end], 1) if re.match(r"// \d+\. ", line))
    return range(start, end)


def test_every_mistake_of_the_file_is_here() -> None:
    assert set(re.findall(r"^BOTH\((\w+),", SOURCE.read_text(), re.MULTILINE)) == set(FOUND_BY) and len(FOUND_BY) >= 20


@pytest.mark.parametrize("name", FOUND_BY)
def test_it_is_found_with_file_and_line(name: str) -> None:
    detector, word = FOUND_BY[name]
    run = Emulator() if detector == "emulator" else Sanitizer(detector)
    with pytest.raises(RuntimeError, match=word) as caught:
        launched(run, f"{name}_wrong")
    text = str(caught.value)
    place = re.search(r"bugs\.cu:(\d+): ", text)
    assert "\n" not in text and place and int(place[1]) in lines_of(name), text


@pytest.mark.parametrize("name", FOUND_BY)
def test_without_it_nobody_complains(name: str) -> None:
    results = [launched(Emulator(order, 3), f"{name}_right") for order in ORDERS]
    results += [
        launched(Sanitizer(detector), f"{name}_right") for detector in {FOUND_BY[name][0], "memory"} - {"emulator"}
    ]
    assert np.isfinite(results[0]).all() and all(np.array_equal(y, results[0]) for y in results)


@pytest.mark.parametrize("name", ["missing_wait", "wait_for_too_few", "unwritten_static", "unwritten_dynamic"])
def test_what_comes_too_early_is_nan(name: str) -> None:
    """Without a sanitizer, too, in every order of threads."""
    assert all(np.isnan(launched(Emulator(order, 3), f"{name}_wrong")).any() for order in ORDERS)


@pytest.mark.parametrize("name", ["plain_sum", "sum_of_blocks"])
def test_what_no_order_of_threads_shows(name: str) -> None:
    """Races whose result is right here whoever comes first: it takes the sanitizer."""
    right = launched(Emulator(), f"{name}_right")
    assert all(np.array_equal(launched(Emulator(order, 3), f"{name}_wrong"), right) for order in ORDERS)


@pytest.mark.parametrize("order", ORDERS)
def test_races_between_blocks_are_found_in_every_order_of_them(order: str) -> None:
    with pytest.raises(RuntimeError, match="data race"):
        launched(Sanitizer("thread", order), "sum_of_blocks_wrong")


def test_a_kernel_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanitize, "LONGEST_S", 1)
    with pytest.raises(RuntimeError, match="no end after 1 s; does it wait in a loop for what another thread does"):
        Sanitizer("address")(CASES, "wait_in_a_loop", (1, 1, 1), (64, 1, 1), 0, [np.zeros(64, np.float32)])


@pytest.mark.parametrize("detector", sanitize.FLAGS)
@pytest.mark.parametrize("kernel", ["constant_places", "fence_and_count"])
def test_right_kernels_that_are_easily_accused(kernel: str, detector: str) -> None:
    """Shared memory whose writing the compiler does not report; a block that reads what others wrote before a fence."""
    out = np.zeros(65, np.float32)
    Sanitizer(detector)(CASES, kernel, (3, 1, 1), (64, 1, 1), 0, [out, np.zeros(1, np.uint32)])
    assert out[:64].tolist() == ([1.0, 2.0] * 32 if kernel == "constant_places" else [3.0] + [1.0] * 63)


def test_several_findings_are_told_in_order() -> None:
    x, y = np.ones(64, np.float32), np.ones(64, np.float32)
    found = sanitize.sanitize(
        str(SOURCE), "shift_wrong", (1, 1, 1), (64, 1, 1), 0, [x, y, np.int32(32)], with_="address"
    )
    assert found and {type(f) for f in found} == {sanitize.Finding}
    assert found[0].kind == "undefined behaviour" and found[0].file == "bugs.cu" and found[0].line in lines_of("shift")
    with pytest.raises(ValueError, match="with_ must be one of address, thread, memory, got 'all'"):
        sanitize.sanitize(str(SOURCE), "shift_wrong", (1, 1, 1), (64, 1, 1), 0, [], with_="all")


def test_below_the_launchers() -> None:
    x = np.random.default_rng(0).normal(size=(3, 70)).astype(np.float32)
    expected = launch.table(Emulator())["relu"](np, x)
    for detector in sanitize.FLAGS:
        assert np.array_equal(launch.table(Sanitizer(detector))["relu"](np, x), expected)
