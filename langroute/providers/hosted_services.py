"""Profiles of hosted services with OpenAI's chat protocol: Together, Fireworks, Perplexity, Cerebras, MiniMax, DashScope, Cohere.

Sources: https://docs.together.ai/docs/error-codes, https://docs.fireworks.ai/guides/inference-error-codes,
https://docs.perplexity.ai, https://inference-docs.cerebras.ai, https://platform.minimax.io/docs/api-reference/errorcode,
https://www.alibabacloud.com/help/en/model-studio/error-code, https://docs.cohere.com/reference/errors.
Read 2026-11-29: the pages of Together, Fireworks, MiniMax, Model Studio (help.aliyun.com/en/model-studio/error-code) and Cohere
(docs.cohere.com/errors-reference), and errors in issues 4934 of BerriAI/litellm (Together), 134 of fw-ai/cookbook and 12136 of
pollinations/pollinations (Fireworks), 5140 of cline/cline (Cerebras), 1691 of modelscope/modelscope, 62 and 119 of
MiniMax-AI/MiniMax-M2 and 36 of MiniMax-AI/MiniMax-M2.7. No page of Perplexity's errors was found.
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import BillingRules, ErrorRule, ProviderProfile, UsageFields

_NO_BILLING = BillingRules()


def _service(
    name: str,
    hosts: tuple[str, ...],
    *errors: ErrorRule,
    models: str | None = None,
    price_id: str | None = None,
    billing: BillingRules = _NO_BILLING,
) -> ProviderProfile:
    return ProviderProfile(
        name,
        aliases=(name,),
        hosts=hosts,
        models=models,
        price_id=price_id,
        wire="openai-compatible",
        finish_reasons=FINISH_REASONS,
        always_gives_reason=True,
        billing=billing,
        errors=(*ERRORS, *errors),
    )


TOGETHER = _service(
    "together",
    ("api.together.xyz",),
    # Too many tokens are 403 there, which is a missing right elsewhere.
    ErrorRule(
        "context_overflow",
        words=(
            "is longer than the model's context length",
            "must be less than the context length of the model",
            "`max_new_tokens` must be <=",
        ),
    ),
)
FIREWORKS = _service(
    "fireworks",
    ("api.fireworks.ai",),
    ErrorRule("context_overflow", words=("model maximum context length:",)),
    ErrorRule("quota", words=("is suspended, possibly due to reaching the monthly spending limit",)),
)
# The usage of an answer states what its tokens, searches and the request cost (docs.perplexity.ai/api-reference, read 2026-11-29).
PERPLEXITY = _service(
    "perplexity",
    ("api.perplexity.ai",),
    billing=BillingRules(stated_cost=(("cost.total_cost", 1.0),)),
)
CEREBRAS = _service(
    "cerebras",
    ("api.cerebras.ai",),
    ErrorRule("context_overflow", words=("please reduce the length of the messages or completion",)),
)
MINIMAX = _service(
    "minimax",
    ("api.minimax.io", "api.minimaxi.com"),
    ErrorRule("context_overflow", words=("context window exceeds limit",)),
    ErrorRule(
        "quota",
        codes=("1008", "2056", "insufficient_balance_error"),
        words=("insufficient balance (1008)", "usage limit reached for token plan"),
    ),
    ErrorRule("content_filter", codes=("1026", "1027"), words=("new_sensitive (1026)", "new_sensitive (1027)")),
    # 1039 is the limit of tokens a minute. 2013 is any bad parameter: its words tell a prompt that is too long.
    ErrorRule("rate_limited", codes=("1002", "1039", "1041", "2045")),
    ErrorRule("auth", codes=("1004", "2049", "authorized_error")),
    ErrorRule("timeout", codes=("1001",)),
    ErrorRule("server_error", codes=("1000", "1024", "1033")),
    models=r"(?:^|/)(?:minimax|abab)",
)
DASHSCOPE = _service(
    "dashscope",
    ("aliyuncs.com",),
    ErrorRule("context_overflow", words=("range of input length should be",)),
    ErrorRule("content_filter", codes=("datainspectionfailed", "data_inspection_failed")),
    ErrorRule("quota", codes=("arrearage", "allocationquota.freetieronly"), words=("free tier of the model has been exhausted",)),
    models=r"(?:^|/)(?:qwen|qwq)",
)
COHERE_USAGE = UsageFields(
    # `tokens` beside it has what the model read, its own wrapping of the prompt included, which is not billed.
    input=("billed_units.input_tokens",),
    output=("billed_units.output_tokens",),
    told_by=("billed_units",),
)
"""Source: https://docs.cohere.com/docs/how-does-cohere-pricing-work (read 2026-11-30)."""

COHERE = ProviderProfile(
    "cohere",
    aliases=("cohere",),
    hosts=("api.cohere.com", "api.cohere.ai"),
    models=r"(?:^|/)(?:command|c4ai|aya)",
    finish_reasons={
        "complete": "stop",
        "stop_sequence": "stop",
        "tool_call": "tool_calls",
        "max_tokens": "length",
        "error": "error",
        "error_toxic": "content_filter",
        "error_limit": "length",
        "user_cancel": "error",
        "timeout": "error",
    },
    errors=(
        ErrorRule(
            "context_overflow", words=("too many tokens: the total number of tokens", "too many tokens: total number of tokens")
        ),
        # A trial key has a limit a minute, too, which is told in the same words up to here.
        ErrorRule("quota", words=("api calls / month",)),
    ),
)

SERVICES = (TOGETHER, FIREWORKS, PERPLEXITY, CEREBRAS, MINIMAX, DASHSCOPE, COHERE)
