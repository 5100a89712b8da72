"""Rearranging, reading, writing, joining and padding: random calls beside NumPy's, each with its gradient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.ops import shape
from tinygrad_lm.testing import gradcheck

RNG = np.random.default_rng(9)


@st.composite
def arrays(draw, min_dims=0, min_side=0):
    shape = tuple(draw(st.lists(st.integers(min_side, 4), min_size=min_dims, max_size=3)))
    return np.asarray(np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape))


def axes_of(x):
    return st.integers(-x.ndim, x.ndim - 1)


def like_numpy(ours, theirs, x):
    """The same values and shape, and, the function being linear, the transpose of what it does for a gradient."""
    y, pull = tg.vjp(ours, x)
    expected = theirs(x)
    assert np.shape(y) == expected.shape
    np.testing.assert_array_equal(y, expected)
    u = np.random.default_rng(1).normal(size=expected.shape)
    numbers = np.arange(1.0, x.size + 1).reshape(x.shape)  # each place of x, told apart; 0 is none of them
    came_from = np.rint(theirs(numbers)).ravel().astype(int)
    g = np.bincount(came_from, u.ravel(), minlength=x.size + 1)[1:]
    np.testing.assert_allclose(pull(u)[0], g.reshape(x.shape), atol=1e-14)


# ------------------------------------------------------------------------------------------------ beside NumPy


@given(st.data())
def test_pad(data):
    x = data.draw(arrays())
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "wrap"]))
    assume(mode == "constant" or 0 not in x.shape)
    most = min(x.shape, default=1) - 1 if mode == "reflect" else 6
    width = st.integers(0, most)
    pair = st.tuples(width, width)
    forms = [width, pair, st.tuples(pair), st.tuples(*[pair] * x.ndim)]
    pad_width = data.draw(st.one_of(forms if x.ndim else forms[:1]))
    like_numpy(lambda x: tg.pad(x, pad_width, mode), lambda x: np.pad(x, pad_width, mode), x)


def test_pad_with_a_value_keeps_the_dtype():
    y = tg.pad(np.ones(2, np.float32), (1, 0), value=-np.inf)
    assert y.dtype == np.float32 and y.tolist() == [-np.inf, 1, 1]
    assert tg.pad(np.ones(2, int), 1, value=7).tolist() == [7, 1, 1, 7]
    x = np.ones(2)
    assert not np.shares_memory(tg.pad(x, 0), x) and not np.shares_memory(tg.pad(x, 0, mode="edge"), x)


@given(st.data())
def test_roll(data):
    x = data.draw(arrays())
    axis, shift = None, data.draw(st.integers(-9, 9))
    if x.ndim and data.draw(st.booleans()):
        axis = data.draw(axes_of(x))
        if data.draw(st.booleans()):
            axis, shift = tuple(range(x.ndim)), tuple(data.draw(st.integers(-9, 9)) for _ in range(x.ndim))
    like_numpy(lambda x: tg.roll(x, shift, axis), lambda x: np.roll(x, shift, axis), x)


@given(arrays(), st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=4).map(tuple)))
def test_tile(x, repetitions):
    like_numpy(lambda x: tg.tile(x, repetitions), lambda x: np.tile(x, repetitions), x)


@given(st.data())
def test_repeat(data):
    x = data.draw(arrays(min_dims=1))
    axis = data.draw(st.one_of(st.none(), axes_of(x)))
    length = x.size if axis is None else x.shape[axis]
    count = st.integers(0, 3)
    one = st.one_of(count, count.map(lambda n: np.array([n])))
    repeats = data.draw(one | st.lists(count, min_size=length, max_size=length).map(lambda ns: np.array(ns, int)))
    like_numpy(lambda x: tg.repeat(x, repeats, axis), lambda x: np.repeat(x, repeats, axis), x)


@given(arrays(min_dims=2), st.integers(-5, 5), st.integers(0, 99))
def test_diagonal(x, offset, seed):
    axis1, axis2 = np.random.default_rng(seed).permutation(x.ndim)[:2].tolist()
    axis2 -= x.ndim * (seed % 2)
    like_numpy(lambda x: tg.diagonal(x, offset, axis1, axis2), lambda x: x.diagonal(offset, axis1, axis2), x)


@given(arrays(min_dims=2), st.integers(-5, 5))
def test_triangles(x, k):
    like_numpy(lambda x: tg.tril(x, k), lambda x: np.tril(x, k), x)
    like_numpy(lambda x: tg.triu(x, k), lambda x: np.triu(x, k), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, bool])
def test_triangles_keep_the_dtype(dtype):
    x = np.ones((2, 3), dtype)
    assert tg.tril(x).dtype == tg.triu(x).dtype == dtype


@given(st.data())
def test_unfold(data):
    x = data.draw(arrays(min_dims=1))
    axis = data.draw(axes_of(x))
    size, step = data.draw(st.integers(0, x.shape[axis])), data.draw(st.integers(1, 4))
    at = axis % x.ndim

    def windows(x):
        every = (slice(None),) * at + (slice(None, None, step),)
        if size == 0:  # of which NumPy has no view: one more window than elements
            return np.zeros(np.insert(x.shape, x.ndim, 0) + np.eye(x.ndim + 1, dtype=int)[at])[every]
        return np.lib.stride_tricks.sliding_window_view(x, size, axis)[every]

    like_numpy(lambda x: tg.unfold(x, size, step, axis), windows, x)


@given(st.data())
def test_orders_of_axes(data):
    x = data.draw(arrays())
    order = tuple(data.draw(st.permutations(range(x.ndim))))
    like_numpy(lambda x: tg.permute(x, order), lambda x: x.transpose(order), x)
    like_numpy(lambda x: tg.transpose(x, order), lambda x: x.transpose(order), x)
    like_numpy(tg.transpose, lambda x: x.T, x)
    source = order[: data.draw(st.integers(0, x.ndim))]
    destination = tuple(a - x.ndim for a in data.draw(st.permutations(range(x.ndim))))[: len(source)]
    like_numpy(lambda x: tg.moveaxis(x, source, destination), lambda x: np.moveaxis(x, source, destination), x)
    if x.ndim:
        like_numpy(lambda x: tg.moveaxis(x, -1, order[0]), lambda x: np.moveaxis(x, -1, order[0]), x)
        like_numpy(lambda x: tg.flip(x, order[0]), lambda x: np.flip(x, order[0]), x)


@given(st.integers(0, 9), st.integers(1, 6), st.sampled_from([0, 1]))
def test_chunk(n, chunks, axis):
    x = RNG.normal(size=(n, 2) if axis == 0 else (2, n))
    pieces = tg.chunk(x, chunks, axis)
    sizes = [p.shape[axis] for p in pieces]
    assert len(pieces) <= chunks and all(size == sizes[0] >= last for size, last in itertools.pairwise(sizes))
    assert sizes[0] == -(-n // chunks)
    np.testing.assert_array_equal(np.concatenate(pieces, axis), x)


# ------------------------------------------------------------------------------------------------ by number


@st.composite
def numbered(draw):
    """(x, axis, indices that are not longer than x on the other axes)."""
    x = draw(arrays(min_dims=1, min_side=1))
    axis = draw(axes_of(x))
    shape = [draw(st.integers(0, n)) for n in x.shape]
    shape[axis] = draw(st.integers(0, 5))
    n = x.shape[axis]
    return x, axis, np.random.default_rng(draw(st.integers(0, 99))).integers(-n, n, shape)


def each_place(indices, axis):
    """(where an index stands, where in x it points to)."""
    for at in np.ndindex(indices.shape):
        to = list(at)
        to[axis] = indices[at]
        yield at, tuple(to)


@given(numbered())
def test_gather_and_scatter_add_against_loops(case):
    x, axis, indices = case
    picked, source = np.zeros(indices.shape), RNG.normal(size=indices.shape)
    added = x.copy()
    for at, to in each_place(indices, axis):
        picked[at] = x[to]
        added[to] += source[at]
    np.testing.assert_array_equal(tg.gather(x, indices, axis), picked)
    np.testing.assert_allclose(tg.scatter_add(x, indices, source, axis), added, atol=1e-14)
    assert gradcheck(lambda x: tg.gather(x, indices, axis) ** 2, x)
    assert gradcheck(lambda x, s: tg.scatter_add(x, indices, s, axis) ** 2, [x, source])


@given(st.integers(0, 2), st.sampled_from([(2, 3, 4), (1, 3, 4), (2, 1, 1), (1, 1, 1)]), st.booleans())
def test_take_along_axis_broadcasts_as_numpys(axis, shape, narrow):
    x = RNG.normal(size=(1, 3, 4) if narrow else (2, 3, 4))
    indices = np.random.default_rng(axis).integers(0, x.shape[axis], shape)
    expected = np.take_along_axis(x, indices, axis)
    np.testing.assert_array_equal(tg.take_along_axis(x, indices, axis), expected)
    np.testing.assert_array_equal(tg.take_along_axis(Tensor(x), Tensor(indices), axis).data, expected)
    assert gradcheck(lambda x: tg.take_along_axis(x, indices, axis) ** 2, x)


@given(st.sampled_from([0, 1, -1]), st.sampled_from([1, -0.5]), st.lists(st.integers(-2, 1), max_size=4))
def test_index_add(axis, alpha, numbers):
    x, indices = RNG.normal(size=(2, 3)), np.array(numbers, int)
    source = RNG.normal(size=(len(numbers), 3) if axis == 0 else (2, len(numbers)))
    expected = x.copy()
    np.add.at(expected, indices if axis == 0 else (slice(None), indices), alpha * source)
    np.testing.assert_allclose(tg.index_add(x, indices, source, axis, alpha), expected, atol=1e-15)
    assert gradcheck(lambda x, s: tg.index_add(x, indices, s, axis, alpha) ** 2, [x, source])
    single = tg.index_add(x.astype(np.float32), Tensor(indices), Tensor(source.astype(np.float32)), axis, alpha)
    assert single.dtype == np.float32


def test_masked_fill():
    x, mask = RNG.normal(size=(2, 3)).astype(np.float32), np.array([True, False, True])
    for value in (-np.inf, 0, np.array(2.0, np.float32)):
        y = tg.masked_fill(x, mask, value)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, np.where(mask, np.float32(value), x))
    g = tg.grad(lambda x: tg.masked_fill(x, Tensor(mask), -np.inf)[:, 1].sum())(x)
    np.testing.assert_array_equal(g, [[0, 1, 0]] * 2)
    value = np.array(3.0)
    assert tg.grad(lambda v: tg.masked_fill(x, mask, v).sum())(value) == 4


MIXED = [
    lambda i: i, lambda i: (i, 1), lambda i: (slice(None), i), lambda i: (i, i), lambda i: (None, i, None),
    lambda i: (slice(None, None, -1), i), lambda i: (i, slice(None, None, -2)), lambda i: (Ellipsis, i),
    lambda i: (i, slice(3, None, -1), i), lambda i: (0, Ellipsis, i), lambda i: ([2, 2, 0], slice(1, 3), i),
    lambda i: (slice(None), i, [[1], [0]]),
]  # fmt: skip
PARTS = {
    "integers": np.array([0, 2, 0]), "negative": np.array([-1, 1, -1]), "list": [1, 0, 1], "number": np.array(1),
    "mask": np.array([True, False, True]), "false": np.array([False, False, False]), "none": np.zeros(0, int),
}  # fmt: skip
FITTING = [(m, p) for m in range(len(MIXED)) for p in PARTS if m < 10 or p not in ("false", "none", "mask")]


@pytest.mark.parametrize(("mixture", "part"), FITTING)
@pytest.mark.parametrize("boxed", [False, True])
def test_reading_and_writing_with_mixed_indices(mixture, part, boxed):
    plain = PARTS[part]
    x, index = np.arange(27.0).reshape(3, 3, 3), MIXED[mixture](plain)
    ours = MIXED[mixture](Tensor(plain)) if boxed and part != "list" else index
    u = RNG.normal(size=x[index].shape)
    y, pull = tg.vjp(lambda x: x[ours], Tensor(x))
    np.testing.assert_array_equal(y.data, x[index])
    expected = np.zeros_like(x)
    np.add.at(expected, index, u)
    np.testing.assert_allclose(pull(u)[0].data, expected, atol=1e-14)

    def assigned(x, v):
        y = x * 1.0
        y[ours] = v
        return y**2

    expected = x.copy()
    expected[index] = u
    np.testing.assert_array_equal(assigned(Tensor(x), Tensor(u)).data, expected**2)
    assert gradcheck(assigned, [x, u])


def test_a_table_of_no_width():
    ids = np.array([0, 1, 0])
    y, pull = tg.vjp(lambda w: tg.embedding(ids, w), np.zeros((2, 0)))
    assert y.shape == (3, 0) and pull(np.zeros((3, 0)))[0].shape == (2, 0)


# ------------------------------------------------------------------------------------------------ numbers among arrays


def test_numbers_among_stacked_arrays_widen_nothing():
    half = np.array(0.5, np.float32)
    for parts in ([half, 1.5], [1.5, half], [2, half, True], [Tensor(half), 1.5], [half, np.array(2), 1.5]):
        y = tg.stack(parts)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(y), np.stack([float(p) for p in parts]))
    assert tg.stack([1, 2]).dtype == np.int64 and tg.stack([1, 2.0]).dtype == np.float64
    assert tg.stack([np.array(1), 0.5]).tolist() == [1.0, 0.5]
    x = Tensor(half, requires_grad=True)
    tg.stack([1.0, x, x * 2.0]).sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.item() == 3


@pytest.mark.parametrize("narrow", ["float16", "bfloat16", "float32"])
def test_a_cast_gives_the_dtype_that_was_asked_for(narrow):
    narrow = pytest.importorskip("ml_dtypes").bfloat16 if narrow == "bfloat16" else np.dtype(narrow)
    x = Tensor(np.array([1.0, 2.0]).astype(narrow), requires_grad=True)
    for wide in (np.float64, np.float32, np.float16):
        y = x.astype(wide)
        assert y.dtype == wide
    (y * y).sum().backward()
    assert x.grad.dtype == narrow and x.grad.tolist() == [2.0, 4.0]


def test_axes_and_indices_may_be_lists():
    x = np.arange(6.0).reshape(1, 2, 3)
    assert tg.squeeze(x, [0]).shape == (2, 3) and tg.expand_dims(x, [0, -1]).shape == (1, 1, 2, 3, 1)
    weights = np.random.default_rng(0).normal(size=x.shape)
    rolled = tg.grad(lambda x: (tg.roll(x, [1, 2], axis=[1, 2]) * weights).sum())(x)
    np.testing.assert_array_equal(rolled, np.roll(weights, (-1, -2), (1, 2)))
    np.testing.assert_array_equal(tg.index_add(x[0], [1], np.ones((1, 3))), x[0] + [[0], [1]])
    np.testing.assert_array_equal(tg.masked_fill(x, [True, False, True], 0.0), x * [0, 1, 0])
    np.testing.assert_array_equal(tg.take_along_axis(x, [[[0], [2]]]), [[[0.0], [5.0]]])


def test_pieces_cut_at_negative_and_far_places():
    x = np.arange(5.0)
    for cuts in ([-2], [1, -1], [2, 9], [-9, 3], [3, 3]):
        ours, theirs = tg.split(x, cuts), np.split(x, cuts)
        assert [p.tolist() for p in ours] == [p.tolist() for p in theirs]
        g = tg.grad(lambda x, cuts=cuts: tg.concatenate([p * p for p in tg.split(x, cuts)]).sum())(x)
        np.testing.assert_array_equal(g, 2 * x)


def test_methods_are_the_functions():
    x = np.arange(6.0).reshape(2, 3)
    t, mask, first = Tensor(x, requires_grad=True), x > 2, np.array([[0], [0]])
    pairs = [
        (t.std(1), x.std(1)), (t.prod(), x.prod()), (t.cumprod(1), x.cumprod(1)), (t.median(axis=0), np.median(x, 0)),
        (t.norm(axis=1), np.linalg.norm(x, axis=1)), (t.sort(descending=True), x[:, ::-1]), (t.topk(1)[0], x[:, 2:]),
        (t.moveaxis(0, 1), x.T), (t.permute(1, 0), x.T), (t.permute((1, 0)), x.T), (t.roll(1), np.roll(x, 1)),
        (t.tile(2), np.tile(x, 2)), (t.unfold(2), np.stack([x[:, :2], x[:, 1:]], 1)), (t.chunk(2)[1], x[1:]),
        (t.gather(first), x[:, :1]), (t.scatter_add(first, x[:, 1:2]), x + x[:, 1:2] * [1, 0, 0]),
        (t.index_add(np.array([1]), x[:1]), x + np.array([[0], [1]]) * x[0]), (t.masked_fill(mask, 0.0), x * ~mask),
        (t.repeat(2, 0), x.repeat(2, 0)), (t.diagonal(1), x.diagonal(1)),
        (t.tril(), np.tril(x)), (t.triu(), np.triu(x)),
    ]  # fmt: skip
    for ours, expected in pairs:
        assert ours.requires_grad
        np.testing.assert_allclose(ours.data, expected)
    for ours, expected in ((t.any(), True), (t.all(1), x.all(1)), (t.count_nonzero(), 5), (t.argsort(0), x.argsort(0))):
        assert not ours.requires_grad
        np.testing.assert_array_equal(ours.data, expected)


# ------------------------------------------------------------------------------------------------ bad input

TWO, THREE = np.array([0, 2]), np.array([[0, 1, 2]])
BAD = [
    (lambda x: tg.flip(x, 2), IndexError, "axis 2 is out of bounds"),
    (lambda x: tg.roll(x, 1, 2), IndexError, "axis 2 is out of bounds"),
    (lambda x: tg.moveaxis(x, 0, 2), ValueError, "axis 2 is out of bounds"),
    (lambda x: tg.moveaxis(x, (0, 1), 0), ValueError, "2 axes cannot move to 1 positions"),
    (lambda x: tg.moveaxis(x, (0, 0), (0, 1)), ValueError, "names an axis twice"),
    (lambda x: tg.permute(x, (0, 0)), ValueError, "must name each of the 2 axes of x once"),
    (lambda x: tg.permute(x, (0,)), ValueError, "must name each of the 2 axes of x once"),
    (lambda x: tg.broadcast_to(x, (2, 4)), ValueError, r"\(2, 3\) does not broadcast to \(2, 4\)"),
    (lambda x: tg.tile(x, -1), ValueError, "and not negative, got -1"),
    (lambda x: tg.repeat(x, -1, 0), ValueError, "none negative, got -1"),
    (lambda x: tg.repeat(x, [1, 2, 3], 0), ValueError, "one for each of the 2 elements of axis 0"),
    (lambda x: tg.repeat(x, 1.5, 0), ValueError, "must be one integer"),
    (lambda x: tg.unfold(x, 4), ValueError, "size must be 0 to 3"),
    (lambda x: tg.unfold(x, 2, 0), ValueError, "step at least 1"),
    (lambda x: tg.pad(x, -1), ValueError, "not negative, got -1"),
    (lambda x: tg.pad(x, 0.5), ValueError, "must be integers"),
    (lambda x: tg.pad(x, ((1, 1),) * 3), ValueError, "nor one pair for each of the 2 axes"),
    (lambda x: tg.pad(x, 2, "reflect"), ValueError, "mirrors at most 1 of the 2 elements of axis 0"),
    (lambda x: tg.pad(x, 2, "mirror"), ValueError, "one of constant, edge, reflect, wrap, got 'mirror'"),
    (lambda x: tg.pad(x[:0], 1, "edge"), ValueError, "axis 0 has no elements that mode 'edge' could repeat"),
    (lambda x: tg.diagonal(x[0]), ValueError, "at least two axes"),
    (lambda x: tg.diagonal(x, 0, 1, 1), ValueError, "names an axis twice"),
    (lambda x: tg.tril(x[0]), ValueError, "at least two axes"),
    (lambda x: tg.chunk(x, 0), ValueError, "at least 1 piece, got chunks=0"),
    (lambda x: tg.split(x, 2, 1), ValueError, "does not cut axis 1 of size 3 into equal pieces"),
    (lambda x: tg.split(x, 0), ValueError, "sections=0 does not cut axis 0"),
    (lambda x: tg.split(x, [2, 1], 1), ValueError, "in rising order, got .2, 1."),
    (lambda x: tg.roll(x, (1, 2, 3), (0, 1)), ValueError, "must be whole numbers, or tuples of one length"),
    (lambda x: x.reshape(4, 2), ValueError, "the 6 elements of shape .2, 3. do not fill shape .4, 2."),
    (lambda x: x.reshape(-1, -1), ValueError, "only one size may be -1"),
    (lambda x: tg.tile(x, 1.5), ValueError, "whole numbers"),
    (lambda x: tg.moveaxis(x, 5, 0), ValueError, "moveaxis: axis 5 is out of bounds"),
    (lambda x: tg.swapaxes(x, 0, 1.0), ValueError, "swapaxes: an axis is a whole number, got 1.0"),
    (lambda x: tg.take(x, 0, None), ValueError, "take: an axis is a whole number, got None"),
    (lambda x: tg.cumsum(x, axis=None), IndexError, "an axis is a whole number, got None"),
    (lambda x: tg.sort(x, axis=None), IndexError, "an axis is a whole number, got None"),
    (lambda x: tg.concatenate([]), ValueError, "at least one array"),
    (lambda x: tg.concatenate([x, x[0]]), ValueError, "do not join"),
    (lambda x: tg.concatenate([x, x.T]), ValueError, "all sizes but that of axis 0 must be equal"),
    (lambda x: tg.concatenate([x[0, 0], 1.0]), ValueError, "use stack"),
    (lambda x: tg.stack([x, x.T]), ValueError, "do not stack: all must be equal"),
    (lambda x: tg.take(x, TWO), IndexError, r"reach from 0 to 2, but axis 0 of size 2 has only 0 to 1 \(or -2 to -1"),
    (lambda x: tg.take(x, np.array([0.0])), TypeError, "must be integers, got float64"),
    (lambda x: tg.gather(x, TWO), ValueError, "the same number of axes"),
    (lambda x: tg.gather(x, THREE.T), ValueError, "no size above that of x but on axis -1"),
    (lambda x: tg.gather(x, THREE + 1), IndexError, "reach from 1 to 3, but axis -1 of size 3 has only 0 to 2"),
    (lambda x: tg.gather(x, THREE * 1.0), TypeError, "must be integers"),
    (lambda x: tg.gather(x, THREE, axis=2), IndexError, "axis 2 is out of bounds"),
    (lambda x: tg.scatter_add(x, THREE, np.ones(2)), ValueError, "does not broadcast to indices of shape"),
    (lambda x: tg.scatter_add(x, THREE - 4, 1.0), IndexError, "reach from -4 to -2"),
    (lambda x: tg.take_along_axis(x, TWO), ValueError, "need as many axes each"),
    (lambda x: tg.take_along_axis(x, THREE[[0, 0, 0]], 1), ValueError, "which broadcast but for axis 1"),
    (lambda x: tg.index_add(x, TWO, x, 1), ValueError, r"need a source of shape \(2, 2\), got \(2, 3\)"),
    (lambda x: tg.index_add(x, TWO, x), IndexError, "reach from 0 to 2"),
    (lambda x: tg.masked_fill(x, TWO, 0.0), TypeError, "the mask must be boolean, got int64"),
    (lambda x: tg.masked_fill(x, np.ones((4, 1, 1), bool), 0.0), ValueError, "must broadcast to x's shape"),
    (lambda x: tg.masked_fill(x, np.ones(2, bool), 0.0), ValueError, "must broadcast to x's shape"),
    (lambda x: tg.setitem(x, np.ones(2), index=0), ValueError, r"x\[index\] has shape \(3,\)"),
    (lambda x: x[5], IndexError, "index 5 is out of bounds for axis 0 with size 2"),
    (lambda x: tg.embedding(np.array([3]), x), IndexError, "ids reach from 3 to 3"),
    (lambda x: tg.embedding(np.array([-1]), x), IndexError, "rows 0 to 1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "words"), BAD, ids=[f"{i}-{words[:24]}" for i, (_, _, words) in enumerate(BAD)]
)
def test_bad_input_is_refused_in_one_sentence(call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call(Tensor(np.ones((2, 3)), requires_grad=True))
    assert "\n" not in str(caught.value)


def test_axes_and_shapes_that_operations_ask_about():
    assert shape.axis_of(np.int64(-1), 3) == 2 and shape.axis_of(-3, 3) == 0 and shape.axis_of(2, 3) == 2
    for axis in (3, -4, np.int64(3)):
        with pytest.raises(np.exceptions.AxisError, match="flip: axis -?[34] is out of bounds"):
            shape.axis_of(axis, 3, "flip")
    fitting = [((), (2,)), ((3, 4), (2, 3, 4)), ((1, 4), (3, 4)), ((2, 1, 4), (2, 5, 4)), ((2, 3), (2, 3))]
    others = [((2, 3, 4), (2, 5, 4)), ((2,), ()), ((1, 2), (2,)), ((3,), (1,)), ((2, 4), (3, 4)), ((3, 4), (3, 2))]
    assert [shape.fits(*pair) for pair in fitting] == [True] * len(fitting)
    assert [shape.fits(*pair) for pair in others] == [False] * len(others)


def test_reflection_needs_something_to_reflect():
    with pytest.raises(ValueError, match=r"mirrors at most 0 of the 1 elements of axis 0, got pad widths \[1, 0\]"):
        tg.pad(np.ones(1), (1, 0), mode="reflect")
    np.testing.assert_array_equal(tg.pad(np.arange(3.0), (2, 0), mode="reflect"), [2.0, 1.0, 0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="mirrors at most 2 of the 3"):
        tg.pad(np.arange(3.0), (3, 0), mode="reflect")


def test_what_pads_whole_numbers_is_a_whole_number():
    np.testing.assert_array_equal(tg.pad(np.ones(1, int), 1, value=2.0), [2, 1, 2])
    with pytest.raises(ValueError, match=r"value=1.5 is no int64, which x is: convert it with x.astype"):
        tg.pad(np.ones(1, int), 1, value=1.5)


def test_astype_is_a_function_of_arrays_too():
    x = np.array([1.5, -2.0])
    assert tg.astype(x, "int64").tolist() == [1, -2] and tg.astype(x, np.float32).dtype == np.float32
    with pytest.raises(TypeError, match="astype: expected an array or a Tensor, got list"):
        tg.astype([1.0], "int64")
    assert isinstance(tg.astype(Tensor(x), bool), Tensor) and type(tg.astype(x, bool)) is np.ndarray


def test_index_add_scales_what_it_adds():
    x, source, at = np.zeros((3, 2)), np.arange(1.0, 5.0).reshape(2, 2), np.array([2, 0])
    for alpha in (1, 2, -0.5):
        expected = np.zeros((3, 2))
        expected[at] = alpha * source
        np.testing.assert_array_equal(tg.index_add(x, at, source, alpha=alpha), expected)
    grads = tg.vjp(lambda x, s: tg.index_add(x, at, s, alpha=2.0), x, source)[1](np.ones((3, 2)))
    np.testing.assert_array_equal(grads[1], np.full((2, 2), 2.0))
