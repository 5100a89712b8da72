"""Linear algebra, `tg.linalg`: inverses, determinants and factorisations of matrices and of batches (..., n, n).

Rules are made of products and of these operations themselves, so each has derivatives of every order.  Where a
derivative is infinite (a singular matrix, equal eigenvalues) its rule raises and says so.
"""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.joining import concatenate
from tinygrad_lm.ops.products import matmul, trace
from tinygrad_lm.ops.reduction import peak, sum
from tinygrad_lm.ops.samples import M, N, S, case
from tinygrad_lm.ops.shape import expand_dims, reshape, transposed

__all__ = [
    "cholesky",
    "det",
    "eigh",
    "inv",
    "qr",
    "slogdet",
    "solve",
    "svd",
]

# ruff: noqa: A004, F811  (every rule is named `_`)


def squares(kind):
    """Square matrices: one, a batch, a batch of batches, 1 x 1, no matrix at all and matrices of nothing."""
    return lambda: [case(kind(*s)) for s in ((3, 3), (2, 2, 2), (2, 1, 2, 2), (1, 1), (0, 2, 2), (0, 0))]


def cubic(factor):
    """FLOPs of an algorithm that takes `factor` n^3 for each matrix."""
    return lambda x, *_, **__: int(factor * x.size * x.shape[-1])


def check_square(x):
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"expected a square matrix or a batch of them (..., n, n), got {x.shape}")


def check_matrix(x):
    if x.ndim < 2:
        raise ValueError(f"expected a matrix or a batch of them (..., m, n), got {x.shape}")


def singular(xp, x):
    """Which matrix has no inverse, in a sentence."""
    at = tuple(map(int, xp.argwhere(xp.linalg.det(x) == 0)[0]))
    return f"the matrix{f' at {at}' if at else ''} is singular, so it has no inverse; add to its diagonal, or see svd"


def product(*matrices):
    """Matrices multiplied from left to right."""
    return reduce(matmul, matrices)


def symmetric_part(x):
    return (x + transposed(x)) * 0.5


def lower(x, below, on):
    """The lower triangle of x, what is below the diagonal times `below` and what is on it times `on`."""
    xp, (m, n) = backend_of(raw(x)).xp, x.shape[-2:]
    return x * (below * xp.tri(m, n, -1) + on * xp.eye(m, n)).astype(x.dtype)


def vanishes(part, whole):
    """Where `part` is nothing beside `whole`, in their precision: what rounding may leave of 0."""
    return whole + part / (8 * max(part.shape[-1], 1)) == whole


def largest(values):
    """The largest size among the last axis, which is kept."""
    xp = backend_of(values).xp
    return peak(xp, xp.abs(values), -1, 0).astype(values.dtype)


# ---------------------------------------------------------------------------------------------------- equations


