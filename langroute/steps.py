"""What kind of step is this? From messages, tools and metadata to a `Step`.

Told in this order: what the caller says (`langroute_step_kind` in the metadata), the kinds that users registered, the name of the LangGraph
node, the tools and where the tool loop stands, and last the words of the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langroute.context import Task
from langroute.errors import ConfigurationError
from langroute.history import History, Reader, text_tokens
from langroute.records import Signals, Step
from langroute.texts import intent_of
from langroute.tooling import Vocabulary

NODES = (
    ("plan", re.compile(r"plan|plans|planner|planning|replan|replanner|decompose|strategy|strategist|supervisor|orchestrator")),
    ("review", re.compile(r"review|reviews|reviewer|critic|critique|reflect|reflection|grade|grader|judge|evaluate|evaluator|verify|check|checker")),
    ("summarize", re.compile(r"summary|summarize|summarise|summarizer|summariser|summarization|compact|compaction|condense")),
    ("title", re.compile(r"title|titles|headline|titler")),
    ("classify", re.compile(r"classify|classifier|classification|triage|intent|router|route|routing|moderate|moderation|guardrail|categorize")),
    ("extract", re.compile(r"extract|extractor|extraction|parse|parser|slots|ner")),
    ("edit", re.compile(r"edit|editor|code|coder|coding|write|writer|implement|patch|fix|repair|refactor")),
    ("answer", re.compile(r"answer|respond|responder|response|final|reply|finalize|synthesize|synthesis")),
)  # fmt: skip
"""Step kind → words in the name of a LangGraph node that tell it."""

_WORDS = re.compile(r"[a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a user's own kind of step may be told by."""

    messages: Sequence[Any]
    signals: Signals
    tools: tuple[Mapping[str, Any], ...]
    node: str | None
    metadata: Mapping[str, Any]
    tags: Sequence[str]


