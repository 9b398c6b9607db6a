"""pytest plugin that puts a router in place of the models of other projects' tests, and writes down how each test ended.

The environment variable `FOREIGN_MODE` says how: `baseline` (nothing is changed), `model` (a `ChatRouter` for each model that an agent or
a middleware is made with) or `middleware` (a `RouterMiddleware` first in each agent). `FOREIGN_REPORT` names the file of the outcomes.
Each router has two routes, and both are the test's own model: an answer is the model's whichever is chosen, and so is an error.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

MODE = os.environ.get("FOREIGN_MODE", "baseline")
MODEL_ARGUMENTS = ("model", "summarizer", "first_model")
"""Arguments of LangChain's middleware that take a model."""

counts: Counter[str] = Counter()
outcomes: dict[str, dict[str, str]] = {}


class _Decisions:
    """Hook that counts decisions."""

    def on_decision(self, decision: Any) -> None:
        """Count one."""
        counts["decisions"] += 1

    def on_outcome(self, outcome: Any) -> None:
        """Ignore it."""


def routed(model: Any) -> Any:
    """Return the model behind a router of two routes, and whatever is no chat model as it is."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableBinding

    from langroute import ChatRouter

    if isinstance(model, RunnableBinding) and isinstance(model.bound, BaseChatModel):
        return model.model_copy(update={"bound": routed(model.bound)})
    if not isinstance(model, BaseChatModel) or isinstance(model, ChatRouter):
        return model
    counts["routers"] += 1
    return ChatRouter({"first": model, "second": model}, hooks=[_Decisions()])


def _chosen_at_run_time(model: Any) -> Any:
    """Return a function that chooses a model as one that chooses the model behind a router."""
    if inspect.iscoroutinefunction(model):

        @functools.wraps(model)
        async def achoose(*args: Any, **kwargs: Any) -> Any:
            return routed(await model(*args, **kwargs))

        return achoose

    @functools.wraps(model)
    def choose(*args: Any, **kwargs: Any) -> Any:
        return routed(model(*args, **kwargs))

    return choose


def _agent_of_routers(make: Any) -> Any:
    """Return `create_agent` or `create_react_agent` with the model behind a router."""

    @functools.wraps(make)
    def made(model: Any, *args: Any, **kwargs: Any) -> Any:
        return make(_chosen_at_run_time(model) if inspect.isroutine(model) else routed(model), *args, **kwargs)

    return made


def _agent_with_middleware(make: Any) -> Any:
    """Return `create_agent` with a `RouterMiddleware` first."""

    @functools.wraps(make)
    def made(model: Any, *args: Any, middleware: Any = (), **kwargs: Any) -> Any:
        from langchain_core.language_models import BaseChatModel

        from langroute.hosts.middleware import RouterMiddleware

        if isinstance(model, BaseChatModel):
            counts["routers"] += 1
            middleware = [RouterMiddleware({"first": model, "second": model}, hooks=[_Decisions()]), *middleware]
        return make(model, *args, middleware=middleware, **kwargs)

    return made


def _with_routers(init: Any) -> Any:
    """Return the `__init__` of a middleware with its models behind routers."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def made(*args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs)
        for name in MODEL_ARGUMENTS:
            if name in given.arguments:
                given.arguments[name] = routed(given.arguments[name])
        if "additional_models" in given.arguments:
            given.arguments["additional_models"] = tuple(map(routed, given.arguments["additional_models"]))
        init(*given.args, **given.kwargs)

    return made


def _replace(name: str, wrapper: Any) -> None:
    """Replace LangChain's or LangGraph's function of a name in every imported module that has it."""
    wrapped: dict[int, Any] = {}
    for module in list(sys.modules.values()):
        found = vars(module).get(name) if module is not None else None
        if inspect.isfunction(found) and found.__module__.startswith(("langchain.", "langgraph.")):
            setattr(module, name, wrapped.setdefault(id(found), wrapper(found)))


def _equal_but_for_the_decision() -> None:
    """Let messages that differ only in the decision that they carry be equal, so that tests of whole messages test the rest."""
    from langchain_core.messages import BaseMessage

    from langroute.core.thread import METADATA_KEY

    equal = BaseMessage.__eq__

    def plain(message: Any) -> Any:
        if METADATA_KEY not in message.response_metadata:
            return message
        kept = {key: value for key, value in message.response_metadata.items() if key != METADATA_KEY}
        return message.model_copy(update={"response_metadata": kept})

    def __eq__(self: Any, other: Any) -> Any:
        return equal(plain(self), plain(other) if isinstance(other, BaseMessage) else other)

    BaseMessage.__eq__ = __eq__  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    """Put the routers in, before any test is imported."""
    if MODE == "baseline":
        return
    # Some projects take every warning for an error; that a fake model has no price is none of theirs.
    config.addinivalue_line("filterwarnings", "ignore::langroute.core.errors.LangrouteWarning")
    import langgraph.prebuilt  # noqa: F401
    from langchain.agents import middleware

    _equal_but_for_the_decision()
    if MODE == "middleware":
        _replace("create_agent", _agent_with_middleware)
        return
    _replace("create_agent", _agent_of_routers)
    _replace("create_react_agent", _agent_of_routers)
    for kind in vars(middleware).values():
        if inspect.isclass(kind) and "__init__" in vars(kind) and kind is not middleware.ModelRequest:
            taken = set(inspect.signature(kind.__init__).parameters)
            if taken & {*MODEL_ARGUMENTS, "additional_models"}:
                kind.__init__ = _with_routers(kind.__init__)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how a test ended: the worst of its setup, call and teardown, and the last line of its error."""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = str(crash.message if crash is not None else report.longrepr)
        outcomes[report.nodeid] = {"outcome": "failed", "error": text[:2000]}
    elif report.when == "call" or report.skipped:
        outcomes.setdefault(report.nodeid, {"outcome": report.outcome, "error": ""})


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Keep the files that could not be imported, as tests that failed."""
    if report.failed:
        outcomes[report.nodeid] = {"outcome": "failed", "error": str(report.longrepr)[-2000:]}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the outcomes down."""
    if path := os.environ.get("FOREIGN_REPORT"):
        Path(path).write_text(json.dumps({"counts": counts, "outcomes": outcomes}))
