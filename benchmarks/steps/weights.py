"""Initial weights and buffers by name, float32; their names and shapes are torch's and ours."""

from __future__ import annotations

import numpy as np

Named = dict[str, np.ndarray]


def normal(rng: np.random.Generator, name: str, *shape: int, std: float) -> Named:
    return {name: (std * rng.standard_normal(shape)).astype(np.float32)}


def linear(rng: np.random.Generator, name: str, inputs: int, outputs: int, std: float | None = None) -> Named:
    bias = {f"{name}.bias": np.zeros(outputs, np.float32)}
    return normal(rng, f"{name}.weight", outputs, inputs, std=inputs**-0.5 if std is None else std) | bias


def conv(rng: np.random.Generator, name: str, inputs: int, outputs: int, size: int) -> Named:
    return normal(rng, f"{name}.weight", outputs, inputs, size, size, std=(2 / (inputs * size * size)) ** 0.5)


def norm(name: str, width: int) -> Named:
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def batch_norm(name: str, width: int) -> Named:
    buffers = {f"{name}.running_mean": np.zeros(width, np.float32), f"{name}.running_var": np.ones(width, np.float32)}
    return norm(name, width) | buffers | {f"{name}.num_batches_tracked": np.zeros((), np.int64)}


def transformer_block(rng: np.random.Generator, name: str, width: int, std: float = 0.02) -> Named:
    return (
        norm(f"{name}.norm1", width)
        | norm(f"{name}.norm2", width)
        | linear(rng, f"{name}.attention.qkv", width, 3 * width, std)
        | linear(rng, f"{name}.attention.output", width, width, std)
        | linear(rng, f"{name}.expand", width, 4 * width, std)
        | linear(rng, f"{name}.contract", 4 * width, width, std)
    )
