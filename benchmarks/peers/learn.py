"""What a subject that learns comes to on recorded tasks, in the subject's own environment: `learn.py SUBJECT FILE` prints JSON.

The file is the worlds of `tasks.py write`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Live through the orders, and print JSON as the last line."""
    name, file = sys.argv[1:]
    warnings.simplefilter("ignore")
    subject, told = importlib.import_module(f"subjects.{name}"), json.loads(Path(file).read_text())
    print("\n" + json.dumps({source: subject.lived(world, told["value"]) for source, world in told["worlds"].items()}))
    sys.stdout.flush()
    # Clients of some subjects keep threads that nobody ends.
    os._exit(0)


if __name__ == "__main__":
    main()
