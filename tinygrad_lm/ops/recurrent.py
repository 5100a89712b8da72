"""Recurrent networks over whole sequences: one layer, one direction, one operation.

What a step needs of the input is one product for all steps, and so are the gradients of the weights; only what depends
on the step before is a loop.  Gates stand in one axis in torch's order, so weights can be exchanged with it.
"""

from __future__ import annotations

from functools import partial

from tinygrad_lm.backend import backend_of
from tinygrad_lm.core import op, raw, vjp
from tinygrad_lm.ops.activation import relu
from tinygrad_lm.ops.exponential import sigmoid
from tinygrad_lm.ops.joining import split, stack
from tinygrad_lm.ops.products import linear
from tinygrad_lm.ops.samples import N, Spec, case, kink
from tinygrad_lm.ops.shape import floating
from tinygrad_lm.ops.trigonometric import tanh

__all__ = [
    "gru",
    "lstm",
    "rnn",
]

# ruff: noqa: F811

NONLINEARITIES = {"tanh": tanh, "relu": relu}


def check(gates, x, h0, w_ih, w_hh, b_ih, b_hh, c0=None):
    """ValueError unless the shapes are those of a recurrent layer with so many gates."""
    if x.ndim != 3:
        raise ValueError(f"x must have the axes (time, batch, inputs), got shape {x.shape}")
    if not x.shape[0]:
        raise ValueError(f"a sequence needs at least one step, got x {x.shape}")
    width = w_hh.shape[-1] if w_hh.ndim else 0
    state, rows = (x.shape[1], width), gates * width
    for name, a, wanted in (
        ("h0", h0, state),
        ("c0", c0, state),
        ("w_ih", w_ih, (rows, x.shape[2])),
        ("w_hh", w_hh, (rows, width)),
        ("b_ih", b_ih, (rows,)),
        ("b_hh", b_hh, (rows,)),
    ):
        if a is not None and a.shape != wanted:
            raise ValueError(f"{name} must have shape {wanted}, got {a.shape}")


def projected(xp, x, w_ih, b_ih, b_hh, *others):
    """x W_ih^T + b_ih + b_hh for all steps, (T, N, gates * H), a new array in the dtype of the result."""
    a = floating(xp.matmul(flat(x), w_ih.T)).reshape(*x.shape[:2], w_ih.shape[0])
    a = a.astype(xp.result_type(a, *[p for p in (b_ih, b_hh, *others) if p is not None]), copy=False)
    for b in (b_ih, b_hh):
        if b is not None:
            a += b
    return a


def before(xp, h0, ys):
    """The state that each step began with: (T, N, H)."""
    return xp.concatenate([h0[None].astype(ys.dtype, copy=False), ys[:-1]])


def logistic(xp, a):
    """1 / (1 + e^-a), which a half angle makes a tanh: without overflow, and for complex numbers too."""
    return 0.5 + 0.5 * xp.tanh(0.5 * a)


def flat(a):
    """(T, N, H) as (T * N, H)."""
    return a.reshape(a.shape[0] * a.shape[1], a.shape[2])


def layer_grads(xp, da, x, earlier, w_ih):
    """(dx, dw_ih, dw_hh, db) from da, the gradient of what all steps add up before their nonlinearity."""
    dx = xp.matmul(flat(da), w_ih).reshape(x.shape)
    return dx, xp.matmul(flat(da).T, flat(x)), xp.matmul(flat(da).T, flat(earlier)), flat(da).sum(axis=0)


def steps(cell, x, states, w_ih, w_hh, b_ih, b_hh):
    """(all outputs, each final state) of `cell(from input, from state, *states)`, step by step, from simple ops."""
    ys = []
    for from_input in split(linear(x, w_ih, b_ih), x.shape[0]):  # (1, N, gates * H) each
        states = cell(from_input[0], linear(states[0], w_hh, b_hh), *states)
        ys.append(states[0])
    return stack(ys), *states


def step_grads(steps, cotangents, *inputs):
    """The gradients of all inputs of a recurrent layer, by differentiating its steps."""
    *others, w_hh, b_ih, b_hh = inputs
    none = backend_of(raw(w_hh)).xp.zeros(w_hh.shape[0], w_hh.dtype)
    biases = [none if b is None else b for b in (b_ih, b_hh)]
    return vjp(steps, *others, w_hh, *biases)[1](cotangents)


