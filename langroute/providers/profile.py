"""Frozen record of one provider's facts: names, finish reasons, errors, usage fields, billing, wire rules and prompt cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass

END_KINDS = ("stop", "tool_calls", "length", "refusal", "content_filter", "error", "paused", "unknown")
"""Kinds of ends of an answer. `paused` must be sent back to continue; `error` is the provider's own failure."""

FAILURE_KINDS = (
    "rate_limited", "overloaded", "server_error", "timeout", "connection", "broken_stream", "context_overflow", "auth", "quota",
    "content_filter", "model_unavailable", "unsupported", "bad_request", "parsing", "given_up", "unknown",
)  # fmt: skip
"""Failure kinds; see `langroute.core.records.Failure.kind`."""

HOUR = 3600.0


@fast_dataclass
class ErrorRule:
    """Rule that maps a provider's error codes or words to a failure kind.

    A rule matches if one of its codes or phrases is found; for phrases, the status must also be one of `statuses`, if there are any.

    Example:
        >>> ErrorRule("quota", codes=("insufficient_quota",)).kind
        'quota'
    """

    kind: str
    """One of `FAILURE_KINDS`."""

    codes: tuple[str, ...] = ()
    """Values of `code`, `type`, `status` or `reason` in the error's body, or of what some say beside them, in lower case.

    They are looked for before the words; only a spent quota may hide behind the code of a rate limit. A number counts for a provider
    that is known, and else where no other provider uses it for something different.
    """

    words: tuple[str, ...] = ()
    """Phrases of the message, in lower case. Rules of all providers are tried, so a phrase must not occur in other errors."""

    statuses: tuple[int, ...] = ()
    """HTTP statuses for which the words count; empty for any. Codes count with every status."""


@fast_dataclass
class CacheRules:
    """Rules of a provider's prompt cache, as the provider documents them."""

    min_tokens: int = 1024
    """Shortest prompt in tokens that is cached."""

    block: int = 1
    """Block size: cached tokens come in multiples of this."""

    ttl_seconds: float = 300.0
    """Seconds that a cached prefix lives after its last use."""

    automatic: bool = True
    """Every prompt is cached automatically; otherwise only what the request marks, and the answers report whether it was cached."""


UNKNOWN_CACHE = CacheRules(automatic=False)


