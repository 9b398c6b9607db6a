"""Plot of a replay's cost and quality as an HTML file, with Plotly."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from langroute.core.errors import DataError, MissingExtraError
from langroute.core.plain_text import one_line
from langroute.core.writing import check_replaceable, check_writable, write_together


def check_plot(path: str | Path) -> None:
    """Check that a plot can be written; call it before a long replay.

    Raises:
        DataError: The file's name does not end in `.html` or `.htm`, or the file cannot be written.
        MissingExtraError: Plotly is not installed.
    """
    file = Path(path)
    if file.suffix.lower() not in ("", ".html", ".htm"):
        raise DataError(f"{file}: the frontier is drawn as HTML; give a name that ends in .html.")
    if not file.parent.is_dir():
        raise DataError(f"{file}: there is no folder {file.parent}.")
    check_writable(file.parent)
    check_replaceable(file)
    _plotly()


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise MissingExtraError("plotly", "report", "Drawing a frontier") from error
    return go


def draw(result: dict[str, Any], path: str | Path) -> None:
    """Draw a replay's frontier of cost and quality, with its baselines, as a self-contained HTML file.

    Args:
        result: The result of `replay`.
        path: The file to write.

    Raises:
        DataError: The file cannot be written.
        MissingExtraError: Plotly is not installed.
    """
    go = _plotly()
    figure = go.Figure()
    curve = sorted(result["curve"], key=lambda point: point["cost_usd"])
    figure.add_scatter(
        x=[point["cost_usd"] for point in curve],
        y=[point["quality"] for point in curve],
        mode="lines",
        name="one call, any tolerance",
    )
    targets = result["targets"]
    figure.add_scatter(
        x=[one["cost_usd"] for one in targets],
        y=[one["quality"] for one in targets],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [one["quality_high"] - one["quality"] for one in targets],
            "arrayminus": [one["quality"] - one["quality_low"] for one in targets],
        },
        mode="markers+text",
        text=["" if one["target"] is None else f"{one['target']:g}" for one in targets],
        textposition="top center",
        name="operating points",
    )
    baselines = result["baselines"]
    figure.add_scatter(
        x=[one["cost_usd"] for one in baselines.values()],
        y=[one["quality"] for one in baselines.values()],
        mode="markers+text",
        text=[escape(one_line(name)) for name in baselines],
        textposition="bottom center",
        name="baselines",
    )
    figure.update_layout(
        title=f"{result['requests']} requests",
        xaxis={"title": "USD", "type": "log"},
        yaxis={"title": "quality", "tickformat": ".0%"},
    )
    write_together({Path(path): figure.to_html(include_plotlyjs=True).encode()})
