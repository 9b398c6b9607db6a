"""Histories as each provider's package gives them, one feature at a time.

`MARK` stands in the part that a feature is about, so that it can be seen what became of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import count
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

MARK = "QUOKKA"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="

MODELS = {
    "anthropic": "claude-opus-4-6",
    "openai-chat": "gpt-5-mini",
    "openai-responses": "gpt-5",
    "gemini": "gemini-3-pro-preview",
    "mistral": "mistral-large-2512",
    "openai-compatible": "qwen2.5-coder",
    "bedrock": "anthropic.claude-opus-4-6-v1:0",
}
OTHER_MODELS = {
    "anthropic": "claude-haiku-4-5",
    "openai-chat": "gpt-4.1",
    "openai-responses": "o4-mini",
    "gemini": "gemini-2.5-flash",
    "mistral": "magistral-medium-2509",
    "openai-compatible": "llama-3.3",
    "bedrock": "us.meta.llama3-3-70b-instruct-v1:0",
}
PROVIDERS = {
    "anthropic": "anthropic",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "gemini": "google_genai",
    "mistral": "mistralai",
    "openai-compatible": "openai",
    "bedrock": "amazon_bedrock",
}
APIS = tuple(MODELS)


_numbers = count(1)


def _message_id() -> str:
    """Responses' ids of output items: no two are the same."""
    return f"msg_{next(_numbers)}"


def _item(api: str) -> dict[str, Any]:
    """Responses gives its texts ids."""
    return {"id": _message_id()} if api == "openai-responses" else {}


def by(api: str, content: Any, model: str | None = None, **fields: Any) -> AIMessage:
    """An answer as the provider's package gives it."""
    metadata = {"model_provider": PROVIDERS[api], "model_name": model or MODELS[api], **fields.pop("response_metadata", {})}
    if api == "openai-responses":
        metadata.setdefault("id", "resp_1")
    return AIMessage(content, response_metadata=metadata, **fields)


def call(name: str, args: dict[str, Any], call_id: str) -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def ids(api: str, many: int, salt: str = "") -> list[str]:
    """Tool ids as the provider makes them."""
    form = {
        "anthropic": "toolu_01A{}b{}",
        "openai-chat": "call_Xy{}z{}",
        "openai-responses": "call_Rr{}s{}",
        "gemini": "7d8e0b9c-4b1f-4c7f-9d61-0a1b2c3d{}{}",
        "mistral": "Ab3dE{}{}",
        "openai-compatible": "chatcmpl-tool-0123456789abcdef{}{}",
        "bedrock": "tooluse_Kq{}w{}",
    }[api]
    return [
        form.format((salt or "00")[-2:].rjust(2, "0"), f"{place:02d}")[: 9 if api == "mistral" else None] for place in range(many)
    ]


def signed(api: str, model: str | None = None) -> str:
    """A signature that tells for whom it was made. Base64, as the packages expect."""
    import base64

    return base64.b64encode(f"signed-by:{model or MODELS[api]}".encode()).decode()


def thinking(api: str, model: str | None = None, text: str = "I think.") -> list[dict[str, Any]]:
    """Thinking in the provider's own blocks."""
    name = model or MODELS[api]
    if api == "anthropic":
        return [{"type": "thinking", "thinking": text, "signature": signed(api, model)}]
    if api == "openai-responses":
        summary = [{"type": "summary_text", "text": text}]
        return [{"type": "reasoning", "id": f"rs_{name}", "summary": summary, "encrypted_content": signed(api, model)}]
    if api == "gemini":
        return [{"type": "thinking", "thinking": text, "signature": signed(api, model)}]
    if api == "mistral":
        return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]
    if api == "bedrock":
        return [{"type": "reasoning_content", "reasoning_content": {"text": text, "signature": signed(api, model)}}]
    return []


def said(api: str, text: str, model: str | None = None, think: str | None = None, **fields: Any) -> AIMessage:
    """An answer with or without thinking."""
    blocks = thinking(api, model, think) if think else []
    if not blocks and api != "openai-responses":
        return by(api, text, model, **fields)
    body = (
        [{"type": "text", "text": text, **({"annotations": [], "id": _message_id()} if api == "openai-responses" else {})}]
        if text
        else []
    )
    return by(api, [*blocks, *body], model, **fields)