@fast_dataclass
class WireRules:
    """Rules of a wire format for histories and call arguments."""

    name: str
    """Name of the format: `anthropic`, `openai-chat`, `openai-responses`, `openai-compatible`, `gemini`, `mistral`, `bedrock`."""

    tool_id: str = r"[a-zA-Z0-9_-]{1,40}"
    """Pattern of valid tool call ids."""

    tool_id_length: int | None = None
    """Length of generated ids of letters and digits; `None` for `call_` and a digest."""

    tool_id_form: str | None = None
    """Form of generated ids, with the call's `{name}` and its `{number}` in the history, where the model reads them."""

    unique_tool_ids: bool = False
    """A tool call id may occur only once in a history; within one answer it never may occur twice."""

    tool_name: str = r"[a-zA-Z0-9_-]{1,64}"
    """Pattern of valid names of called tools."""

    written_as: str | None = None
    """Provider name that packages write into answers of this format, whoever serves the model; `None` for the provider's."""

    own_tools: str | None = None
    """Pattern of the provider's own tools, which no other provider runs: their `type`, or a dot and their key where they have none."""

    empty_messages: bool = True
    """Messages without text are accepted. Empty lists of blocks never are."""

    developer_role: bool = False
    """The role `developer` is known."""

    named_messages: bool = False
    """Messages can carry the speaker's name, of letters, digits, `_` and `-`."""

    system_in_middle: bool = False
    """A system message may stand anywhere."""

    single_system: bool = False
    """Only one system message may stand at the beginning."""

    user_first: bool = False
    """The history must begin with a user message, after the system messages."""

    prefill: bool = True
    """The history may end with the beginning of the answer (prefill)."""

    user_after_tool: bool = True
    """A user message may directly follow a tool result."""

    media: frozenset[str] = frozenset()
    """Media types that a user message can carry: `image`, `audio`, `video`, `file`."""

    media_types: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Kind of media → MIME types that are taken; a kind that is not listed is taken in any type."""

    media_by_address: frozenset[str] = frozenset({"image"})
    """Kinds of media that are taken by their address."""

    result_media: bool = False
    """A tool result can carry media."""

    failed_result_media: bool = True
    """A tool result that says that the tool failed can carry media, if any result can."""

    native_blocks: frozenset[str] = frozenset()
    """Block types of user and system messages that are sent unchanged."""

    text_with_files: bool = False
    """A message with a file must also have a text."""

    untyped_blocks: frozenset[str] = frozenset()
    """Keys of blocks without a type that are sent unchanged."""

    reasoning_bound_by: tuple[str, ...] = ()
    """Settings of a model whose values tell endpoint and account: reasoning is read only by those that wrote it. Empty where any
    endpoint of the model reads it."""

    cache_marks: frozenset[str] = frozenset()
    """Prompt-cache markers that the provider knows."""

    file_ids: str | None = None
    """Pattern of the provider's file ids; `None` where it stores no files."""

    arguments: frozenset[str] = frozenset()
    """Call arguments that its package accepts, among those that not every package accepts."""

    responses_arguments: frozenset[str] = frozenset()
    """Call arguments for which the package goes over to the Responses API."""

    max_tokens_name: str = "max_tokens"
    """Name of the argument that limits the answer's length."""

    sampling: bool = True
    """`temperature`, `top_p` and `top_k` are accepted."""

    temperature: tuple[float, float] | None = None
    """Lowest and highest temperature; `None` where any is passed on."""

    temperature_with_top_p: bool = True
    """`temperature` and `top_p` are accepted together."""

    max_stops: int | None = None
    """Most stop sequences; 0 where none is accepted, `None` where any number is."""

    blank_stops: bool = True
    """A stop sequence of white space is accepted."""

    schema_classes: bool = False
    """`response_format` may be a Pydantic class."""

    response_formats: frozenset[str] | None = None
    """Types of `response_format` that are accepted; `None` where any is passed on. A schema that is no such type is always passed on."""

    forced_tool: object = "required"
    """Tool choice that demands a call of any tool."""

    efforts: Mapping[str, str] = field(default_factory=dict)
    """Reasoning efforts: other providers' words → its own."""

    thinking_forms: frozenset[str] | None = None
    """Values of `thinking.type`, or of Gemini's names in `thinkingConfig`, that a body may have; `None` where any is passed on."""

    unsigned_calls: str | None = None
    """What stands in the place of the signature of a thought that another model wrote; `None` where it may be left out."""

    effort_levels: tuple[str, ...] | None = None
    """Reasoning efforts that a request's body may ask for, lowest first; empty where it may not, `None` where any is passed on."""

    system_entries: bool = True
    """Entries of the history in a request's body may have the role `system`."""

    length_field: str | None = None
    """Field of a request's body that limits the answer's length, where another one is refused."""

    refused_betas: str | None = None
    """Pattern of the values of the header `anthropic-beta` that are refused."""

    by_model: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Pattern of a model's name, without path, date and version → the rules that differ for it."""


@fast_dataclass
class ProtocolWords:
    """Words of a protocol, for answers that are written in the place of a provider's.

    Example:
        >>> ProtocolWords({400: "invalid_request_error"}, "api_error").error_type(503)
        'api_error'
    """

    error_types: Mapping[int, str]
    """HTTP status → type of the error in its body."""

    server_error: str
    """Type of an error of any other status, and of one in the middle of a stream."""

    ends: Mapping[str, str] = field(default_factory=dict)
    """Kind of an end → the protocol's word for it; a kind that is not there has the word of `stop`."""

    context_code: str | None = None
    """Code by which clients know that a prompt is too long; `None` for the type that the status has."""

    context_phrase: str | None = None
    """Beginning of the message by which clients know it."""

    running: str | None = None
    """Status of an answer that is not over."""

    cut: str | None = None
    """Status of an answer that ended before it was complete."""

    whole: frozenset[str] = frozenset()
    """Statuses of answers that are over as they should be."""

    broken: str = "upstream_error"
    """Code of an answer that broke off, where its provider said nothing."""

    def error_type(self, status: int) -> str:
        """Return the type of an error with an HTTP status."""
        return self.error_types.get(status, self.server_error)

    def end(self, kind: str) -> str:
        """Return the protocol's word for a kind of an end."""
        return self.ends.get(kind, self.ends["stop"])


@fast_dataclass
class UsageFields:
    """Field names of a provider's own usage record; tried in order."""

    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    cache_read: tuple[str, ...] = ()
    """A dot leads into a nested record, or to what one entry of a list of times to live says."""

    cache_write: tuple[str, ...] = ()
    cache_write_1h: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    total: tuple[str, ...] = ()
    """Input and output together."""

    more_input: tuple[str, ...] = ()
    """Token counts that are not part of the input count and are billed as input."""

    more_output: tuple[str, ...] = ()
    """Token counts that are not part of the output count and are billed as output."""

    cached_beside_input: bool = False
    """Cached tokens are not part of the input count."""

    written_with_1h: bool = False
    """`cache_write` includes what `cache_write_1h` says."""

    told_by: tuple[str, ...] = ()
    """Field names that identify this kind of record."""


