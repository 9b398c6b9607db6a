"""Stored questions, by everything that must be equal, by wording and by vector; `QuestionIndex` keeps them in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from langroute.cache.entries import CacheEntry
from langroute.cache.vectors import VectorIndex
from langroute.core.locks import new_rlock


@dataclass(slots=True)
class Question:
    """A question as the semantic cache sees it."""

    scope: str
    text: str
    words: tuple[str, ...]
    vector: Any = None
    near: CacheEntry | None = None
    """A stored answer that was found but not served; the model's answer will show whether it would have been right."""

    cell: Any = None
    trusted: bool = False
    tenant: str = ""
    """Digest of the namespace, which no answer crosses."""


class QuestionStore(Protocol):
    """Where a semantic cache keeps questions. Methods that may wait have an async version."""

    def __contains__(self, key: str) -> bool:
        """Return whether a question is known to be there."""

    def worded(self, question: Question) -> str | None:
        """Return the key of a stored question of the same wording where that is known without waiting, or `None`."""

    def is_empty(self, scope: str) -> bool:
        """Return whether a scope is known to have no questions."""

    def near(self, question: Question, min_similarity: float) -> list[tuple[str, float]]:
        """Return the keys of the most similar stored questions, with their cosine similarities, the best first."""

    async def anear(self, question: Question, min_similarity: float) -> list[tuple[str, float]]:
        """Async version of `near`."""

    def add(self, question: Question, key: str, expires: float | None = None) -> None:
        """Add the question of a stored answer, which expires with it, in seconds since the epoch."""

    async def aadd(self, question: Question, key: str, expires: float | None = None) -> None:
        """Async version of `add`."""

    def forget(self, keys: Collection[str]) -> None:
        """Remove the questions of deleted answers."""

    def clear(self) -> None:
        """Remove all questions."""

    def is_stale(self, scope: str, now: float) -> bool:
        """Return whether questions of other processes have to be loaded."""

    def refreshed(self, scope: str, now: float) -> None:
        """Note that a scope is being loaded now."""


class QuestionScope:
    """Stored questions of requests that are equal in everything else."""

    __slots__ = ("by_words", "index", "looked", "words")

    def __init__(self, index: VectorIndex) -> None:
        self.index = index
        self.words: dict[str, tuple[str, ...]] = {}
        """Key → wording of its question."""

        self.by_words: dict[tuple[str, ...], str] = {}
        self.looked = float("-inf")
        """When the store was last asked for questions of other processes."""


class QuestionIndex:
    """Stored questions of all scopes; the longest unused scopes are dropped first.

    Args:
        index: Creates a vector index.
        max_questions: Most questions kept in memory.
        refresh_seconds: Interval at which a scope's questions of other processes are loaded.
    """

    def __init__(self, index: Callable[[], VectorIndex], max_questions: int, refresh_seconds: float) -> None:
        self.index, self.max_questions, self.refresh_seconds = index, max_questions, refresh_seconds
        self.scopes: OrderedDict[str, QuestionScope] = OrderedDict()
        self._where: dict[str, str] = {}
        """Key → scope."""

        self._lock = new_rlock()

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def worded(self, question: Question) -> str | None:
        """Return the key of a stored question of the same wording, or `None`."""
        with self._lock:
            scope = self.scopes.get(question.scope)
            return scope.by_words.get(question.words) if scope is not None else None

    def is_empty(self, scope: str) -> bool:
        """Return whether a scope has no questions."""
        with self._lock:
            return scope not in self.scopes or not self.scopes[scope].words

    def near(self, question: Question, min_similarity: float, count: int = 3) -> list[tuple[str, float]]:
        """Return the keys of the most similar stored questions, with their cosine similarities."""
        with self._lock:
            near = self.scopes[question.scope].index.near(question.vector, count)
        return [(key, likeness) for key, likeness in near if likeness >= min_similarity]

    async def anear(self, question: Question, min_similarity: float) -> list[tuple[str, float]]:
        """Async version of `near`; it never waits."""
        return self.near(question, min_similarity)

    async def aadd(self, question: Question, key: str, expires: float | None = None) -> None:
        """Async version of `add`; it never waits."""
        self.add(question, key, expires)

    def add(self, question: Question, key: str, expires: float | None = None) -> None:
        """Add the question of a stored answer; one whose answer has expired is found and leads to nothing."""
        with self._lock:
            scope = self._scope(question.scope)
            self.scopes.move_to_end(question.scope)
            if key in self._where:
                return
            scope.index.add(key, question.vector)
            scope.words[key] = question.words
            scope.by_words.setdefault(question.words, key)
            self._where[key] = question.scope
            while len(self._where) > self.max_questions and len(self.scopes) > 1:
                _, oldest = self.scopes.popitem(last=False)
                for gone in oldest.words:
                    self._where.pop(gone, None)
            if len(self._where) > self.max_questions:
                self._drop(next(iter(scope.words)))

    def forget(self, keys: Collection[str]) -> None:
        """Remove the questions of deleted answers."""
        with self._lock:
            for key in keys:
                self._drop(key)

    def clear(self) -> None:
        """Remove all questions."""
        with self._lock:
            self.scopes.clear()
            self._where.clear()

    def is_stale(self, scope: str, now: float) -> bool:
        """Return whether questions of other processes should be loaded again."""
        with self._lock:
            return now - self._scope(scope).looked > self.refresh_seconds

    def refreshed(self, scope: str, now: float) -> None:
        """Note that a scope is being loaded now."""
        with self._lock:
            self._scope(scope).looked = now

    def _scope(self, name: str) -> QuestionScope:
        """Return a scope, created where it is new; the caller must hold the lock."""
        found = self.scopes.get(name)
        if found is None:
            found = self.scopes[name] = QuestionScope(self.index())
        return found

    def _drop(self, key: str) -> None:
        scope = self.scopes.get(self._where.pop(key, ""))
        if scope is None:
            return
        words = scope.words.pop(key, ())
        if scope.by_words.get(words) == key:
            del scope.by_words[words]
        scope.index.remove(key)
