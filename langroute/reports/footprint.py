"""Energy use and greenhouse gas emissions of calls, estimated by `ecologits`, as ranges."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from langroute.core.errors import MissingExtraError
from langroute.providers.registry import profile_of
from langroute.reports.model import Footprint
from langroute.reports.stats import Range

METHOD = (
    "ecologits {version}: from each model's output tokens and latency, published or estimated model sizes, and the electricity "
    "mix of the provider's data centres (usage and embodied); ranges because neither is disclosed."
)


def footprint_of(by_model: Mapping[tuple[str | None, str | None], Mapping[str, Any]]) -> Footprint:
    """Estimate the footprint of calls.

    Args:
        by_model: Sums (`output_tokens`, `latency_s`, `calls`, `cache_hits`) by provider and model.

    Raises:
        MissingExtraError: ecologits is not installed.
    """
    try:
        import ecologits
        from ecologits.tracers.utils import llm_impacts
    except ImportError as error:
        raise MissingExtraError("ecologits", "energy", "An estimate of energy and CO2") from error
    # ecologits warns for every model whose size is not published; its documentation says so already.
    logging.getLogger("ecologits").setLevel(logging.CRITICAL)
    energy, gases = [0.0, 0.0], [0.0, 0.0]
    known = tokens = 0
    left_out = []
    for (provider, model), sums in by_model.items():
        called = int(sums["calls"]) - int(sums["cache_hits"])
        written = int(sums["output_tokens"])
        if called <= 0 or written <= 0:
            continue
        tokens += written
        impacts = _impacts(llm_impacts, provider, model, round(written / called), float(sums["latency_s"]) / called)
        if impacts is None:
            left_out.append(model or "unnamed")
            continue
        known += written
        for into, impact in ((energy, impacts.energy), (gases, impacts.gwp)):
            low, high = _ends(impact.value)
            into[0] += low * called
            into[1] += high * called
    method = METHOD.format(version=getattr(ecologits, "__version__", ""))
    covered = known / tokens if tokens else 0.0
    if not known:
        return Footprint(None, None, method, covered, tuple(sorted(set(left_out))))
    return Footprint(Range(energy[0], energy[1]), Range(gases[0], gases[1]), method, covered, tuple(sorted(set(left_out))))


def _impacts(estimate: Any, provider: str | None, model: str | None, tokens: int, latency_s: float) -> Any:
    """Return the impacts of a model's average call, or `None` where `ecologits` does not know the model."""
    if provider is None or model is None:
        return None
    try:
        found = estimate(profile_of(provider).footprint_name or provider, model, max(1, tokens), latency_s)
    except Exception:  # noqa: BLE001 - a provider it does not know raises what a dictionary raises
        return None
    return None if found.energy is None or found.gwp is None else found


def _ends(value: Any) -> tuple[float, float]:
    return (float(value.min), float(value.max)) if hasattr(value, "min") else (float(value), float(value))
