"""When is a stored answer to other words the answer to these?

Opt-in, for each kind of step. Only the last question is compared; everything before it, the system prompt, the settings, the model and
the namespace must be exactly the same. Vectors find what comes near, a guard judges the wording, and a calibration says whether such
judgements have been right often enough. Undecided is a miss; the model's own answer then shows whether a hit would have been right.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage

from langroute.cache.calibration import Calibration
from langroute.cache.entries import Entry
from langroute.cache.guard import DIFFERENT, SAME, judge
from langroute.cache.vectors import ExactIndex, VectorIndex, unit
from langroute.cache.wording import wording
from langroute.embeddings.hashed import HashedEmbeddings
from langroute.errors import ConfigurationError

if TYPE_CHECKING:
    from langroute.cache.asks import Ticket

DEFAULT_KINDS = ("answer",)
"""Steps that ask one question and choose no action."""

NEVER = frozenset({"act", "observe", "edit", "plan"})
"""Steps whose answers are actions: only the very same state may repeat one."""

SLOT = HumanMessage("\0the question")
"""Stands where the question stood, in the key of all that must be exactly the same."""

MAX_QUESTION = 600
"""Longer texts are material rather than a question."""

LOADED = 256
"""Questions that are embedded at once when a process finds those of others."""


@dataclass(slots=True)
class Question:
    """A question as the semantic cache sees it."""

    scope: str
    text: str
    words: tuple[str, ...]
    vector: Any = None
    near: Entry | None = None
    """The stored answer that was not given; what the model says will show whether it would have been right."""

    cell: Any = None
    trusted: bool = False


class _Scope:
    """Stored questions that differ in nothing but the question."""

    __slots__ = ("by_words", "index", "looked", "words")

    def __init__(self, index: VectorIndex) -> None:
        self.index = index
        self.words: dict[str, tuple[str, ...]] = {}
        """Key → what its question says."""

        self.by_words: dict[tuple[str, ...], str] = {}
        self.looked = float("-inf")
        """When the store was last asked for questions of other processes."""


class SemanticCache:
    """Finds the stored answer to a question in other words.

    Args:
        embeddings: Any LangChain embeddings; hashed words where none are given, which need no model.
        kinds: The kinds of step it is for. Steps that choose actions are refused.
        max_error: The share of given answers that may be wrong.
        explore: The share of hits at which the model is asked anyway, to see whether they are still right.
        min_similarity: Cosine below which a stored question is not looked at.
        same_answer: Whether two answers say the same; by default their wording must agree.
        index: Makes the index of the questions that differ in nothing else: `ExactIndex`, or `ApproximateIndex` for very many of them.
        max_questions: Most questions kept in memory.
        refresh_seconds: How often the store is asked for questions that other processes stored.
        seed: For the exploration; a number makes it repeatable.

    Raises:
        ConfigurationError: A kind of step chooses actions, or a number makes no sense.

    Example:
        >>> from langroute.cache.response import ResponseCache
        >>> from langroute.chat_model import ChatRouter
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
        self.explore, self.min_similarity, self.max_questions = explore, min_similarity, max_questions
        self.refresh_seconds = refresh_seconds
        self.index = index
        self._same_answer = same_answer or says_the_same
        # Chooses what to check, not what is secret.
        self._chance = random.Random(seed)  # noqa: S311
        self._scopes: OrderedDict[str, _Scope] = OrderedDict()
        self._where: dict[str, str] = {}
        """Key → scope."""

        self._given: OrderedDict[str, tuple[Any, bool]] = OrderedDict()
        """Decision → the neighbourhood in which an answer was given."""

        self._lock = RLock()
        self._made_by = _name_of(self.embeddings)

    def __getstate__(self) -> dict[str, Any]:
        # Questions are found again in the store; what was learned of judgements is learned anew.
        return {
            "embeddings": self.embeddings,
            "kinds": self.kinds,
            "max_error": self.calibration.max_error,
            "explore": self.explore,
            "min_similarity": self.min_similarity,
            "same_answer": self._same_answer,
            "index": self.index,
            "max_questions": self.max_questions,
            "refresh_seconds": self.refresh_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # Asking ------------------------------------------------------------------------------------------------------------

    def question(self, ticket: Ticket, keys: Any) -> Question | None:
        """What is asked, and the key of all that must be the same; `None` where this step is not for the semantic cache."""
        ask = ticket.ask
        if ask.kind not in self.kinds or ask.tools_bound or not ticket.may_read:
            return None
        last = ask.messages[-1]
        if last.type != "human" or not isinstance(last.content, str) or not 0 < len(last.content) <= MAX_QUESTION:
            return None
        words = wording(last.content)
        if len(words) < 2 or "\n" in last.content.strip():
            # "ok, continue" asks nothing by itself, and several lines are material.
            return None
        scope = keys.of([*ask.messages[:-1], SLOT], namespace=ticket.space, parts=(ask.made_by, *ask.parts))
        return Question(scope, last.content, words)

    def find(self, ticket: Ticket, value: Callable[[str], Entry | None], store: Any, keys: Any, now: float) -> Entry | None:
        """A stored answer that may be given, or `None`."""
        question = ticket.question = self.question(ticket, keys)
        if question is None:
            return None
        self._load(question.scope, store, value, now)
        if (key := self._worded(question)) is not None and (entry := value(key)) is not None:
            return self._decided(ticket, question, entry, SAME, 1.0)
        if self._empty(question.scope):
            return None
        question.vector = unit(self.embeddings.embed_query(_normal(question.text)))
        for key, likeness in self._near(question):
            if (entry := value(key)) is not None:
                return self._judged(ticket, question, entry, likeness)
        return None

    async def afind(
        self,
        ticket: Ticket,
        value: Callable[[str], Awaitable[Entry | None]],
        load: Callable[[str], Entry | None],
        store: Any,
        keys: Any,
        now: float,
    ) -> Entry | None:
        """`find`, awaited."""
        question = ticket.question = self.question(ticket, keys)
        if question is None:
            return None
        if self._stale(question.scope, now):
            await asyncio.to_thread(self._load, question.scope, store, load, now)
        if (key := self._worded(question)) is not None and (entry := await value(key)) is not None:
            return self._decided(ticket, question, entry, SAME, 1.0)
        if self._empty(question.scope):
            return None
        question.vector = unit(await self.embeddings.aembed_query(_normal(question.text)))
        for key, likeness in self._near(question):
            if (entry := await value(key)) is not None:
                return self._judged(ticket, question, entry, likeness)
        return None

    def _worded(self, question: Question) -> str | None:
        with self._lock:
            scope = self._scopes.get(question.scope)
            return scope.by_words.get(question.words) if scope is not None else None

    def _scope(self, name: str) -> _Scope:
        """For who holds the lock."""
        found = self._scopes.get(name)
        if found is None:
            found = self._scopes[name] = _Scope(self.index())
        return found

    def _empty(self, scope: str) -> bool:
        with self._lock:
            return scope not in self._scopes or not self._scopes[scope].words

    def _near(self, question: Question, count: int = 3) -> list[tuple[str, float]]:
        """The stored questions that come nearest, with their cosines."""
        with self._lock:
            near = self._scopes[question.scope].index.near(question.vector, count)
        return [(key, likeness) for key, likeness in near if likeness >= self.min_similarity]

    def _judged(self, ticket: Ticket, question: Question, entry: Entry, likeness: float) -> Entry | None:
        judgement = judge(question.text, str(entry.question.get("text", "")))
        return None if judgement == DIFFERENT else self._decided(ticket, question, entry, judgement, likeness)

    def _decided(self, ticket: Ticket, question: Question, entry: Entry, judgement: str, likeness: float) -> Entry | None:
        """Give the answer where such answers may be given; else remember it, to be compared with the model's own."""
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

    def described(self, ticket: Ticket, entry: Entry) -> Entry:
        """An entry with its question, so that other processes find it too."""
        question = ticket.question
        if question is None:
            return entry
        known = {"text": question.text, "scope": question.scope, **self._packed(question.vector)}
        return replace(entry, question=known, tags=(*entry.tags, f"scope:{question.scope}"))

    def embed(self, ticket: Ticket) -> None:
        """Make the vector of a question that is about to be stored, where none was needed before."""
        question = ticket.question
        if question is not None and question.vector is None:
            question.vector = unit(self.embeddings.embed_query(_normal(question.text)))

    async def aembed(self, ticket: Ticket) -> None:
        """`embed`, awaited."""
        question = ticket.question
        if question is not None and question.vector is None:
            question.vector = unit(await self.embeddings.aembed_query(_normal(question.text)))

    def add(self, ticket: Ticket, entry: Entry) -> None:
        """A question was answered by the model, and the answer was stored."""
        question = ticket.question
        if question is None or question.vector is None:
            return
        self._compare(question, entry)
        self._keep(question, entry.key)

    def _compare(self, question: Question, entry: Entry) -> None:
        """The model was asked although there was a stored answer: now it can be said whether that one was right."""
        if question.near is not None and question.cell is not None:
            right = self._same_answer(question.near.message, entry.message)
            self.calibration.learn(question.cell, right=right, trusted=question.trusted)

    def learn(self, decision_id: str, *, right: bool) -> bool:
        """Somebody says whether an answer that was given was right; whether that answer is known."""
        with self._lock:
            given = self._given.pop(decision_id, None)
        if given is None:
            return False
        self.calibration.learn(given[0], right=right, trusted=given[1])
        return True

    # Keeping -----------------------------------------------------------------------------------------------------------

    def _keep(self, question: Question, key: str) -> None:
        with self._lock:
            scope = self._scope(question.scope)
            self._scopes.move_to_end(question.scope)
            if key in self._where:
                return
            scope.index.add(key, question.vector)
            scope.words[key] = question.words
            scope.by_words.setdefault(question.words, key)
            self._where[key] = question.scope
            while len(self._where) > self.max_questions and len(self._scopes) > 1:
                _, oldest = self._scopes.popitem(last=False)
                for gone in oldest.words:
                    self._where.pop(gone, None)
            if len(self._where) > self.max_questions:
                self._drop(next(iter(scope.words)))

    def _drop(self, key: str) -> None:
        scope = self._scopes.get(self._where.pop(key, ""))
        if scope is None:
            return
        words = scope.words.pop(key, ())
        if scope.by_words.get(words) == key:
            del scope.by_words[words]
        scope.index.remove(key)

    def forget(self, keys: Collection[str]) -> None:
        """These answers were withdrawn."""
        with self._lock:
            for key in keys:
                self._drop(key)

    def clear(self) -> None:
        """Forget all questions; what was learned of judgements stays."""
        with self._lock:
            self._scopes.clear()
            self._where.clear()

    def _stale(self, scope: str, now: float) -> bool:
        with self._lock:
            return now - self._scope(scope).looked > self.refresh_seconds

    def _load(self, name: str, store: Any, value: Callable[[str], Entry | None], now: float) -> None:
        """Questions that other processes stored, or an earlier one."""
        if not self._stale(name, now):
            return
        with self._lock:
            self._scope(name).looked = now
        if not store.shared:
            return
        found = [key for key in store.tagged(f"scope:{name}") if key not in self._where]
        for begin in range(0, len(found), LOADED):
            entries = [(key, entry) for key in found[begin : begin + LOADED] if (entry := value(key)) is not None]
            vectors = self._vectors([entry for _, entry in entries])
            for (key, entry), vector in zip(entries, vectors, strict=True):
                text = str(entry.question.get("text", ""))
                self._keep(Question(name, text, wording(text), vector), key)

    def _vectors(self, entries: Sequence[Entry]) -> list[Any]:
        """The entries' vectors: those that were stored, and the others made at once."""
        found = [self._stored(entry.question) for entry in entries]
        missing = [place for place, vector in enumerate(found) if vector is None]
        if missing:
            texts = [_normal(str(entries[place].question.get("text", ""))) for place in missing]
            for place, made in zip(missing, self.embeddings.embed_documents(texts), strict=True):
                found[place] = unit(made)
        return found

    def _stored(self, question: Mapping[str, Any]) -> Any:
        """The vector that was stored with a question, if it is of the embeddings that are used now."""
        if question.get("by") != self._made_by or not isinstance(packed := question.get("vector"), str):
            return None
        try:
            return unit(np.frombuffer(base64.b64decode(packed), dtype=np.float16))
        except ValueError:
            return None

    def _packed(self, vector: Any) -> dict[str, str]:
        """A vector to store with its question, where making it again takes a model."""
        if vector is None or isinstance(self.embeddings, HashedEmbeddings):
            return {}
        return {"by": self._made_by, "vector": base64.b64encode(vector.astype(np.float16).tobytes()).decode("ascii")}


def _name_of(embeddings: Any) -> str:
    """Which embeddings these are: vectors of others say nothing beside theirs."""
    model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None) or ""
    return f"{type(embeddings).__module__}.{type(embeddings).__qualname__}:{model}:{getattr(embeddings, 'dimensions', None) or ''}"


def says_the_same(one: Any, other: Any) -> bool:
    """Two answers agree in their wording, or in every word and number that carries meaning.

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
    return str(one.text) == str(other.text) or wording(str(one.text)) == wording(str(other.text))


def _normal(text: str) -> str:
    """What is embedded: the question alone, spelled evenly."""
    return re.sub(r"\s+", " ", text).strip().casefold()
