"""Cache keys: a digest of everything in a request that can change the answer, and of nothing else.

Equal requests give equal keys in another process, another Python version and another order of dictionary keys; whatever can change the
answer changes the key. Ids, run names, cache markers and what a provider reported about earlier answers are left out: they
differ in every run and change nothing. Tool calls and results are linked by their position, not by their random ids.

A history grows at its end, so each message is hashed once: its digest is kept for as long as the message lives and does not change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Any
from weakref import ref

VERSION = b"langroute-key-1"
"""Version of the key format, part of every key: a new format must not find old answers."""

KEY_BYTES = 20
MEMO = 8192
"""Most messages whose digests are remembered."""

BLOCK_NOISE = frozenset({"id", "index", "cache_control"})
"""Fields of a content block that differ from run to run, or are prompt cache markers."""

TOOL_BLOCKS = frozenset({"tool_use", "tool_call", "function_call", "server_tool_use", "server_tool_call"})
EXTRA_NOISE = frozenset({"tool_calls", "parsed", "cache_control"})
"""Fields of `additional_kwargs` that repeat what is elsewhere in the message, or are prompt cache markers."""

CALL_NOISE = frozenset(
    {
        "cache_control", "ls_structured_output_format", "max_retries", "metadata", "prompt_cache_key",
        "prompt_cache_retention", "request_timeout", "safety_identifier", "service_tier", "store", "stream", "stream_options",
        "stream_usage", "streaming", "timeout", "user",
    }
)  # fmt: skip
"""Call arguments that change how an answer is fetched, billed or logged, but not its content."""

HEADER_NOISE = frozenset(
    {
        "traceparent", "tracestate", "baggage", "b3", "x-request-id", "x-correlation-id", "x-amzn-trace-id", "x-cloud-trace-context",
        "x-client-request-id", "idempotency-key", "request-id", "user-agent", "date",
    }
)  # fmt: skip
"""Headers that trace or repeat a request. All others may choose what is behind a gateway: its provider, account or prompt."""

_HEADERS = ("extra_headers", "headers", "default_headers", "additional_headers")

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


OTHERS = ("tool_calls", "invalid_tool_calls", "tool_call_id", "status", "role")
"""Fields that only some message types have, and that can change an answer."""


class UnkeyableError(TypeError):
    """A request holds a value without a stable form, so it is answered without the cache."""


def canonical(value: Any) -> bytes:
    """Return a canonical form of a value, independent of the order of dictionary keys.

    Raises:
        UnkeyableError: A value in it has no form that is the same in another process.

    Example:
        >>> canonical({"b": [1, None], "a": "é"}) == canonical({"a": "é", "b": (1, None)})
        True
        >>> canonical({"1": 0}) == canonical({1: 0})
        False
    """
    try:
        return (
            json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode("ascii")
            if _simple(value)
            else _slow(value)
        )
    except (ValueError, RecursionError) as error:
        raise UnkeyableError(f"cannot be written as JSON: {error}") from error


def _simple(value: Any) -> bool:
    """Return whether all dictionaries have string keys only: JSON would fail on others, or confuse `1` with `"1"`."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(_simple(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return all(_simple(inner) for inner in value)
    return True


def _slow(value: Any) -> bytes:
    return json.dumps(_text_keys(value), sort_keys=True, separators=(",", ":"), default=_plain).encode("ascii")


def _text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else f"\0{type(key).__name__}:{key!r}": _text_keys(inner) for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_text_keys(inner) for inner in value]
    return value


