"""What providers answered, as they or their users published it: errors, ends and records of tokens.

Read 2026-11-29; the pages stand in the `Source:` of each provider's module. Bodies from issues name the issue. Ids of accounts are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langroute.core.records import Usage


@dataclass(frozen=True)
class RecordedError:
    """An answer that was an error, and what it means."""

    status: int
    body: Mapping[str, Any]
    kind: str
    """What `classify` should say, whether the provider is known or not."""

    headers: Mapping[str, str] = field(default_factory=dict)


def _openai(status: int, kind: str, message: str, code: Any = None, type: Any = None, **headers: str) -> RecordedError:
    """Return an error in the shape of OpenAI's protocol."""
    return RecordedError(status, {"error": {"message": message, "type": type, "param": None, "code": code}}, kind, headers)


def _anthropic(status: int, kind: str, type: str, message: str, error_code: str | None = None) -> RecordedError:
    details = {"details": {"error_code": error_code}} if error_code else {}
    return RecordedError(
        status, {"type": "error", "error": {"type": type, "message": message, **details}, "request_id": "req_011"}, kind
    )


def _google(status: int, kind: str, state: str, message: str, *details: Mapping[str, Any]) -> RecordedError:
    return RecordedError(
        status,
        {"error": {"code": status, "message": message, "status": state, **({"details": [*details]} if details else {})}},
        kind,
    )


def _aws(status: int, kind: str, code: str, message: str) -> RecordedError:
    return RecordedError(status, {"Error": {"Code": code, "Message": message}}, kind)


def _quota_failure(quota: str) -> Mapping[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota, "quotaValue": "250000"}]}


