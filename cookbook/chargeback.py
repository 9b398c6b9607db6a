"""Charge each team what it spent, in the columns that finance's tools read.

Every call is tagged with the team and project that it was made for. The export has the columns of FOCUS, the FinOps Foundation's format for
billing data: one row for each day, team, project and model. Untagged spend goes to `unallocated`, so that the rows add up to
the whole spend. `langroute report --format focus -o chargeback.csv` writes the same file.

Output:
    billed        team            project    model       calls
    0.02085 USD   search          ranking    large-1     5
    0.00834 USD   payments        fraud      large-1     2
    0.00417 USD   unallocated                large-1     1
    The rows add up to the report's spend: True
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

from langroute import ChatRouter, Route
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports import Window, build_report
from langroute.reports.chargeback import to_focus
from langroute.testing import ScriptedModel


def main() -> None:
    """Record spend for two teams and without a team, then export."""
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.db") as ledger:
        price = {"input": 5, "output": 25}
        # With a real model:
        #   model = ChatRouter({"large": "anthropic:claude-opus-4-6"}, ledger=ledger)
        model = ChatRouter({"large": Route(ScriptedModel("An answer. " * 60, model="large-1"), price=price)}, ledger=ledger)
        for team, project, calls in (("search", "ranking", 5), ("payments", "fraud", 2)):
            with task(team=team, project=project):
                for _ in range(calls):
                    model.invoke("Why is the sky blue?")
        model.invoke("Who am I working for?")

        rows = list(csv.DictReader(io.StringIO(to_focus(ledger, Window.since("7d")))))
        print(f"{'billed':14}{'team':16}{'project':11}{'model':12}calls")
        for row in sorted(rows, key=lambda row: -float(row["BilledCost"])):
            project = json.loads(row["Tags"]).get("project", "")
            billed = f"{float(row['BilledCost']):.5f} USD"
            print(f"{billed:14}{row['SubAccountName']:16}{project:11}{row['ResourceName']:12}{row['x_Calls']}")
        total = build_report(ledger, Window.since("7d")).total.spend.usd or 0.0
        billed_usd = sum(float(row["BilledCost"]) for row in rows)
        print(f"The rows add up to the report's spend: {abs(billed_usd - total) < 1e-9}")


if __name__ == "__main__":
    main()