def _plain(value: Any) -> Any:
    """Return a JSON value for a type that JSON lacks."""
    if isinstance(value, type):
        if hasattr(value, "model_json_schema"):
            return {"\0schema": value.model_json_schema()}
        fields = getattr(value, "__annotations__", None)
        return {"\0class": value.__qualname__, "fields": {name: str(kind) for name, kind in fields.items()} if fields else None}
    if hasattr(value, "model_dump"):
        return {"\0model": type(value).__qualname__, "fields": value.model_dump()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"\0bytes": blake2b(bytes(value), digest_size=16).hexdigest()}
    if isinstance(value, (set, frozenset)):
        return {"\0set": sorted(canonical(item).decode("ascii") for item in value)}
    if isinstance(value, Mapping):
        return _text_keys(value)
    if type(value).__module__ in ("datetime", "decimal", "uuid", "fractions", "pathlib"):
        return {"\0" + type(value).__name__: str(value)}
    if hasattr(value, "__dataclass_fields__"):
        return {"\0" + type(value).__qualname__: {name: getattr(value, name) for name in value.__dataclass_fields__}}
    if hasattr(value, "value") and hasattr(value, "name"):
        return {"\0" + type(value).__qualname__: value.value}
    raise UnkeyableError(f"a {type(value).__name__} has no stable form")


class _Ref(ref):  # type: ignore[type-arg]
    """Weak reference with the key under which its message is remembered."""

    __slots__ = ("place",)

    def __init__(self, message: Any, gone: Any) -> None:
        super().__init__(message, gone)  # type: ignore[call-arg]
        self.place = id(message)


class _Read:
    """A message as it was when it was hashed, and its digest."""

    __slots__ = ("digest", "facts", "joined", "makes", "message", "refers", "values")

    def __init__(self, message: Any, gone: Any) -> None:
        fields = message.__dict__
        self.message = _Ref(message, gone)
        self.facts = _FACTS[tuple([field for field in OTHERS if field in fields])]
        # Mutable values are copied, so that a change in place is detected; strings need no copy.
        self.values = tuple([copied(value) for value in self.facts(fields)])
        self.digest, self.makes, self.refers = message_digest(message)
        """Digest of the message, and the ids of the tool calls that it makes and of those it answers, in order."""

        self.joined: tuple[list[_Read], bytes] | None = None
        """The messages before it when a history last ended with it, and the bytes of that history."""


class _Facts(dict[tuple[str, ...], Any]):
    """Getter of the fields that can change an answer, for messages with a given set of fields."""

    def __missing__(self, others: tuple[str, ...]) -> Any:
        found = self[others] = itemgetter("content", "additional_kwargs", "name", *others)
        return found


_FACTS = _Facts()


class Keys:
    """Makes cache keys. Each cache has one; it remembers the digests of messages, not of requests.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> keys = Keys()
        >>> first = keys.of([HumanMessage("Hi", id="1")], namespace=(), parts=())
        >>> first == keys.of([HumanMessage("Hi", id="2")], namespace=(), parts=())
        True
        >>> first == keys.of([HumanMessage("Hi")], namespace=(("tenant", "b"),), parts=())
        False
    """

    def __init__(self) -> None:
        self._read: dict[int, _Read] = {}
        self._namespaces: dict[tuple[Any, ...], bytes] = {}

    def of(self, messages: Sequence[Any], *, namespace: tuple[Any, ...], parts: Sequence[bytes]) -> str:
        """Return the key of a request.

        Args:
            messages: The history.
            namespace: Namespace of the request; keys of different namespaces never collide.
            parts: Digests of everything else that can change the answer, in a fixed order.

        Raises:
            UnkeyableError: A value in it has no stable form.
        """
        whole = blake2b(VERSION, digest_size=KEY_BYTES, key=self.namespace(namespace))
        for part in parts:
            whole.update(len(part).to_bytes(4, "big") + part)
        whole.update(b"messages")
        whole.update(self.history(messages))
        return whole.hexdigest()

    def digest(self, messages: Sequence[Any]) -> str:
        """Return a digest of the messages alone, without namespace and settings."""
        return blake2b(self.history(messages), digest_size=16).hexdigest()

    def history(self, messages: Sequence[Any]) -> bytes:
        """Return the messages as unambiguous bytes: digests of fixed length, then the links between tool calls and results."""
        try:
            found = [self._of(message) for message in messages]
        except UnkeyableError:
            raise
        except Exception as error:
            # Broken integrations set arbitrary values, which must not fail a call.
            raise UnkeyableError(f"a message cannot be read: {type(error).__name__}") from error
        if not found:
            return b""
        last, earlier = found[-1], found[:-1]
        if (known := last.joined) is not None and known[0] == earlier:
            return known[1]
        joined = _joined(found)
        last.joined = (earlier, joined)
        return joined

    def _of(self, message: Any) -> _Read:
        """Return the digest of a message, hashed again where it changed since."""
        found = self._read.get(id(message))
        if found is None or found.facts(message.__dict__) != found.values or found.message() is not message:
            if len(self._read) >= MEMO:
                self._read = {}
            found = self._read[id(message)] = _Read(message, self._gone)
        return found

    def _gone(self, message: Any) -> None:
        found = self._read.get(message.place)
        if found is not None and found.message is message:
            self._read.pop(message.place, None)

    def namespace(self, namespace: tuple[Any, ...]) -> bytes:
        """Return a namespace as the key of a keyed hash."""
        found = self._namespaces.get(namespace)
        if found is None:
            if len(self._namespaces) > 65536:
                self._namespaces.clear()
            found = self._namespaces[namespace] = blake2b(canonical(namespace), digest_size=32, person=b"lr-namespace").digest()
        return found


