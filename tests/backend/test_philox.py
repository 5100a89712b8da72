"""Random numbers: the published vectors, bits that never change, and the statistics of every kind of draw."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from statistics import NormalDist

import numpy as np
import pytest

from tinygrad_lm.backend import philox
from tinygrad_lm.backend.philox import Generator, dropout_mask, normal, random_bits, uniform

SAMPLES = 200_000


def block(counter: tuple[int, ...], key: tuple[int, int]) -> str:
    c0, c1, c2, c3 = (np.array([word], np.uint64) for word in counter)
    return " ".join(f"{int(word[0]):08x}" for word in philox.philox4x32(np, (c0, c1, c2, c3), key))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known-answer vectors that Random123 publishes
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], expected: str) -> None:
    assert block(counter, key) == expected


def test_counter_layout() -> None:
    """Word i of a draw is word i % 4 of block i // 4, with the stream above and the seed as the key."""
    seed, stream = 0x1111111122222222, 0x3333333344444444
    words = random_bits(np, (10,), (seed, stream))
    expected = " ".join(block((b, 0, 0x44444444, 0x33333333), (0x22222222, 0x11111111)) for b in range(3))
    assert " ".join(f"{word:08x}" for word in words) == " ".join(expected.split()[:10])
    wide = random_bits(np, (5,), (seed, stream), width=64)
    assert (wide & 0xFFFFFFFF).tolist() == words[0::2].tolist()
    assert (wide >> 32).tolist() == words[1::2].tolist()


def test_positions_beyond_32_bits() -> None:
    ((first, words),) = philox._blocks(np, 2**32 - 1, 2**32 + 2, (7, 5))
    expected = [block((b & 0xFFFFFFFF, b >> 32, 5, 0), (7, 0)) for b in range(first, first + 3)]
    assert [" ".join(f"{int(word[i]):08x}" for word in words) for i in range(3)] == expected


GOLDEN = {  # the first five numbers of key (2026, 3), as bits: a change here breaks every saved run
    "bits32": "d5f34603104f13e35c38a4e87ba583f605ccdb4c",
    "float64": "3fb04f13e3d5f3403fdee960fd970e283fe0eddd7340b99b3febfee4450769233fedce5d98e23c7e",
    "float32": "3f55f3463d8278983eb871483ef74b063cb99b60",
    "float16": "3aaf2c1035c237ba25c0",
    "normal float64": "3ff863de9b8589033fa5d4e3d3925699bffe5288e7fb8c7fbfd46a6eee4b20a0bfc61b3e1b3f6f2c",
    "normal float32": "3fc31ef53d2ea71fbff29447bea35377be30d9f1",
    "mask": "85549b2d23b486ee",
    "integers": "[918, 662, 268, 846, 296]",
    "permutation": "[0, 7, 8, 1, 6, 2, 5, 9, 3, 4]",
}


def golden(name: str) -> str:
    key = (2026, 3)
    if name == "bits32":
        return random_bits(np, 5, key).astype(">u4").tobytes().hex()
    if name == "mask":
        return np.packbits(dropout_mask(np, 64, 0.5, key)).tobytes().hex()
    if name == "integers":
        return str(Generator(*key).integers(-3, 1000, 5).tolist())
    if name == "permutation":
        return str(Generator(*key).permutation(10).tolist())
    kind, dtype = (normal, name.split()[1]) if name.startswith("normal") else (uniform, name)
    values = kind(np, 5, key, np.dtype(dtype))
    return values.astype(values.dtype.newbyteorder(">")).tobytes().hex()


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    assert golden(name) == GOLDEN[name]


def test_golden_tails() -> None:
    """The extreme words: both far tails, the centre, and the seams between the three approximations."""
    words = np.array([0, 2**64 - 1, 2**63 - 1, 2**63, 0x1999999999999999, 0x0000000000FFFFFF], np.uint64)
    z = philox._normal_quantile(np, words)
    assert " ".join(value.hex() for value in z.tolist()) == TAILS


TAILS = (
    "0x1.095b059d67c4cp+3 -0x1.40d931ff62707p-53 0x1.40d931ff62707p-53 "
    "-0x1.095b059d67c4cp+3 0x1.4813c36e26d31p+0 0x1.c30da902e18b5p+2"
)


# ---- element i depends on (seed, stream, i) alone --------------------------------------------------------------------

