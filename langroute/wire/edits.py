"""What a request must lose or change before another model of the same protocol takes it: the target, and the records of the changes.

What a model takes stands in its provider's profile (`WireRules`). A change depends on the target and on the part of the request alone, so
the same beginning of a history is changed alike on every turn and stays in the provider's prompt cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from hashlib import blake2b

from langroute.core.fast_dataclass import fast_dataclass
from langroute.providers.profile import WireRules
from langroute.providers.registry import profile_of
from langroute.providers.wire import RULES, rules_of
from langroute.wire.spans import Splice

EDITS: Mapping[str, str] = {
    "system-to-user": "an entry of the role `system` inside the history becomes the user's",
    "developer-to-system": "the role `developer` becomes `system`",
    "drop-thinking": "thinking in a form that the model does not take is not asked for",
    "thinking-to-adaptive": "a budget of thinking becomes adaptive thinking",
    "cap-thinking": "the budget of thinking is made smaller than the answer",
    "drop-effort": "the reasoning effort is left out",
    "change-effort": "the reasoning effort becomes the next lower one that the model knows",
    "drop-foreign-reasoning": "signed thinking and encrypted reasoning of other models are left out of the history",
    "drop-context-edits": "the clearing of thinking from the context is not asked for where there is none",
    "cap-max-tokens": "the longest answer becomes the model's own longest",
    "rename-max-tokens": "the field that limits the answer becomes the one that the model takes",
    "drop-betas": "betas that the model refuses are left out of the header",
    "drop-cache-marks": "marks of a prompt cache that the provider does not know are left out",
    "drop-sampling": "`temperature`, `top_p` and `top_k` are left out",
    "cap-temperature": "the temperature becomes the nearest that the provider takes",
    "drop-stops": "stop sequences beyond the provider's number are left out",
    "ask-usage": "the usage of a stream is asked for, and kept from a client that did not ask for it",
    "drop-fields": "fields that only other providers know are left out",
}
"""Name of a change → what it does. The page on the wire has them with what each protocol and model makes of them."""

MAX_WHAT = 200
"""Most characters that are told of what an edit was made to."""

SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts, lowest first."""


@fast_dataclass
class WireTarget:
    """The model that a request is sent to, and where.

    Example:
        >>> WireTarget("claude-haiku-4-5", "anthropic").rules("anthropic").system_entries
        False
    """

    model: str
    provider: str | None = None
    """langroute's or LangChain's name of the provider."""

    api: str | None = None
    """Wire format of the route; `None` for the provider's own, else the protocol's."""

    host: str | None = None
    """Host name of the address, where it is not the provider's own."""

    max_output: int | None = None
    """Longest answer in tokens that the model gives; `None` where it is unknown."""

    same_model: bool = False
    """The client wrote the request for this model, so only what others have put into the history has to change."""

    foreign: frozenset[str] = frozenset()
    """Digests (`reasoning_digest`) of the signatures and encrypted reasoning that other models wrote in this conversation."""

    def rules(self, api: str) -> WireRules:
        """Return what the model takes, by its provider's profile.

        Args:
            api: The wire format of the protocol, for targets that have none of their own.
        """
        own = self.api or profile_of(self.provider, self.model, self.host).wire
        # A provider may have several wire formats: only one of the protocol's family says something of its bodies.
        name = own if own in FAMILIES.get(api, ()) else api
        return rules_of(name, self.provider, self.model, self.host) or RULES[api]


FAMILIES: Mapping[str, frozenset[str]] = {
    "openai-chat": frozenset({"openai-chat", "openai-compatible", "mistral"}),
    "openai-responses": frozenset({"openai-responses"}),
    "anthropic": frozenset({"anthropic"}),
    "gemini": frozenset({"gemini"}),
}
"""Wire format of a protocol → formats that are spoken in it."""


@fast_dataclass
class WireEdit:
    """One kind of change to a request, as a decision and a response header name it."""

    name: str
    """One of `EDITS`."""

    count: int = 1
    """How often it was made."""

    what: str = ""
    """What it was made to, such as names of fields. Never a text of the conversation."""

    splices: tuple[Splice, ...] = field(default=(), repr=False, compare=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers with their new values; an empty one is left out."""


def edit_words(edits: Sequence[WireEdit]) -> tuple[str, ...]:
    """Return the edits in words, for a decision and, joined by commas, for a response header.

    Example:
        >>> edit_words([WireEdit("drop-thinking"), WireEdit("system-to-user", 2), WireEdit("drop-fields", what="store")])
        ('drop-thinking', 'system-to-user;n=2', 'drop-fields;what="store"')
    """
    return tuple([_word(one) for one in edits])


def _word(edit: WireEdit) -> str:
    count = f";n={edit.count}" if edit.count > 1 else ""
    # Names of fields may be the client's own.
    what = "".join([sign for sign in edit.what[:MAX_WHAT] if " " <= sign <= "~" and sign not in '"\\'])
    return f'{edit.name}{count};what="{what}"' if what else f"{edit.name}{count}"


def nearest_effort(asked: str, taken: Sequence[str]) -> str | None:
    """Return the highest effort that is taken and is not above the one asked for, else the lowest; `None` where none is taken.

    Example:
        >>> nearest_effort("xhigh", ("low", "medium", "high")), nearest_effort("none", ("low", "high")), nearest_effort("low", ())
        ('high', 'low', None)
    """
    if not taken:
        return None
    if asked not in SCALE:
        return taken[-1]
    below = [one for one in taken if SCALE.index(one) <= SCALE.index(asked)]
    return below[-1] if below else taken[0]


def reasoning_digest(text: str) -> str:
    """Return the digest under which a signature of thinking, or encrypted reasoning, is remembered.

    Example:
        >>> reasoning_digest("c2lnbmF0dXJl") == reasoning_digest("c2lnbmF0dXJl"), len(reasoning_digest(""))
        (True, 24)
    """
    return blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


__all__ = ["EDITS", "MAX_WHAT", "WireEdit", "WireTarget", "edit_words", "nearest_effort", "reasoning_digest"]
