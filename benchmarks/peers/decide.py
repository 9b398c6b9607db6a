"""What a subject decides on recorded questions, in the subject's own environment: prints JSON.

    python benchmarks/peers/decide.py SUBJECT FILE

The file is that of `routing.py write`. A subject sorts the questions into levels, simple ones first. Each of its cuts is a setting of two models: up
to which level the small one is asked.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Decide, and print JSON as the last line."""
    name, file = sys.argv[1:]
    warnings.simplefilter("ignore")
    found = importlib.import_module(f"subjects.{name}").decided(json.loads(Path(file).read_text()))
    print("\n" + json.dumps(found))
    sys.stdout.flush()
    # Clients of some subjects keep threads that nobody ends.
    os._exit(0)


if __name__ == "__main__":
    main()