def small(*shape):
    """Numbers so small that no gate is nearly open or shut, where rounding is all that is left of a derivative."""
    return Spec("uniform", shape, -0.6, 0.6)


def layers(gates, states):
    """Tiny layers of every kind: the input (T, N, inputs), the states, the weights, none, one or both biases."""
    for T, batch, inputs, H, biases in (
        (2, 1, 2, 1, 2),
        (3, 2, 1, 1, 1),
        (1, 1, 1, 2, 0),
        (2, 0, 1, 1, 2),
        (2, 2, 2, 2, 2),
    ):
        weights = [small(gates * H, inputs), small(gates * H, H), *[small(gates * H)] * biases]
        yield [N(T, batch, inputs), *[small(batch, H)] * states, *weights]


def layer_cases(gates, states):
    return [case(*arrays) for arrays in layers(gates, states)]


def grad_cases(gates, states):
    """The same for the backward operation, whose first inputs are the gradients of all outputs."""
    return [case(N(*x.shape[:2], h.shape[-1]), *[h] * states, x, h, *rest) for x, h, *rest in layers(gates, states)]


def layer_flops(x, h0, *rest, **_):
    w_ih, w_hh = [w for w in rest if w is not None and w.ndim == 2][-2:]
    return 2 * x.shape[0] * x.shape[1] * (w_ih.size + w_hh.size)


# ------------------------------------------------------------------------------------------------ plain


@op(
    samples=lambda: [*layer_cases(1, 1), *[case(*c.arrays, nonlinearity="relu") for c in layer_cases(1, 1)[::2]]],
    kinks=[
        kink(
            ([[[0.0]]], [[0.0]], [[2.0]], [[3.0]]),
            ([[[0.0]]], [[0.0]], [[0.0]], [[0.0]]),
            "relu at 0: the flat side",
            nonlinearity="relu",
        )
    ],
    cost=layer_flops,
    analytic=True,
)
def rnn(xp, x, h0, w_ih, w_hh, b_ih=None, b_hh=None, *, nonlinearity="tanh"):
    """h_t = tanh(x_t W_ih^T + b_ih + h_(t-1) W_hh^T + b_hh) for all steps (Elman 1990); or relu instead of tanh.

    x (T, N, inputs), h0 (N, H), w_ih (H, inputs), w_hh (H, H), biases (H,) or None; returns all h_t, (T, N, H), and the
    last, (N, H).

    >>> import numpy as np, tinygrad_lm as tg
    >>> ys, h = tg.rnn(np.ones((3, 1, 1)), np.zeros((1, 1)), np.eye(1), np.eye(1), nonlinearity="relu")
    >>> ys.ravel(), h
    (array([1., 2., 3.]), array([[3.]]))
    """
    check(1, x, h0, w_ih, w_hh, b_ih, b_hh)
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(f"nonlinearity must be one of {', '.join(NONLINEARITIES)}, got {nonlinearity!r}")
    ys = projected(xp, x, w_ih, b_ih, b_hh, h0, w_hh)
    h = h0
    for t in range(len(ys)):
        a = ys[t] + xp.matmul(h, w_hh.T)
        h = xp.tanh(a) if nonlinearity == "tanh" else xp.maximum(a, 0)
        ys[t] = h
    return ys, h


@rnn.vjp("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh")
def _(g, x, h0, w_ih, w_hh, b_ih, b_hh, out, *, nonlinearity):
    *grads, db = rnn_grad(*g, x, h0, w_ih, w_hh, b_ih, b_hh, out[0], nonlinearity=nonlinearity)
    return *grads, db, db


@rnn.jvp("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh")
def _(t, x, h0, w_ih, w_hh, out, *, nonlinearity):
    ta, th, tw_hh = moved_input(t, x, w_ih), t[1], t[3]
    h, tys = h0, []
    for ta_t, y in zip(ta, out[0], strict=True):
        slope = 1 - y * y if nonlinearity == "tanh" else y > 0
        th = slope * (ta_t + th @ w_hh.T + h @ tw_hh.T)
        h = y
        tys.append(th)
    return backend_of(h0).xp.stack(tys), th


def moved_input(t, x, w_ih):
    """The tangent of x W_ih^T + b_ih + b_hh, for all steps."""
    tx, tw_ih = t[0], t[-4]
    ta = tx @ w_ih.T + x @ tw_ih.T
    for tb in t[-2:]:
        ta = ta if tb is None else ta + tb
    return ta


