"""Checks of an `.npz` archive's size and headers before any array is unpacked."""

from __future__ import annotations

import io
import zipfile
from math import prod
from typing import IO

from numpy.lib import format as npy

from langroute.core.errors import PolicyFormatError

MOST_ARRAYS = 50_000
"""Most arrays in an archive; a policy has some thirty for each group of routes, and three for each stage of a plan."""

MOST_UNPACKED = 1 << 30
"""Most bytes of all arrays together, unpacked."""

_ENTRY = b"PK\x01\x02"
"""Signature of an entry in the central directory of a zip archive."""

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def check_packed(packed: bytes, where: str) -> None:
    """Check that the arrays of an archive have the sizes that their headers state, and are no more and no larger than a policy's.

    Args:
        packed: The archive, as `numpy.savez` writes it.
        where: The file's name, for errors.

    Raises:
        PolicyFormatError: A check failed; the message names the array.
        zipfile.BadZipFile: The bytes are not a zip archive.
        ValueError: An array has no readable header.
    """
    # Counted before the archive is opened, which creates an object for each entry.
    if packed.count(_ENTRY) > MOST_ARRAYS:
        raise PolicyFormatError(f"{where}: holds more than {MOST_ARRAYS:,} arrays; no policy does.")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MOST_UNPACKED:
            raise PolicyFormatError(f"{where}: would unpack to more than {MOST_UNPACKED >> 20} MB; it is not unpacked.")
        for member in members:
            with archive.open(member) as file:
                _check_array(file, member.file_size, f"{where}: {member.filename.removesuffix('.npy')}")


def _check_array(file: IO[bytes], size: int, where: str) -> None:
    if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
        # Not an array: other members are bounded by their size here, and refused by their name later.
        return
    file.seek(0)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise PolicyFormatError(f"{where} is in a format of arrays that no policy is written in.")
    shape, _, kind = _HEADERS[version](file)
    if kind.hasobject:
        # Pickled objects: numpy refuses to read them with an error of its own.
        return
    said, there = prod(shape) * kind.itemsize, size - file.tell()
    if said != there:
        raise PolicyFormatError(f"{where} says that it has {said:,} bytes of numbers, and has {there:,}.")
