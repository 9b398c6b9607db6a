"""Who asks for a stream that is under way hears it as it comes. How do many listen to one stream?

Its chunks are kept in one list, as long as the answer; everybody reads them at a pace of his own, and whoever is ahead asks the model for
the next one. So a slow listener holds up nobody, and a leader who goes leaves the stream to those who stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, wait
from threading import Condition, Lock, get_ident
from typing import Any

from langchain_core.messages import AIMessageChunk

from langroute.cache.entries import REPORTED, new_call_id
from langroute.cache.flights import awaited, uncancellable
from langroute.cache.keys import copied
from langroute.gate import shows

END = object()
"""Stands behind the last chunk."""


class StreamLostError(RuntimeError):
    """The stream cannot be listened to any more: it broke off, or who reads it from the model is gone."""


def _silent(seconds: float | None) -> StreamLostError:
    return StreamLostError(f"nothing came for {seconds:g} s")


class Live:
    """One stream of a model, for everybody who listens to it.

    Args:
        route: The route that answers.
        selection: Why it was chosen.
    """

    def __init__(self, route: Any, selection: Any) -> None:
        self.route, self.selection = route, selection
        self.chunks: list[Any] = []
        """What came so far. Nobody is given one of these, only copies."""

        self.ended = False
        self.error: BaseException | None = None
        """Why it broke off."""

    @property
    def stands_still(self) -> bool:
        """It cannot go on while this thread waits for it."""
        return False

    def at(self, place: int, seconds: float | None = None) -> Any:
        """A chunk, waited for; `END` behind the last one.

        Raises:
            StreamLostError: There will be none, or not in time.
        """
        raise NotImplementedError

    async def aat(self, place: int, seconds: float | None = None) -> Any:
        """`at`, awaited."""
        raise NotImplementedError

    def _over(self) -> Any:
        """What stands behind the last chunk: its end, or the error that broke it off."""
        if self.error is not None:
            raise StreamLostError(f"{type(self.error).__name__}: {self.error}") from self.error
        return END

    def speaks(self, seconds: float) -> bool:
        """Wait for something to read; `False` where it broke off before. Until then it can be replaced unseen."""
        place = 0
        try:
            while (chunk := self.at(place, seconds)) is not END:
                if shows(chunk):
                    return True
                place += 1
        except StreamLostError:
            return False
        return place > 0

    async def aspeaks(self, seconds: float) -> bool:
        """`speaks`, awaited."""
        place = 0
        try:
            while (chunk := await self.aat(place, seconds)) is not END:
                if shows(chunk):
                    return True
                place += 1
        except StreamLostError:
            return False
        return place > 0


class Plain(Live):
    """A stream that is iterated: whoever needs its next chunk first fetches it for all.

    Args:
        source: The model's chunks.

    Example:
        >>> live = Plain(iter(["a", "b"]), "cheap", None)
        >>> live.at(0), live.at(0), live.at(1), live.at(2) is END
        ('a', 'a', 'b', True)
    """

    def __init__(self, source: Iterator[Any], route: Any, selection: Any) -> None:
        super().__init__(route, selection)
        self._source = source
        self._changed = Condition()
        self._fetching = False

    def at(self, place: int, seconds: float | None = None) -> Any:
        """A chunk; fetched from the model if nobody else is at it."""
        with self._changed:
            while place >= len(self.chunks):
                if self.ended:
                    return self._over()
                if self._fetching:
                    if not self._changed.wait(seconds):
                        raise _silent(seconds)
                    continue
                self._fetching = True
                self._changed.release()
                try:
                    chunk, error = self._fetched()
                finally:
                    self._changed.acquire()
                    self._fetching = False
                    self._changed.notify_all()
                if chunk is END:
                    self.error, self.ended = error, True
                else:
                    self.chunks.append(chunk)
        return self.chunks[place]

    def _fetched(self) -> tuple[Any, BaseException | None]:
        """The next chunk, or `END` and the error that broke the stream off."""
        try:
            return next(self._source), None
        except StopIteration:
            return END, None
        except (KeyboardInterrupt, SystemExit) as error:
            self.error, self.ended = error, True
            raise
        except BaseException as error:  # noqa: BLE001 - each who listens is told
            return END, error

    async def aat(self, place: int, seconds: float | None = None) -> Any:
        """`at`, in a thread where it has to wait."""
        return self.chunks[place] if place < len(self.chunks) else await asyncio.to_thread(self.at, place, seconds)

    def close(self) -> None:
        """Nobody listens any more: let the model know."""
        with self._changed:
            while self._fetching:
                self._changed.wait()
            self.ended = True
            if not self.chunks or getattr(self.chunks[-1], "chunk_position", None) != "last":
                self.error = StreamLostError("it was given up")
            if (close := getattr(self._source, "close", None)) is not None:
                close()


class Awaited(Live):
    """A stream that is awaited. A task of its own reads it, so that nobody who is cancelled takes it along.

    Args:
        source: The model's chunks.
    """

    def __init__(self, source: AsyncIterator[Any], route: Any, selection: Any) -> None:
        super().__init__(route, selection)
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._more = asyncio.Event()
        self._elsewhere: list[Future[None]] = []
        """Threads and coroutines of other event loops wait for these, whatever becomes of this loop."""

        self._lock = Lock()
        self._task = self._loop.create_task(self._read(source))

    @property
    def stands_still(self) -> bool:
        """In the thread of its event loop nobody may wait."""
        return self._thread == get_ident()

    async def _read(self, source: AsyncIterator[Any]) -> None:
        try:
            async for chunk in source:
                self.chunks.append(chunk)
                self._tell()
        except BaseException as error:  # noqa: BLE001 - each who listens is told; a task that is cancelled ends here
            self.error = error
        finally:
            self.ended = True
            self._tell()
            if (close := getattr(source, "aclose", None)) is not None:
                await close()

    def _tell(self) -> None:
        with self._lock:
            elsewhere, self._elsewhere = self._elsewhere, []
        for waiting in elsewhere:
            waiting.set_result(None)
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def aat(self, place: int, seconds: float | None = None) -> Any:
        """A chunk, waited for in the loop that reads it."""
        if place < len(self.chunks):
            return self.chunks[place]
        if asyncio.get_running_loop() is not self._loop:
            try:
                while (news := self._news(place)) is not None:
                    await awaited(news, seconds)
            except TimeoutError:
                raise _silent(seconds) from None
            return self.chunks[place] if place < len(self.chunks) else self._over()
        timer = None if seconds is None else self._loop.call_later(seconds, self._tell)
        until = float("inf") if seconds is None else self._loop.time() + seconds
        try:
            while place >= len(self.chunks):
                if self.ended:
                    return self._over()
                if self._loop.time() >= until:
                    raise _silent(seconds)
                await self._more.wait()
        finally:
            if timer is not None:
                timer.cancel()
        return self.chunks[place]

    def at(self, place: int, seconds: float | None = None) -> Any:
        """`aat` for a thread."""
        while (news := self._news(place)) is not None:
            wait([news], seconds)
            if not news.done():
                raise _silent(seconds)
        return self.chunks[place] if place < len(self.chunks) else self._over()

    def _news(self, place: int) -> Future[None] | None:
        """What to wait for outside of the event loop; `None` where the chunk is there, or none will come."""
        with self._lock:
            if place < len(self.chunks) or self.ended:
                return None
            news = uncancellable()
            self._elsewhere.append(news)
            return news

    async def aclose(self) -> None:
        """Nobody listens any more: let the model know."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def duplicate(chunk: Any) -> Any:
    """A chunk for one listener, who may do with it as he likes.

    Example:
        >>> said = AIMessageChunk("Hello", id="1")
        >>> given = duplicate(said)
        >>> given == said, given is said
        (True, False)
    """
    if not isinstance(chunk, AIMessageChunk):
        return chunk
    made = chunk.model_copy()
    fields = made.__dict__
    for name, value in fields.items():
        if type(value) is list or type(value) is dict:
            fields[name] = copied(value)
    return made