def copied(value: Any) -> Any:
    """Return a deep copy of plain values: lists and dictionaries are copied at every level.

    Example:
        >>> given = {"a": [1]}
        >>> made = copied(given)
        >>> given["a"].append(2)
        >>> made
        {'a': [1]}
    """
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def _joined(found: Sequence[_Read]) -> bytes:
    parts: list[bytes] = []
    numbers: dict[str, int] = {}
    calls = 0
    for read in found:
        parts.append(read.digest)
        for made in read.makes:
            numbers[made] = calls
            calls += 1
        if read.refers:
            parts.extend([_tie(numbers, refers) for refers in read.refers])
    return b"".join(parts)


_TIES = [b"#" + number.to_bytes(15, "big") for number in range(256)]


def _tie(numbers: Mapping[str, int], tool_call_id: str) -> bytes:
    """Return the link from a tool result to its call: the position of the call where it is known, else the id."""
    number = numbers.get(tool_call_id)
    if number is not None and number < 256:
        return _TIES[number]
    if number is None:
        return b"?" + blake2b(tool_call_id.encode("utf-8", "surrogatepass"), digest_size=15).digest()
    return b"#" + number.to_bytes(15, "big")


def message_digest(message: Any) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """Return a message's digest, the ids of the tool calls it makes and of those it answers.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> message_digest(HumanMessage("Hi"))[0] == message_digest(HumanMessage("Hi", id="7"))[0]
        True
    """
    fields = message.__dict__
    makes: list[str] = []
    refers: list[str] = []
    calls = []
    for call in fields.get("tool_calls") or ():
        makes.append(str(call.get("id")))
        calls.append([call["name"], call["args"]])
    if (answered := fields.get("tool_call_id")) is not None:
        refers.append(str(answered))
    extra = {
        key: value
        for key, value in (fields.get("additional_kwargs") or {}).items()
        if key not in EXTRA_NOISE and not key.startswith("__")
    }
    role = fields.get("role")
    status = fields.get("status")
    facts = [
        # A chunk that was never converted gets the same digest as its message.
        message.type.removesuffix("Chunk").lower().removesuffix("messagechunk"),
        role,
        fields.get("name"),
        _content(fields["content"], refers),
        calls,
        [[call.get("name"), call.get("args")] for call in fields.get("invalid_tool_calls") or ()],
        None if status == "success" else status,
        extra,
    ]
    return blake2b(canonical(facts), digest_size=16).digest(), tuple(makes), tuple(refers)


def _content(content: Any, refers: list[str]) -> Any:
    if not isinstance(content, list):
        return content
    return [_block(block, refers) if isinstance(block, dict) else block for block in content]


