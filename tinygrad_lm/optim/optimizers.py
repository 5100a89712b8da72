"""The optimizers: each is its update formula, written with `out=` so that a step makes no arrays.

In the formulas p is the parameter, g its gradient, t the number of its steps so far, this one included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinygrad_lm.core import Tensor
from tinygrad_lm.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for:

        g = g + weight_decay * p
        momentum_buffer = momentum * momentum_buffer + g               (from zeros)
        p = p - lr * momentum_buffer                                   (Nesterov: g + momentum * momentum_buffer)

    Without momentum the buffer is g itself.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.between_0_and_1("momentum", group["momentum"])
        if group["nesterov"] and not group["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum above 0")

    def new_state(self, xp: Any, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": xp.zeros_like(p)} if group["momentum"] else {}

    def update(self, xp: Any, p: Any, g: Any, scratch: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        if group["weight_decay"]:
            xp.multiply(p, group["weight_decay"], out=scratch)
            scratch += g
            g = scratch
        if momentum:
            buffer = state["momentum_buffer"]
            buffer *= momentum
            buffer += g
            if group["nesterov"]:  # in two parts: lr * g, then lr * momentum * buffer
                xp.multiply(g, lr, out=scratch)
                p -= scratch
                lr *= momentum
            g = buffer
        xp.multiply(g, lr, out=scratch)
        p -= scratch


class Adam(Optimizer):
    """Steps of about `lr` whatever the size of the gradient (Kingma and Ba 2015):

        g = g + weight_decay * p
        exp_avg    = beta1 * exp_avg    + (1 - beta1) * g              (from zeros)
        exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g^2
        p = p - lr * m / (sqrt(v) + eps)      with m = exp_avg / (1 - beta1^t) and v = exp_avg_sq / (1 - beta2^t)

    The divisions by 1 - beta^t undo the start from zeros.
    """

    decoupled = False

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        for i, beta in enumerate(group["betas"]):
            self.between_0_and_1(f"betas[{i}]", beta)
        if not group["eps"] > 0:
            raise ValueError(f"{type(self).__name__}: eps must be above 0, got {group['eps']!r}")

    def new_state(self, xp: Any, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": 0, "exp_avg": xp.zeros_like(p), "exp_avg_sq": xp.zeros_like(p)}

    def update(self, xp: Any, p: Any, g: Any, scratch: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
        if decay and self.decoupled:
            p *= 1 - lr * decay
        elif decay:
            g = g + decay * p
        m, v, t = state["exp_avg"], state["exp_avg_sq"], state["step"] + 1
        state["step"] = t

        m *= beta1
        xp.multiply(g, 1 - beta1, out=scratch)
        m += scratch

        v *= beta2
        xp.multiply(g, g, out=scratch)
        scratch *= 1 - beta2
        v += scratch

        # Both corrections are numbers, so they go where they cost no pass: lr * root / c1 * m / (sqrt(v) + eps * root)
        c1, root = 1 - beta1**t, math.sqrt(1 - beta2**t)
        xp.sqrt(v, out=scratch)
        scratch += group["eps"] * root
        xp.divide(m, scratch, out=scratch)
        scratch *= lr * root / c1
        p -= scratch


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov and Hutter 2019): first p = (1 - lr * weight_decay) * p, then Adam's step,
    which sees the bare gradient.  So how fast a weight decays does not depend on how large its gradients are.
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay)
