"""Softmax and attention by hand, gradients included, beside the operations.

python examples/attention_by_hand.py
"""

import numpy as np

import tinygrad_lm as tg


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(p, dp):
    """dx_i = p_i (dp_i - sum_j p_j dp_j): every score competes with every other."""
    return p * (dp - (p * dp).sum(-1, keepdims=True))


def attention(q, k, v):
    """Each query takes an average of the values, weighted by how well its key fits.  Queries see no later keys."""
    T, D = q.shape[-2:]
    s = q @ k.swapaxes(-1, -2) / np.sqrt(D)  # (H, T, T)
    s = np.where(np.tri(T, dtype=bool), s, -np.inf)
    p = softmax(s)
    return p @ v, p


def attention_backward(q, k, v, p, dy):
    """The three products again, each transposed."""
    dv = p.swapaxes(-1, -2) @ dy  # y = p v
    dp = dy @ v.swapaxes(-1, -2)
    ds = softmax_backward(p, dp) / np.sqrt(q.shape[-1])
    return ds @ k, ds.swapaxes(-1, -2) @ q, dv  # s = q k^T


def main():
    rng = np.random.default_rng(0)
    q, k, v, dy = (rng.normal(size=(2, 5, 4)) for _ in range(4))  # (heads, positions, head size)
    y, p = attention(q, k, v)
    by_hand = attention_backward(q, k, v, p, dy)

    out, pull = tg.vjp(lambda q, k, v: tg.attention(q, k, v, causal=True), q, k, v)
    for name, mine, theirs in zip(("y", "dq", "dk", "dv"), (y, *by_hand), (out, *pull(dy)), strict=True):
        print(f"{name:>2}: largest difference from the operation {abs(mine - theirs).max():.1e}")
        assert np.allclose(mine, theirs, atol=1e-12)

    print("\nwhere head 0 looks (rows: queries, columns: keys):")
    print(np.array2string(p[0], precision=2, suppress_small=True))


if __name__ == "__main__":
    main()
