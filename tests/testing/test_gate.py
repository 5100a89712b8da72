"""What is let through to be timed: cheats in three spellings are refused, honest functions that look odd are not."""

from __future__ import annotations

import functools
import inspect
import threading

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.testing.gate import Gate, Refused, listed, verify

M, K, N = 17, 40, 23


def matrices(rng):
    return [rng.normal(size=(M, K)).astype("f4"), rng.normal(size=(K, N)).astype("f4")]


def rows(rng):
    return [rng.normal(size=(9, 31)).astype("f4")]


def with_out(rng):
    return [*matrices(rng), np.empty((M, N), "f4")]


def started(function):
    """The function, or what it makes: one with a memory of its own."""
    return function if inspect.signature(function).parameters else function()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ------------------------------------------------------------------------------------------------ cheats


def cached_first():
    kept = []

    def product(a, b):
        if not kept:
            kept.append(a @ b)
        return kept[0]

    return product


def cached_by_memory():
    kept = {}

    def product(a, b):
        key = a.ctypes.data, b.ctypes.data
        if key not in kept:
            kept[key] = a @ b
        return kept[key]

    return product


def cached_by_shape():
    kept = {}

    def product(a, b):
        return kept.setdefault((a.shape, b.shape), a @ b)

    return product


def only_the_first_columns(a, b):
    out = np.zeros((M, N), "f4")
    out[:, :-1] = a @ b[:, :-1]
    return out


def every_other_term(a, b):
    return 2 * a[:, ::2] @ b[::2]


def one_row_for_all(a, b):
    return np.broadcast_to(a[:1] @ b, (M, N))


def nothing(a, b, out):
    pass


def something_elsewhere(a, b, out):
    out = a @ b  # noqa: F841


def half_of_it(a, b, out):
    out[: M // 2] = a[: M // 2] @ b


def in_half(a, b):
    return (a.astype("f2") @ b.astype("f2")).astype("f4")


def in_ten_bits(a, b):
    """As tensor cores do with float32."""

    def cut(x):
        return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)

    return cut(a) @ cut(b)


def result_in_half(a, b):
    return (a @ b).astype("f2")


CHEATS = {
    "returns what was right, whatever it is given": (cached_first, matrices, (), "what was right last time"),
    "returns what was right in the same memory": (cached_by_memory, matrices, (), "what was right last time"),
    "returns what was right for the same shapes": (cached_by_shape, matrices, (), "what was right last time"),
    "skips a column": (only_the_first_columns, matrices, (), "it leaves a part out"),
    "skips every other term": (every_other_term, matrices, (), "it computes something else"),
    "computes one row": (one_row_for_all, matrices, (), "it "),
    "writes nothing": (nothing, with_out, (2,), "it writes nothing"),
    "writes elsewhere": (something_elsewhere, with_out, (2,), "it writes nothing"),
    "writes half": (half_of_it, with_out, (2,), "it leaves a part out"),
    "computes in float16": (in_half, matrices, (), "it computes in fewer bits"),
    "computes in ten bits": (in_ten_bits, matrices, (), "it computes in fewer bits"),
    "returns float16": (result_in_half, matrices, (), "fewer bits than its inputs have"),
}
OF_ROWS = {
    "returns its input": (lambda x: x, "it returns its input"),
    "returns a copy of its input": (np.copy, "it returns its input"),
    "returns a view of its input": (lambda x: x.reshape(-1).reshape(x.shape), "it returns its input"),
    "right for equal numbers": (lambda x: np.full_like(x, 1 / x.shape[-1]), "it "),
    "right for small numbers": (lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), "it "),
    "right for ones": (lambda x: x / x.sum(-1, keepdims=True), "it "),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("cheat", "draw", "writes", "cause"), CHEATS.values(), ids=CHEATS)
def test_cheats_are_refused(cheat, draw, writes, cause, seed):
    with pytest.raises(Refused, match=cause) as caught:
        verify(started(cheat), np.matmul, draw, writes=writes, seed=seed, name="cheat")
    assert str(caught.value).startswith("cheat is refused: with ") and "\n" not in str(caught.value)
    assert caught.value.cause.startswith(cause) or cause in caught.value.cause


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("cheat", "cause"), OF_ROWS.values(), ids=OF_ROWS)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_cheats_with_rows_are_refused(cheat, cause, seed):
    with pytest.raises(Refused, match=cause):
        verify(cheat, softmax, rows, seed=seed, outliers=512.0)


def test_what_else_is_refused():
    def greedy(a, b):
        y = a @ b
        a *= 0
        return y

    for wrong, says in (
        (greedy, "it changed its input 0: it writes into its input"),
        (lambda a, b: (a @ b).T, r"the shape is \(23, 17\), expected \(17, 23\): wrong shape"),
        (lambda a, b: (a @ b, a @ b), "it returned 2 arrays, expected 1: number of results"),
        (lambda a, b: (a @ b) * np.nan, "it returns nan"),
        (lambda a, b: np.zeros((M, N), "f2"), "it returned float16: fewer bits than its inputs have"),
    ):
        with pytest.raises(Refused, match=says):
            verify(wrong, np.matmul, matrices, seed=0)


# ------------------------------------------------------------------------------------------------ honest ones


