"""Configuration of a `ChatRouter`: checks its arguments, and builds the router and what belongs to it from its fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from langroute.core.errors import ConfigurationError
from langroute.engine.eligibility import RouteLimits
from langroute.engine.router import Router
from langroute.hosts.binding import Bindings
from langroute.hosts.calling import Models
from langroute.hosts.named_models import NamedModels
from langroute.hosts.shared_profile import shared_type
from langroute.policies.fallback import without_fallback
from langroute.routes.route import build_routes
from langroute.steps.kinds import check_kinds

if TYPE_CHECKING:
    # It is configured here.
    from langroute.hosts.chat_model import ChatRouter

SETTINGS = ("temperature", "max_tokens", "timeout", "stop")
"""Call arguments that every provider takes; the router's own values are passed to the chosen model."""


def field_values(fields: Mapping[str, Any], routes: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a chat router's fields, with its routes built.

    Args:
        fields: The pydantic fields by name.
        routes: The first argument, or `None`.
        given: The keyword arguments.

    Raises:
        ConfigurationError: An argument is unknown, or the routes are given twice.
    """
    values = dict(given)
    if routes is not None:
        if "routes" in values:
            raise ConfigurationError("Give the routes once: as the first argument or as `routes=`.")
        values["routes"] = routes
    if _is_response_cache(values.get("cache")):
        # A response cache given under the name of LangChain's own field is accepted.
        values["response_cache"] = values.pop("cache")
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigurationError(f"ChatRouter has no argument {name!r}.{hint}")
    values["routes"] = build_routes(values.get("routes", {}), values.get("prices"), values.get("api_key"))
    return values


def invalid(error: ValidationError) -> ConfigurationError:
    """Return the error to raise for a value that pydantic refused.

    Example:
        >>> from pydantic import TypeAdapter
        >>> try:
        ...     TypeAdapter(dict[str, int]).validate_python({"max_attempts": "many"})
        ... except ValidationError as error:
        ...     print(invalid(error))
        ChatRouter's max_attempts: Input should be a valid integer, unable to parse string as an integer
    """
    first = error.errors()[0]
    return ConfigurationError(f"ChatRouter's {'.'.join(map(str, first['loc']))}: {first['msg']}")


class BuiltRouter:
    """What is built from a chat router's fields, and rebuilt whenever they change.

    Args:
        model: The chat router. Its policy, ledger, inspector and response cache are set to those in use, so that a copy made at run
            time by `configurable_fields` shares what was learned and recorded.
    """

    __slots__ = ("bindings", "caching", "llm_type", "models", "named", "own", "router", "settings")

    def __init__(self, model: ChatRouter) -> None:
        cache = model.response_cache = _opened_cache(model.response_cache)
        self.router = _router(model, cache)
        model.policy, model.ledger, model.inspector = (
            without_fallback(self.router.policy),
            self.router.ledger,
            self.router.inspector,
        )
        self.models = Models(_fields_of_routes(model), model.style, self.router.routes)
        self.settings = {name: value for name in SETTINGS if (value := getattr(model, name)) is not None}
        metadata = {key: value for key, value in (model.metadata or {}).items() if key != "lc_versions"}
        own = {"callbacks": model.callbacks, "tags": model.tags, "metadata": metadata}
        self.own: dict[str, Any] = {key: value for key, value in own.items() if value}
        self.bindings = Bindings()
        self.llm_type = shared_type(route.model for route in self.router.routes.values())
        self.named = NamedModels(self.router)
        self.caching: Any = None
        """The response cache in use, or `None`."""

        if cache is not None:
            from langroute.hosts.response_caching import ResponseCaching

            _check_cached_kinds(cache, self.router.inspector)
            self.caching = ResponseCaching(cache, self.models)


def _router(model: ChatRouter, cache: Any) -> Router:
    """Return the router of a chat router's fields."""
    # The default policy keeps what it learned as long as it is the one that these fields ask for.
    default, named, made_for = model.__dict__.get("_default_policy", (None, None, None))
    name = model.policy if isinstance(model.policy, str) else named if model.policy is default else None
    # The tiers of `cost` are the names of the routes.
    routes = tuple(model.routes) if len(model.routes) == 1 or name == "cost" else ()
    asked_by = (routes, bool(model.verifier), model.max_retries, model.fallback, model.style)
    policy = name if model.policy is default and made_for != asked_by else model.policy
    around = model.__dict__.get("_fallback")
    if around is not None and without_fallback(around) is policy:
        # Which routes rest is known to the one that was put around this policy before.
        policy = around
    limits = {"route": model.route, "exclude": model.exclude or None, "min_tier": model.min_tier, "labels": model.labels or None}
    router = Router(
        model.routes,
        policy=policy,
        style=model.style,
        deterministic=model.deterministic,
        verifier=model.verifier,
        default=model.default,
        baseline=model.baseline,
        ledger=model.ledger,
        hooks=model.hooks if cache is None else (*model.hooks, cache),
        prices=model.prices,
        limits=RouteLimits.of(limits),
        max_attempts=model.max_attempts,
        inspector=model.inspector,
        budget=model.budget,
        timeouts=model.timeouts,
        max_retries=model.max_retries,
        fallback=model.fallback,
    )
    model.__dict__["_fallback"] = router.policy
    if policy is None or isinstance(policy, str):
        model.__dict__["_default_policy"] = (without_fallback(router.policy), name, asked_by)
    return router


def _fields_of_routes(model: ChatRouter) -> dict[str, Any]:
    """Return the fields of LangChain's chat models that the routes' models take over from the router."""
    fields = {"cache": model.cache, "output_version": model.output_version, "streaming": model.streaming}
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if model.disable_streaming:
        given["disable_streaming"] = model.disable_streaming
    return given


def _check_cached_kinds(cache: Any, inspector: Any) -> None:
    """Raise where the response cache has rules for a step kind that does not exist."""
    named = (*getattr(getattr(cache, "policy", None), "ttl", ()), *getattr(getattr(cache, "semantic", None), "kinds", ()))
    check_kinds(named, inspector, "the response cache")


def _is_response_cache(given: Any) -> bool:
    return callable(getattr(given, "recall", None))


def _opened_cache(given: Any) -> Any:
    """Return the response cache of a field's value; `langroute.cache` is imported only where there is one."""
    if given is None or given is False:
        return None
    if _is_response_cache(given):
        return given
    from langroute.cache.response import ResponseCache

    return ResponseCache(None if given is True else given)
