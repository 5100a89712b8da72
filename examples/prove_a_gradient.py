"""An operation with a subtle mistake: missed by the usual test, found and named by a better one, mended, and proved.

python examples/prove_a_gradient.py
"""

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm.core import raw
from tinygrad_lm.ops.samples import N, P, case
from tinygrad_lm.testing import gradcheck, mutation_score, prove


@tg.op(
    samples=lambda: [
        case(N(3), P(3)),
        case(N(1), P(1)),
        case(N(2, 3), P(2, 3)),
        case(N(4, 3), P(3)),  # the same weights for all rows
        case(N(2, 1, 5), P(2, 1, 5)),
        case(N(0, 3), P(0, 3)),
    ]
)
def weighted_mean(xp, x, w):
    """sum_i w_i x_i / sum_i w_i over the last axis; x and w broadcast."""
    w = w + xp.zeros_like(x)
    return (w * x).sum(-1) / w.sum(-1)


@weighted_mean.vjp("x")
def _(g, x, w):
    w = w + x * 0.0
    return tg.expand_dims(g / tg.sum(w, axis=-1), -1) * w


def forgets_a_term(g, x, w, out):
    w = w + x * 0.0
    return tg.expand_dims(g / tg.sum(w, axis=-1), -1) * x


def detached(g, x, w, out):
    w = w + x * 0.0
    return tg.expand_dims(g / tg.sum(w, axis=-1), -1) * (x - np.expand_dims(raw(out), -1))


def widens(g, x, w, out):
    w = w + x * 0.0
    return tg.expand_dims(g / tg.sum(w, axis=-1), -1) * (x - tg.expand_dims(out, -1)) * np.float64(1.0)


def right(g, x, w, out):
    w = w + x * 0.0
    return tg.expand_dims(g / tg.sum(w, axis=-1), -1) * (x - tg.expand_dims(out, -1))


def usual(op=weighted_mean):
    """The usual test: everything added up, one point, a tolerance that felt right.  The mean there happens to be 0."""
    x, w = np.array([0.1, -0.2, 0.1]), np.ones(3)
    ours = tg.grad(lambda w: op(x, w).sum())(w)
    for i in range(3):
        h = 1e-4 * np.eye(3)[i]
        assert abs(ours[i] - (op(x, w + h).sum() - op(x, w - h).sum()) / 2e-4) < 1e-2


def better(op=weighted_mean):
    rng = np.random.default_rng(0)
    gradcheck(op, (rng.normal(size=(4, 3)), rng.uniform(0.5, 2.0, size=3)))


def main():
    stages = [
        (forgets_a_term, "a term of the quotient rule is forgotten"),
        (detached, "the term is there, as a constant: wrong when differentiated again"),
        (widens, "a NumPy float64 in it: float32 gradients become float64"),
        (right, "mended"),
    ]
    for rule, what in stages:
        weighted_mean.vjp("w")(rule)
        print(f"\n{what}")
        for name, test in (("usual", usual), ("better", better), ("prove", lambda: prove(weighted_mean))):
            try:
                said = test() or "passes"
            except AssertionError as error:
                said = str(error).replace("\n", "\n" + 10 * " ")
            print(f"  {name:<7} {said}")

    print("\nhow many of the wrong derivatives that can be generated for it each test notices")
    for name, test in (("usual", usual), ("better", better), ("prove", lambda: prove(weighted_mean))):
        score = mutation_score(test, [weighted_mean])
        print(f"  {name:<7} {len(score.killed)} of {len(score.killed) + len(score.survived)}")
    assert score.ratio == 1.0


if __name__ == "__main__":
    main()
