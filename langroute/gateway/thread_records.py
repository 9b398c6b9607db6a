"""What is remembered of a client's conversation: its latest decisions, and which route wrote which signed or encrypted reasoning.

Clients send texts back, not decisions. What a policy has to know of a thread is put into the messages that it is asked with, as it stands in
those of a LangGraph thread; where several workers answer, it is in their state store.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from time import monotonic
from typing import Any

from langchain_core.messages import AIMessage

from langroute.core.decision_metadata import METADATA_KEY, to_metadata
from langroute.core.records import Decision
from langroute.core.worker_pool import Workers
from langroute.state.store import MOST_TEXT, Change

SPACE = "gateway-threads"
KEPT_SECONDS = 86_400.0
MOST_DIGESTS = 500
MOST_DECISIONS = 16

GATHER_SECONDS = 0.05
"""How long records wait for others to be written with, where no other worker reads them: each write locks the database."""

READ_S = 1.0
"""Longest time that a step waits for what other workers remember."""

REST_S = 5.0
"""How long a store that did not answer is not asked."""

READERS = 4
"""Threads that read at once. A store that hangs keeps these, and none that others need."""


@dataclass(slots=True)
class ThreadRecord:
    """What is remembered of one conversation."""

    reasoning: dict[str, str] = field(default_factory=dict)
    """Digest of a signature or of encrypted reasoning → the model that wrote it."""
    decisions: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Number of the answers before a decision's own, and what of the decision a thread has to know; the latest last."""
    elsewhere: bool = False
    """Whether it was read from the store."""
    partial: bool = False
    """Whether it was begun without the store, which may know more."""

    def foreign_to(self, model: str) -> frozenset[str]:
        """Return the digests of what other models wrote."""
        return frozenset(digest for digest, writer in self.reasoning.items() if writer != model)

    def marked(self, messages: Sequence[Any]) -> list[Any]:
        """Return the messages with the decisions in the answers that they made, as far as the history still has them.

        Only where another process made them: of its own, a policy has its own memory.
        """
        found = list(messages)
        if not self.elsewhere or not self.decisions:
            return found
        answers = [place for place, message in enumerate(found) if isinstance(message, AIMessage)]
        for place, told in self.decisions:
            if place < len(answers):
                # The messages may be remembered for other requests, so that they are not changed themselves.
                found[answers[place]] = found[answers[place]].model_copy(update={"response_metadata": {METADATA_KEY: told}})
        return found

    def note(self, messages: Sequence[Any], decision: Decision, model: str, digests: Sequence[str]) -> None:
        """Remember a step that was answered."""
        place = sum(isinstance(message, AIMessage) for message in messages)
        told = to_metadata(decision)
        kept: dict[str, Any] = {name: told[name] for name in ("decision_id", "route", "step", "task_id", "thread") if name in told}
        before = [one for one in self.decisions if one[0] < place]
        self.decisions = [*before[-MOST_DECISIONS + 1 :], (place, kept)]
        self.wrote(model, digests)

    def wrote(self, model: str, digests: Sequence[str]) -> None:
        """Remember which model wrote signed or encrypted reasoning."""
        for digest in digests[:MOST_DIGESTS]:
            self.reasoning.pop(digest, None)
            self.reasoning[digest] = model
        while len(self.reasoning) > MOST_DIGESTS:
            del self.reasoning[next(iter(self.reasoning))]

    def after(self, earlier: ThreadRecord) -> ThreadRecord:
        """Return the record with what an earlier one knows besides.

        Decisions behind the latest are left out: the client has gone back.

        Example:
            >>> ThreadRecord({"b": "small"}, [(1, {})]).after(ThreadRecord({"a": "large"}, [(0, {}), (2, {})]))
            ThreadRecord(reasoning={'a': 'large', 'b': 'small'}, decisions=[(0, {}), (1, {})], elsewhere=False, partial=False)
        """
        found = ThreadRecord({**earlier.reasoning, **self.reasoning}, self.decisions, self.elsewhere)
        found.wrote("", ())
        mine = dict(self.decisions)
        last = max(mine) if mine else None
        before = {place: told for place, told in earlier.decisions if last is None or place < last}
        found.decisions = sorted({**before, **mine}.items())[-MOST_DECISIONS:]
        return found

    def as_text(self) -> str:
        """Return the record as it is stored."""
        return json.dumps({"reasoning": self.reasoning, "decisions": self.decisions}, separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str) -> ThreadRecord:
        """Read a stored record; an empty one where it cannot be read.

        Example:
            >>> ThreadRecord.of_text("?").decisions
            []
        """
        try:
            told = json.loads(text[:MOST_TEXT])
            reasoning = {str(digest): str(writer) for digest, writer in told["reasoning"].items()}
            decisions = [(int(place), dict(one)) for place, one in told["decisions"]]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls()
        return cls(reasoning, decisions[-MOST_DECISIONS:], elsewhere=True)


