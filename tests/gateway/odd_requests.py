"""Bodies, heads and answers that no client and no provider sends, drawn by hypothesis from the shapes of those that they do send."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from hypothesis import strategies as st
from raw_provider import Said
from wire_shapes import REQUESTS, STREAMS, cut


class Raw(str):
    """A JSON text that stands as it is, right or wrong."""


ODD = st.one_of(
    st.sampled_from(
        [
            Raw("1e99999"), Raw("-1e99999"), Raw("9" * 5000), Raw("-0"), Raw("1.5"), Raw("NaN"), Raw("18446744073709551616"),
            Raw("-9223372036854775809"), Raw("0.1e-400"), Raw("tru"), Raw("'a'"), Raw('"\\ud83d"'), Raw('"\\udc00\\ud83d"'),
            Raw('"\\u0000"'), Raw('{"\\ud83d":1}'), Raw('"\\ud83d\\ude00"'), Raw("[" * 200 + "]" * 200), Raw("[" * 30_000),
            Raw("[" * 3_000 + "]" * 3_000), Raw('{"a":' * 3_000 + "1" + "}" * 3_000), Raw('{"a":1,"a":2}'), Raw('{"role":"user","role":7}'),
            Raw(""), Raw('"unended'), Raw("\ufeff1"),
        ]
    ),
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["x" * 5_000, "data: [DONE]\n\n", "event: error\ndata: {}\n\n", "langroute/auto", "langroute/cost", "user", "tool"]),
    st.sampled_from([[], {}, [[]], [{}], [None], {"type": []}, {"type": {}}, ["a", 1, None], {"type": "text"}, {"role": "user"}, [1e300]]),
)  # fmt: skip
"""What may stand in the place of any value."""

FIELDS = (
    "model", "messages", "input", "instructions", "system", "tools", "tool_choice", "stream", "stream_options", "max_tokens",
    "max_completion_tokens", "max_output_tokens", "n", "stop", "stop_sequences", "temperature", "top_p", "top_k", "thinking", "reasoning",
    "reasoning_effort", "output_config", "output_format", "text", "response_format", "include", "store", "previous_response_id",
    "conversation", "prompt_cache_key", "metadata", "client_metadata", "context_management", "service_tier", "parallel_tool_calls",
    "background", "truncation", "user", "seed", "logprobs", "container", "mcp_servers", "functions", "cache_control",
)  # fmt: skip
"""Fields of all protocols."""


def text_of(value: Any) -> str:
    """A value as JSON; objects may be lists of pairs, so that a name can occur twice."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{text_of(one)}" for name, one in value) + "}"
    if isinstance(value, dict):
        return text_of(Pairs(value.items()))
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class Pairs(list[Any]):
    """The members of an object."""


def _places(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((*so_far, key), *_places(inner, (*so_far, key)))]


def _changed(draw: st.DrawFn, body: Any, most: int) -> Any:
    """The value with some of its values replaced or left out."""
    for _ in range(draw(st.integers(0, most))):
        places = _places(body)
        if not places:
            break
        place = draw(st.sampled_from(places))
        inner = body
        for key in place[:-1]:
            inner = inner[key]
        if isinstance(inner, dict) and draw(st.integers(0, 3)) == 0:
            del inner[place[-1]]
        else:
            given = draw(ODD)
            inner[place[-1]] = given if isinstance(given, Raw) else json.loads(json.dumps(given))
    return body


@st.composite
def odd_bodies(draw: st.DrawFn, name: str, model: str) -> bytes:
    """A client's request for a model in which anything may be odd: its values, its fields and its bytes."""
    body = json.loads(REQUESTS[name](draw(st.integers(0, 2)), model=model))
    body["stream"] = draw(st.booleans())
    pairs = Pairs(_changed(draw, body, 3).items())
    for _ in range(draw(st.integers(0, 2))):
        # A field that is there already occurs twice then.
        pairs.insert(draw(st.integers(0, len(pairs))), (draw(st.sampled_from(FIELDS)), draw(ODD)))
    data = text_of(pairs).encode("utf-8", "surrogatepass")
    broken = draw(st.integers(0, 9))
    if broken == 0:
        data = data[: draw(st.integers(0, len(data)))]
    elif broken == 1:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 3)) :]
    elif broken == 2:
        data = draw(st.sampled_from([b"\xef\xbb\xbf", b" \r\n\t", b"\0", b"\xff"])) + data
    elif broken == 3:
        data += draw(st.sampled_from([b" \n", b"{}", b",", b"\0", b"]"]))
    return data


@st.composite
def coded(draw: st.DrawFn, body: bytes) -> tuple[bytes, str | None]:
    """The bytes as they are sent, and the coding that is said of them; right or wrong."""
    way = draw(st.integers(0, 11))
    if way == 0:
        return gzip.compress(body, 1), draw(st.sampled_from(["gzip", "x-gzip", "GZIP ", "deflate", "br", "gzip, gzip"]))
    if way == 1:
        data = gzip.compress(body, 1)
        return data[: draw(st.integers(0, len(data) - 1))], "gzip"
    if way == 2:
        return zlib.compress(body, 1), draw(st.sampled_from(["deflate", "gzip"]))
    if way == 3:
        return body, draw(st.sampled_from(["gzip", "deflate", "zstd", "br", "identity", "", "\xe9", "identity, gzip"]))
    return body, None


