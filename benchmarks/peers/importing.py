"""What an import takes, in a fresh process: `importing.py [--core] MODULE:NAME...` prints milliseconds and megabytes as JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

CORE = ("langchain_core.language_models:BaseChatModel", "langchain_core.messages:AIMessage")
"""What every LangChain program has imported anyway."""


def resident_mb() -> float:
    """Return the resident memory of this process."""
    with Path("/proc/self/statm").open() as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def imported(names: tuple[str, ...]) -> None:
    """Import modules, and ask them for names that may be made when they are asked for."""
    for name in names:
        module, _, attribute = name.partition(":")
        getattr(importlib.import_module(module), attribute)


def main() -> None:
    """Import, and print what it took; LangChain's core apart."""
    core, *names = sys.argv[1:] if sys.argv[1:2] == ["--core"] else ["", *sys.argv[1:]]
    start, begun = resident_mb(), time.perf_counter()
    imported(CORE if core else ())
    middle, between = resident_mb(), time.perf_counter()
    imported(tuple(names))
    end = time.perf_counter()
    print(
        json.dumps(
            {
                "ms": (end - between) * 1e3,
                "mb": resident_mb() - middle,
                "core_ms": (between - begun) * 1e3,
                "core_mb": middle - start,
            }
        )
    )


if __name__ == "__main__":
    main()