_GEMINI = (
    # google-gemini/gemini-cli, issue 15184.
    _google(400, "context_overflow", "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed 1048576."),
    # https://discuss.ai.google.dev/t/183654
    _google(
        402, "quota", "RESOURCE_EXHAUSTED",
        "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.",
    ),
    # The same before that change.
    _google(429, "quota", "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
    # google-gemini/gemini-cli, issue 4656.
    _google(
        429, "quota", "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.",
        _quota_failure("GenerateContentInputTokensPerModelPerDay-FreeTier"),
    ),
    # continuedev/continue, issue 9745: a model that the free tier does not have.
    _google(
        429, "quota", "RESOURCE_EXHAUSTED",
        "You exceeded your current quota. * Quota exceeded for metric: generativelanguage.googleapis.com/"
        "generate_content_free_tier_requests, limit: 0, model: gemini-3-pro\nPlease retry in 3.98361248s.",
    ),
    # RooCodeInc/Roo-Code, issue 3883.
    _google(
        429, "rate_limited", "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.",
        _quota_failure("GenerateContentInputTokensPerModelPerMinute-FreeTier"),
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s"},
    ),
    _google(401, "auth", "UNAUTHENTICATED", "Request has invalid authentication credentials."),
    _google(403, "auth", "PERMISSION_DENIED", "The caller does not have permission"),
    _google(503, "overloaded", "UNAVAILABLE", "The model is overloaded. Please try again later."),
    _google(504, "timeout", "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
)  # fmt: skip

_OPENAI = (
    _openai(
        400, "context_overflow",
        "This model's maximum context length is 4097 tokens. However, your messages resulted in 4294 tokens.",
        "context_length_exceeded", "invalid_request_error",
    ),
    _openai(429, "quota", "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"),
)  # fmt: skip

ERRORS: Mapping[str, tuple[RecordedError, ...]] = {
    "openai": (
        *_OPENAI,
        _openai(401, "auth", "Incorrect API key provided: sk-x. You can find your API key at https://platform.openai.com.", "invalid_api_key"),
        _openai(400, "unsupported", "Unsupported parameter: 'temperature' is not supported with this model.", "unsupported_parameter"),
        _openai(
            400, "unsupported",
            "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 132 instead.",
            "array_above_max_length", "invalid_request_error",
        ),
        _openai(
            404, "unsupported",
            "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true.",
            None, "invalid_request_error",
        ),
        _openai(400, "unsupported", "Previous response with id 'resp_1' not found.", "previous_response_not_found"),
        # Codes of a failed response.
        _openai(400, "content_filter", "This request was blocked.", "bio_policy"),
        _openai(400, "unsupported", "The image is too large.", "image_file_too_large"),
        _openai(429, "rate_limited", "Rate limit reached for gpt-5. Please try again in 20s.", "rate_limit_exceeded", "requests"),
    ),
    "azure": (
        RecordedError(
            400,
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            "content_filter",
        ),
        _openai(404, "model_unavailable", "The API deployment for this resource does not exist.", "DeploymentNotFound"),
    ),
    "azure_ai": (_openai(400, "content_filter", "The response was filtered", "content_filter"),),
    "anthropic": (
        # anthropics/claude-code, issue 11281.
        _anthropic(400, "context_overflow", "invalid_request_error", "prompt is too long: 201130 tokens > 200000 maximum"),
        # continuedev/continue, issue 8454.
        _anthropic(
            400, "context_overflow", "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 143653 + 64000 > 200000, decrease input length or `max_tokens`",
        ),
        _anthropic(400, "content_filter", "invalid_request_error", "Output blocked by content filtering policy"),
        _anthropic(
            400, "quota", "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-09-01 at 00:00 UTC.",
        ),
        _anthropic(400, "quota", "invalid_request_error", "You have reached your specified workspace API usage limits."),
        _anthropic(400, "unsupported", "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        _anthropic(400, "unsupported", "invalid_request_error", "messages.1.content.0: Invalid `data` in `redacted_thinking` block"),
        _anthropic(
            400, "unsupported", "invalid_request_error",
            "The `thinking` blocks in the latest assistant message cannot be modified.",
        ),
        _anthropic(413, "context_overflow", "request_too_large", "Request exceeds the maximum size"),
        _anthropic(400, "quota", "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        _anthropic(402, "quota", "billing_error", "There's an issue with your billing or payment information."),
        _anthropic(429, "quota", "rate_limit_error", "This organization has reached its limit.", "enforced_spend_limit_reached"),
        _anthropic(429, "rate_limited", "rate_limit_error", "Your account has hit a rate limit."),
        _anthropic(429, "rate_limited", "rate_limit_error", "This request would exceed a ramp limit.", "ramp_limit_exceeded"),
        _anthropic(400, "auth", "invalid_request_error", "This organization has been disabled.", "organization_on_hold"),
        _anthropic(401, "auth", "authentication_error", "invalid x-api-key"),
        _anthropic(404, "model_unavailable", "not_found_error", "model: claude-9"),
        _anthropic(404, "unsupported", "not_found_error", "File not found: file_011CNha8iCJcU1wXNR6q4V8w"),
        _anthropic(500, "server_error", "api_error", "Internal server error"),
        _anthropic(504, "timeout", "timeout_error", "The request timed out while processing."),
        _anthropic(529, "overloaded", "overloaded_error", "Overloaded"),
    ),
    "google_genai": _GEMINI,
    "google_vertexai": _GEMINI,
    "amazon_bedrock": (
        _aws(400, "context_overflow", "ValidationException", "Input is too long for requested model."),
        _aws(400, "context_overflow", "ValidationException", "Malformed input request: expected maxLength: 42000, actual: 46735"),
        _aws(
            400, "model_unavailable", "ValidationException",
            "Invocation of model ID anthropic.claude-sonnet-4-20250514-v1:0 with on-demand throughput isn\u2019t supported.",
        ),
        _aws(
            400, "context_overflow", "ValidationException",
            "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9279",
        ),
        _aws(400, "unsupported", "ValidationException", "This model doesn't support tool use in streaming mode."),
        _aws(403, "auth", "AccessDeniedException", "You don't have access to the model with the specified model ID."),
        _aws(404, "model_unavailable", "ResourceNotFoundException", "Could not resolve the foundation model."),
        _aws(408, "timeout", "ModelTimeoutException", "The model timed out."),
        _aws(424, "server_error", "ModelErrorException", "The request failed due to an error while processing the model."),
        _aws(429, "rate_limited", "ThrottlingException", "Too many tokens, please wait before trying again."),
        _aws(429, "quota", "ThrottlingException", "Too many tokens per day, please wait before trying again."),
        _aws(429, "overloaded", "ModelNotReadyException", "The model is not ready to serve inference requests."),
        _aws(400, "quota", "ServiceQuotaExceededException", "Your request exceeds the service quota for your account."),
        _aws(503, "overloaded", "ServiceUnavailableException", "The service isn't currently available."),
    ),
    "mistralai": (
        RecordedError(
            400,
            {
                "object": "error",
                "message": "Prompt contains 66385 tokens, too large for model with 32768 maximum context length",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
            "context_overflow",
        ),
        RecordedError(
            429,
            {
                "object": "error",
                "message": "Service tier capacity exceeded for this model.",
                "type": "service_tier_capacity_exceeded",
                "param": None,
                "code": "3505",
            },
            "overloaded",
        ),
        RecordedError(
            400,
            {"object": "error", "message": "Invalid model: mistral-huge", "type": "invalid_model", "param": None, "code": "1500"},
            "model_unavailable",
        ),
        RecordedError(402, {"object": "error", "message": "Payment required"}, "quota"),
    ),
    "deepseek": (
        # danilofalcao/jarvis, issue 62.
        _openai(402, "quota", "Insufficient Balance", "invalid_request_error", "unknown_error"),
        _openai(
            400, "unsupported", "The reasoning_content in the thinking mode must be passed back to the API.",
            "invalid_request_error", "invalid_request_error",
        ),
        # stackblitz-labs/bolt.diy, issue 227.
        _openai(
            400, "context_overflow",
            "This model's maximum context length is 131072 tokens. However, you requested 133034 tokens (125034 in the messages, "
            "8000 in the completion). Please reduce the length of the messages or completion.",
            "invalid_request_error", "invalid_request_error",
        ),
        _openai(422, "bad_request", "Invalid Parameters"),
        _openai(503, "overloaded", "Server Overloaded"),
    ),
    "xai": (
        RecordedError(
            400,
            {
                "code": "invalid-argument",
                "error": "This model's maximum prompt length is 500000 but the request contains 637815 tokens.",
            },
            "context_overflow",
        ),
        *(
            # continuedev/continue, issue 10373; warpdotdev/warp, issue 14867.
            RecordedError(
                status,
                {
                    "code": "some-code",
                    "error": "Your team 16f2 has either used all available credits or reached its monthly spending limit. "
                    "To continue making API requests, please purchase more credits or raise your spending limit.",
                },
                "quota",
            )
            for status in (403, 429)
        ),
    ),
    "groq": (
        _openai(400, "context_overflow", "Please reduce the length of the messages or completion.", None, "invalid_request_error"),
        _openai(400, "parsing", "Failed to call a function. Please adjust your prompt.", "tool_use_failed", "invalid_request_error"),
        _openai(498, "overloaded", "Flex tier capacity exceeded", "capacity_exceeded"),
        _openai(429, "rate_limited", "Rate limit reached for model `llama-3.3-70b-versatile`", "rate_limit_exceeded", "tokens"),
    ),
    "moonshot": (
        _openai(400, "content_filter", "The request was rejected because it was considered high risk", type="content_filter"),
        # MoonshotAI/kimi-cli, issue 2011.
        _openai(
            400, "context_overflow",
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)", type="invalid_request_error",
        ),
        _openai(400, "context_overflow", "Input token length too long", type="invalid_request_error"),
        # labring/FastGPT, issue 6357.
        _openai(
            400, "unsupported", "thinking is enabled but reasoning_content is missing in assistant tool call message at index 3",
            type="invalid_request_error",
        ),
        _openai(401, "auth", "Invalid Authentication", type="invalid_authentication_error"),
        _openai(401, "auth", "Incorrect API key provided", type="incorrect_api_key_error"),
        _openai(
            429, "quota",
            "Your account org-1 <ak-1> is suspended due to insufficient balance, please recharge your account or check your plan and "
            "billing details", type="exceeded_current_quota_error",
        ),
        # The help pages have an empty account with 403, too.
        _openai(403, "quota", "Your account is suspended due to insufficient balance", type="permission_denied_error"),
        # openclaw/openclaw, issue 142656; NanmiCoder/cc-haha, issue 1208.
        _openai(403, "quota", "You've reached your weekly (7-day) usage limit.", type="access_terminated_error"),
        _openai(
            403, "quota", "You've reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle.",
            type="permission_error",
        ),
        # MoonshotAI/kimi-cli, issues 2318 and 901.
        _openai(
            429, "quota", "request reached organization TPD rate limit, current: 1505241, limit: 1500000",
            type="rate_limit_reached_error",
        ),
        _openai(
            429, "rate_limited", "We're receiving too many requests at the moment. Please wait a moment and try again.",
            type="rate_limit_reached_error",
        ),
        _openai(429, "overloaded", "The engine is currently overloaded, please try again later", type="engine_overloaded_error"),
    ),
    "zai": (
        _openai(401, "auth", "Authorization Token is invalid, please ensure that it is correctly provided.", "1002"),
        # zai-org/feedback, issue 789; hugalafutro/model-hotel, issue 955; Yeachan-Heo/gajae-code, issue 1821; zai-org/GLM-5, issue 77.
        _openai(429, "quota", "[1113][Insufficient balance or no resource package. Please recharge.]", "1113", "rate_limit_error"),
        _openai(429, "quota", "Usage limit reached for 5 hour. Your limit will reset at 2026-09-09 05:38:28", "1308"),
        _openai(429, "quota", "[1310][Weekly/Monthly Limit Exhausted.]", "1310", "rate_limit_error"),
        _openai(429, "quota", "Your account's current usage pattern does not comply with the Fair Usage Policy", "1313"),
        _openai(429, "rate_limited", "High concurrency usage of this API, please reduce concurrency", "1302"),
        _openai(400, "content_filter", "System detected potentially unsafe or sensitive content in input or generation.", "1301"),
        _openai(400, "model_unavailable", "Model does not exist, please check the model code", "1211"),
        _openai(400, "bad_request", "Input cannot be empty", "1214"),
    ),
    "openrouter": (
        _openai(402, "quota", "Insufficient credits. Add more credits and retry the request.", 402),
        # can1357/oh-my-pi, issue 9569.
        _openai(402, "quota", "This request requires more credits, or fewer max_tokens.", 402),
        # NousResearch/hermes-agent, issue 107166.
        _openai(403, "quota", "Budget limit exceeded (monthly limit)", 403),
        # aiosbrain/aios-team-brain, pull request 658.
        RecordedError(
            402,
            {
                "error": {
                    "code": 402,
                    "message": "This request would exceed your available credits given your current in-flight requests. "
                    "Retry after in-flight requests settle, or add credits.",
                    "metadata": {"reason": "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"},
                }
            },
            "rate_limited",
            {"retry-after": "7"},
        ),
        RecordedError(
            403,
            {"error": {"code": 403, "message": "Budget limit exceeded", "metadata": {"limit_source": "openrouter_workspace_budget"}}},
            "quota",
        ),
        RecordedError(
            403,
            {
                "error": {
                    "code": 403,
                    "message": "Request blocked: prompt injection patterns detected",
                    "metadata": {"patterns": ["ignore all previous instructions"]},
                }
            },
            "content_filter",
        ),
        _openai(
            403, "content_filter",
            'anthropic/claude-3-5-haiku requires moderation on Amazon Bedrock. Your input was flagged for "self-harm/intent".', 403,
        ),
        _openai(404, "model_unavailable", "No allowed providers are available for the selected model.", 404),
        _openai(404, "model_unavailable", "No endpoints found for deepseek/deepseek-chat.", 404),
        _openai(404, "unsupported", "No endpoints found that support tool use.", 404),
        _openai(400, "model_unavailable", "deepseek/deepseek-r1 is not a valid model ID", 400),
        *(
            RecordedError(status, {"error": {"code": status, "message": "Error", "metadata": {"error_type": name}}}, kind)
            for status, name, kind in (
                (400, "context_length_exceeded", "context_overflow"),
                (400, "content_policy_violation", "content_filter"),
                (400, "refusal", "content_filter"),
                (400, "image_too_large", "unsupported"),
                (429, "rate_limit_exceeded", "rate_limited"),
                (502, "provider_unavailable", "server_error"),
                (503, "provider_overloaded", "overloaded"),
            )
        ),
    ),
    "together": (
        # BerriAI/litellm, issue 4934.
        _openai(
            400, "context_overflow",
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 80125 `inputs` tokens and 4096 "
            "`max_new_tokens`", type="invalid_request_error",
        ),
        _openai(400, "context_overflow", "The input (516368 tokens) is longer than the model's context length (262144 tokens)."),
        _openai(
            403, "context_overflow",
            "Input token count + max_tokens parameter must be less than the context length of the model being queried.",
        ),
        _openai(402, "quota", "The account associated with the API key has reached its maximum allowed monthly spending limit."),
        _openai(503, "overloaded", "Engine Overloaded"),
    ),
    "fireworks": (
        # fw-ai/cookbook, issue 134.
        _openai(
            400, "context_overflow", "The prompt is too long: 40177, model maximum context length: 32767",
            "invalid_request_error", "invalid_request_error",
        ),
        # pollinations/pollinations, issue 12136.
        _openai(
            412, "quota",
            "Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices. Please go to "
            "https://fireworks.ai/account/billing for more information.", "PRECONDITION_FAILED", "error",
        ),
        _openai(402, "quota", "Account is not on a paid plan or has exceeded usage limits."),
    ),
    "perplexity": (
        # No page of errors was found: OpenAI's protocol alone.
        _openai(401, "auth", "Invalid API key", 401, "authentication_error"),
        _openai(429, "rate_limited", "Request rate limit exceeded, please try again later."),
    ),
    "cerebras": (
        # cline/cline, issue 5140.
        _openai(
            400, "context_overflow", "Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000"
        ),
        _openai(402, "quota", "Payment required"),
    ),
    "minimax": (
        # MiniMax-AI/MiniMax-M2, issues 62 and 119; modelscope/modelscope, issue 1691; nearai/ironclaw, issue 1742.
        _openai(400, "context_overflow", "invalid params, context window exceeds limit (2013)", type="bad_request_error"),
        _openai(500, "quota", "insufficient balance (1008)", type="api_error"),
        _openai(429, "quota", "insufficient balance (1008)", type="insufficient_balance_error"),
        _openai(
            401, "auth", "login fail: Please carry the API secret key in the 'Authorization' field of the request header (1004)",
            type="authorized_error",
        ),
        # MiniMax-AI/MiniMax-M2.7, issue 36.
        _openai(
            429, "quota", "usage limit exceeded, 5-hour usage limit reached for Token Plan Starter (0/0 used), resets at "
            "2026-05-15T15:00:00Z (2056)", type="rate_limit_error",
        ),
        _openai(422, "content_filter", "input new_sensitive (1026)", type="unprocessable_entity_error"),
        _openai(500, "content_filter", "output new_sensitive (1027)", type="api_error"),
        _openai(400, "bad_request", "invalid params, glyph definition format error (2013)", type="bad_request_error"),
        *(
            RecordedError(status, {"base_resp": {"status_code": code, "status_msg": message}}, kind)
            for status, code, message, kind in (
                (429, 1002, "rate limit", "rate_limited"),
                (401, 1004, "not authorized", "auth"),
                (429, 1008, "insufficient balance", "quota"),
                (422, 1026, "input new_sensitive", "content_filter"),
                (422, 1027, "output new_sensitive", "content_filter"),
                (429, 1039, "token limit", "rate_limited"),
                (400, 2013, "invalid params", "bad_request"),
            )
        ),
    ),
    "dashscope": (
        _openai(400, "context_overflow", "Range of input length should be [1, 98304]", "invalid_parameter_error"),
        _openai(400, "quota", "Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"),
        _openai(403, "quota", "The free tier of the model has been exhausted.", "AllocationQuota.FreeTierOnly"),
        _openai(400, "content_filter", "Input data may contain inappropriate content.", "data_inspection_failed"),
        _openai(429, "rate_limited", "Requests throttling triggered.", "Throttling"),
    ),
    "cohere": (
        RecordedError(
            400,
            {
                "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292. "
                "Try using a shorter prompt, or enabling prompt truncating."
            },
            "context_overflow",
        ),
        RecordedError(429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}, "quota"),
        RecordedError(429, {"message": "You are using a Trial key, which is limited to 40 API calls / minute."}, "rate_limited"),
        RecordedError(402, {"message": "Payment Required"}, "quota"),
    ),
    "ollama": (
        RecordedError(400, {"error": "the input length exceeds the context length"}, "context_overflow"),
        RecordedError(400, {"error": "registry.ollama.ai/library/gemma:2b does not support tools"}, "unsupported"),
        RecordedError(404, {"error": 'model "llama9" not found, try pulling it first'}, "model_unavailable"),
    ),
    "openai_compatible": (
        # llama.cpp, then vLLM.
        _openai(
            400, "context_overflow",
            "request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it", 400, "exceed_context_size_error",
        ),
        RecordedError(
            400,
            {
                "object": "error",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
                "message": "This model's maximum context length is 32768 tokens. However, you requested 40000 tokens (39000 in the "
                "messages, 1000 in the completion).",
            },
            "context_overflow",
        ),
        _openai(400, "context_overflow", "The decoder prompt (length 15083) is longer than the maximum model length of 8192", 400),
        # SGLang; LM Studio (continuedev/continue, issue 9957).
        _openai(400, "context_overflow", "The input (131123 tokens) is longer than the model's context length (131072 tokens)."),
        _openai(
            400, "context_overflow",
            "The number of tokens to keep from the initial prompt is greater than the context length. Try to load the model with a "
            "larger context length, or provide a shorter input",
        ),
    ),
}  # fmt: skip
"""Name of a profile → its errors."""

_PROTOCOL = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}
_RESPONSES = {"completed": "stop", "max_output_tokens": "length", "max_messages": "length", "steered": "paused", "failed": "error"}
_CLAUDE = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "pause_turn": "paused",
    "refusal": "refusal",
    "model_context_window_exceeded": "length",
}
_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION", "MODEL_ARMOR", "JAILBREAK", "ESCALATION", "PUP_LIMITED_DISABLED",
        ),
        "content_filter",
    ),
    **dict.fromkeys(
        (
            "FINISH_REASON_UNSPECIFIED", "OTHER", "MALFORMED_FUNCTION_CALL", "IMAGE_OTHER", "NO_IMAGE", "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE",
        ),
        "error",
    ),
    "CONTINUATION": "paused",
}  # fmt: skip

