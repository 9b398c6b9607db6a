"""Changes to requests of Anthropic's Messages protocol for another model than the one they were written for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from langroute.providers.profile import WireRules
from langroute.wire.answers import mapping, word
from langroute.wire.editing import (
    capped,
    combined,
    edit,
    effort_edits,
    field_of,
    items_of,
    marks,
    parts_of,
    role_at,
    said,
    taken_out,
    without_fields,
)
from langroute.wire.edits import WireEdit, WireTarget, reasoning_digest
from langroute.wire.request import WireRequest
from langroute.wire.spans import Splice

BETAS = "anthropic-beta"

LEAST_BUDGET = 1024
"""Smallest budget of thinking, in tokens."""

_SYSTEM_ROLE = re.compile(rb'"role"\s*:\s*"system"')


def edits_for(request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
    """Return what must change in a request before a target takes it."""
    found = _foreign(request, target.foreign)
    if not target.same_model:
        found += [
            *_system_entries(request, rules),
            *_thinking(request, rules, target.max_output),
            *effort_edits(request, ("output_config", "effort"), rules.effort_levels),
            *capped(request.fields.get("max_tokens"), request.max_tokens, target.max_output),
            *_betas(request, rules),
            *_sampling(request, rules),
        ]
        if request.has_marks and not rules.cache_marks:
            places = [one for name in ("system", "tools", "messages") if (one := request.fields.get(name)) is not None]
            found += edit("drop-cache-marks", [one for place in places for one in marks(request.body, place, ("cache_control",))])
    return combined(request, found)


def _system_entries(request: WireRequest, rules: WireRules) -> list[WireEdit]:
    if rules.system_entries or _SYSTEM_ROLE.search(request.raw("messages")) is None:
        return []
    splices = []
    for place in request.parts("messages"):
        if _SYSTEM_ROLE.search(request.body, place.start, place.stop) is None:
            continue
        parts, role = role_at(request.body, place)
        if role == "system" and (found := field_of(parts, "role")) is not None:
            splices.append(Splice(found.value, found.stop, b'"user"'))
    return edit("system-to-user", splices)


def _thinking(request: WireRequest, rules: WireRules, max_output: int | None) -> Iterator[WireEdit]:
    """Return the changes to how thinking is asked for."""
    place, forms = request.fields.get("thinking"), rules.thinking_forms
    if place is None:
        return
    asked = mapping(request.value("thinking"))
    form = word(asked.get("type"))
    if forms is not None and form not in forms:
        if form == "enabled" and "adaptive" in forms:
            yield from edit("thinking-to-adaptive", [Splice(place.value, place.stop, b'{"type":"adaptive"}')])
            return
        yield from edit("drop-thinking", without_fields(request.all_fields, ("thinking",)), count=1, what=form[:16])
        yield from _context_edits(request)
    elif form == "enabled":
        yield from _budget(request, asked.get("budget_tokens"), max_output)


def _budget(request: WireRequest, budget: Any, max_output: int | None) -> Iterator[WireEdit]:
    """Return the change that keeps the budget of thinking below a longest answer that was made shorter."""
    most = request.max_tokens
    if max_output is None or most is None or most <= max_output or not isinstance(budget, int) or budget < max_output:
        return
    place = request.fields["thinking"]
    inner = field_of(parts_of(request.body, place), "budget_tokens")
    if inner is not None and max_output // 2 >= LEAST_BUDGET:
        yield from edit("cap-thinking", [Splice(inner.value, inner.stop, str(max_output // 2).encode())])
    else:
        yield from edit("drop-thinking", without_fields(request.all_fields, ("thinking",)), count=1, what="enabled")
        yield from _context_edits(request)


def _context_edits(request: WireRequest) -> Iterator[WireEdit]:
    """Return the change that asks for no clearing of thinking where no thinking is asked for."""
    place = request.fields.get("context_management")
    listed = None if place is None else field_of(parts_of(request.body, place), "edits")
    if place is None or listed is None:
        return
    edits = items_of(request.body, listed)
    out = {
        at
        for at, one in enumerate(edits)
        if str(said(request.body, parts_of(request.body, one), "type")).startswith("clear_thinking")
    }
    if out and len(out) == len(edits):
        yield from edit("drop-context-edits", without_fields(request.all_fields, ("context_management",)), count=len(out))
    else:
        yield from edit("drop-context-edits", taken_out(edits, out))


def _betas(request: WireRequest, rules: WireRules) -> list[WireEdit]:
    asked = request.headers.get(BETAS)
    if not asked or rules.refused_betas is None:
        return []
    values = [one.strip() for one in asked.split(",")]
    kept = [one for one in values if re.fullmatch(rules.refused_betas, one) is None]
    if len(kept) == len(values):
        return []
    gone = " ".join(one for one in values if one not in kept)
    return [WireEdit("drop-betas", len(values) - len(kept), gone[:200], (), ((BETAS, ",".join(kept)),))]


def _sampling(request: WireRequest, rules: WireRules) -> list[WireEdit]:
    names: tuple[str, ...] = ()
    if not rules.sampling:
        names = ("temperature", "top_p", "top_k")
    elif not rules.temperature_with_top_p and "temperature" in request.fields and "top_p" in request.fields:
        names = ("top_p",)
    splices = without_fields(request.all_fields, names)
    return edit("drop-sampling", splices, what=" ".join(one for one in names if one in request.fields))


def _foreign(request: WireRequest, foreign: frozenset[str]) -> list[WireEdit]:
    """Return the change that leaves out thinking that other models signed; an answer of nothing else goes as a whole."""
    if not foreign or b'thinking"' not in request.raw("messages"):
        return []
    body, count = request.body, 0
    entries = request.parts("messages")
    splices: list[Splice] = []
    empty: set[int] = set()
    for at, place in enumerate(entries):
        if body.find(b'thinking"', place.start, place.stop) < 0:
            continue
        parts, role = role_at(body, place)
        content = field_of(parts, "content")
        if role != "assistant" or content is None:
            continue
        blocks = items_of(body, content)
        out = {number for number, one in enumerate(blocks) if _is_foreign(parts_of(body, one), body, foreign)}
        count += len(out)
        if out and len(out) == len(blocks):
            empty.add(at)
        else:
            splices += taken_out(blocks, out)
    return edit("drop-foreign-reasoning", [*splices, *(taken_out(entries, empty) if empty else ())], count=count)


def _is_foreign(parts: Any, body: bytes, foreign: frozenset[str]) -> bool:
    kind = said(body, parts, "type")
    signed = said(body, parts, "signature" if kind == "thinking" else "data") if kind in ("thinking", "redacted_thinking") else None
    return isinstance(signed, str) and reasoning_digest(signed) in foreign


__all__ = ["edits_for"]