def calling(api: str, calls: list[dict[str, Any]], model: str | None = None, think: str | None = None, text: str = "") -> AIMessage:
    """An answer with tool calls, in the provider's own shape."""
    blocks: list[Any] = thinking(api, model, think) if think else []
    extra: dict[str, Any] = {}
    if text:
        blocks.append({"type": "text", "text": text, **_item(api)})
    if api in ("anthropic", "bedrock"):
        blocks += [{"type": "tool_use", "id": c["id"], "name": c["name"], "input": c["args"]} for c in calls]
    elif api == "openai-responses":
        import json

        blocks += [
            {
                "type": "function_call",
                "id": f"fc_{place}",
                "call_id": c["id"],
                "name": c["name"],
                "arguments": json.dumps(c["args"]),
            }
            for place, c in enumerate(calls)
        ]
    elif api == "gemini":
        extra = {"__gemini_function_call_thought_signatures__": {calls[0]["id"]: signed(api, model)}}
        blocks = blocks or ""  # type: ignore[assignment]
    elif not think or api != "mistral":
        blocks = text  # type: ignore[assignment]
    return by(api, blocks, model, tool_calls=calls, additional_kwargs=extra)


def done(call_id: str, content: Any = "done", **fields: Any) -> ToolMessage:
    return ToolMessage(content, tool_call_id=call_id, name="look", **fields)


Builder = Callable[[str], list[BaseMessage]]
FEATURES: dict[str, Builder] = {}


def feature(title: str) -> Callable[[Builder], Builder]:
    def add(builder: Builder) -> Builder:
        FEATURES[title] = builder
        return builder

    return add


@feature("text")
def _(api: str) -> list[BaseMessage]:
    return [SystemMessage("Be kind."), HumanMessage("Hello."), said(api, f"Hello, {MARK}."), HumanMessage("And now?")]


@feature("thinking")
def _(api: str) -> list[BaseMessage]:
    return [HumanMessage("Hello."), said(api, "Hi.", think=f"Hm, {MARK}."), HumanMessage("And now?")]


@feature("thinking of another model of the provider")
def _(api: str) -> list[BaseMessage]:
    return [HumanMessage("Hello."), said(api, "Hi.", OTHER_MODELS[api], think=f"Hm, {MARK}."), HumanMessage("And now?")]


@feature("thinking in an open tool loop")
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "t")
    return [HumanMessage("Look."), calling(api, [call("look", {"at": "sky"}, one)], think=f"Hm, {MARK}."), done(one)]


@feature("redacted thinking")
def _(api: str) -> list[BaseMessage]:
    blocks = (
        [{"type": "redacted_thinking", "data": f"signed-by:{MODELS[api]} {MARK}"}]
        if api == "anthropic"
        else thinking(api, None, MARK)
    )
    return [
        HumanMessage("Hello."),
        by(api, [*blocks, {"type": "text", "text": "Hi.", **_item(api)}] if blocks else "Hi."),
        HumanMessage("And now?"),
    ]


@feature("tool call and result")
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "c")
    return [HumanMessage("Look."), calling(api, [call("look", {"at": MARK}, one)], text="Looking."), done(one, "blue")]


@feature("parallel tool calls")
def _(api: str) -> list[BaseMessage]:
    one, two = ids(api, 2, "p")
    calls = [call("look", {"at": "sky"}, one), call("look", {"at": MARK}, two)]
    return [
        HumanMessage("Look."),
        calling(api, calls),
        done(two, "green"),
        done(one, "blue"),
        said(api, "Both."),
        HumanMessage("Thanks."),
    ]


@feature("a result that failed")
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "f")
    return [HumanMessage("Look."), calling(api, [call("look", {}, one)]), done(one, f"Error: {MARK}", status="error")]


@feature("a call without result")
def _(api: str) -> list[BaseMessage]:
    one, two = ids(api, 2, "o")
    calls = [call("look", {"at": MARK}, one), call("look", {"at": "sea"}, two)]
    return [HumanMessage("Look."), calling(api, calls), done(two), HumanMessage("Stop.")]


