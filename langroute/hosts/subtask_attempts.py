"""Attempts at a subtask: what is kept of them in a checkpoint, and the checks of their results."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langroute.core.errors import ConfigurationError, DataError
from langroute.core.records import Attempt, Request, Selection, Verdict, best_attempt
from langroute.core.subtask_pin import Cost
from langroute.core.thread import METADATA_KEY
from langroute.engine.step_execution import new_id
from langroute.ledger.codec import plain, restored
from langroute.verifiers.base import finished, is_asynchronous, takes_two, verdict_from, wrapped
from langroute.verifiers.bounds import short

ACCEPTED = 0.5
"""Score from which on a result is accepted."""


@dataclass(slots=True)
class SubtaskAttempts:
    """The attempts at one subtask so far, and the selection of the next one. A checkpoint holds them as plain values."""

    decision_id: str = field(default_factory=new_id)
    started_at: float = field(default_factory=time)
    attempts: list[Attempt] = field(default_factory=list)
    tools: list[list[str]] = field(default_factory=list)
    """Names of the tools that each attempt called."""

    baselines: list[float | None] = field(default_factory=list)
    """USD that the baseline would have billed for the steps of each attempt."""

    steps: list[int] = field(default_factory=list)
    """Number of steps of each attempt that went through a router."""

    selection: Selection | None = None
    """The attempt that is to be made, or is under way."""

    undone: int = 0
    """Number of attempts, the first ones, whose results were undone and cannot be kept."""

    problems: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return plain values, which every checkpointer stores."""
        return {
            "decision_id": self.decision_id,
            "started_at": self.started_at,
            "attempts": [plain(replace(attempt, answer=None)) for attempt in self.attempts],
            "tools": [list(names) for names in self.tools],
            "baselines": list(self.baselines),
            "steps": list(self.steps),
            "selection": None if self.selection is None else plain(self.selection),
            "undone": self.undone,
            "problems": list(self.problems),
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SubtaskAttempts:
        """Return the attempts that `plain` gave.

        Raises:
            DataError: The values are of another form.

        Example:
            >>> made = SubtaskAttempts("d1", 1.0, [Attempt(Selection("small"), score=0.25)], [["search"]], [0.5], [3], Selection("large"))
            >>> SubtaskAttempts.of(made.plain()) == made
            True
        """
        try:
            chosen = values["selection"]
            return cls(
                str(values["decision_id"]),
                float(values["started_at"]),
                [restored(Attempt, one) for one in values["attempts"]],
                [[str(name) for name in names] for names in values["tools"]],
                [None if usd is None else float(usd) for usd in values["baselines"]],
                [int(number) for number in values["steps"]],
                None if chosen is None else restored(Selection, chosen),
                int(values["undone"]),
                [str(problem) for problem in values["problems"]],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"The subtask's attempts in the checkpoint cannot be read: {type(error).__name__}: {error}") from error

    def seen(self) -> list[Attempt]:
        """Return the attempts as a policy sees them: a result that could not be checked was not accepted."""
        return [
            replace(one, score=0.0) if one.ok and any(verdict.error for verdict in one.verdicts) else one for one in self.attempts
        ]

    @property
    def best(self) -> int | None:
        """Index of the attempt whose result would be kept now."""
        seen = self.seen()[self.undone :]
        kept = best_attempt(seen)
        return None if kept is None else self.undone + max(place for place, one in enumerate(seen) if one is kept)

    def to_record(self) -> list[Attempt]:
        """Return the attempts as a decision has them: it keeps the one whose result is kept here."""
        best = self.best
        if best is None:
            return list(self.attempts)
        # A score that is not there is not compared. What the verdicts said stays.
        return [
            replace(one, score=None) if place < best and self._outranks(one, best) else one
            for place, one in enumerate(self.attempts)
        ]

    def _outranks(self, attempt: Attempt, best: int) -> bool:
        kept = self.attempts[best].score
        return attempt.ok and attempt.score is not None and (kept is None or attempt.score > kept)

    @property
    def accepted(self) -> bool:
        """Whether the latest result passed its checks."""
        last = self.seen()[-1] if self.attempts else None
        return last is not None and last.ok and last.score is not None and last.score >= ACCEPTED


# Checking ----------------------------------------------------------------------------------------------------------------


class StateCheck:
    """Wrap a callable that judges the result of a subtask.

    Args:
        function: Takes the result, or the state that the subtask began with and the result; returns a boolean, a score from 0 to 1 or a
            `Verdict`. An `AssertionError` rejects the result. A coroutine function is awaited; in an event loop any other runs in a thread.
        name: Its name in verdicts; by default the function's.

    Example:
        >>> StateCheck(lambda result: result["total"] == 3, name="adds_up").check({}, {"total": 3})
        Verdict(verifier='adds_up', score=1.0, reason='', cost_usd=0.0, error=None)
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self._whole = takes_two(function)
        self.asynchronous = is_asynchronous(function)

    def check(self, start: Any, result: Any) -> Verdict:
        """Call the function and return its verdict."""
        try:
            return verdict_from(self.name, call(self.function, *((start, result) if self._whole else (result,))))
        except AssertionError as error:
            return Verdict(self.name, 0.0, short(str(error) or "an assertion failed"))

    async def acheck(self, start: Any, result: Any) -> Verdict:
        """Async version of `check`."""
        try:
            return verdict_from(self.name, await acall(self.function, *((start, result) if self._whole else (result,))))
        except AssertionError as error:
            return Verdict(self.name, 0.0, short(str(error) or "an assertion failed"))


class CheckOfResult:
    """A `StateCheck` of one result, as a verifier."""

    def __init__(self, check: StateCheck, start: Any, result: Any) -> None:
        self.name, self._check, self._given = check.name, check, (start, result)

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Check the result."""
        return self._check.check(*self._given)

    async def averify(self, request: Request, attempt: Attempt) -> Verdict:
        """Async version of `verify`."""
        return await self._check.acheck(*self._given)


def as_checks(given: Any) -> tuple[Any, ...]:
    """Return the checks of a subtask from a user's argument: one or several; callables judge the result.

    Raises:
        ConfigurationError: There is none, or one is neither a verifier nor callable.
    """
    found = wrapped(given, StateCheck, "verify is a callable on the subtask's result or a verifier")
    if not found:
        raise ConfigurationError("A subtask needs a check of its result: verify=tests_pass, a verifier, or several.")
    return found


def checks_of(checks: Sequence[Any], start: Any, result: Any) -> list[Any]:
    """Return the checks as verifiers of one result."""
    return [CheckOfResult(check, start, result) if isinstance(check, StateCheck) else check for check in checks]


# Calling what users give ---------------------------------------------------------------------------------------------------


def call(function: Callable[..., Any], *given: Any) -> Any:
    """Call a user's function, sync or async, from sync code."""
    found = function(*given)
    return finished(found) if inspect.isawaitable(found) else found


async def acall(function: Callable[..., Any], *given: Any) -> Any:
    """Call a user's function, sync or async, from an event loop, which a sync one does not block."""
    found = function(*given) if is_asynchronous(function) else await asyncio.to_thread(function, *given)
    return await found if inspect.isawaitable(found) else found


# Reading results -----------------------------------------------------------------------------------------------------------


def messages_in(state: Any, key: str) -> list[BaseMessage]:
    """Return the messages of a state, as far as it has any."""
    found = state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)
    return [one for one in found if isinstance(one, BaseMessage)] if isinstance(found, (list, tuple)) else []


