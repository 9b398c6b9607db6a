"""How do names and answers, which anybody may have written, get to a terminal as nothing but text?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, with which a text gives a terminal orders, and those that turn the reading direction around."""


def printable(text: str) -> str:
    r"""A text without what a terminal would obey rather than show.

    Example:
        >>> printable("\x1b[2Jsearch\r\n"), printable("[bold]search")
        ('[2Jsearch\n', '[bold]search')
    """
    return _ORDERS.sub("", text)


PIPED_WIDTH = 200
"""Into a file or a program, a table is not cut to the 80 columns of a terminal that is not there."""


class Terminal(Console):
    r"""A console that takes square brackets and colons in a text for what they are, and shows no text that gives orders.

    Args:
        options: As for rich's `Console`; where it is no terminal and no width is given, it is a wide one.

    Example:
        >>> Terminal(width=40).print("[/team] :key: \x1b[2J")
        [/team] :key: [2J
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if "width" not in options and not self.is_terminal:
            self.width = PIPED_WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of what is shown; rich's own orders are segments of their own and stay."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else printable(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)
