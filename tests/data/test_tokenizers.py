"""Tokenizers: text comes back, state is JSON and enough, and no piece of a stream is half a character."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_lm.data import (
    TOKENIZERS,
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    UserError,
    tokenizer_from_state,
)

TEXT = "To be, or not to be: größer als 日本 or 🙂?\n" * 20


@pytest.fixture(params=["char", "byte", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "bpe":
        pytest.importorskip("tokenizers")
    return TOKENIZERS[request.param].train(TEXT, 300)


def test_text_comes_back(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    assert ids.dtype == np.int32 and ids.min() >= 0 and ids.max() < tokenizer.size
    assert tokenizer.decode(ids) == TEXT


def test_state_is_json_and_enough(tokenizer: Tokenizer) -> None:
    again = tokenizer_from_state(json.loads(json.dumps(tokenizer.state())))
    assert type(again) is type(tokenizer) and again.size == tokenizer.size
    assert again.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    assert again.state() == tokenizer.state()


def test_streams_hold_whole_characters_only(tokenizer: Tokenizer) -> None:
    pieces = list(tokenizer.stream(iter(tokenizer.encode(TEXT))))
    assert "".join(pieces) == TEXT
    assert "�" not in "".join(pieces) and all(pieces)


def test_a_stream_that_ends_inside_a_character_says_so() -> None:
    ids = ByteTokenizer().encode("é")[:1]
    assert list(ByteTokenizer().stream(ids)) == ["�"] and ByteTokenizer().decode(ids) == "�"


def test_the_first_piece_of_a_stream_arrives_before_the_second_token() -> None:
    drawn = []

    def ids():
        for i in ByteTokenizer().encode("abc"):
            drawn.append(i)
            yield int(i)

    stream = ByteTokenizer().stream(ids())
    assert next(stream) == "a" and len(drawn) == 1


@given(st.text())
def test_bytes_know_every_text(text: str) -> None:
    assert ByteTokenizer().decode(ByteTokenizer().encode(text)) == text


@given(st.text(min_size=1))
def test_characters_know_their_own_text(text: str) -> None:
    tokenizer = CharTokenizer.train(text, 0)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.size == len(set(text))


def test_an_unknown_character_is_named_with_its_place_and_what_is_known() -> None:
    with pytest.raises(UserError) as caught:
        CharTokenizer("abc\n").encode("cab é", "letters.txt")
    assert str(caught.value) == (
        "letters.txt: unknown character ' ' (U+0020) at position 3; the tokenizer knows 4 characters: '\\nabc'"
    )


def test_the_opening_is_always_known() -> None:
    assert CharTokenizer("b\na").opening == ByteTokenizer().opening == "\n"
    assert CharTokenizer("ba").opening == "a"


def test_a_long_alphabet_is_cut_in_the_message() -> None:
    with pytest.raises(UserError, match="400 characters: .*…'$"):
        CharTokenizer("".join(map(chr, range(0x4E00, 0x4E00 + 400)))).encode("a")


def test_a_lone_surrogate_is_an_unknown_character() -> None:
    with pytest.raises(UserError, match="U\\+DC80"):
        CharTokenizer("abc").encode("a\udc80")


def test_bpe_learns_longer_pieces_and_is_deterministic() -> None:
    pytest.importorskip("tokenizers")
    one, two = BPETokenizer.train(TEXT, 300), BPETokenizer.train(TEXT, 300)
    assert one.state() == two.state()
    assert 256 < one.size <= 300 and len(one.encode(TEXT)) < len(TEXT.encode()) / 2
    assert one.decode(one.encode("never seen: ж")) == "never seen: ж"
    with pytest.raises(UserError, match="256 bytes"):
        BPETokenizer.train(TEXT, 100)


def test_without_the_library_bpe_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'tinygrad-lm\[tokenizers\]'"):
        BPETokenizer.train(TEXT, 300)


def test_an_unknown_kind() -> None:
    with pytest.raises(UserError, match="did you mean char"):
        tokenizer_from_state({"kind": "chars"})
