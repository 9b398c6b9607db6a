"""Running verifiers: callables as verifiers, several in order, and their combined score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from langroute.core.control_flow import passes_through
from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Request, Verdict
from langroute.verifiers.bounds import short


class Check:
    """Wrap a callable as a verifier.

    Args:
        function: Takes the answer's message, or the request and the attempt; returns a boolean, a score from 0 to 1 or a `Verdict`.
            A coroutine function is awaited by an asynchronous caller, and runs in an event loop of its own for a synchronous one.
        name: Its name in verdicts; by default the function's.

    Example:
        >>> check = Check(lambda message: "42" in message.content, name="has_42")
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.core.records import Selection
        >>> check.verify(Request("6 * 7?"), Attempt(Selection("small"), AIMessage("It is 42."))).score
        1.0
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self._whole = takes_two(function)
        if is_asynchronous(function):
            self.averify = self._averify

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Call the function and return its result as a verdict."""
        result = self._call(request, attempt)
        return verdict_from(self.name, finished(result) if inspect.isawaitable(result) else result)

    async def _averify(self, request: Request, attempt: Attempt) -> Verdict:
        return verdict_from(self.name, await self._call(request, attempt))

    def _call(self, request: Request, attempt: Attempt) -> Any:
        return self.function(request, attempt) if self._whole else self.function(attempt.answer)


def takes_two(function: Callable[..., Any]) -> bool:
    """Return whether a function needs two arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) >= 2


def is_asynchronous(function: Any) -> bool:
    """Return whether a callable is a coroutine function."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def finished(awaitable: Any) -> Any:
    """Return the result of an awaitable from sync code."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    async def wait() -> Any:
        return await awaitable

    # A thread of its own: the caller's may have a running loop.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, wait()).result()


def as_verifiers(given: Any) -> tuple[Any, ...]:
    """Return verifiers from a user's argument: one, several, or `None`; plain callables are wrapped in `Check`.

    Raises:
        ConfigurationError: One of them is neither a verifier nor callable, or is a class.

    Example:
        >>> as_verifiers(lambda message: True)[0].name
        '<lambda>'
    """
    if given is None:
        return ()
    return wrapped(given, Check, "A verifier has a method `verify(request, attempt)` or is callable")


def wrapped(given: Any, wrap: Callable[[Any], Any], wanted: str) -> tuple[Any, ...]:
    """Return a user's verifiers, one or several, with plain callables wrapped.

    Args:
        given: The argument.
        wrap: Makes a verifier of a callable.
        wanted: What an argument has to be, for the error of one that is not.

    Raises:
        ConfigurationError: One of them is neither a verifier nor callable, or is a class.
    """
    found: list[Any] = []
    for one in given if isinstance(given, (list, tuple)) else [given]:
        if inspect.isclass(one):
            raise ConfigurationError(f"A verifier is an object, not the class {one.__name__}: write {one.__name__}().")
        if callable(getattr(one, "verify", None)):
            found.append(one)
        elif callable(one):
            found.append(wrap(one))
        else:
            raise ConfigurationError(f"{wanted}; {type(one).__name__} is neither.")
    return tuple(found)


@lru_cache(maxsize=1)
def default_verifiers() -> tuple[Any, ...]:
    """Return the default verifiers: `NotEmpty`, `ToolCalls` and `Structured`."""
    from langroute.verifiers.answer import NotEmpty
    from langroute.verifiers.schema import Structured
    from langroute.verifiers.tools import ToolCalls

    return (NotEmpty(), ToolCalls(), Structured())


def name_of(verifier: Any) -> str:
    """Return the name of a verifier in verdicts: its `name`, else its class's."""
    return str(getattr(verifier, "name", None) or type(verifier).__name__)


def run(verifiers: Sequence[Any], request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()) -> tuple[Verdict, ...]:
    """Run verifiers in order, up to the first that scores 0, so that a paid judge can come after free checks.

    A verifier that raises, or returns something that is not a verdict, rejects nothing: its verdict holds the error and is left out of the
    score.
    """
    verdicts: list[Verdict] = []
    for verifier in verifiers:
        try:
            answer = _ask(verifier.verify, verifier, request, attempt, earlier)
            verdict = verdict_from(name_of(verifier), finished(answer) if inspect.isawaitable(answer) else answer)
        except Exception as error:  # noqa: BLE001 - a broken check is no broken answer
            verdict = _broken(verifier, error)
        verdicts.append(verdict)
        if verdict.error is None and verdict.score <= 0:
            break
    return tuple(verdicts)


async def arun(
    verifiers: Sequence[Any], request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()
) -> tuple[Verdict, ...]:
    """Async version of `run`."""
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
    """Return the result of a check as a verdict: a `Verdict`, a boolean, or a score from 0 to 1.

    Raises:
        ValueError: The score is not from 0 to 1.
        TypeError: The result is none of these.

    Example:
        >>> verdict_from("short", True).score
        1.0
    """
    if isinstance(result, bool):
        return Verdict(name, float(result))
    # `None` raises a `TypeError` here, which is reported as the check's error and does not reject the answer.
    score = result.score if isinstance(result, Verdict) else float(result)
    if not 0 <= score <= 1:
        raise ValueError(f"a score is from 0 to 1, not {score}")
    return result if isinstance(result, Verdict) else Verdict(name, score)


def _broken(verifier: Any, error: Exception) -> Verdict:
    if passes_through(error):
        # A verifier may ask a person: LangGraph's interrupt is not a failure.
        raise error
    return Verdict(name_of(verifier), 1.0, error=short(f"{type(error).__name__}: {error}", 500))


def score_of(verdicts: Sequence[Verdict]) -> float | None:
    """Return the lowest score of the verdicts without an error; `None` where there is none.

    Example:
        >>> score_of([Verdict("a", 0.9), Verdict("b", 0.4), Verdict("c", 0.0, error="down")])
        0.4
    """
    return min((verdict.score for verdict in verdicts if verdict.error is None), default=None)