@op(
    samples=lambda: [*grad_cases(1, 1), *[case(*c.arrays, nonlinearity="relu") for c in grad_cases(1, 1)[::2]]],
    cost=lambda dys, dh, *layer, **_: 2 * layer_flops(*layer[:6]),
)
def rnn_grad(xp, dys, dh, x, h0, w_ih, w_hh, b_ih=None, b_hh=None, ys=None, *, nonlinearity="tanh"):
    """(dx, dh0, dw_ih, dw_hh, db) of rnn, db for each bias; ys, its output, is a cache (computed if None).

    Back through time (Werbos 1990), with a_t what the nonlinearity f gets:  da_t = (dy_t + da_(t+1) W_hh) f'(a_t).
    """
    if ys is None:
        ys, _ = rnn.op.forward(xp, x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity=nonlinearity)
    slope = 1 - ys * ys if nonlinearity == "tanh" else ys > 0
    da = xp.empty_like(ys)
    for t in range(len(ys))[::-1]:
        da[t] = (dh + dys[t]) * slope[t]
        dh = xp.matmul(da[t], w_hh)
    dx, *rest = layer_grads(xp, da, x, before(xp, h0, ys), w_ih)
    return dx, dh, *rest


rnn_grad.constant("ys")


def rnn_steps(x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity):
    f = NONLINEARITIES[nonlinearity]
    return steps(lambda u, v, h: (f(u + v),), x, (h0,), w_ih, w_hh, b_ih, b_hh)


@rnn_grad.composed
def _(dys, dh, x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity):
    run = partial(rnn_steps, nonlinearity=nonlinearity)
    return step_grads(run, (dys, dh), x, h0, w_ih, w_hh, b_ih, b_hh)[:-1]


rnn.composed(rnn_steps)


# ------------------------------------------------------------------------------------------------ LSTM


@op(samples=lambda: layer_cases(4, 2), aux="gates cells", cost=layer_flops, analytic=True)
def lstm(xp, x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None):
    """Long short-term memory over all steps (Hochreiter and Schmidhuber 1997; with a forget gate: Gers et al. 2000).

    (i, f, g, o) = x_t W_ih^T + b_ih + h_(t-1) W_hh^T + b_hh, of which i, f, o through the logistic function, g through
    tanh;  c_t = f c_(t-1) + i g;  h_t = o tanh(c_t).

    x (T, N, inputs), h0 and c0 (N, H), w_ih (4H, inputs), w_hh (4H, H), biases (4H,) or None; returns all h_t,
    (T, N, H), the last h and the last c, (N, H).
    """
    check(4, x, h0, w_ih, w_hh, b_ih, b_hh, c0)
    gates = projected(xp, x, w_ih, b_ih, b_hh, h0, c0, w_hh)
    H = h0.shape[1]
    ys, cells = [xp.empty((*x.shape[:2], H), gates.dtype) for _ in range(2)]
    h, c = h0, c0
    for t in range(len(x)):
        a = gates[t] + xp.matmul(h, w_hh.T)
        i, f, o = logistic(xp, a[:, :H]), logistic(xp, a[:, H : 2 * H]), logistic(xp, a[:, 3 * H :])
        g = xp.tanh(a[:, 2 * H : 3 * H])
        c = f * c + i * g
        h = o * xp.tanh(c)
        gates[t], cells[t], ys[t] = xp.concatenate([i, f, g, o], axis=1), c, h
    return (ys, h, c), gates, cells