@fast_dataclass
class BillingRules:
    """What a provider's answers say about the bill, beside the tokens. A dot leads into a nested record of the usage.

    Example:
        >>> BillingRules(counts=(("searches", "server_tool_use.web_search_requests"),)).counts[0][0]
        'searches'
    """

    counts: tuple[tuple[str, str], ...] = ()
    """Price component → usage field that counts it; a list of modalities is led into by the modality's name."""

    blocks: tuple[tuple[str, str, str | None], ...] = ()
    """Price component, type and name of the content blocks that are billed one by one where no usage field counts them."""

    free_actions: frozenset[str] = frozenset()
    """`action.type` of such blocks that are not billed."""

    lists: tuple[tuple[str, str], ...] = ()
    """Price component → list in the response's metadata whose entries are billed."""

    once_per_call: tuple[str, ...] = ()
    """Parts of the names of models for which the entries of a list are billed once, however many there are."""

    terms: tuple[str, ...] = ()
    """Fields of the usage, the response and the request that say under which terms a call was billed: a service tier, speed or region."""

    standard_terms: frozenset[str] = frozenset()
    """Values of these fields that mean the list price."""

    term_factors: Mapping[str, float] = field(default_factory=dict)
    """Terms that multiply the list price."""

    stated_cost: tuple[tuple[str, float], ...] = ()
    """Usage field with the cost of the call → USD per unit of it."""

    upstream_cost: tuple[str, str] | None = None
    """Usage field that says that the model's own provider bills the user too, and the field with its cost in USD."""


@fast_dataclass
class ProviderProfile:
    """Facts of one provider.

    Example:
        >>> ProviderProfile("mine", aliases=("my_gateway",)).finish_kind("STOP")
        'unknown'
    """

    name: str
    """langroute's name of the provider."""

    aliases: tuple[str, ...] = ()
    """Names that LangChain's packages report as `ls_provider`."""

    hosts: tuple[str, ...] = ()
    """Suffixes of the provider's host names, for clients that speak another provider's protocol."""

    models: str | None = None
    """Pattern of the provider's model names, wherever they are served."""

    writes_as: str | None = None
    """Provider name that its package writes into answers; `None` for its own name."""

    price_id: str | None = None
    """Its id in `genai-prices`; `None` for its own name."""

    telemetry_name: str | None = None
    """OpenTelemetry's `gen_ai.provider.name`; `None` for its own name."""

    footprint_name: str | None = None
    """Its id in EcoLogits; `None` if EcoLogits does not know it."""

    wire: str | None = None
    """Its wire format, for packages whose class does not determine it."""

    wire_changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Wire format → the rules that differ for its routes."""

    model_wire_changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Wire format → the rules that differ for its models, wherever they are served."""

    finish_reasons: Mapping[str, str] = field(default_factory=dict)
    """Its finish reasons in lower case → one of `END_KINDS`."""

    always_gives_reason: bool = False
    """Every complete answer has a finish reason; one without it is incomplete."""

    errors: tuple[ErrorRule, ...] = ()
    """Its own error rules; the shared rules are tried after them."""

    maybe_billed: frozenset[str] = frozenset({"timeout", "broken_stream", "given_up", "parsing"})
    """Failure kinds for which it is unknown whether the call was billed; calls that failed otherwise are not billed."""

    billing: BillingRules = BillingRules()
    """What its answers say about the bill, beside the tokens."""

    prompt_cache: tuple[tuple[str, CacheRules], ...] = ()
    """Part of a model's name → rules of its prompt cache; the empty string matches all."""

    def finish_kind(self, reason: str | None) -> str:
        """Return one of `END_KINDS` for the provider's finish reason."""
        return self.finish_reasons.get((reason or "").lower(), "unknown")

    def cache_rules(self, model: str | None) -> CacheRules:
        """Return the prompt-cache rules of a model."""
        name = (model or "").lower()
        return next((rules for part, rules in self.prompt_cache if part in name), UNKNOWN_CACHE)

    def makes(self, model: str | None) -> bool:
        """Return whether a model's name is one of the provider's."""
        return self.models is not None and model is not None and re.search(self.models, model, re.IGNORECASE) is not None
