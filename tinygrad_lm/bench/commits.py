"""Another commit of this checkout, unpacked and built beside it, so that both can be timed in one run."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tinygrad_lm.backend import build

HERE = Path(__file__).resolve().parents[2]  # the checkout, where this is one


def git(*words: str, root: Path = HERE) -> bytes:
    """What git says about the checkout; ValueError, in one line, where it does not know."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"git could not be run: {error}") from None
    if done.returncode != 0:
        raise ValueError(" ".join(done.stderr.decode(errors="replace").split()) or f"git {words[0]} failed")
    return done.stdout


def commit_of(word: str, root: Path = HERE) -> str | None:
    """The full hash of what `word` names (HEAD~3, a tag, the beginning of a hash); None if it names no commit."""
    if word.startswith("-"):
        return None
    try:
        return git("rev-parse", "--verify", "--quiet", f"{word}^{{commit}}", root=root).decode().strip()
    except ValueError:
        return None


def dirty(root: Path = HERE) -> bool:
    """Whether the working tree differs from its commit (results of benchmarks apart)."""
    return bool(git("status", "--porcelain", "--", ":(top)", ":(top,exclude)benchmarks/results", root=root).strip())


def unpacked(commit: str, root: Path = HERE) -> tuple[Path, str]:
    """(a folder with the files of that commit, why its native kernels could not be built or "").

    It is made once and kept by its hash in the cache folder.  Two processes may do this at once: each makes a folder of
    its own and moves it into place in one step.
    """
    target = build.cache_folder() / "commits" / commit
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent))
        try:
            with tarfile.open(fileobj=io.BytesIO(git("archive", commit, root=root))) as archive:
                archive.extractall(made, filter="data")
            (made / "native.txt").write_text(built(made))
            try:
                os.rename(made, target)
            except OSError:  # the other process was quicker
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return target, (target / "native.txt").read_text()


def built(folder: Path) -> str:
    """Build the native kernels of an unpacked commit; why that failed, or ""."""
    command = [sys.executable, "-P", "-m", "tinygrad_lm.backend.build"]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
