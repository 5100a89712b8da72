"""Training: options, the loop, checkpoints, metrics. ``fit`` and ``resume`` are all that most programs need."""

from __future__ import annotations

from tinygrad_lm.data.errors import UserError as UserError
from tinygrad_lm.train.checkpoint import Checkpoint as Checkpoint
from tinygrad_lm.train.checkpoint import load_checkpoint as load_checkpoint
from tinygrad_lm.train.checkpoint import save_checkpoint as save_checkpoint
from tinygrad_lm.train.config import PRESETS as PRESETS
from tinygrad_lm.train.config import TrainConfig as TrainConfig
from tinygrad_lm.train.config import resolve_config as resolve_config
from tinygrad_lm.train.evaluate import evaluate as evaluate
from tinygrad_lm.train.inference import TrainedRun as TrainedRun
from tinygrad_lm.train.inference import load_run as load_run
from tinygrad_lm.train.loop import Result as Result
from tinygrad_lm.train.loop import fit as fit
from tinygrad_lm.train.loop import resume as resume
from tinygrad_lm.train.metrics import read_metrics as read_metrics
from tinygrad_lm.train.progress import Quiet as Quiet
from tinygrad_lm.train.trainer import Trainer as Trainer
