"""Words of texts as UTF-8 bytes, and hashes of words and adjacent pairs of words.

One vectorised pass serves many texts or one; the hashes are the same in every process and Python version.

Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Ints
from langroute.estimators.documents import Document

_WORD = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") | frozenset(range(128, 255))
CODES = bytes([bytes([byte]).lower()[0] + 1 if byte in _WORD else 0 for byte in range(256)])
"""Code of each byte in a word's hash, letters lowercased; 0 between words. UTF-8 has no byte 255."""

_UNSPACED = (0xE3 + 1, 0xE9 + 1)
"""Codes of the first bytes of kana and Han characters, three bytes each."""

_BASE = 0x9E3779B97F4A7C15 | 1
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_PAIR = np.uint64(0x94D049BB133111EB)
_SALTS = np.array([0, 0x5851F42D4C957F2D, 0x2545F4914F6CDD1D], np.uint64)


def _powers(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    inverse = pow(_BASE, -1, 1 << 64)
    up, down = np.full(size, _BASE, np.uint64), np.full(size, inverse, np.uint64)
    up[0] = down[0] = 1
    return np.cumprod(up, dtype=np.uint64), np.cumprod(down, dtype=np.uint64)


_UP, _DOWN = _powers(1 << 13)


def _hashes(codes: NDArray[np.uint8], starts: Ints, ends: Ints) -> NDArray[np.uint64]:
    """Return a hash of each word `codes[start:end]`: a polynomial hash from prefix sums that all words share."""
    global _UP, _DOWN
    if len(codes) > len(_UP):
        _UP, _DOWN = _powers(max(len(codes), 2 * len(_UP)))
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * _UP[: len(codes)], out=sums[1:])
    found = (sums.take(ends) - sums.take(starts)) * _DOWN.take(starts)
    found ^= found >> np.uint64(29)
    found *= _MIX
    found ^= found >> np.uint64(32)
    return found


def hash_words(words: Sequence[str]) -> NDArray[np.uint64]:
    """Return the hashes of single words, `(words,)`."""
    codes = np.frombuffer(" ".join(words).encode().translate(CODES), np.uint8)
    ends = np.cumsum([len(word.encode()) + 1 for word in words]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    return _hashes(codes, starts, ends)


def encoded(documents: Sequence[Document]) -> tuple[bytes, Ints, Ints]:
    """Return the three texts of each document as bytes, each ended by a zero byte, with their lengths and ends, `(3 * documents,)`."""
    pieces = [
        piece.encode("utf-8", "replace") if piece else b""
        for document in documents
        for piece in (document.text, document.seen, document.tools)
    ]
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    return b"\0".join(pieces) + b"\0\0\0", lengths, np.cumsum(lengths + 1)


def codes_of(raw: bytes) -> NDArray[np.uint8]:
    """Return the code of each byte; see `CODES`."""
    return np.frombuffer(raw.translate(CODES), np.uint8)


def words_of(codes: NDArray[np.uint8]) -> tuple[Ints, Ints, NDArray[np.uint64]]:
    """Return the begins and ends of the words, and their hashes."""
    inside = codes != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([[0], edges])
    begins, ends = edges[::2].copy(), edges[1::2].copy()
    if codes.max() >= _UNSPACED[0]:
        between = _between(codes, inside)
        begins, ends = np.sort(np.concatenate([begins, between])), np.sort(np.concatenate([ends, between]))
    return begins, ends, _hashes(codes, begins, ends)


def _between(codes: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Ints:
    """Return the word boundaries inside Chinese and Japanese text, which has no spaces.

    Each of its characters counts as a word, so that pairs of characters play the part of words.
    """
    lone = (codes >= _UNSPACED[0]) & (codes <= _UNSPACED[1])
    begins = lone.copy()
    begins[3:] |= lone[:-3]
    return np.flatnonzero(begins[1:] & inside[1:] & inside[:-1]) + 1


def words_in_each(begins: Ints, closes: Ints) -> Ints:
    """Return the number of words of each text."""
    until = begins.searchsorted(closes)
    until[1:] -= until[:-1].copy()
    return until


def term_hashes(hashes: NDArray[np.uint64], words: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """Return the hashes of words and of adjacent pairs, and the document each belongs to; `words` is the number of words of each text."""
    if len(words) == 3 and words[0] == len(hashes):
        # One text, whose salt is 0.
        salted = hashes * _MIX
        return np.concatenate([salted, _mixed(salted[:-1] * _PAIR + salted[1:])]), np.zeros(max(2 * len(salted) - 1, 0), np.int64)
    salted = (hashes ^ np.repeat(np.resize(_SALTS, len(words)), words)) * _MIX
    pairs = _mixed(salted[:-1] * _PAIR + salted[1:])
    neighbours = np.ones(len(pairs), np.bool_)
    # The last word of a text forms no pair with the first word of the next.
    neighbours[(np.cumsum(words) - 1)[(words > 0) & (np.cumsum(words) < len(hashes))]] = False
    owners = np.arange(len(words) // 3)
    by_document = words.reshape(-1, 3)
    return (
        np.concatenate([salted, pairs.compress(neighbours)]),
        np.concatenate([np.repeat(owners, by_document.sum(1)), np.repeat(owners, np.maximum(by_document - 1, 0).sum(1))]),
    )


def _mixed(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    pairs ^= pairs >> np.uint64(31)
    pairs *= _MIX
    return pairs
