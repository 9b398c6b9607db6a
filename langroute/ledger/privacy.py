"""Privacy levels of a ledger: which fields of a record are stored. Every record passes through here.

| level | decisions | words |
|---|---|---|
| `minimal` | routes, models, kinds of steps and of changes to requests, counts, costs, times; task ids as keyed hashes | team, project, environment, task kind |
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

from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Decision, Outcome, Step, Verdict
from langroute.core.storable import name_of, storable
from langroute.ledger.facts import CallRecord, Labels

LEVELS = ("minimal", "metadata", "full")
"""Privacy levels, the one that stores least first."""

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
        "langroute_subtask",
    }
)
"""Metadata keys written by langroute and LangGraph, not by users."""

_OWN_TAG = re.compile(r"(langroute:[\w.-]+|seq:step:\d+|map:key:\w+|retry:attempt:\d+|nostream)")
_HASHED = re.compile(r"[a-z]+:[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True)
class Privacy:
    """Reduce each record to what a privacy level allows.

    Args:
        level: `minimal`, `metadata` or `full`.
        key: Secret of the hashes.
        redact: Called with every text that is kept at level `full`; returns what to store.
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
        """Whether messages and answers are stored."""
        return self.level == "full"

    def hashed(self, kind: str, word: str) -> str:
        """Return the keyed hash of a word; a value that is hashed already is returned unchanged."""
        if _HASHED.fullmatch(word) and word.startswith(f"{kind}:"):
            return word
        told = f"{kind}:{word}".encode("utf-8", "surrogatepass")
        return f"{kind}:{hmac.new(self.key, told, hashlib.sha256).hexdigest()[:16]}"

    def text(self, text: str) -> str:
        """Return a text as it is stored at level `full`."""
        return storable(self.redact(text) if self.redact is not None else text)

    def clean(self, value: Any) -> Any:
        """Return plain values with every text in them redacted."""
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
        """Return the id under which a task is stored; it is the same in every process."""
        task_id = name_of(task_id)
        if self.level == "minimal" and not _HASHED.fullmatch(task_id):
            return self.hashed("task", task_id)
        return task_id

    def thread_task(self, thread: str) -> str:
        """Return the task id of a thread that was given no other task id. Thread ids may contain people's names."""
        return self.hashed("thread", name_of(thread))

    def task_ids(self, told: str) -> tuple[str, ...]:
        """Return the ids under which a requested task may be stored."""
        return (self.task_id(told), self.thread_task(told))

    def labels(self, labels: Labels) -> Labels:
        """Return labels as they are stored."""
        user: str | None = None
        others: dict[str, str] = {}
        if self.level == "metadata":
            user = self.hashed("user", name_of(labels.user)) if labels.user is not None else None
            others = {name_of(key): name_of(value) for key, value in labels.others.items()}
        elif self.level == "full":
            user = name_of(self.text(labels.user)) if labels.user is not None else None
            others = {name_of(key): name_of(self.text(value)) for key, value in labels.others.items()}
        return Labels(
            _stored(labels.team), _stored(labels.project), _stored(labels.environment), _stored(labels.task_kind), user, others
        )

    # Records ---------------------------------------------------------------------------------------------------------

    def decision(self, decision: Decision) -> Decision:
        """Return a decision as it is stored."""
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
            # An unkeyed hash of the request: anyone who guesses the question could verify that it was asked.
            attempt = replace(attempt, cache_key=None)
        if bare and attempt.edits:
            # Names of fields may be the client's own.
            attempt = replace(attempt, edits=tuple([edit.partition(";")[0] for edit in attempt.edits]))
        reason = "" if bare else _reason(attempt.selection.reason)
        if reason != attempt.selection.reason:
            attempt = replace(attempt, selection=replace(attempt.selection, reason=reason))
        if attempt.verdicts:
            # A judge's reason quotes the answer, a schema check's the wrong value.
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
        """Return a call as it is stored."""
        if self.level == "full":
            return call
        if call.messages or call.answer is not None:
            call = replace(call, messages=(), answer=None)
        return replace(call, node=None, agent=None, tool=None) if self.level == "minimal" else call

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return an outcome as it is stored."""
        task_id = self.task_id(outcome.task_id) if outcome.task_id is not None else None
        if self.level != "full":
            return replace(outcome, task_id=task_id, comment=None)
        comment = self.text(outcome.comment) if outcome.comment is not None else None
        return replace(outcome, task_id=task_id, comment=comment)


def _stored(text: str | None) -> str | None:
    return name_of(text) if text is not None else None


def _verdict(verdict: Verdict) -> Verdict:
    if not verdict.reason and verdict.error is None:
        return verdict
    error = verdict.error
    if error is not None:
        found = _NAME.match(error)
        error = found.group() if found and error[found.end() :].startswith(":") else "failed"
    return replace(verdict, reason="", error=error)


def _reason(reason: str) -> str:
    """Return a policy's reason; error text in it is removed."""
    if reason.startswith("default route; "):
        return "default route; " + _cut(reason.removeprefix("default route; "))
    return reason[:200]


def _cut(problem: str) -> str:
    """Return what failed and the class of the error, without the error's text.

    Example:
        >>> _cut("policy Mine failed: KeyError: 'what the user said'")
        'policy Mine failed: KeyError'
    """
    what, found, rest = problem.partition(": ")
    name = rest.partition(": ")[0]
    return f"{what}: {name}" if found and _NAME.fullmatch(name) else what
