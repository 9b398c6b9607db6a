"""Profiles of Azure OpenAI and Azure AI Foundry.

Source: https://learn.microsoft.com/azure/ai-foundry/openai/, pages on quotas and content filtering.
"""

from __future__ import annotations

from langroute.providers.openai import OPENAI, PROMPT_CACHE
from langroute.providers.openai_protocol import BILLING, CHAT, COMPATIBLE, ERRORS, OWN_TOOLS
from langroute.providers.profile import ErrorRule, ProviderProfile

_AZURE_ERRORS = (
    *ERRORS,
    ErrorRule("model_unavailable", codes=("deploymentnotfound", "operationnotsupported", "unsupportedapiversion")),
    ErrorRule("content_filter", codes=("responsibleaipolicyviolation",)),
)

AZURE = ProviderProfile(
    "azure",
    aliases=("azure", "azure_openai"),
    hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
    writes_as="openai",
    # Azure serves OpenAI's models by both of OpenAI's protocols.
    wire_changes={
        COMPATIBLE.name: {
            "own_tools": OWN_TOOLS,
            "responses_arguments": CHAT.responses_arguments,
            "media_types": CHAT.media_types,
            "temperature": CHAT.temperature,
            "max_stops": CHAT.max_stops,
            "by_model": CHAT.by_model,
        },
    },
    telemetry_name="azure.ai.openai",
    footprint_name="openai",
    finish_reasons=OPENAI.finish_reasons,
    always_gives_reason=True,
    billing=BILLING,
    errors=_AZURE_ERRORS,
    prompt_cache=PROMPT_CACHE,
)
AZURE_AI = ProviderProfile(
    "azure_ai",
    aliases=("azure_ai",),
    hosts=("models.ai.azure.com", "inference.ai.azure.com"),
    price_id="azure",
    telemetry_name="azure.ai.inference",
    finish_reasons=OPENAI.finish_reasons,
    errors=_AZURE_ERRORS,
)
