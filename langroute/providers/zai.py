"""Profile of Z.ai and Zhipu (GLM).

Source: https://docs.z.ai/api-reference/api-code (read 2026-11-29) and /api-reference/llm/chat-completion; 1310 and 1313 in issues 1821 of
Yeachan-Heo/gajae-code and 77 of zai-org/GLM-5 (read 2026-11-29).
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import ErrorRule, ProviderProfile

ZAI = ProviderProfile(
    "zai",
    aliases=("zai", "zhipuai", "zhipu"),
    hosts=("api.z.ai", "open.bigmodel.cn"),
    models=r"(?:^|/)glm",
    wire="openai-compatible",
    wire_changes={"openai-compatible": {"own_tools": r"web_search|retrieval", "temperature": (0, 1), "max_stops": 1}},
    finish_reasons={
        **FINISH_REASONS,
        "sensitive": "content_filter",
        "network_error": "error",
        "model_context_window_exceeded": "length",
    },
    always_gives_reason=True,
    errors=(
        *ERRORS,
        ErrorRule("auth", codes=("1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1121", "1220")),
        ErrorRule("quota", codes=("1113", "1304", "1308", "1309", "1310", "1313")),
        ErrorRule("rate_limited", codes=("1302", "1303", "1305")),
        ErrorRule("model_unavailable", codes=("1211", "1221", "1222")),
        ErrorRule("unsupported", codes=("1212",)),
        ErrorRule("context_overflow", codes=("1261",)),
        ErrorRule("content_filter", codes=("1300", "1301")),
        ErrorRule("server_error", codes=("1120", "1230", "1234")),
    ),
)
