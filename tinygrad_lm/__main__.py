"""``python -m tinygrad_lm`` is the command ``tinygrad-lm``."""

from __future__ import annotations

import sys

from tinygrad_lm.cli import main

if __name__ == "__main__":
    sys.exit(main())
