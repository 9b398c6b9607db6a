"""Find where the money goes, and which part of it a cheaper route would have earned as well.

Take the requests of a week with what the route in use answered, and have a cheaper one answer a sample of them too. `langroute analyze`
groups them and puts high volume and low difficulty first. A group gets a candidate only where the interval rules out that quality drops
by more than three points; where the evidence is thin, it gets none. Your own week: `langroute export -o week.jsonl`, then
`langroute analyze week.jsonl --by task`.

Output:
    3000 requests, 9.90 USD
    task              spend  candidate  still right  saves, USD (95 %)
    track a parcel      27%  small              98%  2.59 (2.59 to 2.59)
    refund dispute      73%  -                       -
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from langroute.learning.analyze import analyze
from langroute.learning.prices import read_prices

PRICES = '[prices]\n"small" = { input = 0.15, output = 0.6 }\n"large" = { input = 3.0, output = 15.0 }\n'


def week(path: Path) -> Path:
    """Return a synthetic week: parcels are easy, disputes are not."""
    chance = random.Random(4)
    with path.open("w", encoding="utf-8") as file:
        for number in range(3000):
            easy = number % 2 == 0
            text = f"Where is parcel {number}?" if easy else f"Customer {number} disputes a refund; weigh the policy and decide."
            right = {"small": chance.random() < (0.98 if easy else 0.5), "large": chance.random() < (0.98 if easy else 0.9)}
            tokens = 100 if easy else 300
            row = {
                "id": str(number),
                "task": "track a parcel" if easy else "refund dispute",
                "messages": [{"role": "user", "content": text}],
                "step": {"served": "large"},
                "outcomes": {
                    route: {"score": float(right[route]), "input_tokens": 100, "output_tokens": tokens}
                    for route in ("small", "large")
                },
            }
            file.write(json.dumps(row) + "\n")
    return path


def main() -> None:
    """Make a week of traffic and analyze where its money went."""
    with tempfile.TemporaryDirectory() as folder:
        prices = Path(folder) / "prices.toml"
        prices.write_text(PRICES, encoding="utf-8")
        found = analyze([week(Path(folder) / "week.jsonl")], prices=read_prices(prices), by=["task"])
    print(f"{found['requests']} requests, {found['cost_usd']:.2f} USD")
    print(f"{'task':17} {'spend':>5}  {'candidate':9}  {'still right':>11}  saves, USD (95 %)")
    for one in found["groups"]:
        if one["candidate"]:
            saves = f"{one['saving_usd']:.2f} ({one['saving_low_usd']:.2f} to {one['saving_high_usd']:.2f})"
            print(f"{one['name']:17} {one['cost_share']:>5.0%}  {one['candidate']:9}  {one['kept']:>11.0%}  {saves}")
        else:
            print(f"{one['name']:17} {one['cost_share']:>5.0%}  {'-':9}  {'':11}  -")


if __name__ == "__main__":
    main()
