"""A small run of `benchmarks/gateway_chaos.py`: failing providers, killed workers, a killed Redis, clients that leave; then the books are compared.

More: `LANGROUTE_CHAOS=2000 pytest tests/gateway/test_gateway_chaos.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from redis_server import binary

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
REQUESTS = int(os.environ.get("LANGROUTE_CHAOS", "200"))

pytestmark = [pytest.mark.slow, pytest.mark.server]


@pytest.mark.timeout(max(240, REQUESTS))
def test_every_request_is_answered_or_fails_by_its_protocol_and_the_books_are_the_providers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("aiohttp")
    pytest.importorskip("uvicorn")
    binary()
    # The provider's process imports the module by its name, too.
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import gateway_chaos

    kills = 2
    found, chaos = gateway_chaos.run(REQUESTS, workers=2, clients=12, kills=kills, redis_kills=1)
    assert found.wrong == []
    assert (len(chaos.worker_kills), len(chaos.redis_kills)) == (kills, 1)
    assert sum(count for name, count in found.counts.items() if name.startswith("clients: ")) == REQUESTS
    assert found.counts["clients: whole"] > REQUESTS / 4
    # Only what was at work or not yet written when its worker was killed may be missing.
    assert len(found.unwritten) <= 2 * 12 * kills
