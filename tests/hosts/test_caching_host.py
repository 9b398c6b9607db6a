"""A host with a response cache fails as one without."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import Field

from langroute.hosts.chat_model import ChatRouter
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel


class Failing(ScriptedModel):
    """Raises an error, whichever way it is called."""

    error: Any = Field(default=None)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("cache", [None, True], ids=["plain", "cached"])
@pytest.mark.parametrize("error", [StopIteration("out of answers"), ValueError("no"), ConnectionError("down")], ids=repr)
def test_a_failing_route_is_recorded_with_its_own_error(cache: Any, error: Exception) -> None:
    """A fake model that has run out of answers raises `StopIteration`."""
    routes = {"a": Failing("", error=error), "b": ScriptedModel("Hi.")}
    model = ChatRouter(routes, policy=Fallback(Fixed("a"), retries=0), response_cache=cache)

    message = model.invoke("Hello?")
    assert isinstance(message, AIMessage)
    assert message.content == "Hi."
    first = model.ledger.latest().attempts[0]
    assert (first.route, first.error_type) == ("a", type(error).__name__)


@pytest.mark.parametrize("cache", [None, True], ids=["plain", "cached"])
def test_an_error_of_the_only_route_is_raised_as_it_is(cache: Any) -> None:
    error = ValueError("no")
    model = ChatRouter({"a": Failing("", error=error)}, response_cache=cache)
    with pytest.raises(ValueError, match="no") as raised:
        model.invoke("Hello?")
    assert raised.value is error
