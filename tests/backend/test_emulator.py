"""The emulator: right kernels give the right answer in every order of threads, wrong ones a sentence that says why."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_lm.backend import build, emulated
from tinygrad_lm.backend.emulated import ORDERS, Emulator
from tinygrad_lm.backend.record import Unavailable

CASES = str(Path(__file__).with_name("emulator_cases.cu"))
pytestmark = pytest.mark.usefixtures("cache")


def launch(
    kernel: str,
    arguments: Sequence[Any],
    *,
    grid: tuple[int, int, int] = (1, 1, 1),
    block: tuple[int, int, int] = (64, 1, 1),
    shared: int = 0,
    order: str = "forward",
    seed: int = 1,
) -> None:
    Emulator(order, seed)(CASES, kernel, grid, block, shared, arguments)


@pytest.mark.parametrize("order", ORDERS)
def test_indices(order: str) -> None:
    grid, block = (3, 2, 2), (5, 3, 4)
    out = np.full((12, 60), -1, np.int32)
    launch("where", [out], grid=grid, block=block, order=order)
    threads = np.arange(60)
    assert np.array_equal(out, np.arange(12)[:, None] * 100000 + threads * 100 + threads % 32)


@pytest.mark.parametrize("order", ORDERS)
def test_barrier(order: str) -> None:
    x = np.arange(64, dtype=np.float32)
    out = np.zeros(64, np.float32)
    launch("rotate_right", [x, out], shared=256, order=order)
    assert np.array_equal(out, np.roll(x, -1))


def test_missing_barrier_shows_in_some_order() -> None:
    x = np.arange(64, dtype=np.float32)
    wrong = []
    for order in ORDERS:
        out = np.zeros(64, np.float32)
        launch("rotate_without_barrier", [x, out], shared=256, order=order)
        wrong.append(not np.array_equal(out, np.roll(x, -1)))
    assert all(wrong)


def test_random_orders_differ_and_repeat() -> None:
    def run(seed: int) -> bytes:
        x, out = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
        launch("rotate_without_barrier", [x, out], shared=256, order="random", seed=seed)
        return out.tobytes()

    assert run(5) == run(5)
    assert len({run(seed) for seed in range(4)}) == 4


@pytest.mark.parametrize("order", ORDERS)
def test_leaving_before_a_barrier_is_allowed(order: str) -> None:
    out = np.zeros(64, np.float32)
    launch("leave_early", [out], order=order)
    assert out.tolist() == [1.0] * 32 + [0.0] * 32


@pytest.mark.parametrize("order", ORDERS)
def test_partial_masks(order: str) -> None:
    out = np.zeros(32, np.int32)
    launch("half_warps", [out], block=(32, 1, 1), order=order)
    lanes = np.arange(32)
    assert np.array_equal(out, np.where(lanes < 16, lanes ^ 9, lanes ^ 8))


@pytest.mark.parametrize("order", ORDERS)
def test_what_lanes_tell_each_other(order: str) -> None:
    """Every warp collective, with CUDA's answers at the ends of a warp and of a part of it."""
    out, lanes = np.zeros((9, 64), np.int32), np.arange(64)
    launch("collectives", [out], order=order)
    warp, at = lanes // 32 * 32, lanes % 32
    expected = [
        warp + 5,
        np.where(at + 3 < 32, lanes + 3, lanes),
        np.where(at >= 3, lanes - 3, lanes),
        np.where(at % 8 + 3 < 8, lanes + 3, lanes),
        lanes // 8 * 8 + 5,
        np.full(64, 0x55555555, np.int64).astype(np.uint32).view(np.int32)[0] * np.ones(64, np.int32),
        np.ones(64),
        np.zeros(64),
        np.full(64, 64 // 3 + 1),
    ]
    for row, answer in zip(out, expected, strict=True):
        assert np.array_equal(row, answer)


@pytest.mark.parametrize("order", ORDERS)
def test_votes_of_a_ragged_warp(order: str) -> None:
    out, lanes = np.zeros((3, 64), np.uint32), np.arange(40)
    launch("votes", [out], block=(40, 1, 1), order=order)
    votes = [sum(1 << lane % 32 for lane in lanes if lane // 32 == warp and lane % 3 != 0) for warp in (0, 1)]
    assert np.array_equal(out[0, :40], np.where(lanes < 32, *votes))
    assert np.array_equal(out[1, :40], lanes >= 32) and np.array_equal(out[2, :40], lanes >= 32)


@pytest.mark.parametrize("order", ORDERS)
def test_lanes_that_are_not_there_have_no_value(order: str) -> None:
    """Undefined on a GPU: NaN here, so that nobody builds on it."""
    out = np.zeros((2, 32), np.float32)
    launch("no_such_lane", [out], block=(24, 1, 1), order=order)
    assert np.isnan(out[0, :16]).all()
    assert (out[1, :16] == 1).all() and np.isnan(out[1, 16:24]).all()


def test_atomics_take_what_cuda_takes(tmp_path: Path) -> None:
    u, i, d, n = np.array([1, 7], np.uint32), np.array([2], np.int32), np.zeros(1), np.zeros(1, np.uint64)
    launch("conversions", [u, i, d, n], block=(1, 1, 1))
    assert u.tolist() == [5, 8] and i[0] == -(2**31) + 1 and d[0] == 1 and n[0] == 1
    source = tmp_path / "wrong.cu"
    source.write_text('#include "tg.h"\n__global__ void add(int64_t* x) { atomicAdd(x, 1); }\n')
    with pytest.raises(build.BuildFailed, match="CUDA has no atomicAdd of this type"):
        build.emulated_object(source)


def test_vectors() -> None:
    out = np.zeros(12, np.float32)
    launch("vectors", [out], block=(1, 1, 1))
    assert out[:11].tolist() == [1, 2, 3, 4, 5, 6, 14, -1, 58, 35, 48]


@pytest.mark.parametrize("x", [1, 0x80000000, 0xF0F00000, 12345])
def test_bits(x: int) -> None:
    out = np.zeros(16, np.uint32)
    launch("bits", [out, np.uint32(x), np.float32(-1.5)], block=(1, 1, 1))
    first = (x & -x).bit_length()
    shifted = np.array([x << 20], np.uint64).view(np.int64)[0]
    expected = [x.bit_count(), x.bit_count() + 1, first, (int(shifted) & -int(shifted)).bit_length()]
    expected += [32 - x.bit_length(), 64 - x.bit_length(), x * x >> 32, 0xBFC00000, 0xBFC00000, 1]
    assert out[:10].tolist() == expected


@pytest.mark.parametrize("order", ORDERS)
def test_atomics(order: str) -> None:
    total, largest, smallest, swapped = (np.full(1, n, t) for n, t in ((0, "f4"), (-5, "i4"), (5, "i4"), (7, "u4")))
    launch("atomics", [total, largest, smallest, swapped], grid=(3, 1, 1), order=order)
    assert total[0] == 3 * 64 and largest[0] == 63 and smallest[0] == -63 and swapped[0] == 9


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("valid", [16, 12, 4, 0])
def test_asynchronous_copies_arrive_and_end_in_zeros(order: str, valid: int) -> None:
    x, out = np.arange(1, 257, dtype=np.float32), np.full(256, -1, np.float32)
    launch("copies", [x, out, np.int32(valid)], shared=1024, order=order)
    assert np.array_equal(out.reshape(64, 4)[:, : valid // 4], x.reshape(64, 4)[:, : valid // 4])
    assert (out.reshape(64, 4)[:, valid // 4 :] == 0).all()


def test_a_copy_that_is_not_aligned() -> None:
    with pytest.raises(RuntimeError, match=r"emulator_cases\.cu:\d+: .* not aligned to its size"):
        launch("unaligned_copy", [np.zeros(256, np.float32), np.zeros(64, np.float32)], shared=2048)


@pytest.mark.parametrize("valid", [-4, 17])
def test_a_copy_of_fewer_bytes_than_none_or_more_than_it_has(valid: int) -> None:
    with pytest.raises(RuntimeError, match=r"emulator_cases\.cu:\d+: .* from 0 to all of its bytes"):
        launch("copies", [np.zeros(512, np.float32), np.zeros(256, np.float32), np.int32(valid)], shared=1024)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kernel", "arguments", "shared", "message"),
    [
        ("barrier_for_half", [np.zeros(64, np.float32)], 0, "deadlock"),
        ("outside_its_mask", [np.zeros(64, np.float32)], 0, "not in its own mask"),
        ("beyond_shared", [np.zeros(64, np.float32)], 256, "outside the dynamic shared memory"),
        ("beyond_array", [np.zeros(64, np.float32), np.int32(1)], 0, "outside the arrays"),
        ("beyond_array", [np.zeros(4096, np.float32), np.int32(-64)], 0, "outside the arrays"),
        ("read_beyond", [np.zeros(64, np.float32), np.zeros(64, np.float32), np.int32(1)], 0, "outside the arrays"),
        ("deep_recursion", [np.zeros(1, np.int32)], 0, "stack overflowed"),
    ],
)
def test_mistakes_are_reported(kernel: str, arguments: list[Any], shared: int, message: str, order: str) -> None:
    with pytest.raises(RuntimeError, match=message) as caught:
        launch(kernel, arguments, shared=shared, order=order)
    text = str(caught.value)
    assert (
        re.search(rf"kernel {kernel}: (emulator_cases\.cu:\d+: )?block \(0, 0, 0\), thread \(", text)
        and "\n" not in text
    )
    out = np.zeros(64, np.float32)  # and the next launch is not disturbed
    launch("leave_early", [out], order=order)
    assert out.sum() == 32


def test_the_failing_thread_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"block \(0, 0, 0\), thread \(63, 0, 0\): access outside the arrays"):
        launch("beyond_array", [np.zeros(64, np.float32), np.int32(1)])


def test_shared_memory_is_poisoned_before_every_block() -> None:
    out = np.zeros(64, np.float32)
    launch("shared_not_written", [out], grid=(3, 1, 1), shared=256)
    assert np.isnan(out).all()


def test_read_just_beyond_a_ragged_array_is_poison() -> None:
    """An array whose size is no multiple of 16 bytes ends up to 12 bytes before the guard: NaN lies between."""
    out = np.zeros(61, np.float32)
    launch("read_beyond", [np.zeros(61, np.float32), out, np.int32(1)], block=(61, 1, 1))
    assert out[:60].tolist() == [0.0] * 60 and np.isnan(out[60])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": (1025, 1, 1)}, "1 to 1024 threads"),
        ({"block": (0, 1, 1)}, "1 to 1024 threads"),
        ({"block": (641, 6700417, 1)}, "1 to 1024 threads"),  # 2**32 + 1 of them
        ({"grid": (1, 0, 1)}, "at least one block"),
        ({"shared": 1 << 20}, "shared memory"),
        ({"grid": (1, 65536, 1)}, "65535 blocks along its axes"),
        ({"block": (1, 1, 65)}, "64 threads along its last axis"),
    ],
)
def test_launches_that_a_gpu_would_refuse(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        launch("leave_early", [np.zeros(64, np.float32)], **options)


def test_strided_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="strided view"):
        launch("leave_early", [np.zeros(128, np.float32)[::2]])


def test_inputs_stay_as_they_are(tmp_path: Path) -> None:
    """Weights mapped from a file that cannot be written are a legal input."""
    np.arange(64, dtype=np.float32).tofile(tmp_path / "weights")
    x = np.memmap(tmp_path / "weights", np.float32, "r")
    out = np.zeros(64, np.float32)
    launch("rotate_right", [x, out], shared=256)
    assert np.array_equal(out, np.roll(x, -1)) and np.array_equal(x, np.arange(64))


def test_two_threads_at_once() -> None:
    failures: list[str] = []

    def work() -> None:
        for _ in range(30):
            x, out = np.random.default_rng(0).normal(size=64).astype(np.float32), np.zeros(64, np.float32)
            launch("rotate_right", [x, out], grid=(50, 1, 1), shared=256)
            if not np.array_equal(out, np.roll(x, -1)):
                failures.append("wrong")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ---- compiling -------------------------------------------------------------------------------------------------------


def test_cache_is_keyed_by_content(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "tiny.cu"
    body = '#include "tg.h"\nextern "C" __global__ void set(int* x) { x[0] = VALUE; }\nTG_LAUNCHABLE(set)\n'
    paths = []
    for value in ("1", "2", "1"):
        source.write_text(body.replace("VALUE", value))
        paths.append(build.emulated_object(source))
    assert paths[0] == paths[2] != paths[1]
    stamp = paths[0].stat().st_mtime_ns
    assert build.emulated_object(source).stat().st_mtime_ns == stamp  # found, not made again
    assert not [path for path in cache.iterdir() if path.name.startswith("tmp")]


def test_headers_are_part_of_the_key() -> None:
    folder = build.kernels_folder()
    found = build.with_headers([folder / "softmax" / "rows.cu"], folder / "include")
    names = [path.name for path in found]
    assert names[0] == "rows.cu" and {"tg.h", "rows.h", "emulator.h", "ptx.h", "fibre.h", "fold.h"} <= set(names)


def test_compile_error_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "broken.cu"
    source.write_text('#include "tg.h"\nnonsense\n')
    with pytest.raises(build.BuildFailed, match=r"failed: .*broken\.cu.*error") as caught:
        build.emulated_object(source)
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(build.BuildFailed, match="set TINYGRAD_LM_CACHE_DIR"):
        build.emulated_object(build.kernels_folder() / "softmax" / "rows.cu")


def test_two_processes_compile_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_LM_CACHE_DIR", str(tmp_path / "new" / "cache"))
    program = (
        "import numpy as np; from tinygrad_lm.backend import emulated;"
        "print(emulated.load()['softmax'](np, np.zeros((1, 4), np.float32)).tolist())"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["[[0.25, 0.25, 0.25, 0.25]]\n"] * 2
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"no C\+\+ compiler found"):
        emulated.load()