def _block(block: dict[str, Any], refers: list[str]) -> dict[str, Any]:
    kept = {key: value for key, value in block.items() if key not in BLOCK_NOISE}
    if block.get("type") in TOOL_BLOCKS:
        # The id is in the message's tool calls, whose position links it to its result.
        kept.pop("call_id", None)
    elif "tool_use_id" in kept:
        refers.append(str(kept.pop("tool_use_id")))
    if isinstance(extras := kept.get("extras"), dict) and "cache_control" in extras:
        kept["extras"] = {key: value for key, value in extras.items() if key != "cache_control"}
    return kept


def chosen_by(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Return the headers that can change an answer, by their names in small letters; secrets are shown, because only a digest is kept.

    Example:
        >>> chosen_by({"X-Portkey-Config": "pc-german", "traceparent": "00-1-2-01"})
        {'x-portkey-config': 'pc-german'}
    """
    shown = {str(name).lower(): getattr(value, "get_secret_value", lambda value=value: value)() for name, value in headers.items()}
    return {name: str(value) for name, value in shown.items() if name not in HEADER_NOISE}


def settings_digest(settings: Mapping[str, Any]) -> bytes:
    """Return a digest of the call arguments that can change an answer: sampling, stop words, response format and others.

    Example:
        >>> settings_digest({"temperature": 0, "timeout": 5}) == settings_digest({"temperature": 0.0})
        True
    """
    if not settings:
        return b""
    kept = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in settings.items()
        if key not in CALL_NOISE and value is not None
    }
    for name in _HEADERS:
        headers: Any = kept.pop(name, None)
        if isinstance(headers, Mapping):
            headers = chosen_by(headers)
        if headers:
            kept[name] = headers
    return blake2b(canonical(kept), digest_size=16).digest() if kept else b""


def tools_digest(tools: Sequence[Any], tool_choice: Any = None, schema: Any = None) -> bytes:
    """Return a digest of the bound tools, the tool choice and the response schema."""
    if not tools and tool_choice is None and schema is None:
        return b""
    shown = [
        {key: value for key, value in tool.items() if key != "cache_control"} if isinstance(tool, Mapping) else tool
        for tool in tools
    ]
    return blake2b(canonical([shown, tool_choice, schema]), digest_size=16).digest()


SAMPLING = (
    "model_name", "model", "temperature", "top_p", "top_k", "seed", "max_tokens", "max_completion_tokens", "stop", "n", "logit_bias",
    "frequency_penalty", "presence_penalty", "reasoning", "reasoning_effort", "verbosity", "thinking", "effort", "model_kwargs",
    "extra_body", "disabled_params", "output_version", "openai_api_base", "anthropic_api_url", "base_url", "azure_endpoint", "deployment_name",
    "default_headers", "default_query", "additional_headers", "openai_organization", "openai_api_version", "project", "location", "region_name", "endpoint_url",
)  # fmt: skip
"""Fields of LangChain's chat models that change their answers."""


def model_digest(model: Any, provider: str | None, name: str | None) -> bytes:
    """Return a digest of a model and its own settings, before any call arguments.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> one, other = ScriptedModel("a", model="m-1"), ScriptedModel("a", model="m-2")
        >>> model_digest(one, None, None) == model_digest(other, None, None)
        False
    """
    facts: dict[str, Any] = {"class": f"{type(model).__module__}.{type(model).__qualname__}", "provider": provider, "name": name}
    for field in SAMPLING:
        value = getattr(model, field, None)
        if value is not None and not callable(value):
            facts[field] = chosen_by(value) if field in _HEADERS and isinstance(value, Mapping) else value
    identifying = getattr(model, "_identifying_params", None)
    if identifying is not None:
        facts["identifying"] = {
            key: value if isinstance(value, (str, int, float, bool, list, dict)) else _ADDRESS.sub("", repr(value))
            for key, value in dict(identifying).items()
            if value is not None
        }
    text = json.dumps(_text_keys(facts), sort_keys=True, default=lambda value: _ADDRESS.sub("", repr(value)))
    return blake2b(_ADDRESS.sub("", text).encode("utf-8", "replace"), digest_size=16).digest()
