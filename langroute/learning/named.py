"""Which policy does a name mean, and how is it asked about what was recorded?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.errors import ConfigurationError, DataError, LangrouteError, UnknownRouteError
from langroute.learning.traffic import Exchange
from langroute.naming import object_at, told
from langroute.records import Attempt, Request, RouteInfo, Selection


def named_policy(name: str, routes: Sequence[RouteInfo]) -> Any:
    """A policy by name: `default`, `always:ROUTE`, or `module:attribute`.

    Raises:
        ConfigurationError: There is no such policy.

    Example:
        >>> named_policy("always:small", [RouteInfo("small")]).route
        'small'
    """
    if name == "default":
        from langroute.policies.default import default_policy

        return default_policy(routes)
    kind, _, rest = name.partition(":")
    if kind == "always":
        from langroute.policies.fixed import Fixed

        if rest not in {route.name for route in routes}:
            raise UnknownRouteError(rest, [route.name for route in routes], "this traffic")
        return Fixed(rest)
    return object_at(name, "policy", "select")


class Named:
    """A policy that somebody else may have written, asked about recorded requests and held to what a policy answers.

    Args:
        name: What an error calls it.
        policy: The policy.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> Named("always:small", Fixed("small")).select(Request("Hi."), ()).route
        'small'
    """

    def __init__(self, name: str, policy: Any) -> None:
        # Brings LangChain, which a fitted policy's replay has no use for.
        from langroute.steps import Inspector

        self.name, self.policy = name, policy
        self._inspector = Inspector()
        self._where = ""

    def request_of(self, exchange: Exchange, routes: tuple[RouteInfo, ...]) -> Request:
        """A recorded request as a router would put it."""
        self._where = exchange.where
        messages = messages_of(exchange)
        metadata = {"langroute_task_kind": exchange.task} if exchange.task else {}
        step = self._inspector.inspect(messages, tools=exchange.tools, metadata=metadata)
        return Request(messages, step, routes, routes[-1].name, exchange.tools)

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """What the policy selects.

        Raises:
            ConfigurationError: It failed, or gave something else; says at which request.
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
    """The recorded messages as LangChain's.

    Raises:
        DataError: One of them is none of LangChain's.
    """
    from langchain_core.messages import convert_to_messages

    # Traffic need not say which call a result belongs to.
    plain = [{"tool_call_id": "", **one} if one["role"] == "tool" else dict(one) for one in exchange.messages]
    try:
        return convert_to_messages(plain)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise DataError(f"{exchange.where}: `messages` are none of LangChain's: {told(error)}") from error
