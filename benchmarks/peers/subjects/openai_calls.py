"""Calls of a gateway with the SDKs of OpenAI and Anthropic, as its clients make them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from servers import TOKEN


class Calls:
    """Calls of a gateway. `tell` reads model, reason and cost from the headers of an answer."""

    def __init__(self, address: str, model: str, protocol: str, tell: Callable[[Any, Any], dict[str, Any]], **more: Any) -> None:
        self.model, self.protocol, self.tell, self.more = model, protocol, tell, more
        if protocol == "anthropic":
            from anthropic import Anthropic

            self.client: Any = Anthropic(base_url=address.removesuffix("/v1"), api_key=TOKEN, max_retries=0)
        else:
            from openai import OpenAI

            self.client = OpenAI(base_url=address, api_key=TOKEN, max_retries=0, timeout=20)

    def ask(self, messages: list[Any], tools: list[Any] | None) -> dict[str, Any]:
        if self.protocol == "anthropic":
            answer = self.client.messages.with_raw_response.create(model=self.model, max_tokens=500, messages=messages, **self.more)
            return {"text": answer.parse().content[0].text, **self.tell(answer.headers, answer.parse().model)}
        more = {"tools": tools} if tools else {}
        answer = self.client.chat.completions.with_raw_response.create(model=self.model, messages=messages, **self.more, **more)
        parsed = answer.parse()
        message = parsed.choices[0].message
        raw = json.loads(message.model_dump_json(exclude_none=True))
        calls = [call.id for call in message.tool_calls or ()]
        return {"text": message.content or "", "raw": raw, "calls": calls, **self.tell(answer.headers, parsed.model)}

    def stream(self, messages: list[Any]) -> Iterator[str]:
        for chunk in self.client.chat.completions.create(model=self.model, messages=messages, stream=True, **self.more):
            for choice in chunk.choices:
                yield choice.delta.content or ""

    def streamed(self, messages: list[Any]) -> dict[str, Any]:
        if self.protocol == "anthropic":
            answer = self.client.messages.with_raw_response.create(
                model=self.model, max_tokens=500, messages=messages, stream=True, **self.more
            )
        else:
            usage = {"stream_options": {"include_usage": True}}
            answer = self.client.chat.completions.with_raw_response.create(
                model=self.model, messages=messages, stream=True, **usage, **self.more
            )
        stated = None
        for event in answer.parse():
            usage = getattr(event, "usage", None)
            # LiteLLM's proxy states the cost there, if it is told to.
            stated = getattr(usage, "cost", None) or stated
        told = self.tell(answer.headers, None)
        return {"text": "", **told, "cost": told["cost"] if stated is None else stated}
