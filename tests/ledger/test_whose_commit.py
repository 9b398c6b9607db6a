"""A commit whose answer was lost, where its number is another's after a failover, and where the process waits for its own outcomes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from tcp_proxy import Proxy
from waiting import wait_until

from langroute.core.records import Decision, Outcome, Step
from langroute.ledger import open_ledger
from langroute.ledger.batch import QueuedRecord, SentCommit
from langroute.ledger.commits import Commits
from langroute.ledger.listening import listen
from langroute.ledger.trouble import UnknownCommitError

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]


@pytest.fixture
def wire(postgres: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(postgres).port) as wire:
        yield wire


def engine_at(url: str) -> Any:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"))


def sent_to(engine: Any) -> SentCommit:
    """A transaction that is committed."""
    with engine.begin() as connection:
        sent = Commits(engine).of(connection)
    assert sent is not None
    return sent


def is_missing(engine: Any, sent: SentCommit) -> bool:
    entry = QueuedRecord(Outcome(success=True, task_id="t", at=time.time()), sent_in=sent)
    return bool(Commits(engine).missing([entry], lambda rows: None))


def test_a_number_counts_on_its_own_timeline(postgres: str) -> None:
    """A standby that took over gave the number to another worker."""
    engine = engine_at(postgres)
    sent = sent_to(engine)
    assert sent.timeline == "00000001"
    assert not is_missing(engine, sent)
    assert is_missing(engine, SentCommit(sent.number, "00000002"))
    engine.dispose()


def test_a_role_that_may_only_write_is_told_the_timeline(postgres: str) -> None:
    owner = engine_at(postgres)
    name = f"writer_{make_url(postgres).database}"
    with owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN NOSUPERUSER"))
    writer = engine_at(make_url(postgres).set(username=name).render_as_string(hide_password=False))
    sent = sent_to(writer)
    assert sent.timeline == "00000001"
    assert not is_missing(writer, sent)
    writer.dispose()
    owner.dispose()


def test_a_server_that_says_nothing_of_its_timeline_is_believed(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that only speaks like PostgreSQL. The transaction goes on."""
    monkeypatch.setattr("langroute.ledger.commits._CURRENT", text("SELECT txid_current(), no_such_function()"))
    engine = engine_at(postgres)
    sent = sent_to(engine)
    assert sent.timeline is None
    assert not is_missing(engine, sent)
    engine.dispose()


def test_the_commit_of_a_standby_that_was_promoted(postgres_pair: tuple[str, Any]) -> None:
    primary, standby = postgres_pair
    old, new = engine_at(primary), engine_at(standby.url)
    sent = sent_to(old)
    with pytest.raises(UnknownCommitError, match="standby"):
        is_missing(new, sent)
    standby.ask("SELECT pg_promote()")
    later = sent_to(new)
    assert later.timeline == "00000002"
    assert is_missing(new, SentCommit(later.number, sent.timeline))
    assert not is_missing(new, later)
    old.dispose()
    new.dispose()


@pytest.fixture
def postgres_pair() -> Iterator[tuple[str, Any]]:
    from postgres_server import OwnServer

    with OwnServer() as primary, OwnServer(standby_of=primary) as standby:
        yield primary.url, standby


class Told:
    """Listens to outcomes."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []

    def hear(self, outcome: Outcome) -> None:
        self.heard.append(outcome.decision_id)


def test_an_outcome_whose_commit_was_lost_is_told_once(wire: Proxy, postgres: str) -> None:
    there = postgres.replace(f":{urlsplit(postgres).port}/", f":{wire.port}/")
    told = Told()
    with open_ledger(there, flush_interval_s=0.01) as ledger, open_ledger(postgres) as other:
        listen(ledger, told.hear)
        ledger.record(Decision("d1", Step("chat"), "small", (), started_at=time.time()))
        ledger.flush()
        wait_until(lambda: ledger.feed is not None and ledger.feed.heard_to is not None)
        wire.lose_the_answer_to(b"COMMIT")
        ledger.record_outcome(Outcome(decision_id="d1", success=True, at=time.time()))
        wait_until(lambda: wire.lost == 1)
        ledger.flush()
        other.record_outcome(Outcome(decision_id="d2", success=True, at=time.time()))
        other.flush()
        wait_until(lambda: "d2" in told.heard)
        assert told.heard == ["d1", "d2"]


def test_rows_of_a_transaction_that_is_not_there_are_forgotten(postgres: str) -> None:
    engine, forgotten = engine_at(postgres), []
    with engine.connect() as connection, connection.begin() as transaction:
        lost = Commits(engine).of(connection, [7, 8])
        transaction.rollback()
    kept = sent_to(engine)
    entries = [QueuedRecord(Outcome(success=True, task_id="t", at=1.0), sent_in=sent) for sent in (lost, kept)]
    assert Commits(engine).missing(entries, forgotten.extend) == entries[:1]
    assert forgotten == [7, 8]
    engine.dispose()
