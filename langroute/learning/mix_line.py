"""The line of random mixes: what drawing routes by lot reaches at each cost, which a router has to beat.

Whoever sends a share of the requests to one route and the rest to another, by lot, gets every cost and quality between the two without
looking at a request. A router is worth its trouble only above the line of the best such mixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from langroute.core.fast_dataclass import fast_dataclass
from langroute.learning.frontier import hull


class Corner(NamedTuple):
    """A route alone that no mix of others beats."""

    cost_usd: float
    quality: float
    route: str


@fast_dataclass
class RandomMix:
    """Two routes (or one), and the share of the requests that each is drawn for."""

    shares: Mapping[str, float]
    cost_usd: float
    quality: float


@fast_dataclass
class MixLine:
    """The best random mixes of routes, from the cheapest to the best route; costs are in the unit of the corners."""

    corners: tuple[Corner, ...]
    """Routes on the line, the cheapest first, each dearer and better than the one before."""

    def at_cost(self, cost_usd: float) -> RandomMix | None:
        """Return the best mix that costs this much, or less where the best route does; `None` where every route costs more.

        Example:
            >>> mix_line({"small": (1.0, 0.5), "large": (3.0, 0.9)}).at_cost(2.0)
            RandomMix(shares={'small': 0.5, 'large': 0.5}, cost_usd=2.0, quality=0.7)
        """
        if not self.corners or cost_usd < self.corners[0].cost_usd * (1 - 1e-9):
            return None
        for left, right in zip(self.corners, self.corners[1:], strict=False):
            if cost_usd < right.cost_usd:
                return _between(left, right, (cost_usd - left.cost_usd) / (right.cost_usd - left.cost_usd))
        return _alone(self.corners[-1])

    def reaching(self, quality: float) -> RandomMix | None:
        """Return the cheapest mix of at least this mean score; `None` where no route has it.

        Example:
            >>> mix_line({"small": (1.0, 0.5), "large": (3.0, 0.9)}).reaching(0.6).cost_usd
            1.5
        """
        if not self.corners or quality > self.corners[-1].quality + 1e-12:
            return None
        if quality <= self.corners[0].quality:
            return _alone(self.corners[0])
        for left, right in zip(self.corners, self.corners[1:], strict=False):
            if quality < right.quality:
                return _between(left, right, (quality - left.quality) / (right.quality - left.quality))
        return _alone(self.corners[-1])


def _alone(corner: Corner) -> RandomMix:
    return RandomMix({corner.route: 1.0}, corner.cost_usd, corner.quality)


def _between(left: Corner, right: Corner, share: float) -> RandomMix:
    """Return the mix in which the right corner has this share."""
    share = min(max(share, 0.0), 1.0)
    if share in (0.0, 1.0):
        return _alone(right if share else left)
    cost_usd, quality = (a + share * (b - a) for a, b in zip(left[:2], right[:2], strict=True))
    return RandomMix({left.route: 1 - share, right.route: share}, cost_usd, quality)


def mix_line(singles: Mapping[str, tuple[float, float]]) -> MixLine:
    """Return the line of random mixes of some routes.

    Args:
        singles: Route → its cost and mean score when it answers everything.

    Example:
        >>> [corner.route for corner in mix_line({"a": (1.0, 0.5), "dominated": (2.0, 0.4), "b": (3.0, 0.9)}).corners]
        ['a', 'b']
    """
    names: dict[tuple[float, float], str] = {}
    for name, point in sorted(singles.items()):
        names.setdefault(point, name)
    return MixLine(tuple(Corner(*point, names[point]) for point in hull(list(names))))
