"""Reading text: files, folders, standard input, and the English that ships inside Python itself."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygrad_lm.data.errors import UserError

__all__ = ["PYTHON_REFERENCE", "STANDARD_INPUT", "Corpus", "read_corpus"]

PYTHON_REFERENCE = "python-reference"
STANDARD_INPUT = "-"
CHECKPOINT = "checkpoint.safetensors"  # a folder that holds one is a run's: what a run writes is not text to train on


@dataclass(frozen=True)
class Corpus:
    """A text and where it came from. ``skipped`` are files of a folder that hold no text."""

    text: str
    files: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the text: tells whether a resumed run reads what it read before."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_corpus(sources: Sequence[str]) -> Corpus:
    """The text of all ``sources``, in order, joined by a line break.

    A source is a file, a folder (its text files at any depth, sorted by path; hidden ones, binary ones and run folders
    are left out), ``-`` for standard input, or ``python-reference`` for the language reference inside CPython. Text is
    UTF-8; a byte order mark is dropped and Windows line ends become plain ones.
    Raises UserError for whatever is missing, unreadable, binary, not UTF-8 or empty.
    """
    if not sources:
        raise UserError("no text to read: name a file, a folder, - or python-reference")
    texts: list[str] = []
    files: list[str] = []
    skipped: list[str] = []
    for source in sources:
        if source == PYTHON_REFERENCE:
            texts.append(python_reference())
            files.append(source)
        elif source == STANDARD_INPUT:
            texts.append(decode_text(sys.stdin.buffer.read() if sys.stdin else b"", "standard input"))
            files.append(source)
        elif os.path.isdir(source):
            for path in folder_files(source):
                data = read_bytes(path)
                if b"\0" in data:
                    skipped.append(path)
                elif data:
                    texts.append(decode_text(data, path))
                    files.append(path)
        else:
            texts.append(decode_text(read_bytes(source), source))
            files.append(source)
    if not texts:
        raise UserError(f"{', '.join(sources)}: no text file in it")
    return Corpus("\n".join(texts), tuple(files), tuple(skipped))


def python_reference() -> str:
    """The topics of Python's own help(): some 465,000 characters of English on every machine that has CPython."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError("this Python ships without pydoc_data.topics: name a text file with --data") from None
    return "\n\n".join(topics[name] for name in sorted(topics))


def folder_files(folder: str) -> list[str]:
    """Every file below ``folder``, sorted by path, without hidden files and folders and without run folders."""
    found: list[str] = []

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        if CHECKPOINT in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(parent, name) for name in names if not name.startswith(".")]
    return sorted(found)


def read_bytes(path: str) -> bytes:
    if not path:
        raise UserError("'' is not the name of a text: name a file, a folder, - or python-reference")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL inside the name
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def decode_text(data: bytes, name: str) -> str:
    if not data:
        raise UserError(f"{name}: empty, there is no text in it")
    zero = data.find(b"\0")
    if zero >= 0:
        raise UserError(f"{name}: not text (a NUL byte at offset {zero}); give a UTF-8 text file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}); "
            f"convert it first, for example: iconv -f LATIN1 -t UTF-8"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.strip():
        raise UserError(f"{name}: nothing but white space")
    return text
