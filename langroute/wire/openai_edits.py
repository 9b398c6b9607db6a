"""Changes to requests of OpenAI's protocols for another model, or another provider, than the one they were written for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langroute.providers.profile import WireRules
from langroute.providers.wire import ARGUMENTS
from langroute.wire.editing import (
    capped,
    combined,
    dropped_fields,
    edit,
    effort_edits,
    field_of,
    marks,
    role_at,
    said,
    taken_out,
    without_fields,
)
from langroute.wire.edits import WireEdit, WireTarget, reasoning_digest
from langroute.wire.request import WireRequest
from langroute.wire.spans import Splice

SAMPLERS = ("temperature", "top_p", "top_k")
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

_DEVELOPER_ROLE = re.compile(rb'"role"\s*:\s*"developer"')

EDITED_APART = frozenset({"reasoning_effort", "reasoning", "stream_options", "tools", *SAMPLERS, *LENGTHS})
"""Fields that have edits of their own, or that every server of the protocol takes."""


def edits_for(
    request: WireRequest, target: WireTarget, rules: WireRules, *, history: str, effort: tuple[str, ...]
) -> tuple[WireEdit, ...]:
    """Return what must change in a request before a target takes it.

    Args:
        request: The request.
        target: Where it is sent.
        rules: What the target takes.
        history: Name of the field with the history.
        effort: Names under which the reasoning effort stands.
    """
    found = _foreign(request, target.foreign) if history == "input" else []
    if not target.same_model:
        found += [
            *_developers(request, rules, history),
            *(_reasoning(request) if rules.effort_levels == () and history == "input" else ()),
            *effort_edits(request, effort, rules.effort_levels),
            *_length(request, rules, target.max_output),
            *_sampling(request, rules),
            *_stops(request, rules),
            *dropped_fields(request, lambda name: _is_others(name, rules)),
            *_cache_marks(request, rules, history),
        ]
    return combined(request, found)


def _reasoning(request: WireRequest) -> list[WireEdit]:
    """Return the change for a model that does not reason: it takes no field that is about reasoning."""
    names = {"reasoning"} & request.fields.keys()
    if request.value("include") == ["reasoning.encrypted_content"]:
        names |= {"include"}
    return edit("drop-effort", without_fields(request.all_fields, names), what=" ".join(sorted(names)))


def _is_others(name: str, rules: WireRules) -> bool:
    """Return whether a field is known to other formats of the family and not to this one."""
    return name in ARGUMENTS and name not in rules.arguments and name not in EDITED_APART


def _developers(request: WireRequest, rules: WireRules, history: str) -> list[WireEdit]:
    if rules.developer_role or _DEVELOPER_ROLE.search(request.raw(history)) is None:
        return []
    splices = []
    for place in request.parts(history):
        if _DEVELOPER_ROLE.search(request.body, place.start, place.stop) is None:
            continue
        parts, role = role_at(request.body, place)
        if role == "developer" and (found := field_of(parts, "role")) is not None:
            splices.append(Splice(found.value, found.stop, b'"system"'))
    return edit("developer-to-system", splices)


def _length(request: WireRequest, rules: WireRules, most: int | None) -> list[WireEdit]:
    """Return the changes to the field that limits the answer: its name, and what it allows."""
    found: list[WireEdit] = []
    places = [one for one in request.all_fields if one.name in LENGTHS]
    if rules.length_field is not None and places and rules.length_field not in request.fields:
        renamed = places[-1]
        name = b'"%s"' % rules.length_field.encode()
        end = request.body.index(b":", renamed.start + len(renamed.name) + 2)
        found += edit("rename-max-tokens", [Splice(renamed.start, end, name)], what=rules.length_field)
    for place in places:
        found += capped(place, request.value(place.name), most)
    return found


def _sampling(request: WireRequest, rules: WireRules) -> list[WireEdit]:
    if not rules.sampling:
        names = [one for one in SAMPLERS if one in request.fields]
        return edit("drop-sampling", without_fields(request.all_fields, names), what=" ".join(names))
    place = request.fields.get("temperature")
    asked = request.value("temperature")
    if place is None or rules.temperature is None or not isinstance(asked, (int, float)) or isinstance(asked, bool):
        return []
    low, high = rules.temperature
    if low <= asked <= high:
        return []
    return edit("cap-temperature", [Splice(place.value, place.stop, repr(high if asked > high else low).encode())])


def _stops(request: WireRequest, rules: WireRules) -> list[WireEdit]:
    place, most = request.fields.get("stop"), rules.max_stops
    if place is None or most is None:
        return []
    if most == 0:
        return edit("drop-stops", without_fields(request.all_fields, ("stop",)))
    parts = request.parts("stop")
    return edit("drop-stops", taken_out(parts, set(range(most, len(parts)))))


def _cache_marks(request: WireRequest, rules: WireRules, history: str) -> list[WireEdit]:
    if not request.has_marks:
        return []
    names = {"cache_control", "prompt_cache_breakpoint"} - rules.cache_marks
    places = [one for name in ("tools", history) if (one := request.fields.get(name)) is not None]
    return edit("drop-cache-marks", [one for place in places for one in marks(request.body, place, names)]) if names else []


def _foreign(request: WireRequest, foreign: frozenset[str]) -> list[WireEdit]:
    """Return the change that leaves out reasoning that other models, or other accounts, encrypted."""
    if not foreign or b'"encrypted_content"' not in request.raw("input"):
        return []
    entries: Sequence[Any] = request.parts("input")
    out = set()
    for at, place in enumerate(entries):
        if request.body.find(b'"encrypted_content"', place.start, place.stop) < 0:
            continue
        parts, _ = role_at(request.body, place)
        sealed = said(request.body, parts, "encrypted_content")
        if isinstance(sealed, str) and said(request.body, parts, "type") == "reasoning" and reasoning_digest(sealed) in foreign:
            out.add(at)
    return edit("drop-foreign-reasoning", taken_out(entries, out), count=len(out))


__all__ = ["edits_for"]
