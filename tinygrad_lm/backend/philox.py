"""Random numbers: Philox4x32-10, a counter-based generator with the same bits on every backend.

There is no hidden state.  A draw is named by its key ``(seed, stream)``, and element i of the draw (in C order) is a
pure function of (seed, stream, i): it depends neither on the shape around it, nor on how the work was cut, nor on the
device.  A dropout mask, an initial weight or a sampled token can therefore be computed again at any time, in any
process, from three integers.

Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011) turns a
counter of four 32-bit words and a key of two into four random words, by ten rounds of multiply and exclusive-or:

    counter = (block low, block high, stream low, stream high)        key = (seed low, seed high)

Block b holds the words 4b .. 4b+3 of the draw.  A 32-bit element i is word i; a 64-bit element i is the words 2i (low
half) and 2i+1 (high half).

Every function takes the array module ``xp`` first.  Floating-point results are made from exactly rounded operations
only (+ - * / sqrt and bit masks, each its own array operation, so that no compiler can contract two of them): a library
log or cos differs in its last bits between machines, these do not.
"""

from __future__ import annotations

import math
import operator
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from tinygrad_lm.backend.record import BACKENDS, table_of

__all__ = [
    "Generator",
    "default_generator",
    "dropout_mask",
    "manual_seed",
    "normal",
    "noting_draws",
    "philox4x32",
    "random_bits",
    "uniform",
]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)  # of the paper, as are the key increments: the golden ratio and sqrt(3) - 1
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF  # mask of the low 32 bits

# Blocks worked on at a time: NumPy is fastest while the six 8-byte buffers of the rounds stay in the second-level
# cache; elsewhere an operation is a launch, and few large ones are better.
NUMPY_BLOCKS = 1 << 14
OTHER_BLOCKS = 1 << 22

# Significant bits of a uniform number, by dtype: as many as the dtype holds, so that the result is exact and below 1.
UNIFORM_BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}

Key = tuple[int, int]


# ---- arguments -------------------------------------------------------------------------------------------------------


def _shape(shape: Any) -> tuple[int, ...]:
    sizes = tuple(operator.index(n) for n in (shape if isinstance(shape, tuple | list) else (shape,)))
    if min(sizes, default=0) < 0:
        raise ValueError(f"random draw: sizes are not negative, got shape {sizes}")
    return sizes


def _check_key(key: Key) -> None:
    if len(key) != 2:
        raise ValueError(f"random draw: a key is (seed, stream), got {key!r}")
    _uint64("seed", key[0])
    _uint64("stream", key[1])


def _uint64(what: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"random {what} is an integer, got {type(value).__name__}") from None
    if not 0 <= number < 2**64:
        raise ValueError(f"random {what} is between 0 and 2**64 - 1, got {number}")
    return number


# ---- words -----------------------------------------------------------------------------------------------------------