@op(analytic=True, cost=cubic(2), samples=squares(M))
def inv(xp, x):
    """The inverse of square matrices (..., n, n).  A singular one raises.  dY = -Y dX Y.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.linalg.inv(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    check_square(x)
    try:
        return xp.linalg.inv(x)
    except np.linalg.LinAlgError:
        raise ValueError(singular(xp, x)) from None


@inv.vjp("x")
def _(g, out):
    y = transposed(out)
    return -product(y, g, y)


@inv.jvp("x")
def _(t, out):
    return -product(out, t, out)


@op(
    analytic=True,
    cost=lambda a, b: 2 * a.size * a.shape[-1] // 3 + 2 * a.size * (b.shape[-1] if b.ndim > 1 else 1),
    samples=lambda: [
        case(M(3, 3), N(3)),
        case(M(3, 3), N(3, 2)),
        case(M(2, 2, 2), N(2)),
        case(M(2, 1, 2, 2), N(3, 2, 1)),
        case(M(2, 2), N(2, 2, 3)),
        case(M(1, 1), N(1)),
        case(M(0, 2, 2), N(2, 1)),
        case(M(2, 2), N(2, 0)),
        case(M(0, 0), N(0)),
    ],
)
def solve(xp, a, b):
    """x with a x = b: a (..., n, n), b a vector (n,) or matrices (..., n, k); leading axes broadcast.

    A singular a raises.  a dx = db - da x.
    """
    check_square(a)
    if not b.ndim or b.shape[-2 if b.ndim > 1 else 0] != a.shape[-1]:
        n = a.shape[-1]
        raise ValueError(f"b must be a vector ({n},) or matrices (..., {n}, k), got {b.shape}")
    if b.ndim > 1 and a.shape[:-2] != b.shape[:-2]:  # CuPy's solve does not broadcast
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = xp.broadcast_to(a, (*batch, *a.shape[-2:])), xp.broadcast_to(b, (*batch, *b.shape[-2:]))
    try:
        return xp.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise ValueError(singular(xp, a)) from None


@solve.vjp("a", "b")
def _(g, a, out, b_shape, needs):
    vector = len(b_shape) == 1
    db = solve(transposed(a), expand_dims(g, -1) if vector else g)
    da = -matmul(db, transposed(expand_dims(out, -1) if vector else out)) if needs[0] else None
    return da, reshape(db, shape=db.shape[:-1]) if vector else db


@solve.jvp("a")
def _(t, a, out, b_shape):
    if len(b_shape) > 1:
        return -solve(a, matmul(t, out))
    return -solve(a, matmul(t, expand_dims(out, -1)))[..., 0]


@solve.jvp("b")
def _(t, a):
    return solve(a, t)


# ---------------------------------------------------------------------------------------------------- determinants


@op(analytic=True, cost=cubic(2 / 3), samples=squares(M))
def det(xp, x):
    """The determinant of square matrices (..., n, n).

    Its gradient is the matrix of cofactors, right for singular matrices too: of rank n - 1 it is u v^T times the
    product of the other singular values, of lower rank 0.  Second derivatives are right at any rank too, third ones are
    for regular matrices only.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.grad(tg.linalg.det)(np.array([[1.0, 2.0], [2.0, 4.0]]))
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    check_square(x)
    return xp.linalg.det(x)


@det.vjp("x")
def _(g, x):
    return expand_dims(g, (-2, -1)) * cofactors(x)


@det.jvp("x")
def _(t, x, out):
    return out * trace(solve(x, t), axis1=-2, axis2=-1)


