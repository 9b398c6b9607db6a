"""Features of the lettered answer options in a text."""

from __future__ import annotations

import re

import numpy as np

from langroute.estimators.arrays import Floats, Ints

_OPTION = re.compile(r"\n[A-J][.):]([^\n]*)")


def options_of(text: str) -> tuple[float, float, float, float]:
    """Return features of lettered answer options: their number, relative spread of length and mean length; and the first line's length."""
    first = text.find("\n")
    if first < 0:
        return 0.0, 0.0, 0.0, float(len(text))
    lengths = list(map(len, _OPTION.findall(text, first)))
    if not lengths:
        return 0.0, 0.0, 0.0, float(first)
    mean = sum(lengths) / len(lengths)
    spread = (sum([(length - mean) ** 2 for length in lengths]) / len(lengths)) ** 0.5
    return float(len(lengths)), spread / (mean + 1.0), mean, float(first)


_LETTER, _MARK = np.zeros((2, 256), np.bool_)
_LETTER[list(b"ABCDEFGHIJ")] = _MARK[list(b".):")] = True


def options_of_many(raw: bytes, lengths: Ints, closes: Ints) -> Floats:
    """Return the result of `options_of` for each document's text, `(documents, 4)`."""
    data = np.frombuffer(raw, np.uint8)
    count = len(closes) // 3
    chars = np.arange(len(data) + 1)
    if (data > 127).any():
        # Lengths are in characters: UTF-8 continuation bytes are not counted.
        np.cumsum((data & 0xC0) != 0x80, out=chars[1:])
    lines = np.flatnonzero(data == 10)
    text = closes.searchsorted(lines, "right")
    mine = text % 3 == 0
    lines, owner = lines[mine], text[mine] // 3
    ends = closes[::3] - 1
    until = np.minimum(np.append(lines[1:], len(data))[: len(lines)], ends.take(owner))
    length = chars.take(until) - chars.take(lines) - 3
    chosen = _LETTER.take(data.take(lines + 1)) & _MARK.take(data.take(lines + 2))
    asked, length = owner[chosen], length[chosen].astype(float)
    out = np.zeros((count, 4))
    out[:, 0] = np.bincount(asked, minlength=count)
    some = np.maximum(out[:, 0], 1.0)
    out[:, 2] = np.bincount(asked, length, count) / some
    variance = np.bincount(asked, (length - out[asked, 2]) ** 2, count) / some
    # Numpy's power rounds differently from Python's, which `options_of` uses.
    out[:, 1] = np.array([one**0.5 for one in variance.tolist()]) / (out[:, 2] + 1.0)
    first = ends.copy()
    # Written backwards, so that the first line's end remains.
    first[owner[::-1]] = lines[::-1]
    out[:, 3] = chars.take(first) - chars.take(ends - lengths[::3])
    return out
