"""Pictures and the page: what a document holds is drawn, what it lacks is left out, what it says is not executed."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tinygrad_lm.backend import Unavailable
from tinygrad_lm.bench import document, save
from tinygrad_lm.bench.page import facts, inline, joined, merged, page, report, strip
from tinygrad_lm.bench.pictures import PICTURES, draw, roofline, scaling, where
from tinygrad_lm.cli import main

EVIL = "<script>alert(1)</script>"


def row(case="sum", n=8, variant="native", hot=1e-3, **more) -> dict:
    hots = [hot, hot * 1.1, hot * 1.2]
    timing = {"calls_per_sample": 7, "notes": [], "hot_s": hots, "cold_s": [2 * h for h in hots], "overhead_s": []}
    found = {"case": case, "axes": {"n": n}, "dtype": "float32", "device": "cpu", "variant": variant, "refused": ""}
    return {
        **found,
        "flops": 6e5,
        "bytes": 12e5,
        "timing": timing,
        "share_of_roofline": 0.25,
        "bound": "memory",
        **more,
    }


def comparison(verdict="SLOWER", ratio=1.25) -> dict:
    interval = [ratio - 0.05, ratio + 0.05]
    samples = {"medians_s": [ratio, 1.0], "calls_per_sample": [1, 1], "samples_s": [[ratio] * 8, [1.0] * 8]}
    found = {"names": ["b", EVIL], "verdict": verdict, "ratio": ratio, "interval": interval, "notes": [], **samples}
    return {**found, "case": "sum", "axes": {"n": 8}, "dtype": "float32", "device": "cpu"}


ROOFS = {
    "device": "cpu",
    "peak_flops": {"float32": 1e11, "float64": 5e10},
    "bandwidth_bytes_per_s": {"4096": 2e11, "65536": 1e10},
}


def full() -> dict:
    rows = [row(n=n, variant=v, hot=n * 1e-4) for n in (8, 64, 512) for v in ("native", "reference")]
    return document(rows=rows, comparisons=[comparison(), comparison("SAME", 1.0)], roofline=ROOFS)


def texts(svg: Path) -> int:
    return len([e for e in ET.parse(svg).iter() if e.tag.endswith("path")])


def test_everything_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    found = full()
    first = draw(found, tmp_path / "a")
    assert [p.name for p in first] == [f"{name}.{end}" for name in PICTURES for end in ("svg", "png")]
    assert all(p.stat().st_size > 5000 for p in first)
    for path in draw(found, tmp_path / "b"):
        if path.suffix == ".svg":
            assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("what", "pictures"),
    [
        ({}, []),
        ({"rows": [row(timing=None, refused="why")]}, []),
        ({"rows": [row()]}, []),
        ({"rows": [row()], "roofline": ROOFS}, ["roofline"]),
        ({"rows": [row(flops=0)], "roofline": ROOFS}, []),
        ({"rows": [row(n=n, share_of_roofline=None) for n in (1, 2, 4)]}, ["scaling"]),
        ({"rows": [row(variant=v) for v in "ab"]}, ["ladder"]),
        ({"comparisons": [comparison()]}, ["before_after"]),
    ],
)
def test_what_is_not_there_is_not_drawn(what: dict, pictures: list[str], tmp_path: Path) -> None:
    assert [p.stem for p in draw(document(**what), tmp_path) if p.suffix == ".svg"] == pictures
    text = page({"x.json": document(**what)})
    assert ("Nothing was measured" in text) == (not what)


def test_a_picture_grows_with_what_it_shows(tmp_path: Path) -> None:
    few, many = document(comparisons=[comparison()]), document(comparisons=[comparison()] * 5)
    one, five = draw(few, tmp_path / "a")[0], draw(many, tmp_path / "b")[0]
    assert texts(five) > texts(one)


def test_the_page_holds_everything_and_executes_nothing(tmp_path: Path) -> None:
    found = full()
    found["rows"].append(row(case=EVIL, timing=None, refused=EVIL, share_of_roofline=None))
    found["figures"] = [{"name": EVIL, "value": None, "limit": 2.0, "unit": "", "passed": False}]
    found["environment"]["cpu"] = EVIL
    other = full()
    other["environment"]["cpu"] = EVIL
    written = report({EVIL: found, "other.json": other}, tmp_path)
    text = written[-1].read_text()
    assert written[-1].name == "report.html" and "<script" not in text and "&lt;script&gt;" in text
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert (
        text.count('class="picture"') == 4
        and text.count('class="strip"') == 12
        and addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    )
    assert ">SLOWER</b>" in text and "1.200 to 1.300" in text and "missed" in text and "native" in text
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))
    assert set(re.findall(r'xlink:href="#([^"]+)"', text)) <= set(names)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(names)


def test_names_of_two_pictures_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text('<?xml?><svg><g id="x"/><use xlink:href="#x"/><p clip-path="url(#x)"/></svg>')
    assert inline(tmp_path / "a.svg") == '<svg><g id="a-x"/><use xlink:href="#a-x"/><p clip-path="url(#a-x)"/></svg>'


def test_samples_are_drawn_where_they_are() -> None:
    found = strip([2.0, 1.0, 3.0, 1.5])
    assert 'd="M50 3v8M1 3v8M99 3v8M25.5 3v8"' in found and 'd="M37.75 0v14"' in found
    assert strip([]) == strip([1.0]) == strip([1.0, 1.0]) == ""
    assert strip([float(k) for k in range(1000)]).count("v8") == 200


def test_lines_of_a_panel_are_told_apart() -> None:
    rows = [row(n=n, axes={"n": n, "m": m}, variant=v) for n in (1, 2, 4) for m in (3, 5) for v in "ab"]
    first, second = (scaling(document(rows=rows[:k:s])).axes for k, s in ((None, 1), (10, 4)))
    names = [text.get_text() for text in first[0].get_legend().get_texts()]
    assert sorted(names) == sorted([f"{v} m={m}" for v in "ab" for m in (3, 5)])
    assert first[0].get_title("left") == "sum (float32)" and second[0].get_title("left") == "sum (float32, m=3)"
    assert [text.get_text() for text in second[0].get_legend().get_texts()] == ["a"]
    assert second[1].lines[0].get_ydata()[0] == pytest.approx(12e5 / 1.1e-3)


def test_labels_of_the_roofline_do_not_meet() -> None:
    rows = [row(case=f"case {k}", hot=1e-3 * (1 + k / 1000)) for k in range(5)]
    (axes,) = roofline(document(rows=rows, roofline=ROOFS)).axes
    ends = [label.xyann[1] for label in axes.texts if label.get_text().startswith("case")]
    assert len(ends) == 5 and all(a - b > 7 for a, b in zip(ends, ends[1:], strict=False))


def test_several_documents_are_told_apart() -> None:
    one, two = full(), full()
    two["environment"] |= {"git": {"commit": "0123456789ab", "dirty": False}}
    both = joined({"a.json": one, "b.json": two})
    assert [r["variant"] for r in both["rows"][:1] + both["rows"][-1:]] == ["native, a.json", "reference, b.json"]
    assert len(both["rows"]) == 12 and len(both["comparisons"]) == 4 and both["roofline"]["peak_flops"]
    assert len(where(both).splitlines()) == 2 and where(both).endswith("commit 0123456789")
    two["environment"]["cpu"] = "another one"
    assert joined({"a.json": one, "b.json": two})["roofline"] is None
    assert joined({"a.json": one})["rows"] == one["rows"]


def test_facts_and_merged_rooflines() -> None:
    assert facts({"a": None, "b": {"c": [1, 2]}, "d": {}}).count("<dt>") == 4
    best = merged([ROOFS, {}, {"peak_flops": {"float32": 2e11, "float16": 1.0}}])
    assert best["peak_flops"] == {"float32": 2e11, "float64": 5e10, "float16": 1.0}
    assert best["bandwidth_bytes_per_s"] == ROOFS["bandwidth_bytes_per_s"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, out = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "out"
    found = full()
    save(a, found)
    found["environment"]["cpu"] = "another one"
    save(b, found)
    tables = [str(tmp_path / name) for name in ("x.csv", "x.md", "x.pb", "x.pp")]
    names = ("--csv", "--md", "--pytest-benchmark", "--pyperf")
    options = [word for pair in zip(names, tables, strict=True) for word in pair]
    assert main(["bench", "report", str(a), "--out", str(out), *options]) == 0
    assert [line.rsplit("/", 1)[-1] for line in capsys.readouterr().out.split()][-1] == "report.html"
    assert all(Path(name).stat().st_size > 100 for name in tables) and (out / "roofline.png").exists()
    assert main(["bench", "report", str(a), str(b), "--out", str(out)]) == 2
    assert "times of unlike machines (cpu: " in capsys.readouterr().err
    assert main(["bench", "report", str(a), str(b), "--out", str(out), "--any-machine"]) == 0
    capsys.readouterr()
    (tmp_path / "sub").mkdir()
    save(tmp_path / "sub" / "a.json", found)
    words = ["bench", "report", str(b), str(tmp_path / "sub" / "a.json"), "--csv", str(tmp_path / "two.csv")]
    assert main(words) == 0 and (tmp_path / "two.csv").read_text().count("\n") == 13
    for option in ("--csv", "--out"):
        assert main(["bench", "report", str(a), option, str(a / "x")]) == 2
        assert f"{option}: " in capsys.readouterr().err
    save(b, document())
    assert main(["bench", "report", str(b), "--pyperf", str(tmp_path / "x")]) == 2
    assert "--pyperf: " in (said := capsys.readouterr().err) and "no row has a time" in said
    assert main(["bench", "report", str(a)]) == 2
    assert "say what to write" in capsys.readouterr().err
    assert main(["bench", "report", str(tmp_path / "none.json"), "--out", str(out)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_without_matplotlib_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Unavailable, match=r'pictures need matplotlib: pip install "tinygrad_lm\[plot\]"'):
        draw(full(), tmp_path)
