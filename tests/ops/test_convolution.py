"""Convolutions against torch, against their definition, and what they need."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import Tensor
from tinygrad_lm.ops import convolution
from tinygrad_lm.ops.convolution import COLUMNS, parts

CONV = [tg.conv1d, tg.conv2d, tg.conv3d]
TRANSPOSED = [tg.conv_transpose1d, tg.conv_transpose2d, tg.conv_transpose3d]


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def compare(ours, theirs, arrays, **settings):
    """Values and gradients of both, with a random cotangent; None among the arrays stays None."""
    import torch

    leaves = [None if a is None else Tensor(a, requires_grad=True) for a in arrays]
    others = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*leaves, **settings), theirs(*others, **settings)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-10, atol=1e-11)
    u = numbers(*y.shape, seed=1)
    y.backward(u)
    z.backward(torch.tensor(u))
    for x, t in zip(leaves, others, strict=True):
        if x is not None:
            assert x.grad.shape == x.shape
            np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-10, atol=1e-11)


@st.composite
def layers(draw, transposed=False):
    """(rank, batch or None, groups, channels, outputs, sizes, keywords) of a layer that gives something."""
    rank = draw(st.sampled_from([1, 1, 2, 2, 3]))

    def each(low, high):
        number = st.integers(low, high)
        return draw(number | st.tuples(*[number] * rank)) if rank > 1 else draw(number)

    def every(value):
        return value if isinstance(value, tuple) else (value,) * rank

    groups = draw(st.integers(1, 3))
    settings = {"stride": each(1, 3), "dilation": each(1, 2), "groups": groups}
    kernel = tuple([draw(st.integers(1, 3)) for _ in range(rank)])
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, every(settings["dilation"]), strict=True)]
    if transposed:
        settings["padding"] = each(0, 1)
        spare = [n - 2 * p for n, p in zip(spans, every(settings["padding"]), strict=True)]
        sizes = [draw(st.integers(1, 4)) for _ in range(rank)]
        sizes = [
            max(n, 1 + -(min(0, m - 1) // s)) for n, m, s in zip(sizes, spare, every(settings["stride"]), strict=True)
        ]
        settings["output_padding"] = min(draw(st.integers(0, 2)), min(every(settings["stride"])) - 1)
    else:
        settings["padding"] = draw(st.sampled_from(["valid", "same"])) if draw(st.booleans()) else each(0, 2)
        if settings["padding"] == "same":
            settings["stride"] = 1
        pads = every(0 if isinstance(settings["padding"], str) else settings["padding"])
        sizes = [max(1, n - 2 * p) + draw(st.integers(0, 3)) for n, p in zip(spans, pads, strict=True)]
    batch = draw(st.sampled_from([None, 1, 2, 3]))
    inner, outer = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    x = (*([] if batch is None else [batch]), groups * inner, *sizes)
    weight = (groups * inner, outer, *kernel) if transposed else (groups * outer, inner, *kernel)
    bias = numbers(groups * outer, seed=3) if draw(st.booleans()) else None
    return rank, [numbers(*x), numbers(*weight), bias], settings


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch says that it copies
@given(layer=layers(), limit=st.sampled_from([1, 40, 2**20]))
def test_any_convolution_is_torchs(layer, limit):
    """However few columns may exist at a time."""
    torch = pytest.importorskip("torch.nn.functional")
    rank, arrays, settings = layer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "COLUMNS", limit)
        compare(CONV[rank - 1], [torch.conv1d, torch.conv2d, torch.conv3d][rank - 1], arrays, **settings)


@given(layer=layers(transposed=True), limit=st.sampled_from([1, 40, 2**20]))
def test_any_transposed_convolution_is_torchs(layer, limit):
    torch = pytest.importorskip("torch.nn.functional")
    rank, arrays, settings = layer
    theirs = [torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d][rank - 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "COLUMNS", limit)
        compare(TRANSPOSED[rank - 1], theirs, arrays, **settings)


def test_the_definition_in_six_loops():
    x, weight, bias = numbers(2, 4, 6, 5), numbers(6, 2, 3, 2), numbers(6)
    (sh, sw), (ph, pw), (dh, dw), groups = (2, 1), (1, 2), (1, 2), 2
    y = tg.conv2d(x, weight, bias, (sh, sw), (ph, pw), (dh, dw), groups)
    expected = np.zeros((2, 6, 3, 7)) + bias[:, None, None]
    for n, o, i, j in np.ndindex(expected.shape):
        for c, k, m in np.ndindex(weight.shape[1:]):
            row, column = i * sh - ph + k * dh, j * sw - pw + m * dw
            if 0 <= row < 6 and 0 <= column < 5:
                expected[n, o, i, j] += weight[o, c, k, m] * x[n, o // 3 * 2 + c, row, column]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_transposed_convolutions_are_the_adjoints():
    x, u, weight = numbers(2, 3, 7, 6), numbers(2, 4, 3, 3, seed=1), numbers(4, 3, 3, 2)
    y = tg.conv2d(x, weight, stride=(2, 3), padding=(0, 1))
    back = tg.conv_transpose2d(u, weight, stride=(2, 3), padding=(0, 1), output_padding=(0, 0))
    assert y.shape == u.shape and back.shape == (2, 3, 7, 6)
    np.testing.assert_allclose((y * u).sum(), (x * back).sum())


def test_what_no_output_reads_has_gradient_zero():
    x = Tensor(numbers(1, 2, 8, 9), requires_grad=True)
    tg.conv2d(x, numbers(3, 2, 2, 2), stride=3).sum().backward()
    rows, columns = [0, 1, 3, 4, 6, 7], [0, 1, 3, 4, 6, 7]  # 2 and 5 lie between, column 8 is left over
    read = np.zeros((8, 9), bool)
    read[np.ix_(rows, columns)] = True
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(x.grad.data != 0, np.broadcast_to(read, x.shape))


@pytest.mark.parametrize("call", [tg.conv2d, tg.conv_transpose2d])
@pytest.mark.parametrize("shape", [(0, 2, 4, 5), (3, 2, 4, 5)])
def test_an_empty_batch_and_float32(call, shape):
    x = Tensor(np.zeros(shape, np.float32), requires_grad=True)
    weight = Tensor(np.ones((2, 2, 3, 3), np.float32), requires_grad=True)
    bias = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = call(x, weight, bias, stride=2, padding=1)
    assert y.dtype == np.float32 and y.shape[:2] == (shape[0], 2)
    y.sum().backward()
    for leaf in (x, weight, bias):
        assert leaf.grad.dtype == np.float32 and leaf.grad.shape == leaf.shape
    assert bias.grad.data.tolist() == [y.size / 2] * 2


def test_the_columns_of_the_whole_input_never_exist():
    """All of them would be 9 times the input; a few blocks, the result and the gradients are what may be there."""
    x = Tensor(numbers(16, 8, 96, 96).astype(np.float32), requires_grad=True)
    weight = Tensor(numbers(8, 8, 3, 3).astype(np.float32), requires_grad=True)
    tracemalloc.start()
    y = tg.conv2d(x, weight, padding=1)
    forward = tracemalloc.get_traced_memory()[1]
    y.backward(y.data)
    backward = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block = 4 * convolution.COLUMNS
    assert forward < y.data.nbytes + 2 * block
    assert backward < 3 * y.data.nbytes + 3 * block < 9 * x.data.nbytes


def test_the_columns_of_one_large_sample_come_in_parts():
    x, weight = numbers(1, 4, 4_000_000 // 4).astype(np.float32), numbers(4, 4, 9).astype(np.float32)
    tracemalloc.start()
    y = tg.conv1d(x, weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < y.nbytes + 3 * 4 * convolution.COLUMNS < 9 * x.nbytes


def test_convolutions_in_a_row_read_each_others_results_as_they_lie():
    """Results are kept channels first: the products that follow need no copy, and any layout is right."""
    y = tg.conv2d(numbers(3, 2, 6, 6), numbers(4, 2, 3, 3))
    assert y.swapaxes(0, 1).flags.c_contiguous
    np.testing.assert_allclose(
        tg.conv2d(y, numbers(2, 4, 2, 2)), tg.conv2d(np.ascontiguousarray(y), numbers(2, 4, 2, 2)), rtol=1e-13
    )


def test_all_orders_and_mixed_dtypes():
    x, weight = numbers(2, 2, 5), numbers(2, 2, 3)

    def cubed(x, weight):
        return (tg.conv1d(x, weight, padding="same", stride=1) ** 3).sum()

    third = tg.grad(lambda x: tg.grad(lambda x: (tg.grad(cubed)(x, weight) * x).sum())(x).sum())(x)
    numeric = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        move = np.zeros(x.shape)
        move[at] = 1e-4
        ends = [tg.grad(lambda x: (tg.grad(cubed)(x, weight) * x).sum())(z).sum() for z in (x + move, x - move)]
        numeric[at] = (ends[0] - ends[1]) / 2e-4
    np.testing.assert_allclose(third, numeric, rtol=1e-6, atol=1e-6)
    assert tg.conv1d(x.astype(np.float32), weight).dtype == np.float64
    assert tg.conv1d(x.astype(np.float32), np.ones((2, 2, 3), int)).dtype == np.float32


X, W = np.ones((2, 4, 6, 5)), np.ones((6, 4, 3, 3))
BAD = [
    (lambda: tg.conv2d(X, W[:, :3]), r"a weight \(6, 3, 3, 3\) with groups=1 needs 3 channels on axis 1 of x, got 4"),
    (lambda: tg.conv2d(X, W, groups=2), "with groups=2 needs 8 channels on axis 1 of x, got 4"),
    (lambda: tg.conv2d(X, W[:5, :2], groups=2), "groups must divide axis 0 of the weight, which is 5, got 2"),
    (lambda: tg.conv2d(X, W, groups=0), "conv2d: groups must be a whole number of at least 1, got 0"),
    (lambda: tg.conv2d(X, W[0]), r"conv2d: weight must have two axes of channels and 2 of the kernel.*got \(4, 3, 3\)"),
    (lambda: tg.conv2d(X, W[:, :, :0]), "conv2d: weight must have .* none of size 0, got"),
    (lambda: tg.conv1d(X, W), r"conv1d: x must have shape \(N, C, L\) or \(C, L\), got \(2, 4, 6, 5\)"),
    (lambda: tg.conv3d(X[0, 0], W), r"conv3d: x must have shape \(N, C, D, H, W\) or \(C, D, H, W\), got \(6, 5\)"),
    (lambda: tg.conv2d(X, W, np.ones(4)), r"conv2d: bias must have shape \(6,\), got \(4,\)"),
    (
        lambda: tg.conv2d(X, W, dilation=3),
        r"the kernel reaches over 7 elements \(size 3, dilation 3\), but the input has 6",
    ),
    (lambda: tg.conv2d(X, W, padding=-1), "conv2d: padding must be a whole number of at least 0 or 2 of them, got -1"),
    (lambda: tg.conv2d(X, W, padding="full"), "conv2d: padding must be 'same', 'valid' or whole numbers, got 'full'"),
    (lambda: tg.conv2d(X, W, stride=1.5), "conv2d: stride must be a whole number of at least 1 or 2 of them, got 1.5"),
    (lambda: tg.conv2d(X, W, stride=0), "conv2d: stride must be a whole number of at least 1 or 2 of them, got 0"),
    (lambda: tg.conv2d(X, W, dilation=(1, 2, 3)), r"conv2d: dilation must be .* got \(1, 2, 3\)"),
    (lambda: tg.conv2d(X, W, stride=2, padding="same"), r"conv2d: padding='same' needs stride 1, got \(2, 2\)"),
    (
        lambda: tg.conv_transpose2d(X, W),
        r"a weight \(6, 4, 3, 3\) with groups=1 needs 6 channels on axis 1 of x, got 4",
    ),
    (
        lambda: tg.conv_transpose2d(X, W[:4], output_padding=1),
        "conv_transpose2d: output_padding must be smaller than the stride, which is 1, got 1",
    ),
    (
        lambda: tg.conv_transpose2d(X[0, 0], W[:4]),
        r"conv_transpose2d: x must have shape \(N, C, H, W\) or \(C, H, W\), got \(6, 5\)",
    ),
    (lambda: tg.conv_transpose2d(X, W[:4], padding=5), r"conv_transpose2d: padding \(5, 5\) leaves nothing"),
    (lambda: tg.conv_transpose2d(X, W[:4], np.ones(2)), r"conv_transpose2d: bias must have shape \(4,\), got \(2,\)"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_does_not_fit_is_said_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "rows", "width", "shapes"),
    [
        (1, 5, 1, [(1, 5)]),
        (2, 3, 0, [(2, 3)]),
        (3, 2, COLUMNS // 4, [(2, 2), (1, 2)]),
        (2, 3, COLUMNS // 2, [(1, 2), (1, 1)] * 2),
        (1, 2, 3 * COLUMNS, [(1, 1), (1, 1)]),  # not even one row fits
        (1, COLUMNS, 1, [(1, COLUMNS)]),
        (1, COLUMNS + 1, 1, [(1, COLUMNS), (1, 1)]),
    ],
)
def test_the_pieces_of_an_output(samples, rows, width, shapes):
    pieces = list(parts(samples, rows, width))
    assert [(n.stop - n.start, r.stop - r.start) for n, r in pieces] == shapes
    seen = np.zeros((samples, rows), int)
    for n, r in pieces:
        seen[n, r] += 1
    assert (seen == 1).all()


def test_an_error_shows_what_is_not_as_usual():
    with pytest.raises(ValueError, match=r"^conv\(x: .*, weight: .*, geometry=\(\)\): a weight"):
        tg.conv2d(X, W[:, :3])
    with pytest.raises(ValueError, match=r"geometry=\(stride=\(1, 2\), groups=2\)\): a weight"):
        tg.conv2d(X, W, stride=(1, 2), groups=2)
