"""How does a stored answer leave the process, and how is it known again?

Every value carries a keyed digest over itself and the key it stands under: one that was cut off, changed or moved to another key is no
answer. With a secret of your own the digest also holds against somebody who can write to the store, and with `encrypt=True` nobody
can read it there.
"""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import Any

from langroute.errors import ConfigurationError, DataError, MissingExtraError

MAC_BYTES = 16
PLAIN, COMPRESSED, ENCRYPTED = 0, 1, 2
_DEFAULT_SECRET = b"langroute-cache"
_MAX_BYTES = 64 * 1024 * 1024
"""A compressed value that grows beyond this is none of ours."""


class Codec:
    """Seals values for a store outside this process.

    Args:
        secret: Only who has it can make values that are taken for answers.
        encrypt: Encrypt with a key made of the secret (AES-256-GCM of the `cryptography` package).
        compress_above: Compress values of more bytes than this.

    Raises:
        ConfigurationError: Encryption without a secret.
        MissingExtraError: Encryption without `cryptography`.

    Example:
        >>> codec = Codec(secret="s3cret")
        >>> codec.open("k1", codec.seal("k1", b"answer"))
        b'answer'
    """

    def __init__(self, *, secret: str | bytes | None = None, encrypt: bool = False, compress_above: int = 1024) -> None:
        if encrypt and not secret:
            raise ConfigurationError("Encryption needs a secret: Codec(secret=..., encrypt=True).")
        given = self._secret = secret.encode() if isinstance(secret, str) else secret
        self._mac_key = blake2b(given or _DEFAULT_SECRET, digest_size=32, person=b"lr-cache-mac").digest()
        self.compress_above = compress_above
        self._cipher: Any = None
        if encrypt:
            try:
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            except ImportError as error:
                raise MissingExtraError("cryptography", "redis", "Encrypting cached answers") from error
            self._cipher = AESGCM(blake2b(given or b"", digest_size=32, person=b"lr-cache-aes").digest())

    def __getstate__(self) -> dict[str, Any]:
        return {"secret": self._secret, "encrypt": self._cipher is not None, "compress_above": self.compress_above}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def seal(self, key: str, data: bytes) -> bytes:
        """A value as it is stored under a key."""
        flags = PLAIN
        if len(data) > self.compress_above:
            data, flags = zlib.compress(data, 3), COMPRESSED
        if self._cipher is not None:
            import os

            nonce = os.urandom(12)
            data, flags = nonce + self._cipher.encrypt(nonce, data, key.encode()), flags | ENCRYPTED
        body = bytes([flags]) + data
        return self._mac(key, body) + body

    def open(self, key: str, sealed: bytes) -> bytes:
        """A value that was stored under a key.

        Raises:
            DataError: It was cut off, changed, moved, or sealed with another secret.
        """
        mac, body = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if not body or mac != self._mac(key, body):
            raise DataError("A stored answer is damaged or was sealed with another secret.")
        flags, data = body[0], body[1:]
        try:
            if flags & ENCRYPTED:
                if self._cipher is None:
                    raise DataError("A stored answer is encrypted and there is no key.")
                data = self._cipher.decrypt(data[:12], data[12:], key.encode())
            if flags & COMPRESSED:
                opened = zlib.decompressobj()
                data = opened.decompress(data, _MAX_BYTES)
                if opened.unconsumed_tail:
                    raise DataError("A stored answer is too large.")
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"A stored answer cannot be opened: {type(error).__name__}") from error
        return data

    def _mac(self, key: str, body: bytes) -> bytes:
        return blake2b(key.encode() + b"\0" + body, digest_size=MAC_BYTES, key=self._mac_key).digest()
