"""Which of the pairs in a folder a cache serves, in the cache's own environment: `caching.py SUBJECT FOLDER` prints JSON.

The first question of a pair is stored, alone, and the second one is asked.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Ask, and print JSON as the last line."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    found = importlib.import_module(f"subjects.{name}").served(json.loads((folder / "pairs.json").read_text()), folder)
    print("\n" + json.dumps(found))
    sys.stdout.flush()
    # Caches of some subjects write what they keep when a process ends, into folders that are gone.
    os._exit(0)


if __name__ == "__main__":
    main()
