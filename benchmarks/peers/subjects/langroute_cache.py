"""langroute's response cache with a semantic cache and its guard, asked through a router."""

from __future__ import annotations

from typing import Any

from vectors import Known, kinds

from subjects.langroute_default import PRICE


def served(pairs: list[tuple[str, str]], folder: Any) -> list[dict[str, Any]]:
    from langroute import ChatRouter
    from langroute.cache import ResponseCache
    from langroute.cache.semantic import SemanticCache
    from langroute.testing import ScriptedModel

    def hits(known: Known) -> list[bool]:
        found = []
        for a, b in pairs:
            cache = ResponseCache(semantic=SemanticCache(known, explore=0))
            routed = ChatRouter({"small": ScriptedModel("The answer.", "Another.")}, response_cache=cache, prices=PRICE)
            routed.invoke(a)
            found.append(routed.invoke(b).response_metadata["langroute"]["cache"].endswith("hit"))
        return found

    return [{"label": kind, "served": hits(Known(folder, kind))} for kind in kinds(folder)]
