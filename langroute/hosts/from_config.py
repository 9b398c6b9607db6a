"""`FromConfig`: a chat router from a `langroute.toml`."""

from __future__ import annotations

from typing import Any

from typing_extensions import Self


class FromConfig:
    """Adds `from_config` to a chat router."""

    @classmethod
    def from_config(cls, path: Any, **arguments: Any) -> Self:
        r"""Return the chat router that a `langroute.toml` describes, with its response cache; see `docs/gateway.md`.

        Args:
            path: The file.
            arguments: Arguments of `ChatRouter` in the place of what the file says.

        Raises:
            ConfigurationError: The file is not right, or its cache cannot be opened; the error names the line.
            MissingExtraError: A provider's package is not installed.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from langroute.hosts.chat_model import ChatRouter
            >>> from langroute.testing import ScriptedModel
            >>> with TemporaryDirectory() as folder:
            ...     file = Path(folder, "langroute.toml")
            ...     _ = file.write_text('cache = true\n[routes.small]\nprovider = "openai"\nmodel = "gpt-5-mini"')
            ...     model = ChatRouter.from_config(file, routes={"small": ScriptedModel("Paris.")})
            >>> [model.invoke("Capital of France?").response_metadata["langroute"]["cache"] for _ in range(2)]
            ['miss', 'hit']
        """
        from langroute.engine.configured import arguments_of_file, cache_of_config

        config, given = arguments_of_file(path, arguments.pop("routes", None))
        if "response_cache" not in arguments and "cache" not in arguments:
            given["response_cache"] = cache_of_config(config)
        return cls(**{**given, **arguments})


__all__ = ["FromConfig"]