@op(cost=cubic(22), samples=squares(M))
def cofactors(xp, x):
    """The cofactors of square matrices: det(x) x^-T where x is regular, by continuity elsewhere.

    With x = u s v^T they are det(u) det(v) u c v^T, where c_i is the product of all s_j but s_i.
    """
    u, s, vh, sign = turned(xp, x)
    rest = xp.prod(xp.where(xp.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    return sign * xp.matmul(u * rest[..., None, :], vh)


def turned(xp, x):
    """The singular value decomposition of square matrices, and det(u) det(v), which is 1 or -1: (..., 1, 1)."""
    u, s, vh = xp.linalg.svd(x)
    return u, s, vh, xp.sign(xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]


@cofactors.vjp("x")
def _(g, x):
    return cofactors_grad(g, x)


@cofactors.jvp("x")
def _(t, x, out):
    inverse = transposed(inv(x))
    return (t * out).sum((-2, -1))[..., None, None] * inverse - product(inverse, transposed(t), out)


@cofactors.composed
def _(x):
    return expand_dims(det(x), (-2, -1)) * transposed(inv(x))


@op(
    cost=lambda dy, x: 22 * x.size * x.shape[-1],
    samples=lambda: [case(N(*s), M(*s)) for s in ((3, 3), (2, 3, 3), (1, 4, 4), (0, 3, 3), (0, 0))],
)
def cofactors_grad(xp, dy, x):
    """What `cofactors` changes by along dy; the map is its own adjoint, det having a symmetric second derivative.

    With x = u s v^T, m = u^T dy v, and p_ij the product of all s_k but s_i and s_j (p_ii = 0), it is
    det(u) det(v) u c v^T, c_ij = -p_ij m_ji off the diagonal and c_ii = sum over j of p_ij m_jj: right at any rank.
    """
    u, s, vh, sign = turned(xp, x)
    one = xp.eye(s.shape[-1], dtype=bool)
    p = xp.prod(xp.where(one[:, None] | one[None], 1, s[..., None, None, :]), axis=-1) * ~one
    m = xp.matmul(xp.matmul(xp.swapaxes(u, -1, -2), dy), xp.swapaxes(vh, -1, -2))
    traces = xp.matmul(p, xp.diagonal(m, axis1=-2, axis2=-1)[..., None])
    return sign * xp.matmul(xp.matmul(u, xp.where(one, traces, -p * xp.swapaxes(m, -1, -2))), vh)


@cofactors_grad.composed
def _(dy, x):
    s = svd(raw(x))[1]
    if vanishes(s, largest(s)).any():
        raise ValueError("det: third derivatives are for regular matrices only")
    inverse = transposed(inv(x))
    c = expand_dims(det(x), (-2, -1)) * inverse
    return sum(dy * c, axis=(-2, -1), keepdims=True) * inverse - product(inverse, transposed(dy), c)


@op(cost=cubic(2 / 3), samples=squares(M))
def slogdet(xp, x):
    """(sign, log |det|) of square matrices: no overflow where the determinant has one.

    The gradient of the logarithm is x^-T, that of the sign is 0.  A singular matrix has (0, -inf), and its gradient
    raises.
    """
    check_square(x)
    return tuple(xp.linalg.slogdet(x))


@slogdet.vjp("x")
def _(g, x):
    return expand_dims(g[1], (-2, -1)) * transposed(inv(x))


@slogdet.jvp("x")
def _(t, x):
    return None, trace(solve(x, t), axis1=-2, axis2=-1)


# ---------------------------------------------------------------------------------------------------- factorisations


@op(cost=cubic(1 / 3), samples=squares(S))
def cholesky(xp, x):
    """The lower triangular L, with a positive diagonal, whose L L^T is the symmetric positive definite x (..., n, n).

    It is a function of the symmetric part (x + x^T) / 2, so that both triangles count and the gradient is symmetric.
    What is not positive definite raises.  The rule is Murray's (2016).
    """
    check_square(x)
    try:
        return xp.linalg.cholesky((x + xp.swapaxes(x, -1, -2)) / 2)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the symmetric part of x is not positive definite, so it has no such factor; add to its diagonal"
        ) from None


@cholesky.vjp("x")
def _(g, out):
    inner = lower(matmul(transposed(out), g), 1, 0.5)
    half = solve(transposed(out), inner)  # L^-T inner
    return symmetric_part(transposed(solve(transposed(out), transposed(half))))  # and that times L^-1


@cholesky.jvp("x")
def _(t, out):
    inverse = inv(out)
    return matmul(out, lower(product(inverse, symmetric_part(t), transposed(inverse)), 1, 0.5))


@op(
    cost=lambda x: 4 * x.size * min(x.shape[-2:]),
    samples=lambda: [
        case(M(*s)) for s in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (1, 1), (0, 3, 2), (3, 0), (0, 3))
    ],
)
def qr(xp, x):
    """(Q, R) with x = Q R: Q^T Q = 1, R upper triangular; x (..., m, n), Q (..., m, k), R (..., k, n), k = min(m, n).

    The signs are the library's (R's diagonal may be negative).  The gradient needs the first k columns of x to be
    independent, and raises where they are not.  The rule is that of Walter and Lehmann (2018).
    """
    check_matrix(x)
    return tuple(xp.linalg.qr(x))


