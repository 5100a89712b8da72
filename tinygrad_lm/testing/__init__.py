"""Layer 8: proving derivatives right."""

from tinygrad_lm.testing.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
