"""What does the sense of a request say about each route's success? Only in policies that were fitted with embeddings.

A linear model of the vectors, beside that of the words. It costs what the embeddings cost, in every decision, and pays where words say
little: in traffic of many languages, or of few words. No vector of a request is kept, only the model's weights.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from langroute.errors import ConfigurationError, DataError
from langroute.estimators.documents import Document
from langroute.estimators.features import Floats

PROBE = "Which is the cheapest model that will do?"
"""What both the fit and the program that uses it embed, to tell whether they have the same embeddings."""

ALIKE = 0.98
"""Least cosine of two vectors of the same text by the same embeddings: providers round, and quantise."""

TOGETHER = 256
"""Texts that are embedded with one call."""

REMEMBERED = 256
"""Texts whose vectors are remembered: all steps of a turn are about the same text."""


class Reader:
    """Any LangChain embeddings, asked once for each of the latest texts.

    Everything is embedded as a document: some providers embed queries otherwise, and what is fitted and what is asked must be alike.

    Args:
        embeddings: LangChain embeddings. Those that call something over a network are awaited by `ainvoke`, and wait in `invoke`.

    Raises:
        ConfigurationError: It has no `embed_documents`.
    """

    def __init__(self, embeddings: Any) -> None:
        if isinstance(embeddings, type) or not callable(getattr(embeddings, "embed_documents", None)):
            raise ConfigurationError(f"Give LangChain embeddings, an object with `embed_documents`, not {embeddings!r}.")
        self.embeddings = embeddings
        self._known: LRUCache[str, Floats] = LRUCache(REMEMBERED)
        self._lock = threading.Lock()

    def read(self, texts: Sequence[str]) -> Floats:
        """Vectors of length 1, `(texts, dimensions)`; of zeros for an empty text.

        Raises:
            DataError: The embeddings failed, or what came back is no vector for each text.
        """
        if len(texts) != 1:
            parts = [texts[begin : begin + TOGETHER] for begin in range(0, len(texts), TOGETHER)]
            return np.concatenate([self._units(part, self._embed(part)) for part in parts])
        (text,) = texts
        known = self._remembered(text)
        return known if known is not None else self._remember(text, self._embed([text]))

    async def prepare(self, text: str) -> None:
        """Have the vector of a text at hand, without keeping an event loop waiting."""
        if self._remembered(text) is None:
            # Whoever awaits has it anyway; a replay does without.
            from asyncio import to_thread

            awaited = getattr(self.embeddings, "aembed_documents", None)
            # LangChain's own base class does the same where only the plain method is there.
            asked = to_thread(self.embeddings.embed_documents, [_said(text)]) if awaited is None else awaited([_said(text)])
            self._remember(text, await asked)

    def _embed(self, texts: Sequence[str]) -> Any:
        try:
            return self.embeddings.embed_documents([_said(text) for text in texts])
        except Exception as error:
            raise DataError(f"The embeddings failed: {type(error).__name__}: {error}") from error

    def probe(self) -> Floats:
        """The vector of `PROBE`, by which embeddings are known.

        Raises:
            DataError: It is of zeros or has no dimension: nothing can be learned from such embeddings, nor can they be known again.
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
    """Log-odds of success from vectors.

    Example:
        >>> from langroute.embeddings import HashedEmbeddings
        >>> reader = Reader(HashedEmbeddings(8))
        >>> sense = Sense(np.zeros(8), np.zeros((8, 2)), np.array([0.5, -0.5]), reader.read([PROBE])[0])
        >>> sense.read_by(reader).logits([Document("Define entropy.")]).tolist()
        [[0.5, -0.5]]
    """

    mean: Floats
    """`(dimensions,)`."""

    weights: Floats
    """`(dimensions, routes)`."""

    bias: Floats
    """`(routes,)`."""

    probe: Floats
    """The vector of `PROBE`, `(dimensions,)`."""

    reader: Reader | None = None

    def read_by(self, reader: Reader) -> Sense:
        """With embeddings that are the ones it was fitted with.

        Raises:
            ConfigurationError: They are others.
            DataError: They say nothing.
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
        """`(requests, routes)`."""
        if not documents:
            return np.zeros((0, len(self.bias)))
        return self.of(self.reading().read([document.text for document in documents]))

    def reading(self) -> Reader:
        """The embeddings.

        Raises:
            ConfigurationError: None were given.
        """
        if self.reader is None:
            raise ConfigurationError(
                "The policy was fitted with embeddings. Give the same: load_policy(directory, embeddings=...), or --embeddings."
            )
        return self.reader

    def of(self, vectors: Floats) -> Floats:
        """What `logits` says, of vectors `(requests, dimensions)`.

        Raises:
            DataError: They have other dimensions than those it was fitted on.
        """
        if vectors.shape[1] != len(self.mean):
            raise DataError(
                f"The embeddings return {vectors.shape[1]} dimensions by now; the policy was fitted with {len(self.mean)}."
            )
        return np.asarray((vectors - self.mean) @ self.weights + self.bias)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What is stored."""
        return {"mean": self.mean, "weights": self.weights, "bias": self.bias, "probe": self.probe}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Sense:
        """What `arrays` was taken from; without a reader yet."""
        return cls(arrays["mean"], arrays["weights"], arrays["bias"], arrays["probe"])
