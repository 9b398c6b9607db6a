"""Directories and file paths of local models and of the state of their servers."""

from __future__ import annotations

from pathlib import Path

from langroute.core.errors import LocalModelError, MissingExtraError
from langroute.core.files import make_folder
from langroute.local.catalogue import LocalModel, find


def data_directory(directory: str | Path | None = None) -> Path:
    """Return the given directory, else langroute's own in the user's data directory; create it if it is missing.

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
        make_folder(found)
    except OSError as error:
        raise LocalModelError(f"The directory for local models cannot be made: {error}. Name another one.") from error
    return found


def model_path(model: str | LocalModel, directory: str | Path | None = None) -> Path:
    """Return the path of a model's file, whether or not it exists."""
    return data_directory(directory) / "models" / find(model).file


def is_fetched(model: str | LocalModel, directory: str | Path | None = None) -> bool:
    """Return whether the complete file exists. It is renamed only after its hash was checked, so comparing its size is enough."""
    model, path = find(model), model_path(model, directory)
    return path.is_file() and path.stat().st_size == model.size


def servers_directory(directory: str | Path | None = None) -> Path:
    """Return the directory in which servers write their state files."""
    found = data_directory(directory) / "servers"
    make_folder(found)
    return found
