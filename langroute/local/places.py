"""Where on this machine are local models and the state of their servers kept?"""

from __future__ import annotations

from pathlib import Path

from langroute.errors import LocalModelError, MissingExtraError
from langroute.local.catalogue import LocalModel, find


def data_directory(directory: str | Path | None = None) -> Path:
    """The directory that was given, else langroute's own in the user's data directory; made where it is not there.

    Raises:
        LocalModelError: It cannot be made.
        MissingExtraError: platformdirs is not installed.
    """
    if directory is None:
        try:
            from platformdirs import user_data_path
        except ImportError:
            raise MissingExtraError("platformdirs", "local", "A place for local models") from None
        directory = user_data_path("langroute", appauthor=False)
    found = Path(directory).expanduser().absolute()
    try:
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalModelError(f"The directory for local models cannot be made: {error}. Name another one.") from error
    return found


def model_path(model: str | LocalModel, directory: str | Path | None = None) -> Path:
    """Where a model's file is, or will be."""
    return data_directory(directory) / "models" / find(model).file


def is_fetched(model: str | LocalModel, directory: str | Path | None = None) -> bool:
    """The whole file is there: it gets its name only after its hash was checked, so its size is enough to look at."""
    model, path = find(model), model_path(model, directory)
    return path.is_file() and path.stat().st_size == model.size


def servers_directory(directory: str | Path | None = None) -> Path:
    """Where servers leave word of themselves."""
    found = data_directory(directory) / "servers"
    found.mkdir(mode=0o700, exist_ok=True)
    return found