DRAWS = {
    "bits": lambda shape: random_bits(np, shape, (5, 9)),
    "bits64": lambda shape: random_bits(np, shape, (5, 9), width=64),
    "uniform": lambda shape: uniform(np, shape, (5, 9)),
    "normal": lambda shape: normal(np, shape, (5, 9)),
    "mask": lambda shape: dropout_mask(np, shape, 0.3, (5, 9)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_shape_and_chunks_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = DRAWS[name]
    whole = draw((1003,))
    for shape in [(7,), (17, 59), (1, 1, 1), (), 12, (2, 0, 3), (0,)]:
        part = draw(shape)
        sizes = (shape,) if isinstance(shape, int) else shape
        assert part.shape == sizes and part.dtype == whole.dtype and isinstance(part, np.ndarray)
        assert part.reshape(-1).tolist() == whole[: math.prod(sizes)].tolist()
    for blocks in (1, 3, 64):
        monkeypatch.setattr(philox, "NUMPY_BLOCKS", blocks)
        assert draw((1003,)).tolist() == whole.tolist()


@pytest.mark.parametrize("name", DRAWS)
def test_real_chunks_join(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 4 * philox.NUMPY_BLOCKS + 5
    cut = DRAWS[name]((count,))
    monkeypatch.setattr(philox, "NUMPY_BLOCKS", 10**9)
    assert np.array_equal(cut, DRAWS[name]((count,)))


def test_streams_and_seeds_differ() -> None:
    keys = [(0, 0), (0, 1), (1, 0), (1 << 32, 0), (0, 1 << 32), (2**64 - 1, 2**64 - 1)]
    rows = np.stack([random_bits(np, 4096, key) for key in keys]) / 2**32 - 0.5
    correlation = np.corrcoef(rows) - np.eye(len(keys))
    assert np.abs(correlation).max() < 5 / math.sqrt(4096)


# ---- statistics ------------------------------------------------------------------------------------------------------


def ks_distance(values: np.ndarray, cdf: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of sorted values from their distribution function, times sqrt(n)."""
    n = len(values)
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * float(max(np.max(steps[1:] - cdf), np.max(cdf - steps[:-1])))


@pytest.mark.parametrize(("dtype", "bits"), [("float64", 53), ("float32", 24), ("float16", 11)])
def test_uniform(dtype: str, bits: int) -> None:
    u = uniform(np, SAMPLES, (3, 4), np.dtype(dtype))
    assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
    grid = u.astype(np.float64) * 2.0**bits
    assert (grid == np.floor(grid)).all()  # multiples of 2**-bits ...
    assert (grid % 2 == 1).any()  # ... and of nothing coarser
    if bits > 11:
        ordered = np.sort(u.astype(np.float64))
        assert ks_distance(ordered, ordered) < 1.95  # 0.1 % level
    spread = np.bincount((u.astype(np.float64) * 64).astype(int), minlength=64)
    assert ((spread - SAMPLES / 64) ** 2 / (SAMPLES / 64)).sum() < 110  # chi squared, 63 degrees


def test_uniform_is_below_one_at_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_ones(xp, counter, key):
        return (np.full(counter[0].shape, 0xFFFFFFFF, np.uint32),) * 4

    monkeypatch.setattr(philox, "philox4x32", all_ones)
    for dtype, bits in [(np.float64, 53), (np.float32, 24), (np.float16, 11)]:
        assert uniform(np, 3, (0, 0), dtype).tolist() == [1 - 2.0**-bits] * 3


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    u = uniform(np, 10_000, (3, 4), ml_dtypes.bfloat16)
    assert u.dtype == ml_dtypes.bfloat16 and float(u.max()) == 1 - 2.0**-8 and float(u.min()) == 0
    z = normal(np, 1000, (3, 4), ml_dtypes.bfloat16)
    assert np.array_equal(z, normal(np, 1000, (3, 4), np.float64).astype(ml_dtypes.bfloat16))


def test_normal_moments_and_distribution() -> None:
    z = normal(np, SAMPLES, (11, 0), np.float64)
    error = 1 / math.sqrt(SAMPLES)
    assert abs(z.mean()) < 4 * error
    assert abs(z.var() - 1) < 4 * error * math.sqrt(2)
    assert abs((z**3).mean()) < 4 * error * math.sqrt(15)
    assert abs((z**4).mean() - 3) < 4 * error * math.sqrt(96)
    assert abs((z[1:] * z[:-1]).mean()) < 4 * error
    ordered = np.sort(z)
    assert ks_distance(ordered, np.array([NormalDist().cdf(value) for value in ordered])) < 1.95
    for threshold in (2.0, 3.0, 3.5):  # both tails hold what they should
        expected = SAMPLES * (1 - NormalDist().cdf(threshold))
        for count in ((z > threshold).sum(), (z < -threshold).sum()):
            assert abs(count - expected) < 4 * math.sqrt(expected)


def test_normal_quantile_is_accurate() -> None:
    """Against Python's own inverse, over every part of the distribution, down to the smallest probability."""
    ramp = np.arange(1, 2000, dtype=np.float64)
    tails = np.concatenate([ramp / 4000, np.exp2(-ramp[:54])])
    words = (np.minimum(tails * 2.0**54, 2.0**53 - 1).astype(np.uint64) >> 1) << 11
    exact = ((words >> 10) | 1).astype(np.float64) * 2.0**-54
    expected = np.array([NormalDist().inv_cdf(p) for p in exact])
    z = philox._normal_quantile(np, words | np.uint64(1 << 63))
    mirrored = philox._normal_quantile(np, words)
    assert np.array_equal(z, -mirrored)
    assert np.max(np.abs(mirrored - np.abs(expected)) / np.maximum(np.abs(expected), 1e-3)) < 3e-15
    assert mirrored.max() > 8.2


def test_log_is_accurate() -> None:
    x = np.concatenate([np.exp2(np.linspace(-54, 3, 2000)), [1.0, math.sqrt(0.5), math.sqrt(2.0), 2.0**-54]])
    expected = np.array([math.log(value) for value in x])
    assert np.all(np.abs(philox._log(np, x) - expected) <= 4e-16 * np.abs(expected) + 1e-16)
    assert philox._log(np, np.array([1.0])).tolist() == [0.0]


def test_normal_is_rounded_once() -> None:
    wide = normal(np, 5000, (1, 1), np.float64, mean=2.0, std=0.02)
    for dtype in (np.float32, np.float16):
        assert np.array_equal(normal(np, 5000, (1, 1), dtype, mean=2.0, std=0.02), wide.astype(dtype))


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.1, 0.5, 0.9, 1.0])
def test_dropout_mask(rate: float) -> None:
    mask = dropout_mask(np, (SAMPLES // 4, 4), rate, (8, 2))
    assert mask.dtype == bool and mask.shape == (SAMPLES // 4, 4)
    dropped = SAMPLES - mask.sum()
    assert abs(dropped - rate * SAMPLES) <= 4 * math.sqrt(SAMPLES * rate * (1 - rate))
    words = random_bits(np, mask.shape, (8, 2))
    assert np.array_equal(mask, words >= np.uint64(round(rate * 2**32)))


def test_dropout_threshold_is_exact() -> None:
    word = int(random_bits(np, 1, (8, 2))[0])
    assert dropout_mask(np, 1, word / 2**32, (8, 2)).tolist() == [True]
    assert dropout_mask(np, 1, (word + 1) / 2**32, (8, 2)).tolist() == [False]


# ---- the generator ---------------------------------------------------------------------------------------------------


def test_each_draw_takes_one_stream() -> None:
    generator = Generator(4)
    draws = [
        generator.uniform(3),
        generator.normal(3),
        generator.integers(0, 9, 3),
        generator.permutation(3),
        generator.categorical(np.ones((2, 3))),
        generator.key(),
    ]
    assert generator.state() == {"seed": 4, "stream": len(draws)}
    assert draws[-1] == (4, 5)
    assert np.array_equal(draws[1], normal(np, 3, (4, 1)))


def test_state_round_trip() -> None:
    generator = Generator(17)
    generator.uniform(100)
    saved = generator.state()
    expected = [generator.normal((3, 2)).tolist(), generator.integers(0, 100, 5).tolist()]
    for other in (Generator(0), copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        other.load_state(saved)
        assert [other.normal((3, 2)).tolist(), other.integers(0, 100, 5).tolist()] == expected
        assert other.state() == generator.state()
    other.load_state({name: np.array(value, np.uint64) for name, value in saved.items()})  # as a checkpoint holds it
    assert other.state() == saved and type(other.seed) is int


def test_stream_wraps() -> None:
    generator = Generator(1, 2**64 - 1)
    assert generator.key() == (1, 2**64 - 1) and generator.key() == (1, 0)


def test_spawn() -> None:
    parent = Generator(1)
    child = parent.spawn("data")
    parent.uniform(10)
    assert parent.spawn("data").state() == child.state()  # however much was drawn before
    children = [parent.spawn(name) for name in ("data", "dropout", 0, 1, "0", "1")] + [Generator(2).spawn("data")]
    assert len({generator.seed for generator in children} | {1}) == len(children) + 1
    rows = np.stack([generator.uniform(4096, np.float64) for generator in [parent, *children]])
    assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 5 / math.sqrt(4096)


def test_integers() -> None:
    generator = Generator(6)
    draw = generator.integers(-2, 5, SAMPLES)
    counts = np.bincount(draw + 2)
    assert draw.dtype == np.int64 and draw.min() == -2 and len(counts) == 7
    assert ((counts - SAMPLES / 7) ** 2 / (SAMPLES / 7)).sum() < 25  # chi squared, 6 degrees
    wide = generator.integers(-(2**62), 2**62 - 1, 1000)
    assert wide.min() < -(2**60) and wide.max() > 2**60
    assert generator.integers(3, 4, (2, 2)).tolist() == [[3, 3], [3, 3]]
    assert generator.integers(0, 5).shape == () and generator.integers(0, 5, (3, 0)).shape == (3, 0)


def test_permutation() -> None:
    generator = Generator(6)
    for n in (0, 1, 2, 1000):
        order = generator.permutation(n)
        assert order.dtype == np.int64 and sorted(order.tolist()) == list(range(n))
    firsts = np.bincount([int(generator.permutation(5)[0]) for _ in range(2000)], minlength=5)
    assert ((firsts - 400) ** 2 / 400).sum() < 20  # chi squared, 4 degrees


def test_categorical() -> None:
    generator = Generator(6)
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0], np.float32)
    draw = generator.categorical(np.broadcast_to(weights, (20_000, 5)))
    counts = np.bincount(draw, minlength=5)
    assert draw.dtype == np.int64 and counts[[0, 2, 4]].tolist() == [0, 0, 0]
    assert abs(counts[1] - 5000) < 4 * math.sqrt(20_000 * 3 / 16)
    assert generator.categorical([1.0]).shape == () and generator.categorical(np.ones((0, 3))).shape == (0,)


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53])
def test_categorical_at_the_ends(u: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest and the largest uniform number never pick an entry of probability 0."""
    monkeypatch.setattr(philox, "uniform", lambda xp, shape, key, dtype: np.full(shape, u))
    for total in (1.0, 3.0, 0.1, 1e-300):
        weights = np.array([0.0, 0.0, total, 0.0])
        assert Generator().categorical(weights) == 2


def test_default_generator() -> None:
    saved = philox.default_generator().state()
    try:
        assert philox.manual_seed(123) is philox.default_generator()
        first = philox.default_generator().uniform(4)
        philox.manual_seed(123)
        assert np.array_equal(philox.default_generator().uniform(4), first)
    finally:
        philox.default_generator().load_state(saved)


def test_keys_are_unique_across_threads() -> None:
    generator, keys = Generator(0), []
    threads = [threading.Thread(target=lambda: keys.extend(generator.key() for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 8000


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Generator(-1), ValueError, "seed is between 0 and"),
        (lambda: Generator(2**64), ValueError, "seed is between 0 and"),
        (lambda: Generator(1.5), TypeError, "seed is an integer, got float"),
        (lambda: Generator().load_state({"seed": 1}), ValueError, "expected the keys 'seed' and 'stream'"),
        (lambda: Generator().spawn(1.5), TypeError, "name is a str or an int"),
        (lambda: Generator().integers(3, 3), ValueError, "low < high"),
        (lambda: Generator().integers(-(2**63), 2**63), ValueError, "within 63 bits"),
        (lambda: Generator().permutation(-1), ValueError, "number of items"),
        (lambda: Generator().categorical([0.5, -0.5]), ValueError, "finite numbers >= 0"),
        (lambda: Generator().categorical([0.0, 0.0]), ValueError, "do not all vanish"),
        (lambda: Generator().categorical([math.nan, 1.0]), ValueError, "finite"),
        (lambda: Generator().categorical([math.inf, 1.0]), ValueError, "finite"),
        (lambda: Generator().categorical([]), ValueError, "at least one"),
        (lambda: uniform(np, (2, -1), (0, 0)), ValueError, "not negative, got shape"),
        (lambda: uniform(np, 3, (0, 0), np.int32), TypeError, "dtype is one of"),
        (lambda: normal(np, 3, (0, 0), np.int32), TypeError, "dtype is one of"),
        (lambda: uniform(np, 3, (0, -1)), ValueError, "stream is between"),
        (lambda: uniform(np, 3, (0,)), ValueError, "a key is"),
        (lambda: random_bits(np, 3, (0, 0), width=16), ValueError, "32 or 64"),
        (lambda: dropout_mask(np, 3, 1.5, (0, 0)), ValueError, "between 0 and 1"),
        (lambda: dropout_mask(np, 3, math.nan, (0, 0)), ValueError, "between 0 and 1"),
    ],
)
def test_errors_are_one_clear_line(call, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)
