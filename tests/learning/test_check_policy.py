"""`langroute alert` reads a policy directory, and reports when there is too little evidence."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from langroute.cli.alert import alert
from langroute.estimators.store import load_policy_file
from langroute.ledger import open_ledger


def test_a_policy_without_decisions_is_no_alert_and_no_all_clear(fitted: Path, tmp_path: Path) -> None:
    open_ledger(tmp_path / "ledger.db").close()

    done = CliRunner().invoke(alert, ["--ledger", str(tmp_path / "ledger.db"), "--policy", str(fitted)])

    assert done.exit_code == 0, done.output
    assert done.stdout == "Nothing to tell of.\n"
    assert f"drift: cannot tell: no decision of policy version {load_policy_file(fitted).version}" in done.stderr


def test_a_broken_policy_directory_is_refused(tmp_path: Path) -> None:
    open_ledger(tmp_path / "ledger.db").close()
    (tmp_path / "policy").mkdir()

    done = CliRunner().invoke(alert, ["--ledger", str(tmp_path / "ledger.db"), "--policy", str(tmp_path / "policy")])

    assert "there is no policy.json here" in str(done.exception)
