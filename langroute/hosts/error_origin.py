"""Origin of an error inside an agent: the model that was called, or what stands around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MAX_LAYERS = 20
"""Wrappers around a model, and errors behind an error, that are looked at."""

_ABOUT_ANSWERS = frozenset({"StructuredOutputError"})
"""Errors of LangChain's agents that say the model's answer is unusable, so that another model may do better."""


def is_of_model(error: BaseException, model: Any) -> bool:
    """Return whether the model raised an error, or what it was made from.

    Told by the traceback: a method of the model, or of what it wraps, is among the calls that the error came through. Errors of
    guards, of an agent's own checks and of other models are not.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> model = ScriptedModel(ConnectionError("down"))
        >>> try:
        ...     model.invoke("Hi.")
        ... except ConnectionError as error:
        ...     print(is_of_model(error, model), is_of_model(ValueError("a guard's"), model))
        True False
    """
    layers = _layers(model)
    return any(_is_about_answers(raised) or _came_through(raised, layers) for raised in _causes(error))


def _layers(model: Any) -> list[Any]:
    """The model, and what it wraps (`RunnableBinding`, `with_fallbacks`)."""
    found: list[Any] = []
    while model is not None and len(found) < _MAX_LAYERS:
        found.append(model)
        model = getattr(model, "bound", None) or getattr(model, "runnable", None)
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from on purpose."""
    found: BaseException | None = error
    for _ in range(_MAX_LAYERS):
        if found is None:
            return
        yield found
        found = found.__cause__


def _is_about_answers(error: BaseException) -> bool:
    return any(base.__name__ in _ABOUT_ANSWERS for base in type(error).__mro__)


def _came_through(error: BaseException, layers: list[Any]) -> bool:
    traceback = error.__traceback__
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if owner is not None and any(owner is layer for layer in layers):
            return True
        traceback = traceback.tb_next
    return False
