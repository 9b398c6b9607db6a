"""Record of the model versions that are served, so that answers of an earlier version are not given any more.

A provider may move a model name to another version without notice; its answers name the version. A process learns it from its own
calls and from stored answers of other processes.
"""

from __future__ import annotations

from langroute.cache.entries import CacheEntry


class ServedModels:
    """The model versions that were last seen, by route model and settings.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> served = ServedModels()
        >>> served.note("r1", "m-2026-02", 200.0)
        >>> served.is_current(CacheEntry(AIMessage("Hi."), "n", "k", "cheap", model_digest="r1", model="m-2026-01", created=100.0))
        False
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}
        """Digest of a route's model and settings → the model as served, and when that was seen."""

    def note(self, model_digest: str, model: str, now: float) -> None:
        """Record the model version that answered."""
        self._known[model_digest] = (model, now)

    def is_current(self, entry: CacheEntry) -> bool:
        """Return whether a stored answer is from the model version that is served now, as far as is known."""
        if entry.model is None:
            return True
        known = self._known.get(entry.model_digest)
        if known is None or known[1] < entry.created:
            # The first version that is seen, or a newer one that another process has seen.
            self._known[entry.model_digest] = (entry.model, entry.created)
            return True
        return known[0] == entry.model
