"""A provider of models on a machine of its own. It notes each call in a file before it answers.

Called as `python model_provider.py HOST PORT FILE`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

OUTPUT_TOKENS = 20
SECONDS = 0.05


def input_tokens(text: str) -> int:
    """What is billed for the last message, a little less than anybody estimates."""
    return len(text) // 6


async def answer(request: web.Request) -> web.Response:
    body: dict[str, Any] = await request.json()
    text = body["messages"][-1]["content"]
    key = re.findall(r"\[(\S+)\]", text)[-1]
    await asyncio.sleep(SECONDS)
    tokens = {"prompt_tokens": input_tokens(text), "completion_tokens": OUTPUT_TOKENS}
    line = json.dumps({"key": key, "at": time.time(), "input": tokens["prompt_tokens"], "output": OUTPUT_TOKENS})
    with request.app["log"].open("a") as log:
        log.write(f"{line}\n")
    message = {"role": "assistant", "content": f"Done: {key}."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {**tokens, "total_tokens": sum(tokens.values())}
    told = {"id": key, "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage}
    return web.json_response(told)


def main() -> None:
    host, port, file = sys.argv[1:]
    app = web.Application()
    app["log"] = Path(file)
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host=host, port=int(port), print=None)


if __name__ == "__main__":
    main()
