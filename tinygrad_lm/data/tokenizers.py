"""Tokenizers: text to integers and back. Each is a table of byte pieces, one per token, and a way to encode.

The whole of a tokenizer is ``state()``, a small JSON-able dictionary that travels inside the run's checkpoint, so that
sampling, evaluating and fine-tuning need no other file.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_lm.data.errors import UserError, nearest

__all__ = ["TOKENIZERS", "BPETokenizer", "ByteTokenizer", "CharTokenizer", "Tokenizer", "tokenizer_from_state"]


class Tokenizer:
    """``pieces[i]`` are the UTF-8 bytes that token ``i`` stands for (possibly part of a character)."""

    kind: str
    pieces: list[bytes]

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.pieces)

    @property
    def opening(self) -> str:
        """What to continue where no prompt is given: a line break, as at the start of a paragraph."""
        return "\n"

    def encode(self, text: str, name: str = "the text") -> np.ndarray:
        """The tokens of ``text``, int32 (n,). ``name`` says in errors where the text came from."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are no UTF-8 become the replacement character."""
        return b"".join(self.pieces[i] for i in ids).decode("utf-8", "replace")

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The same text, piece by piece as ``ids`` arrive, and never half a character."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for i in ids:
            text = decoder.decode(self.pieces[i])
            if text:
                yield text
        rest = decoder.decode(b"", final=True)
        if rest:
            yield rest

    def state(self) -> dict[str, Any]:
        """Everything needed to build this tokenizer again, as JSON."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tokenizer:
        raise NotImplementedError

    @classmethod
    def train(cls, text: str, size: int) -> Tokenizer:
        """A tokenizer for ``text``; ``size`` is the number of tokens to learn, where there is a choice."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size} tokens)"


class CharTokenizer(Tokenizer):
    """One token per character that occurs in the training text, in code point order."""

    kind = "char"

    def __init__(self, characters: str):
        if not characters:
            raise ValueError("a tokenizer needs at least one character")
        self.characters = "".join(sorted(set(characters)))
        self.pieces = [c.encode() for c in self.characters]
        self.codes = code_points(self.characters)

    @property
    def opening(self) -> str:
        return "\n" if "\n" in self.characters else self.characters[0]

    def encode(self, text: str, name: str = "the text") -> np.ndarray:
        codes = code_points(text)
        ids = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        unknown = np.flatnonzero(self.codes[ids] != codes)
        if unknown.size:
            at = int(unknown[0])
            raise UserError(
                f"{name}: unknown character {text[at]!r} (U+{codes[at]:04X}) at position {at}; the tokenizer knows "
                f"{self.size} characters: {summary(self.characters)}"
            )
        return ids.astype(np.int32)

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CharTokenizer:
        return cls(state["characters"])

    @classmethod
    def train(cls, text: str, size: int) -> CharTokenizer:
        return cls(text)


class ByteTokenizer(Tokenizer):
    """The 256 bytes of UTF-8: knows every text, learns nothing."""

    kind = "byte"

    def __init__(self) -> None:
        self.pieces = [bytes([i]) for i in range(256)]

    def encode(self, text: str, name: str = "the text") -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ByteTokenizer:
        return cls()

    @classmethod
    def train(cls, text: str, size: int) -> ByteTokenizer:
        return cls()


class BPETokenizer(Tokenizer):
    """Byte-level byte-pair encoding, learnt and applied by the ``tokenizers`` library; knows every text."""

    kind = "bpe"

    def __init__(self, library_json: str):
        self.library = bpe_library().Tokenizer.from_str(library_json)
        alphabet = byte_alphabet()
        vocabulary = self.library.get_vocab()
        self.pieces = [b""] * len(vocabulary)
        for token, i in vocabulary.items():
            self.pieces[i] = bytes(alphabet[c] for c in token)

    def encode(self, text: str, name: str = "the text") -> np.ndarray:
        return np.array(self.library.encode(text).ids, np.int32)

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "library": json.loads(self.library.to_str())}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BPETokenizer:
        return cls(json.dumps(state["library"]))

    @classmethod
    def train(cls, text: str, size: int) -> BPETokenizer:
        if size < 256:
            raise UserError(f"a BPE vocabulary of {size} tokens is too small: it needs the 256 bytes and more")
        tk = bpe_library()
        library = tk.Tokenizer(tk.models.BPE())
        library.pre_tokenizer = tk.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tk.trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=sorted(byte_alphabet()), show_progress=False, special_tokens=[]
        )
        library.train_from_iterator([text], trainer)
        return cls(library.to_str())


TOKENIZERS: dict[str, type[Tokenizer]] = {t.kind: t for t in (CharTokenizer, ByteTokenizer, BPETokenizer)}


def tokenizer_from_state(state: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``state()`` described. Raises UserError if it is of no known kind or damaged (exit code 1)."""
    kind = str(state.get("kind"))
    if kind not in TOKENIZERS:
        raise UserError(f"unknown tokenizer {kind!r}; {nearest(kind, TOKENIZERS)}")
    try:
        return TOKENIZERS[kind].from_state(state)
    except UserError:
        raise
    except Exception as error:  # the library raises nothing more special
        raise UserError(f"damaged {kind} tokenizer ({type(error).__name__}: {error})", exit_code=1) from None


def code_points(text: str) -> np.ndarray:
    """One uint32 per character; lone surrogates (from undecodable command lines) pass, so that encode can name them."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def summary(characters: str, most: int = 100) -> str:
    """The characters as one printable word, cut to fit a line."""
    shown = "".join(characters[:most]) + ("…" if len(characters) > most else "")
    return repr(shown)


def byte_alphabet() -> dict[str, int]:
    """The printable stand-in that byte-level BPE files use for each byte: Latin-1 where it is visible, U+0100 on
    where it is not.

    >>> alphabet = byte_alphabet()
    >>> len(alphabet), alphabet["A"], alphabet["\\u0120"]
    (256, 65, 32)
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(b): b for b in sorted(visible)} | {chr(0x100 + i): b for i, b in enumerate(hidden)}


def bpe_library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UserError(
            "BPE needs the tokenizers library: pip install 'tinygrad-lm[tokenizers]' (or use --tokenizer byte)"
        ) from None
    return tokenizers
