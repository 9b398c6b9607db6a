"""Policy wrapper that keeps sub-agents from using a dearer route than the agents above them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from cachetools import TTLCache

from langroute.core.locks import new_lock
from langroute.core.records import Attempt, Decision, Request, RouteInfo, Selection, Step
from langroute.core.thread import with_note
from langroute.policies.base import Wrapper
from langroute.state.local import LocalState, digest
from langroute.state.resolve import begin_state, moved_to

NOTE = "subagent_cap"
"""Name of the note that a sub-agent's answers carry: the routes that the agents above it used."""

MOST_NAMES = 15
"""Most routes of a note."""

LOOK_S = 1.0
"""Seconds for which what is known of a session needs no look at the store."""

Levels = dict[int, tuple[int, frozenset[str]]]
"""Depth → the user turn of its latest step, and the routes of that turn."""


@dataclass(frozen=True, slots=True)
class _Used:
    """What the agents of a session used, and when that was heard of last."""

    levels: Levels
    at: float


class SessionFold:
    """What decisions do to the notes of sessions: `{depth: [turn, [routes]]}`.

    Example:
        >>> fold, entries = SessionFold(60.0), {"s": {}}
        >>> fold.add({}, entries, ("used", "s", 0, 1, "small"))
        >>> fold.add({}, entries, ("used", "s", 0, 2, "large"))
        >>> entries["s"]
        {'0': [2, ['large']]}
    """

    def __init__(self, keep_seconds: float) -> None:
        self.keep_seconds = keep_seconds

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return the key of the session."""
        return event[1:2]

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Point nowhere."""
        return None

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Note the route of a step."""
        _, session, depth, turn, route = event
        before, routes = sides[session].get(str(depth), (turn, []))
        routes = routes if before == turn else []
        sides[session] = {**sides[session], str(depth): [turn, [*routes, *([] if route in routes else [route])]]}


class SubagentCap(Wrapper):
    """Limit a sub-agent's selections to routes no dearer than those that the agents above it used in this turn.

    Where the inner policy selects a dearer route, the sub-agent gets the strongest one within the limit, and the reason says so. Where
    only a dearer route can take the step, that route takes it, and the reason says that too.

    A sub-agent is recognised by its depth in the graph; the task, or else the `thread_id`, tells which session it belongs to. Its limit
    is set at the first step of its turn, and its own answers carry it (`Request.thread`). What the agents above it used, its messages do
    not say: it is what this process remembers, or where another process ran them, what that one noted. For that a sub-agent's first step
    reads the store once, where its session was not seen here within a second.

    Args:
        policy: The inner policy, which selects the route of a step.
        max_entries: Most sessions that are remembered.
        ttl_seconds: Seconds for which a session is remembered.
        store: Where sessions are noted: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file); where nothing is
            given, the database of the router's ledger if that lasts, else this process.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.core.records import Signals
        >>> routes = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
        >>> policy = SubagentCap(Fixed("large"))
        >>> policy.on_decision(Decision("d1", Step("act", thread="t1"), "small", ()))
        >>> policy.select(Request("Look it up.", Step("act", thread="t1", signals=Signals(depth=1)), routes), []).route
        'small'
    """

    def __init__(self, policy: Any, *, max_entries: int = 10_000, ttl_seconds: float = 7200.0, store: Any = None) -> None:
        super().__init__(policy)
        self._size, self._ttl = max_entries, ttl_seconds
        self._used: TTLCache[str, _Used] = TTLCache(max_entries, ttl_seconds)
        self._state = begin_state("subagents", SessionFold(ttl_seconds), store)
        self._lock = new_lock()

    def use_ledger(self, ledger: Any) -> None:
        """Tell the inner policy which ledger the router has, and note sessions in its database, unless they are elsewhere."""
        super().use_ledger(ledger)
        self._state = moved_to(ledger, self._state)

    def close(self) -> None:
        """Write what other workers do not know yet."""
        self._state.close()

    @staticmethod
    def _session(step: Step) -> str | None:
        # The first words of a thread without an id identify nobody.
        return step.task or (step.thread if step.prefixes is None else None)

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return the selection, lowered to the limit for a sub-agent."""
        depth = request.step.signals.depth
        session = self._session(request.step)
        if not depth or selection is None or session is None:
            return selection
        names = _noted(request) or self._names_above(session, depth)
        limited = self._limited(request, attempts, selection, names)
        if limited is None or not names:
            return limited
        return replace(limited, memory=with_note(limited.memory, NOTE, *sorted(names)[:MOST_NAMES]))

    def _names_above(self, session: str, depth: int) -> frozenset[str]:
        """Return the routes that the agents above a sub-agent used in this turn."""
        with self._lock:
            used = self._used.get(session)
        if type(self._state) is not LocalState and (used is None or monotonic() - used.at > LOOK_S):
            used = _Used(_merged(used.levels if used is not None else {}, levels_of(self._state.look(_key(session)))), monotonic())
            with self._lock:
                self._used[session] = used
        return (
            frozenset(name for above, (_, routes) in used.levels.items() if above < depth for name in routes)
            if used
            else frozenset()
        )

    @staticmethod
    def _limited(request: Request, attempts: Sequence[Attempt], selection: Selection, names: frozenset[str]) -> Selection | None:
        wanted = request.route(selection.route)
        if not names or wanted is None or wanted.name in names:
            return selection
        limit = max((route.rank for route in request.routes if route.name in names), default=None)
        if limit is None or wanted.rank <= limit:
            # None of the parent's routes can take this step.
            return (
                selection
                if limit is not None
                else replace(selection, reason=f"{selection.reason}; none of the parent's routes can")
            )
        lower = _strongest(request.routes, limit)
        if any(attempt.route == lower.name for attempt in attempts):
            return None
        return replace(
            selection,
            route=lower.name,
            reason=f"{selection.reason}; no dearer than its parent",
            provisional=False,
            override_wrappers=False,
        )

    def on_decision(self, decision: Decision) -> None:
        """Remember which routes the agents of a session used in this turn."""
        session, signals, route = self._session(decision.step), decision.step.signals, decision.route
        if session is not None and route is not None:
            with self._lock:
                used = self._used.get(session)
                levels = dict(used.levels) if used is not None else {}
                turn, routes = levels.get(signals.depth, (signals.turn, frozenset()))
                levels[signals.depth] = (signals.turn, (routes if turn == signals.turn else frozenset()) | {route})
                changed = used is None or levels != used.levels
                self._used[session] = _Used(levels, monotonic())
            if changed and type(self._state) is not LocalState:
                self._state.tell(("used", _key(session), signals.depth, signals.turn, route))
        super().on_decision(decision)

    def __getstate__(self) -> dict[str, Any]:
        shared = {} if type(self._state) is LocalState else {"store": self._state.store}  # type: ignore[attr-defined]
        return {"policy": self.policy, "max_entries": self._size, "ttl_seconds": self._ttl} | shared

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]


