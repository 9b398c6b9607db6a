"""Media by what is taken: types under any of their names, and a note for what a provider would refuse."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from packages import payload, target

from langroute.adapt import Target, adapt
from langroute.adapt.media import Media, media_of
from langroute.providers.wire import RULES

NOVA = Target("bedrock", "amazon_bedrock", "us.amazon.nova-pro-v1:0")


def sent(to: Any, block: dict[str, Any]) -> Any:
    """The block as it goes out, beside a text."""
    adapted = adapt([HumanMessage([{"type": "text", "text": "?"}, block])], to).messages[-1]
    return adapted.content[1]


def blocks_of(kind: str, mime: str) -> list[dict[str, Any]]:
    """The same media in the forms that programs and providers write."""
    found: list[dict[str, Any]] = [
        {"type": kind, "base64": "AAAA", "mime_type": mime},
        {"type": kind, "source_type": "base64", "data": "AAAA", "mime_type": mime},
        {"type": "media", "data": "AAAA", "mime_type": mime},
    ]
    if kind == "image":
        found += [
            {"type": "image_url", "image_url": {"url": f"data:{mime};base64,AAAA"}},
            {"type": "image", "source": {"type": "base64", "media_type": mime, "data": "AAAA"}},
        ]
    return found


@pytest.mark.parametrize(
    "mime", ["image/heic", "image/heif", "image/tiff", "image/bmp", "image/svg+xml", "image/avif", "IMAGE/X-TIFF"]
)
@pytest.mark.parametrize("api", ["anthropic", "bedrock", "mistral"])
def test_an_image_of_a_type_that_is_refused_becomes_a_note(api: str, mime: str) -> None:
    for block in blocks_of("image", mime):
        found = sent(target(api), block)
        assert found["type"] == "text", block
        assert "does not take" in found["text"]


@pytest.mark.parametrize(
    ("mime", "taken"), [("image/heic", True), ("image/webp", True), ("image/gif", False), ("image/tiff", False)]
)
def test_gemini_takes_other_images_than_claude(mime: str, taken: bool) -> None:
    for block in blocks_of("image", mime):
        assert (sent(target("gemini"), block)["type"] != "text") == taken


@pytest.mark.parametrize(
    "api", ["anthropic", "openai-chat", "openai-responses", "openai-compatible", "gemini", "mistral", "bedrock"]
)
@pytest.mark.parametrize("mime", ["image/jpg", "image/pjpeg", "Image/JPEG"])
def test_a_type_is_told_by_the_name_that_providers_list(api: str, mime: str) -> None:
    for block in blocks_of("image", mime):
        history = adapt([HumanMessage([{"type": "text", "text": "?"}, block])], target(api)).messages
        said = repr(payload(api, history))
        assert "jpeg" in said, block
        assert mime not in said


@pytest.mark.parametrize(
    ("mime", "name"),
    [
        ("audio/mpeg", "mp3"),
        ("audio/x-mp3", "mp3"),
        ("audio/mp3", "mp3"),
        ("audio/wave", "wav"),
        ("audio/vnd.wave", "wav"),
        ("audio/wav", "wav"),
    ],
)
@pytest.mark.parametrize("api", ["openai-chat", "openai-compatible"])
def test_a_recording_is_named_as_the_protocol_names_it(api: str, mime: str, name: str) -> None:
    for block in [
        *blocks_of("audio", mime),
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": mime.split("/")[1]}},
    ]:
        history = adapt([HumanMessage([{"type": "text", "text": "?"}, block])], target(api)).messages
        part = payload(api, history)["messages"][0]["content"][1]
        assert part == {"type": "input_audio", "input_audio": {"data": "AAAA", "format": name}}, block


@pytest.mark.parametrize("mime", ["audio/ogg", "audio/flac", "audio/x-m4a", "audio/webm"])
def test_a_recording_that_openai_does_not_take_is_a_note_and_gemini_hears_it(mime: str) -> None:
    for block in blocks_of("audio", mime):
        assert sent(target("openai-chat"), block)["type"] == "text"
        assert sent(target("gemini"), block)["type"] in ("audio", "media")


@pytest.mark.parametrize("to", [target, None])
def test_video_goes_to_those_that_see_it(to: Any) -> None:
    block = {"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}
    for api in ("anthropic", "openai-chat", "openai-responses", "openai-compatible", "mistral", "bedrock"):
        assert sent(target(api), block)["type"] == "text"
    assert sent(target("gemini"), block)["type"] == "video"
    assert sent(NOVA, block)["type"] == "video"
    assert sent(NOVA, {**block, "mime_type": "video/x-matroska"})["type"] == "video"
    assert sent(NOVA, {**block, "mime_type": "video/theora"})["type"] == "text"


@pytest.mark.parametrize("mime", ["text/csv", "text/plain; charset=utf-8", "application/json"])
def test_a_file_of_text_is_read_as_text_where_only_pdf_is_taken(mime: str) -> None:
    data = base64.b64encode("größe,1".encode()).decode()
    block = {"type": "file", "base64": data, "mime_type": mime, "filename": "a.csv"}

    assert sent(target("anthropic"), block) == {"type": "text", "text": "a.csv:\ngröße,1"}
    assert sent(target("anthropic"), {**block, "base64": "/////w=="})["text"].startswith("[file a.csv: this model does not take")


def test_a_picture_whose_address_alone_is_known() -> None:
    """Bedrock's package takes no addresses."""
    for block in (
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ):
        assert "only its address is known" in sent(target("bedrock"), block)["text"]
        assert sent(target("openai-chat"), block) == block


