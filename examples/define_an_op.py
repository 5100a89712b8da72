"""Define an operation and its derivative, and differentiate it to any order.

python examples/define_an_op.py
"""

import numpy as np

import tinygrad_lm as tg


@tg.op
def my_softplus(xp, x):
    """log(1 + e^x).  The body is ordinary array code; `xp` is NumPy here and CuPy on a GPU."""
    return xp.logaddexp(0, x)


@my_softplus.vjp("x")
def _(g, x):
    # `g` is the gradient that comes in.  The tape keeps what this rule names, here `x`, and nothing else.
    return g * tg.sigmoid(x)


def main():
    x = tg.Tensor([-1.0, 0.0, 2.0], requires_grad=True)
    y = my_softplus(x)
    print("my_softplus ", y)
    print("the tape    ", y.node, "keeps", list(y.node.kept()))
    y.sum().backward()
    print("gradient    ", x.grad)

    # The rule is made of operations, so it can be differentiated again, and again.
    second = tg.grad(tg.grad(my_softplus))(np.array(0.0))
    third = tg.grad(tg.grad(tg.grad(my_softplus)))(np.array(1.0))
    print("f''(0)      ", second, " (exactly 1/4)")
    print("f'''(1)     ", third)
    s = 1 / (1 + np.exp(-1.0))
    assert np.isclose(second, 0.25) and np.isclose(third, s * (1 - s) * (1 - 2 * s))

    # The functions that were written out for it can be read:
    print("\nwhat runs when my_softplus is called:\n")
    print(my_softplus.op.text)


if __name__ == "__main__":
    main()
