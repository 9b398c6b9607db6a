"""Inspection of a model call: step kind, place in the graph, thread, task and signals.

The step kind is determined in this order: the caller's `langroute_step_kind` in the metadata, user-defined kinds, the name of the LangGraph
node, the tools and the state of the tool loop, and last the words of the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from langroute.core.bounded import as_text, canonical, characters, error_text
from langroute.core.control_flow import passes_through
from langroute.core.degradation import Degradations
from langroute.core.errors import ConfigurationError, DegradedWarning
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Signals, Step
from langroute.core.resolve_task import id_text, resolve_task
from langroute.core.task_context import Task
from langroute.steps.history import History
from langroute.steps.history_reader import HistoryReader, Messages
from langroute.steps.message_content import text_tokens
from langroute.steps.texts import job_of
from langroute.steps.tools import Vocabulary

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
"""Step kind → words in the name of a LangGraph node that indicate it."""

LONGEST_NODE = 200
"""Longest node name, in characters, that is examined."""

_WORDS = re.compile(r"[a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@fast_dataclass
class StepFacts:
    """Facts that the rule of a user-defined step kind receives."""

    messages: Sequence[Any]
    signals: Signals
    tools: tuple[Mapping[str, Any], ...]
    node: str | None
    metadata: Mapping[str, Any]
    tags: Sequence[str]


class Inspector:
    """Determines the step kind of a model call and the signals of its history.

    Args:
        kinds: User-defined kinds, tried in order before the built-in ones: `{kind: function of a StepFacts}`. `None` instead of a
            function declares a kind that only callers say, in the metadata.
        nodes: LangGraph node → kind, for node names that the built-in words do not cover.
        vocabulary: Names of the tools that edit, run and read.
        job: Returns the step kind of a system prompt that names one narrow job, or `None`; by default told by the prompt's words.

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
        kinds: Mapping[str, Callable[[StepFacts], bool] | None] | None = None,
        *,
        nodes: Mapping[str, str] | None = None,
        vocabulary: Vocabulary | None = None,
        job: Callable[[str], str | None] = job_of,
    ) -> None:
        self.job = job
        self.kinds: dict[str, Callable[[StepFacts], bool]] = {}
        self._declared: set[str] = set()
        for kind, told in (kinds or {}).items():
            self.register(kind, told)
        self.nodes = dict(nodes or {})
        self.reader = HistoryReader(vocabulary)
        self._by_node: dict[str, str | None] = {}
        self._notices = Degradations()

    @property
    def known_kinds(self) -> frozenset[str]:
        """The step kinds that are known beside the built-in ones."""
        return frozenset((*self._declared, *self.kinds, *self.nodes.values()))

    def register(self, kind: str, told: Callable[[StepFacts], bool] | None) -> None:
        """Register a step kind with a function that recognises it, or with `None` where only callers say it."""
        if told is None:
            self._declared.add(kind)
            return
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
        """Return the step of a model call that is about to be made.

        Args:
            messages: The history that would be sent, at least one.
            tools: Bound tools in OpenAI's form.
            tools_tokens: Their estimated tokens; see `tool_tokens`.
            response_schema: The schema the answer must have.
            metadata: Metadata of the run, LangGraph's keys included.
            tags: Tags of the run.
            task: The task around the call.

        A user-defined kind whose function raises does not match; the rest of the step is inspected all the same.

        Raises:
            InputError: An item of the history is not a message.
        """
        known: Mapping[str, Any] = metadata or {}
        namespace = known.get("langgraph_checkpoint_ns") or known.get("checkpoint_ns") or None
        if namespace is not None and type(namespace) is not str:
            namespace = as_text(namespace)
        history = self.reader.read(messages)
        signals = history.signals(namespace.count("|") if namespace else 0, tools_tokens)
        node = known.get("langgraph_node")
        if node is not None and type(node) is not str:
            node = as_text(node)
        kind = known.get("langroute_step_kind")
        if kind is None and self.kinds:
            kind = self._own(StepFacts(messages, signals, tools, node, known, tags))
        if kind is None:
            kind = self._kind(history, messages, node, bool(tools), response_schema)
        step = _placed(kind, node, namespace, known, task, history, signals)
        self.reader.keep(history, messages)
        return step

    def _own(self, seen: StepFacts) -> str | None:
        """Return the user-defined kind of a step. A rule that raises does not match; the failure is reported."""
        for kind, told in self.kinds.items():
            try:
                if told(seen):
                    return kind
            except Exception as error:  # noqa: PERF203
                if passes_through(error):
                    raise
                self._failed(seen.messages, f"the kind {kind!r}: {error_text(error)}", f"inspector:{kind}:{type(error).__name__}")
        return None

    def _failed(self, messages: Sequence[Any], what: str, key: str) -> None:
        problem = f"step inspection failed: {what}"
        if type(messages) is Messages:
            # The router reports it and uses the default route.
            messages.problems = [*(messages.problems or ()), (problem, key)]
        else:
            self._notices.warn(key, DegradedWarning, f"{problem}. The step was told without it.")

    def _kind(self, history: History, messages: Sequence[Any], node: str | None, tools: bool, schema: Any) -> str:
        if node is not None and (told := self.nodes.get(node) or self._told_by(node)) is not None:
            return told
        in_loop = history.pending and getattr(messages[-1], "type", None) == "tool"
        if tools:
            return "observe" if in_loop else "act"
        if history.agents_text and history.turn_tokens < 4000 and history.facts.intent is None:
            # "You write titles for conversations": a model behind such a prompt does nothing else.
            said = _ROLES.get(self.job(history.agents_text) or "")
            if said is not None:
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
        if len(node) > LONGEST_NODE:
            return None
        found = self._by_node.get(node, "")
        if found == "":
            words = _WORDS.findall(_CAMEL.sub("_", node).lower())
            found = next((kind for kind, told in NODES if any(told.fullmatch(word) for word in words)), None)
            if len(self._by_node) < 1024:
                self._by_node[node] = found
        return found

    def exact_tokens(self, messages: Sequence[Any], model: Any, tools: Iterable[Any] = ()) -> int:
        """Return the tokens by the model's own counter: slow, and for some providers a network call."""
        return int(model.get_num_tokens_from_messages(list(messages), tools=list(tools) or None))


