"""Layers and optimizers as functions of a dictionary of weights: imported on JAX's side only.

Weights have torch's names and shapes; images are NHWC, which XLA's CPU convolutions work in.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Named = dict[str, Any]


def linear(p: Named, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def layer_norm(p: Named, name: str, x: Any, eps: float = 1e-5) -> Any:
    d = x - x.mean(-1, keepdims=True)
    return d * lax.rsqrt((d * d).mean(-1, keepdims=True) + eps) * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention(p: Named, name: str, x: Any, heads: int, causal: bool = False, mask: Any = None) -> Any:
    B, T, C = x.shape
    q, k, v = jnp.split(linear(p, f"{name}.qkv", x).reshape(B, T, 3 * heads, C // heads), 3, axis=2)  # (B, T, H, D)
    y = jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=causal)
    return linear(p, f"{name}.output", y.reshape(B, T, C))


def conv(p: Named, name: str, x: Any, stride: int = 1, padding: int = 1) -> Any:
    """x (N, H, W, C)."""
    sides = [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, p[f"{name}.weight"], (stride, stride), sides, dimension_numbers=("NHWC", "OIHW", "NHWC")
    )


def batch_norm(p: Named, name: str, x: Any, eps: float = 1e-5, momentum: float = 0.1) -> Any:
    """x (N, H, W, C), in training: the running statistics in ``p`` move."""
    count = x.size // x.shape[-1]
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    for buffer, seen in (("running_mean", mean), ("running_var", var * count / (count - 1))):
        p[f"{name}.{buffer}"] = (1 - momentum) * p[f"{name}.{buffer}"] + momentum * lax.stop_gradient(seen)
    p[f"{name}.num_batches_tracked"] += 1
    return (x - mean) * lax.rsqrt(var + eps) * p[f"{name}.weight"] + p[f"{name}.bias"]


def max_pool(x: Any) -> Any:
    """The largest of 2 x 2: (N, H, W, C) -> (N, H/2, W/2, C)."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def cross_entropy(logits: Any, targets: Any, ignored: int = -100) -> Any:
    """The mean over the targets that are not ``ignored``."""
    counted = targets != ignored
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(counted, targets, 0)[..., None], -1)[..., 0]
    return -jnp.where(counted, chosen, 0).sum() / counted.sum()


# ----------------------------------------------------------------------------------------------------------- optimizers

# (weight, gradient, two moments that start as zeros, number of the step from 1 on) -> (weight, moments)


def sgd(p: Any, g: Any, moments: Any, t: Any, lr: float, momentum: float = 0.0) -> tuple[Any, Any]:
    velocity, unused = moments
    velocity = momentum * velocity + g
    return p - lr * velocity, (velocity, unused)


def adamw(p: Any, g: Any, moments: Any, t: Any, lr: float, weight_decay: float = 0.0) -> tuple[Any, Any]:
    m, v = 0.9 * moments[0] + 0.1 * g, 0.999 * moments[1] + 0.001 * g * g
    c1, c2 = [-jnp.expm1(t * math.log(beta)) for beta in (0.9, 0.999)]  # 1 - beta^t: in float32 0.999 is off by 1e-8
    step = m / c1 / (jnp.sqrt(v / c2) + 1e-8)
    return p - lr * step - lr * weight_decay * p, (m, v)


OPTIMIZERS = {"SGD": sgd, "Adam": adamw, "AdamW": adamw}  # Adam is AdamW without decay
