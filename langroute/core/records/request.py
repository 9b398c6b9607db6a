"""Requests, the model calls that policies choose a route for, and their selections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records.route_info import RouteInfo
from langroute.core.records.step import Step
from langroute.core.thread import Thread


@fast_dataclass
class Request:
    """One model call as a policy sees it.

    Example:
        >>> Request("Define entropy.").messages[0].content
        'Define entropy.'
    """

    messages: Sequence[Any]
    """LangChain messages; a plain string becomes one human message."""

    step: Step = Step()
    routes: tuple[RouteInfo, ...] = ()
    """The eligible routes, cheapest first. A policy may select no other."""

    default: str | None = None
    """The route used when a policy fails: the strongest unless the router was configured otherwise."""

    tools: tuple[Mapping[str, Any], ...] = ()
    """Bound tools, in OpenAI's form."""

    tool_choice: Any = None
    response_schema: Any = None
    """The schema of `with_structured_output` or `response_format`, as the user gave it."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Metadata of the run, LangGraph's keys included."""

    rejected: Mapping[str, str] = field(default_factory=dict)
    """Routes excluded before the policy was asked, each with its reason."""

    max_tokens: int | None = None
    """Longest answer in tokens that the caller asked for."""

    problems: tuple[str, ...] = ()
    """Internal failures before the policy was asked that were worked around."""

    deterministic: bool = False
    """The same input must give the same decision: a policy that explores does not explore here."""

    uninspected: bool = False
    """Inspection of the step failed, so little is known of it: the default route answers, no policy learns from it, and a budget that
    cannot identify its scope refuses the call.
    """

    limited: bool = False
    """The caller set limits for this call alone (`route`, `exclude`, `min_tier`, `labels`): what they choose holds for no other call."""

    pinned: str | None = None
    """The one route that the caller asked for, or that the subtask around the call is on: the policy has nothing to choose."""

    def __post_init__(self) -> None:
        if isinstance(self.messages, str):
            from langchain_core.messages import HumanMessage

            object.__setattr__(self, "messages", (HumanMessage(self.messages),))

    @property
    def thread(self) -> Thread:
        """The thread's earlier decisions, as its messages carry them."""
        return Thread(self.messages)

    @property
    def route_names(self) -> tuple[str, ...]:
        """Names of the eligible routes, cheapest first."""
        return tuple(route.name for route in self.routes)

    def route(self, name: str) -> RouteInfo | None:
        """Return the eligible route of that name, or `None`."""
        for route in self.routes:
            if route.name == name:
                return route
        return None


@fast_dataclass
class Selection:
    """A policy's choice of the next route, with its reason."""

    route: str
    """Name of the route to try."""

    reason: str = ""
    """Short explanation for the trace."""

    propensity: float = 1.0
    """Probability the policy gave this route; 1.0 when nothing was random."""

    provisional: bool = False
    """The policy may still reject the answer: it is verified, and its tokens are held back until it is accepted."""

    confidence: float | None = None
    """The policy's own estimate that the answer will do, 0 to 1, where it has one."""

    wait_s: float = 0.0
    """Seconds to wait before the call (a retry's back-off)."""

    switch_cost_usd: float | None = None
    """Cost in USD of leaving the warm prompt cache, where a policy calculated it."""

    override_wrappers: bool = field(default=False, repr=False)
    """A wrapping policy must not replace this route by a cheaper or warmer one."""

    cost_usd: float | None = field(default=0.0, repr=False)
    """Cost in USD of the selection itself (a classifier's call); `None` if unknown."""

    instead: bool = field(default=False, repr=False, compare=False)
    """The route takes the place of one that failed or rests, so nothing that remembers routes remembers it."""

    memory: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    """What the policy has to know at the thread's next step: its name, then plain values; or several such notes. The answer carries it
    (`Request.thread`)."""
