"""Contract of the profiles: each reads what its provider published."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from recorded import ENDS, ERRORS, USAGE, RecordedError

from langroute.core.records import Usage
from langroute.providers.ends import end_of
from langroute.providers.failures import classify
from langroute.providers.profile import END_KINDS, FAILURE_KINDS
from langroute.providers.registry import BUILT_IN
from langroute.providers.usage import RECORDS, usage_from_provider, usage_of

NAMES = [profile.name for profile in BUILT_IN]
PROFILES = {profile.name: profile for profile in BUILT_IN}
CASES = [(name, one) for name, errors in ERRORS.items() for one in errors]
IDS = [f"{name}-{one.status}-{number}" for number, (name, one) in enumerate(CASES)]


class PlainError(Exception):
    """An SDK's error: a status, a body and the headers of its response."""

    def __init__(self, status: int, body: Any, headers: Any) -> None:
        super().__init__(f"Error code: {status} - {body}")
        self.status_code = status
        self.body = body
        self.response = SimpleNamespace(status_code=status, headers=headers)


def sdk_error(module: str, recorded: RecordedError) -> BaseException:
    """Return the error that an SDK of OpenAI's or Anthropic's make raises for an answer."""
    sdk = pytest.importorskip(module)
    names = {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        422: "UnprocessableEntityError",
        429: "RateLimitError",
    }
    kind = getattr(sdk, names.get(recorded.status, "InternalServerError" if recorded.status >= 500 else "APIStatusError"))
    request = httpx.Request("POST", "https://api.example.com/v1/chat")
    response = httpx.Response(recorded.status, json=dict(recorded.body), headers=dict(recorded.headers), request=request)
    # OpenAI's hands on what stands in the envelope, Anthropic's the envelope.
    body = recorded.body.get("error", recorded.body) if module == "openai" else recorded.body
    return kind(f"Error code: {recorded.status} - {dict(recorded.body)}", response=response, body=body)  # type: ignore[no-any-return]


def raised(name: str, recorded: RecordedError) -> BaseException:
    """Return the error that a call of the provider raises for an answer."""
    if name == "anthropic":
        return sdk_error("anthropic", recorded)
    if name in ("google_genai", "google_vertexai"):
        errors = pytest.importorskip("google.genai.errors")
        kind = errors.ServerError if recorded.status >= 500 else errors.ClientError
        return kind(recorded.status, dict(recorded.body))  # type: ignore[no-any-return]
    if name == "amazon_bedrock":
        exceptions = pytest.importorskip("botocore.exceptions")
        answer = {**recorded.body, "ResponseMetadata": {"HTTPStatusCode": recorded.status}}
        return exceptions.ClientError(answer, "Converse")  # type: ignore[no-any-return]
    if name == "mistralai":
        # Its package has no SDK below it.
        text = json.dumps(dict(recorded.body))
        request = httpx.Request("POST", "https://api.mistral.ai/v1/chat/completions")
        response = httpx.Response(recorded.status, text=text, request=request)
        message = f"Error response {recorded.status} while fetching {request.url}: {text}"
        return httpx.HTTPStatusError(message, request=request, response=response)
    if name in ("cohere", "ollama"):
        return PlainError(recorded.status, recorded.body, recorded.headers)
    return sdk_error("openai", recorded)


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_recorded_answers(name: str) -> None:
    """A new provider comes with what it says."""
    assert ERRORS[name]
    assert ENDS[name]
    assert USAGE[name]


def test_nothing_is_recorded_of_a_provider_that_has_no_profile() -> None:
    assert {*ERRORS, *ENDS, *USAGE} == set(NAMES)


@pytest.mark.parametrize("fields", RECORDS, ids=lambda fields: fields.told_by[0])
def test_every_kind_of_usage_record_is_recorded(fields: Any) -> None:
    records = [raw for shapes in USAGE.values() for raw, _ in shapes]
    assert any(name in raw for raw in records for name in fields.told_by)


@pytest.mark.parametrize(("name", "recorded"), CASES, ids=IDS)
def test_an_error_is_understood(name: str, recorded: RecordedError) -> None:
    """Both where the provider is known and where it is not."""
    assert recorded.kind in FAILURE_KINDS
    error = raised(name, recorded)
    for provider in (PROFILES[name].aliases[0], None):
        assert classify(error, provider).kind == recorded.kind, provider


@pytest.mark.parametrize(("name", "recorded"), CASES, ids=IDS)
def test_no_other_profile_takes_an_error_for_something_else(name: str, recorded: RecordedError) -> None:
    """A phrase means the same whoever says it; a mere number may not."""
    error = raised(name, recorded)
    by_status = classify(PlainError(recorded.status, {}, {})).kind
    numbers = {"zai", "minimax"}
    for other in NAMES:
        if {name, other} == numbers:
            continue
        assert classify(error, PROFILES[other].aliases[0]).kind in (recorded.kind, by_status), other


