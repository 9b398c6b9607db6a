"""Codec of stored values: compression, authentication and optional encryption.

Every value carries a keyed digest over itself and the key it is stored under: a value that was truncated, changed, moved to another
key or written without the signing key is rejected. The signing key is derived from your secret, or is the user's own (`user_key`),
which no other machine and no other user has. With `encrypt=True` nobody can read a value in the store.
"""

from __future__ import annotations

import zlib
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

from langroute.cache.user_key import user_key
from langroute.core.errors import ConfigurationError, DataError, MissingExtraError

MAC_BYTES = 16
PLAIN, COMPRESSED, ENCRYPTED = 0, 1, 2
MAX_BYTES = 64 * 1024 * 1024
"""Largest value in bytes, before and after decompression; anything larger is rejected."""


class Codec:
    """Seals and opens values for a store outside this process.

    Args:
        secret: Secret without which nobody can write values that are accepted. Without one, only this user on this machine can.
        encrypt: Encrypt with a key derived from the secret (AES-256-GCM of the `cryptography` package).
        compress_above: Compress values of more bytes than this.

    Raises:
        ConfigurationError: An empty secret, or encryption without one.
        MissingExtraError: Encryption without `cryptography`.

    Example:
        >>> codec = Codec(secret="s3cret")
        >>> codec.open("k1", codec.seal("k1", b"answer"))
        b'answer'
    """

    def __init__(self, *, secret: str | bytes | None = None, encrypt: bool = False, compress_above: int = 1024) -> None:
        if secret is not None and not secret:
            # An empty secret is most likely a missing setting.
            raise ConfigurationError("The secret of a Codec is empty. Give one, or leave it out for the user's own key.")
        if encrypt and not secret:
            raise ConfigurationError("Encryption needs a secret: Codec(secret=..., encrypt=True).")
        given = self._secret = secret.encode() if isinstance(secret, str) else secret
        self._mac_key = blake2b(given or user_key(), digest_size=32, person=b"lr-cache-mac").digest()
        self.compress_above = compress_above
        self._cipher: Any = None
        if encrypt:
            try:
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            except ImportError as error:
                raise MissingExtraError("cryptography", "redis", "Encrypting cached answers") from error
            self._cipher = AESGCM(blake2b(given or b"", digest_size=32, person=b"lr-cache-aes").digest())

    @property
    def has_secret(self) -> bool:
        """Whether it uses a secret of yours, which machines and users can share."""
        return bool(self._secret)

    def __getstate__(self) -> dict[str, Any]:
        return {"secret": self._secret, "encrypt": self._cipher is not None, "compress_above": self.compress_above}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def seal(self, key: str, data: bytes) -> bytes:
        """Return a value in the form in which it is stored under a key."""
        flags = PLAIN
        if len(data) > self.compress_above:
            data, flags = zlib.compress(data, 3), COMPRESSED
        if self._cipher is not None:
            import os

            nonce = os.urandom(12)
            data, flags = nonce + self._cipher.encrypt(nonce, data, _named(key)), flags | ENCRYPTED
        body = bytes([flags]) + data
        return self._mac(key, body) + body

    def open(self, key: str, sealed: bytes) -> bytes:
        """Return the value that was stored under a key.

        Raises:
            DataError: It was truncated, changed, moved, sealed with another secret, or is too large.
        """
        if len(sealed) > MAX_BYTES:
            raise DataError("A stored answer is too large.")
        mac, body = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if not body or not compare_digest(mac, self._mac(key, body)):
            raise DataError("A stored answer is damaged or was sealed with another secret.")
        flags, data = body[0], body[1:]
        try:
            if flags & ENCRYPTED:
                if self._cipher is None:
                    raise DataError("A stored answer is encrypted and there is no key.")
                data = self._cipher.decrypt(data[:12], data[12:], _named(key))
            if flags & COMPRESSED:
                opened = zlib.decompressobj()
                data = opened.decompress(data, MAX_BYTES)
                if opened.unconsumed_tail:
                    raise DataError("A stored answer is too large.")
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"A stored answer cannot be opened: {type(error).__name__}") from error
        return data

    def _mac(self, key: str, body: bytes) -> bytes:
        return blake2b(_named(key) + b"\0" + body, digest_size=MAC_BYTES, key=self._mac_key).digest()


def _named(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
