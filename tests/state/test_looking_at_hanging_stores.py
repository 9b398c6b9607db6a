"""An entry beside a policy's document is waited for, but not for as long as a database may hang."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from langroute.core.errors import DegradedWarning
from langroute.state.memory import MemoryState
from langroute.state.shared import SharedState


class Silent(MemoryState):
    """A store on another machine that answers nobody."""

    local = False

    def __init__(self) -> None:
        super().__init__()
        self.flows, self.asked = threading.Event(), 0

    def read(self, *given: Any) -> Any:
        self.asked += 1
        assert self.flows.wait(60)
        return super().read(*given)


class Nothing:
    keep_seconds = 60.0

    def keys(self, event: Any) -> Any:
        return ()

    def follows(self, entry: Any) -> None:
        return None

    def add(self, document: Any, sides: Any, event: Any) -> None:
        return None


def test_a_look_that_is_not_answered_finds_nothing_and_is_not_repeated_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.state.shared.LOOK_S", 0.05)
    monkeypatch.setattr("langroute.state.shared.RETRY_S", 3600.0)
    store = Silent()
    state = SharedState(store, "space", Nothing())
    with pytest.warns(DegradedWarning, match="no answer within"):
        assert state.look("key") == {}
    assert state.look("key") == {}
    assert store.asked == 1
    store.flows.set()
