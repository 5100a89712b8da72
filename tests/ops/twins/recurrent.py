"""torch's counterpart of each operation of ops/recurrent.py: the same arguments, torch tensors in and out.

torch's own recurrent layers have one derivative only, so their formulas are written out; tests/nn compares with them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def steps(cell, x, h0, w_ih, w_hh, b_ih, b_hh, *states):
    ys, h = [], h0
    for x_t in x:
        h, *states = cell(F.linear(x_t, w_ih, b_ih), F.linear(h, w_hh, b_hh), h, *states)
        ys.append(h)
    return torch.stack(ys), h, *states


def rnn(x, h0, w_ih, w_hh, b_ih=None, b_hh=None, nonlinearity="tanh"):
    return steps(lambda u, v, h: (getattr(torch, nonlinearity)(u + v),), x, h0, w_ih, w_hh, b_ih, b_hh)


def lstm(x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None):
    def cell(u, v, h, c):
        i, f, g, o = (u + v).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return steps(cell, x, h0, w_ih, w_hh, b_ih, b_hh, c0)


def gru(x, h0, w_ih, w_hh, b_ih=None, b_hh=None):
    def cell(u, v, h):
        (u_r, u_z, u_n), (v_r, v_z, v_n) = u.chunk(3, -1), v.chunk(3, -1)
        z, n = (u_z + v_z).sigmoid(), (u_n + (u_r + v_r).sigmoid() * v_n).tanh()
        return ((1 - z) * n + z * h,)

    return steps(cell, x, h0, w_ih, w_hh, b_ih, b_hh)


TWINS = {
    "rnn": rnn, "lstm": lstm, "gru": gru,
}  # fmt: skip
# Made only for rules, or without a counterpart: compared with finite differences and `composed` elsewhere.
LONERS = {"rnn_grad", "lstm_grad", "gru_grad"}