_VALUE = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20),
    st.sampled_from(["", " ", "\t", "a" * 3000, "\xe9\xfc", "'\"\\", "{}", "1", "keep-alive, x-once", "gzip", "\xff" * 300]),
)
_NAMES = (
    "x-claude-code-session-id", "x-claude-code-agent-id", "x-claude-code-parent-agent-id", "session-id", "session_id", "thread-id",
    "x-session-id", "x-session-affinity", "x-codex-parent-thread-id", "x-openai-subagent", "anthropic-beta", "anthropic-version",
    "x-langroute-project", "x-langroute-task", "x-langroute-task-kind", "x-langroute-team", "user-agent", "accept", "accept-encoding",
    "x-stainless-retry-count", "cookie", "te", "connection", "upgrade", "expect", "forwarded", "x-forwarded-for", "traceparent",
    "content-language", "x-odd", "x-once", "openai-organization", "if-none-match", "range",
)  # fmt: skip
odd_headers = st.lists(st.tuples(st.sampled_from(_NAMES), _VALUE), max_size=6)
"""Headers that a client may send besides those that it must: twice, empty, long, not of ASCII."""

queries = st.one_of(
    st.just(""), st.just(""), st.sampled_from(["?beta=true", "?", "?a=%zz&b=%", "?a=b;c?d=/../", "?%00=%0d%0a", "?a[]={}|^`"])
)


@st.composite
def odd_streams(draw: st.DrawFn, name: str) -> tuple[bytes, bool]:
    """A provider's stream with odd values, odd bytes or a cut end; and whether nothing of it was changed."""
    call = draw(st.sampled_from([None, {"command": "ls \u2713"}]))
    data = STREAMS[name]("D\xf6n\u0435 \u2713.", call=call, model="given-1")
    way = draw(st.integers(0, 5))
    if way == 0:
        return data, True
    if way == 1:
        return data[: draw(st.integers(0, len(data)))], False
    if way == 2:
        at = draw(st.integers(0, len(data)))
        return data[:at] + draw(st.binary(max_size=5)) + data[at + draw(st.integers(0, 3)) :], False
    blocks = data.split(b"\n\n")[:-1]
    at = draw(st.integers(0, len(blocks) - 1))
    head, _, told = blocks[at].partition(b"data: ")
    try:
        event = json.loads(told)
    except ValueError:
        event = {}
    blocks[at] = head + b"data: " + text_of(_changed(draw, event, 3)).encode("utf-8", "surrogatepass").replace(b"\n", b" ")
    if way == 3 and len(blocks) > 1:
        del blocks[draw(st.integers(0, len(blocks) - 1))]
    return b"".join(block + b"\n\n" for block in blocks), False


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes in chunks that end anywhere."""
    return cut(data, draw(st.lists(st.integers(0, 10**5), max_size=5)))


@st.composite
def odd_refusals(draw: st.DrawFn, name: str, key: str) -> Said:
    """What a provider says in the place of an answer; some repeat the key that they were given."""
    word = draw(
        st.sampled_from(
            [f"Incorrect API key provided: {key}.", "prompt is too long: 9 tokens > 8 maximum", "", "\ud83d", None, 7, {"a": key}]
        )
    )
    error: Any = {
        "message": word,
        "type": draw(st.sampled_from(["some_error", None, {}, key])),
        "code": draw(st.sampled_from([key, None, 529, [], "x"])),
    }
    said = draw(
        st.sampled_from(
            [error, {"error": error}, {"type": "error", "error": error}, {"error": word}, {"detail": [error]}, [error], word, {}]
        )
    )
    data = draw(st.sampled_from([json.dumps(said).encode(), b"", b"<html>" + key.encode(), b"\xff" + key.encode(), b"[" * 9000]))
    headers = [
        (
            "content-type",
            draw(st.sampled_from(["application/json", "text/html", "APPLICATION/JSON; charset=x", "text/event-stream"])),
        )
    ]
    headers += draw(st.lists(st.sampled_from([("x-key", f"Bearer {key}"), ("retry-after", "-1"), ("retry-after", "soon"), ("retry-after", "7"),
        ("set-cookie", "a=b"), ("x-odd", "\xe9\xff"), ("location", "http://evil.example/"), ("request-id", "r1"), ("request-id", "r2"),
        ("access-control-allow-origin", "*"), ("connection", "close"), ("x-langroute-route", "evil")]), max_size=4))  # fmt: skip
    way = draw(st.integers(0, 3))
    if way == 0:
        status = draw(
            st.sampled_from(
                [
                    400,
                    401,
                    402,
                    403,
                    404,
                    408,
                    409,
                    413,
                    418,
                    422,
                    429,
                    451,
                    499,
                    500,
                    501,
                    502,
                    503,
                    504,
                    520,
                    529,
                    599,
                    600,
                    999,
                    302,
                    204,
                ]
            )
        )
        return Said([data] if status != 204 else [], status, headers)
    if way == 1:
        return Said([data], 200, headers)
    # In the middle of a stream, before or behind its first words.
    head = STREAMS[name]("Hello.", model="given-1").split(b"\n\n")[: draw(st.integers(0, 6))]
    event = b"event: error\ndata: " + data.replace(b"\n", b" ")
    return Said([block + b"\n\n" for block in [*head, event]], 200, [("content-type", "text/event-stream")], pause=0.001)
