"""Import of user modules named on the command line."""

from __future__ import annotations

import sys
from pathlib import Path


def working_directory_counts() -> None:
    """Put the working directory on the module path, as `python -m` does."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