def salvaged(
    messages: Sequence[Any],
    *,
    tools: bool = False,
    tools_tokens: int = 0,
    metadata: Mapping[str, Any] | None = None,
    task: Task | None = None,
) -> Step:
    """Return what is known of a step whose inspection failed: thread, task, node and approximate length. Never raises.

    Args:
        messages: The history.
        tools: Tools are bound.
        tools_tokens: Their estimated tokens.
        metadata: Metadata of the run.
        task: The task around the call.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> step = salvaged([HumanMessage("Hi." * 100)], metadata={"thread_id": "t1"})
        >>> step.kind, step.thread, step.signals.tokens
        ('answer', 't1', 78)
    """
    known: Mapping[str, Any] = {}
    with suppress(Exception):
        known = dict(metadata or {})
    history = History(Vocabulary())
    begins = history.salvage(messages)
    namespace = as_text(known.get("langgraph_checkpoint_ns") or known.get("checkpoint_ns") or None)
    signals = history.signals(namespace.count("|") if namespace else 0, tools_tokens)
    kind = as_text(known.get("langroute_step_kind")) or ("act" if tools else "answer")
    step = _placed(kind, as_text(known.get("langgraph_node")), namespace, known, task, history, signals)
    # Without its beginning, the conversation cannot be identified.
    return step if begins or id_text(known.get("thread_id")) else replace(step, thread=None)


def _placed(
    kind: Any,
    node: str | None,
    namespace: str | None,
    known: Mapping[str, Any],
    task: Task | None,
    history: History,
    signals: Signals,
) -> Step:
    """Return a step with its thread and task from metadata and context. Ids may be numbers and are converted to text."""
    told, family, thread, agent = resolve_task(known, task)
    return Step(
        kind if type(kind) is str else as_text(kind) or "answer",
        node,
        history.turn_steps,
        thread or history.thread,
        told,
        family,
        namespace,
        agent,
        signals,
        history.turn_hash,
        None if thread else (history.before_answer, history.prefix),
    )


_ROLES = {"title": "title", "summarize": "summarize", "classify": "classify", "extract": "extract"}


def _few_values(schema: Any) -> bool:
    """Return whether a schema allows only a choice among a few values: booleans, enumerations, literals."""
    if not isinstance(schema, Mapping):
        return _class_has_few_values(schema) if isinstance(schema, type) else False
    inner = schema.get("function")
    inner = inner if isinstance(inner, Mapping) else schema
    inner = next((found for name in ("parameters", "schema") if isinstance(found := inner.get(name), Mapping)), inner)
    properties = inner.get("properties")
    if not isinstance(properties, Mapping) or not 1 <= len(properties) <= 2:
        return False
    fields = [field for field in properties.values() if isinstance(field, Mapping)]
    return bool(fields) and any(
        "enum" in field or "$ref" in field or field.get("type") == "boolean" or "const" in field for field in fields
    )


@lru_cache(maxsize=256)
def _class_has_few_values(schema: Any) -> bool:
    try:
        return hasattr(schema, "model_json_schema") and _few_values(schema.model_json_schema())
    except Exception:  # noqa: BLE001 - a class may hold what JSON schema cannot say
        return False


def tool_tokens(tools: Sequence[Mapping[str, Any]]) -> int:
    """Return the estimated tokens of tool definitions.

    Example:
        >>> tool_tokens([{"type": "function", "function": {"name": "add", "parameters": {}}}])
        15
    """
    text = canonical(list(tools))
    return text_tokens(text) if text is not None else characters(list(tools)) // 4
