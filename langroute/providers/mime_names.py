"""Names of MIME types: other names of the same type, and short ones. Which types a provider takes is in its `WireRules`.

Source: https://www.iana.org/assignments/media-types and https://mimesniff.spec.whatwg.org (read 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Mapping

SYNONYMS: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-webp": "image/webp",
    "image/heic-sequence": "image/heic",
    "image/heif-sequence": "image/heif",
    "image/x-tiff": "image/tiff",
    "image/x-ms-bmp": "image/bmp",
    "image/x-bmp": "image/bmp",
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-mpeg-3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/mpga": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-pn-wav": "audio/wav",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-flac": "audio/flac",
    "audio/x-aac": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/opus": "audio/ogg",
    "application/x-pdf": "application/pdf",
    "text/x-markdown": "text/markdown",
    "application/csv": "text/csv",
}
"""Other name → the name that providers list."""

SHORT = {"audio/mpeg": "mp3", "audio/mp4": "m4a"}
"""MIME type → its short name, where that is not the part after the slash."""


def plain_type(mime: str | None) -> str | None:
    """Return a MIME type in lower case, without parameters and under the name that providers list.

    Example:
        >>> plain_type("audio/x-wav"), plain_type("Image/JPG; q=1"), plain_type(None)
        ('audio/wav', 'image/jpeg', None)
    """
    if not mime:
        return None
    name = mime.partition(";")[0].strip().lower()
    return SYNONYMS.get(name, name)


def short_name(mime: str) -> str:
    """Return a type's short name, as OpenAI's protocol has it for audio.

    Example:
        >>> short_name("audio/x-mpeg"), short_name("audio/wav")
        ('mp3', 'wav')
    """
    plain = plain_type(mime) or ""
    return SHORT.get(plain, plain.rpartition("/")[2])
