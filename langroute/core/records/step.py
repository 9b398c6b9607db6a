"""Steps, one model call of an agent each, and the signals measured on their history."""

from __future__ import annotations

from dataclasses import field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from langroute.core.fast_dataclass import fast_dataclass

KINDS = ("plan", "act", "observe", "edit", "extract", "classify", "summarize", "title", "review", "answer", "chat")
"""Built-in step kinds. Users can add more."""


@fast_dataclass
class Signals:
    """Measures of a step's history: counts and shares, no text."""

    tokens: int = 0
    """Estimated input tokens, tools included."""

    messages: int = 0
    images: int = 0
    audio: int = 0
    files: int = 0
    code_share: float = 0.0
    """Share of the current turn's characters that stand in code, 0 to 1."""

    language: str | None = None
    """ISO 639-1 code of the current user turn's language; `None` if unknown."""

    depth: int = 0
    """Nesting depth: sub-agents and sub-graphs around this step."""

    turn: int = 0
    """Number of user turns so far."""

    turn_tokens: int = 0
    """Estimated tokens of the current user turn's own message."""

    turn_steps: int = 0
    """Model answers since the current user turn began."""

    tool_results: int = 0
    """Tool results since the current user turn began."""

    error: float = 0.0
    """Degree of failure of the latest tool results: 0 fine, 1 failed."""

    errors_in_row: int = 0
    """Consecutive rounds of tool calls, up to now, in which something failed; rounds that only read or edit do not end the row."""

    repeats: int = 0
    """Number of earlier tool calls of this turn that equal the latest one, arguments included."""

    edits: int = 0
    """Edits made in this turn."""

    steps_since_edit: int | None = None
    """Model answers since the last edit of this turn; `None` when there was none."""

    has_system: bool = False
    errors_told: int = 0
    """Rounds of `errors_in_row` that count as failed only because of the words in their results, from tools that only read or are
    unknown. Such text may come from anybody and is no reason to pay more.
    """

    video: int = 0

    @property
    def failures_in_row(self) -> int:
        """Consecutive failed rounds that are certain: reported by the framework, or by a tool that runs or edits things."""
        return self.errors_in_row - self.errors_told


SIGNALS = (*Signals.__dataclass_fields__, "failures_in_row")
"""Names of all signals."""


@fast_dataclass
class Step:
    """One model call of an agent, described by what it is asked to do."""

    kind: str = "chat"
    node: str | None = None
    """LangGraph node."""

    index: int = 0
    """Place of this model call in the run: model answers since the last user turn."""

    thread: str | None = None
    """The conversation: `thread_id`, else a hash of its first messages."""

    task: str | None = None
    """Id of the task: the root run that the steps belong to."""

    task_kind: str | None = None
    """The user's own label for a family of tasks."""

    namespace: str | None = None
    """LangGraph checkpoint namespace; distinguishes sub-graphs and parallel branches."""

    agent: str | None = None
    signals: Signals = Signals()
    turn_hash: int | None = field(default=None, repr=False, compare=False)
    """Hash that distinguishes user turns. Valid in this process only; no ledger stores it."""

    prefixes: tuple[int | None, int] | None = field(default=None, repr=False, compare=False)
    """For a thread that has no id of its own: hashes of the messages before the latest answer (`None` where there is none) and of all
    messages. Valid in this process only; no ledger stores them.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a signal: `step.tokens` reads as well as `step.signals.tokens`."""


for _name in SIGNALS:
    # Not a `__getattr__`: with one, every access to a field takes five times as long.
    setattr(Step, _name, property(attrgetter(f"signals.{_name}")))
