"""The one exception for mistakes a user can make and mend: it is printed as one line, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UserError", "nearest"]


class UserError(ValueError):
    """One clear line: what is wrong, where, and how to fix it.

    ``exit_code`` is what the command returns: 2 when the command or its input must change (the default), 1 when the
    work itself failed (a full disk, a loss that is not a number, a damaged checkpoint).
    """

    def __init__(self, message: str, *, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of an "unknown name" line: the names that look like ``word``, or all of them when none does; ``prefix``
    stands before each.

    >>> nearest("witdh", ["width", "layers"])
    'did you mean width?'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3)
    shown = [prefix + name for name in close or names]
    return f"did you mean {' or '.join(shown)}?" if close else f"known: {', '.join(shown)}"