class Inspector:
    """Tells what kind of step a model call is, and what can be seen in its history.

    Args:
        kinds: Kinds of the user's own, tried in order before the built-in ones: `{kind: function of a Seen}`.
        nodes: LangGraph node → kind, for names that do not tell by themselves.
        vocabulary: Which tools edit, run and read.

    Raises:
        ConfigurationError: A kind's rule cannot be called.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> inspector = Inspector(kinds={"invoice": lambda seen: seen.node == "billing"})
        >>> inspector.inspect([HumanMessage("Hi.")], metadata={"langgraph_node": "billing"}).kind
        'invoice'
        >>> inspector.inspect([HumanMessage("Summarize the meeting.")]).kind
        'summarize'
    """

    def __init__(
        self,
        kinds: Mapping[str, Callable[[Seen], bool]] | None = None,
        *,
        nodes: Mapping[str, str] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.kinds: dict[str, Callable[[Seen], bool]] = {}
        for kind, told in (kinds or {}).items():
            self.register(kind, told)
        self.nodes = dict(nodes or {})
        self.reader = Reader(vocabulary)
        self._by_node: dict[str, str | None] = {}

    def register(self, kind: str, told: Callable[[Seen], bool]) -> None:
        """Add a kind of step, told by a function of what was seen."""
        if not callable(told):
            raise ConfigurationError(f"Step kind {kind!r} needs a function of what was seen, not a {type(told).__name__}.")
        self.kinds[kind] = told

    def inspect(
        self,
        messages: Sequence[Any],
        *,
        tools: tuple[Mapping[str, Any], ...] = (),
        tools_tokens: int = 0,
        response_schema: Any = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        task: Task | None = None,
    ) -> Step:
        """Look at a model call that is about to be made.

        Args:
            messages: The history that would be sent, at least one.
            tools: Bound tools in OpenAI's form.
            tools_tokens: Their estimated tokens; see `tool_tokens`.
            response_schema: The schema the answer must have.
            metadata: Metadata of the run, LangGraph's keys included.
            tags: Tags of the run.
            task: The task around the call.

        Raises:
            InputError: Something in the history is no message.
        """
        known: Mapping[str, Any] = metadata or {}
        namespace = known.get("langgraph_checkpoint_ns") or known.get("checkpoint_ns") or None
        depth = namespace.count("|") if namespace else 0
        history = self.reader.read(messages)
        signals = history.signals(depth, tools_tokens)
        node = known.get("langgraph_node")
        kind = known.get("langroute_step_kind")
        if kind is None and self.kinds:
            kind = self._own(Seen(messages, signals, tools, node, known, tags))
        if kind is None:
            kind = self._kind(history, messages, node, bool(tools), response_schema)
        thread = known.get("thread_id")
        # Ids are often numbers; what keeps them expects text.
        told, family = known.get("langroute_task"), known.get("langroute_task_kind")
        step = Step(
            kind,
            node,
            history.turn_steps,
            str(thread) if thread else history.opening,
            (task.id if task is not None else None) or (str(told) if told else None),
            (task.kind if task is not None else None) or (str(family) if family else None),
            namespace,
            known.get("lc_agent_name"),
            signals,
            history.asked,
        )
        self.reader.keep(history, messages)
        return step

    def _own(self, seen: Seen) -> str | None:
        return next((kind for kind, told in self.kinds.items() if told(seen)), None)

    def _kind(self, history: History, messages: Sequence[Any], node: str | None, tools: bool, schema: Any) -> str:
        if node is not None and (told := self.nodes.get(node) or self._told_by(node)) is not None:
            return told
        in_loop = history.pending and messages[-1].type == "tool"
        if tools:
            return "observe" if in_loop else "act"
        if history.turn_tokens < 4000 and history.facts.intent is None and (said := _said_by(history.agents_text)) is not None:
            # "You write titles for conversations": a model behind such a prompt does nothing else.
            return said
        if schema is not None:
            intent = history.facts.intent
            if intent in ("plan", "classify", "review", "summarize", "title"):
                return intent
            return "classify" if _few_values(schema) else "extract"
        if in_loop:
            return "answer"
        if history.facts.intent is not None:
            return history.facts.intent
        return "answer" if history.facts.asks else "chat"

    def _told_by(self, node: str) -> str | None:
        found = self._by_node.get(node, "")
        if found == "":
            words = _WORDS.findall(_CAMEL.sub("_", node).lower())
            found = next((kind for kind, told in NODES if any(told.fullmatch(word) for word in words)), None)
            if len(self._by_node) < 1024:
                self._by_node[node] = found
        return found

    def exact_tokens(self, messages: Sequence[Any], model: Any, tools: Iterable[Any] = ()) -> int:
        """Tokens as a model's own counter has them: slow, and for some providers a call over the network."""
        return int(model.get_num_tokens_from_messages(list(messages), tools=list(tools) or None))


_ROLES = {"title": "title", "summarize": "summarize", "classify": "classify", "extract": "extract"}


def _said_by(prompt: str) -> str | None:
    """The kind of a step whose system prompt names one narrow job."""
    return _ROLES.get(intent_of(prompt) or "") if prompt else None


def _few_values(schema: Any) -> bool:
    """A schema that leaves only a choice among a few values: truths, enumerations, literals."""
    if not isinstance(schema, Mapping):
        return _class_has_few_values(schema) if isinstance(schema, type) else False
    inner = schema.get("function", schema)
    properties = (inner.get("parameters") or inner.get("schema") or inner).get("properties")
    if not isinstance(properties, Mapping) or not 1 <= len(properties) <= 2:
        return False
    fields = [field for field in properties.values() if isinstance(field, Mapping)]
    return bool(fields) and any(
        "enum" in field or "$ref" in field or field.get("type") == "boolean" or "const" in field for field in fields
    )


@lru_cache(maxsize=256)
def _class_has_few_values(schema: Any) -> bool:
    return hasattr(schema, "model_json_schema") and _few_values(schema.model_json_schema())


def tool_tokens(tools: Sequence[Mapping[str, Any]]) -> int:
    """Estimated tokens of tool definitions.

    Example:
        >>> tool_tokens([{"type": "function", "function": {"name": "add", "parameters": {}}}])
        15
    """
    return text_tokens(json.dumps(tools, default=str, separators=(",", ":")))
