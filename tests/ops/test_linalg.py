"""Products and factorisations where samples do not go: degenerate matrices, gauge, random subscripts, bad input."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_lm as tg
from tinygrad_lm import linalg
from tinygrad_lm.testing import gradcheck, gradgradcheck


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def matrix(values, seed=0, n=None):
    """A matrix with these singular values; n: its number of columns."""
    rows = len(values)
    columns = n or rows
    u = np.linalg.qr(numbers(rows, rows, seed=seed))[0]
    v = np.linalg.qr(numbers(columns, columns, seed=seed + 1))[0][:, :rows]
    return (u * values) @ v.T


def symmetric(values, seed=0):
    """A symmetric matrix with these eigenvalues."""
    v = np.linalg.qr(numbers(len(values), len(values), seed=seed))[0]
    return (v * values) @ v.T


# ------------------------------------------------------------------------------------------------ Einstein's sum


@st.composite
def einsums(draw):
    """(subscripts, operands): diagonals, '...' that broadcasts, results that are given or left out."""
    sizes = dict(zip("ijkl", draw(st.lists(st.integers(1, 3), min_size=4, max_size=4)), strict=True))
    dots = draw(st.lists(st.integers(1, 3), max_size=2))
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.text("ijkl", max_size=3))
        own = [n if draw(st.booleans()) else 1 for n in dots[draw(st.integers(0, len(dots))) :]]
        at = draw(st.integers(0, len(letters)))
        dotted = draw(st.booleans())
        terms.append(letters[:at] + "..." + letters[at:] if dotted else letters)
        middle = own if dotted else []
        shapes.append([*[sizes[c] for c in letters[:at]], *middle, *[sizes[c] for c in letters[at:]]])
    text = ",".join(terms)
    if draw(st.booleans()):
        used = sorted({c for c in text if c.isalpha()})
        result = draw(st.permutations(used))[: draw(st.integers(0, len(used)))] if used else []
        if "..." in text:
            result.insert(draw(st.integers(0, len(result))), "...")
        text += "->" + "".join(result)
    return text, [numbers(*s, seed=i) for i, s in enumerate(shapes)]


@given(einsums())
def test_einsum_with_any_subscripts(call):
    text, operands = call
    expected = np.einsum(text, *operands)
    ours = tg.einsum(text, *operands)
    assert np.shape(ours) == np.shape(expected)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert gradcheck(lambda *xs: tg.einsum(text, *xs), operands)


@given(einsums())
def test_second_derivatives_of_einsum(call):
    text, operands = call
    assume(sum(x.size for x in operands) < 40)
    assert gradgradcheck(lambda *xs: tg.einsum(text, *xs), operands)


def test_einsum_says_what_is_wrong():
    x = np.ones((2, 3))
    for call, kind, words in (
        (lambda: tg.einsum("i,i->i", [1.0], np.ones(1)), TypeError, "operand 0 is a list"),
        (lambda: tg.einsum("i,->i", np.ones(1), 2.0), TypeError, "operand 1 is a float, expected an array or Tensor"),
        (lambda: tg.einsum(x, [0, 1]), TypeError, "takes the subscripts first, as text"),
        (lambda: tg.einsum("i1->i", x), ValueError, "'i1' must be letters"),
        (lambda: tg.einsum("......", x), ValueError, "'......' must be letters, and '...' at most once"),
        (lambda: tg.einsum("ij->ii", x), ValueError, "the result 'ii' must name each letter at most once"),
        (lambda: tg.einsum("ii", x), ValueError, "axis 'i' is 2 here and 3 there"),
        (lambda: tg.einsum("i", x), ValueError, "'i' names 1 axes of an array of shape (2, 3)"),
        (lambda: tg.einsum("ijk...", x), ValueError, "'ijk...' names 3 axes of an array of shape (2, 3)"),
        (lambda: tg.einsum("...,...", x, np.ones(2)), ValueError, "axes of '...', (2, 3) and (2,), do not broadcast"),
        (lambda: tg.einsum("...->k", x), ValueError, "the result names k, which no operand has"),
    ):
        with pytest.raises(kind, match=re.escape(words)) as caught:
            call()
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ products


@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.randoms(use_true_random=False))
def test_tensordot_over_any_axes(shared, of_a, of_b, random):
    names = list(range(shared + of_a + of_b))
    sizes = [random.randint(1, 3) for _ in names]
    a, b = names[: shared + of_a], names[:shared] + names[shared + of_a :]
    random.shuffle(a)
    random.shuffle(b)
    axes = ([a.index(i) - len(a) * random.randint(0, 1) for i in range(shared)], [b.index(i) for i in range(shared)])
    x, y = numbers(*[sizes[i] for i in a]), numbers(*[sizes[i] for i in b], seed=1)
    np.testing.assert_allclose(tg.tensordot(x, y, axes=axes), np.tensordot(x, y, axes), atol=1e-13)
    assert gradcheck(lambda x, y: tg.tensordot(x, y, axes=axes), [x, y])


SHAPES = [((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (2, 3, 4)), ((), (2,)), ((2, 1), ()), ((4, 2, 3), (3,))]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_products_are_numpys(a, b):
    x, y = numbers(*a), numbers(*b, seed=1)
    np.testing.assert_allclose(tg.dot(x, y), np.dot(x, y))
    np.testing.assert_allclose(tg.outer(x, y), np.outer(x, y))
    np.testing.assert_allclose(tg.kron(x, y), np.kron(x, y))
    if a and b:
        y = numbers(*b[:-2], a[-1]) if len(b) > 1 else y
        np.testing.assert_allclose(tg.inner(x, y), np.inner(x, y))
        np.testing.assert_allclose(tg.vecdot(x[None], y[..., None, :]), np.vecdot(x[None], y[..., None, :]))


def test_products_that_do_not_fit_say_why():
    a, b = np.ones((2, 3)), np.ones((4, 3))
    for call, words in (
        (lambda: tg.dot(a, b), "the last axis of a is 3, but axis -2 of b is 4"),
        (lambda: tg.inner(a, b.T), "the last axis of a is 3, that of b is 4"),
        (lambda: tg.vecdot(a, b), "the other axes (2,) of a and (4,) of b do not broadcast"),
        (lambda: tg.vecdot(a, np.ones((2, 1))), "axis -1 of a is 3, that of b is 1"),
        (lambda: tg.vecdot(a, b, axis=2), "axis 2 does not exist in a (2, 3) and b (4, 3)"),
        (lambda: tg.tensordot(a, b, axes=1), "the last 1 axes of a are (3,), the first 1 of b are (4,)"),
        (lambda: tg.tensordot(a, b, axes=3), "axes=3 asks for more axes than"),
        (lambda: tg.tensordot(a, b, axes=((0, 0), (0, 1))), "an axis is named twice"),
        (lambda: tg.tensordot(a, b, axes=((0, 1), (0,))), "as many axes of a as of b"),
        (lambda: tg.trace(np.ones(3)), "axes 0 and 1 do not exist in x (3,)"),
        (lambda: tg.trace(a, axis1=1, axis2=-1), "axis1 and axis2 must be two axes, got 1 and -1"),
    ):
        with pytest.raises((ValueError, IndexError), match=re.escape(words)) as caught:
            call()
        assert "\n" not in str(caught.value) and __file__ in str(caught.value)


# ------------------------------------------------------------------------------------------------ degenerate matrices

SQUARE = [linalg.inv, linalg.det, linalg.slogdet, linalg.cholesky, linalg.eigh, lambda x: linalg.solve(x, np.ones(3))]


@pytest.mark.parametrize("function", SQUARE)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 3, 2)])
def test_matrices_must_be_square(function, shape):
    with pytest.raises(ValueError, match=r"expected a square matrix or a batch of them \(..., n, n\), got"):
        function(np.ones(shape))


def test_singular_matrices_have_no_inverse_and_the_error_says_which():
    batch = np.stack([np.eye(2), np.ones((2, 2)), np.eye(2)])
    with pytest.raises(ValueError, match=r"inv\(x: float64 \(3, 2, 2\)\): the matrix at \(1,\) is singular"):
        linalg.inv(batch)
    with pytest.raises(ValueError, match="solve.*the matrix is singular"):
        linalg.solve(np.zeros((1, 1)), np.ones(1))
    with pytest.raises(ValueError, match="b must be a vector \\(2,\\) or matrices \\(..., 2, k\\), got \\(3,\\)"):
        linalg.solve(np.eye(2), np.ones(3))
    sign, logarithm = linalg.slogdet(np.ones((2, 2)))
    assert sign == 0 and logarithm == -np.inf
    with pytest.raises(ValueError, match="is singular"):
        tg.grad(lambda x: linalg.slogdet(x)[1])(np.ones((2, 2)))


@pytest.mark.parametrize("values", [(1, 2, 3), (1, 2, 0), (2, 0, 0), (0, 0, 0), (1, 1, 1), (0.5, 0.5, 0)])
def test_the_gradient_of_det_is_the_cofactors_at_any_rank(values):
    x = np.stack([matrix(values, seed=s) for s in range(3)])
    x[0, 0] *= -1  # determinants of both signs
    got = tg.vjp(linalg.det, x)[1](np.ones(3))[0]
    for g, a in zip(got, x, strict=True):
        for i, j in np.ndindex(3, 3):
            minor = np.delete(np.delete(a, i, 0), j, 1)
            assert abs(g[i, j] - (-1) ** (i + j) * np.linalg.det(minor)) < 1e-13
    assert gradcheck(lambda x: 1 + linalg.det(x), x)  # beside 1: det rounds at the size of its terms, not at its own


@pytest.mark.parametrize("values", [(1, 2, 3), (1, 2, 0), (2, 0, 0), (0, 0, 0), (1, 1, 1), (0.5, 0.5, 0)])
def test_second_derivatives_of_det_are_right_at_any_rank(values):
    """It is linear in each row, so that its second derivatives are differences of determinants, without error."""
    x, h = matrix(values), tg.hessian(linalg.det)(matrix(values))
    for i, j, k, m in np.ndindex(3, 3, 3, 3):
        minors = np.delete(np.delete(x, [i, k], 0), [j, m], 1)
        sign = (-1) ** (i + j + k + m) * (1 if (i < k) == (j < m) else -1)
        expected = sign * minors[0, 0] if i != k and j != m else 0
        assert abs(h[i, j, k, m] - expected) < 1e-13


def test_third_derivatives_of_det_are_for_regular_matrices():
    def third(x):
        return tg.grad(lambda x: (tg.hessian(linalg.det)(x) ** 2).sum())(x)

    assert np.isfinite(third(matrix((1, 2, -3)))).all()
    for values in ((1, 2, 0), (1, 0, 0)):
        with pytest.raises(ValueError, match="det: third derivatives are for regular matrices only"):
            third(matrix(values))


def test_cholesky_sees_both_triangles_and_refuses_what_is_not_positive_definite():
    x = symmetric((1, 2, 3))
    skew = np.triu(numbers(3, 3), 1)
    skew -= skew.T
    np.testing.assert_allclose(linalg.cholesky(x + skew), np.linalg.cholesky(x), atol=1e-14)
    g = tg.vjp(linalg.cholesky, x + skew)[1](numbers(3, 3, seed=5))[0]
    np.testing.assert_allclose(g, g.T, atol=1e-14)
    upper = tg.vjp(linalg.cholesky, x)[1](np.triu(np.ones((3, 3)), 1))[0]
    assert not upper.any(), "what is above the diagonal of L is always 0"
    for bad in (symmetric((1, 2, -3)), np.zeros((2, 2)), np.stack([np.eye(2), -np.eye(2)])):
        with pytest.raises(ValueError, match="not positive definite, so it has no such factor"):
            linalg.cholesky(bad)


@pytest.mark.parametrize("values", [(1, 1, 1), (2, 2, -1), (0, 0, 0), (-1, 5, 5)])
def test_equal_eigenvalues_have_gradients_and_their_vectors_have_none(values):
    x = symmetric(values)
    assert gradcheck(lambda x: linalg.eigh(x)[0].sum(), x)  # the trace: any basis of an eigenspace will do
    np.testing.assert_allclose(tg.grad(lambda x: (linalg.eigh(x)[0] ** 2).sum())(x), 2 * x, atol=1e-12)
    with pytest.raises(ValueError, match="eigh: two eigenvalues coincide, and there the vectors have no derivative"):
        tg.grad(lambda x: linalg.eigh(x)[1].sum())(x)


def test_one_matrix_of_a_batch_does_not_spoil_the_others():
    x = np.stack([np.eye(3), symmetric((1, 2, 4)), symmetric((-3, 0, 1), seed=1)])
    f = lambda x: linalg.eigh(x)[1][1:] ** 2  # noqa: E731
    assert gradcheck(f, x)
    with pytest.raises(ValueError, match="coincide"):
        tg.grad(lambda x: linalg.eigh(x)[1].sum())(x)


@pytest.mark.parametrize("values", [(1, 1, 2), (0, 0, 1), (3, 3, 3)])
def test_equal_singular_values_have_gradients_and_their_vectors_have_none(values):
    x = matrix(values)
    if all(values):  # at 0 the singular values have a corner
        np.testing.assert_allclose(tg.grad(lambda x: (linalg.svd(x)[1] ** 2).sum())(x), 2 * x, atol=1e-12)
    for k in (0, 2):
        with pytest.raises(ValueError, match="svd: two singular values coincide"):
            tg.grad(lambda x, k=k: linalg.svd(x)[k].sum())(x)


def test_a_singular_value_of_zero_is_no_obstacle_in_a_square_matrix_and_is_one_otherwise():
    x = matrix((0, 1, 2))

    def projector(x):  # on the two large singular vectors: smooth at a vanishing third
        u, _, vh = linalg.svd(x)
        return u[..., :2] @ vh[..., :2, :]

    assert gradcheck(projector, x)
    for wide in (matrix((0, 1), n=3), matrix((0, 1), n=3).T):
        outside = 2 if len(wide) == 2 else 0  # the vectors of the longer side
        assert np.isfinite(tg.grad(lambda x: linalg.svd(x)[1][0] ** 2)(wide)).all()
        assert np.isfinite(tg.grad(lambda x, o=outside: linalg.svd(x)[2 - o].sum())(wide)).all()
        with pytest.raises(ValueError, match="a singular value of a matrix that is not square is 0"):
            tg.grad(lambda x, o=outside: linalg.svd(x)[o].sum())(wide)


def test_svd_is_thin_only():
    assert [y.shape for y in linalg.svd(np.ones((2, 4)), full_matrices=False)] == [(2, 2), (2,), (2, 4)]
    with pytest.raises(ValueError, match="the thin form has: full_matrices=False"):
        linalg.svd(np.eye(2), full_matrices=True)


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 5)])
def test_qr_of_dependent_columns_has_no_derivative(shape):
    x = numbers(*shape)
    x[:, 1] = 2 * x[:, 0]
    q, r = linalg.qr(x)
    np.testing.assert_allclose(q @ r, x, atol=1e-14)
    with pytest.raises(ValueError, match="qr: the first min.m, n. columns of x are dependent"):
        tg.grad(lambda x: linalg.qr(x)[1].sum())(x)


# ------------------------------------------------------------------------------------------------ gauge and identities


@given(st.sampled_from([(2, 2), (3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 1), (2, 1, 3)]), st.integers(0, 999))
def test_functions_that_do_not_see_signs(shape, seed):
    """x is put together again from its factors, so that gradients must be those of x itself."""
    x, u = numbers(*shape, seed=seed), numbers(*shape, seed=seed + 1)
    s = np.linalg.svd(x)[1]
    assume((np.abs(np.diff(s)) > 0.1).all() and (s > 0.1).all())

    def through_svd(x):
        left, s, right = linalg.svd(x)
        return left @ (tg.expand_dims(s, -1) * right)

    functions = [through_svd]
    if (np.abs(np.diagonal(np.linalg.qr(x)[1], axis1=-2, axis2=-1)) > 0.1).all():
        functions.append(lambda x: tg.matmul(*linalg.qr(x)))
    if shape[-1] == shape[-2]:
        functions += [
            lambda x: linalg.inv(linalg.inv(x)),
            lambda x: linalg.solve(linalg.inv(x), np.eye(shape[-1])),
        ]
    for f in functions:
        np.testing.assert_allclose(tg.vjp(f, x)[1](u)[0], u, atol=1e-7)


@given(st.integers(1, 4), st.integers(0, 999))
def test_functions_of_symmetric_matrices(n, seed):
    a = numbers(n, n, seed=seed)
    x, u = a @ a.T + 0.5 * np.eye(n), numbers(n, n, seed=seed + 1)
    assume((np.diff(np.linalg.eigvalsh(x)) > 0.05).all())
    even = (u + u.T) / 2

    def through_eigh(x):
        w, v = linalg.eigh(x)
        return (v * tg.expand_dims(w, -2)) @ tg.swapaxes(v, -1, -2)

    def through_cholesky(x):
        factor = linalg.cholesky(x)
        return factor @ tg.swapaxes(factor, -1, -2)

    for f in (through_eigh, through_cholesky):
        np.testing.assert_allclose(tg.vjp(f, x)[1](u)[0], even, atol=1e-9)
    logarithms = [
        lambda x: linalg.slogdet(x)[1],
        lambda x: tg.log(linalg.det(x)),
        lambda x: tg.log(linalg.eigh(x)[0]).sum(),
        lambda x: tg.log(linalg.svd(x)[1]).sum(),
        lambda x: 2 * tg.log(tg.einsum("ii->i", linalg.cholesky(x))).sum(),
    ]
    inverse = np.linalg.inv(x)
    for f in logarithms:  # five ways to log det x, one derivative: of first order x^-1, of second -x^-1 dx x^-1
        np.testing.assert_allclose(tg.grad(f)(x), inverse, rtol=1e-7, atol=1e-8 * np.abs(inverse).max())
        np.testing.assert_allclose(
            tg.hvp(f, x, even), -inverse @ even @ inverse, rtol=1e-6, atol=1e-6 * np.abs(inverse).max() ** 2
        )


def test_functions_of_matrices_are_in_their_own_room():
    assert linalg.__all__ == ["cholesky", "det", "eigh", "inv", "qr", "slogdet", "solve", "svd"]
    assert not any(hasattr(tg, name) for name in linalg.__all__)
    assert all(getattr(linalg, name).op.name == name for name in linalg.__all__)


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [((2, 2), (3,), 2), ((2, 2), (3, 2), 2), ((2, 2), (), 2), ((5, 3, 3), (5, 2, 3), 3), ((2, 5, 3, 3), (4,), 3)],
)
def test_a_right_hand_side_that_does_not_fit_is_refused(a, b, n):
    with pytest.raises(ValueError) as caught:
        tg.linalg.solve(np.broadcast_to(np.eye(a[-1]), a), np.ones(b))
    assert f"b must be a vector ({n},) or matrices (..., {n}, k), got {b}" in str(caught.value)


@pytest.mark.parametrize("function", [tg.linalg.qr, tg.linalg.svd])
def test_a_vector_has_no_factors(function):
    with pytest.raises(ValueError, match=r"expected a matrix or a batch of them \(..., m, n\), got \(3,\)"):
        function(np.ones(3))


@pytest.mark.parametrize("subscripts", ["...i,i...->...", "i...,...i->...", "a...i,...i->a...", "...,...->..."])
def test_axes_of_1_behind_dots_are_stretched(subscripts):
    first, second = subscripts.split("->")[0].split(",")
    sizes = {"i": 3, "a": 2}

    def array(term, dots, seed):
        at = term.index("...")
        shape = [*[sizes[c] for c in term[:at]], *dots, *[sizes[c] for c in term[at + 3 :]]]
        return np.random.default_rng(seed).normal(size=shape)

    for one, other in (((1, 4), (5, 4)), ((5, 1), (1, 4)), ((4,), (5, 1)), ((1, 1), (5, 4))):
        x, y = array(first, one, 0), array(second, other, 1)
        np.testing.assert_allclose(tg.einsum(subscripts, x, y), np.einsum(subscripts, x, y), rtol=1e-12, atol=1e-12)
        assert gradcheck(lambda x, y: tg.einsum(subscripts, x, y), (x, y), second_order=False)
