"""Pooling and resampling against torch, at ties and infinities, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.ops import windows
from tinygrad_lm.testing import gradgradcheck

MAX, AVG = [tg.max_pool1d, tg.max_pool2d, tg.max_pool3d], [tg.avg_pool1d, tg.avg_pool2d, tg.avg_pool3d]
ADAPTIVE_MAX = [tg.adaptive_max_pool1d, tg.adaptive_max_pool2d, tg.adaptive_max_pool3d]
ADAPTIVE_AVG = [tg.adaptive_avg_pool1d, tg.adaptive_avg_pool2d, tg.adaptive_avg_pool3d]


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def compare(ours, theirs, x):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-13)
    u = numbers(*y.shape, seed=1)
    y.backward(u)
    z.backward(torch.tensor(u))
    np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-12, atol=1e-13)


def functional(name, rank):
    return getattr(pytest.importorskip("torch.nn.functional"), f"{name}{rank}d")


@st.composite
def pools(draw, dilated=False):
    """(rank, x, positional settings): some windows, within torch's bounds."""
    rank = draw(st.sampled_from([1, 1, 2, 2, 3]))

    def each(low, high):
        return tuple([draw(st.integers(low, high)) for _ in range(rank)])

    kernel, stride, dilation = each(1, 3), each(1, 3), each(1, 2) if dilated else (1,) * rank
    padding = tuple([draw(st.integers(0, k // 2)) for k in kernel])
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes = [max(1, n - 2 * p) + draw(st.integers(0, 4)) for n, p in zip(spans, padding, strict=True)]
    lead = draw(st.sampled_from([(2,), (2, 2), (0, 1), (1, 1)]))
    if draw(st.booleans()):
        kernel, stride = kernel if len(set(kernel)) > 1 else kernel[0], draw(st.sampled_from([stride, None]))
    return rank, numbers(*lead, *sizes), kernel, stride, padding, dilation


@given(pools(dilated=True), st.booleans())
def test_any_max_pool_is_torchs(pool, ceil_mode):
    rank, x, kernel, stride, padding, dilation = pool
    theirs = functional("max_pool", rank)
    try:
        ours = MAX[rank - 1](x, kernel, stride, padding, dilation, ceil_mode)
    except ValueError as error:  # torch gives -inf, which is no element
        assert "sees only padding" in str(error) and max(dilation) > 1
        return
    assert np.isfinite(ours).all()
    compare(
        lambda x: MAX[rank - 1](x, kernel, stride, padding, dilation, ceil_mode),
        lambda x: theirs(x, kernel, stride, padding, dilation, ceil_mode),
        x,
    )


@given(pools(), st.booleans(), st.booleans())
def test_any_average_pool_is_torchs(pool, ceil_mode, count_pad):
    rank, x, kernel, stride, padding, _ = pool
    theirs = functional("avg_pool", rank)
    sizes = x.shape[-rank:]
    assume(rank < 3 or all(n >= k for n, k in zip(sizes, np.broadcast_to(kernel, 3), strict=True)))  # torch's limit
    compare(
        lambda x: AVG[rank - 1](x, kernel, stride, padding, ceil_mode, count_pad),
        lambda x: theirs(x, kernel, stride, padding, ceil_mode, count_pad),
        x,
    )


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3), st.booleans(), st.booleans())
@example([(13, 8), (3, 2)], True, True)  # the longer ones of these windows are not evenly spaced
@example([(13, 8), (3, 2)], False, True)
def test_any_adaptive_pool_is_torchs(axes, largest, batch):
    rank, sizes, out = len(axes), [n for n, _ in axes], tuple([m for _, m in axes])
    ours = (ADAPTIVE_MAX if largest else ADAPTIVE_AVG)[rank - 1]
    theirs = functional("adaptive_max_pool" if largest else "adaptive_avg_pool", rank)
    compare(lambda x: ours(x, out), lambda x: theirs(x, out), numbers(*[2] * batch, 2, *sizes))


@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9)), min_size=1, max_size=3),
    st.sampled_from(["nearest", "linear", "corners"]),
)
def test_any_interpolation_is_torchs(axes, mode):
    F = pytest.importorskip("torch.nn.functional")
    sizes, out = [n for n, _ in axes], tuple([m for _, m in axes])
    corners = mode == "corners"
    name = mode if mode == "nearest" else ["linear", "bilinear", "trilinear"][len(axes) - 1]
    settings = {"mode": name, "align_corners": None if mode == "nearest" else corners}
    compare(
        lambda x: tg.interpolate(x, out, mode=name, align_corners=corners),
        lambda x: F.interpolate(x, out, **settings),
        numbers(2, 2, *sizes),
    )


