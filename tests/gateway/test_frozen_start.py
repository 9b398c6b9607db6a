"""What a worker is started with is not looked through for garbage again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("aiohttp")

from langroute.gateway.starting import GARBAGE, freeze_start


@pytest.fixture
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    gc.unfreeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


def test_what_is_there_at_the_start_is_no_garbage(as_before: None) -> None:
    freeze_start()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == GARBAGE