@feature("a result without call")
def _(api: str) -> list[BaseMessage]:
    return [HumanMessage("Look."), done(ids(api, 1, "q")[0], f"blue {MARK}"), said(api, "Blue."), HumanMessage("Thanks.")]


@feature("a person speaks before the result is there")
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "w")
    return [HumanMessage("Look."), calling(api, [call("look", {}, one)]), HumanMessage(f"Hurry, {MARK}."), done(one)]


@feature("tool ids that count from 0 in every answer")
def _(api: str) -> list[BaseMessage]:
    first, second = call("look", {"at": "sky"}, "call_0"), call("look", {"at": MARK}, "call_0")
    return [HumanMessage("Look."), calling(api, [first]), done("call_0", "blue"), calling(api, [second]), done("call_0", "green")]


@feature("tool ids with odd signs, or too long")
def _(api: str) -> list[BaseMessage]:
    one, two = "functions.look:0", "x" * 60
    calls = [call("look", {"at": "sky"}, one), call("look", {"at": MARK}, two)]
    return [HumanMessage("Look."), calling(api, calls), done(one, "blue"), done(two, "green")]


@feature("a call that could not be read")
def _(api: str) -> list[BaseMessage]:
    broken = {"name": "look", "args": f'{{"at": "{MARK}', "id": ids(api, 1, "i")[0], "error": None, "type": "invalid_tool_call"}
    return [HumanMessage("Look."), by(api, "", invalid_tool_calls=[broken]), HumanMessage("Again, please.")]


@feature("server tools")
def _(api: str) -> list[BaseMessage]:
    blocks: Any = "It rains."
    if api == "anthropic":
        found = [
            {"type": "web_search_result", "title": MARK, "url": "https://example.org", "encrypted_content": "x", "page_age": None}
        ]
        blocks = [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": found},
            {"type": "text", "text": "It rains."},
        ]
    elif api == "openai-responses":
        blocks = [
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": MARK}},
            {"type": "text", "text": "It rains.", "annotations": [], "id": _message_id()},
        ]
    elif api == "gemini":
        blocks = [
            {"type": "executable_code", "executable_code": f"print('{MARK}')", "language": "PYTHON", "id": "1"},
            {"type": "code_execution_result", "code_execution_result": "rain", "outcome": 1, "tool_call_id": "1"},
            {"type": "text", "text": "It rains."},
        ]
    return [HumanMessage("Rain?"), by(api, blocks), HumanMessage("Thanks.")]


@feature("server tools in standard blocks")
def _(api: str) -> list[BaseMessage]:
    extras = {"block_type": "web_search_tool_result"}
    found = [{"type": "web_search_result", "title": "Rain", "url": "https://example.org", "encrypted_content": "x"}]
    blocks = [
        {"type": "server_tool_call", "id": "srvtoolu_1", "name": "web_search", "args": {"query": MARK}},
        {"type": "server_tool_result", "tool_call_id": "srvtoolu_1", "status": "success", "output": found, "extras": extras},
        {"type": "text", "text": "It rains."},
    ]
    answer = by(api if api == "anthropic" else "anthropic", blocks, response_metadata={"output_version": "v1"})
    return [HumanMessage("Rain?"), answer, HumanMessage("Thanks.")]