@given(st.integers(1, 6), st.sampled_from([0.4, 0.5, 0.75, 1.0, 1.5, 2, 2.5, 3]), st.booleans())
def test_a_scale_decides_size_and_positions(size, scale, linear):
    F = pytest.importorskip("torch.nn.functional")
    assume(int(size * scale) >= 1)
    mode = "bilinear" if linear else "nearest"
    compare(
        lambda x: tg.interpolate(x, scale_factor=(scale, 2), mode=mode),
        lambda x: F.interpolate(x, scale_factor=(float(scale), 2.0), mode=mode),
        numbers(1, 2, size, 3),
    )


@given(st.integers(1, 3), st.lists(st.integers(1, 3), min_size=3, max_size=5))
def test_pixels_are_shuffled_as_in_torch(r, shape):
    F = pytest.importorskip("torch.nn.functional")
    *lead, c, h, w = shape
    x = numbers(*lead, c * r * r, h, w)
    compare(lambda x: tg.pixel_shuffle(x, r), lambda x: F.pixel_shuffle(x, r), x)
    y = numbers(*lead, c, h * r, w * r)
    compare(lambda x: tg.pixel_unshuffle(x, r), lambda x: F.pixel_unshuffle(x, r), y)
    np.testing.assert_array_equal(tg.pixel_unshuffle(tg.pixel_shuffle(x, r), r), x)


# ------------------------------------------------------------------------------------------------ corners


