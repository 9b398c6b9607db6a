"""`NamedModels`: routers for calls whose config names their model, as with `init_chat_model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from langroute.core.errors import ConfigurationError, InputError, MissingExtraError
from langroute.engine.router import Router
from langroute.routes.pricing import price_of
from langroute.routes.route import resolve

if TYPE_CHECKING:
    # It keeps one of these.
    from langroute.hosts.chat_model import ChatRouter

MANY = 256
"""Most routers that are kept for models named at run time."""


class NamedModels:
    """The routers of one chat router's named models, each made once.

    Args:
        router: The chat router's own router.
    """

    __slots__ = ("_router", "_routers", "passed_over")

    def __init__(self, router: Router) -> None:
        self._router = router
        self._routers: dict[str, Router] = {}
        self.passed_over: dict[str, str] = {}
        """Names that are no model, each with the reason: an application's config may use `model` for something else."""

    def of_config(self, model: ChatRouter, configurable: Mapping[str, Any]) -> tuple[Router, str | None]:
        """Return the router for a call by its config's `model` and `api_key`, and what could not be heeded.

        A tenant's key is used for a model that is named with it. The routes' own models hold the keys they were made with: a key without a
        model cannot reach them, which is said.
        """
        named, key = configurable.get("model"), configurable.get("api_key")
        if isinstance(named, str):
            router = self.router(model, named, key)
            return router, self.passed_over.get(named)
        if key is None:
            return self._router, None
        problem = (
            "the config's api_key is not used: the routes' models have their own keys. Name the model too "
            "(`model: 'openai:gpt-5-mini'`), or make a ChatRouter for each key"
        )
        self._router.notices.warn_once(problem, [], "api_key")
        return self._router, problem

    def of_argument(self, model: ChatRouter, name: str) -> Router:
        """Return the router for the call argument `model=`: as in a config, or another model of a route's provider, with that route's client.

        Raises:
            InputError: No route is of its provider, and it cannot be made from its name.
        """
        beside = None if self._is_route(model, name) else _beside(model.routes.values(), name)
        if beside is None:
            router = self.router(model, name)
            if (problem := self.passed_over.get(name)) is not None:
                raise InputError(f"{problem}. `model=` names a route, the model of a route, or any model as 'provider:model'.")
            return router
        if f"={name}" not in self._routers:
            self._make_room()
            self._routers[f"={name}"] = self._of_one(model, name, beside)
        return self._routers[f"={name}"]

    def _make_room(self) -> None:
        # Names come from callers, so the number of kept routers must be bounded.
        if len(self._routers) >= MANY:
            self._routers.clear()
            self.passed_over.clear()

    def _is_route(self, model: ChatRouter, name: str) -> bool:
        return any(
            name in (route, built.info.model, f"{built.info.provider}:{built.info.model}") for route, built in model.routes.items()
        )

    def router(self, model: ChatRouter, name: str, api_key: Any = None) -> Router:
        """Return the router for a name: a route, the model of a route, or any other model; with a key, that model with this key."""
        if name in model.routes and api_key is None:
            return self._pinned(model, name)
        for route, built in model.routes.items():
            full = f"{built.info.provider}:{built.info.model}"
            if name in (route, built.info.model, full):
                if api_key is None:
                    return self._pinned(model, route)
                name = full
                break
        known = name if api_key is None else f"{name} {_digest(api_key)}"
        if known not in self._routers:
            self._make_room()
            self._routers[known] = self._other(model, name, api_key)
        return self._routers[known]

    def _pinned(self, model: ChatRouter, route: str) -> Router:
        if route not in self._routers:
            self._routers[route] = model.model_copy(update={"route": route}).router
            self._routers[route].limited = True
        return self._routers[route]

    def _other(self, model: ChatRouter, name: str, api_key: Any) -> Router:
        """Return a router of one model that is none of the routes; the chat router's own one where there is no such model."""
        try:
            resolved = resolve(name, name, model.api_key if api_key is None else api_key)
        except (ConfigurationError, MissingExtraError) as error:
            self.passed_over[name] = f"the config names the model {name!r}: {error}"
            self._router.notices.warn_once(self.passed_over[name], [], f"model:{name}")
            return self._router
        return self._of_one(model, name, resolved)

    def _of_one(self, model: ChatRouter, name: str, resolved: Any) -> Router:
        # Settings that name routes do not apply to a model that is none of them; requirements on every model still do.
        limits = replace(self._router.limits, route=None, exclude=frozenset())
        return Router({name: resolved}, ledger=model.ledger, hooks=model.hooks, prices=model.prices, limits=limits)


def _digest(api_key: Any) -> str:
    """Return a digest of a key, so that no key is kept where names are."""
    secret = getattr(api_key, "get_secret_value", lambda: api_key)()
    return blake2b(str(secret).encode(), digest_size=16).hexdigest()


_NAME_FIELDS = ("model_name", "model", "model_id")


def _beside(routes: Iterable[Any], name: str) -> Any:
    """Return the model of a route, with another name of the same provider; `None` where no route is of its provider."""
    provider, _, bare = name.rpartition(":")
    routes = list(routes)
    of_provider = (
        [one for one in routes if one.info.provider == provider]
        if provider
        else [one for one in routes if price_of(name, one.info.provider) is not None]
    )
    if not of_provider and not provider and len({one.info.provider for one in routes}) == 1:
        of_provider = routes
    for route in reversed(of_provider):
        field = next((one for one in _NAME_FIELDS if one in getattr(type(route.model), "model_fields", ())), None)
        if field is not None:
            return route.model.model_copy(update={field: bare})
    return None
