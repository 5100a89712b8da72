"""Check a derivative against finite differences, and see a wrong one being caught.

python examples/check_an_op.py
"""

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm.testing import GradcheckError, gradcheck, gradgradcheck


@tg.op
def cosine(xp, a, b):
    """The cosine of the angle between rows of a and rows of b."""
    return (a * b).sum(-1) / xp.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def slope(g, a, b, out, forget_a_term=False):
    size = tg.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    along = tg.expand_dims(g / size, -1) * b
    back = tg.expand_dims(g * out, -1) * a / tg.expand_dims((a * a).sum(-1), -1)
    return along if forget_a_term else along - back


@cosine.vjp("a")
def _(g, a, b, out):
    return slope(g, a, b, out)


@cosine.vjp("b")
def _(g, a, b, out):
    return slope(g, b, a, out)


def main():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    gradcheck(cosine, (a, b))
    gradgradcheck(cosine, (a, b))
    print("cosine: first and second derivatives agree with finite differences")

    cosine.vjp("a")(lambda g, a, b, out: slope(g, a, b, out, forget_a_term=True))
    try:
        gradcheck(cosine, (a, b))
    except GradcheckError as error:
        print("with a term forgotten:", error)
    else:
        raise SystemExit("a wrong derivative was not caught")


if __name__ == "__main__":
    main()
