"""Changes to the bytes of a JSON text: members and items taken out with their commas, values replaced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from langroute.wire.edits import WireEdit, nearest_effort
from langroute.wire.request import WireRequest
from langroute.wire.spans import Member, NotJsonError, Span, Splice, items, members, value_of


def taken_out(parts: Sequence[Member | Span], out: Collection[int]) -> list[Splice]:
    """Return the splices that take members of an object, or items of an array, out of it.

    Example:
        >>> from langroute.wire.spans import spliced
        >>> body = b'{"a":1, "b":2, "c":3}'
        >>> [spliced(body, taken_out(members(body), {one})) for one in range(3)]
        [b'{"b":2, "c":3}', b'{"a":1, "c":3}', b'{"a":1, "b":2}']
    """
    found = []
    kept = False
    for at, part in enumerate(parts):
        if at not in out:
            kept = True
        elif kept:
            found.append(Splice(parts[at - 1].stop, part.stop, b""))
        else:
            found.append(Splice(part.start, parts[at + 1].start if at + 1 < len(parts) else part.stop, b""))
    return found


def without_fields(parts: Sequence[Member], names: Collection[str]) -> list[Splice]:
    """Return the splices that take the members of these names out of an object."""
    out = {at for at, one in enumerate(parts) if one.name in names}
    return taken_out(parts, out) if out else []


def parts_of(body: bytes, place: Member | Span) -> list[Member]:
    """Return the members of the object at a place; none where it is no object."""
    try:
        return members(body, place.value if isinstance(place, Member) else place.start, place.stop)
    except NotJsonError:
        return []


def items_of(body: bytes, place: Member | Span) -> list[Span]:
    """Return the items of the array at a place; none where it is no array."""
    try:
        return items(body, place.value if isinstance(place, Member) else place.start, place.stop)
    except NotJsonError:
        return []


def field_of(parts: Sequence[Member], name: str) -> Member | None:
    """Return the member of a name, the last where there are several."""
    return next((one for one in reversed(parts) if one.name == name), None)


def said(body: bytes, parts: Sequence[Member], name: str) -> Any:
    """Return the value of a member; `None` where it is not there."""
    found = field_of(parts, name)
    return None if found is None else value_of(body, found.value, found.stop)


def marks(body: bytes, place: Member | Span, names: Collection[str], depth: int = 6) -> Iterator[Splice]:
    """Return the splices that take marks of these names out of a value, wherever blocks can have them."""
    raw = body[place.value if isinstance(place, Member) else place.start : place.stop]
    if depth == 0 or not any(b'"%s"' % name.encode() in raw for name in names):
        return
    if raw[:1] == b"[":
        for one in items_of(body, place):
            yield from marks(body, one, names, depth - 1)
    elif raw[:1] == b"{":
        parts = parts_of(body, place)
        yield from without_fields(parts, names)
        for part in parts:
            # Arguments and schemas are the caller's own: a name in them is no mark.
            if part.name not in names and part.name in ("content", "messages", "system", "tools", "input", "function"):
                yield from marks(body, part, names, depth - 1)


def edit(name: str, splices: Sequence[Splice], *, count: int | None = None, what: str = "") -> list[WireEdit]:
    """Return the record of a change, if there is anything to change."""
    return [WireEdit(name, len(splices) if count is None else count, what, tuple(splices))] if splices else []


def capped(place: Member | None, asked: Any, most: int | None) -> list[WireEdit]:
    """Return the change that makes the longest answer, which stands at a place, no longer than the model's own."""
    if place is None or most is None or not isinstance(asked, int) or asked <= most:
        return []
    return edit("cap-max-tokens", [Splice(place.value, place.stop, str(most).encode())], what=str(most))


def dropped_fields(request: WireRequest, out: Callable[[str], bool], name: str = "drop-fields") -> list[WireEdit]:
    """Return the change that leaves out the top-level fields for which a function says so."""
    names = sorted({one.name for one in request.all_fields if out(one.name)})
    return edit(name, without_fields(request.all_fields, names), count=len(names), what=" ".join(names)) if names else []


def combined(request: WireRequest, edits: Sequence[WireEdit]) -> tuple[WireEdit, ...]:
    """Return the edits with the top-level fields that several of them leave out taken out once, with the right commas."""
    gone = {
        at
        for at, one in enumerate(request.all_fields)
        if any(
            splice.text == b"" and splice.start <= one.start and one.stop <= splice.stop
            for each in edits
            for splice in each.splices
        )
    }
    if not gone:
        return tuple(edits)
    whole = taken_out(request.all_fields, gone)
    fields = [request.all_fields[at] for at in gone]
    result: list[WireEdit] = []
    for at, each in enumerate(edits):
        inner = [one for one in each.splices if not any(one.start < part.stop and part.start < one.stop for part in fields)]
        inner += whole if at == 0 else []
        result.append(WireEdit(each.name, each.count, each.what, tuple(inner), each.headers))
    return tuple(result)


def effort_edits(request: WireRequest, path: tuple[str, ...], taken: Sequence[str] | None) -> list[WireEdit]:
    """Return the change to the reasoning effort, which stands under these names."""
    if taken is None or (not taken and path[0] == "reasoning") or (top := request.fields.get(path[0])) is None:
        return []
    parts: Sequence[Member] = request.all_fields
    found = top
    for name in path[1:]:
        parts = parts_of(request.body, found)
        inner = field_of(parts, name)
        if inner is None:
            return []
        found = inner
    asked = value_of(request.body, found.value, found.stop)
    if not isinstance(asked, str) or asked in taken:
        return []
    now = nearest_effort(asked, taken)
    if now is not None:
        return edit("change-effort", [Splice(found.value, found.stop, b'"%s"' % now.encode())], what=f"{asked[:16]} {now}")
    if len(path) > 1 and len(parts) == 1:
        return edit("drop-effort", without_fields(request.all_fields, path[:1]), count=1)
    return edit("drop-effort", without_fields(parts, (found.name,)), count=1)


def role_at(body: bytes, place: Span) -> tuple[list[Member], Any]:
    """Return the members of an entry of the history, and its role."""
    parts = parts_of(body, place)
    return parts, said(body, parts, "role")


__all__ = [
    "capped", "combined", "dropped_fields", "edit", "effort_edits", "field_of", "items_of", "marks", "parts_of", "role_at", "said",
    "taken_out", "without_fields",
]  # fmt: skip
