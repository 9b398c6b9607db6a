"""Which model is served under a route's name by now? Answers of the one before are given no more.

A provider moves a name to another version without a word; what it answers says which one it was. A process learns it from its own calls
and from the answers of others that it reads.
"""

from __future__ import annotations

from langroute.cache.entries import Entry


class Served:
    """What is known of the models that are served.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> served = Served()
        >>> served.note("r1", "m-2026-02", 200.0)
        >>> served.still(Entry(AIMessage("Hi."), "n", "k", "cheap", made_by="r1", model="m-2026-01", created=100.0))
        False
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}
        """Digest of a route's model and settings → the model as served, and when that was seen."""

    def note(self, made_by: str, model: str, now: float) -> None:
        """A model answered."""
        self._known[made_by] = (model, now)

    def still(self, entry: Entry) -> bool:
        """The model that gave a stored answer is the one that is served, as far as is known."""
        if entry.model is None:
            return True
        known = self._known.get(entry.made_by)
        if known is None or known[1] < entry.created:
            # The first that is seen, or a newer one that another process has seen.
            self._known[entry.made_by] = (entry.model, entry.created)
            return True
        return known[0] == entry.model