@qr.vjp("x")
def _(g, out):
    (gq, gr), (q, r) = g, out
    check_rank(raw(r))
    k = r.shape[-2]
    left, right, gleft, gright = r[..., :k], r[..., k:], gr[..., :k], gr[..., k:]
    gq = gq + product(q, right, transposed(gright))  # x = Q [left right], and right = Q^T (those columns of x)
    inner = lower(matmul(left, transposed(gleft)) - matmul(transposed(gq), q), 1, 0.5)
    first = times_inverse(gq + matmul(q, inner + transposed(inner)), transposed(left))
    return concatenate([first, matmul(q, gright)], axis=-1)


@qr.jvp("x")
def _(t, out):
    q, r = out
    k = r.shape[-2]
    left, moving = r[..., :k], t[..., :k]
    turn = lower(times_inverse(matmul(transposed(q), moving), left), 1, 0)  # Q^T dQ is antisymmetric
    turn = turn - transposed(turn)
    dleft = matmul(transposed(q), moving) - matmul(turn, left)
    dq = times_inverse(moving - matmul(q, dleft), left)
    dright = matmul(transposed(q), t[..., k:]) + product(transposed(dq), q, r[..., k:])
    return dq, concatenate([dleft, dright], axis=-1)


def times_inverse(x, a):
    """x a^-1."""
    return transposed(solve(transposed(a), transposed(x)))


def check_rank(r):
    """Raise where the leading square part of R is singular."""
    diagonal = backend_of(r).xp.diagonal(r, axis1=-2, axis2=-1)
    if vanishes(diagonal, largest(diagonal)).any():
        raise ValueError("qr: the first min(m, n) columns of x are dependent, and there the factors have no derivative")


@op(cost=cubic(9), samples=squares(S))
def eigh(xp, x):
    """(w, V), eigenvalues in ascending order and orthonormal eigenvectors as columns: x V = V diag(w), x (..., n, n).

    It is a function of the symmetric part (x + x^T) / 2, so that both triangles count and the gradient is symmetric.

    The sign of an eigenvector is the library's choice: differentiate only what does not depend on it.  Where two
    eigenvalues are equal a gradient of the vectors raises; that of the values is v v^T whatever the others are.
    """
    check_square(x)
    return tuple(xp.linalg.eigh((x + xp.swapaxes(x, -1, -2)) / 2))


@eigh.vjp("x")
def _(g, out):
    (gw, gv), (w, v) = g, out
    xp = backend_of(raw(w)).xp
    turn = inverse_gaps(w, lambda wi, wj: wj - wi, asks(gv), "eigh: two eigenvalues") * matmul(transposed(v), gv)
    inner = where(xp.eye(w.shape[-1], dtype=bool), expand_dims(gw, -1), turn)
    return symmetric_part(product(v, inner, transposed(v)))


@eigh.jvp("x")
def _(t, out):
    w, v = out
    xp = backend_of(w).xp
    inner = product(transposed(v), symmetric_part(t), v)
    turn = inverse_gaps(w, lambda wi, wj: wj - wi, asks(v), "eigh: two eigenvalues") * inner
    return xp.diagonal(inner, axis1=-2, axis2=-1), matmul(v, turn)


def asks(*gradients):
    """For which matrices any of these gradients is not zero: (...)."""
    return reduce(operator.or_, [raw(g).any((-2, -1)) for g in gradients])


def inverse_gaps(values, gap, wanted, what):
    """1 / gap(values i, values j), 0 on the diagonal: (..., n, n).

    Where two values coincide it raises if it is `wanted` for that matrix, and is 0 otherwise.
    """
    xp, numbers = backend_of(raw(values)).xp, raw(values)
    diagonal = xp.eye(numbers.shape[-1], dtype=bool)
    equal = vanishes(numbers[..., None, :] - numbers[..., :, None], largest(numbers)[..., None])
    if (wanted & (equal & ~diagonal).any((-2, -1))).any():
        raise ValueError(f"{what} coincide, and there the vectors have no derivative; the values alone do have one")
    left_out = equal | diagonal
    return where(left_out, 0.0, 1.0 / where(left_out, 1.0, gap(expand_dims(values, -1), expand_dims(values, -2))))


