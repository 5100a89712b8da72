"""The script for a few minutes with a GPU, rehearsed on one that is made up: what it writes; that it cannot hang."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinygrad_lm.backend import build
from tinygrad_lm.bench import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_session", ROOT / "benchmarks/gpu_session.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_session"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_session"]


def session(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/fake_gpu")])
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/gpu_session.py"), *words],
        env={**os.environ, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_all_stages_on_a_gpu_that_is_made_up(tmp_path: Path, script) -> None:
    if build.find_nvrtc() is None and shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    out = tmp_path / "out"
    done = session("--tiny", "--out", str(out), TINYGRAD_LM_CACHE_DIR=str(tmp_path / "cache"))
    assert not done.stderr and done.returncode == 1, done.stdout  # the vendor's tools are missing
    assert {f.stem for f in out.iterdir()} == set(script.STAGES) and len(script.STAGES) <= 12
    found = {name: load(out / f"{name}.json") for name in script.STAGES}
    assert {name: f.get("error") for name, f in found.items()} == dict.fromkeys(script.STAGES)
    assert all("refused" in row for row in found["steps"]["steps"])  # this torch has no GPU
    assert not found["compiling"]["failed"] and found["products"]["products"][0]["off"] < 1e-6
    assert found["doctor"]["gpu"]["name"] == "Imaginary GPU"
    cases = found["correct"]["cases"]
    assert len(cases) == 20 + 3 * 6 * 3 + 3 * 8 and not found["correct"]["errors"]
    assert not [c for c in cases if not c["passed"]] and sum(c.get("served", False) for c in cases) >= 12
    assert found["operations"]["tried"] > 50 and not found["operations"]["errors"]
    assert set(found["training"]["random"].values()) == {"equal"}
    assert [f["value"] for f in found["training"]["figures"][:4]] == [
        0,
        0.0,
        0.0,
        0.0,
    ]  # the same arithmetic on both sides
    assert all(f["passed"] for f in found["training"]["figures"])
    hot = {row["function"]: row["hot_s"] for row in found["honesty"]["table"]}
    assert hot["add 64"] == pytest.approx(20e-6)  # what the made-up GPU takes
    assert [r["variant"] for r in found["rows"]["rows"]].count("rows") == 2
    assert not any(r["refused"] for r in found["rows"]["rows"])
    assert set(found["roofline"]["roofline"]["peak_flops"]) >= {"float32", "float64", "float16"}
    assert found["verdicts"]["counts"]["wait 1 ms: SLOWER"] == {"SLOWER": 1}
    assert found["verdicts"]["counts"]["wait 1 ms: SAME"] == {"SAME": 1}
    assert len(done.stdout) < 9000 and all(f"== {name}: " in done.stdout for name in script.STAGES)


def test_a_stage_that_fails_is_written_and_the_others_go_on(tmp_path: Path, script) -> None:
    done = session("--tiny", "--out", str(tmp_path), "--only", "training", "roofline", PYTHONPATH=str(ROOT))
    assert done.returncode == 1 and not done.stderr
    for name in ("training", "roofline"):
        assert "Unavailable: cuda: cup" in load(tmp_path / f"{name}.json")["error"]
        assert f"== {name}: " in done.stdout


def test_no_budget_no_stage(tmp_path: Path) -> None:
    done = session("--out", str(tmp_path), "--budget", "1", "--only", "doctor")
    assert done.returncode == 1 and load(tmp_path / "doctor.json")["error"] == "no time left"


@pytest.mark.parametrize("words", [(), ("--out", "x", "--only", "nothing")])
def test_wrong_use(words: tuple[str, ...]) -> None:
    done = session(*words)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_tool_that_hangs_is_ended_with_all_it_started(tmp_path: Path, script) -> None:
    inner = (
        f"import os, time; print(os.getpid(), file=open({str(tmp_path / 'pid')!r}, 'w'), flush=True); time.sleep(60)"
    )
    outer = f"import subprocess, sys; print('said', flush=True); subprocess.run([sys.executable, '-c', {inner!r}])"
    begin = time.monotonic()
    said, refused = script.tool([sys.executable, "-c", outer], 3, alone=True)
    assert time.monotonic() - begin < 30 and said == "said\n" and "took longer than 3 s" in refused
    pid, end = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pid)


def test_what_a_tool_says(script) -> None:
    assert script.tool(["no-such-tool"], 5) == ("", "no-such-tool is not on the PATH")
    assert script.tool([sys.executable, "-c", "print(1)"], 30) == ("1\n", "")
    assert "exit code 3: why" in script.tool([sys.executable, "-c", "print('why'); raise SystemExit(3)"], 30)[1]


def test_what_ncu_prints_is_read(script) -> None:
    head = "==PROF== Connected\n1 2 3\n" + '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n'
    rows = [("wait_cycles", "640"), *[("softmax_rows(const float *)", "20,000")] * 3, ("wait_cycles", "640")]
    rows += [("gemm", "1,000"), ("reduce", "500")] * 3
    table = "".join([f'"{i}","{k}","gpu__time_duration.sum","ns","{v}"\n' for i, (k, v) in enumerate(rows)])
    assert script.of_ncu(head + table, ["softmax", "matmul"]) == pytest.approx({"softmax": 20e-6, "matmul": 1.5e-6})


def test_differences_between_a_gpu_and_the_cpu(script, gpu) -> None:
    script.get_backend("cuda")
    off = lambda a, b: script.difference([gpu.asarray(a)], [b], gpu.asnumpy)  # noqa: E731
    x = np.array([1.0, np.nan, np.inf, -4.0])
    assert off(x, x) == 0.0 and off(x + [0.5, 0, 0, 0], x) == 0.125 and off(x * [1, 1, -1, 1], x) == np.inf
    for a, b, says in [
        (x, x[:2], r"float64\[4\] on the GPU, float64\[2\] on the CPU"),
        (x.astype("f4"), x, "float32.* on the GPU, float64"),
        (np.array([1, 2]), np.array([1, 3]), "1 of 2 entries differ"),
    ]:
        with pytest.raises(ValueError, match=says):
            off(a, b)
    with pytest.raises(ValueError, match="None on one side"):
        script.difference([None], [x], gpu.asnumpy)


def test_the_summary_is_short_whatever_fails(script) -> None:
    failing = {f"op{i}": {"forward: " + "x" * 500: 3} for i in range(185)}
    found = {"figures": [], "seconds": 1.0, "failing": failing, "tried": 1, "operations": 185, "skipped": []}
    lines = script.summary("operations", found | {"errors": []})
    assert "  and 161 more" in lines and len("\n".join(lines)) < 3500
    assert script.summary("rows", {"error": "it broke", "figures": [], "rows": []})[0] == "== rows: it broke"