@feature("code that a server ran")
def _(api: str) -> list[BaseMessage]:
    result = {"type": "code_execution_result", "stdout": f"{MARK}\n", "stderr": "", "return_code": 0, "content": []}
    blocks = [
        {"type": "server_tool_use", "id": "srvtoolu_2", "name": "code_execution", "input": {"code": "print(1)"}},
        {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_2", "content": result},
        {"type": "text", "text": "It printed."},
    ]
    return [HumanMessage("Run it."), by("anthropic", blocks), HumanMessage("Thanks.")]


@feature("citations")
def _(api: str) -> list[BaseMessage]:
    text: dict[str, Any] = {"type": "text", "text": f"It rains, {MARK}.", **_item(api)}
    if api == "anthropic":
        cited = {"type": "char_location", "cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
        text["citations"] = [{**cited, "document_title": None}]
    else:
        note = {"type": "url_citation", "url": "https://example.org", "title": "x", "start_index": 0, "end_index": 2}
        text["annotations"] = [note]
    return [HumanMessage("Rain?"), by(api, [text]), HumanMessage("Thanks.")]


@feature("a refusal")
def _(api: str) -> list[BaseMessage]:
    if api == "openai-responses":
        answer = by(api, [{"type": "refusal", "refusal": f"No, {MARK}.", "id": _message_id()}])
    else:
        answer = by(api, "", additional_kwargs={"refusal": f"No, {MARK}."})
    return [HumanMessage("Do it."), answer, HumanMessage("Why not?")]


def _image(api: str, data: str = PIXEL) -> dict[str, Any]:
    if api == "anthropic":
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    if api == "openai-responses":
        return {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}
    if api == "gemini":
        return {"type": "media", "mime_type": "image/png", "data": data}
    if api == "bedrock":
        return {"type": "image", "image": {"format": "png", "source": {"bytes": base64.b64decode(data)}}}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


@feature("an image")
def _(api: str) -> list[BaseMessage]:
    return [HumanMessage([{"type": "text", "text": f"What is this, {MARK}?"}, _image(api)])]


@feature("an image in standard blocks, new and old")
def _(api: str) -> list[BaseMessage]:
    new = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    old = {"type": "image", "source_type": "base64", "data": PIXEL, "mime_type": "image/png"}
    return [HumanMessage([{"type": "text", "text": f"What is this, {MARK}?"}, new, old])]


@feature("an image in a tool's result")
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "m")
    content = [{"type": "text", "text": f"A screenshot, {MARK}."}, _image(api)]
    return [HumanMessage("Look."), calling(api, [call("look", {}, one)]), done(one, content)]


@feature("an image that a model made")
def _(api: str) -> list[BaseMessage]:
    blocks = [
        {"type": "image_generation_call", "id": "ig_1", "result": PIXEL},
        {"type": "text", "text": f"Here, {MARK}.", "id": _message_id()},
    ]
    if api == "gemini":
        blocks = [_image("openai-chat"), {"type": "text", "text": f"Here, {MARK}."}]
    answer = by("openai-responses" if api != "gemini" else api, blocks)
    return [HumanMessage("Paint."), answer, HumanMessage("Larger.")]


@feature("a PDF file")
def _(api: str) -> list[BaseMessage]:
    data = f"data:application/pdf;base64,{PDF}"
    block: dict[str, Any] = {"type": "file", "file": {"filename": f"{MARK}.pdf", "file_data": data}}
    if api == "anthropic":
        source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
        block = {"type": "document", "source": source, "title": MARK, "citations": {"enabled": True}}
    elif api == "openai-responses":
        block = {"type": "input_file", "filename": f"{MARK}.pdf", "file_data": data}
    elif api == "gemini":
        block = {"type": "media", "mime_type": "application/pdf", "data": PDF}
    elif api == "bedrock":
        source = {"bytes": base64.b64decode(PDF)}
        block = {"type": "document", "document": {"format": "pdf", "name": MARK, "source": source}}
    return [HumanMessage([{"type": "text", "text": f"Read it, {MARK}."}, block])]


@feature("a file that one provider keeps")
def _(api: str) -> list[BaseMessage]:
    block: dict[str, Any] = {"type": "file", "file": {"file_id": f"file-{MARK}"}}
    if api == "anthropic":
        block = {"type": "document", "source": {"type": "file", "file_id": f"file_{MARK}"}}
    elif api == "openai-responses":
        block = {"type": "input_file", "file_id": f"file-{MARK}"}
    elif api == "gemini":
        uri = f"https://generativelanguage.googleapis.com/v1beta/files/{MARK}"
        block = {"type": "media", "mime_type": "application/pdf", "file_uri": uri}
    return [HumanMessage([{"type": "text", "text": "Read it."}, block])]


@feature("a recording")
def _(api: str) -> list[BaseMessage]:
    block: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    if api in ("anthropic", "gemini", "bedrock"):
        block = {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"}
    return [HumanMessage([{"type": "text", "text": f"Listen, {MARK}."}, block])]


@feature("a plain text document")
def _(api: str) -> list[BaseMessage]:
    block: dict[str, Any] = {"type": "text-plain", "text": f"A line, {MARK}.", "mime_type": "text/plain"}
    if api == "anthropic":
        block = {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": f"A line, {MARK}."},
            "title": "notes",
        }
    return [HumanMessage([{"type": "text", "text": "Read it."}, block])]


@feature("marks of a prompt cache")
def _(api: str) -> list[BaseMessage]:
    mark = (
        {"cache_control": {"type": "ephemeral"}}
        if api not in ("openai-chat", "openai-responses")
        else {"prompt_cache_breakpoint": {"mode": "explicit"}}
    )
    (one,) = ids(api, 1, "k")
    return [
        SystemMessage([{"type": "text", "text": f"Be kind, {MARK}.", **mark}]),
        HumanMessage([{"type": "text", "text": "Look.", **mark}]),
        calling(api, [call("look", {}, one)]),
        done(one, [{"type": "text", "text": "blue", **mark}]),
    ]


@feature("several system messages")
def _(api: str) -> list[BaseMessage]:
    return [
        SystemMessage("Be kind."),
        SystemMessage(f"Be brief, {MARK}."),
        HumanMessage("Hello."),
        said(api, "Hi."),
        HumanMessage("And?"),
    ]


@feature("a system message in the middle")
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "s")
    return [
        SystemMessage("Be kind."),
        HumanMessage("Look."),
        calling(api, [call("look", {}, one)]),
        SystemMessage(f"The file has changed, {MARK}."),
        done(one),
        SystemMessage([{"type": "text", "text": "And again."}]),
        said(api, "Blue."),
        HumanMessage("Thanks."),
    ]


@feature("instructions alone")
def _(api: str) -> list[BaseMessage]:
    return [SystemMessage(f"Write a poem, {MARK}.")]


@feature("empty contents")
def _(api: str) -> list[BaseMessage]:
    blank = [{"type": "text", "text": " "}]
    return [
        SystemMessage(""), HumanMessage(""), by(api, ""), HumanMessage(f"Hello, {MARK}."), by(api, "\n"), HumanMessage(blank),
        by(api, [] if api != "openai-chat" else ""), HumanMessage([{"type": "text", "text": ""}, {"type": "text", "text": "x"}]),
    ]  # fmt: skip


@feature("the beginning of the answer")
def _(api: str) -> list[BaseMessage]:
    return [HumanMessage("A haiku."), said(api, f"The {MARK} ")]


@feature("a beginning that was cut off")
def _(api: str) -> list[BaseMessage]:
    return [SystemMessage("Be kind."), said(api, f"As I said, {MARK}."), HumanMessage("What?")]


@feature("names")
def _(api: str) -> list[BaseMessage]:
    answer = said(api, f"Hi, {MARK}.")
    answer.name = "My agent"
    return [HumanMessage("Hello.", name="Ann <a@b.c>"), answer, HumanMessage("And?")]


@feature("text in strings between blocks")
def _(api: str) -> list[BaseMessage]:
    return [HumanMessage([f"Hello, {MARK}.", {"type": "text", "text": "There.", "id": "lc_1", "index": 0}])]


@feature('standard content (`output_version="v1"`)')
def _(api: str) -> list[BaseMessage]:
    (one,) = ids(api, 1, "v")
    think: dict[str, Any] = {"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": signed(api)}}
    if api == "openai-responses":
        think = {"type": "reasoning", "reasoning": "Hm.", "id": f"rs_{MODELS[api]}"}
    text = {"type": "text", "text": f"Looking, {MARK}.", **_item(api)}
    use = {"type": "tool_call", "name": "look", "args": {"at": "sky"}, "id": one}
    blocks = [text, use] if api in ("openai-chat", "openai-compatible", "mistral") else [think, text, use]
    answer = by(api, blocks, tool_calls=[call("look", {"at": "sky"}, one)], response_metadata={"output_version": "v1"})
    return [HumanMessage("Look."), answer, done(one, "blue")]


@feature("unknown blocks")
def _(api: str) -> list[BaseMessage]:
    odd = {"type": "hologram", "text": f"a {MARK}", "beam": 1}
    wrapped = {"type": "non_standard", "value": {"type": "hologram", "text": "b"}}
    return [
        HumanMessage([{"type": "text", "text": "See."}, odd, wrapped]),
        AIMessage([odd], response_metadata={"model_provider": "acme"}),
        HumanMessage("?"),
    ]
