"""Synthetic traffic with known ground truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

PRICES = '[prices]\n"small" = { input = 0.1, output = 0.4 }\n"other" = { input = 0.15, output = 0.5 }\n"large" = { input = 5.0, output = 15.0 }\n'


def made_traffic(count: int, seed: int = 0, routes: tuple[str, ...] = ("small", "other", "large")) -> list[dict[str, Any]]:
    """Sums and proofs: the cheap routes can add, and are lost with proofs of many lemmas; their wrong answers differ."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        hard = random.random() < 0.4
        values = random.integers(2, 999, 4)
        lemmas = int(random.integers(8)) if hard else 0
        if hard:
            text = f"Prove that the series number {values[0]} converges, and bound its remainder by {values[1]}."
            text += "".join(f" Use lemma {random.integers(99)}." for _ in range(lemmas))
        else:
            text = f"Add {values[0]} and {values[1]}, then tell me the sum."
        chances = {
            "small": 0.7 - 0.09 * lemmas if hard else 0.97,
            "other": 0.65 - 0.08 * lemmas if hard else 0.96,
            "large": 0.95 - 0.02 * lemmas if hard else 0.97,
        }
        outcomes = {}
        for route in routes:
            right = bool(random.random() < chances[route])
            outcomes[route] = {
                "score": float(right),
                "answer": "right" if right else f"wrong {random.integers(50)}",
                "input_tokens": 20,
                "output_tokens": int(random.integers(20, 60) * (3 if hard else 1)),
            }
        rows.append(
            {
                "id": f"{seed}/{number}",
                "source": "made",
                "task": "proofs" if hard else "sums",
                "messages": [{"role": "user", "content": text}],
                "outcomes": outcomes,
            }
        )
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
