"""One HTML page of result documents: pictures, verdicts, rows, and where all of it was measured.

It needs no network and no scripts; whatever a document says is shown, not executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tinygrad_lm.bench.pictures import VERDICTS, draw
from tinygrad_lm.bench.results import unlike
from tinygrad_lm.bench.tables import comparison_cells, quartiles, row_cells, summary

CSS = """
:root { color-scheme: light dark; --line: #d8d8d8; --dim: #666; --card: #fff; --ground: #f6f6f4; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --dim: #aaa; --card: #222; --ground: #181818; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 84rem; padding: 1.5rem }
body { background: var(--ground) }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem }
p, dd { overflow-wrap: anywhere } th { white-space: nowrap } .dim { color: var(--dim) }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem }
table { border-collapse: collapse; width: 100%; font-size: .87rem } th { text-align: left; font-weight: 600 }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top }
tr:last-child td { border-bottom: 0 } td { font-variant-numeric: tabular-nums }
.picture { background: #fff; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem; margin-bottom: 1rem }
.picture svg { display: block; max-width: 100%; height: auto; margin: auto }
@media (prefers-color-scheme: dark) { .picture { filter: invert(.88) hue-rotate(180deg) } }
.strip { display: block; width: 7.5rem; height: 1.1rem; stroke: currentColor; stroke-width: .6; opacity: .75 }
.strip .median { stroke: #d55e00; stroke-width: 1.6 } td.whole { white-space: nowrap } td.dim { font-size: .8rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0 } dt { color: var(--dim) }
dd { margin: 0 } b.verdict { color: #fff; border-radius: .3rem; padding: .05rem .45rem; font-size: .8rem }
"""
ROWS = ("what", "variant", "hot (quartiles)", "cold", "host", "rate", "of the roofline", "notes", "hot samples")
COMPARISONS = ("what", "a", "b", "time a / time b", "95 % interval", "verdict", "notes")
MOST = 200  # samples of a row that are drawn
CLASSES = dict.fromkeys(("cold", "host", "95 % interval", "of the roofline"), ' class="whole"') | {
    "notes": ' class="dim"'
}
FIGURES = ("figure", "value", "limit", "")


def page(documents: Mapping[str, Mapping[str, Any]], pictures: Sequence[Path] = ()) -> str:
    """The page of these documents, by the names of their files; `pictures`: SVG files to show first."""
    parts = ["<h1>Benchmark report</h1>", f'<p class="dim">{escape(", ".join(documents))}</p>']
    parts += [f'<div class="picture">{inline(path)}</div>' for path in pictures]
    for name, document in documents.items():
        heading = f": {escape(name)}" if len(documents) > 1 else ""
        if document["figures"]:
            parts += [f"<h2>Figures{heading}</h2>", table(FIGURES, [figure_cells(f) for f in document["figures"]])]
        if document["comparisons"]:
            cells = [[escape(cell) for cell in comparison_cells(c)] for c in document["comparisons"]]
            for row in cells:
                colour = VERDICTS.get(row[5], "#777777")
                row[5] = f'<b class="verdict" style="background:{colour}">{row[5]}</b>'
            parts += [f"<h2>Comparisons{heading}</h2>", table(COMPARISONS, cells)]
        if document["rows"]:
            rows = [
                [*[escape(cell) for cell in row_cells(summary(row))], strip((row["timing"] or {}).get("hot_s") or [])]
                for row in document["rows"]
            ]
            parts += [f"<h2>Times{heading}</h2>", table(ROWS, rows)]
        if not (document["figures"] or document["comparisons"] or document["rows"]):
            parts.append(f"<h2>Nothing was measured{heading}</h2>")
        where = {"seed": document["seed"]} if "seed" in document else {}
        parts += [f"<h2>Where and when{heading}</h2>", facts({**document["environment"], **where})]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Benchmark report</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{CSS}</style>\n{body}\n</html>\n"
    )


def inline(path: Path) -> str:
    """An SVG file as a part of a page: without its prolog, with names of its own, so that two do not meet."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    own = path.stem
    text = re.sub(r'\bid="([^"]+)"', rf'id="{own}-\1"', text)
    text = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{own}-\2"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{own}-\1)", text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    columns = "".join([f"<th>{escape(name)}</th>" for name in head])
    kinds = [CLASSES.get(name, "") for name in head]
    cells = [[f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)] for row in rows]
    lines = "".join(["<tr>" + "".join(row) + "</tr>\n" for row in cells])
    return f'<div class="scroll"><table><tr>{columns}</tr>\n{lines}</table></div>'


def strip(samples: Sequence[float]) -> str:
    """A line for each sample from the least to the largest, and the median: one cloud, or two, or a long tail."""
    if len(samples) < 2 or not max(samples) > min(samples):
        return ""
    least, spread = min(samples), max(samples) - min(samples)
    at = [f"{1 + 98 * (s - least) / spread:.4g}" for s in samples[:: -(-len(samples) // MOST)]]
    middle = 1 + 98 * ((quartiles(samples)[1] or least) - least) / spread
    return (
        '<svg class="strip" viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label="samples">'
        f'<path d="{"".join([f"M{x} 3v8" for x in at])}"/><path class="median" d="M{middle:.4g} 0v14"/></svg>'
    )


def figure_cells(figure: Mapping[str, Any]) -> list[str]:
    value, limit = figure.get("value"), figure.get("limit")
    said = "none" if value is None else f"{value:.4g} {figure.get('unit') or ''}"
    if limit is None:
        most, word = "", ""
    else:
        most, word = f"at most {limit:g}", "holds" if figure.get("passed") else "missed"
    return [escape(str(part)) for part in (figure.get("name"), said, most, word)]


def facts(values: Mapping[str, Any]) -> str:
    """A list of names and values, values within values too."""
    items = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            said = facts(value) if value else "-"
        elif isinstance(value, list):
            said = escape(", ".join(map(str, value))) or "-"
        else:
            said = "-" if value is None else escape(str(value))
        items.append(f"<dt>{escape(str(name))}</dt><dd>{said}</dd>")
    return "<dl>" + "".join(items) + "</dl>"


def report(documents: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write pictures and the page report.html; the files.  Unavailable where pictures cannot be drawn."""
    written = draw(joined(documents), folder)
    text = page(documents, [path for path in written if path.suffix == ".svg"])
    (folder / "report.html").write_text(text, encoding="utf-8")
    return [*written, folder / "report.html"]


def joined(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One document of several: the name of each is added to the variants of its rows.

    The roofline is that of the machine, if it is one.
    """
    first, *others = documents.values()
    if not others:
        return dict(first)
    rows = [
        {**row, "variant": f"{row['variant']}, {name}".removeprefix(", ")}
        for name, document in documents.items()
        for row in document["rows"]
    ]
    alike = not any(unlike(first, other) for other in others)
    return {
        **first,
        "environments": [document["environment"] for document in documents.values()],
        "rows": rows,
        "comparisons": [c for document in documents.values() for c in document["comparisons"]],
        "roofline": merged([document.get("roofline") or {} for document in documents.values()]) if alike else None,
    }


def merged(rooflines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best of several measurements of the same machine."""
    found: dict[str, Any] = {}
    for key in ("peak_flops", "bandwidth_bytes_per_s"):
        found[key] = {}
        for roofline in rooflines:
            for name, value in (roofline.get(key) or {}).items():
                found[key][name] = max(value, found[key].get(name, 0.0))
    return found
