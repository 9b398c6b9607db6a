"""`SemanticCache`: finds stored answers to questions in other words, and decides whether they may be served.

It is opt-in for each kind of step. Only the last question is compared; everything before it, the system prompt, the settings, the
model and the namespace must be exactly the same. Vectors find similar questions, a guard judges the wording, and a calibration
tells whether such judgements have been right often enough. An undecided case is a miss; the model's own answer then shows whether a
hit would have been right.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage

from langroute.cache.calibration import Calibration
from langroute.cache.entries import CacheEntry
from langroute.cache.guard import DIFFERENT, SAME, judge
from langroute.cache.question_index import Question, QuestionIndex, QuestionStore
from langroute.cache.question_vectors import QuestionVectors
from langroute.cache.vectors import ExactIndex, VectorIndex
from langroute.cache.wording import wording
from langroute.core.errors import ConfigurationError
from langroute.core.locks import at_fork, new_rlock
from langroute.core.urls import shown_url
from langroute.embeddings.hashed import HashedEmbeddings

if TYPE_CHECKING:
    from langroute.cache.requests import Lookup

DEFAULT_KINDS = ("answer",)
"""Kinds of steps that ask one question and choose no action."""

NEVER = frozenset({"act", "observe", "edit", "plan"})
"""Kinds of steps whose answers are actions, which may be repeated for exactly the same state only."""

SLOT = HumanMessage("\0the question")
"""Placeholder of the question in the key of everything that must be exactly the same."""

MAX_QUESTION = 600
"""Longest question in characters; longer texts are material rather than a question."""

LOADED = 256
"""Most questions that are embedded at once when a process loads those of others."""


class SemanticCache:
    """Cache that finds the stored answer to a question in other words.

    Args:
        embeddings: Any LangChain embeddings; by default hashed words, which need no model.
        kinds: The kinds of step it is for. Steps that choose actions are refused.
        max_error: The share of served answers that may be wrong.
        explore: The share of hits for which the model is called anyway, to check whether they are still right.
        min_similarity: Lowest cosine similarity of a stored question that is considered.
        same_answer: Function that compares two answers; by default their wording must agree.
        questions: Where the questions are kept: in each process's memory by default, or the `postgresql://` URL of a database with
            pgvector, where all processes and machines find them. The three arguments below are of the former.
        index: Creates a vector index: `ExactIndex`, or `ApproximateIndex` for very many questions.
        max_questions: Most questions kept in memory.
        refresh_seconds: Interval at which questions of other processes are loaded from the store.
        seed: Seed of the exploration; a number makes it reproducible.

    Raises:
        ConfigurationError: A kind of step chooses actions, or a number is out of range.

    Example:
        >>> from langroute.cache.response import ResponseCache
        >>> from langroute.hosts.chat_model import ChatRouter
        >>> from langroute.testing import ScriptedModel
        >>> cache = ResponseCache(semantic=SemanticCache(explore=0))
        >>> model = ChatRouter({"cheap": ScriptedModel("Paris.", "Madrid.")}, response_cache=cache)
        >>> model.invoke("What is the capital of France?").content
        'Paris.'
        >>> model.invoke("what's the capital of France").response_metadata["langroute"]["cache"]
        'semantic_hit'
        >>> model.invoke("What is the capital of Spain?").content
        'Madrid.'
    """

    def __init__(
        self,
        embeddings: Embeddings | None = None,
        *,
        kinds: Iterable[str] = DEFAULT_KINDS,
        max_error: float = 0.01,
        explore: float = 0.02,
        min_similarity: float = 0.5,
        same_answer: Callable[[Any, Any], bool] | None = None,
        questions: str | QuestionStore | None = None,
        index: Callable[[], VectorIndex] = ExactIndex,
        max_questions: int = 100_000,
        refresh_seconds: float = 5.0,
        seed: int | None = None,
    ) -> None:
        self.kinds = frozenset((kinds,) if isinstance(kinds, str) else kinds)
        if refused := sorted(self.kinds & NEVER):
            raise ConfigurationError(f"Answers to {', '.join(refused)} steps are actions; only the very same state may repeat one.")
        if not 0 <= explore <= 1 or not -1 <= min_similarity <= 1:
            raise ConfigurationError("explore is a share from 0 to 1 and min_similarity a cosine from -1 to 1.")
        self.embeddings = embeddings or HashedEmbeddings()
        self.calibration = Calibration(max_error)
        self.explore, self.min_similarity = explore, min_similarity
        self.vectors = QuestionVectors(self.embeddings)
        self._index, self._max_questions, self._refresh_seconds, self._kept_in = index, max_questions, refresh_seconds, questions
        self.questions: QuestionStore = self._opened(questions)
        self._same_answer = same_answer or says_the_same
        # Chooses which hits to check; not used for security.
        self._chance = random.Random(seed)  # noqa: S311
        self._given: OrderedDict[str, tuple[Any, bool]] = OrderedDict()
        """Decision id → neighbourhood in which an answer was served, and whether it started trusted."""

        self._lock = new_rlock()

        # Forked children must not all check the same calls.
        at_fork(self, in_child=lambda cache: cache._chance.seed())

    def __getstate__(self) -> dict[str, Any]:
        # Questions are loaded from the store again; the calibration starts anew.
        return {
            "embeddings": self.embeddings,
            "kinds": self.kinds,
            "max_error": self.calibration.max_error,
            "explore": self.explore,
            "min_similarity": self.min_similarity,
            "same_answer": self._same_answer,
            "questions": self._kept_in,
            "index": self._index,
            "max_questions": self._max_questions,
            "refresh_seconds": self._refresh_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _opened(self, questions: str | QuestionStore | None) -> QuestionStore:
        if questions is None:
            return QuestionIndex(self._index, self._max_questions, self._refresh_seconds)
        if not isinstance(questions, str):
            return questions
        if questions.partition("://")[0].partition("+")[0] not in ("postgresql", "postgres"):
            raise ConfigurationError(
                f"Questions are kept in memory or in PostgreSQL with pgvector; {shown_url(questions)} is neither. "
                "Give a URL such as postgresql://host/database."
            )
        from langroute.cache.pgvector import PgVectorStore

        return PgVectorStore(questions, made_by=self.vectors.made_by)

    # Asking ------------------------------------------------------------------------------------------------------------

    def question(self, ticket: Lookup, keys: Any) -> Question | None:
        """Return the question and the key of everything that must be equal; `None` where the semantic cache does not apply."""
        ask = ticket.ask
        if ask.kind not in self.kinds or ask.tools_bound or not ticket.may_read:
            return None
        if not ask.messages:
            return None
        last = ask.messages[-1]
        if last.type != "human" or not isinstance(last.content, str) or not 0 < len(last.content) <= MAX_QUESTION:
            return None
        words = wording(last.content)
        if len(words) < 2 or "\n" in last.content.strip():
            # "ok, continue" is no question by itself, and several lines are material.
            return None
        scope = keys.of([*ask.messages[:-1], SLOT], namespace=ticket.space, parts=(ask.model_digest, *ask.parts))
        return Question(scope, last.content, words, tenant=ticket.namespace)

    def find(
        self, ticket: Lookup, value: Callable[[str], CacheEntry | None], store: Any, keys: Any, now: float
    ) -> CacheEntry | None:
        """Return a stored answer that may be served, or `None`."""
        question = ticket.question = self.question(ticket, keys)
        if question is None:
            return None
        self._load(question.scope, store, value, now)
        if (key := self.questions.worded(question)) is not None and (entry := value(key)) is not None:
            return self._judged(ticket, question, entry, 1.0)
        if self.questions.is_empty(question.scope):
            return None
        question.vector = self.vectors.embed(question.text)
        for key, likeness in self.questions.near(question, self.min_similarity):
            if (entry := value(key)) is not None:
                return self._judged(ticket, question, entry, likeness)
        return None

    async def afind(
        self,
        ticket: Lookup,
        value: Callable[[str], Awaitable[CacheEntry | None]],
        load: Callable[[str], CacheEntry | None],
        store: Any,
        keys: Any,
        now: float,
    ) -> CacheEntry | None:
        """Async version of `find`."""
        question = ticket.question = self.question(ticket, keys)
        if question is None:
            return None
        if self.questions.is_stale(question.scope, now):
            await asyncio.to_thread(self._load, question.scope, store, load, now)
        if (key := self.questions.worded(question)) is not None and (entry := await value(key)) is not None:
            return self._judged(ticket, question, entry, 1.0)
        if self.questions.is_empty(question.scope):
            return None
        question.vector = await self.vectors.aembed(question.text)
        for key, likeness in await self.questions.anear(question, self.min_similarity):
            if (entry := await value(key)) is not None:
                return self._judged(ticket, question, entry, likeness)
        return None

    def _judged(self, ticket: Lookup, question: Question, entry: CacheEntry, likeness: float) -> CacheEntry | None:
        judgement = judge(question.text, _asked(entry))
        return None if judgement == DIFFERENT else self._decided(ticket, question, entry, judgement, likeness)

    def _decided(self, ticket: Lookup, question: Question, entry: CacheEntry, judgement: str, likeness: float) -> CacheEntry | None:
        """Return the answer where its neighbourhood is trusted; else `None`, and it is compared with the model's answer later."""
        if entry.namespace != ticket.namespace or entry.question.get("scope") != question.scope:
            return None
        question.trusted = judgement == SAME
        question.cell = (ticket.ask.kind, judgement, round(likeness * 20))
        question.near = entry
        if not self.calibration.trusts(question.cell, trusted=question.trusted):
            return None
        if self.explore and self._chance.random() < self.explore:
            return None
        if ticket.ask.decision_id:
            with self._lock:
                self._given[ticket.ask.decision_id] = (question.cell, question.trusted)
                if len(self._given) > 50_000:
                    self._given.popitem(last=False)
        return entry

    # Learning ----------------------------------------------------------------------------------------------------------

    def described(self, ticket: Lookup, entry: CacheEntry) -> CacheEntry:
        """Return an entry with its question, so that other processes find it too."""
        question = ticket.question
        if question is None:
            return entry
        known = {"text": question.text, "scope": question.scope, **self.vectors.packed(question.vector)}
        return replace(entry, question=known, tags=(*entry.tags, f"scope:{question.scope}"))

    def embed(self, ticket: Lookup) -> None:
        """Embed a question that is about to be stored, where it has no vector yet."""
        question = ticket.question
        if question is not None and question.vector is None:
            question.vector = self.vectors.embed(question.text)

    async def aembed(self, ticket: Lookup) -> None:
        """Async version of `embed`."""
        question = ticket.question
        if question is not None and question.vector is None:
            question.vector = await self.vectors.aembed(question.text)

    def add(self, ticket: Lookup, entry: CacheEntry) -> None:
        """Add the question of an answer of the model that was stored."""
        question = ticket.question
        if question is not None and question.vector is not None:
            self._compare(question, entry)
            self.questions.add(question, entry.key, entry.expires)

    async def aadd(self, ticket: Lookup, entry: CacheEntry) -> None:
        """Async version of `add`."""
        question = ticket.question
        if question is not None and question.vector is not None:
            self._compare(question, entry)
            await self.questions.aadd(question, entry.key, entry.expires)

    def _compare(self, question: Question, entry: CacheEntry) -> None:
        """Compare the model's answer with a stored one that was not served, and teach the result to the calibration."""
        if question.near is not None and question.cell is not None:
            right = self._same_answer(question.near.message, entry.message)
            self.calibration.learn(question.cell, right=right, trusted=question.trusted)

    def learn(self, decision_id: str, *, right: bool) -> bool:
        """Learn whether a served answer was right; return whether the decision is known."""
        with self._lock:
            given = self._given.pop(decision_id, None)
        if given is None:
            return False
        self.calibration.learn(given[0], right=right, trusted=given[1])
        return True

    # Keeping -----------------------------------------------------------------------------------------------------------

    def forget(self, keys: Collection[str]) -> None:
        """Remove the questions of deleted answers."""
        self.questions.forget(keys)

    def clear(self) -> None:
        """Remove all questions; the calibration is kept."""
        self.questions.clear()

    def _load(self, name: str, store: Any, value: Callable[[str], CacheEntry | None], now: float) -> None:
        """Load the questions of other and earlier processes from the store."""
        if not self.questions.is_stale(name, now):
            return
        self.questions.refreshed(name, now)
        if not store.shared:
            return
        found = [key for key in store.tagged(f"scope:{name}") if key not in self.questions][: self._max_questions]
        for begin in range(0, len(found), LOADED):
            entries = [
                (key, entry)
                for key in found[begin : begin + LOADED]
                if (entry := value(key)) is not None and entry.question.get("scope") == name and _asked(entry)
            ]
            texts = [_asked(entry) for _, entry in entries]
            vectors = self.vectors.of(texts, [entry.question for _, entry in entries])
            for (key, _), text, vector in zip(entries, texts, vectors, strict=True):
                self.questions.add(Question(name, text, wording(text), vector), key)


def _asked(entry: CacheEntry) -> str:
    """Return the question of a stored answer; an empty string where it is longer than `MAX_QUESTION`."""
    text = entry.question.get("text", "")
    return text if isinstance(text, str) and len(text) <= MAX_QUESTION else ""


def says_the_same(one: Any, other: Any) -> bool:
    """Return whether two answers agree in their wording, or in every word and number that carries meaning.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> says_the_same(AIMessage("It's Paris."), AIMessage("it is paris"))
        True
        >>> says_the_same(AIMessage("It takes 5 days."), AIMessage("It takes 7 days."))
        False
    """
    if one.tool_calls or other.tool_calls:
        return [(call["name"], call["args"]) for call in one.tool_calls] == [
            (call["name"], call["args"]) for call in other.tool_calls
        ]
    return str(one.text) == str(other.text) or judge(str(one.text), str(other.text)) == SAME
