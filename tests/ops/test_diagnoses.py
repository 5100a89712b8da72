"""Why an operation does not take what it was given: shapes in, a reason out, or None where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_lm.ops import class_loss, indexing, joining, linalg, normalization, products, reduction, shape
from tinygrad_lm.ops import softmax_attention as fused

ALL = np.s_[:]
OUT_OF_BOUNDS = "axis {} is out of bounds for array of dimension {}; its axes are {}"
TWO = "0 to 1, or -2 to -1 counted from the end"
REASONS = {
    class_loss.why_not_classes: [
        (((), (3,)), {}, "there must be a last axis of at least one class, got shape ()"),
        (((2, 0), (2,)), {}, "there must be a last axis of at least one class, got shape (2, 0)"),
        (((2, 3), (2,), (2,)), {}, "weight has one number for each of the 3 classes, got (2,)"),
        (((2, 3), (3,), (3,)), {}, "(..., classes) (2, 3) needs targets of shape (2,), got (3,)"),
        (((2, 3), (2,), (3,)), {"margin": 1.0}, None),
        (((2, 3), (2,)), {}, None),
    ],
    indexing.why_not_assigned: [
        (((2, 3), (2,)), {"index": 0}, "x[index] has shape (3,), to which a value of shape (2,) does not broadcast"),
        (((2, 3), (2,)), {"index": 2}, None),
    ],
    indexing.why_not_scattered: [
        (((3,), (2,), (3,)), {"axis": 0}, "a source of shape (3,) does not broadcast to indices of shape (2,)"),
        (((3,), (2, 1), (2,)), {"axis": 0}, "a source of shape (2,) does not broadcast to indices of shape (2, 1)"),
        (((3,), (2, 2), (2,)), {"axis": 0}, None),
    ],
    joining.why_not_joined: [
        ((), {"axis": 0}, "there is nothing to join, give a list of at least one array"),
        (((2,), ()), {"axis": 0}, "numbers do not join one after the other: use stack"),
        (((2, 3), (2, 3)), {"axis": 2}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        (
            ((2, 3), (2, 4)),
            {"axis": 0},
            "shapes (2, 3) and (2, 4) do not join: all sizes but that of axis 0 must be equal",
        ),
        (
            ((2, 3), (1, 3)),
            {"axis": -1},
            "shapes (2, 3) and (1, 3) do not join: all sizes but that of axis 1 must be equal",
        ),
        (((2, 3), (2,)), {"axis": 1}, "shapes (2, 3) and (2,) do not join: all sizes but that of axis 1 must be equal"),
        (((2, 3), (2, 4)), {"axis": -1}, None),
        (((2, 3, 4), (1, 3, 4), (0, 3, 4)), {"axis": -3}, None),
        (((2, 3), (2, 3)), {"axis": 1}, None),
    ],
    joining.why_not_stacked: [
        ((), {"axis": 0}, "there is nothing to stack, give a list of at least one array"),
        (((2,), (3,)), {"axis": 0}, "shapes (2,) and (3,) do not stack: all must be equal"),
        (((2,), (2,)), {"axis": 2}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        (((2,),), {"axis": -3}, OUT_OF_BOUNDS.format(-3, 2, TWO)),
        (((2,), (2,)), {"axis": -2}, None),
        (((2,), (2,)), {"axis": 1}, None),
    ],
    joining.why_not_split: [
        (((2, 3),), {"sections": 3, "axis": 2}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        (
            ((2, 3),),
            {"sections": [2, 1], "axis": 1},
            "the places to cut before must be whole numbers in rising order, got [2, 1]",
        ),
        (
            ((2, 3),),
            {"sections": 2, "axis": 1},
            "sections=2 does not cut axis 1 of size 3 into equal pieces: list the places to cut before, or use chunk",
        ),
    ],
    normalization.why_not_norm: [
        (((),), {}, "x needs a last axis of at least one element, got shape ()"),
        (((2, 0),), {"eps": 1.0}, "x needs a last axis of at least one element, got shape (2, 0)"),
        (((2, 3), (2,)), {}, "weight and bias must have shape (3,), got (2,) and None"),
        (((2, 3), (3,), (4,)), {}, "weight and bias must have shape (3,), got (3,) and (4,)"),
        (((2, 0, 4), (3,)), {}, "weight and bias must have shape (4,), got (3,) and None"),
    ],
    products.why_not_matmul: [
        (((), (2,)), {}, "a product of matrices needs at least one axis on both sides; use * for numbers"),
        (((2,), ()), {}, "a product of matrices needs at least one axis on both sides; use * for numbers"),
        (((2, 3), (4,)), {}, "the last axis of a is 3, but axis 0 of b is 4"),
        (((3,), (4, 5)), {}, "the last axis of a is 3, but axis -2 of b is 4"),
        (((2, 3), (4, 3)), {}, "the last axis of a is 3, but axis -2 of b is 4; b.mT would fit"),
        (((5,), (4,)), {}, "the last axis of a is 5, but axis 0 of b is 4"),
        (((2, 3), (5, 4, 3)), {}, "the last axis of a is 3, but axis -2 of b is 4; b.mT would fit"),
        (((2, 1, 3), (4, 3, 1)), {}, "the leading axes (2,) and (4,) do not broadcast"),
    ],
    products.why_not_linear: [
        (((), (2, 3)), {}, "x () needs a weight of shape (out, in), got (2, 3)"),
        (((4,), (2, 3)), {}, "x (4,) needs a weight of shape (out, 4), got (2, 3)"),
        (((3,), (3,)), {}, "x (3,) needs a weight of shape (out, 3), got (3,)"),
        (((3,), (1, 3, 3)), {}, "x (3,) needs a weight of shape (out, 3), got (1, 3, 3)"),
        (((3,), (2, 3), (3,)), {}, "bias (3,) must be (2,)"),
    ],
    products.why_not_tensordot: [
        (((2, 3), (3,)), {"axes": 2}, "axes=2 asks for more axes than a (2, 3) and b (3,) have"),
        (((2,), (3,)), {"axes": 0}, "the last 0 axes of a are (), the first 0 of b are ()"),
        (((2, 3), (3,)), {"axes": -1}, "axes=-1 asks for more axes than a (2, 3) and b (3,) have"),
        (((2, 3), (2, 3)), {"axes": 1}, "the last 1 axes of a are (3,), the first 1 of b are (2,)"),
        (((2, 3, 4), (3, 4)), {}, "the last 2 axes of a are (3, 4), the first 2 of b are (3, 4)"),
        (((2,), (2,)), {"axes": ((0,), (0, 1))}, "axes must be a number, or a pair of as many axes of a as of b, got "),
        (((2,), (2,)), {"axes": (0, 0, 0)}, "axes must be a number, or a pair of as many axes of a as of b, got "),
        (((2,), (2, 2)), {"axes": (1, 1)}, "axes (1, 1) do not exist in a (2,) and b (2, 2)"),
        (((2,), (2, 2)), {"axes": (0, -3)}, "axes (0, -3) do not exist in a (2,) and b (2, 2)"),
        (((2, 2), (2, 2)), {"axes": ((0, -2), (0, 1))}, "an axis is named twice in ((0, -2), (0, 1))"),
        (((2, 2), (2, 2)), {"axes": ((0, 1), (1, 1))}, "an axis is named twice in ((0, 1), (1, 1))"),
        (((2, 3), (4, 5)), {"axes": (0, -1)}, "the axes that are summed are (2,) in a and (5,) in b"),
        (((2, 3), (4, 5)), {"axes": (-2, 1)}, "the axes that are summed are (2,) in a and (5,) in b"),
        (((2, 3), (3, 5)), {"axes": ((0, 1), (1, 0))}, "the axes that are summed are (2, 3) in a and (5, 3) in b"),
    ],
    products.why_not_dot: [
        (((2, 3), (4,)), {}, "the last axis of a is 3, but axis 0 of b is 4"),
        (((3,), (4, 5)), {}, "the last axis of a is 3, but axis -2 of b is 4"),
        (((), (2,)), {}, None),
        (((2,), ()), {}, None),
    ],
    products.why_not_inner: [
        (((2, 3), (4,)), {}, "the last axis of a is 3, that of b is 4"),
        (((3,), (3, 5)), {}, "the last axis of a is 3, that of b is 5"),
        (((), (2,)), {}, None),
        (((2,), ()), {}, None),
    ],
    products.why_not_vecdot: [
        (((2,), (2, 2)), {"axis": 1}, "axis 1 does not exist in a (2,) and b (2, 2)"),
        (((2, 2), (2,)), {"axis": -2}, "axis -2 does not exist in a (2, 2) and b (2,)"),
        (((2, 3), (2, 4)), {}, "axis -1 of a is 3, that of b is 4"),
        (((2, 3), (3, 3)), {"axis": 0}, "axis 0 of a is 2, that of b is 3"),
        (((2, 3), (4, 3)), {}, "the other axes (2,) of a and (4,) of b do not broadcast"),
        (((5, 2, 3), (4, 2, 3)), {"axis": 1}, "the other axes (5, 3) of a and (4, 3) of b do not broadcast"),
        (((5, 2, 3), (4, 2, 3)), {"axis": -2}, "the other axes (5, 3) of a and (4, 3) of b do not broadcast"),
    ],
    products.why_not_trace: [
        (((3,),), {}, "axes 0 and 1 do not exist in x (3,): a trace is taken over two axes"),
        (((3, 3),), {"axis1": 2}, "axes 2 and 1 do not exist in x (3, 3): a trace is taken over two axes"),
        (((3, 3),), {"axis2": -3}, "axes 0 and -3 do not exist in x (3, 3): a trace is taken over two axes"),
        (((3, 3),), {"axis2": 0}, "axis1 and axis2 must be two axes, got 0 and 0"),
        (((3, 3),), {"axis1": -2, "axis2": 0, "offset": 1}, "axis1 and axis2 must be two axes, got -2 and 0"),
    ],
    reduction.why_not_reduced: [
        (((2, 3),), {"axis": 2}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        (
            ((2, 0),),
            {"axis": -1, "keepdims": True},
            "shape (2, 0) has no elements along axis -1, and this reduction has no value for none: give it at least "
            "one",
        ),
        (((2, 0),), {}, "shape (2, 0) has no elements, and this reduction has no value for none: give it at least one"),
        (((2, 0),), {"axis": 0}, None),
        (((),), {}, None),
    ],
    shape.why_no_axis: [
        ((2, 2), {}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        ((2, -3), {}, OUT_OF_BOUNDS.format(-3, 2, TWO)),
        ((0, 0), {}, OUT_OF_BOUNDS.format(0, 0, "none, this is one number")),
        ((1, (0, 1)), {}, OUT_OF_BOUNDS.format(1, 1, "0 to 0, or -1 to -1 counted from the end")),
        ((2, 1.0), {}, "an axis is a whole number, got 1.0"),
        ((2, (0, "x")), {}, "an axis is a whole number, got 'x'"),
        ((2, (0, -2)), {}, "axis (0, -2) names an axis twice; name each once"),
        ((2, None), {}, None),
        ((2, (0, -1)), {}, None),
        ((2, np.int64(1)), {}, None),
    ],
    shape.why_not_along: [
        (((2, 3),), {"axis": 2}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        (((2, 3),), {"axis": 1, "flag": True}, None),
        (((2, 3),), {}, None),
    ],
    shape.why_not_reshaped: [
        (((2, 3),), {"shape": (-1, -1)}, "only one size may be -1, got (-1, -1)"),
        (((2, 3),), {"shape": (4, -1)}, "the 6 elements of shape (2, 3) do not fill shape (4, -1)"),
        (((2, 3),), {"shape": 5}, "the 6 elements of shape (2, 3) do not fill shape (5,)"),
    ],
    shape.why_not_permuted: [(((2, 3),), {"axes": (0, 0)}, "axes (0, 0) must name each of the 2 axes of x once")],
    shape.why_not_broadcast: [
        (
            ((2, 3),),
            {"shape": (2,)},
            "shape (2, 3) does not broadcast to (2,): compared from the right, each size must be equal or 1",
        ),
    ],
    shape.why_not_rolled: [
        (((2, 3),), {"shift": 1, "axis": 2}, OUT_OF_BOUNDS.format(2, 2, TWO)),
        (
            ((2, 3),),
            {"shift": (1, 2), "axis": (0,)},
            "shift (1, 2) and axis (0,) must be whole numbers, or tuples of one length",
        ),
        (((2, 3),), {"shift": 1.5}, "shift 1.5 and axis None must be whole numbers, or tuples of one length"),
    ],
    fused.why_not_attention: [
        (((3,), (2, 3), (2, 3)), {}, "q, k and v need at least the axes (length, head size)"),
        (((2, 3), (3,), (2, 3)), {}, "q, k and v need at least the axes (length, head size)"),
        (((2, 3), (2, 3), (3,)), {}, "q, k and v need at least the axes (length, head size)"),
        (((2, 3), (2, 4), (2, 3)), {}, "q and k must have one head size, got 3 and 4"),
        (((2, 3), (4, 3), (4, 5), (2, 2)), {}, "the mask (2, 2) must broadcast to (..., 2, 4)"),
        (((2, 3), (4, 3), (4, 5), (3, 4)), {}, "the mask (3, 4) must broadcast to (..., 2, 4)"),
        (((2, 3), (4, 3), (5, 5), (2, 4)), {}, "k and v must have one length, got 4 and 5"),
        (((2, 3), (4, 3), (5, 5), (1, 4)), {}, "k and v must have one length, got 4 and 5"),
        (((2, 3), (4, 3), (5, 5)), {"causal": True}, "k and v must have one length, got 4 and 5"),
        (
            ((3, 2, 4), (2, 2, 4), (2, 2, 4)),
            {},
            "the leading axes of q (3, 2, 4), k (2, 2, 4), v (2, 2, 4), and the mask None over (..., 2, 2), do not "
            "broadcast, nor has q a multiple of the heads of k and v",
        ),
    ],
}
CASES = [(why, *case) for why, cases in REASONS.items() for case in cases]


@pytest.mark.parametrize(("why", "shapes", "params", "reason"), CASES, ids=lambda p: getattr(p, "__name__", None))
def test_the_reason(why, shapes, params, reason):
    said = why(*shapes, **params)
    if reason is not None and reason.endswith("got "):
        said, reason = said[: len(reason)], reason
    assert said == reason


def test_every_diagnosis_is_tried():
    """A new `why_not_...` needs cases here."""
    files = (class_loss, indexing, joining, normalization, products, reduction, shape, fused)
    written = {f for file in files for name, f in vars(file).items() if name.startswith("why_no")}
    assert written == set(REASONS)


# ------------------------------------------------------------------------------------------------ of matrices


def test_which_matrix_is_singular():
    singular = np.stack([np.eye(2), np.ones((2, 2))])
    assert "the matrix at (1,) is singular" in linalg.singular(np, singular)
    assert "the matrix is singular" in linalg.singular(np, np.ones((2, 2)))


def test_what_is_nothing_beside_something_else():
    """p vanishes beside 1 if p / 8n is lost when it is added: up to half of the spacing of numbers above 1."""
    eps = np.finfo(float).eps
    ones = np.ones((2, 1))
    for n in (1, 4):
        at_most = np.array([4.0 * n * eps])
        parts = np.concatenate([at_most, at_most * 1.05])[:, None] * np.ones(n)
        np.testing.assert_array_equal(linalg.vanishes(parts, ones)[:, 0], [True, False])
    assert linalg.vanishes(np.zeros((3, 0)), np.ones((3, 1))).shape == (3, 0)


def test_the_largest_of_each_row():
    rows = np.array([[1.0, -3.0], [0.25, 0.5]], np.float32)
    largest = linalg.largest(rows)
    np.testing.assert_array_equal(largest, [[3.0], [0.5]])
    assert largest.dtype == np.float32
    np.testing.assert_array_equal(linalg.largest(np.zeros((2, 0))), np.zeros((2, 1)))


def test_the_cost_of_a_cubic_algorithm():
    assert linalg.cubic(2)(np.ones((2, 5, 3, 3)), 7, keyword=1) == 2 * 10 * 27
