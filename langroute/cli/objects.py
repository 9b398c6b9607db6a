"""Where are the modules that a user names on the command line?"""

from __future__ import annotations

import sys
from pathlib import Path


def working_directory_counts() -> None:
    """The working directory counts as a place for modules, as it does for `python -m`."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