def own_copy(state: Any) -> Any:
    """Return a state whose lists and dictionaries an attempt may change without changing what the next one begins with.

    Example:
        >>> begun = {"messages": ["a"]}
        >>> own_copy(begun)["messages"].append("b")
        >>> begun
        {'messages': ['a']}
    """
    if type(state) is dict:
        return {name: value.copy() if type(value) in (list, dict, set) else value for name, value in state.items()}
    return state.copy() if type(state) is list else state


def new_messages(start: Any, result: Any, key: str) -> list[BaseMessage]:
    """Return the messages that a subtask has added."""
    before = {id(one) for one in messages_in(start, key)}
    ids = {one.id for one in messages_in(start, key) if one.id is not None}
    return [one for one in messages_in(result, key) if id(one) not in before and (one.id is None or one.id not in ids)]


_AMOUNTS = ("cost_usd", "baseline_cost_usd")


def costs_in(messages: Sequence[BaseMessage]) -> dict[str, Cost]:
    """Return the cost in USD of each decision that the messages carry, and what the baseline would have billed, by its id."""
    found: dict[str, Cost] = {}
    for message in messages:
        told = message.response_metadata.get(METADATA_KEY) if isinstance(message, AIMessage) else None
        if isinstance(told, Mapping) and isinstance(told.get("decision_id"), str):
            cost, baseline = [float(one) if isinstance(one, (int, float)) else None for one in map(told.get, _AMOUNTS)]
            found[told["decision_id"]] = (cost, baseline)
    return found


def tools_in(messages: Sequence[BaseMessage]) -> set[str]:
    """Return the names of the tools that answered in the messages."""
    return {str(one.name) for one in messages if one.type == "tool" and getattr(one, "name", None)}


def schemas_in(result: Any) -> set[str]:
    """Return the name of the class of an agent's structured answer: the model may have given it as the call of a tool of that name."""
    found = result.get("structured_response") if isinstance(result, Mapping) else None
    return set() if found is None else {type(found).__name__}


def answer_of(result: Any, key: str) -> Any:
    """Return the last answer in a result, for verifiers that judge answers; the result itself where it has none."""
    said = [one for one in messages_in(result, key) if isinstance(one, AIMessage)]
    return said[-1] if said else result
