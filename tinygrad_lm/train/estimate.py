"""How long and how much memory a run is expected to take. Estimates: good for deciding whether to wait."""

from __future__ import annotations

import os

from tinygrad_lm.data.errors import UserError
from tinygrad_lm.train.config import TrainConfig
from tinygrad_lm.train.evaluate import TOKENS_AT_ONCE
from tinygrad_lm.train.progress import readable_bytes

__all__ = ["check_memory", "expected_memory", "expected_seconds"]

INTERPRETER = 35e6  # Python, NumPy and this package
BACKWARD = 2  # a backward pass does about twice the work of a forward pass


def expected_seconds(config: TrainConfig, step_seconds: float, step: int, val_tokens: int) -> float:
    """From the measured seconds of one step: the steps that are left, and the validations among them."""
    validations = 1 + (config.steps // config.eval_every - step // config.eval_every if config.eval_every else 0)
    per_token = step_seconds / config.tokens_per_step
    return (config.steps - step) * step_seconds + validations * val_tokens * per_token / (1 + BACKWARD)


def expected_memory(config: TrainConfig, parameters: int, vocab_size: int) -> float:
    """Bytes at the peak: weights, gradients and AdamW's two averages, and the activations that one micro-batch keeps
    for its backward pass (validation keeps none, but passes more tokens at once)."""
    itemsize = 8 if config.dtype == "float64" else 4
    tokens = config.batch * config.context
    # Per layer and token: normed inputs, queries, keys, values, attention's result, the fourfold hidden layer before
    # and after its nonlinearity, two residual sums; and each head's weights over the context.
    layer = 16 * config.width + config.heads * config.context
    kept = tokens * (config.layers * layer + 3 * vocab_size)
    passing = max(tokens, TOKENS_AT_ONCE) * max(8 * config.width + 2 * config.heads * config.context, 2 * vocab_size)
    return INTERPRETER + itemsize * (4 * parameters + kept + passing)


def check_memory(config: TrainConfig, vocab_size: int) -> None:
    """Raises UserError (exit code 1), before anything is allocated, if a run needs more than twice the memory of this
    machine: sizes that cannot be meant. (Between once and twice the estimate may be wrong, and the run may try.)"""
    matrices = config.layers * 12 * config.width**2 + (vocab_size + config.context) * config.width
    needed = expected_memory(config, matrices, vocab_size)
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > 2 * present:
        raise UserError(
            f"this run needs about {readable_bytes(needed)} of memory, and this machine has {readable_bytes(present)}; "
            f"a smaller batch, context, width or number of layers needs less",
            exit_code=1,
        )
