"""The examples in a page: its Python blocks run in order, and the text block after one is what it prints.

python tests/blocks.py docs/prove-a-gradient.md    # write what they print today into the page
"""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from tinygrad_lm import OPS

BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


def examples(page: Path) -> Iterator[tuple[str, str, str]]:
    """(Python, what the page says it prints, what it prints) of each block; the operations they declare are forgotten.

    A block may end with an AssertionError: its name and message are printed, as in a shell.
    """
    names: dict = {"__name__": page.stem}
    operations = dict(OPS)
    try:
        for code, said in BLOCK.findall(page.read_text()):
            with redirect_stdout(out := io.StringIO()):
                try:
                    exec(compile(code, page.name, "exec"), names)
                except AssertionError as error:
                    print(f"{type(error).__name__}: {error}")
            yield code, said, out.getvalue()
    finally:
        OPS.clear()
        OPS.update(operations)


def main() -> None:
    page = Path(sys.argv[1])
    printed = iter(list(examples(page)))

    def with_output(match: re.Match) -> str:
        code, _, out = next(printed)
        return f"```python\n{code}```" + (f"\n\n```text\n{out}```" if out else "")

    page.write_text(BLOCK.sub(with_output, page.read_text()))


if __name__ == "__main__":
    main()
