"""Layer 5: optimizers update parameters, schedules say how far, clipping how far at most."""

from tinygrad_lm.optim import schedule
from tinygrad_lm.optim.clip import clip_grad_norm_, decay_groups
from tinygrad_lm.optim.optimizer import Optimizer
from tinygrad_lm.optim.optimizers import SGD, Adam, AdamW
from tinygrad_lm.optim.schedule import Schedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "Schedule", "clip_grad_norm_", "decay_groups", "schedule"]
