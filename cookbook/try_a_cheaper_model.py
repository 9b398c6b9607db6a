"""Try a cheaper model on my traffic: fit, replay on what was held back, and only then switch.

Record what the model in use and the cheaper one answered to the same requests, and score both. `fit` learns where the cheaper one is
good enough; `replay` estimates savings and losses on held-out requests. The policy that was replayed is the one that the
router then runs.

Output:
    fitted on 800 requests
    target 1.00: quality ... of the large model's, cost ...
    target 0.95: quality ... of the large model's, cost ...
    "Where is parcel 17?" -> small
    "Customer 3 disputes a refund; weigh the policy and decide." -> large
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from langroute import ChatRouter, Route
from langroute.core.errors import MissingExtraError
from langroute.core.records import Price
from langroute.estimators.store import save_policy
from langroute.learning.card import card_of
from langroute.learning.fit import fit_files
from langroute.learning.replay import replay
from langroute.policies.learned import load_policy
from langroute.testing import ScriptedModel

PRICES = {"small": Price(0.15, 0.6), "large": Price(3.0, 15.0)}


def traffic(path: Path, seed: int, count: int) -> Path:
    """Return synthetic requests, answered by both models and scored."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            easy = chance.random() < 0.5
            text = f"Where is parcel {number}?" if easy else f"Customer {number} disputes a refund; weigh the policy and decide."
            right = {"small": chance.random() < (0.97 if easy else 0.4), "large": chance.random() < (0.97 if easy else 0.9)}
            outcomes = {name: {"score": float(right[name]), "input_tokens": 100, "output_tokens": 120} for name in PRICES}
            row: dict[str, Any] = {"id": str(number), "messages": [{"role": "user", "content": text}], "outcomes": outcomes}
            file.write(json.dumps(row) + "\n")
    return path


def main() -> None:
    """Fit on one part, replay another, and run the policy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            policy = fit_files([traffic(folder / "train.jsonl", 1, 800)], prices=PRICES, targets=[1.0, 0.95])
        except MissingExtraError as error:
            print(error)
            sys.exit(77)
        save_policy(policy, folder / "policy", card_of(policy))
        print(f"fitted on {policy.groups[0].facts['requests']} requests")
        seen = replay([traffic(folder / "held_back.jsonl", 2, 400)], folder / "policy", prices=PRICES)
        for one in seen["targets"]:
            relative = one["quality"] / seen["frontier"]["quality"]
            print(f"target {one['target']:.2f}: quality {relative:.1%} of the large model's, cost {one['cost_ratio']:.1%}")
        # With real models:
        #   models = {"small": "openai:gpt-5-mini", "large": "anthropic:claude-opus-4-6"}
        models = {name: Route(ScriptedModel("Done."), price=price) for name, price in PRICES.items()}
        router = ChatRouter(models, policy=load_policy(folder / "policy", target=0.95))
        for text in ("Where is parcel 17?", "Customer 3 disputes a refund; weigh the policy and decide."):
            print(f'"{text}" -> {router.invoke(text).response_metadata["langroute"]["route"]}')


if __name__ == "__main__":
    main()
