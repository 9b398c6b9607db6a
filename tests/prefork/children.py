"""A program whose children make calls and end in the ways of `multiprocessing`. Run by the tests, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from langroute import ChatRouter
from langroute.ledger import open_ledger
from langroute.testing import ScriptedModel

MODEL = None
if len(sys.argv) > 2:
    MODEL = ChatRouter({"small": ScriptedModel(*["Hm."] * 1000)}, ledger=open_ledger(Path(sys.argv[2])))


def work(number: int) -> int:
    for place in range(5):
        MODEL.invoke(f"Question {number} {place}?")
    return os.getpid()


def nested(how: str) -> None:
    work(0)
    child = multiprocessing.get_context(how).Process(target=work, args=(1,))
    child.start()
    child.join()
    work(2)


def late(number: int) -> None:
    """Calls of threads that nobody waits for: they go on while the process ends."""
    work(number)
    pool = ThreadPoolExecutor(2)
    for _ in range(5):
        pool.submit(work, number)


def main(how: str, kind: str) -> None:
    context = multiprocessing.get_context(how)
    MODEL.invoke("The parent's own.")
    if kind == "process":
        children = [context.Process(target=work, args=(number,)) for number in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
    elif kind == "pool":
        with context.Pool(2) as pool:
            pool.map(work, range(4))
            pool.close()
            pool.join()
    elif kind == "one task a child":
        with context.Pool(2, maxtasksperchild=1) as pool:
            pool.map(work, range(4), chunksize=1)
            pool.close()
            pool.join()
    elif kind == "executor":
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            list(executor.map(work, range(4)))
    else:
        child = context.Process(target=nested if kind == "nested" else late, args=(how if kind == "nested" else 0,))
        child.start()
        child.join()


def billiard() -> None:
    """The same of `billiard`, with which Celery makes its children."""
    from billiard.context import ForkProcess

    MODEL.invoke("The parent's own.")
    children = [ForkProcess(target=work, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()


if __name__ == "__main__":
    if sys.argv[1] == "billiard":
        billiard()
    else:
        main(sys.argv[1], sys.argv[3])
