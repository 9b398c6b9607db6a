"""Calls beside the conversation: titles, summaries, topic checks. They are known by what they ask for, not by a client's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langroute.core.message_text import content_text
from langroute.steps.inspector import Inspector
from langroute.steps.texts import intent_of, job_of

if TYPE_CHECKING:
    from langroute.wire.request import WireRequest

SIDE_KINDS = frozenset({"title", "summarize", "classify", "extract"})
"""Kinds of steps that stand beside the conversation where no tool can be called."""

OTHER = "answer"
"""Kind of a call beside the conversation of which nothing else is known."""

_INSPECTOR = Inspector()


def side_call_of(request: WireRequest) -> str | None:
    """Return the kind of a call beside the conversation; `None` for a step of the agent itself.

    Such a call has no tools. Of a client that names its sessions every call without tools is one, because its agent has some; of others
    those are that ask for nothing else than a title, a summary, a class or a few fields.
    """
    if request.has_tools or not (messages := request.messages()):
        return None
    try:
        kind = _asked(messages) or _INSPECTOR.inspect(messages, response_schema=request.response_schema).kind
    except Exception:  # noqa: BLE001 - a request may hold anything; unknown is a step of the agent
        return None
    if kind in SIDE_KINDS:
        return kind
    return OTHER if request.session.said else None


def _asked(messages: list[Any]) -> str | None:
    """Return the kind that the system prompt names as the only job, or that the first of the messages asks for.

    "Write a title for this conversation": whatever the conversation behind it asks for, this call does not.
    """
    prompt = "\n".join(content_text(one.content) for one in messages if one.type == "system")
    if (job := job_of(prompt) if prompt else None) in SIDE_KINDS:
        return job
    if any(one.type == "ai" for one in messages):
        return None
    first = next((content_text(one.content) for one in messages if one.type == "human"), "")
    return kind if (kind := intent_of(first)) in SIDE_KINDS else None


__all__ = ["OTHER", "SIDE_KINDS", "side_call_of"]
