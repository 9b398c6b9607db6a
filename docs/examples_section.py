"""How does the documentation show the examples of docstrings? As code: `Example:` is read as the section `Examples:`."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Reads a singular `Example:` as the section that Griffe knows by its plural."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Rewrite a docstring before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
