"""The command ``tinygrad-lm``: one file per verb, each with ``add_arguments`` and ``run``."""

from __future__ import annotations

from tinygrad_lm.cli.main import main as main