def philox4x32(xp: Any, counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """The bare function: four counter words (uint64 arrays of one shape, values below 2**32) and two key words give
    four random words (uint32 views of uint64 buffers, valid until the buffers are reused).

    The counter arrays are used as work space and are overwritten.
    """
    # A word lives in the low half of a uint64, so that its 64-bit product is one multiplication and the two halves of
    # the product are strided views, not two more passes.  c0 and c2 are multiplied: their high halves stay zero.
    c0, c1, c2, c3 = counter
    old = (c1, c3)
    new = (xp.empty_like(c1), xp.empty_like(c3))
    key0, key1 = key
    for _ in range(ROUNDS):
        xp.multiply(c2, MULTIPLIERS[1], out=new[0])
        xp.multiply(c0, MULTIPLIERS[0], out=new[1])
        xp.bitwise_xor(_high(new[0]), _low(old[0]), out=_low(c0))
        xp.bitwise_xor(_high(new[1]), _low(old[1]), out=_low(c2))
        xp.bitwise_xor(c0, key0, out=c0)
        xp.bitwise_xor(c2, key1, out=c2)
        old, new = new, old
        key0, key1 = (key0 + KEY_INCREMENTS[0]) & WORD, (key1 + KEY_INCREMENTS[1]) & WORD
    return _low(c0), _low(old[0]), _low(c2), _low(old[1])


def _low(words: Any) -> Any:
    return words.view(np.uint32)[..., 0 if sys.byteorder == "little" else 1 :: 2]


def _high(words: Any) -> Any:
    return words.view(np.uint32)[..., 1 if sys.byteorder == "little" else 0 :: 2]


def _blocks(xp: Any, start: int, stop: int, key: Key) -> Iterator[tuple[int, tuple[Any, Any, Any, Any]]]:
    """The blocks start .. stop-1 of a draw, some thousands at a time, as (first block, four word arrays)."""
    seed, stream = key
    step = NUMPY_BLOCKS if xp is np else OTHER_BLOCKS
    for first in range(start, stop, step):
        position = xp.arange(first, min(first + step, stop), dtype=np.uint64)
        counter = (
            position & WORD,
            position >> 32,
            xp.full_like(position, stream & WORD),
            xp.full_like(position, stream >> 32),
        )
        yield first, philox4x32(xp, counter, (seed & WORD, seed >> 32))


def _draw(xp: Any, shape: Any, key: Key, width: int, dtype: Any, convert: Callable[[Any], Any]) -> Any:
    """An array of ``shape`` whose element i is ``convert`` (elementwise) of the i-th ``width``-bit word of the draw."""
    shape = _shape(shape)
    _check_key(key)
    count = math.prod(shape)
    out = xp.empty(count, dtype)
    per_block = 128 // width
    for first, words in _blocks(xp, 0, -(-count // per_block), key):
        chunk = xp.empty((words[0].size, per_block), np.uint32 if width == 32 else np.uint64)
        if width == 32:
            for i, word in enumerate(words):
                chunk[:, i] = word
        else:
            for i in (0, 1):
                chunk[:, i] = words[2 * i + 1]
                chunk[:, i] <<= 32
                chunk[:, i] |= words[2 * i]
        start = first * per_block
        piece = chunk.reshape(-1)[: count - start]
        out[start : start + piece.size] = convert(piece)
    return out.reshape(shape)


def _drawn(xp: Any, name: str, shape: Any, key: Key, **settings: Any) -> Any:
    """The same draw by a kernel, where the table in use for these arrays has one; else NotImplemented."""
    backend = next((b for b in BACKENDS.values() if b.xp is xp), None)
    kernel = None if backend is None else table_of(backend).get(name)
    if kernel is None:
        return NotImplemented
    shape = _shape(shape)
    _check_key(key)
    made = kernel(xp, math.prod(shape), key, **settings)
    return made if made is NotImplemented else made.reshape(shape)


def random_bits(xp: Any, shape: Any, key: Key, *, width: int = 32) -> Any:
    """Random words of 32 or 64 bits: an array of ``shape``, dtype uint32 or uint64."""
    if width not in (32, 64):
        raise ValueError(f"random_bits: width is 32 or 64, got {width}")
    if (made := _drawn(xp, "random_bits", shape, key, width=width)) is not NotImplemented:
        return made
    return _draw(xp, shape, key, width, np.uint32 if width == 32 else np.uint64, lambda words: words)


def dropout_mask(xp: Any, shape: Any, rate: float, key: Key) -> Any:
    """A boolean mask: element i is False (dropped) with probability ``rate``, rounded to a multiple of 2**-32.

    The same mask for every dtype of the data.  ValueError unless 0 <= rate <= 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate is a probability between 0 and 1, got {rate}")
    threshold = round(rate * 2**32)
    if threshold > WORD:  # does not fit a 32-bit word: nothing is kept
        return xp.zeros(_shape(shape), bool)
    if (made := _drawn(xp, "dropout_mask", shape, key, threshold=threshold)) is not NotImplemented:
        return made
    return _draw(xp, shape, key, 32, bool, lambda words: words >= threshold)


# ---- floating point --------------------------------------------------------------------------------------------------


def uniform(xp: Any, shape: Any, key: Key, dtype: Any = np.float32) -> Any:
    """Uniform numbers in [0, 1): multiples of 2**-53 (float64), 2**-24 (float32), 2**-11 (float16), 2**-8 (bfloat16),
    all equally likely and exact.  TypeError for any other dtype."""
    dtype = np.dtype(dtype)
    bits = UNIFORM_BITS.get(dtype.name)
    if bits is None:
        raise TypeError(f"uniform: dtype is one of {', '.join(UNIFORM_BITS)}, got {dtype.name}")
    if (made := _drawn(xp, "uniform", shape, key, dtype=dtype)) is not NotImplemented:
        return made
    width, work = (64, np.float64) if bits > 24 else (32, np.float32)
    return _draw(xp, shape, key, width, dtype, lambda words: (words >> (width - bits)).astype(work) * work(2.0**-bits))


def normal(xp: Any, shape: Any, key: Key, dtype: Any = np.float32, mean: float = 0.0, std: float = 1.0) -> Any:
    """Normal numbers, ``mean + std * z`` with z = the inverse of the normal distribution at a uniform number.

    Computed in float64 from 64 random bits whatever ``dtype`` is and rounded once at the end: a float32 draw is the
    float64 draw of the same key, rounded.  The tails reach |z| = 8.29.  TypeError for a dtype that is not floating.
    """
    dtype = np.dtype(dtype)
    if dtype.name not in UNIFORM_BITS:
        raise TypeError(f"normal: dtype is one of {', '.join(UNIFORM_BITS)}, got {dtype.name}")

    def convert(words: Any) -> Any:
        z = _normal_quantile(xp, words)
        z *= float(std)
        z += float(mean)
        return z.astype(dtype)

    return _draw(xp, shape, key, 64, dtype, convert)


# The rational approximations of M. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988
# (relative error about 1e-16), numerator and denominator, highest power first, for three parts of the distribution.
CENTRE = (
    (
        2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
        1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
        5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0,
    ),
)  # fmt: skip
TAIL = (
    (
        7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
        3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
        6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0,
    ),
)  # fmt: skip
FAR_TAIL = (
    (
        2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
        2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
        1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0,
    ),
)  # fmt: skip


def _normal_quantile(xp: Any, words: Any) -> Any:
    """One standard normal number (float64) per 64-bit word: the top bit is the sign, the rest the tail probability."""
    # An odd multiple of 2**-54 in (0, 1/2): exact, never 0, and mirror-symmetric by construction.
    tail = ((words >> 10) & (2**53 - 1) | 1).astype(np.float64) * 2.0**-54
    q = 0.5 - tail  # exact
    z = q * _ratio(CENTRE, 0.180625 - q * q)
    for part, inside in ((TAIL, q > 0.425), (FAR_TAIL, tail < 1.3887943864964021e-11)):  # r > 1.6, then r > 5
        (index,) = xp.nonzero(inside)
        if index.size:
            r = xp.sqrt(-_log(xp, tail[index]))
            z[index] = _ratio(part, r - (1.6 if part is TAIL else 5.0))
    return xp.where(words >> 63 != 0, -z, z)


def _ratio(part: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    return _polynomial(part[0], x) / _polynomial(part[1], x)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total = coefficients[0] * x
    for c in coefficients[1:-1]:
        total += c
        total *= x
    total += coefficients[-1]
    return total


LOG_SERIES = tuple(1.0 / n for n in range(23, 0, -2))  # of atanh(s) / s in powers of s * s


def _log(xp: Any, x: Any) -> Any:
    """Natural logarithm of positive normal float64 numbers: x = m * 2**e with m in [sqrt(1/2), sqrt(2)), and
    log m = 2 atanh((m - 1) / (m + 1)), whose series converges fast there."""
    bits = x.view(np.int64)
    exponent = (bits >> 52) - 1023
    mantissa = (bits & (2**52 - 1) | (1023 << 52)).view(np.float64)  # [1, 2)
    large = mantissa >= 1.4142135623730951
    mantissa = xp.where(large, mantissa * 0.5, mantissa)
    exponent = (exponent + large).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return exponent * 0.6931471805599453 + 2.0 * s * _polynomial(LOG_SERIES, s * s)


# ---- the user's object -----------------------------------------------------------------------------------------------


class Generator:
    """A source of independent draws: ``seed`` and ``stream``, two 64-bit integers, are its whole state.

    Every draw uses the key (seed, stream) and then adds 1 to ``stream``, so two generators with equal state give equal
    bits, on any device, and saving two integers saves everything.

    >>> generator = Generator(7)
    >>> generator.integers(0, 10, (5,)).tolist()
    [7, 4, 3, 7, 4]
    >>> generator.state()
    {'seed': 7, 'stream': 1}
    """

    def __init__(self, seed: int = 0, stream: int = 0) -> None:
        self.seed = _uint64("seed", seed)
        self.stream = _uint64("stream", stream)

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, stream={self.stream})"

    def key(self) -> Key:
        """The key of the next draw, (seed, stream); advances ``stream``.  What ``dropout`` takes."""
        with _advancing:
            if (noted := _noted.get()) is not None:
                noted.setdefault(self, self.state())
            stream = self.stream
            self.stream = (stream + 1) % 2**64
        return self.seed, stream

    def state(self) -> dict[str, int]:
        """The whole state, to save."""
        return {"seed": self.seed, "stream": self.stream}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state()`` was taken.  ValueError if a key is missing or out of range."""
        if set(state) != {"seed", "stream"}:
            raise ValueError(f"Generator.load_state: expected the keys 'seed' and 'stream', got {sorted(state)}")
        seed, stream = _uint64("seed", state["seed"]), _uint64("stream", state["stream"])
        self.seed, self.stream = seed, stream

    def spawn(self, name: str | int) -> Generator:
        """An independent generator for a named purpose.  Depends on this seed and the name alone, not on how much was
        drawn: the same name gives the same generator again."""
        if not isinstance(name, str | int):
            raise TypeError(f"Generator.spawn: name is a str or an int, got {type(name).__name__}")
        import hashlib

        digest = hashlib.sha256(f"{self.seed}/{type(name).__name__}/{name}".encode()).digest()
        return Generator(int.from_bytes(digest[:8], "little"))

    def uniform(
        self, shape: Any = (), dtype: Any = np.float32, low: float = 0.0, high: float = 1.0, xp: Any = np
    ) -> Any:
        """Uniform numbers, ``low + (high - low) * u`` with u in [0, 1)."""
        draw = uniform(xp, shape, self.key(), dtype)
        if (low, high) != (0.0, 1.0):
            draw *= float(high) - float(low)
            draw += float(low)
        return draw

    def normal(
        self, shape: Any = (), dtype: Any = np.float32, mean: float = 0.0, std: float = 1.0, xp: Any = np
    ) -> Any:
        """Normal numbers with the given mean and standard deviation."""
        return normal(xp, shape, self.key(), dtype, mean, std)

    def integers(self, low: int, high: int, shape: Any = (), xp: Any = np) -> Any:
        """Integers in low .. high-1, int64.  The odds of two values differ by at most (high - low) / 2**64."""
        low, high = operator.index(low), operator.index(high)
        span = high - low
        if not (0 < span < 2**63 and -(2**63) <= low and high <= 2**63):
            raise ValueError(f"Generator.integers: needs low < high within 63 bits, got low={low}, high={high}")
        return _draw(xp, shape, self.key(), 64, np.int64, lambda words: (words % span).view(np.int64) + low)

    def permutation(self, n: int, xp: Any = np) -> Any:
        """The integers 0 .. n-1 in random order, int64."""
        n = operator.index(n)
        if n < 0:
            raise ValueError(f"Generator.permutation: n is the number of items, got {n}")
        return xp.argsort(random_bits(xp, (n,), self.key(), width=64), kind="stable").astype(np.int64)

    def categorical(self, probabilities: Any, xp: Any = np) -> Any:
        """One index per row of ``probabilities`` (..., n), drawn in proportion to it: int64 of shape (...).

        Rows need not sum to 1; an entry of probability 0 is never drawn.  ValueError for a negative or not finite
        entry, or a row of zeros.
        """
        weights = xp.asarray(probabilities).astype(np.float64)
        if weights.ndim == 0 or weights.shape[-1] == 0:
            raise ValueError(f"Generator.categorical: needs at least one probability, got shape {weights.shape}")
        total = weights.sum(axis=-1, keepdims=True)
        if weights.size and not (bool((weights >= 0).all()) and bool((total > 0).all() & xp.isfinite(total).all())):
            raise ValueError("Generator.categorical: every row needs finite numbers >= 0 that do not all vanish")
        cumulative = weights.cumsum(axis=-1)
        target = uniform(xp, total.shape, self.key(), np.float64) * cumulative[..., -1:]  # below the last one
        return (cumulative <= target).sum(axis=-1).astype(np.int64)


_advancing = threading.Lock()
_noted: ContextVar[dict[Generator, dict[str, int]] | None] = ContextVar("noted", default=None)


@contextmanager
def noting_draws() -> Iterator[dict[Generator, dict[str, int]]]:
    """Within the block: the generators that were drawn from, each with the state it had before its first draw."""
    outer, noted = _noted.get(), {}  # type: ignore[var-annotated]
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)
        if outer is not None:
            outer.update(noted | outer)


_default = Generator(0)


def default_generator() -> Generator:
    """The generator used where none is given."""
    return _default


def manual_seed(seed: int) -> Generator:
    """Restart the default generator at ``seed``, and return it."""
    _default.load_state({"seed": seed, "stream": 0})
    return _default