def _strongest(routes: Sequence[RouteInfo], limit: int) -> RouteInfo:
    return max((route for route in routes if route.rank <= limit), key=lambda route: route.rank)


def _key(session: str) -> str:
    return digest(f"session:{session}")


def _noted(request: Request) -> frozenset[str]:
    """Return the routes that the sub-agent's own answers in this turn carry."""
    for ago, past in request.thread.latest():
        if ago:
            break
        if (noted := past.note(NOTE)) is not None:
            return frozenset(name for name in noted if isinstance(name, str))
    return frozenset()


def levels_of(entry: Mapping[str, Any]) -> Levels:
    """Return what a note says, as far as it can be read.

    Example:
        >>> levels_of({"0": [2, ["large"]], "x": 1})
        {0: (2, frozenset({'large'}))}
    """
    return {
        int(depth): (value[0], frozenset(name for name in value[1] if isinstance(name, str)))
        for depth, value in entry.items()
        if depth.isdecimal()
        and isinstance(value, list)
        and len(value) == 2
        and type(value[0]) is int
        and isinstance(value[1], list)
    }


def _merged(one: Levels, other: Levels) -> Levels:
    """Return the later turn of each depth; of the same turn, the routes of both."""
    found = dict(one)
    for depth, (turn, routes) in other.items():
        known = found.get(depth)
        if known is None or turn > known[0]:
            found[depth] = turn, routes
        elif turn == known[0]:
            found[depth] = turn, known[1] | routes
    return found
