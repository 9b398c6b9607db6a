"""Linear model of success on embeddings; used only in policies that were fitted with embeddings.

It stands beside the linear model of the words. It adds the cost of an embedding to every decision, and pays where words say little: in
traffic of many languages, or with few words. No vector of a request is stored, only the model's weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from langroute.core.errors import ConfigurationError, DataError
from langroute.core.locks import new_lock
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import Document

PROBE = "Which is the cheapest model that will do?"
"""Text that is embedded both at the fit and at use, to detect different embeddings."""

ALIKE = 0.98
"""Least cosine similarity of two vectors of the same text by the same embeddings; providers round and quantise."""

TOGETHER = 256
"""Number of texts that are embedded with one call."""

REMEMBERED = 256
"""Number of texts whose vectors are cached; all steps of a turn have the same text."""


class CachedEmbeddings:
    """LangChain embeddings with a cache of the latest texts.

    Everything is embedded as a document: some providers embed queries differently, and texts must be embedded the same way at the fit and
    at use.

    Args:
        embeddings: LangChain embeddings. Network calls are awaited in `ainvoke`, and block in `invoke`.

    Raises:
        ConfigurationError: The object has no `embed_documents`.
    """

    def __init__(self, embeddings: Any) -> None:
        if isinstance(embeddings, type) or not callable(getattr(embeddings, "embed_documents", None)):
            raise ConfigurationError(f"Give LangChain embeddings, an object with `embed_documents`, not {embeddings!r}.")
        self.embeddings = embeddings
        self._known: LRUCache[str, Floats] = LRUCache(REMEMBERED)
        self._lock = new_lock()

    def read(self, texts: Sequence[str]) -> Floats:
        """Return vectors of length 1, `(texts, dimensions)`; a vector of zeros stays one.

        Raises:
            DataError: The embeddings failed, or did not return one finite vector for each text.
        """
        if len(texts) != 1:
            parts = [texts[begin : begin + TOGETHER] for begin in range(0, len(texts), TOGETHER)]
            return np.concatenate([self._units(part, self._embed(part)) for part in parts])
        (text,) = texts
        known = self._remembered(text)
        return known if known is not None else self._remember(text, self._embed([text]))

    async def prepare(self, text: str) -> None:
        """Compute and cache the vector of a text, without blocking the event loop."""
        if self._remembered(text) is None:
            # Imported here: whoever awaits has imported asyncio already, and a replay does not need it.
            from asyncio import to_thread

            awaited = getattr(self.embeddings, "aembed_documents", None)
            # LangChain's base class does the same where only the synchronous method is defined.
            asked = to_thread(self.embeddings.embed_documents, [_said(text)]) if awaited is None else awaited([_said(text)])
            self._remember(text, await asked)

    def _embed(self, texts: Sequence[str]) -> Any:
        try:
            return self.embeddings.embed_documents([_said(text) for text in texts])
        except Exception as error:
            raise DataError(f"The embeddings failed: {type(error).__name__}: {error}") from error

    def probe(self) -> Floats:
        """Return the vector of `PROBE`, `(dimensions,)`, which identifies the embeddings.

        Raises:
            DataError: It is all zeros or has no dimensions; such embeddings carry no information and cannot be identified.
        """
        (found,) = self.read([PROBE])
        if float(found @ found) < ALIKE:
            raise DataError(f"The embeddings say nothing: a vector of {len(found)} dimensions, all of zeros, for {PROBE!r}.")
        return np.asarray(found)

    def __getstate__(self) -> dict[str, Any]:
        return {"embeddings": self.embeddings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _remembered(self, text: str) -> Floats | None:
        with self._lock:
            return self._known.get(text)

    def _remember(self, text: str, vectors: Any) -> Floats:
        found = self._units([text], vectors)
        with self._lock:
            self._known[text] = found
        return found

    def _units(self, texts: Sequence[str], vectors: Any) -> Floats:
        try:
            found = np.array(vectors, float)
        except (TypeError, ValueError) as error:
            raise DataError(f"The embeddings returned no vectors of one length: {error}.") from error
        if found.ndim != 2 or len(found) != len(texts):
            raise DataError(f"The embeddings returned {found.shape} for {len(texts)} texts, where a vector for each was wanted.")
        if not np.isfinite(found).all():
            raise DataError("The embeddings returned a vector with what is no number.")
        return np.asarray(found / np.maximum(np.sqrt((found * found).sum(1, keepdims=True)), 1e-12))


def _said(text: str) -> str:
    # Some providers refuse an empty text.
    return text if text.strip() else "(nothing)"


@dataclass(frozen=True, slots=True)
class Sense:
    """Linear model of the log-odds of success on embedding vectors.

    Example:
        >>> from langroute.embeddings import HashedEmbeddings
        >>> reader = CachedEmbeddings(HashedEmbeddings(8))
        >>> sense = Sense(np.zeros(8), np.zeros((8, 2)), np.array([0.5, -0.5]), reader.read([PROBE])[0])
        >>> sense.read_by(reader).logits([Document("Define entropy.")]).tolist()
        [[0.5, -0.5]]
    """

    mean: Floats
    """Mean vector of the training data, `(dimensions,)`."""

    weights: Floats
    """`(dimensions, routes)`."""

    bias: Floats
    """`(routes,)`."""

    probe: Floats
    """Vector of `PROBE` by the embeddings that it was fitted with, `(dimensions,)`."""

    reader: CachedEmbeddings | None = None
    """The embeddings; `None` until `read_by` is called."""

    def read_by(self, reader: CachedEmbeddings) -> Sense:
        """Return the model with embeddings, after a check that they are the ones it was fitted with.

        Raises:
            ConfigurationError: They are different embeddings.
            DataError: They return a vector of zeros for `PROBE`.
        """
        probe = reader.probe()
        if probe.shape != self.probe.shape:
            raise ConfigurationError(
                f"The policy was fitted with embeddings of {len(self.probe)} dimensions; those given have {len(probe)}."
            )
        if float(probe @ self.probe) < ALIKE:
            raise ConfigurationError(
                "The policy was fitted with other embeddings than those given: they disagree about the same text."
            )
        return replace(self, reader=reader)

    def logits(self, documents: Sequence[Document]) -> Floats:
        """Return the log-odds of success, `(requests, routes)`."""
        if not documents:
            return np.zeros((0, len(self.bias)))
        return self.of(self.reading().read([document.text for document in documents]))

    def reading(self) -> CachedEmbeddings:
        """Return the embeddings.

        Raises:
            ConfigurationError: None were given.
        """
        if self.reader is None:
            raise ConfigurationError(
                "The policy was fitted with embeddings. Give the same: load_policy(directory, embeddings=...), or --embeddings."
            )
        return self.reader

    def of(self, vectors: Floats) -> Floats:
        """Return the log-odds of success for vectors `(requests, dimensions)`, as `(requests, routes)`.

        Raises:
            DataError: The number of dimensions differs from that of the fit.
        """
        if vectors.shape[1] != len(self.mean):
            raise DataError(
                f"The embeddings return {vectors.shape[1]} dimensions by now; the policy was fitted with {len(self.mean)}."
            )
        return np.asarray((vectors - self.mean) @ self.weights + self.bias)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"mean": self.mean, "weights": self.weights, "bias": self.bias, "probe": self.probe}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Sense:
        """Return the model from the arrays that `arrays` returned; without a reader yet."""
        return cls(arrays["mean"], arrays["weights"], arrays["bias"], arrays["probe"])
