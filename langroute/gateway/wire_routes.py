"""The routes of a gateway: for each protocol those that speak it, with addresses and keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from langroute.core.errors import ConfigurationError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.engine.config_file import PROTOCOLS, RouteConfig, RouterConfig
from langroute.engine.configured import route_key, route_of
from langroute.gateway.upstream import UpstreamTarget, checked_url
from langroute.gateway.wire_host import WireRoute
from langroute.gateway.wire_model import APIS, WireModel
from langroute.providers.addresses import ADDRESSES, ProviderAddress, endpoint
from langroute.providers.wire import rules_of
from langroute.routes.route import BuiltRoute, build_routes
from langroute.wire.edits import WireTarget
from langroute.wire.protocols import PROTOCOLS as WIRE


@fast_dataclass
class ProtocolRoutes:
    """The routes that answer clients of one protocol, cheapest first: those that speak it, and those that it is translated for."""

    protocol: str
    built: Mapping[str, BuiltRoute]
    wire: Mapping[str, WireRoute]


def protocol_routes(config: RouterConfig, environment: Mapping[str, str]) -> dict[str, ProtocolRoutes]:
    """Return the routes of each protocol that any route speaks.

    Args:
        config: The router of a file.
        environment: The environment variables, which hold the keys.

    Raises:
        ConfigurationError: A route has no address, no protocol or no key. The error names the line.
    """
    models = {
        route.name: WireModel(wire_name=route.model, wire_provider=route.provider, address=route.base_url)
        for route in config.routes
    }
    built = build_routes({route.name: route_of(route, models[route.name]) for route in config.routes}, dict(config.prices) or None)
    given = {route.name: route for route in config.routes}
    targets = {name: _targets(config, given[name], environment) for name in built}
    found = {}
    for protocol in PROTOCOLS:
        spoken = {name: speaks for name in built if (speaks := _spoken(protocol, targets[name], given[name])) is not None}
        if spoken:
            found[protocol] = _of_protocol(protocol, spoken, built, given, targets, models)
    return found


def _spoken(protocol: str, targets: Mapping[str, UpstreamTarget], route: RouteConfig) -> str | None:
    """Return the protocol by which a route is called for a client; `None` where it is not."""
    if protocol in targets:
        return protocol
    return next((other for other in _NEAREST[protocol] if other in targets), None) if route.translate else None


_NEAREST = {"chat": ("responses", "messages"), "responses": ("chat", "messages"), "messages": ("chat", "responses"), "gemini": ()}
"""Protocol of a client → others that it is translated into, what loses least first."""


def _of_protocol(
    protocol: str,
    spoken: Mapping[str, str],
    built: Mapping[str, BuiltRoute],
    given: Mapping[str, RouteConfig],
    targets: Mapping[str, Mapping[str, UpstreamTarget]],
    models: Mapping[str, WireModel],
) -> ProtocolRoutes:
    routes, wire = {}, {}
    for name, speaks in spoken.items():
        route, model = built[name], models[name]
        info = replace(route.info, api=APIS[speaks])
        routes[name] = replace(route, info=info, rules=rules_of(info.api, info.provider, info.model, model.host))
        at = WireTarget(given[name].model, given[name].provider, model.host, max_output=given[name].max_output_tokens)
        wire[name] = WireRoute(name, targets[name][speaks], at, WIRE[speaks])
    return ProtocolRoutes(protocol, build_routes(routes), wire)


def _targets(config: RouterConfig, route: RouteConfig, environment: Mapping[str, str]) -> dict[str, UpstreamTarget]:
    """Return the address of each protocol that a route speaks."""
    where: ProviderAddress | None = ADDRESSES.get(route.provider)
    path = ("routes", route.name)
    if route.base_url is None:
        if where is None:
            raise config.file.error((*path, "provider"), f"the address of {route.provider!r} is not known: give base_url.")
        base = where.base_url
        if route.key_env is None:
            route = replace(route, key_env=where.key_env)
    else:
        try:
            base = checked_url(route.base_url)
        except ConfigurationError as error:
            raise config.file.error((*path, "base_url"), str(error)) from error
    key = route_key(config, route, environment)
    speaks = route.protocols or (where.protocols if where is not None else ("chat",))
    return {
        protocol: UpstreamTarget(endpoint(base, protocol), {} if key is None else WIRE[protocol].credentials(key))
        for protocol in speaks
    }


__all__ = ["ProtocolRoutes", "protocol_routes"]
