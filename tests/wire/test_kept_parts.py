"""Parts that come again are known by their bytes, and a bounded number of bytes is kept."""

from __future__ import annotations

from langroute.wire.kept_parts import KeptParts


def test_equal_parts_are_one_object_and_others_are_not() -> None:
    kept = KeptParts()
    first, again, other = (kept.same(b"a" * 1000 + middle + b"z" * 1000) for middle in (b"1", b"1", b"2"))
    assert first is again
    assert other != first
    assert kept.digest(other) != kept.digest(first)
    assert kept.digest(first) == KeptParts().digest(bytes(bytearray(first)))


def test_so_many_bytes_are_kept_at_most() -> None:
    kept = KeptParts(max_bytes=100_000)
    for number in range(500):
        kept.digest(b"%05d" % number + b"x" * 5000)
        assert kept.kept_bytes <= 100_000
    recent = b"%05d" % 499 + b"x" * 5000
    assert kept.same(recent) is not recent
    gone = b"%05d" % 0 + b"x" * 5000
    assert kept.same(gone) is gone


def test_parts_with_the_same_ends_take_each_others_place() -> None:
    kept = KeptParts()
    for number in range(100):
        kept.digest(b"a" * 1000 + b"%03d" % number + b"z" * 1000)
    assert kept.kept_bytes == 2003


def test_what_is_too_long_is_not_kept() -> None:
    kept = KeptParts()
    long = b"x" * (3 * 2**20)
    assert kept.same(long) is long
    assert len(kept.digest(long)) == 16
    assert kept.kept_bytes == 0
