"""What the documents say of the tree is so: links lead somewhere, and line counts are those of today."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .blocks import examples

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("kernels/*.md"), *ROOT.glob("benchmarks/*.md")]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_line_counts_of_the_reading_order_are_right():
    text = (ROOT / "docs/read-the-engine.md").read_text()
    rows = re.findall(r"\]\(\.\./([^)]+\.py)\) \| (\d+) \|", text)
    assert len(rows) >= 8
    wrong = {f: n for f, said in rows if int(said) != (n := len((ROOT / f).read_text().splitlines()))}
    assert not wrong, (
        f"docs/read-the-engine.md: these have other line counts now: {wrong} (python tests/lines.py --docs)"
    )


def test_the_python_in_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    loss, second = capsys.readouterr().out.splitlines()[:2]
    assert float(loss) < 0.01, "the example is meant to learn"
    assert second.startswith("0.")
    names["tg"].OPS.pop("cube")


def test_the_table_of_figures_is_that_of_the_committed_results():
    script = ROOT / "benchmarks/readme_table.py"
    assert subprocess.run([sys.executable, str(script), "--check"]).returncode == 0, f"run python {script.name}"


def test_the_page_of_operations_is_that_of_the_operations():
    script = ROOT / "benchmarks/operations_page.py"
    assert subprocess.run([sys.executable, str(script), "--check"]).returncode == 0, f"run python {script.name}"


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 50


def test_the_examples_of_a_page_print_what_it_says():
    pytest.importorskip("torch")
    page, numbers = ROOT / "docs/prove-a-gradient.md", re.compile(r"-?\d+\.\d+(e[-+]\d+)?|-?\d+e[-+]\d+")
    ran = list(examples(page))
    assert len(ran) >= 15
    for code, said, out in ran:
        assert numbers.sub("#", out) == numbers.sub("#", said), f"python tests/blocks.py {page.name}: {code}"
