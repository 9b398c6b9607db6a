"""What an attempt's run is told by its config."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.event_stream import _AstreamEventsCallbackHandler

from langroute.core.records import Request, Selection, Step
from langroute.engine.effects import RouteCall
from langroute.hosts.attempt_config import attempt_config
from langroute.routes.route import build_routes
from langroute.testing import ScriptedModel

ROUTE = build_routes({"small": ScriptedModel("Hi.")})["small"]


def attempt(index: int = 0, *, provisional: bool = False) -> RouteCall:
    return RouteCall(ROUTE, Selection("small", provisional=provisional), Request((), Step("chat")), "d1", index)


class Listener(BaseCallbackHandler):
    """Sees runs, not tokens."""


@pytest.mark.parametrize("provisional", [True, False])
@pytest.mark.parametrize("streams", [True, False])
def test_only_tokens_that_may_be_shown_pass_a_gate_and_only_others_are_tagged(provisional: bool, streams: bool) -> None:
    listener: Any = _AstreamEventsCallbackHandler() if streams else Listener()
    call = attempt(provisional=provisional)
    made = attempt_config({"callbacks": [listener], "tags": ["mine"]}, call, {})
    assert made["tags"] == ["mine", "langroute:small", *(["nostream"] if provisional else [])]
    assert (call.gate is not None) is (streams and not provisional)
    assert (call.told is not None) is streams, "what LangChain streams may tell its usage more than once"
    assert made["callbacks"] == [*(one for one in (call.gate, call.told) if one is not None), listener]


def test_the_callers_config_is_not_changed() -> None:
    config = {"tags": ["mine"], "metadata": {"user": 1}, "run_id": "r"}
    made = attempt_config(config, attempt(), {})
    assert config == {"tags": ["mine"], "metadata": {"user": 1}, "run_id": "r"}
    assert made["metadata"] == {
        "user": 1,
        "langroute_route": "small",
        "langroute_decision_id": "d1",
        "langroute_attempt": 0,
        "langroute_step_kind": "chat",
    }


@pytest.mark.parametrize("index, kept", [(0, True), (1, False), (3, False)])
def test_the_run_id_belongs_to_the_first_attempt(index: int, kept: bool) -> None:
    assert ("run_id" in attempt_config({"run_id": "r"}, attempt(index), {})) is kept


def test_the_routers_own_callbacks_and_tags_come_with_the_callers() -> None:
    listener = Listener()
    made = attempt_config({"tags": ["mine"]}, attempt(), {"callbacks": [listener], "tags": ["ours"], "metadata": {"app": "x"}})
    assert made["callbacks"] == [listener]
    assert {"mine", "ours", "langroute:small"} == set(made["tags"])
    assert made["metadata"]["app"] == "x"
