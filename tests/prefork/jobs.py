"""Jobs for Celery's worker, which forks a child for each (`--max-tasks-per-child=1`). Run by the tests, in processes of its own."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from celery.signals import celeryd_after_setup, worker_shutdown
from shared import busy, model

app = Celery("jobs", broker=os.environ["LANGROUTE_TEST_BROKER"], backend=os.environ["LANGROUTE_TEST_BROKER"])
app.conf.worker_hijack_root_logger = False
FOLDER = Path(os.environ["LANGROUTE_TEST_FOLDER"])
MODEL = model(FOLDER) if "LANGROUTE_TEST_WORKER" in os.environ else None
BUSY = []


@celeryd_after_setup.connect
def begin(**_: object) -> None:
    """The worker's own process makes calls, too."""
    BUSY.extend(busy(MODEL, "master"))


@worker_shutdown.connect
def end(**_: object) -> None:
    stop, done, threads = BUSY
    stop.set()
    for thread in threads:
        thread.join()
    (FOLDER / "master.txt").write_text(str(sum(done)))


@app.task
def ask(number: int) -> tuple[int, list[str]]:
    """CacheRequest three questions, and end at once."""
    told = []
    for place in range(3):
        answered = MODEL.invoke(f"Job {number} {place}: what is it?", {"configurable": {"thread_id": f"job{number}"}})
        told.append(answered.response_metadata["langroute"]["decision_id"])
    return os.getpid(), told
