"""PostgreSQL as companies have it: options for a pooler, and roles that may only read."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from langroute import ChatRouter, Route
from langroute.core.errors import ConfigurationError, DegradedWarning
from langroute.ledger import open_ledger
from langroute.reports import Window, build_report
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.server

DAY = 86_400.0


@pytest.mark.parametrize("said, means", [("none", None), ("None", None), ("0", 0), ("7", 7)])
def test_a_pooler_is_told_when_to_prepare(postgres: str, said: str, means: int | None) -> None:
    with open_ledger(f"{postgres}?prepare_threshold={said}&application_name=web") as ledger, ledger.reading() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.prepare_threshold == means
        assert connection.execute(text("show application_name")).scalar() == "web"


def test_what_is_no_number_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ConfigurationError, match="prepare_threshold=often; it is a number, or none"):
        open_ledger("postgresql://me@127.0.0.1:1/langroute?prepare_threshold=often")


def reader_of(url: str, *, temporary: bool = True) -> str:
    """Return the URL of a role that may only read what is there."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    name = f"reader_{make_url(url).database}"
    with engine.begin() as connection:
        connection.execute(text(f"create role {name} login"))
        connection.execute(text(f"grant select on all tables in schema public to {name}"))
        if not temporary:
            # As on a standby.
            connection.execute(text(f"revoke temporary on database {make_url(url).database} from public"))
    engine.dispose()
    return make_url(url).set(username=name).render_as_string(hide_password=False)


def used(url: str) -> None:
    with open_ledger(url) as ledger:
        model = ChatRouter({"only": Route(ScriptedModel("Hm."), price={"input": 1, "output": 2})}, ledger=ledger)
        model.invoke("Hello?")


def test_a_role_that_may_only_read_makes_a_report_of_what_is_not_summed_yet(postgres: str) -> None:
    used(postgres)
    with open_ledger(reader_of(postgres)) as ledger:
        report: Any = build_report(ledger, Window.since("7d"))
    assert report.total.calls == 1


def test_a_role_without_temporary_tables_makes_it_too(postgres: str) -> None:
    used(postgres)
    with open_ledger(postgres) as ledger:
        ledger.rollup()
    used(postgres)
    with open_ledger(reader_of(postgres, temporary=False)) as ledger:
        report: Any = build_report(ledger, Window.since("7d"))
    assert report.total.calls == 2


def test_where_the_rows_are_gone_the_stored_sums_do_and_it_is_said(postgres: str) -> None:
    import time

    with open_ledger(postgres, raw_days=1) as ledger:
        model = ChatRouter({"only": Route(ScriptedModel("Hm."), price={"input": 1, "output": 2})}, ledger=ledger)
        model.invoke("Hello?")
        ledger.flush()
        ledger.purge(time.time() + 3 * DAY)
    used(postgres)
    with open_ledger(reader_of(postgres)) as ledger, pytest.warns(DegradedWarning, match="may only be read here"):
        report: Any = build_report(ledger, Window.since("7d"))
    assert report.total.calls == 1