@lstm.vjp("x", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh")
def _(g, x, h0, c0, w_ih, w_hh, b_ih, b_hh, out, gates, cells):
    *grads, db = lstm_grad(*g, x, h0, c0, w_ih, w_hh, b_ih, b_hh, out[0], gates, cells)
    return *grads, db, db


@lstm.jvp("x", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh")
def _(t, x, h0, c0, w_ih, w_hh, out, gates, cells):
    ta, th, tc, tw_hh = moved_input(t, x, w_ih), t[1], t[2], t[4]
    xp, h, c, tys = backend_of(h0).xp, h0, c0, []
    for ta_t, gate, y, after in zip(ta, gates, out[0], cells, strict=True):
        i, f, g, o = xp.split(gate, 4, axis=1)
        moved = xp.split(ta_t + th @ w_hh.T + h @ tw_hh.T, 4, axis=1)
        t_i, t_f, t_o = [m * s * (1 - s) for m, s in zip((moved[0], moved[1], moved[3]), (i, f, o), strict=True)]
        t_g = moved[2] * (1 - g * g)
        tc = t_f * c + f * tc + t_i * g + i * t_g
        th = t_o * xp.tanh(after) + o * tc * (1 - xp.tanh(after) ** 2)
        h, c = y, after
        tys.append(th)
    return xp.stack(tys), th, tc


@op(samples=lambda: grad_cases(4, 2), cost=lambda dys, dh, dc, *layer, **_: 2 * layer_flops(*layer[:7]))
def lstm_grad(xp, dys, dh, dc, x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, ys=None, gates=None, cells=None):
    """(dx, dh0, dc0, dw_ih, dw_hh, db) of lstm, db for each bias; ys, gates and cells are caches (computed if None).

    From the last step to the first:  dh_t = dy_t + da_(t+1) W_hh,  dc_t = dc_(t+1) f_(t+1) + dh_t o (1 - tanh(c)^2),
    di = dc g i (1 - i),  df = dc c_(t-1) f (1 - f),  dg = dc i (1 - g^2),  do = dh tanh(c) o (1 - o).
    """
    if ys is None or gates is None or cells is None:
        (ys, _, _), gates, cells = lstm.op.forward(xp, x, h0, c0, w_ih, w_hh, b_ih, b_hh)
    i, f, g, o = xp.split(gates, 4, axis=2)
    tanh_c = xp.tanh(cells)
    per_cell = xp.stack([g * i * (1 - i), before(xp, c0, cells) * f * (1 - f), i * (1 - g * g)], axis=2)
    per_output, through = tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c)
    da = xp.empty_like(gates)
    H = h0.shape[1]
    for t in range(len(ys))[::-1]:
        dh = dh + dys[t]
        dc = dc + dh * through[t]
        da[t, :, : 3 * H] = (dc[:, None] * per_cell[t]).reshape(len(dc), 3 * H)  # (N, 3, H) as (N, 3H)
        da[t, :, 3 * H :] = dh * per_output[t]
        dh, dc = xp.matmul(da[t], w_hh), dc * f[t]
    dx, *rest = layer_grads(xp, da, x, before(xp, h0, ys), w_ih)
    return dx, dh, dc, *rest


lstm_grad.constant("ys", "gates", "cells")


def lstm_cell(from_input, from_state, h, c):
    i, f, g, o = split(from_input + from_state, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


@lstm.composed
def lstm_steps(x, h0, c0, w_ih, w_hh, b_ih, b_hh):
    return steps(lstm_cell, x, (h0, c0), w_ih, w_hh, b_ih, b_hh)


@lstm_grad.composed
def _(dys, dh, dc, x, h0, c0, w_ih, w_hh, b_ih, b_hh):
    return step_grads(lstm_steps, (dys, dh, dc), x, h0, c0, w_ih, w_hh, b_ih, b_hh)[:-1]


# ------------------------------------------------------------------------------------------------ GRU


@op(samples=lambda: layer_cases(3, 1), aux="gates inner", cost=layer_flops, analytic=True)
def gru(xp, x, h0, w_ih, w_hh, b_ih=None, b_hh=None):
    """Gated recurrent units over all steps (Cho et al. 2014), in the form that resets after the product.

    With u = x_t W_ih^T + b_ih and v = h_(t-1) W_hh^T + b_hh, each in three parts:  r = logistic(u_r + v_r),
    z = logistic(u_z + v_z),  n = tanh(u_n + r v_n),  h_t = (1 - z) n + z h_(t-1).

    x (T, N, inputs), h0 (N, H), w_ih (3H, inputs), w_hh (3H, H), biases (3H,) or None; returns all h_t, (T, N, H), and
    the last, (N, H).
    """
    check(3, x, h0, w_ih, w_hh, b_ih, b_hh)
    gates = projected(xp, x, w_ih, b_ih, None, h0, w_hh, *[b_hh] * (b_hh is not None))
    H = h0.shape[1]
    ys, inner = [xp.empty((*x.shape[:2], H), gates.dtype) for _ in range(2)]
    h = h0
    for t in range(len(x)):
        u, v = gates[t], xp.matmul(h, w_hh.T)
        if b_hh is not None:
            v = v + b_hh
        r, z = logistic(xp, u[:, :H] + v[:, :H]), logistic(xp, u[:, H : 2 * H] + v[:, H : 2 * H])
        inner[t] = v[:, 2 * H :]
        n = xp.tanh(u[:, 2 * H :] + r * inner[t])
        h = n + z * (h - n)
        gates[t], ys[t] = xp.concatenate([r, z, n], axis=1), h
    return (ys, h), gates, inner


@gru.vjp("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh")
def _(g, x, h0, w_ih, w_hh, b_ih, b_hh, out, gates, inner):
    return gru_grad(*g, x, h0, w_ih, w_hh, b_ih, b_hh, out[0], gates, inner)


@gru.jvp("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh")
def _(t, x, h0, w_ih, w_hh, out, gates, inner):
    tu, th, tw_hh, tb_hh = moved_input((*t[:-1], None), x, w_ih), t[1], t[3], t[5]
    xp, h, tys = backend_of(h0).xp, h0, []
    for tu_t, gate, v_n, y in zip(tu, gates, inner, out[0], strict=True):
        r, z, n = xp.split(gate, 3, axis=1)
        tv = th @ w_hh.T + h @ tw_hh.T + (0 if tb_hh is None else tb_hh)
        (tu_r, tu_z, tu_n), (tv_r, tv_z, tv_n) = xp.split(tu_t, 3, axis=1), xp.split(tv, 3, axis=1)
        tr, tz = (tu_r + tv_r) * r * (1 - r), (tu_z + tv_z) * z * (1 - z)
        tn = (tu_n + tr * v_n + r * tv_n) * (1 - n * n)
        th = tn * (1 - z) - tz * n + tz * h + z * th
        h = y
        tys.append(th)
    return xp.stack(tys), th


@op(samples=lambda: grad_cases(3, 1), cost=lambda dys, dh, *layer, **_: 2 * layer_flops(*layer[:6]))
def gru_grad(xp, dys, dh, x, h0, w_ih, w_hh, b_ih=None, b_hh=None, ys=None, gates=None, inner=None):
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh) of gru; ys, gates and inner are caches (computed if None).

    From the last step to the first, with du and dv the gradients of u and v:  dh_t = dy_t + dv_(t+1) W_hh + z_(t+1)
    dh_(t+1),  du_n = dh (1 - z) (1 - n^2),  du_z = dh (h_(t-1) - n) z (1 - z),  du_r = du_n v_n r (1 - r),
    dv = (du_r, du_z, du_n r).
    """
    if ys is None or gates is None or inner is None:
        (ys, _), gates, inner = gru.op.forward(xp, x, h0, w_ih, w_hh, b_ih, b_hh)
    r, z, n = xp.split(gates, 3, axis=2)
    earlier = before(xp, h0, ys)
    to_n, to_z, to_r = (1 - z) * (1 - n * n), (earlier - n) * z * (1 - z), inner * r * (1 - r)
    du, dv = xp.empty_like(gates), xp.empty_like(gates)
    for t in range(len(ys))[::-1]:
        dh = dh + dys[t]
        dn = dh * to_n[t]
        du[t] = xp.concatenate([dn * to_r[t], dh * to_z[t], dn], axis=1)
        dv[t] = du[t]
        dv[t, :, 2 * h0.shape[1] :] *= r[t]
        dh = xp.matmul(dv[t], w_hh) + dh * z[t]
    dx, dw_ih, _, db_ih = layer_grads(xp, du, x, earlier, w_ih)
    return dx, dh, dw_ih, xp.matmul(flat(dv).T, flat(earlier)), db_ih, flat(dv).sum(axis=0)


gru_grad.constant("ys", "gates", "inner")


def gru_cell(from_input, from_state, h):
    (u_r, u_z, u_n), (v_r, v_z, v_n) = split(from_input, 3, axis=-1), split(from_state, 3, axis=-1)
    n = tanh(u_n + sigmoid(u_r + v_r) * v_n)
    return (n + sigmoid(u_z + v_z) * (h - n),)


@gru.composed
def gru_steps(x, h0, w_ih, w_hh, b_ih, b_hh):
    return steps(gru_cell, x, (h0,), w_ih, w_hh, b_ih, b_hh)


@gru_grad.composed
def _(dys, dh, x, h0, w_ih, w_hh, b_ih, b_hh):
    return step_grads(gru_steps, (dys, dh), x, h0, w_ih, w_hh, b_ih, b_hh)
