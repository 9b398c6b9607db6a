"""Checks of entries that were read from a store, by the same rules as before they were written, since others may write to it."""

from __future__ import annotations

from typing import Any

from langroute.cache.entries import CacheEntry
from langroute.cache.policy import CachePolicy
from langroute.cache.requests import Lookup
from langroute.cache.served_models import ServedModels
from langroute.providers.ends import finish_reason

SKEW_SECONDS = 300.0
"""Largest clock difference between machines that share a store; an entry from further in the future is refused."""


class EntryValidator:
    """Decides whether a stored answer may be given to a request.

    Args:
        policy: What may be cached.
        served: The models that are known to be served now.
    """

    def __init__(self, policy: CachePolicy, served: ServedModels) -> None:
        self.policy, self._served = policy, served

    def refuses(self, ticket: Lookup, entry: CacheEntry, now: float, *, exact: bool = True) -> str | None:
        """Return why a stored answer may not be given to this request; `None` if it may.

        Args:
            ticket: The request.
            entry: The stored answer.
            now: Seconds since the epoch.
            exact: Require the answer to exactly this request.
        """
        ask = ticket.ask
        if entry.namespace != ticket.namespace or (exact and entry.key != ticket.key):
            return "a stored answer is somebody else's"
        if entry.structured != ask.structured:
            return "a stored answer has another form"
        if (reason := self._aged(ticket, entry, now)) is not None:
            return reason
        model_digest = ask.model_digest if entry.route == ask.route else ask.eligible(entry.route)
        if model_digest is None or model_digest.hex() != entry.model_digest:
            return "a stored answer is of another model or other settings"
        if not self._served.is_current(entry):
            return "a stored answer is of a model that is not served any more"
        return self._rejected(ticket, entry)

    def _aged(self, ticket: Lookup, entry: CacheEntry, now: float) -> str | None:
        if entry.expires is not None and entry.expires <= now:
            return "a stored answer ran out"
        age = now - entry.created
        if age > ticket.ttl or (ticket.max_age is not None and age > ticket.max_age):
            return "a stored answer is too old"
        return "a stored answer is of a time to come" if age < -SKEW_SECONDS else None

    def _rejected(self, ticket: Lookup, entry: CacheEntry) -> str | None:
        """Return why the policy would not store this answer; `None` if it would."""
        ask, message = ticket.ask, entry.message
        reason = self.policy.rejects(
            message,
            finish_reason(message.response_metadata),
            # Another route's provider may report finish reasons differently.
            may_be_silent=ask.may_be_silent or entry.route != ask.route,
            tools=ask.tools,
        )
        if reason is None and entry.score is not None and entry.score < self.policy.min_score:
            reason = f"it scored {entry.score:.2f}"
        return None if reason is None else f"a stored answer may not be given: {reason}"

    def acts(self, messages: list[Any]) -> str | None:
        """Return why stored messages would repeat an action; `None` if they would not. Calls with a stored result count as done."""
        answered = {getattr(message, "tool_call_id", None) for message in messages}
        for message in messages:
            if getattr(message, "type", None) not in ("ai", "AIMessageChunk"):
                continue
            calls = getattr(message, "tool_calls", None) or ()
            if calls and all(call.get("id") is not None and call.get("id") in answered for call in calls):
                continue
            if (reason := self.policy.acts(message)) is not None:
                return reason
        return None
