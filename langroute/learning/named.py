"""Policies by name for a replay, and their use on recorded requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.core.errors import ConfigurationError, DataError, LangrouteError, UnknownRouteError
from langroute.core.object_names import object_at, told
from langroute.core.records import Attempt, Request, RouteInfo, Selection
from langroute.learning.traffic import Exchange


def named_policy(name: str, routes: Sequence[RouteInfo]) -> Any:
    """Return a policy by name: `default`, `quality`, `balanced`, `cost`, `always:ROUTE`, or `module:attribute`.

    Raises:
        ConfigurationError: There is no such policy.
        UnknownRouteError: `ROUTE` is not a route of this traffic.

    Example:
        >>> named_policy("always:small", [RouteInfo("small")]).route
        'small'
    """
    if name == "default":
        from langroute.policies.default import default_policy

        return default_policy(routes)
    if ":" not in name and name in ("quality", "balanced", "cost"):
        from langroute.policies.default import policy_by_name

        return policy_by_name(name, routes)
    kind, _, rest = name.partition(":")
    if kind == "always":
        from langroute.policies.fixed import Fixed

        if rest not in {route.name for route in routes}:
            raise UnknownRouteError(rest, [route.name for route in routes], "this traffic")
        return Fixed(rest)
    return object_at(name, "policy", "select")


def is_name(policy: str) -> bool:
    """Return whether a text names a policy, rather than a directory."""
    return policy in ("default", "quality", "balanced", "cost") or ":" in policy


class Named:
    """A user's policy, called with recorded requests; its errors and results are checked.

    Args:
        name: Name of the policy in errors.
        policy: The policy.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> Named("always:small", Fixed("small")).select(Request("Hi."), ()).route
        'small'
    """

    def __init__(self, name: str, policy: Any) -> None:
        # Imported here because it imports LangChain, which a fitted policy's replay does not need.
        from langroute.steps.inspector import Inspector

        self.name, self.policy = name, policy
        self._inspector = Inspector()
        self._where = ""

    def request_of(self, exchange: Exchange, routes: tuple[RouteInfo, ...]) -> Request:
        """Return a recorded request as a router would pass it to a policy."""
        self._where = exchange.where
        messages = messages_of(exchange)
        metadata = {"langroute_task_kind": exchange.task} if exchange.task else {}
        step = self._inspector.inspect(messages, tools=exchange.tools, metadata=metadata)
        return Request(messages, step, routes, routes[-1].name, exchange.tools)

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the policy's selection.

        Raises:
            ConfigurationError: The policy failed, or returned something else; the message names the request.
        """
        try:
            found = self.policy.select(request, attempts)
        except LangrouteError:
            raise
        except Exception as error:
            raise ConfigurationError(f"{self._where}: the policy {self.name!r} failed: {told(error)}") from error
        if found is None or isinstance(found, Selection):
            return found
        raise ConfigurationError(
            f"{self._where}: the policy {self.name!r} selected a {type(found).__name__}; it should be a Selection, or None to stop."
        )


def messages_of(exchange: Exchange) -> list[Any]:
    """Return the recorded messages as LangChain messages.

    Raises:
        DataError: A message cannot be converted.
    """
    from langchain_core.messages import convert_to_messages

    try:
        return convert_to_messages([_plain(one) for one in exchange.messages])
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise DataError(f"{exchange.where}: `messages` are none of LangChain's: {told(error)}") from error


_NEEDED = {"tool": {"tool_call_id": ""}, "function": {"name": "function"}}
"""What LangChain's messages of a role need, and recorded ones may lack: tool results need not name their call."""


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded message in the words that LangChain reads."""
    role = "assistant" if message["role"] == "AIMessageChunk" else message["role"]
    content = message.get("content")
    return {**_NEEDED.get(role, {}), **message, "role": role, "content": "" if content is None else content}
