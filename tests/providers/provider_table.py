"""The generated part of the page on providers: what each profile makes of errors, ends and usage, and the rules of each wire format.

`python tests/providers/provider_table.py` writes it into `docs/providers.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from recorded import ENDS, ERRORS, USAGE, RecordedError

from langroute.providers.failures import classify
from langroute.providers.profile import END_KINDS, ProviderProfile, WireRules
from langroute.providers.registry import BUILT_IN
from langroute.providers.usage import usage_from_provider
from langroute.providers.wire import RULES

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
ELSEWHERE = {"name", "arguments", "efforts", "native_blocks", "untyped_blocks", "named_messages", "written_as", "cache_marks"}
"""Rules that say nothing to a reader, or that the page on histories has a table of."""


class Answered(Exception):
    """An error as every SDK hands it on: a status, a body and headers."""

    def __init__(self, recorded: RecordedError) -> None:
        super().__init__(f"Error code: {recorded.status} - {dict(recorded.body)}")
        self.status_code, self.body, self.headers = recorded.status, dict(recorded.body), dict(recorded.headers)


def _cell(text: str, most: int = 110) -> str:
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= most else f"{text[:most]} …"


def _said(body: Mapping[str, Any]) -> tuple[str, str]:
    """The code of an error and its message, wherever the provider has them."""
    inner = body.get("error") or body.get("Error") or body.get("base_resp") or body
    if not isinstance(inner, Mapping):
        return "", str(inner)
    code = next((str(inner[key]) for key in ("code", "Code", "type", "status_code", "status") if inner.get(key)), "")
    return code, str(next((inner[key] for key in ("message", "Message", "status_msg") if inner.get(key)), ""))


def errors_table(profile: ProviderProfile) -> list[str]:
    """A row for each error that the provider published."""
    lines = [
        "| Status | Code | It says | Kind | Same route again | Other route | Route rests |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for recorded in ERRORS[profile.name]:
        failure = classify(Answered(recorded), profile.aliases[0])
        code, message = _said(recorded.body)
        does = ("yes" if one else "no" for one in (failure.retry_same, failure.retry_elsewhere, failure.cool_down))
        code = f"`{_cell(code, 60)}`" if code else ""
        # Brackets in what a provider says are no link of ours.
        says = _cell(message).replace("[", "\\[")
        lines.append(f"| {recorded.status} | {code} | {says} | `{failure.kind}` | {' | '.join(does)} |")
    return lines


def ends_line(profile: ProviderProfile) -> str:
    """The words for why an answer ended, by what they mean."""
    words: dict[str, list[str]] = {}
    for word in {**profile.finish_reasons, **{word.lower(): kind for word, kind in ENDS[profile.name].items()}}:
        words.setdefault(profile.finish_kind(word), []).append(word)
    found = "; ".join(f"{kind}: {', '.join(f'`{word}`' for word in sorted(words[kind]))}" for kind in END_KINDS if kind in words)
    always = "an answer without one broke off" if profile.always_gives_reason else "an answer without one may be whole"
    return f"**Ends** ({always}): {found}."


def usage_lines(profile: ProviderProfile) -> list[str]:
    """Each shape of its usage records, and the counts that are read."""
    shapes = USAGE[profile.name]
    lines = ["**Usage**:", ""]
    for raw, _ in shapes:
        usage = usage_from_provider(raw)
        counts = ", ".join(f"{one.name} {value}" for one in fields(usage) if (value := getattr(usage, one.name)))
        lines.append(f"- `{_cell(json.dumps(dict(raw)), 400)}` → {counts}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ((), {}, frozenset()):
        return ""
    if isinstance(value, frozenset):
        return ", ".join(f"`{one}`" for one in sorted(value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_value(inner)}" for key, inner in sorted(value.items()))
    if isinstance(value, tuple) and value and isinstance(value[0], (int, float)):
        return f"{value[0]} to {value[1]}"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`".replace("|", "\\|") if isinstance(value, str) else str(value)


def _meaning(name: str) -> str:
    """What a rule says: the first sentence below it in the class."""
    source = Path(sys.modules[WireRules.__module__].__file__ or "").read_text(encoding="utf-8")
    below = source[source.index(f"\n    {name}: ") :]
    return " ".join(below.split('"""')[1].split())


def wire_table() -> list[str]:
    """A row for each rule, a column for each format."""
    lines = [f"| Rule | {' | '.join(RULES)} |", f"| --- |{' --- |' * len(RULES)}"]
    for one in fields(WireRules):
        if one.name not in ELSEWHERE and one.name != "by_model":
            cells = " | ".join(_value(getattr(rules, one.name)) for rules in RULES.values())
            lines.append(f"| {_cell(_meaning(one.name), 400)} | {cells} |")
    return lines


def changes_lines(what: str, changes: Mapping[str, Any]) -> list[str]:
    """The rules that differ, for a provider or a model."""
    return [
        f"- {what}: {name.replace('_', ' ')} {_value(value)}"
        for name, value in changes.items()
        if name not in ELSEWHERE and name != "by_model"
    ]


def models_lines(rules: WireRules | Mapping[str, Any], what: str) -> list[str]:
    """The rules that differ for some of a provider's models."""
    pairs = rules.by_model if isinstance(rules, WireRules) else rules.get("by_model", ())
    shown = [(pattern, {key: value for key, value in changes.items() if key != "arguments"}) for pattern, changes in pairs]
    return [
        line
        for pattern, changes in shown
        for line in changes_lines(f"{what}, models like `{pattern}`".replace("|", "\\|"), changes)
    ]


def profile_section(profile: ProviderProfile) -> list[str]:
    """All about one provider."""
    known = ", ".join(f"`{one}`" for one in (*profile.aliases, *profile.hosts))
    lines = [
        f"### {profile.name}",
        "",
        f"Known by {known}.",
        "",
        *errors_table(profile),
        "",
        ends_line(profile),
        "",
        *usage_lines(profile),
    ]
    own = [
        line
        for api, changes in profile.wire_changes.items()
        for line in (*changes_lines(api, changes), *models_lines(changes, api))
    ]
    if profile.name != "mistralai":
        own += [
            line
            for api, changes in profile.model_wire_changes.items()
            for line in changes_lines(f"{api}, wherever its models are served", changes)
        ]
    return [*lines, "", *(["**Wire**, where it differs from its format:", "", *own, ""] if own else [])]


def rendered() -> str:
    """The generated part of the page."""
    formats = [line for rules in RULES.values() for line in models_lines(rules, rules.name)]
    parts = [
        "## Wire formats",
        "",
        *wire_table(),
        "",
        "Where a model differs from its format:",
        "",
        *formats,
        "",
        "## Providers",
        "",
    ]
    for profile in BUILT_IN:
        parts += profile_section(profile)
    return "\n".join([BEGIN, "", *parts, END])


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page[: page.index(BEGIN)] + rendered() + page[page.index(END) + len(END) :], encoding="utf-8")