def same_memory():
    out = np.empty((M, N), "f4")
    return lambda a, b: np.matmul(a, b, out=out)


def read_only(a, b):
    y = a @ b
    y.flags.writeable = False
    return y


def from_the_other_end(a, b):
    return a[:, ::-1] @ b[::-1]


def in_pieces(a, b):
    total = np.zeros((M, N), "f4")
    for k in range(K):
        total += a[:, k : k + 1] * b[k]
    return total


def in_threads(a, b):
    out = np.empty((M, N), "f4")

    def work(part):
        out[part] = a[part] @ b

    threads = [threading.Thread(target=work, args=(slice(i, None, 2),)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def planned_by_shape():
    plan = functools.lru_cache(lambda shape: np.einsum_path("ik,kj->ij", np.empty(shape), np.empty((K, N)))[0])
    return lambda a, b: np.einsum("ik,kj->ij", a, b, optimize=plan(a.shape))


def compiled_at_first():
    made = []

    def product(a, b):
        if not made:
            made.append(eval("lambda a, b: a @ b"))
        return made[0](a, b)

    return product


def written(a, b, out):
    np.matmul(a, b, out=out)
    return "done"


HONEST = {
    "the same memory for every result": (same_memory, matrices, ()),
    "a read-only result": (read_only, matrices, ()),
    "a transposed result": (lambda a, b: (b.T @ a.T).T, matrices, ()),
    "summed from the other end": (from_the_other_end, matrices, ()),
    "summed one by one": (in_pieces, matrices, ()),
    "in float64": (lambda a, b: a.astype(float) @ b.astype(float), matrices, ()),
    "in threads": (in_threads, matrices, ()),
    "a plan that is kept": (planned_by_shape, matrices, ()),
    "compiled at its first call": (compiled_at_first, matrices, ()),
    "a list with a Tensor": (lambda a, b: [tg.Tensor(a) @ b], matrices, ()),
    "writes, and returns something else": (written, with_out, (2,)),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("function", "draw", "writes"), HONEST.values(), ids=HONEST)
def test_honest_functions_are_let_through(function, draw, writes, seed):
    verify(started(function), np.matmul, draw, writes=writes, seed=seed)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (tg.softmax, softmax),
        (tg.tanh, np.tanh),
        (
            lambda x: tg.layer_norm(x),
            lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5),
        ),
        (lambda x: tg.cumsum(x, axis=-1), lambda x: np.cumsum(x, -1)),
        (lambda x: tg.floor(x), np.floor),
        (lambda x: (tg.max(x, axis=-1), tg.sum(x, axis=-1)), lambda x: (x.max(-1), x.sum(-1))),
    ],
    ids=["softmax", "tanh", "layer_norm", "cumsum", "floor", "two results"],
)
def test_operations_are_let_through_in_every_dtype(ours, reference, dtype):
    for seed in range(5):
        verify(ours, reference, lambda rng: [rng.normal(size=(5, 19)).astype(dtype)], seed=seed)


def one_by_one(a, b):
    total = np.zeros((a.shape[0], b.shape[1]), "f4")
    for k in range(a.shape[1]):
        total += a[:, k : k + 1] * b[k]
    return total


@pytest.mark.parametrize("seed", range(3))
def test_long_sums_one_by_one_are_honest_and_ten_bits_are_not(seed):
    def long(rng):
        return [rng.normal(size=(24, 4096)).astype("f4"), rng.normal(size=(4096, 40)).astype("f4")]

    verify(one_by_one, np.matmul, long, seed=seed)
    with pytest.raises(Refused, match="it computes in fewer bits"):
        verify(in_ten_bits, np.matmul, long, seed=seed)
    with pytest.raises(Refused):
        verify(lambda a, b: a[:, :-1] @ b[:-1], np.matmul, long, seed=seed)


def test_terms_are_counted():
    def terms(reference, *inputs):
        gate = Gate(None, reference, (), "", np.random.default_rng(0))
        return gate.counted(list(inputs), listed(reference(*inputs)))

    a, b = np.random.default_rng(0).normal(size=(5, 7)), np.random.default_rng(1).normal(size=(7, 3))
    assert terms(np.matmul, a, b) == [7] and terms(np.tanh, a) == [1]
    assert terms(lambda x: (x.sum(), x * 2), a) == [35, 1] and terms(softmax, a) == [7]
    assert terms(lambda x, ids: x[ids], a, np.array([0, 0])) in ([2.5], [1]) and terms(np.abs, a[:0]) == [1]


def test_torch_functions_and_integers():
    torch = pytest.importorskip("torch")
    verify(lambda a, b: torch.from_numpy(a) @ torch.from_numpy(b), np.matmul, matrices, seed=0)

    def ids(rng):
        return [rng.normal(size=(7, 3)).astype("f4"), rng.integers(0, 7, 5)]

    verify(lambda table, i: table[i], lambda table, i: table[i], ids, seed=0)
    with pytest.raises(Refused, match="it "):
        verify(lambda table, i: table[i * 0], lambda table, i: table[i], ids, seed=0)


def test_fresh_numbers_are_drawn_each_time():
    seen = []
    for _ in range(2):
        verify(lambda x: seen.append(x.copy()) or np.tanh(x), np.tanh, rows)
    assert not np.array_equal(seen[0], seen[3])
