"""Changes to requests of Google's Gemini protocol for another model than the one they were written for."""

from __future__ import annotations

from langroute.providers.profile import WireRules
from langroute.wire.editing import capped, edit, field_of, items_of, parts_of, role_at, said, taken_out, without_fields
from langroute.wire.edits import WireEdit, WireTarget, reasoning_digest
from langroute.wire.request import WireRequest
from langroute.wire.spans import Member, Splice

_SIGNATURE = "thoughtSignature"

_GENERATION = ("generationConfig", "generation_config")


def edits_for(request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
    """Return what must change in a request before a target takes it."""
    found = _foreign(request, target.foreign, rules.unsigned_calls)
    if not target.same_model:
        settings = _settings(request)
        found += [
            *capped(field_of(settings, "maxOutputTokens"), request.max_tokens, target.max_output),
            *_thinking(request, settings, rules),
        ]
    return tuple(found)


def _settings(request: WireRequest) -> list[Member]:
    """Return the settings of the generation."""
    place = next((request.fields[name] for name in _GENERATION if name in request.fields), None)
    return [] if place is None else parts_of(request.body, place)


def _thinking(request: WireRequest, settings: list[Member], rules: WireRules) -> list[WireEdit]:
    """Return the change to how thinking is asked for: by a budget or by a level, or not at all."""
    place = field_of(settings, "thinkingConfig")
    if place is None or rules.thinking_forms is None:
        return []
    parts = parts_of(request.body, place)
    if not rules.thinking_forms:
        return edit("drop-thinking", without_fields(settings, ("thinkingConfig",)), count=1)
    out = {one.name for one in parts if one.name in ("thinkingBudget", "thinkingLevel") and one.name not in rules.thinking_forms}
    return edit("drop-thinking", without_fields(parts, out), count=len(out), what=" ".join(sorted(out))) if out else []


def _foreign(request: WireRequest, foreign: frozenset[str], unsigned: str | None) -> list[WireEdit]:
    """Return the change that takes out the signatures of other models' thoughts, or puts in their place what Google says to put there."""
    if not foreign or _SIGNATURE.encode() not in request.raw("contents"):
        return []
    body, splices, count = request.body, [], 0
    for entry in request.parts("contents"):
        if body.find(_SIGNATURE.encode(), entry.start, entry.stop) < 0:
            continue
        parts, role = role_at(body, entry)
        content = field_of(parts, "parts")
        if role != "model" or content is None:
            continue
        for one in items_of(body, content):
            members = parts_of(body, one)
            signed, place = said(body, members, _SIGNATURE), field_of(members, _SIGNATURE)
            if place is None or not isinstance(signed, str) or reasoning_digest(signed) not in foreign:
                continue
            count += 1
            if unsigned is not None:
                splices.append(Splice(place.value, place.stop, b'"%s"' % unsigned.encode()))
            elif len(members) > 1:
                splices += taken_out(members, {members.index(place)})
    return edit("drop-foreign-reasoning", splices, count=count)


__all__ = ["edits_for"]
