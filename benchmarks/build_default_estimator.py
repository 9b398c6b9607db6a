"""Build script of the default estimator: fits it and evaluates it on held-out sources.

Run: python benchmarks/build_default_estimator.py [FOLDER_OF_OUTCOMES] [OUTPUT]
"""

import sys
from pathlib import Path

from langroute.estimators.store import save_policy
from langroute.learning.default import build_default, default_card
from langroute.learning.prices import read_prices

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "outcomes"
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "langroute" / "data" / "estimator"
    policy = build_default(sorted(folder.glob("*.jsonl.gz")), read_prices(folder / "prices.toml"))
    card = default_card(policy)
    save_policy(policy, output, card)
    print(card)
    for path in sorted(output.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
