"""The prompt caches of providers: exact prefixes, by marks for Anthropic's Messages, by themselves for OpenAI's and Google's protocols.

Sources: https://platform.claude.com/docs/en/build-with-claude/prompt-caching, https://platform.openai.com/docs/guides/prompt-caching and
https://ai.google.dev/gemini-api/docs/caching (rules alone: what is a prefix, what a mark writes, how far back it looks, the least length and
the steps in which it grows; Google does not say its steps).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from provider import CHAT, GEMINI, MESSAGES, RESPONSES, gemini_chunk, plain, plain_events
from raw_provider import Said
from wire_shapes import compact

BACK = 20
"""Blocks before a mark in which an entry is looked for."""

STEP = 128
"""Tokens by which a prefix that is cached by itself grows."""

LEAST = 1024
"""The shortest one of OpenAI's."""

LEAST_OF_GOOGLE = (("gemini-2.5", 2048), ("gemini", 4096))
"""Beginning of a model's name → its shortest one."""

A_TOKEN = 4
"""Bytes of one."""


@dataclass
class Read:
    """What the cache made of one prompt, in tokens."""

    model: str
    read: int
    kept: int
    """What of this prompt is in the cache now."""

    total: int


@dataclass
class Cache:
    """The prompt caches of one provider, and what it answers."""

    log: list[Read] = field(default_factory=list)
    sealed: str = ""
    _kept: set[bytes] = field(default_factory=set)

    def read(self, path: str, body: bytes) -> Read:
        """Take a prompt, and return what of it was cached."""
        given = json.loads(body)
        if path.startswith(GEMINI):
            path, given = GEMINI, {**given, "model": path.removeprefix(f"{GEMINI}/").partition(":")[0]}
        found = self._marked(given) if path == MESSAGES else self._automatic(path, given)
        self.log.append(found)
        return found

    def _marked(self, given: dict[str, Any]) -> Read:
        blocks = [("tools", one) for one in given.get("tools") or []]
        system = given.get("system") or []
        blocks += [("system", one) for one in ([{"type": "text", "text": system}] if isinstance(system, str) else system)]
        # What is asked of the model besides stands before the messages.
        blocks.append(("asked", {name: given.get(name) for name in ("thinking", "tool_choice")}))
        for message in given["messages"]:
            content = message["content"]
            blocks += [
                (message["role"], one) for one in ([{"type": "text", "text": content}] if isinstance(content, str) else content)
            ]
        chain, sizes, marks = [], [], []
        last, size = given["model"].encode(), 0
        for place, (kind, block) in enumerate(blocks):
            text = compact({name: value for name, value in block.items() if name != "cache_control"})
            last = blake2b(last + kind.encode() + text, digest_size=16).digest()
            size += len(text) // A_TOKEN
            chain.append(last)
            sizes.append(size)
            if "cache_control" in block:
                marks.append(place)
        assert len(marks) <= 4, "more marks than the provider takes"
        read = max(
            (sizes[at] for mark in marks for at in range(max(0, mark - BACK), mark + 1) if chain[at] in self._kept), default=0
        )
        self._kept.update(chain[mark] for mark in marks)
        return Read(given["model"], read, sizes[marks[-1]] if marks else 0, size)

    def _automatic(self, path: str, given: dict[str, Any]) -> Read:
        parts = [given.get("tools") or [], given.get("instructions") or given.get("systemInstruction") or ""]
        parts += given[{CHAT: "messages", RESPONSES: "input", GEMINI: "contents"}[path]]
        text = b"\n".join(map(compact, parts))
        # Requests of one key are served where its cache is.
        last = f"{given['model']}\0{given.get('prompt_cache_key')}".encode()
        chain = []
        for at in range(0, len(text) - STEP * A_TOKEN + 1, STEP * A_TOKEN):
            last = blake2b(last + text[at : at + STEP * A_TOKEN], digest_size=16).digest()
            chain.append(last)
        known = next((place for place, one in enumerate(chain) if one not in self._kept), len(chain))
        self._kept.update(chain)
        least = next((tokens for name, tokens in LEAST_OF_GOOGLE if given["model"].startswith(name)), LEAST)
        read, kept = (count * STEP if count * STEP >= least else 0 for count in (known, len(chain)))
        return Read(given["model"], read, kept, len(text) // A_TOKEN)

    def answer(self, path: str, body: bytes) -> Said:
        """Answer a request as its provider does, with what was cached in the usage."""
        found = self.read(path, body)
        if path.startswith(GEMINI):
            return self._of_google(found)
        given = json.loads(body)
        if path == MESSAGES:
            usage: dict[str, Any] = {
                "input_tokens": found.total - max(found.kept, found.read),
                "cache_creation_input_tokens": max(0, found.kept - found.read),
                "cache_read_input_tokens": found.read,
            }
        else:
            names = ("prompt_tokens", "prompt_tokens_details") if path == CHAT else ("input_tokens", "input_tokens_details")
            usage = {names[0]: found.total, names[1]: {"cached_tokens": found.read}, "total_tokens": found.total + 20}
        tokens = (found.total, 20)
        if not given.get("stream"):
            told = plain(path, found.model, ["Let me look."], found.total)
            told["usage"].update(usage)
            return Said([compact(told)], headers=[("content-type", "application/json")], tokens=tokens)
        events = plain_events(path, found.model, ["Let me", " look."], found.total, self.sealed if path == MESSAGES else None)
        if path == RESPONSES and self.sealed:
            item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": self.sealed}
            events.insert(1, ("response.output_item.done", {"type": "response.output_item.done", "output_index": 9, "item": item}))
        for _, data in events:
            for holder in (data, data.get("message"), data.get("response")) if isinstance(data, dict) else ():
                if isinstance(holder, dict) and isinstance(holder.get("usage"), dict) and len(holder["usage"]) > 1:
                    holder["usage"].update(usage)
        text = [data if isinstance(data, str) else json.dumps(data) for _, data in events]
        lines = [
            f"event: {name}\ndata: {one}\n\n" if name else f"data: {one}\n\n" for (name, _), one in zip(events, text, strict=True)
        ]
        return Said(["".join(lines).encode()], headers=[("content-type", "text/event-stream")], tokens=tokens)

    def _of_google(self, found: Read) -> Said:
        chunks = [data for _, data in plain_events(GEMINI, found.model, ["Let me", " look."], found.total)]
        chunks[-1]["usageMetadata"]["cachedContentTokenCount"] = found.read
        if self.sealed:
            chunks.insert(1, gemini_chunk(found.model, [{"text": "", "thoughtSignature": self.sealed}]))
        lines = b"".join(b"data: %s\n\n" % compact(one) for one in chunks)
        return Said([lines], headers=[("content-type", "text/event-stream")], tokens=(found.total, 20))
