"""Reading text: what is found, and one clear line for whatever cannot be read."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tinygrad_lm.data import UserError, read_corpus


def failure(*sources: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        read_corpus([str(s) for s in sources])
    message = str(caught.value)
    assert "\n" not in message and caught.value.exit_code == 2
    return message


def test_several_files_are_joined_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    corpus = read_corpus([str(tmp_path / "b.txt"), str(tmp_path / "a.txt")])
    assert corpus.text == "second\nfirst"
    assert [Path(f).name for f in corpus.files] == ["b.txt", "a.txt"]


def test_a_folder_gives_its_text_files_sorted_and_names_what_it_skipped(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "deep.md").write_text("one")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "last.txt").write_text("three")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".hidden").write_text("never")
    corpus = read_corpus([str(tmp_path)])
    assert corpus.text == "one\ntwo\nthree"
    assert [Path(f).name for f in corpus.skipped] == ["picture.png"]


def test_a_folder_reads_the_same_after_a_run_was_made_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    run = tmp_path / "runs" / "run-1"
    (run / "samples").mkdir(parents=True)
    for file in (run / "checkpoint.safetensors", run / "config.toml", run / "samples" / "step-0000001.txt"):
        file.write_text("not text to train on")
    corpus = read_corpus([str(tmp_path)])
    assert corpus.text == "text" and not corpus.skipped


def test_byte_order_mark_and_windows_line_ends_do_not_reach_the_text(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_corpus([str(tmp_path / "w.txt")]).text == "one\ntwo\n"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("größer".encode())))
    assert read_corpus(["-"]).text == "größer"
    monkeypatch.setattr(sys, "stdin", None)  # closed by the shell: <&-
    assert failure("-") == "standard input: empty, there is no text in it"


def test_the_python_reference_is_english_of_some_size_and_the_same_every_time() -> None:
    corpus = read_corpus(["python-reference"])
    assert len(corpus.text) > 300_000
    assert 'The "for" statement' in corpus.text
    assert corpus.fingerprint == read_corpus(["python-reference"]).fingerprint


def test_fingerprints_tell_texts_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("One")
    assert read_corpus([str(tmp_path / "a")]).fingerprint != read_corpus([str(tmp_path / "b")]).fingerprint


def test_bad_input_names_the_file_and_the_fix(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert failure(tmp_path / "empty.txt") == f"{tmp_path / 'empty.txt'}: empty, there is no text in it"
    (tmp_path / "blank.txt").write_text("\n \n")
    assert "white space" in failure(tmp_path / "blank.txt")
    (tmp_path / "binary").write_bytes(b"abc\0def")
    assert "NUL byte at offset 3" in failure(tmp_path / "binary")
    (tmp_path / "latin1.txt").write_bytes("schön".encode("latin1"))
    message = failure(tmp_path / "latin1.txt")
    assert "latin1.txt" in message and "byte 0xf6 at offset 3" in message and "iconv" in message
    assert "no such file" in failure(tmp_path / "missing.txt")
    (tmp_path / "folder").mkdir()
    assert "no text file" in failure(tmp_path / "folder")
    assert "cannot be read" in failure("name\0with NUL")
    assert "'' is not the name of a text" in failure("")
    assert "python-reference" in failure()


def test_a_non_utf8_file_in_a_folder_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    assert "b.txt: not UTF-8 (byte 0xff at offset 0)" in failure(tmp_path)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "secret.txt").write_text("no")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert failure(tmp_path / "secret.txt") == f"{tmp_path / 'secret.txt'}: cannot be read (Permission denied)"