ENDS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        ("xai", "groq", "moonshot", "together", "fireworks", "perplexity", "cerebras", "minimax", "dashscope", "openai_compatible"),
        _PROTOCOL,
    ),
    "openai": {**_PROTOCOL, "function_call": "tool_calls", **_RESPONSES},
    "azure": {**_PROTOCOL, **_RESPONSES},
    "azure_ai": _PROTOCOL,
    "anthropic": _CLAUDE,
    "google_genai": _FINISH,
    "google_vertexai": _FINISH,
    "amazon_bedrock": {
        "end_turn": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "stop_sequence": "stop",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
        "malformed_model_output": "error",
        "malformed_tool_use": "error",
        "model_context_window_exceeded": "length",
    },
    "mistralai": {"stop": "stop", "length": "length", "model_length": "length", "error": "error", "tool_calls": "tool_calls"},
    "deepseek": {**_PROTOCOL, "insufficient_system_resource": "error"},
    "zai": {**_PROTOCOL, "sensitive": "content_filter", "network_error": "error", "model_context_window_exceeded": "length"},
    "openrouter": {**_PROTOCOL, "error": "error"},
    "cohere": {
        "COMPLETE": "stop",
        "STOP_SEQUENCE": "stop",
        "MAX_TOKENS": "length",
        "TOOL_CALL": "tool_calls",
        "ERROR": "error",
        "TIMEOUT": "error",
    },
    "ollama": {"stop": "stop", "length": "length", "load": "error", "unload": "error"},
}
"""Name of a profile → its words for why an answer ended, and what they mean."""

