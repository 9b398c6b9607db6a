"""Addresses of providers' HTTP interfaces, the protocols they speak there, and the environment variables of their keys.

Source: the base URLs and variables of their own Python packages and of LangChain's, as of 2026-11-30.
"""

from __future__ import annotations

from langroute.core.fast_dataclass import fast_dataclass


@fast_dataclass
class ProviderAddress:
    """Where a provider is called over HTTP."""

    base_url: str
    key_env: str
    protocols: tuple[str, ...] = ("chat",)
    """Of `chat` (Chat Completions), `responses`, `messages` (Anthropic's) and `gemini` (Google's)."""


ADDRESSES = {
    "openai": ProviderAddress("https://api.openai.com/v1", "OPENAI_API_KEY", ("chat", "responses")),
    "anthropic": ProviderAddress("https://api.anthropic.com", "ANTHROPIC_API_KEY", ("messages",)),
    "google_genai": ProviderAddress(
        "https://generativelanguage.googleapis.com/v1beta/openai", "GOOGLE_API_KEY", ("chat", "gemini")
    ),
    "mistralai": ProviderAddress("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": ProviderAddress("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "deepseek": ProviderAddress("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    "xai": ProviderAddress("https://api.x.ai/v1", "XAI_API_KEY"),
    "openrouter": ProviderAddress("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "moonshot": ProviderAddress("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "cerebras": ProviderAddress("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "together": ProviderAddress("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "fireworks": ProviderAddress("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
}
"""LangChain's name of a provider → where it is called."""

PATHS = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages", "gemini": "/models"}

_BESIDE = "/openai"
"""End of the base address under which Google speaks OpenAI's protocol beside its own."""


def endpoint(base_url: str, protocol: str) -> str:
    """Return the address of a protocol's requests.

    The version is added where the base has none: always for `messages`, whose clients give the bare host, and for a host without a path.

    Args:
        base_url: The base address, without a slash at its end.
        protocol: `chat`, `responses`, `messages` or `gemini`, to whose address the model is added.

    Example:
        >>> endpoint("https://api.anthropic.com", "messages"), endpoint("https://api.groq.com/openai/v1", "chat")
        ('https://api.anthropic.com/v1/messages', 'https://api.groq.com/openai/v1/chat/completions')
        >>> endpoint("https://generativelanguage.googleapis.com/v1beta/openai", "gemini")
        'https://generativelanguage.googleapis.com/v1beta/models'
    """
    if protocol == "gemini":
        base_url = base_url.removesuffix(_BESIDE)
    _, _, rest = base_url.partition("://")
    version = rest.rpartition("/")[2]
    versioned = "/" in rest and version[:1] == "v" and version[1:2].isdigit()
    bare_host = protocol in ("messages", "gemini") or "/" not in rest
    version = "/v1beta" if protocol == "gemini" else "/v1"
    return base_url + (version if bare_host and not versioned else "") + PATHS[protocol]


__all__ = ["ADDRESSES", "PATHS", "ProviderAddress", "endpoint"]
