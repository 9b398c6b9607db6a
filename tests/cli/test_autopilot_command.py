"""`langroute autopilot` shows what a router's autopilot has proven, and undoes it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import langroute
from langroute import ChatRouter, Price, Route
from langroute.cli import cli
from langroute.core.errors import ConfigurationError, LedgerError, StateError
from langroute.ledger import open_ledger
from langroute.policies import Autopilot
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome


@pytest.fixture
def flown(tmp_path: Path) -> str:
    """A ledger whose autopilot has adopted the small route."""
    file = str(tmp_path / "ledger.db")
    routes = {"small": Route(ScriptedModel("a"), price=Price(1, 4)), "large": Route(ScriptedModel("b"), price=Price(10, 40))}
    with open_ledger(file) as ledger:
        pilot = Autopilot(["small"], baseline="large", margin=0.3, id="care")
        model = ChatRouter(routes, policy=pilot, ledger=ledger)
        for number in range(150):
            with langroute.task(f"t{number}", kind="support"):
                model.invoke("Hi.")
            record_outcome(model, True, task_id=f"t{number}")
        assert pilot.changes()[0]["change"] == "adopted"
    return file


def told(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["autopilot", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_families_arms_and_changes_are_shown(flown: str) -> None:
    """The table has the arms with their numbers; a family that says the same as the wider one is left out."""
    output = told("--ledger", flown)
    assert "autopilot care: at most 0.3 less solved, baseline large" in output
    assert "adopted" in output
    assert "waits for nothing" in output
    assert "saved" in output
    assert "kind=support\n" not in output
    assert "all: small adopted, not worse than the baseline by 0.3" in output


def test_json_has_all_of_it(flown: str) -> None:
    """What is not known is null, and nothing is infinite."""
    found = json.loads(told("--ledger", flown, "--format", "json"))["care"]
    assert [family["family"] for family in found["families"]] == ["all", "kind=support"]
    assert found["setup"]["margin"] == 0.3
    assert found["changes"][0]["change"] == "adopted"
    assert sum(arm["told"] for arm in found["families"][0]["arms"]) == 150


def test_a_change_is_undone(flown: str) -> None:
    """The latest of a family, or one by its number."""
    assert "all: small adopted" in told("--ledger", flown, "undo")
    output = told("--ledger", flown)
    assert "(undone)" in output
    assert "held" in output
    assert "small held" in told("--ledger", flown, "undo", "--number", "2")
    with pytest.raises(ConfigurationError, match="no change 99"):
        told("--ledger", flown, "undo", "--number", "99")


def test_an_arm_is_held_in_one_family(flown: str) -> None:
    """A person may know better than the sums."""
    assert "kind=support: small held, held by a person" in told("--ledger", flown, "hold", "small", "kind=support")
    families = json.loads(told("--ledger", flown, "--format", "json"))["care"]["families"]
    assert [family["arms"][1]["state"] for family in families] == ["adopted", "out"]
    with pytest.raises(ConfigurationError, match="no arm 'other'"):
        told("--ledger", flown, "hold", "other")


def test_what_is_not_there_is_said(flown: str, tmp_path: Path) -> None:
    """No ledger, no autopilot in it, none of that name."""
    with pytest.raises(LedgerError, match="no ledger"):
        told("--ledger", str(tmp_path / "none.db"))
    with open_ledger(tmp_path / "empty.db"):
        pass
    with pytest.raises(StateError, match="policy='autopilot'"):
        told("--ledger", str(tmp_path / "empty.db"))
    with pytest.raises(StateError, match="'other'"):
        told("--ledger", flown, "--id", "other")


def found_at(store: str) -> str:
    """What the command says of a store; it is written in the background."""
    try:
        return told("--store", store)
    except StateError:
        return ""


def test_a_store_of_its_own_can_be_named(tmp_path: Path) -> None:
    """`--store` looks there instead."""
    store = str(tmp_path / "state.db")
    pilot = Autopilot(["small"], baseline="large", margin=0.3, id="apart", store=store)
    routes = {"small": Route(ScriptedModel("a"), price=Price(1, 4)), "large": Route(ScriptedModel("b"), price=Price(10, 40))}
    ChatRouter(routes, policy=pilot).invoke("Hi.", {"metadata": {"thread_id": "x"}})
    pilot.status()
    until = time.monotonic() + 20
    while "autopilot apart" not in (said := found_at(store)) and time.monotonic() < until:
        time.sleep(0.05)
    assert "autopilot apart" in said
