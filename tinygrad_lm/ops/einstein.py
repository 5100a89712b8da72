"""Einstein's sum: products of elements with equal letters, summed over the letters that are not in the result."""

from __future__ import annotations

import math
from string import ascii_letters

import numpy as np

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw
from tinygrad_lm.ops.choosing import where
from tinygrad_lm.ops.samples import N, case
from tinygrad_lm.ops.shape import broadcast_to, reshape

__all__ = [
    "einsum",
]


def einsum_flops(*xs, subscripts):
    sizes = {
        c: n
        for t, x in zip(subscripts.split("->")[0].split(","), xs, strict=True)
        for c, n in zip(t, x.shape, strict=True)
    }
    return len(xs) * math.prod(sizes.values())


@op(
    name="einsum",
    analytic=True,
    cost=einsum_flops,
    samples=lambda: [
        case(N(2, 3), N(3, 4), subscripts="ij,jk->ik"),
        case(N(2, 3), N(3, 4), N(4), subscripts="ij,jk,k->i"),
        case(N(2, 3), N(3, 4), subscripts="ij,kl->k"),
        case(N(2, 3), subscripts="ij->j"),
        case(N(4, 2, 3), N(4, 3), subscripts="bij,bj->bi"),
        case(N(3), N(0), subscripts="i,j->ij"),
        case(N(3, 3), subscripts="ii->i"),
        case(N(2, 3, 2), N(3, 3), subscripts="iji,jj->j"),
        case(N(2, 2, 2), N(), subscripts="iii,->"),
    ],
)
def einsum_explicit(xp, *xs, subscripts):
    """Sum over products of elements with equal letters, in explicit form: 'ij,jk->ik'; 'ii' is a diagonal."""
    return xp.einsum(subscripts, *xs, optimize=len(xs) > 1)


@einsum_explicit.vjp("xs")
def _(g, xs, xs_shape, needs, *, subscripts):
    terms, result = subscripts.split("->")
    each = terms.split(",")
    xp = backend_of(raw(g)).xp
    grads: list = []
    for i, (term, shape) in enumerate(zip(each, xs_shape, strict=True)):
        if not needs[i]:
            grads.append(None)
            continue
        rest = [(t, x) for j, (t, x) in enumerate(zip(each, xs, strict=True)) if j != i]
        known = "".join([c for c in dict.fromkeys(term) if c in result or any(c in t for t, _ in rest)])
        part = einsum_explicit(
            [g, *[x for _, x in rest]], subscripts=f"{','.join([result, *[t for t, _ in rest]])}->{known}"
        )
        first = [term.index(c) == k for k, c in enumerate(term)]
        wide = [n if c in known and f else 1 for c, n, f in zip(term, shape, first, strict=True)]
        part = broadcast_to(reshape(part, shape=tuple(wide)), shape=shape)
        for k, c in enumerate(term):
            if not first[k]:  # off the diagonal of a letter's first and k-th place there is nothing
                line = [n if at in (term.index(c), k) else 1 for at, n in enumerate(shape)]
                part = where(xp.eye(shape[k], dtype=bool).reshape(line), part, 0.0)
        grads.append(part)
    return grads


@einsum_explicit.jvp("xs")
def _(t, xs, *, subscripts):
    terms = [einsum_explicit([*xs[:i], moving, *xs[i + 1 :]], subscripts=subscripts) for i, moving in enumerate(t)]
    return sum(terms[1:], terms[0])


def einsum(subscripts, *operands):
    """Einstein summation, e.g. einsum("bij,bjk->bik", a, b): letters name axes, those not in the result are summed.

    A letter twice in one operand is its diagonal.  '...' stands for the axes that no letter names; they broadcast.
    The result may be left out: the axes of '...', then the letters that occur once, in alphabetical order.  If it is
    given without '...', those axes are summed.

    >>> import numpy as np, tinygrad_lm as tg
    >>> tg.einsum("ij,ij->i", np.ones((2, 3)), np.ones((2, 3)))
    array([3., 3.])
    >>> tg.einsum("...ii", np.ones((2, 3, 3)))
    array([3., 3.])
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum takes the subscripts first, as text, e.g. 'ij,jk->ik'; got {type(subscripts).__name__}"
        )
    text = subscripts.replace(" ", "")
    terms, arrow, result = text.partition("->")
    each = terms.split(",")
    if len(each) != len(operands):
        raise ValueError(f"einsum '{subscripts}' names {len(each)} operands and got {len(operands)}")
    for i, x in enumerate(operands):
        if not hasattr(x, "shape"):
            raise TypeError(
                f"einsum '{subscripts}': operand {i} is a {type(x).__name__}, expected an array or Tensor; "
                "wrap a list, Tensor(...), and multiply the result by a number"
            )
    for term in [*each, result]:
        if (letters := term.replace("...", "", 1)) and not (letters.isascii() and letters.isalpha()):
            raise ValueError(f"einsum '{subscripts}': '{term}' must be letters, and '...' at most once")
    if len(set(result)) < len(letters := result.replace("...", "")):
        raise ValueError(f"einsum '{subscripts}': the result '{result}' must name each letter at most once")
    each, operands, dots = without_dots(subscripts, each, operands)
    if not arrow:
        counted = [c for c in text if c.isalpha()]
        result = "..." + "".join(sorted([c for c in set(counted) if counted.count(c) == 1]))
    sizes: dict[str, int] = {}
    for term, x in zip(each, operands, strict=True):
        for letter, size in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"einsum '{subscripts}': axis '{letter}' is {sizes[letter]} here and {size} there")
    if extra := {c for c in result if c.isalpha()} - set(sizes):
        raise ValueError(f"einsum '{subscripts}': the result names {', '.join(sorted(extra))}, which no operand has")
    return einsum_explicit(list(operands), subscripts=f"{','.join(each)}->{result.replace('...', dots)}")


def without_dots(subscripts, each, operands):
    """(terms, operands, letters): letters of their own for '...', without the axes that it stretches."""
    hidden = []
    for term, x in zip(each, operands, strict=True):
        count = len(x.shape) - len(term.replace("...", ""))
        if count < 0 or count and "..." not in term:
            named = len(term.replace("...", ""))
            raise ValueError(f"einsum '{subscripts}': '{term}' names {named} axes of an array of shape {x.shape}")
        at = term.find("...")
        hidden.append(tuple(x.shape[at : at + count]) if count else ())
    try:
        full = np.broadcast_shapes(*hidden)
    except ValueError:
        listed = " and ".join(map(str, hidden))
        raise ValueError(f"einsum '{subscripts}': the axes of '...', {listed}, do not broadcast") from None
    spare = [c for c in ascii_letters if c not in subscripts]
    dots = "".join(spare[: len(full)])
    new_terms, arrays = [], []
    for term, x, shape in zip(each, operands, hidden, strict=True):
        own = list(zip(dots[len(full) - len(shape) :], shape, full[len(full) - len(shape) :], strict=True))
        at = term.find("...")
        if any(n != m for _, n, m in own):  # an axis of 1 that is stretched does not take part
            kept = [n for _, n, m in own if n == m]
            x = reshape(x, shape=(*x.shape[:at], *kept, *x.shape[at + len(shape) :]))
        new_terms.append(term.replace("...", "".join([c for c, n, m in own if n == m])))
        arrays.append(x)
    return new_terms, arrays, dots