def test_the_first_of_those_that_tie_gets_the_gradient():
    x = Tensor(np.zeros((1, 4, 4)), requires_grad=True)
    for pool in (lambda x: tg.max_pool2d(x, 2), lambda x: tg.adaptive_max_pool2d(x, 2)):
        x.grad = None
        pool(x).backward(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
        expected = np.zeros((4, 4))
        expected[::2, ::2] = [[1, 2], [3, 4]]
        np.testing.assert_array_equal(x.grad.data[0], expected)
    compare(lambda x: tg.max_pool2d(x, 3, 1, 1), lambda x: functional("max_pool", 2)(x, 3, 1, 1), np.ones((1, 4, 5)))


def test_a_window_of_minus_infinities_holds_an_element_and_padding_never_wins():
    x = np.full((1, 5), -np.inf)
    compare(lambda x: tg.max_pool1d(x, 3, 1, 1), lambda x: functional("max_pool", 1)(x, 3, 1, 1), x)
    assert tg.max_pool1d(np.array([[-3.0, -2.0, -5.0]]), 3, 1, 1).tolist() == [[-2.0, -2.0, -2.0]]


def test_nan_wins_wherever_it_stands():
    x = np.array([[1.0, np.nan, 2.0, 3.0]])
    compare(lambda x: tg.max_pool1d(x, 2, 1), lambda x: functional("max_pool", 1)(x, 2, 1), x)
    np.testing.assert_array_equal(tg.max_pool1d(x, 2, 1), [[np.nan, np.nan, 3.0]])


def test_what_is_not_finite_stays_in_its_windows():
    x = np.ones((1, 1, 6, 6))
    x[0, 0, 0, 0] = np.inf
    for y in (tg.avg_pool2d(x, 2), tg.adaptive_avg_pool2d(x, 3), tg.avg_pool2d(x, 3, 2, 1, ceil_mode=True)):
        assert np.isinf(y[0, 0, 0, 0]) and np.isfinite(y.reshape(-1)[1:]).all()
    u = np.ones((1, 2))
    u[0, 0] = np.nan
    leaf = Tensor(np.ones((1, 7)), requires_grad=True)
    tg.avg_pool1d(leaf, 3).backward(u)
    np.testing.assert_array_equal(np.isnan(leaf.grad.data), [[True] * 3 + [False] * 4])


def test_a_window_over_everything_is_the_mean_and_the_maximum():
    x = numbers(2, 3, 5, 7)
    np.testing.assert_allclose(tg.adaptive_avg_pool2d(x, 1), x.mean((2, 3), keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(tg.adaptive_max_pool2d(x, 1), x.max((2, 3), keepdims=True))
    np.testing.assert_array_equal(tg.adaptive_avg_pool2d(x, (None, None)), x)
    assert tg.adaptive_avg_pool3d(x, (None, 2, 1)).shape == (2, 3, 2, 1)


def test_a_large_image():
    x = Tensor(numbers(2, 300, 302), requires_grad=True)
    y = tg.max_pool2d(x, 2)
    blocks = x.data.reshape(2, 150, 2, 151, 2).swapaxes(2, 3).reshape(2, 150, 151, 4)
    np.testing.assert_array_equal(y.data, blocks.max(-1))
    u = numbers(*y.shape, seed=1)
    y.backward(u)
    assert ((x.grad.data != 0) == (np.repeat(np.repeat(y.data, 2, 1), 2, 2) == x.data)).all()
    np.testing.assert_array_equal(x.grad.data.reshape(2, 150, 2, 151, 2).sum((2, 4)), u)


def test_dtypes():
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    results = (tg.max_pool2d(x, 2), tg.avg_pool2d(x, 2), tg.interpolate(x, 7, mode="bilinear"), tg.interpolate(x, 2))
    assert {y.dtype for y in results} == {np.dtype(np.float32)}
    assert tg.max_pool2d(x.astype(np.int64), 2).dtype == np.int64
    assert tg.avg_pool2d(x.astype(np.float16), 2).dtype == np.float16


def test_second_derivatives_through_a_chain():
    x = numbers(1, 2, 5, 5)
    assert gradgradcheck(lambda x: tg.max_pool2d(tg.avg_pool2d(x * x, 2, 1), 2, 1) ** 2, x)
    assert gradgradcheck(lambda x: tg.interpolate(x * x, (3, 7), mode="bilinear") ** 2, x)


X = np.ones((2, 3, 6, 5))
BAD = [
    (lambda: tg.max_pool2d(X, 0), "max_pool2d: kernel_size must be a whole number of at least 1 or 2 of them, got 0"),
    (lambda: tg.max_pool2d(X, (2, 2, 2)), r"max_pool2d: kernel_size must be .* got \(2, 2, 2\)"),
    (lambda: tg.max_pool2d(X, 2, 1.5), "max_pool2d: stride must be a whole number .* got 1.5"),
    (lambda: tg.max_pool2d(X, 2, padding=-1), "max_pool2d: padding must be a whole number of at least 0 .* got -1"),
    (lambda: tg.max_pool2d(X, 2, padding=2), "padding must be at most half of what a window reaches over, 2, got 2"),
    (lambda: tg.avg_pool2d(X, 7), r"avg_pool2d: a window reaches over 7 .* but x \(2, 3, 6, 5\) has 6 with padding"),
    (lambda: tg.max_pool1d(X, 2), r"max_pool1d: x must have shape \(N, C, L\) or \(C, L\), got \(2, 3, 6, 5\)"),
    (lambda: tg.max_pool1d(X[0, :, :0, 0], 2, padding=1), r"max_pool1d: a window reaches over 2 .* x \(3, 0\)"),
    (lambda: tg.max_pool1d(X[0, :, :1, 0], 2, 1, 2, 3), r"max_pool1d: .* a window over x \(3, 1\) sees only padding"),
    (lambda: tg.adaptive_avg_pool2d(X, 0), "adaptive_avg_pool2d: output_size must be a whole number .* got 0"),
    (lambda: tg.adaptive_avg_pool2d(X, (1, 2, 3)), r"adaptive_avg_pool2d: output_size must be .* got \(1, 2, 3\)"),
    (lambda: tg.adaptive_max_pool2d(X[:, :, :0], 1), r"no spatial axis may be empty, got \(2, 3, 0, 5\)"),
    (lambda: tg.interpolate(X, 3, mode="cubic"), "interpolate: mode must be one of 'nearest', .* got 'cubic'"),
    (lambda: tg.interpolate(X, 3, mode="linear"), r"mode 'linear' needs 1 spatial axes after \(N, C\), got"),
    (lambda: tg.interpolate(X), "interpolate: give size or scale_factor, got size=None, scale_factor=None"),
    (lambda: tg.interpolate(X, 3, 2.0), "interpolate: give size or scale_factor, got size=3, scale_factor=2.0"),
    (lambda: tg.adaptive_avg_pool2d(X[0, 0], 1), r"adaptive_avg_pool2d: x must have shape \(N, C, H, W\) or"),
    (lambda: tg.adaptive_max_pool1d(X, 1), r"adaptive_max_pool1d: x must have shape \(N, C, L\) or \(C, L\)"),
    (lambda: tg.interpolate(X, scale_factor=0.0), "scale_factor must be a number above 0 or 2 of them, got 0.0"),
    (lambda: tg.interpolate(X, scale_factor=-1.0), "scale_factor must be a number above 0 or 2 of them, got -1.0"),
    (lambda: tg.interpolate(X, scale_factor=0.1), r"interpolate: size must be .* at least 1 .* got \(0, 0\)"),
    (lambda: tg.interpolate(X, 3, align_corners=True), "align_corners is for the linear modes, got mode 'nearest'"),
    (lambda: tg.interpolate(X[:, :, :0], 3), r"interpolate: no spatial axis may be empty, got \(2, 3, 0, 5\)"),
    (lambda: tg.pixel_shuffle(X, 2), r"pixel_shuffle: x must have shape \(..., C \* 4, H, W\), got"),
    (lambda: tg.pixel_unshuffle(X, 2), r"pixel_unshuffle: x must have shape \(..., C, 2 \* H, 2 \* W\), got"),
    (lambda: tg.pixel_shuffle(X, 0), "pixel_shuffle: upscale_factor must be a whole number of at least 1, got 0"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_does_not_fit_is_said_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ windows


@pytest.mark.parametrize(
    ("positions", "expected"),
    [([2, 4, 6], slice(2, 7, 2)), ([3], slice(3, 4, 1)), ([5, 6], slice(5, 7, 1)), ([1, 5], slice(1, 6, 4))]
    + [(other, None) for other in ([1, 1], [3, 1], [0, 1, 3], [0, 2, 3], [0, 0, 1])],
)
def test_evenly_spaced_positions_become_slices(positions, expected):
    found = windows.evenly(np.array(positions))
    if expected is None:
        assert found is not None and list(found) == positions
    else:
        assert found == expected


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 60), st.integers(0, 99))
def test_taps_hold_their_links_in_as_few_layers_as_there_can_be(size, out, count, seed):
    rng = np.random.default_rng(seed)
    rows, cols, weights = rng.integers(0, out, count), rng.integers(0, size, count), rng.normal(size=count)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (rows, cols), weights)
    taps = windows.Taps(size, out, rows, cols, weights)
    for these, expected, ends in ((taps, matrix, rows), (taps.transposed, matrix.T, cols)):
        total = np.zeros(expected.shape)
        for at, source, weight in these.layers:
            at, source = (np.r_[p] if isinstance(p, slice) else p for p in (at, source))
            assert len(set(at)) == len(at)
            total[at, source] += weight
        np.testing.assert_allclose(total, expected, atol=1e-12)
        if these is taps:
            assert len(these.layers) == np.bincount(ends).max()
    for i in range(out):  # the links of each output in the order in which they were given
        order = [s for at, source, _ in taps.layers for a, s in zip(np.r_[at], np.r_[source], strict=True) if a == i]
        assert order == cols[rows == i].tolist()
    assert repr(taps) == f"Taps({size} -> {out})"


def test_a_nearest_input_beyond_the_end_is_the_last():
    assert windows.nearest(3, 5, 0.8).links[1].tolist() == [0, 0, 1, 2, 2]
    assert windows.nearest(4, 2, None).links[1].tolist() == [0, 2]


def test_adaptive_pooling_that_keeps_every_size():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_array_equal(tg.adaptive_avg_pool2d(x, None), x)
    np.testing.assert_allclose(tg.adaptive_avg_pool2d(x, (None, 1)), x.mean(-1, keepdims=True), rtol=1e-12)
