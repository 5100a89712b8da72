"""A result document as pictures: where times stand under the roofline, how they grow, who is faster, which rung helps.

Each function draws one figure, or returns None where the document has nothing for it.  Needs matplotlib.
"""

from __future__ import annotations

import importlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinygrad_lm.backend import Unavailable
from tinygrad_lm.bench.tables import quartiles, what_of

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = "osD^vPX"
VERDICTS = {"FASTER": COLOURS[2], "SLOWER": COLOURS[1], "SAME": COLOURS[0], "UNSURE": COLOURS[6]}
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
    """The machine and the commit, for the foot of a picture."""
    environment = document["environment"]
    gpu, git = environment.get("gpu"), environment.get("git") or {}
    on_gpu = gpu and any(row.get("device") == "cuda" for row in document["rows"])
    machine = gpu["name"] if on_gpu else environment.get("cpu")
    commit = f", commit {git['commit'][:10]}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else ""
    return f"{machine}, {environment.get('cores')} cores, {str(environment.get('time'))[:10]}{commit}"


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
            f"{bandwidth / 1e9:,.3g} GB/s, {name}", (start, start * bandwidth), xytext=(0, 3), fontsize=8,
            textcoords="offset points", color="#444444", rotation=angle, rotation_mode="anchor", va="bottom",
        )  # fmt: skip
    for dtype, peak in sorted(peaks.items()):
        axes.plot([peak / fast, high], [peak, peak], color="#666666", linewidth=1.2)
        said = f"{dtype}: {peak / 1e9:,.4g} GFLOP/s"
        axes.annotate(said, (1.2 * peak / slow, peak), fontsize=8, color="#444444", va="bottom")
    for k, variant in enumerate(dict.fromkeys(str(row.get("variant")) for row in rows)):
        mine = [row for row in rows if str(row.get("variant")) == variant]
        look = {"s": 36, "c": COLOURS[k % 7], "marker": MARKERS[k % 7], "edgecolor": "white", "linewidth": 0.5}
        x = [row["flops"] / row["bytes"] for row in mine]
        axes.scatter(x, [rate(row) for row in mine], label=variant, zorder=3, **look)
    best = {row["case"]: row for row in sorted(rows, key=rate)}  # the fastest row of each
    for case, row in list(best.items())[-MOST:]:
        point = row["flops"] / row["bytes"], rate(row)
        axes.annotate(case, point, xytext=(5, 4), textcoords="offset points", fontsize=7.5)
    axes.yaxis.set_major_formatter(plt.matplotlib.ticker.EngFormatter())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return finished(figure, "Roofline", document)


def scaling(document: Document) -> Any:
    """Time over a size, for every workload that has rows at several sizes of one axis: hot with quartiles, cold."""
    series: defaultdict[tuple, list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
    for row in timed_rows(document):
        for axis, size in row["axes"].items():
            if isinstance(size, int | float) and not isinstance(size, bool):
                rest = tuple(sorted((k, v) for k, v in row["axes"].items() if k != axis))
                series[row["case"], axis, rest, row["dtype"], str(row.get("variant"))].append((size, row))
    lines = {k: sorted(v, key=lambda p: p[0]) for k, v in series.items() if len({size for size, _ in v}) > 2}
    panels = list(dict.fromkeys((case, axis) for case, axis, *_ in lines))[:6]
    if not panels:
        return None
    columns = min(2, len(panels))
    high, plt = -(-len(panels) // columns), pyplot()
    figure, grid = plt.subplots(high, columns, figsize=(5.2 * columns, 3.6 * high), squeeze=False)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for k, (key, points) in enumerate([item for item in lines.items() if item[0][:2] == panel][:7]):
            sizes, colour = [size for size, _ in points], COLOURS[k % 7]
            bands = [quartiles(row["timing"]["hot_s"]) for _, row in points]
            look = {"color": colour, "marker": MARKERS[k % 7]}
            axes.fill_between(sizes, [b[0] for b in bands], [b[2] for b in bands], color=colour, alpha=0.2, linewidth=0)
            axes.plot(sizes, [b[1] for b in bands], markersize=4, label=f"{key[4]}, {key[3]}, hot", **look)
            if all(row["timing"].get("cold_s") for _, row in points):
                cold = [median(row, "cold_s") for _, row in points]
                axes.plot(sizes, cold, ":", markersize=3, label=f"{key[4]}, {key[3]}, cold", **look)
        axes.set(xscale="log", yscale="log", xlabel=panel[1], title=panel[0])
        axes.yaxis.set_major_formatter(plt.matplotlib.ticker.EngFormatter(unit="s"))
        axes.yaxis.set_major_locator(plt.matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter("")
        axes.set_xticks(sorted({size for key, points in lines.items() if key[:2] == panel for size, _ in points}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.tick_params(axis="x", labelrotation=45)
        axes.legend(fontsize=7.5)
    return finished(figure, "Time over size: medians, the band is between the quartiles", document)


def before_after(document: Document) -> Any:
    """Ratios with their intervals, coloured by verdict; the band is what counts as the same."""
    found = [c for c in document["comparisons"] if c.get("ratio") and c.get("interval")][: 2 * MOST]
    if not found:
        return None
    figure, axes = pyplot().subplots(figsize=(8, 1.2 + 0.3 * len(found)))
    axes.axvspan(0.98, 1.02, color="#eeeeee", linewidth=0)
    axes.axvline(1, color="#666666", linewidth=1)
    names = []
    for k, c in enumerate(reversed(found)):
        low, high = c["interval"]
        colour = VERDICTS.get(c["verdict"], COLOURS[6])
        axes.plot([low, high], [k, k], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot(c["ratio"], k, "o", color=colour, markersize=6, markeredgecolor="white")
        axes.annotate(
            f"{c['ratio']:.3g}  {c['verdict']}", (1, k), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=8, color=colour,
        )  # fmt: skip
        what = what_of({**c, "axes": " ".join([f"{a}={s}" for a, s in (c.get("axes") or {}).items()])})
        names.append(f"{what}\n{c['names'][0]} / {c['names'][1]}".strip())
    ratios = [end for c in found for end in c["interval"]]
    if max(ratios) / min(ratios) > 4:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
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
        names.append(name)
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
