"""Changes to requests of Google's Gemini protocol for another model than the one they were written for."""

from __future__ import annotations

from langroute.providers.profile import WireRules
from langroute.wire.editing import edit, field_of, items_of, parts_of, role_at, said, taken_out, without_fields
from langroute.wire.edits import WireEdit, WireTarget, reasoning_digest
from langroute.wire.request import WireRequest
from langroute.wire.spans import Member, Splice

_SIGNATURE = "thoughtSignature"

_GENERATION = ("generationConfig", "generation_config")


def edits_for(request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
    """Return what must change in a request before a target takes it."""
    found = _foreign(request, target.foreign, rules.unsigned_calls)
    if not target.same_model:
        found += [*_longest(request, target.max_output), *_thinking(request, rules)]
    return tuple(found)


def _inner(request: WireRequest) -> tuple[Member, list[Member]] | None:
    """Return the place of the generation's settings and of what they hold."""
    place = next((request.fields[name] for name in _GENERATION if name in request.fields), None)
    return None if place is None else (place, parts_of(request.body, place))


def _longest(request: WireRequest, most: int | None) -> list[WireEdit]:
    asked, inner = request.max_tokens, _inner(request)
    if inner is None or asked is None or most is None or asked <= most:
        return []
    place = field_of(inner[1], "maxOutputTokens")
    return [] if place is None else edit("cap-max-tokens", [Splice(place.value, place.stop, str(most).encode())], what=str(most))


def _thinking(request: WireRequest, rules: WireRules) -> list[WireEdit]:
    """Return the change to how thinking is asked for: by a budget or by a level, or not at all."""
    inner = _inner(request)
    place = None if inner is None else field_of(inner[1], "thinkingConfig")
    if inner is None or place is None or rules.thinking_forms is None:
        return []
    parts = parts_of(request.body, place)
    if not rules.thinking_forms:
        return edit("drop-thinking", without_fields(inner[1], ("thinkingConfig",)), count=1)
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
