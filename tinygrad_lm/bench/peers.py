"""The same operations as NumPy, torch and JAX have them: what ours are timed against.

    torch = peer("torch")
    torch.setup(threads=2)
    measure(workload("softmax"), torch.function("softmax", params_of("softmax")), "torch", put=torch.array)

A peer is given what its users would write.  Most names are the same there; the tables say where they are not, and the
gate says whether an entry computes what ours does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lm.backend import Unavailable
from tinygrad_lm.ops.convolution import Geometry

Function = Callable[..., Any]
INSTALL = {"torch": "pip install torch (a CPU build is enough)", "jax": "pip install jax"}


@dataclass(frozen=True)
class Peer:
    """Another library: `array(ndarray)` makes its arrays (a copy; the dtype is kept), `setup(threads)` prepares it.

    setup: sets how many threads it uses, where that can be done after it was imported (torch); the others read
    OMP_NUM_THREADS and the like before (`Worker` sets them).  JAX has float64 only after it.
    """

    name: str
    version: str
    array: Callable[[np.ndarray], Any]
    setup: Callable[[int], None]
    modules: tuple[Any, ...]  # where what has the same name is looked for
    table: Mapping[str, Function | None]  # what is called otherwise; None: what has the name is something else
    runs: Callable[[Function], Function]  # a forward that is done when it returns

    def function(self, name: str, params: Mapping[str, Any]) -> Function:
        """The counterpart of an operation: its arrays in and out, done when it returns.

        params: keywords of our operation.  ValueError where there is none.

        >>> float(peer("numpy").function("sum", {"axis": -1})(np.ones(3)))
        3.0
        """
        same = [getattr(module, name, None) for module in self.modules]
        found = self.table[name] if name in self.table else next(filter(None, same), None)
        if found is None:
            raise ValueError(f"{self.name} has no counterpart of {name} here")
        return self.runs(functools.partial(found, **params) if params else found)


def peer(name: str) -> Peer:
    """The peer of that name.  ValueError for an unknown one; `Unavailable`, one line, where it is not installed.

    >>> peer("numpy").name
    'numpy'
    """
    if name not in PEERS:
        raise ValueError(f"no peer is called {name!r}: expected one of {', '.join(PEERS)}")
    try:
        return PEERS[name]()
    except ImportError as error:
        raise Unavailable(f"{name} is not installed ({error}): {INSTALL[name]}") from None


# ------------------------------------------------------------------------------------------------------------- NumPy


def of_numpy() -> Peer:
    table: dict[str, Function | None] = {
        "cast": lambda x, dtype: x.astype(dtype),
        "clip": lambda x, low, high: np.clip(x, low, high),
        "embedding": lambda ids, weight: weight[ids],
        "gather": lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
        "getitem": lambda x, index: x[index],
        "logsumexp": lambda x, axis: np.logaddexp.reduce(x, axis),
        "norm": np.linalg.norm,
        "pad": lambda x, pad_width, mode="constant": np.pad(x, pad_width, mode=mode),
        "permute": None,
        "sort": lambda x, axis=-1, descending=False, stable=True: np.sort(x, axis=axis, stable=stable),
        "argsort": lambda x, axis=-1, descending=False, stable=True: np.argsort(x, axis=axis, stable=stable),
        "split": lambda x, sections, axis=0: tuple(np.split(x, sections, axis)),
        "concatenate": lambda *xs, axis=0: np.concatenate(xs, axis),
        "stack": lambda *xs, axis=0: np.stack(xs, axis),
        "einsum": lambda *xs, subscripts: np.einsum(subscripts, *xs, optimize=True),
    }
    return Peer("numpy", np.__version__, np.array, lambda threads: None, (np, np.linalg), table, lambda f: f)


# ------------------------------------------------------------------------------------------------------------- torch


def of_torch() -> Peer:
    import torch
    import torch.nn.functional as F

    def conv(x: Any, weight: Any, geometry: Geometry) -> Any:
        return F.conv2d(x, weight, None, geometry.stride, [p for p, _ in geometry.padding], 1, geometry.groups)

    def recurrent(function: Callable, x: Any, state: Any, weights: Any) -> Any:
        ys, *last = function(x, state, weights, True, 1, 0.0, False, False, False)
        return (ys, *[h[0] for h in last])

    def batch_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)

    table: dict[str, Function | None] = {
        **{"equal": torch.eq, "not_equal": torch.ne, "asin": torch.asin, "positive": torch.clone, "clip": torch.clamp},
        **{"max": torch.amax, "min": torch.amin, "median": None, "cofactors": None},
        **{name: functools.partial(getattr(torch, name), correction=0) for name in ("var", "std")},
        "floor_divide": torch.floor_divide,
        "norm": torch.linalg.vector_norm,
        "softplus": functools.partial(F.softplus, threshold=40),  # beyond 20 it is x to the last bit of float32 only
        "cast": lambda x, dtype: x.to(getattr(torch, np.dtype(dtype).name)),
        "flip": lambda x, axis: torch.flip(x, (axis,)),
        "roll": lambda x, shift, axis: torch.roll(x, shift, axis),
        "unfold_grad": None,
        "unfold": None,
        "getitem": lambda x, index: x[index],
        "embedding": F.embedding,
        "gather": lambda x, indices, axis=-1: torch.gather(x, axis, indices),
        "scatter_add": lambda x, indices, source, axis=-1: torch.scatter_add(x, axis, indices, source),
        "concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
        "stack": lambda *xs, axis=0: torch.stack(xs, axis),
        "split": lambda x, sections, axis=0: torch.tensor_split(x, sections, axis),
        "pad": lambda x, pad_width: F.pad(x, [n for pair in reversed(pad_width) for n in pair]),
        "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
        "tensordot": lambda a, b, axes=2: torch.tensordot(a, b, axes),
        "vecdot": torch.linalg.vecdot,
        "sort": lambda x, axis=-1: torch.sort(x, dim=axis, stable=True).values,
        "argsort": lambda x, axis=-1: torch.argsort(x, dim=axis, stable=True),
        "topk": lambda x, k, axis=-1: tuple(torch.topk(x, k, axis)),
        "slogdet": lambda x: tuple(torch.linalg.slogdet(x)),
        "layer_norm": lambda x, weight, bias, eps=1e-5: F.layer_norm(x, x.shape[-1:], weight, bias, eps),
        "rms_norm": lambda x, weight, eps=1e-5: F.rms_norm(x, x.shape[-1:], weight, eps),
        "batch_norm": batch_norm,
        "batch_norm_eval": lambda x, mean, variance, weight, bias: F.batch_norm(x, mean, variance, weight, bias),
        "group_norm": lambda x, weight, bias, num_groups=1: F.group_norm(x, num_groups, weight, bias),
        "normalize": lambda x, axis=-1: F.normalize(x, dim=axis),
        "cosine_similarity": lambda a, b, axis=-1: F.cosine_similarity(a, b, dim=axis),
        "conv": conv,
        "conv_transpose": lambda x, weight, size, geometry: F.conv_transpose2d(x, weight, None, geometry.stride, 1),
        "max_pool": lambda x, windows: F.max_pool2d(x, 2),
        "rnn": lambda x, h0, *weights: recurrent(torch.rnn_tanh, x, h0[None], weights),
        "gru": lambda x, h0, *weights: recurrent(torch.gru, x, h0[None], weights),
        "lstm": lambda x, h0, c0, *weights: recurrent(torch.lstm, x, (h0[None], c0[None]), weights),
        **{name: getattr(torch.linalg, name) for name in ("solve", "qr", "cholesky", "inv", "det")},
        "trace": lambda x, axis1, axis2: torch.diagonal(x, 0, axis1, axis2).sum(-1),
        "kl_div": lambda log_p, target: F.kl_div(log_p, target, reduction="none").mean(),
        "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
        "dropout": None,  # other random numbers
        "attention": lambda q, k, v, causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
    }

    def runs(function: Function) -> Function:
        return torch.no_grad()(function)

    def array(x: np.ndarray) -> Any:
        return torch.from_numpy(np.array(x))

    modules = torch, F, torch.linalg
    return Peer("torch", torch.__version__, array, torch.set_num_threads, modules, table, runs)


# --------------------------------------------------------------------------------------------------------------- JAX


def of_jax() -> Peer:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp
    from jax import lax

    def standard(x: Any, axis: Any, eps: float) -> Any:
        return (x - x.mean(axis, keepdims=True)) * lax.rsqrt(x.var(axis, keepdims=True) + eps)

    def across(p: Any) -> Any:
        return p[:, None, None]

    def attention(q: Any, k: Any, v: Any, causal: bool) -> Any:
        if q.dtype != jnp.float64:
            q, k, v = [jnp.swapaxes(x, 1, 2) for x in (q, k, v)]  # (batch, length, heads, size) is what it takes
            return jnp.swapaxes(jax.nn.dot_product_attention(q, k, v, is_causal=causal), 1, 2)
        scores = q @ jnp.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5  # that one computes in float32 whatever it is given
        seen = jnp.tri(scores.shape[-2], scores.shape[-1], dtype=bool) if causal else True
        return jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), -1) @ v

    def conv(x: Any, weight: Any, geometry: Geometry) -> Any:
        groups = geometry.groups
        return lax.conv_general_dilated(
            x, weight, geometry.stride, geometry.padding, None, geometry.dilation, feature_group_count=groups
        )

    def cross_entropy(logits: Any, targets: Any) -> Any:
        chosen = jnp.take_along_axis(logits, targets[:, None], -1)[:, 0]
        return (jax.nn.logsumexp(logits, -1) - chosen).mean()

    table: dict[str, Function | None] = {
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "leaky_relu": jax.nn.leaky_relu,
        "erf": lax.erf,
        "erfc": lax.erfc,
        "rsqrt": lax.rsqrt,
        "linear": lambda x, weight, bias: x @ weight.T + bias,
        "embedding": lambda ids, weight: weight[ids],
        "gather": lambda x, indices, axis: jnp.take_along_axis(x, indices, axis),
        "einsum": lambda *xs, subscripts: jnp.einsum(subscripts, *xs),
        "concatenate": lambda *xs, axis: jnp.concatenate(xs, axis),
        "stack": lambda *xs, axis: jnp.stack(xs, axis),
        "conv": conv,
        **dict.fromkeys(("scatter_add", "conv_transpose"), None),  # what has the name there is something else
        "layer_norm": lambda x, weight, bias, eps=1e-5: standard(x, -1, eps) * weight + bias,
        "rms_norm": lambda x, weight, eps=1e-5: x * lax.rsqrt((x * x).mean(-1, keepdims=True) + eps) * weight,
        "batch_norm": lambda x, w, b, eps=1e-5: standard(x, (0, 2, 3), eps) * across(w) + across(b),
        "attention": attention,
        "cross_entropy": cross_entropy,
    }

    def setup(threads: int) -> None:
        jax.config.update("jax_enable_x64", True)

    def runs(function: Function) -> Function:
        compiled = jax.jit(function)
        return lambda *arrays: jax.block_until_ready(compiled(*arrays))

    def array(x: np.ndarray) -> Any:
        made = jnp.array(x)
        if made.dtype != x.dtype and x.dtype.kind == "f":
            raise ValueError(f"jax keeps {x.dtype} only after setup(threads)")
        return made

    modules = jnp, jax.nn, jnp.linalg, lax
    return Peer("jax", jax.__version__, array, setup, modules, table, runs)


PEERS: dict[str, Callable[[], Peer]] = {"numpy": of_numpy, "torch": of_torch, "jax": of_jax}
