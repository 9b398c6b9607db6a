"""What of a record may be kept? The one point that everything passes on its way into a ledger.

| level | decisions | words |
|---|---|---|
| `minimal` | routes, models, kinds of steps, counts, costs, times; task ids as keyed hashes | team, project, environment, task kind |
| `metadata` | also nodes, agents, reasons, what was rejected and why, metadata that langroute or LangGraph wrote | also users as keyed hashes, other tags |
| `full` | also messages, answers, verdicts, all metadata | also users and comments |

Below `full` no message, answer, tool argument, error text, verdict text, comment or thread id is kept, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langroute.errors import ConfigurationError
from langroute.ledger.facts import CallRecord, Labels
from langroute.records import Attempt, Decision, Outcome, Step, Verdict

LEVELS = ("minimal", "metadata", "full")
"""How much is kept, least first."""

WRITTEN_BY_FRAMEWORKS = frozenset(
    {
        "langgraph_node",
        "langgraph_step",
        "langgraph_checkpoint_ns",
        "ls_provider",
        "ls_model_name",
        "ls_model_type",
        "ls_integration",
        "lc_agent_name",
        "langroute_route",
        "langroute_step_kind",
        "langroute_task_kind",
        "langroute_attempt",
    }
)
"""Metadata that users do not write."""

_OWN_TAG = re.compile(r"(langroute:[\w.-]+|seq:step:\d+|map:key:\w+|retry:attempt:\d+|nostream)")
_HASHED = re.compile(r"[a-z]+:[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True)
class Privacy:
    """Keeps of each record what a level allows.

    Args:
        level: `minimal`, `metadata` or `full`.
        key: Secret of the hashes.
        redact: Called with every text that is kept at level `full`; returns what to keep of it.
        keep: Names of the user's own metadata to keep at level `metadata`.

    Example:
        >>> privacy = Privacy("metadata", b"secret")
        >>> privacy.labels(Labels(team="search", user="Ada")).user
        'user:dc862b8156161739'
    """

    level: str
    key: bytes
    redact: Callable[[str], str] | None = None
    keep: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ConfigurationError(f"A ledger's level is one of {', '.join(LEVELS)}, not {self.level!r}.")

    @property
    def keeps_text(self) -> bool:
        """Messages and answers are kept."""
        return self.level == "full"

    def hashed(self, kind: str, word: str) -> str:
        """A word that can be compared, and not read; something already hashed stays as it is."""
        if _HASHED.fullmatch(word) and word.startswith(f"{kind}:"):
            return word
        told = f"{kind}:{word}".encode("utf-8", "surrogatepass")
        return f"{kind}:{hmac.new(self.key, told, hashlib.sha256).hexdigest()[:16]}"

    def text(self, text: str) -> str:
        """A text as it is kept at level `full`."""
        return storable(self.redact(text) if self.redact is not None else text)

    def clean(self, value: Any) -> Any:
        """Plain values with every text in them redacted."""
        if self.redact is None:
            return value
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {key: self.clean(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(inner) for inner in value]
        return value

    # Tasks and words -------------------------------------------------------------------------------------------------

    def task_id(self, task_id: str) -> str:
        """The id under which a task is kept."""
        if self.level == "minimal" and not _HASHED.fullmatch(task_id):
            return self.hashed("task", task_id)
        return storable(task_id)

    def thread_task(self, thread: str) -> str:
        """The id of the task that a conversation is, where it was given no other name. Threads may be called after people."""
        return self.hashed("thread", thread)

    def task_ids(self, told: str) -> tuple[str, ...]:
        """The ids under which a task may be kept that somebody asks for."""
        return (self.task_id(told), self.thread_task(told))

    def labels(self, labels: Labels) -> Labels:
        """Labels as they are kept."""
        user: str | None = None
        others: dict[str, str] = {}
        if self.level == "metadata":
            user = self.hashed("user", labels.user) if labels.user is not None else None
            others = {storable(key): storable(value) for key, value in labels.others.items()}
        elif self.level == "full":
            user = self.text(labels.user) if labels.user is not None else None
            others = {storable(key): self.text(value) for key, value in labels.others.items()}
        return Labels(
            _stored(labels.team), _stored(labels.project), _stored(labels.environment), _stored(labels.task_kind), user, others
        )

    # Records ---------------------------------------------------------------------------------------------------------

    def decision(self, decision: Decision) -> Decision:
        """A decision as it is kept."""
        step = self._step(decision.step)
        if self.level == "full":
            return replace(decision, step=step)
        bare = self.level == "minimal"
        kept = {
            "step": step,
            "attempts": tuple([self._attempt(attempt, bare) for attempt in decision.attempts]),
            "reason": "" if bare else _reason(decision.reason),
            "rejected": {} if bare else decision.rejected,
            "problems": () if bare else tuple([_cut(problem) for problem in decision.problems]),
            "tags": () if bare else self._tags(decision.tags),
            "metadata": {} if bare or not decision.metadata else self._metadata(decision.metadata),
            "messages": (),
        }
        return replace(decision, **kept)  # type: ignore[arg-type]

    def _step(self, step: Step) -> Step:
        task = None if step.task is None else self.task_id(step.task)
        if self.level == "full":
            return step
        if step.thread is None and self.level == "metadata":
            return step
        thread = self.hashed("thread", step.thread) if step.thread is not None else None
        if self.level == "minimal":
            return replace(step, task=task, thread=thread, node=None, namespace=None, agent=None)
        return replace(step, task=task, thread=thread)

    def _attempt(self, attempt: Attempt, bare: bool) -> Attempt:
        if attempt.answer is not None or attempt.error is not None or attempt.parsed is not None:
            attempt = attempt.without_text()
        if attempt.cache_key is not None:
            # A hash of what was asked, without a key: whoever guesses the question could tell that it was asked.
            attempt = replace(attempt, cache_key=None)
        reason = "" if bare else _reason(attempt.selection.reason)
        if reason != attempt.selection.reason:
            attempt = replace(attempt, selection=replace(attempt.selection, reason=reason))
        if attempt.verdicts:
            # A judge quotes the answer, a schema check the wrong value.
            attempt = replace(attempt, verdicts=tuple([_verdict(verdict) for verdict in attempt.verdicts]))
        return attempt

    def _tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        return tuple([tag for tag in tags if _OWN_TAG.fullmatch(tag)])

    def _metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: value
            for key, value in metadata.items()
            if (key in WRITTEN_BY_FRAMEWORKS or key in self.keep) and isinstance(value, (str, int, float, bool))
        }

    def call(self, call: CallRecord) -> CallRecord:
        """A call as it is kept."""
        if self.level == "full":
            return call
        if call.messages or call.answer is not None:
            call = replace(call, messages=(), answer=None)
        return replace(call, node=None, agent=None, tool=None) if self.level == "minimal" else call

    def outcome(self, outcome: Outcome) -> Outcome:
        """An outcome as it is kept."""
        task_id = self.task_id(outcome.task_id) if outcome.task_id is not None else None
        if self.level != "full":
            return replace(outcome, task_id=task_id, comment=None)
        comment = self.text(outcome.comment) if outcome.comment is not None else None
        return replace(outcome, task_id=task_id, comment=comment)


def storable(text: str) -> str:
    r"""A text that every database takes: without NUL and halves of surrogate pairs.

    Example:
        >>> storable("a\ud83d\x00b")
        'a?b'
    """
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def _stored(text: str | None) -> str | None:
    return storable(text) if text is not None else None


def _verdict(verdict: Verdict) -> Verdict:
    if not verdict.reason and verdict.error is None:
        return verdict
    error = verdict.error
    if error is not None:
        found = _NAME.match(error)
        error = found.group() if found and error[found.end() :].startswith(":") else "failed"
    return replace(verdict, reason="", error=error)


def _reason(reason: str) -> str:
    """A policy's reason; of one that tells of an error, not the error's text."""
    if reason.startswith("default route; "):
        return "default route; " + _cut(reason.removeprefix("default route; "))
    return reason[:200]


def _cut(problem: str) -> str:
    """What failed and with which class of error, without the error's text.

    Example:
        >>> _cut("policy Mine failed: KeyError: 'what the user said'")
        'policy Mine failed: KeyError'
    """
    what, found, rest = problem.partition(": ")
    name = rest.partition(": ")[0]
    return f"{what}: {name}" if found and _NAME.fullmatch(name) else what
