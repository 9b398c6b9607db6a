"""A policy fitted once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from made_traffic import PRICES, made_traffic, write

from langroute.cli import cli


@pytest.fixture(scope="session")
def prices_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prices of the made routes."""
    path = tmp_path_factory.mktemp("prices") / "prices.toml"
    path.write_text(PRICES, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, prices_file: Path) -> Path:
    """A policy directory fitted through the command line on 700 made requests."""
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    folder = tmp_path_factory.mktemp("fitted")
    traffic = write(folder / "train.jsonl", made_traffic(700))
    # Cascades for the high targets, single calls for the lowest.
    targets = ["--targets", "1.0,0.99,0.98,0.95,0.9"]
    result = CliRunner().invoke(
        cli, ["fit", str(traffic), "-o", str(folder / "policy"), "--prices", str(prices_file), *targets], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return folder / "policy"
