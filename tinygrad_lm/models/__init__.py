"""Layer 6: language models."""

from tinygrad_lm.models.gpt import GPT, Block, GPTConfig, generate

__all__ = ["Block", "GPT", "GPTConfig", "generate"]