@op(
    cost=lambda x, **_: 14 * x.size * min(x.shape[-2:]),
    samples=lambda: [
        case(M(*s)) for s in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (1, 1), (0, 3, 2), (3, 0), (0, 3))
    ],
)
def svd(xp, x, *, full_matrices=False):
    """(U, s, V^T), the thin singular value decomposition x = U diag(s) V^T of matrices (..., m, n), s descending.

    U (..., m, k), s (..., k), V^T (..., k, n), k = min(m, n).  Only the thin form is offered: the columns that
    full_matrices=True adds are arbitrary, and so have no derivative.

    A pair of vectors may change its signs together: differentiate only what does not depend on it.  Where singular
    values coincide, or one is 0 and x is not square, a gradient of the vectors raises; that of the values is u v^T,
    which at s = 0, a corner, is one of many.  The rule is Townsend's (2016).
    """
    check_matrix(x)
    if full_matrices:
        raise ValueError("full_matrices=True has no derivative; the thin form has: full_matrices=False")
    return tuple(xp.linalg.svd(x, full_matrices=False))


def squared_gap(si, sj):
    return (sj - si) * (sj + si)


@svd.vjp("x")
def _(g, out):
    (gu, gs, gvh), (u, s, vh) = g, out
    xp, v, gv = backend_of(raw(s)).xp, transposed(vh), transposed(gvh)
    m, k, n = u.shape[-2], s.shape[-1], vh.shape[-1]
    gaps = inverse_gaps(s, squared_gap, asks(gu, gvh), "svd: two singular values")
    at_u, at_v = matmul(transposed(u), gu), matmul(vh, gv)
    turn_u, turn_v = gaps * at_u, gaps * at_v
    inner = (turn_u + transposed(turn_u)) * expand_dims(s, -2) + expand_dims(s, -1) * (turn_v + transposed(turn_v))
    inner = inner + where(xp.eye(k, dtype=bool), expand_dims(gs, -1), 0.0)
    dx = product(u, inner, vh)
    if m > k:  # what turns U out of its own space
        dx = dx + matmul((gu - matmul(u, at_u)) * inverse_values(s, asks(gu)), vh)
    if n > k:
        dx = dx + matmul(u, transposed((gv - matmul(v, at_v)) * inverse_values(s, asks(gvh))))
    return dx


@svd.jvp("x")
def _(t, out):
    u, s, vh = out
    xp, v = backend_of(s).xp, transposed(vh)
    gaps = inverse_gaps(s, squared_gap, asks(u), "svd: two singular values")
    inner = product(transposed(u), t, v)
    row, column = expand_dims(s, -2), expand_dims(s, -1)
    du = matmul(u, gaps * (inner * row + column * transposed(inner)))
    dv = matmul(v, gaps * (column * inner + transposed(inner) * row))
    if u.shape[-2] > s.shape[-1]:
        du = du + (matmul(t, v) - matmul(u, inner)) * inverse_values(s, asks(u))
    if vh.shape[-1] > s.shape[-1]:
        dv = dv + (matmul(transposed(t), u) - matmul(v, transposed(inner))) * inverse_values(s, asks(vh))
    return du, xp.diagonal(inner, axis1=-2, axis2=-1), transposed(dv)


def inverse_values(s, wanted):
    """1 / s as a row: (..., 1, k).  Where s vanishes it raises if that is `wanted` for the matrix, else it is 0."""
    none = vanishes(raw(s), largest(raw(s)))
    if (wanted & none.any(-1)).any():
        raise ValueError(
            "svd: a singular value of a matrix that is not square is 0, and there its vectors have no derivative"
        )
    return expand_dims(where(none, 0.0, 1.0 / where(none, 1.0, s)), -2)
