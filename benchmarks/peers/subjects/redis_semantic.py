"""The rule of langchain-redis: served where the cosine distance is at most a threshold. Its index needs a Redis with vector search."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from vectors import Known, kinds


def served(pairs: list[tuple[str, str]], folder: Any) -> list[dict[str, Any]]:
    from langchain_redis import RedisSemanticCache

    distance = inspect.signature(RedisSemanticCache).parameters["distance_threshold"].default
    found = []
    for kind in kinds(folder):
        known = Known(folder, kind)
        scores = [cosine(known(a), known(b)) for a, b in pairs]
        hits = [1 - score <= distance for score in scores]
        found.append({"label": kind, "served": hits, "scores": scores, "said": f"distance {distance:g}"})
    return found


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / max(1e-12, float(np.linalg.norm(a) * np.linalg.norm(b))))