class ThreadRecords:
    """The records of a worker's conversations, and the store that it shares with others.

    Args:
        store: A `StateStore`, or `None` for this process alone.
        shared: Other workers answer the same conversations, so that the store is asked each time.
        most: Most conversations that are remembered.
    """

    def __init__(self, store: Any = None, *, shared: bool = False, most: int = 2000) -> None:
        self.store, self._shared, self._most = store, shared, most
        self._known: OrderedDict[str, tuple[float, ThreadRecord]] = OrderedDict()
        self._unwritten: dict[str, ThreadRecord] = {}
        self._writing: asyncio.Task[None] | None = None
        self._readers, self._away_until = Workers("langroute-threads", READERS), 0.0

    async def of(self, key: str, *, begun: bool) -> ThreadRecord:
        """Return the record of a conversation.

        Args:
            key: Its key; see `thread_record_key`.
            begun: The history has answers, so that another worker or an earlier process may know it.
        """
        found = self._known.get(key)
        record = found[1] if found is not None and found[0] > monotonic() else None
        if self.store is None or not begun or not (record is None or record.partial or self._shared):
            return record if record is not None else ThreadRecord()
        entry = await self._read(key)
        if entry is None:
            return record if record is not None else ThreadRecord(partial=True)
        if entry.value:
            stored = ThreadRecord.of_text(entry.value)
            return stored if record is None else stored.after(record)
        return record if record is not None else ThreadRecord()

    async def _read(self, key: str) -> Any:
        """Return what the store has; `None` where it is away: a conversation is then answered by what this worker remembers of it."""
        if monotonic() < self._away_until:
            return None
        try:
            entry = await self._readers.awithin(READ_S, self._entry, key)
            away = entry is None
        except TimeoutError:
            # Many reads at once may wait for a thread while the store answers each of them: it hangs where one has run for long.
            entry, away = None, self._readers.longest_run_s() >= READ_S / 2
        if away:
            self._away_until = monotonic() + REST_S
        return entry

    def _entry(self, key: str) -> Any:
        try:
            return self.store.read(SPACE, [key])[0]
        except Exception:  # noqa: BLE001 - whatever a store raises, the conversation is answered
            return None

    def keep(self, key: str, record: ThreadRecord) -> None:
        """Remember a record, and write it to the store behind the client's back."""
        self._known[key] = (monotonic() + KEPT_SECONDS, record)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        if self.store is not None:
            self._unwritten[key] = record
            if self._writing is None or self._writing.done():
                self._writing = asyncio.ensure_future(self._write_all())

    async def _write_all(self) -> None:
        """Write what there is, all that came meanwhile at once, until nothing is left."""
        while self._unwritten:
            if not self._shared:
                await asyncio.sleep(GATHER_SECONDS)
            texts = {key: record.as_text() for key, record in self._unwritten.items()}
            self._unwritten = {}
            await asyncio.to_thread(self._write, texts)

    def _write(self, texts: Mapping[str, str]) -> None:
        keys = list(texts)
        try:
            if not self._written(keys, texts):
                # Another worker changed one of them meanwhile.
                for key in keys:
                    any(self._written([key], texts) for _ in range(3))
        except Exception:  # noqa: BLE001 - what is remembered makes an answer cheaper, never possible
            return

    def _written(self, keys: Sequence[str], texts: Mapping[str, str]) -> bool:
        entries = self.store.read(SPACE, keys)
        changes = [
            Change(key, _joined(texts[key], entry.value), entry.version, KEPT_SECONDS)
            for key, entry in zip(keys, entries, strict=True)
        ]
        return bool(self.store.commit(SPACE, changes))

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing is not None and not self._writing.done():
            await asyncio.wait((self._writing,), timeout=5.0)


def _joined(text: str, stored: str) -> str:
    """Return a record's text with what the store has of the conversation, written by a worker that knew more of it or other things."""
    return ThreadRecord.of_text(text).after(ThreadRecord.of_text(stored)).as_text() if stored and stored != text else text


def thread_record_key(caller: str | None, thread: str) -> str:
    """Return the key of a conversation: no id that a client chose, and nobody's but its caller's.

    Example:
        >>> thread_record_key("ada", "s1") == thread_record_key("bob", "s1"), len(thread_record_key(None, "s1"))
        (False, 32)
    """
    return blake2b(f"{caller or ''}\0{thread}".encode("utf-8", "replace"), digest_size=16).hexdigest()


__all__ = ["ThreadRecord", "ThreadRecords", "thread_record_key"]
