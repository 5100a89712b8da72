"""Strategies: what they draw is what they promise, reaches the corners, and shrinks to something simple."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, find, given, settings
from hypothesis import strategies as st

from tinygrad_lm import Tensor
from tinygrad_lm.testing import strategies as some
from tinygrad_lm.testing.layouts import LAYOUTS

EVERY_LAYOUT = pytest.mark.parametrize("name", LAYOUTS)


def reaches(strategy, condition):
    """That the strategy draws something of this kind, and the simplest such thing."""
    return find(strategy, condition, settings=settings(max_examples=1000))


# ------------------------------------------------------------------------------------------------ layouts


@EVERY_LAYOUT
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (2, 3), (0, 2), (2, 3, 4), (1, 1, 2)])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, bool])
def test_a_layout_keeps_shape_dtype_and_values(name, shape, dtype):
    a = np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    b = LAYOUTS[name](a)
    assert (b.shape, b.dtype) == (a.shape, a.dtype) and not np.shares_memory(a, b)
    np.testing.assert_array_equal(b, a if name != "broadcast" or not a.size else np.full_like(a, a.flat[0]))
    assert b.flags.writeable == (name != "broadcast" or not a.size)


def test_layouts_are_what_they_are_called():
    a = np.arange(24.0).reshape(2, 3, 4)
    strides = {name: LAYOUTS[name](a).strides for name in LAYOUTS}
    assert strides == {
        "contiguous": (96, 32, 8), "transposed": (8, 16, 48), "permuted": (8, 64, 16), "strided": (768, 128, 16),
        "reversed": (-96, -32, -8), "offset": (96, 32, 8), "broadcast": (0, 0, 0),
    }  # fmt: skip
    for dtype in (np.float64, np.float16, np.int8):
        view = LAYOUTS["offset"](a.astype(dtype))
        assert view.base is not None and view.ctypes.data % 64 == view.itemsize


# ------------------------------------------------------------------------------------------------ arrays


@given(st.data(), st.sampled_from(sorted(some.VALUES)), some.dtypes(), some.layouts(broadcast=False))
def test_arrays_are_what_was_asked_for(data, values, dtype, layout):
    shape = data.draw(some.shapes())
    a = data.draw(some.arrays(shape, dtype, values=values, layout=layout))
    assert (a.shape, a.dtype) == (shape, dtype) and max(shape, default=0) <= 5
    wide = np.abs(a.astype(float))
    if values == "special":
        assert not np.isfinite(wide).all() or not a.size
    elif values == "outliers":
        assert (wide >= 999).any() or not a.size
    else:
        assert wide.max(initial=0) <= 6.5 if values != "kink_avoiding" else np.isfinite(wide).all()
    if values == "positive":
        assert (a > 0).all()
    if values == "kink_avoiding":
        apart = np.diff(np.sort(a.astype(float).ravel()))
        tenths = np.abs(wide * 10 - np.round(wide * 10)) / 10
        coarse = {8: 1e-9, 4: 1e-6}.get(dtype.itemsize, 0.05)  # half a unit in the last place of the largest
        assert apart.min(initial=1) > 0.06 - coarse and tenths.min(initial=1) > 0.03 - coarse


@pytest.mark.parametrize("values", some.VALUES)
def test_arrays_shrink_to_something_simple(values):
    a = reaches(some.arrays(values=values), lambda a: a.size >= 2)
    simple = {"normal": [0, 0], "positive": [1, 1], "kink_avoiding": [-0.05, 0.05], "kink_seeking": [0, 0]}
    if values in simple:
        np.testing.assert_allclose(a.ravel(), simple[values], atol=1e-12)
    else:
        assert a.size == 2 and (a == 0).sum() == 1


def test_arrays_reach_the_corners():
    seeking = some.arrays(values="kink_seeking")
    assert reaches(some.arrays(), lambda a: a.shape == ()).shape == ()
    assert reaches(some.arrays(), lambda a: a.size == 0).shape == (0,)
    assert reaches(seeking, lambda a: np.signbit(a[a == 0]).any()).size == 1
    assert reaches(seeking, lambda a: a.size > 1 and len(set(a.flat)) < a.size).size == 2
    assert np.isnan(reaches(some.arrays(values="special"), lambda a: np.isnan(a).any())).sum() == 1
    backwards = some.arrays(layout=some.layouts())
    assert reaches(backwards, lambda a: a.ndim == 2 and min(a.strides) < 0).shape == (1, 1)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="values must be one of normal, positive, .*, got 'gaussian'"):
        find(some.arrays(values="gaussian"), lambda a: True)


@given(some.tensors(dtype=some.dtypes(), layout=some.layouts()), some.tensors(requires_grad=False))
def test_tensors(x, y):
    assert type(x) is Tensor and x.requires_grad and not y.requires_grad


@given(st.data(), some.tensors(dtype=some.dtypes()), some.shapes())
def test_cotangents_are_all_different(data, x, shape):
    u, v, [w] = data.draw(st.tuples(some.cotangents(x), some.cotangents(shape), some.cotangents([x], np.float64)))
    assert (u.shape, u.dtype, v.shape, w.shape, w.dtype) == (x.shape, x.dtype, shape, x.shape, np.float64)
    for a in (v, w):
        assert len(set(a.flat)) == a.size and (np.abs(a) >= 0.3).all()
        assert a.size < 2 or a.min() < 0 < a.max()


@given(some.broadcastable(3, values="positive"))
def test_broadcastable_arrays_broadcast(group):
    assert len(group) == 3 and np.broadcast_shapes(*[a.shape for a in group]) is not None


# ------------------------------------------------------------------------------------------------ matrices


@given(st.data(), st.sampled_from(["general", "symmetric", "positive_definite"]), st.integers(0, 12))
def test_matrices_have_the_condition_that_was_asked_for(data, kind, digits):
    a = data.draw(some.matrices(kind=kind, condition=10.0**digits))
    s = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(s[0], 1, rtol=1e-12)
    assert len(s) == 1 or abs(s[-1] * 10.0**digits - 1) <= 1e-14 * 10.0**digits
    if kind != "general":
        np.testing.assert_array_equal(a, a.T)
    if kind == "positive_definite" and digits < 12:
        assert (np.linalg.eigvalsh(a) > 0).all()


def test_matrices_of_any_shape_layout_and_dtype():
    @given(some.matrices((2, 4), dtype=np.float32, layout="transposed"))
    def check(a):
        assert a.shape == (2, 4) and a.dtype == np.float32 and a.flags.f_contiguous

    check()
    np.testing.assert_array_equal(
        reaches(some.matrices(condition=100.0), lambda a: a.shape == (2, 2)), np.diag([1, 0.01])
    )
    assert reaches(some.matrices(kind="symmetric"), lambda a: np.linalg.eigvalsh(a)[0] < 0).size == 1
    with pytest.raises(ValueError, match=r"a symmetric matrix is square, got shape \(2, 3\)"):
        find(some.matrices((2, 3), kind="symmetric"), lambda a: True)
    with pytest.raises(ValueError, match="kind must be general, symmetric or positive_definite, got 'spd'"):
        find(some.matrices(kind="spd"), lambda a: True)


# ------------------------------------------------------------------------------------------------ indices and axes


@given(st.data(), some.shapes())
def test_indices_and_axes_are_valid(data, shape):
    a = np.zeros(shape)
    a[data.draw(some.indices(shape))] = 1.0
    a.sum(axis=data.draw(some.axes(a.ndim)))
    assume(shape)
    assert -a.ndim <= data.draw(some.axes(a.ndim, none=False, several=False)) < a.ndim


def test_indices_reach_every_kind():
    indices = some.indices((3, 2))

    def holds(kind):
        return lambda index: any(isinstance(i, kind) for i in (index if isinstance(index, tuple) else (index,)))

    for kind in (int, slice, type(None), type(...), list):
        reaches(indices, holds(kind))
    for letter in "bi":
        reaches(
            indices,
            lambda index, letter=letter: any(
                getattr(getattr(i, "dtype", None), "kind", "") == letter
                for i in (index if isinstance(index, tuple) else (index,))
            ),
        )


def test_shapes_layouts_and_operations_that_do_not_exist():
    with pytest.raises(ValueError, match="layout must be one of contiguous, .*, got 'diagonal'"):
        find(some.arrays((2,), layout="diagonal"), lambda x: True)
    with pytest.raises(TypeError, match="shape must be a tuple of sizes or a strategy for one, got 3"):
        find(some.arrays(3), lambda x: True)
    for ops, got in ((["exp", "argmax", "nonsense"], "argmax, nonsense"), ([], "none at all")):
        with pytest.raises(ValueError, match=f"operations that have samples, got {got}; see tg.OPS"):
            find(some.programs(ops=ops), lambda p: True)


def test_a_condition_below_1_does_not_exist():
    with pytest.raises(ValueError, match="condition must be at least 1, got -1"):
        find(some.matrices((2, 2), condition=-1), lambda a: True)
