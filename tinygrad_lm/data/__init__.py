"""Text in, batches of integers out: corpora, tokenizers, windows."""

from __future__ import annotations

from tinygrad_lm.data.batches import Batches as Batches
from tinygrad_lm.data.batches import split_text as split_text
from tinygrad_lm.data.batches import windows as windows
from tinygrad_lm.data.corpus import Corpus as Corpus
from tinygrad_lm.data.corpus import read_corpus as read_corpus
from tinygrad_lm.data.errors import UserError as UserError
from tinygrad_lm.data.tokenizers import TOKENIZERS as TOKENIZERS
from tinygrad_lm.data.tokenizers import BPETokenizer as BPETokenizer
from tinygrad_lm.data.tokenizers import ByteTokenizer as ByteTokenizer
from tinygrad_lm.data.tokenizers import CharTokenizer as CharTokenizer
from tinygrad_lm.data.tokenizers import Tokenizer as Tokenizer
from tinygrad_lm.data.tokenizers import tokenizer_from_state as tokenizer_from_state
