"""`WebWorker`: what one process of a web service has of langroute, opened after the fork and closed in order."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from langroute.core.errors import ConfigurationError
from langroute.core.locks import new_rlock
from langroute.core.process_end import watch_end
from langroute.ledger.resolve import resolve_ledger
from langroute.serving.parts import Parts
from langroute.serving.warning_log import WarningLog
from langroute.tracking.callbacks import OutcomeTracker
from langroute.tracking.outcomes import Outcomes


@dataclass
class _Opened:
    """What is open in one process."""

    process: int
    ledger: Any
    tracker: OutcomeTracker | None
    owned: list[Any] = field(default_factory=list)
    built: Any = None
    parts: Parts | None = None
    outcomes: Outcomes | None = None


class WebWorker:
    """What one worker process of a web service has of langroute.

    Nothing happens when it is made, so that a module may make it before its server forks. It is opened by `lifespan`, `with`, `open()` or its
    first use, in the process that uses it.

    Args:
        build: Called with the worker when it is opened; makes the chat model or agent that handlers find under `built`, with connections of
            this process. Routers inside of agents are passed through `own`, so that the worker can close them.
        ledger: The ledger of all routers and of the tracker: a path or URL, a ledger, or a function that returns one. Where none is
            given, the one that `LANGROUTE_LEDGER` names, else one in memory.
        track: Whether `config` has an `OutcomeTracker`, which keeps the state of tasks, their tools and the calls of models that are not routed.
        logger: Where langroute's warnings go while the worker is open; `None` leaves them to Python's `warnings`.

    Example:
        >>> from langroute import ChatRouter
        >>> from langroute.testing import ScriptedModel
        >>> worker = WebWorker(lambda worker: ChatRouter({"small": ScriptedModel("Hm.")}, ledger=worker.ledger))
        >>> with worker:
        ...     answer = worker.built.invoke("Hello?", worker.config(thread="t1", team="care"))
        ...     worker.ledger.decisions[0].metadata["langroute_team"]
        'care'
        >>> worker.healthy()
        False
    """

    def __init__(
        self,
        build: Callable[[WebWorker], Any],
        *,
        ledger: Any = None,
        track: bool = True,
        logger: logging.Logger | str | None = "langroute",
    ) -> None:
        if not callable(build):
            raise ConfigurationError(
                f"build is a function that takes the worker and returns a chat model or an agent, not {build!r}."
            )
        self._build, self._ledger, self._track = build, ledger, track
        log = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._log = None if log is None else WarningLog(log)
        self._lock = new_rlock()
        self._opened: _Opened | None = None

    # Opening and closing ---------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it is open in this process."""
        return self._opened is not None and self._opened.process == os.getpid()

    def open(self) -> WebWorker:
        """Open the ledger and build the routers, unless that is done in this process; return the worker."""
        with self._lock:
            if not self.is_open:
                self._open()
        return self

    def _open(self) -> None:
        if self._log is not None:
            self._log.open()
        # What the parent of a fork has opened is the parent's.
        ledger = resolve_ledger(self._ledger() if callable(self._ledger) else self._ledger)
        opened = self._opened = _Opened(os.getpid(), ledger, OutcomeTracker(ledger) if self._track else None)
        try:
            opened.built = self._build(self)
            opened.parts = Parts([opened.built, *opened.owned])
            if not any(one is ledger for one in opened.parts.ledgers):
                opened.parts.ledgers.append(ledger)
            opened.outcomes = Outcomes(opened.parts)
        except BaseException:
            self._opened = None
            if self._log is not None:
                self._log.close()
            raise
        # The server has its signal handlers by now: what is recorded after a SIGTERM is kept, too.
        watch_end()

    def own(self, thing: Any) -> Any:
        """Close something with the worker, and return it: a router inside of an agent, a cache, a budget store, whatever has a `close`.

        Example:
            >>> from langroute import ChatRouter
            >>> from langroute.testing import ScriptedModel
            >>> def build(worker):
            ...     return {"chat": worker.own(ChatRouter({"small": ScriptedModel("Hm.")}, ledger=worker.ledger))}
            >>> with WebWorker(build) as worker:
            ...     worker.built["chat"].invoke("Hello?").content
            'Hm.'
        """
        opened = self._used()
        opened.owned.append(thing)
        if opened.parts is not None:
            # After `build`.
            ledgers = opened.parts.ledgers
            opened.parts = Parts([opened.built, *opened.owned])
            opened.parts.ledgers += [one for one in ledgers if not any(one is known for known in opened.parts.ledgers)]
            opened.outcomes = Outcomes(opened.parts)
        return thing

    def close(self) -> None:
        """Close everything in order: policies and hooks, caches, budgets, the ledger. One that fails is logged and stops none of the others.

        What requests that are late still record is written at once. The worker can be opened again.
        """
        with self._lock:
            opened = self._opened if self.is_open else None
            self._opened = None
            if opened is None:
                return
            if opened.tracker is not None:
                self._end(opened.tracker, opened.tracker.flush)
            for part, end in opened.parts.closings() if opened.parts is not None else ():
                self._end(part, end)
            if self._log is not None:
                self._log.close()

    def _end(self, part: Any, end: Callable[[], Any]) -> None:
        try:
            end()
        except Exception as error:  # noqa: BLE001 - the others are closed all the same
            logger = logging.getLogger("langroute") if self._log is None else self._log.logger
            logger.warning("A %s could not be closed: %s: %s", type(part).__name__, type(error).__name__, error)

    async def aclose(self) -> None:
        """Async version of `close`: the event loop goes on, and connections of this loop are closed in it."""
        opened = self._opened if self.is_open else None
        for cache in opened.parts.caches if opened is not None and opened.parts is not None else ():
            if callable(close := getattr(cache.store, "aclose", None)):
                try:
                    await close()
                except Exception as error:  # noqa: BLE001 - `close` goes on
                    logging.getLogger("langroute").warning("A cache could not be closed: %s", type(error).__name__)
        await asyncio.to_thread(self.close)

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Open the worker when an application starts, and close it when that ends: `FastAPI(lifespan=worker.lifespan)`.

        Args:
            app: The application; it is not used.
        """
        # Here and not in a thread, because signals are listened to in the main thread.
        self.open()
        try:
            yield
        finally:
            await self.aclose()

    def __enter__(self) -> WebWorker:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _used(self) -> _Opened:
        self.open()
        return cast("_Opened", self._opened)

    # Using -----------------------------------------------------------------------------------------------------------

    @property
    def built(self) -> Any:
        """What `build` returned."""
        return self._used().built

    @property
    def ledger(self) -> Any:
        """The open ledger."""
        return self._used().ledger

    @property
    def tracker(self) -> OutcomeTracker | None:
        """The tracker that `config` gives to each run; `None` without `track`."""
        return self._used().tracker

    @property
    def outcomes(self) -> Outcomes:
        """Records feedback: `worker.outcomes.record(True, decision_id=...)`. Routers, caches and the ledger hear of it, whichever worker answered."""
        outcomes = self._used().outcomes
        if outcomes is None:
            raise ConfigurationError("The worker is being built: there is nothing yet that outcomes could be about.")
        return outcomes

    def config(
        self,
        *,
        thread: Any = None,
        user: Any = None,
        team: Any = None,
        task: Any = None,
        kind: str | None = None,
        budget: Any = None,
        metadata: dict[str, Any] | None = None,
        callbacks: Sequence[Any] = (),
        tags: Sequence[str] = (),
        **labels: Any,
    ) -> RunnableConfig:
        """Return the config of one request: who asks, in which conversation, for which task.

        Budgets, ledgers, caches and trackers read it alike, and it travels with the run: unlike a block, a generator that is read by several
        threads keeps it.

        Args:
            thread: Id of the conversation; a checkpointer reads it, too.
            user: Who asks.
            team: Who pays.
            task: Id of the task; the conversation is the task where none is given.
            kind: The family of tasks.
            budget: The request's own budget: USD, or the arguments of a `Budget`.
            metadata: Further metadata.
            callbacks: Further callbacks.
            tags: Tags of the run.
            labels: Other labels: `project`, `environment`, and those by which budgets are shared (`per="tag:NAME"`).

        Example:
            >>> worker = WebWorker(lambda worker: None, track=False)
            >>> worker.config(thread=7, user="Ada")
            {'metadata': {'langroute_user': 'Ada', 'thread_id': '7'}, 'configurable': {'thread_id': '7'}}
        """
        said = {"user": user, "team": team, "task": task, "task_kind": kind, **labels}
        told = {f"langroute_{name}": str(value) for name, value in said.items() if value is not None}
        if budget is not None:
            told["langroute_budget"] = budget
        config: dict[str, Any] = {"metadata": {**(metadata or {}), **told}}
        if thread is not None:
            # A tracker sees metadata alone, which only graphs copy from `configurable`.
            config["metadata"]["thread_id"] = str(thread)
            config["configurable"] = {"thread_id": str(thread)}
        heard = [*callbacks, *([self.tracker] if self._track else ())]
        if heard:
            config["callbacks"] = heard
        if tags:
            config["tags"] = list(tags)
        return cast("RunnableConfig", config)

    # Health ----------------------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        """Return whether the worker can take requests: it is open, and its ledger has room. Nothing is waited for or opened.

        A database that is away makes no worker unhealthy, because calls go on without it and their records wait; `status` says it.
        """
        status = self.status()
        return bool(status["open"] and not status["full"])

    def status(self) -> dict[str, Any]:
        """Return the facts behind `healthy`, for a page of its own: `open`, and of the ledger `waiting`, `dropped`, `trouble` and `full`."""
        opened = self._opened if self.is_open else None
        ledger = opened.ledger if opened is not None else None
        return {
            "open": opened is not None and opened.parts is not None,
            "waiting": getattr(ledger, "waiting", 0),
            "dropped": getattr(ledger, "dropped", 0),
            "trouble": getattr(ledger, "trouble", None),
            "full": bool(getattr(ledger, "is_full", False)),
            "routes": sorted({name for router in _routers(opened) for name in router.routes}),
        }


def _routers(opened: _Opened | None) -> Sequence[Any]:
    return opened.parts.routers if opened is not None and opened.parts is not None else ()


__all__ = ["WebWorker"]
