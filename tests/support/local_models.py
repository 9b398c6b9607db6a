"""Location of the real local models that tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def directory_with(*names: str, at: Path) -> Path:
    """A directory of its own for servers, with the models that are kept on this machine; SmolLM2 (98 MB) is fetched where it is absent."""
    pytest.importorskip("xllamacpp")
    from langroute.core.errors import LocalModelError
    from langroute.local import fetch
    from langroute.local.places import is_fetched, model_path

    kept = os.environ.get("LANGROUTE_DATA_DIR")
    for name in names:
        if not is_fetched(name, kept):
            if name != "smollm2-135m":
                pytest.skip(f"{name} is not on this machine: langroute local fetch {name}")
            try:
                fetch(name, directory=kept)
            except LocalModelError as error:
                pytest.skip(f"{name} cannot be fetched: {error}")
        link = model_path(name, at)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(model_path(name, kept))
    return at