def test_a_documents_name_has_only_signs_that_bedrock_takes() -> None:
    block = {"type": "file", "base64": "AAAA", "mime_type": "application/pdf", "filename": "Q3  report_v2.pdf"}

    history = adapt([HumanMessage([{"type": "text", "text": "?"}, block])], target("bedrock")).messages

    assert payload("bedrock", history)["messages"][0]["content"][1]["document"]["name"] == "Q3 report-v2-pdf"


def test_a_document_alone_gets_a_text_beside_it_where_that_is_demanded() -> None:
    for block in (
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"document": {"format": "pdf", "name": "a", "source": {"bytes": b"a"}}},
    ):
        sent = payload("bedrock", adapt([HumanMessage([block])], target("bedrock")).messages)["messages"][0]["content"]
        assert [next(iter(part)) for part in sent] == ["text", "document"]
    assert len(adapt([HumanMessage([block])], target("openai-chat")).messages[0].content) == 1


def test_blocks_of_bedrock_are_media_for_others() -> None:
    image = {"image": {"format": "png", "source": {"bytes": b"\0\0\0"}}}

    assert media_of(image) == media_of({"type": "image", **image}) == Media("image", "image/png", "AAAA")
    assert sent(target("openai-chat"), image) == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert sent(target("bedrock"), image) == image


FAILED = [{"type": "text", "text": "button not found"}, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}]


@pytest.mark.parametrize("api", [api for api, rules in RULES.items() if rules.result_media or api == "bedrock"])
@pytest.mark.parametrize(
    "content", [FAILED, FAILED[1:], [FAILED[0], {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}]]
)
def test_what_a_failed_tool_shows_is_shown_where_the_result_may_not(api: str, content: list[Any]) -> None:
    answer = AIMessage("", tool_calls=[{"name": "run", "args": {}, "id": "call_1"}])
    for status in ("error", "success"):
        found = adapt(
            [HumanMessage("Go."), answer, ToolMessage(content, tool_call_id="call_1", status=status)], target(api)
        ).messages
        result = next(message for message in found if isinstance(message, ToolMessage))
        apart = not RULES[api].failed_result_media and status == "error"
        assert ("AAAA" in repr(result.content)) != apart
        assert (isinstance(found[-1], HumanMessage) and "AAAA" in repr(found[-1].content)) == apart
        assert result.status == status
        assert "button" not in repr(content) or "button not found" in repr(result.content)
