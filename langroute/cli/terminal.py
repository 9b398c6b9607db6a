"""Console that prints untrusted text safely, without markup or control sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from langroute.core.plain_text import printable

PIPED_WIDTH = 200
"""Table width for output to a file or a pipe, instead of the default of 80 columns."""


class Terminal(Console):
    r"""Console that prints square brackets and colons literally, and removes control sequences from text.

    Args:
        options: As for rich's `Console`; by default it is wide where the output is not a terminal.

    Example:
        >>> Terminal(width=40).print("[/team] :key: \x1b[2J")
        [/team] :key: [2J
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if "width" not in options and not self.is_terminal:
            self.width = PIPED_WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the rendered segments with control sequences removed from text; rich's own control segments stay."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else printable(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)