_GEMINI_USAGE = (
    (
        {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 900,
            "candidatesTokenCount": 40,
            "thoughtsTokenCount": 60,
            "toolUsePromptTokenCount": 20,
            "totalTokenCount": 1120,
        },
        Usage(input_tokens=1020, output_tokens=100, cache_read=900, reasoning=60),
    ),
    ({"prompt_token_count": 7, "candidates_token_count": 3, "total_token_count": 10}, Usage(7, 3)),
)

_CHAT_USAGE = (
    {
        "prompt_tokens": 1200,
        "completion_tokens": 300,
        "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 200, "accepted_prediction_tokens": 0},
    },
    Usage(input_tokens=1200, output_tokens=300, cache_read=1024, reasoning=200),
)

USAGE: Mapping[str, tuple[tuple[Mapping[str, Any], Usage], ...]] = {
    "openai": (
        _CHAT_USAGE,
        (
            {
                "input_tokens": 36,
                "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 20},
                "output_tokens": 87,
                "output_tokens_details": {"reasoning_tokens": 80},
                "total_tokens": 123,
            },
            Usage(input_tokens=36, output_tokens=87, cache_read=12, cache_write=20, reasoning=80),
        ),
    ),
    "anthropic": (
        (
            {
                "input_tokens": 50,
                "cache_creation_input_tokens": 248,
                "cache_read_input_tokens": 1800,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503,
                "output_tokens_details": {"thinking_tokens": 400},
            },
            Usage(2098, 503, cache_read=1800, cache_write=148, cache_write_1h=100, reasoning=400),
        ),
    ),
    "google_genai": _GEMINI_USAGE,
    "google_vertexai": _GEMINI_USAGE,
    "amazon_bedrock": (
        (
            {
                "inputTokens": 10,
                "outputTokens": 5,
                "totalTokens": 15,
                "cacheReadInputTokens": 100,
                "cacheWriteInputTokens": 30,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
            },
            Usage(140, 5, cache_read=100, cache_write=10, cache_write_1h=20),
        ),
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, Usage(10, 5)),
    ),
    "deepseek": (
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(100, 20, cache_read=64, reasoning=5),
        ),
    ),
    # The same service behind another address (learn.microsoft.com/azure/ai-foundry/openai/reference).
    "azure": (_CHAT_USAGE,),
    "azure_ai": (({"prompt_tokens": 19, "completion_tokens": 7, "total_tokens": 26}, Usage(19, 7)),),
    # docs.mistral.ai/inference/conversations/advanced/prompt-caching; the second as its API had it before.
    "mistralai": (
        (
            {
                "prompt_tokens": 404,
                "completion_tokens": 24,
                "total_tokens": 428,
                "prompt_tokens_details": {"cached_tokens": 368},
            },
            Usage(404, 24, cache_read=368),
        ),
        (
            {
                "prompt_tokens": 404,
                "completion_tokens": 24,
                "total_tokens": 428,
                "num_cached_tokens": 368,
                "prompt_audio_seconds": None,
            },
            Usage(404, 24, cache_read=368),
        ),
    ),
    "xai": (
        # docs.x.ai/developers/advanced-api-usage/prompt-caching/usage-and-pricing
        (
            {
                "prompt_tokens": 125,
                "completion_tokens": 48,
                "total_tokens": 173,
                "prompt_tokens_details": {"text_tokens": 125, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 98},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "rejected_prediction_tokens": 0},
                "num_sources_used": 0,
            },
            Usage(125, 48, cache_read=98),
        ),
        # A model that reasons counts its thinking beside the completion; only the total shows that.
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 345,
                "prompt_tokens_details": {"text_tokens": 32, "cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 304},
                "cost_in_usd_ticks": 3775600,
            },
            Usage(32, 313, cache_read=4, reasoning=304),
        ),
        (
            {
                "input_tokens": 14750,
                "input_tokens_details": {"cached_tokens": 8064},
                "output_tokens": 3436,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 18186,
                "num_server_side_tools_used": 8,
            },
            Usage(14750, 3436, cache_read=8064),
        ),
    ),
    # console.groq.com/docs/prompt-caching
    "groq": (
        (
            {
                "queue_time": 0.026959759,
                "prompt_tokens": 4641,
                "prompt_time": 0.009995497,
                "completion_tokens": 1817,
                "completion_time": 5.57691751,
                "total_tokens": 6458,
                "total_time": 5.586913007,
                "prompt_tokens_details": {"cached_tokens": 4608},
            },
            Usage(4641, 1817, cache_read=4608),
        ),
    ),
    # platform.moonshot.ai/docs/api/chat: beside the others.
    "moonshot": (
        (
            {"prompt_tokens": 8192, "completion_tokens": 20, "total_tokens": 8212, "cached_tokens": 7936},
            Usage(8192, 20, cache_read=7936),
        ),
    ),
    # docs.z.ai/guides/capabilities/cache
    "zai": (
        (
            {
                "prompt_tokens": 1200,
                "completion_tokens": 300,
                "total_tokens": 1500,
                "prompt_tokens_details": {"cached_tokens": 800},
            },
            Usage(1200, 300, cache_read=800),
        ),
    ),
    # openrouter.ai/docs/use-cases/usage-accounting
    "openrouter": (
        (
            {
                "prompt_tokens": 10339,
                "completion_tokens": 60,
                "total_tokens": 10399,
                "prompt_tokens_details": {"cached_tokens": 318, "cache_write_tokens": 10000, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 20, "image_tokens": 0},
                "cost": 0.0123,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": None},
            },
            Usage(10339, 60, cache_read=318, cache_write=10000, reasoning=20),
        ),
    ),
    "together": (
        (
            {"prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912, "cached_tokens": 512},
            Usage(900, 12, cache_read=512),
        ),
    ),
    # docs.fireworks.ai/guides/prompt-caching
    "fireworks": (
        (
            {"prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912, "prompt_tokens_details": {"cached_tokens": 512}},
            Usage(900, 12, cache_read=512),
        ),
    ),
    # docs.perplexity.ai/api-reference: what it found is not part of the tokens, and is in the stated cost.
    "perplexity": (
        (
            {
                "prompt_tokens": 33,
                "completion_tokens": 7163,
                "total_tokens": 7196,
                "citation_tokens": 20016,
                "num_search_queries": 18,
                "reasoning_tokens": 73997,
                "cost": {"input_tokens_cost": 0.0, "output_tokens_cost": 0.057, "search_queries_cost": 0.09, "total_cost": 0.41},
            },
            Usage(33, 7163),
        ),
        ({"prompt_tokens": 14, "completion_tokens": 181, "total_tokens": 195, "search_context_size": "low"}, Usage(14, 181)),
    ),
    # inference-docs.cerebras.ai/api-reference/chat-completions; its times stand beside the usage.
    "cerebras": (
        (
            {"prompt_tokens": 300, "completion_tokens": 12, "total_tokens": 312, "prompt_tokens_details": {"cached_tokens": 256}},
            Usage(300, 12, cache_read=256),
        ),
    ),
    # platform.minimax.io/docs/api-reference/text-chat
    "minimax": (
        (
            {
                "total_tokens": 249,
                "total_characters": 0,
                "prompt_tokens": 26,
                "completion_tokens": 223,
                "completion_tokens_details": {"reasoning_tokens": 214},
            },
            Usage(26, 223, reasoning=214),
        ),
    ),
    # alibabacloud.com/help/en/model-studio/context-cache: a write costs 125 % of the input.
    "dashscope": (
        (
            {
                "prompt_tokens": 2059,
                "completion_tokens": 201,
                "total_tokens": 2260,
                "prompt_tokens_details": {
                    "text_tokens": 2059,
                    "cache_creation": {"ephemeral_5m_input_tokens": 2048},
                    "cache_creation_input_tokens": 2048,
                    "cache_type": "ephemeral",
                    "cached_tokens": 0,
                },
                "completion_tokens_details": {"reasoning_tokens": 170, "text_tokens": 31},
            },
            Usage(2059, 201, cache_write=2048, reasoning=170),
        ),
    ),
    "cohere": (
        (
            {"billed_units": {"input_tokens": 21, "output_tokens": 93}, "tokens": {"input_tokens": 186, "output_tokens": 93}},
            Usage(21, 93),
        ),
    ),
    # docs.ollama.com/api/chat, and its endpoint of OpenAI's protocol.
    "ollama": (
        (
            {"total_duration": 4883583458, "prompt_eval_count": 26, "prompt_eval_duration": 342546000, "eval_count": 282},
            Usage(26, 282),
        ),
        ({"prompt_tokens": 26, "completion_tokens": 282, "total_tokens": 308}, Usage(26, 282)),
    ),
    # vLLM without and with `--enable-prompt-tokens-details`.
    "openai_compatible": (
        ({"prompt_tokens": 31, "total_tokens": 50, "completion_tokens": 19, "prompt_tokens_details": None}, Usage(31, 19)),
        (
            {"prompt_tokens": 31, "total_tokens": 50, "completion_tokens": 19, "prompt_tokens_details": {"cached_tokens": 16}},
            Usage(31, 19, cache_read=16),
        ),
    ),
}
"""Name of a profile → its records of tokens, and the counts that they mean."""
