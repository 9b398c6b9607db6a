"""How are several checks asked, and what do they come to?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from langroute.errors import ConfigurationError
from langroute.failures import passes_through
from langroute.records import Attempt, Request, Verdict


class Check:
    """Any callable as a verifier.

    Args:
        function: Takes the answer's message, or the request and the attempt; returns a truth, a score from 0 to 1 or a `Verdict`.
            A coroutine function is awaited where the caller awaits, and runs in a loop of its own where it does not.
        name: How it is called in verdicts.

    Example:
        >>> check = Check(lambda message: "42" in message.content, name="has_42")
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.records import Selection
        >>> check.verify(Request("6 * 7?"), Attempt(Selection("small"), AIMessage("It is 42."))).score
        1.0
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self._whole = _takes_two(function)
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
            self.averify = self._averify

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Call the function."""
        result = self._call(request, attempt)
        return verdict_from(self.name, _finished(result) if inspect.isawaitable(result) else result)

    async def _averify(self, request: Request, attempt: Attempt) -> Verdict:
        return verdict_from(self.name, await self._call(request, attempt))

    def _call(self, request: Request, attempt: Attempt) -> Any:
        return self.function(request, attempt) if self._whole else self.function(attempt.answer)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) >= 2


def _finished(awaitable: Any) -> Any:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    async def wait() -> Any:
        return await awaitable

    # A thread of its own: the caller's may have a running loop.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, wait()).result()


def as_verifiers(given: Any) -> tuple[Any, ...]:
    """Verifiers from what a user gave: one, several, callables, or `()` for none.

    Raises:
        ConfigurationError: Something of it is neither a verifier nor callable.

    Example:
        >>> as_verifiers(lambda message: True)[0].name
        '<lambda>'
    """
    if given is None:
        return ()
    several = given if isinstance(given, (list, tuple)) else [given]
    found: list[Any] = []
    for one in several:
        if inspect.isclass(one):
            raise ConfigurationError(f"A verifier is an object, not the class {one.__name__}: write {one.__name__}().")
        if callable(getattr(one, "verify", None)):
            found.append(one)
        elif callable(one):
            found.append(Check(one))
        else:
            raise ConfigurationError(
                f"A verifier has a method `verify(request, attempt)` or is callable; {type(one).__name__} is neither."
            )
    return tuple(found)


@lru_cache(maxsize=1)
def default_verifiers() -> tuple[Any, ...]:
    """Not empty, refused or cut off; tool calls and structured output valid."""
    from langroute.verifiers.answer import NotEmpty
    from langroute.verifiers.schema import Structured
    from langroute.verifiers.tools import ToolCalls

    return (NotEmpty(), ToolCalls(), Structured())


def name_of(verifier: Any) -> str:
    """How a verifier is called in verdicts."""
    return str(getattr(verifier, "name", None) or type(verifier).__name__)


def run(verifiers: Sequence[Any], request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()) -> tuple[Verdict, ...]:
    """Ask verifiers in order; the first that rejects outright ends it, so that a paid judge comes after free checks.

    A verifier that raises, or answers with anything but a verdict, rejects nothing: its verdict has the error and counts for nothing.
    """
    verdicts: list[Verdict] = []
    for verifier in verifiers:
        try:
            answer = _ask(verifier.verify, verifier, request, attempt, earlier)
            verdict = verdict_from(name_of(verifier), _finished(answer) if inspect.isawaitable(answer) else answer)
        except Exception as error:  # noqa: BLE001 - a broken check is no broken answer
            verdict = _broken(verifier, error)
        verdicts.append(verdict)
        if verdict.error is None and verdict.score <= 0:
            break
    return tuple(verdicts)


async def arun(
    verifiers: Sequence[Any], request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()
) -> tuple[Verdict, ...]:
    """The same, awaited."""
    verdicts: list[Verdict] = []
    for verifier in verifiers:
        method = getattr(verifier, "averify", None) or verifier.verify
        try:
            answer = _ask(method, verifier, request, attempt, earlier)
            verdict = verdict_from(name_of(verifier), await answer if inspect.isawaitable(answer) else answer)
        except Exception as error:  # noqa: BLE001
            verdict = _broken(verifier, error)
        verdicts.append(verdict)
        if verdict.error is None and verdict.score <= 0:
            break
    return tuple(verdicts)


def _ask(method: Callable[..., Any], verifier: Any, request: Request, attempt: Attempt, earlier: Sequence[Attempt]) -> Any:
    # A verifier that compares attempts says so with `compares = True`.
    return method(request, attempt, earlier) if getattr(verifier, "compares", False) else method(request, attempt)


def verdict_from(name: str, result: Any) -> Verdict:
    """A verdict from what a check returned: a `Verdict`, a truth, or a score from 0 to 1.

    Raises:
        ValueError: It is a number, but no score.
        TypeError: It is none of these.

    Example:
        >>> verdict_from("short", True).score
        1.0
    """
    if isinstance(result, bool):
        return Verdict(name, float(result))
    # A check that returns nothing said nothing: the `TypeError` is reported, and the answer is not rejected.
    score = result.score if isinstance(result, Verdict) else float(result)
    if not 0 <= score <= 1:
        raise ValueError(f"a score is from 0 to 1, not {score}")
    return result if isinstance(result, Verdict) else Verdict(name, score)


def _broken(verifier: Any, error: Exception) -> Verdict:
    if passes_through(error):
        # A verifier may ask a person: LangGraph's interrupt is no failure.
        raise error
    return Verdict(name_of(verifier), 1.0, error=f"{type(error).__name__}: {error}")


def score_of(verdicts: Sequence[Verdict]) -> float | None:
    """The lowest score of the verifiers that worked; `None` where none did.

    Example:
        >>> score_of([Verdict("a", 0.9), Verdict("b", 0.4), Verdict("c", 0.0, error="down")])
        0.4
    """
    return min((verdict.score for verdict in verdicts if verdict.error is None), default=None)
