"""Chargeback export: spend as FOCUS rows, one for each day, team, project and model.

FOCUS is the FinOps Foundation's specification for billing data (https://focus.finops.org), version 1.2 here: all of its mandatory
columns, those that chargeback needs beside them, and our own under `x_`. Spend without a team goes to `unallocated`.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select

from langroute.core.storable import strict_json
from langroute.ledger.facts import PAID
from langroute.ledger.schema import labels, places
from langroute.reports.formats import write_csv
from langroute.reports.source import number, open_source
from langroute.reports.window import Window

UNALLOCATED = "unallocated"
"""Bucket for spend without a team."""

COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_Calls",
    "x_UnknownPriceCalls",
    "x_InputTokens",
    "x_OutputTokens",
)
"""FOCUS columns in their order, then our own."""


def to_focus(ledger: Any, window: Window, *, account: str = "langroute", raw: bool = False) -> str:
    """Return the spend of a time window as FOCUS rows, in CSV.

    Costs of calls whose price is unknown are left out of `BilledCost` and counted in `x_UnknownPriceCalls`; where a row has
    nothing else, `BilledCost` is empty rather than 0.

    Args:
        ledger: A `SqlLedger`.
        window: The time window.
        account: Value of the billing account column.
        raw: Read raw rows rather than daily sums.
    """
    with open_source(ledger, window, raw=raw) as source:
        c = source.calls.c
        query = (
            select(
                c.day,
                labels.c.team,
                labels.c.project,
                labels.c.environment,
                labels.c.task_kind,
                places.c.provider,
                places.c.model,
                places.c.route,
                func.sum(c.calls).label("calls"),
                func.sum(c.cost_usd + c.verify_usd).label("usd"),
                func.sum(c.unknown_costs).label("unknown"),
                func.sum(c.input_tokens).label("input"),
                func.sum(c.output_tokens).label("output"),
            )
            .join_from(source.calls, labels, labels.c.id == c.label, isouter=True)
            .join(places, places.c.id == c.place, isouter=True)
            .where(source.within(source.calls), c.what.in_(PAID))
            .group_by(
                c.day,
                labels.c.team,
                labels.c.project,
                labels.c.environment,
                labels.c.task_kind,
                places.c.provider,
                places.c.model,
                places.c.route,
            )
            .order_by(c.day, labels.c.team, labels.c.project, places.c.model)
            # The rest of the keys, so that every engine gives the same order.
            .order_by(labels.c.environment, labels.c.task_kind, places.c.provider, places.c.route)
        )
        rows = [[_row(found, account)[name] for name in COLUMNS] for found in source.connection.execute(query)]
    return write_csv(COLUMNS, rows)


def _row(found: Any, account: str) -> dict[str, Any]:
    day = date(1970, 1, 1) + timedelta(days=found.day)
    first = day.replace(day=1)
    after = first + timedelta(days=monthrange(first.year, first.month)[1])
    usd = None if found.unknown and found.unknown >= found.calls and not found.usd else float(number(found.usd))
    tokens = int(found.input + found.output)
    provider = found.provider or "unknown"
    model = found.model or found.route or "unknown"
    tags = {
        "project": found.project,
        "environment": found.environment,
        "task_kind": found.task_kind,
        "route": found.route,
    }
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(
        BilledCost=usd,
        BillingAccountId=account,
        BillingAccountName=account,
        BillingAccountType="Organization",
        BillingCurrency="USD",
        BillingPeriodEnd=_moment(after),
        BillingPeriodStart=_moment(first),
        ChargeCategory="Usage",
        ChargeDescription=f"{int(found.calls)} calls of {model}",
        ChargeFrequency="Usage-Based",
        ChargePeriodEnd=_moment(day + timedelta(days=1)),
        ChargePeriodStart=_moment(day),
        ConsumedQuantity=tokens,
        ConsumedUnit="Tokens",
        ContractedCost=usd,
        EffectiveCost=usd,
        InvoiceIssuerName=provider,
        ListCost=usd,
        PricingQuantity=tokens,
        PricingUnit="Tokens",
        ProviderName=provider,
        PublisherName=provider,
        ResourceId=model,
        ResourceName=model,
        ResourceType="Model",
        ServiceCategory="AI and Machine Learning",
        ServiceName="Model inference",
        ServiceSubcategory="Generative AI",
        SkuId=model,
        SubAccountId=found.team or UNALLOCATED,
        SubAccountName=found.team or UNALLOCATED,
        SubAccountType="Team",
        Tags=strict_json({key: value for key, value in tags.items() if value}, sort_keys=True, ensure_ascii=False),
        x_Calls=int(found.calls),
        x_UnknownPriceCalls=int(found.unknown),
        x_InputTokens=int(found.input),
        x_OutputTokens=int(found.output),
    )
    return row


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
