"""A result document as pictures: where times stand under the roofline, how they grow, who is faster, which rung helps.

Each function draws one figure, or returns None where the document has nothing for it.  Needs matplotlib.
"""

from __future__ import annotations

import importlib
import math
import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygrad_lm.backend import Unavailable
from tinygrad_lm.bench.roofline import quantity
from tinygrad_lm.bench.tables import quartiles, what_of

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = "osD^vPX"
VERDICTS = {"FASTER": COLOURS[2], "SLOWER": COLOURS[1], "SAME": COLOURS[0], "UNSURE": "#777777"}
STYLE = {
    **{"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True},
    **{"grid.color": "#dddddd", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False},
    **{"svg.hashsalt": "tinygrad_lm", "svg.fonttype": "path", "figure.constrained_layout.use": True},
}
MOST = 24  # lines of a picture; a page has room for more pictures, a reader has not
Document = Mapping[str, Any]


def pyplot() -> Any:
    """matplotlib, drawing to files only; Unavailable where it is not installed."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        matplotlib.use("Agg")
        plt = importlib.import_module("matplotlib.pyplot")
        importlib.import_module("matplotlib.ticker")
    except ImportError:
        raise Unavailable('pictures need matplotlib: pip install "tinygrad_lm[plot]"') from None
    plt.rcParams.update(STYLE)
    return plt


def where(document: Document) -> str:
    """The machine and the commit, for the foot of a picture: a line for each, where a document was made of several."""
    on_gpu = any(row["device"] == "cuda" for row in document["rows"])
    return "\n".join(
        dict.fromkeys(place(each, on_gpu) for each in document.get("environments", [document["environment"]]))
    )


def place(environment: Mapping[str, Any], on_gpu: bool = False) -> str:
    """The machine, the day and the commit of a record."""
    gpu, git = environment.get("gpu"), environment.get("git") or {}
    machine = gpu["name"] if gpu and on_gpu else f"{environment['cpu']}, {environment['cores']} cores"
    commit = f", commit {git['commit'][:10]}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else ""
    return f"{machine}, {environment['time'][:10]}{commit}"


def timed_rows(document: Document) -> list[Mapping[str, Any]]:
    return [row for row in document["rows"] if row.get("timing") and row["timing"].get("hot_s")]


def median(row: Mapping[str, Any], kind: str = "hot_s") -> float | None:
    return quartiles(row["timing"].get(kind) or [])[1]


def rate(row: Mapping[str, Any]) -> float:
    """FLOP/s at the median hot time."""
    return row["flops"] / (median(row) or 1.0)


def finished(figure: Any, title: str, document: Document) -> Any:
    figure.suptitle(title, fontsize=12, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(where(document), fontsize=7.5, color="#666666", x=0.01, ha="left")
    return figure


def roofline(document: Document) -> Any:
    """FLOP/s over FLOP per byte: every row, and the roofs that the machine had in the same run."""
    roofs = document.get("roofline") or {}
    peaks, bandwidths = roofs.get("peak_flops") or {}, roofs.get("bandwidth_bytes_per_s") or {}
    rows = [row for row in timed_rows(document) if row.get("flops") and row.get("bytes")]
    if not (peaks and bandwidths and rows):
        return None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(8.5, 5))
    intensities = [row["flops"] / row["bytes"] for row in rows]
    largest = str(max(int(size) for size in bandwidths))
    slow, fast, top = bandwidths[largest], max(bandwidths.values()), max(peaks.values())
    low, high = min(*intensities, 0.1) / 2, max(*intensities, 2 * top / slow) * 3
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="FLOP/s", xlim=(low, high))
    axes.set_ylim(min(map(rate, rows)) / 3, top * 3)
    lines = [(slow, "-", "memory"), (fast, "--", "caches")] if fast > 1.2 * slow else [(slow, "-", "memory")]
    for bandwidth, style, name in lines:
        axes.plot([low, top / bandwidth], [low * bandwidth, top], style, color="#666666", linewidth=1.2)
        ends = axes.transData.transform([(low, low * bandwidth), (top / bandwidth, top)])
        angle = math.degrees(math.atan2(*(ends[1] - ends[0])[::-1]))
        start = max(low, axes.get_ylim()[0] / bandwidth) * 1.4
        axes.annotate(
            f"{quantity(bandwidth)}B/s, {name}", (start, start * bandwidth), xytext=(0, 3), fontsize=8,
            textcoords="offset points", color="#444444", rotation=angle, rotation_mode="anchor", va="bottom",
        )  # fmt: skip
    for dtype, peak in sorted(peaks.items()):
        axes.plot([peak / fast, high], [peak, peak], color="#666666", linewidth=1.2)
        said = f"{dtype}: {quantity(peak)}FLOP/s"
        axes.annotate(said, (1.2 * peak / slow, peak), fontsize=8, color="#444444", va="bottom")
    for k, variant in enumerate(dict.fromkeys(str(row.get("variant")) for row in rows)):
        mine = [row for row in rows if str(row.get("variant")) == variant]
        look = {"s": 36, "c": COLOURS[k % 7], "marker": MARKERS[k % 7], "edgecolor": "white", "linewidth": 0.5}
        x = [row["flops"] / row["bytes"] for row in mine]
        axes.scatter(x, [rate(row) for row in mine], label=variant, zorder=3, **look)
    best = {row["case"]: row for row in sorted(rows, key=rate)}  # the fastest row of each
    taken: list[tuple[float, float, float]] = []  # labels, in dots: one that would meet another goes below it
    for case, row in list(best.items())[: -MOST - 1 : -1]:
        point = row["flops"] / row["bytes"], rate(row)
        x, y = axes.transData.transform(point)
        wide = 6.5 * len(case)
        while any(x < right and left < x + wide and abs(y - at) < 11 for left, right, at in taken):
            y -= 2
        taken.append((x, x + wide, y))
        above = y - axes.transData.transform(point)[1]
        axes.annotate(case, point, xytext=(6, 4 + above * 72 / figure.dpi), textcoords="offset points", fontsize=7.5)
    axes.yaxis.set_major_formatter(plt.matplotlib.ticker.EngFormatter())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return finished(figure, "Roofline", document)


def scaling(document: Document) -> Any:
    """Time and rate over a size, for every workload that has rows at several sizes of one axis: hot and cold."""
    panels: defaultdict[tuple[str, str], defaultdict[tuple, dict]] = defaultdict(lambda: defaultdict(dict))
    for row in timed_rows(document):
        for axis, size in row["axes"].items():
            if isinstance(size, int | float) and not isinstance(size, bool):
                rest = " ".join([f"{k}={v}" for k, v in row["axes"].items() if k != axis])
                panels[row["case"], axis][row.get("variant") or row["device"], row["dtype"], rest][size] = row
    found = {}
    for panel, series in panels.items():
        lines = {name: sorted(rows.items()) for name, rows in series.items() if len(rows) > 2}
        if lines:
            found[panel] = dict(list(lines.items())[: len(COLOURS)])
    found = dict(list(found.items())[:6])
    if not found:
        return None
    plt = pyplot()
    figure, grid = plt.subplots(len(found), 2, figsize=(10.4, 0.5 + 3.1 * len(found)), squeeze=False)
    for (left, right), ((case, axis), lines) in zip(grid, found.items(), strict=True):
        # What all lines share is said once, in the title; a line's name is the rest.
        shared = {k for k in (1, 2) if len({name[k] for name in lines}) == 1}
        over_time(left, {" ".join([w for k, w in enumerate(n) if k not in shared and w]): v for n, v in lines.items()})
        rates = "flops" if next(iter(lines.values()))[-1][1].get("bound") == "compute" else "bytes"
        over_rate(right, list(lines.values()), rates)
        common = ", ".join([next(iter(lines))[k] for k in sorted(shared) if next(iter(lines))[k]])
        left.set_title(f"{case} ({common})" if common else case, fontsize=10.5, loc="left")
        sizes = sorted({size for points in lines.values() for size, _ in points})
        for axes in (left, right):
            axes.set(xscale="log", xlabel=axis)
            axes.set_xticks(sizes, [f"{size:,g}" if size < 1e4 else f"{quantity(size)}".strip() for size in sizes])
            axes.xaxis.set_minor_locator(plt.matplotlib.ticker.NullLocator())
        left.set_yscale("log")
        left.yaxis.set_major_locator(plt.matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_minor_formatter("")
        right.set_ylim(bottom=0)
        for axes, unit in ((left, "s"), (right, "FLOP/s" if rates == "flops" else "B/s")):
            axes.yaxis.set_major_formatter(plt.matplotlib.ticker.EngFormatter(unit=unit))
        left.legend(fontsize=7.5)
    return finished(
        figure, "Times and rates over sizes: medians, hot (solid, with quartiles) and cold (dotted)", document
    )


def over_time(axes: Any, lines: Mapping[str, list]) -> None:
    """Seconds over a size, a line for each name: hot with a band, and cold."""
    for k, (name, points) in enumerate(lines.items()):
        sizes, look = [size for size, _ in points], {"color": COLOURS[k], "marker": MARKERS[k]}
        low, middle, high = zip(*[quartiles(row["timing"]["hot_s"]) for _, row in points], strict=True)
        axes.fill_between(sizes, low, high, color=COLOURS[k], alpha=0.25, linewidth=0)
        axes.plot(sizes, middle, markersize=4, label=name, **look)
        if all(row["timing"].get("cold_s") for _, row in points):
            cold = [median(row, "cold_s") for _, row in points]
            axes.plot(sizes, cold, ":", markersize=3, **look)


def over_rate(axes: Any, lines: Sequence[list], what: str) -> None:
    """FLOPs or bytes per second over a size, hot and cold."""
    for k, points in enumerate(lines):
        for kind, style, markersize in (("hot_s", "-", 4), ("cold_s", ":", 3)):
            rates = [(size, row[what] / time) for size, row in points if row.get(what) and (time := median(row, kind))]
            look = {"color": COLOURS[k], "marker": MARKERS[k], "markersize": markersize}
            axes.plot(*zip(*rates, strict=True), style, **look) if rates else None


def before_after(document: Document) -> Any:
    """Ratios with their intervals, coloured by verdict; the band is what counts as the same."""
    found = [c for c in document["comparisons"] if c.get("ratio") and c.get("interval")][: 2 * MOST]
    if not found:
        return None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.32 * len(found)))
    axes.axvspan(0.98, 1.02, color="#eeeeee", linewidth=0)
    axes.axvline(1, color="#666666", linewidth=1)
    names = []
    for k, c in enumerate(reversed(found)):
        low, high = c["interval"]
        colour = VERDICTS.get(c["verdict"], COLOURS[6])
        axes.plot([low, high], [k, k], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot(c["ratio"], k, "o", color=colour, markersize=6, markeredgecolor="white")
        axes.annotate(
            f"{c['ratio']:.3f}  {c['verdict']}", (1, k), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=8, color=colour,
        )  # fmt: skip
        what = what_of({**c, "axes": " ".join([f"{a}={s}" for a, s in (c.get("axes") or {}).items()])})
        names.append(f"{what}\n{c['names'][0]} / {c['names'][1]}".strip())
    ratios = [end for c in found for end in c["interval"]]
    if max(ratios) / min(ratios) > 4:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(plt.matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_yticks(range(len(found)), names, fontsize=7.5)
    axes.set(xlabel="time of the first / time of the second, with its 95 % interval", ylim=(-0.7, len(found) - 0.3))
    axes.grid(axis="y", visible=False)
    return finished(figure, "Who is faster", document)


def ladder(document: Document) -> Any:
    """How much of the roofline each variant of a case reaches."""
    groups: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in timed_rows(document):
        if row.get("share_of_roofline"):
            axes_said = " ".join([f"{a}={s}" for a, s in row["axes"].items()])
            groups[what_of({**row, "axes": axes_said})].append(row)
    groups = defaultdict(list, {name: rows for name, rows in groups.items() if len(rows) > 1})
    shown = dict(list(groups.items())[:MOST])
    if not shown:
        return None
    bars = sum(map(len, shown.values()))
    figure, axes = pyplot().subplots(figsize=(8, 1.2 + 0.24 * bars + 0.16 * len(shown)))
    variants = list(dict.fromkeys(str(row.get("variant")) for rows in shown.values() for row in rows))
    at, ticks, names = 0.0, [], []
    for name, rows in reversed(shown.items()):
        ticks.append(at + (len(rows) - 1) / 2)
        names.append(textwrap.fill(name, 40))
        for row in reversed(rows):
            variant, share = str(row.get("variant")), row["share_of_roofline"]
            axes.barh(at, share * 100, 0.85, color=COLOURS[variants.index(variant) % 7])
            axes.annotate(f" {variant}  {share * 100:.2g}%", (share * 100, at), va="center", fontsize=7.5)
            at += 1
        at += 0.7
    axes.set_yticks(ticks, names, fontsize=7.5)
    widest = max(row["share_of_roofline"] for rows in shown.values() for row in rows) * 100
    axes.set(xlabel="% of the roofline", xlim=(0, widest * 1.25), ylim=(-0.8, at - 0.9))
    axes.grid(axis="y", visible=False)
    return finished(figure, "Share of what the machine could do", document)


PICTURES: dict[str, Callable[[Document], Any]] = {
    "roofline": roofline,
    "scaling": scaling,
    "before_after": before_after,
    "ladder": ladder,
}


def draw(document: Document, folder: Path) -> list[Path]:
    """Write every picture that the document has something for, as SVG and PNG; the files, SVG first.

    The same document gives the same SVG, byte for byte.
    """
    plt, written = pyplot(), []
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        figure = picture(document)
        if figure is None:
            continue
        for ending, more in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 140})):
            path = folder / f"{name}.{ending}"
            figure.savefig(path, **more)
            written.append(path)
        plt.close(figure)
    return written
