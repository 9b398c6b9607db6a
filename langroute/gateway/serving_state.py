"""`Serving`: all that follows from one version of a configuration; a reload makes another one and leaves running answers theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.settling import SETTLING
from langroute.core.errors import ConfigurationError, UnknownRouteError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.locks import new_lock
from langroute.core.records import KINDS, RouteInfo
from langroute.engine.config_file import RouterConfig
from langroute.engine.configured import budget_store, cache_of_config, router_arguments
from langroute.engine.eligibility import RouteLimits
from langroute.engine.router import Router
from langroute.gateway.clients import Callers
from langroute.gateway.config import AUTO, OTHERS, PREFIX, GatewayConfig
from langroute.gateway.wire_cache import WireCaching
from langroute.gateway.wire_host import WireLimits
from langroute.gateway.wire_routes import ProtocolRoutes, protocol_routes
from langroute.policies.cache_aware import CacheAware
from langroute.policies.default import NAMED
from langroute.policies.fixed import Fixed
from langroute.prompt_cache.state import PromptCacheState

DEFAULT_POLICY = "balanced"


@fast_dataclass
class Wanted:
    """What a name of a model means: a policy, and perhaps one route."""

    policy: str | None
    limits: RouteLimits = RouteLimits()


class Serving:
    """Routers, clients and limits of one configuration.

    Args:
        config: The configuration.
        environment: Environment variables, which hold the providers' keys.
        ledger: The ledger of all routers.
        hooks: Receive every decision and outcome.
        digest: Hash of the token of the machine's own user.
        before: The configuration before: budgets that are counted in no place of their own go on, and so does its cache where the new one
            is the same.

    Raises:
        ConfigurationError: Something of the configuration cannot be made.
    """

    def __init__(
        self,
        config: GatewayConfig,
        environment: Mapping[str, str],
        *,
        ledger: Any = None,
        hooks: Sequence[Any] = (),
        digest: str | None = None,
        before: Serving | None = None,
    ) -> None:
        self.config, self.ledger, self.hooks = config, ledger, tuple(hooks)
        self.routes: dict[str, ProtocolRoutes] = protocol_routes(config.router, environment)
        self.callers = Callers(config.clients, digest=digest, open=not config.serve.auth)
        self.limits = WireLimits(**config.router.timeouts)
        self.active = 0
        """Requests that are being answered."""
        self._own_store = budget_store(config.router)
        self.budgets: Any = self._own_store or (None if before is None else before.budgets) or MemoryBudgets()
        """Where budgets are counted, for all routers together."""
        self.caching = _caching(config.router, environment, before)
        """The response cache; `None` where there is none."""
        self.owns_cache = before is None or self.caching is not before.caching
        """Whether the cache is closed with this configuration."""
        self._prompt_cache = PromptCacheState()
        self._routers: dict[tuple[str, str | None], Router] = {}
        self._lock = new_lock()
        self.names = frozenset(name for routes in self.routes.values() for name in routes.built)
        for protocol in self.routes:
            # What a file says is checked when it is read, not when a client comes.
            self.router(protocol, None)

    @property
    def routers(self) -> tuple[Router, ...]:
        """The routers that were made."""
        return tuple(self._routers.values())

    def router(self, protocol: str, policy: str | None) -> Router:
        """Return the router of a protocol and a policy; `None` for the configured one."""
        key = (protocol, policy)
        router = self._routers.get(key)
        if router is None:
            with self._lock:
                router = self._routers.get(key)
                if router is None:
                    router = self._routers[key] = self._made(protocol, policy)
        return router

    def _made(self, protocol: str, policy: str | None) -> Router:
        built = self.routes[protocol].built
        infos = tuple(route.info for route in built.values())
        given = router_arguments(self.config.router, built, store=self.budgets)
        for role in ("default", "baseline"):
            if given[role] not in built:
                given[role] = None
        if policy is not None or self.config.router.policy is None:
            given["policy"] = self._policy(policy or DEFAULT_POLICY, infos)
        # Time limits are kept by the host: it knows when the first byte of an answer came.
        hooks = self.hooks if self.caching is None else (*self.hooks, self.caching.cache)
        given.update(ledger=self.ledger, hooks=hooks, timeouts=None)
        try:
            return Router(**given)
        except UnknownRouteError as error:
            raise ConfigurationError(
                f"For clients of the {protocol} protocol: {error} "
                "A route with `translate = true` also answers clients of protocols that its provider does not speak."
            ) from error

    def _policy(self, name: str, infos: Sequence[RouteInfo]) -> Any:
        if len(infos) == 1:
            return Fixed(infos[0].name)
        return CacheAware(NAMED[name](infos), prompt_cache=self._prompt_cache)

    def wanted(self, model: str, protocol: str) -> Wanted:
        """Return what a name of a model means.

        Args:
            model: The name that a client asks for: a route's, `langroute/auto`, `langroute/POLICY`, `langroute/ROUTE`, one of the alias
                table, or any other, which is what the table has for `*`.
            protocol: The client's protocol.

        Raises:
            UnknownRouteError: It is a route that does not speak the protocol, or a policy that there is not.
        """
        aliases = self.config.models
        target = aliases.get(model)
        if target is None:
            target = model if model.startswith(PREFIX) or model in self.names else aliases.get(OTHERS, AUTO)
        name = target.removeprefix(PREFIX)
        # A route may be called like a policy: then it is asked for without the prefix.
        if target.startswith(PREFIX) and name == "auto":
            return Wanted(None)
        if target.startswith(PREFIX) and name in NAMED:
            return Wanted(name)
        if name in self.routes[protocol].built:
            return Wanted(None, RouteLimits(route=name))
        raise UnknownRouteError(name[:100], self.model_names(protocol), f"the {protocol} protocol")

    def model_names(self, protocol: str | None = None) -> tuple[str, ...]:
        """Return the names that a client may ask for."""
        known = self.names if protocol is None else self.routes[protocol].built
        aliases = [name for name in self.config.models if name != OTHERS]
        return (AUTO, *(PREFIX + name for name in NAMED), *sorted(known), *aliases)

    def close(self) -> None:
        """Close what belongs to this configuration alone. The ledger goes on."""
        if self._own_store is not None:
            SETTLING.wait(self._own_store)
            self._own_store.close()
        if self.caching is not None and self.owns_cache:
            self.caching.cache.close()


def _caching(config: RouterConfig, environment: Mapping[str, str], before: Serving | None) -> WireCaching | None:
    """Return the response cache of a configuration: that of the one before, where it is the same."""
    wanted = config.cache
    if wanted is None:
        return None
    if before is not None and before.caching is not None and before.config.router.cache == wanted:
        return before.caching
    for kind in wanted.policy.get("ttl", ()):
        if kind not in KINDS:
            raise config.file.error(("cache", "ttl", kind), f"{kind!r} is none of {', '.join(KINDS)}.")
    cache = cache_of_config(config, environment)
    if (first := config.timeouts.get("first_token")) is not None:
        # Another client's call is waited for no longer than one's own.
        cache.wait_seconds = min(cache.wait_seconds, first)
    return WireCaching(cache, wanted.share)


__all__ = ["DEFAULT_POLICY", "Serving", "Wanted"]