@pytest.mark.parametrize(
    ("name", "word", "kind"), [(name, word, kind) for name, words in ENDS.items() for word, kind in words.items()]
)
def test_an_end_is_understood(name: str, word: str, kind: str) -> None:
    """In the provider's own spelling."""
    assert kind in END_KINDS
    assert end_of(word, PROFILES[name].aliases[0]) == kind


@pytest.mark.parametrize(("name", "raw", "expected"), [(name, *shape) for name, shapes in USAGE.items() for shape in shapes])
def test_a_usage_record_is_understood(name: str, raw: dict[str, Any], expected: Usage) -> None:
    assert usage_from_provider(raw) == expected, name


@pytest.mark.parametrize(
    ("module", "enum", "name"),
    [("google.genai.types", "FinishReason", "google_genai"), ("google.genai.types", "BlockedReason", "google_genai")],
)
def test_every_end_that_an_sdk_knows_has_a_meaning(module: str, enum: str, name: str) -> None:
    """A release of an SDK that adds words fails here. Gemini names a word that says nothing, which is not read."""
    pytest.importorskip(module)
    words = [str(member.value) for member in getattr(importlib.import_module(module), enum)]
    assert [word for word in words if "UNSPECIFIED" not in word and PROFILES[name].finish_kind(word) == "unknown"] == []


def test_every_end_that_bedrocks_service_model_knows_has_a_meaning() -> None:
    session = pytest.importorskip("botocore.session")
    model = session.get_session().get_service_model("bedrock-runtime")
    words = model.shape_for("StopReason").enum
    assert [word for word in words if PROFILES["amazon_bedrock"].finish_kind(word) == "unknown"] == []


@pytest.mark.parametrize(
    ("provider", "status", "message", "kind"),
    [
        ("moonshot", 403, "You do not have access to this model", "auth"),
        ("together", 403, "You are not allowed to use this endpoint", "auth"),
        ("fireworks", 412, "The LoRA model failed to load", "bad_request"),
        ("openrouter", 402, "Payment required", "quota"),
        ("cohere", 429, "You are past the per minute request limit, please wait and try again later.", "rate_limited"),
        ("minimax", 400, "invalid params (2013)", "bad_request"),
        ("amazon_bedrock", 400, "Too many tools per request", "bad_request"),
    ],
)
def test_a_neighbour_of_a_phrase_is_not_taken_for_it(provider: str, status: int, message: str, kind: str) -> None:
    assert classify(PlainError(status, {"message": message}, {}), provider).kind == kind


def test_a_number_that_two_providers_use_counts_for_the_one_that_is_known() -> None:
    """1002 is a wrong token at Z.ai and a rate limit at MiniMax."""
    error = PlainError(400, {"error": {"code": "1002", "message": "no"}}, {})
    assert [classify(error, provider).kind for provider in ("zai", "minimax", None)] == ["auth", "rate_limited", "bad_request"]


def test_a_budget_of_requests_in_flight_says_how_long_to_wait() -> None:
    recorded = next(one for one in ERRORS["openrouter"] if one.headers)
    failure = classify(raised("openrouter", recorded), "openrouter")
    assert (failure.kind, failure.retry_after_s, failure.retry_same) == ("rate_limited", 7.0, True)


def test_details_that_are_no_records_are_passed_over() -> None:
    """Whatever stands where codes may stand."""
    odd: list[Any] = [None, "x", 3, ["x"], {"error_code": ["x"]}, {"limit_source": None}, {"status_code": {}}]
    for value in odd:
        body = {"error": {"message": "no", "details": value, "metadata": value, "base_resp": value, "error_type": value}}
        assert classify(PlainError(400, body, {}), "openrouter").kind == "bad_request"
        assert usage_from_provider({"inputTokens": 1, "outputTokens": 2, "cacheDetails": value}) == Usage(1, 2)


def test_cached_tokens_that_an_integration_leaves_out_are_read_from_the_record_beside_it() -> None:
    """`ChatOpenAI` reads neither DashScope's writes nor Mistral's reads; audio that it does read stays."""
    raw = USAGE["dashscope"][0][0]
    told = {"input_tokens": 2059, "output_tokens": 201, "total_tokens": 2260, "input_token_details": {"cache_read": 0, "audio": 5}}
    usage = usage_of(AIMessage("Hello.", usage_metadata=told, response_metadata={"token_usage": raw}))
    assert usage is not None
    assert (usage.input_tokens, usage.cache_read, usage.cache_write) == (2059, 0, 2048)
    assert dict(usage.extra_counts)["input_audio"] == 5


def test_a_record_that_does_not_fit_its_message_is_not_believed() -> None:
    told = {"input_tokens": 10, "output_tokens": 1, "total_tokens": 11}
    message = AIMessage(
        "Hello.", usage_metadata=told, response_metadata={"token_usage": {**USAGE["dashscope"][0][0], "prompt_tokens": 10}}
    )
    usage = usage_of(message)
    assert usage is not None
    assert (usage.cache_read, usage.cache_write) == (0, 0)
