"""Vectors of questions: made by embeddings, and stored with answers so that other processes need not embed again."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from langroute.cache.vectors import alike, unit
from langroute.embeddings.hashed import HashedEmbeddings


class QuestionVectors:
    """Embeds questions; reads and writes stored vectors.

    Args:
        embeddings: Any LangChain embeddings.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.made_by = _name_of(embeddings)
        """Name that identifies the embeddings."""

        self._size: int | None = None
        """Length of the embeddings' vectors, once one was made; a stored vector of another length is not theirs."""

    def embed(self, text: str) -> Any:
        """Return the vector of a question, of length 1."""
        return self._made(self.embeddings.embed_query(_normal(text)))

    async def aembed(self, text: str) -> Any:
        """Async version of `embed`."""
        return self._made(await self.embeddings.aembed_query(_normal(text)))

    def of(self, texts: Sequence[str], stored: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return the vectors of stored questions: those kept with them, and the others embedded in one batch.

        Args:
            texts: The questions.
            stored: Data stored with each of them.
        """
        found = alike([self._stored(question) for question in stored])
        for _ in range(2):
            # Repeat once the length of these embeddings' vectors is known.
            missing = [place for place, vector in enumerate(found) if vector is None or len(vector) != (self._size or len(vector))]
            if missing:
                for place, made in zip(
                    missing, self.embeddings.embed_documents([_normal(texts[at]) for at in missing]), strict=True
                ):
                    found[place] = self._made(made)
        return found

    def packed(self, vector: Any) -> dict[str, str]:
        """Return the fields that store a vector with its question; empty where embedding again needs no model."""
        if vector is None or isinstance(self.embeddings, HashedEmbeddings):
            return {}
        return {"by": self.made_by, "vector": base64.b64encode(vector.astype(np.float16).tobytes()).decode("ascii")}

    def _made(self, vector: Any) -> Any:
        """Return a new vector of the embeddings as an array of length 1, and note its dimensions."""
        self._size = len(vector)
        return unit(vector)

    def _stored(self, question: Mapping[str, Any]) -> Any:
        """Return the vector stored with a question; `None` where it is from other embeddings."""
        if question.get("by") != self.made_by or not isinstance(packed := question.get("vector"), str):
            return None
        try:
            made = unit(np.frombuffer(base64.b64decode(packed), dtype=np.float16))
        except ValueError:
            return None
        return made if np.isfinite(made).all() else None


def _name_of(embeddings: Any) -> str:
    """Return a name that identifies the embeddings, since vectors of different ones cannot be compared."""
    model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None) or ""
    return f"{type(embeddings).__module__}.{type(embeddings).__qualname__}:{model}:{getattr(embeddings, 'dimensions', None) or ''}"


def _normal(text: str) -> str:
    """Return the normalized text of a question, which is embedded."""
    return re.sub(r"\s+", " ", text).strip().casefold()