class Retold:
    """Chunks of one call as the chunks of another: another message id, other tool call ids, no tokens used.

    Args:
        id: The message id.

    Example:
        >>> retold = Retold("mine")
        >>> part = retold.chunk(AIMessageChunk("Hello", id="yours", usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}))
        >>> part.id, part.usage_metadata
        ('mine', None)
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self._renamed: dict[str, str] = {}

    def chunk(self, said: Any) -> Any:
        """One of the other call's chunks, told again."""
        made = duplicate(said)
        fields = made.__dict__
        fields["id"], fields["usage_metadata"] = self.id, None
        fields["response_metadata"] = {key: value for key, value in made.response_metadata.items() if key not in REPORTED}
        for part in (*made.tool_call_chunks, *made.tool_calls, *made.invalid_tool_calls):
            self._rename(part, "id")
        if isinstance(made.content, list):
            for block in made.content:
                if isinstance(block, dict):
                    self._rename(block, "id", known=True)
                    self._rename(block, "call_id", known=True)
        for call in made.additional_kwargs.get("tool_calls") or ():
            self._rename(call, "id")
        if made.chunk_position == "last":
            fields["usage_metadata"] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return made

    def _rename(self, part: Any, name: str, *, known: bool = False) -> None:
        old = part.get(name)
        if not old or (known and old not in self._renamed):
            return
        if old not in self._renamed:
            self._renamed[old] = new_call_id(old)
        part[name] = self._renamed[old]

    def end(self) -> AIMessageChunk:
        """The last chunk of a stream that has none."""
        usage: Any = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return AIMessageChunk(content="", id=self.id, usage_metadata=usage, chunk_position="last")
