"""The router: inspects steps, selects routes and records decisions, as a plan without I/O.

A host (chat model, node, middleware) asks the router for a plan, a generator. A driver (`drivers.py`) carries out the effects that the
plan yields: calls, checks, policy calls, waits. Sync, async and streaming calls thus share one logic.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from langroute.core.bounded import error_text
from langroute.core.control_flow import passes_through
from langroute.core.degradation import Degradations
from langroute.core.errors import (
    BudgetStoreError,
    ConfigurationError,
    InputError,
    UnknownRouteError,
)
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Attempt, Outcome, Request, RouteInfo, Selection, Step
from langroute.core.short_repr import short_form
from langroute.core.subtask_pin import current_pin
from langroute.core.task_context import current_task
from langroute.engine.accounting import Accounting
from langroute.engine.call_config import Run
from langroute.engine.effects import Effect
from langroute.engine.eligibility import NO_LIMITS, Eligibility, RouteLimits, TooLong
from langroute.engine.policy_guard import PolicyGuard
from langroute.engine.router_parts import check_parts, resolved_policy
from langroute.engine.step_execution import StepExecution, StepResult, new_id
from langroute.ledger.listening import listen
from langroute.ledger.resolve import resolve_ledger
from langroute.policies.base import use_ledger
from langroute.policies.judgement import job_of_prompt
from langroute.routes.current_prices import CurrentPrices
from langroute.routes.route import build_routes
from langroute.steps.history_reader import Messages
from langroute.steps.inspector import Inspector, salvaged, tool_tokens
from langroute.steps.kinds import check_kinds, kinds_named
from langroute.verifiers import as_verifiers, default_verifiers

if TYPE_CHECKING:
    # Needed only with a budget, so imported on first use.
    from langroute.engine.funding import Funding


@fast_dataclass
class CallOptions:
    """Options of a call besides its messages; made once per set of bound tools."""

    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    tools_tokens: int = 0
    schema: Any = None
    max_tokens: int | None = None
    own_tools: tuple[str, ...] = ()
    """Kinds of providers' own tools among the bound ones."""

    changes_inside: bool = False
    """Whether code between router and model may change the messages: an agent's inner middleware."""

    @property
    def forced(self) -> bool:
        """Whether a tool call is demanded."""
        return self.tool_choice not in (None, "auto", "none", False)


NO_OPTIONS = CallOptions()


def call_options(
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: Any = None,
    schema: Any = None,
    max_tokens: int | None = None,
    own_tools: tuple[str, ...] = (),
    *,
    changes_inside: bool = False,
) -> CallOptions:
    """Return the options of a call.

    Example:
        >>> call_options(tool_choice="any").forced
        True
    """
    return CallOptions(tuple(tools), tool_choice, tool_tokens(tools) if tools else 0, schema, max_tokens, own_tools, changes_inside)


class Router:
    """Routes, a policy, verifiers and a ledger: everything a host needs to answer a step.

    Args:
        routes: `{name: chat model, model name or Route}`, cheapest first, or a sequence of named `Route`s.
        policy: Selects among the eligible routes: a policy, or the name of one (`quality`, `balanced`, `cost`); `None` for the default
            policy, which is `balanced`.
        verifier: What a provisional answer must pass: a verifier, a callable or several; by default not empty, tool calls and
            structured output valid.
        default: The route that answers when the policy fails; the last one where none is given.
        baseline: The route that savings are stated against; `default` where none is given.
        ledger: Keeps the decisions: a ledger, or the path or URL of one. Where none is given, the one that the environment variable
            `LANGROUTE_LEDGER` names, else one in memory.
        hooks: Receive every decision and outcome.
        prices: The user's own prices, by `provider:model`, model name or route name.
        limits: Limits that hold for every call.
        max_attempts: Attempts after which a policy that does not stop is stopped.
        max_retries: Retries of the same route after a transient error.
        fallback: Whether other routes are tried after an error, where the policy does not handle errors itself (`Fallback`).
        inspector: Determines the step kind of a call.
        timeouts: Time limits for calls; see `Timeouts`.
        budget: A `Budget` or several; a budget store among them keeps the budgets that calls bring themselves.
        style: A `SystemStyle` whose `pin` keeps a thread's voice; the hosts apply its text.
        deterministic: The same input gives the same decision: the policy receives no decisions or outcomes, so that it learns and
            remembers nothing, and an exploring policy is told not to explore (`Request.deterministic`).

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> router = Router({"small": ScriptedModel("Hm."), "large": ScriptedModel("42")}, default="large")
        >>> router.default
        'large'
    """

    def __init__(
        self,
        routes: Any,
        *,
        policy: Any = None,
        verifier: Any = None,
        default: str | None = None,
        baseline: str | None = None,
        ledger: Any = None,
        hooks: Iterable[Any] = (),
        prices: Mapping[str, Any] | None = None,
        limits: RouteLimits = NO_LIMITS,
        max_attempts: int | None = None,
        max_retries: int | None = None,
        fallback: bool = True,
        inspector: Inspector | None = None,
        budget: Any = None,
        style: Any = None,
        deterministic: bool = False,
        timeouts: Any = None,
    ) -> None:
        self.routes = build_routes(routes, prices)
        self.infos = tuple(route.info for route in self.routes.values())
        self.default = self._known(default, "default") or self.infos[-1].name
        self.baseline = self._known(baseline, "baseline") or self.default
        if max_attempts is not None and max_attempts < 1:
            raise ConfigurationError(f"max_attempts is at least 1, not {max_attempts}.")
        check_parts(policy, ledger, hooks, inspector)
        self.policy = resolved_policy(policy, self.infos, bool(verifier), style, max_retries, fallback)
        for name in _named_routes(self.policy):
            self._known(name, "the policy")
        self.verifiers = default_verifiers() if verifier is None else as_verifiers(verifier)
        self.ledger = resolve_ledger(ledger)
        self.hooks = tuple(hooks)
        for hook in self.hooks:
            if getattr(hook, "hears_ledger", False):
                listen(self.ledger, hook.on_outcome)
            if callable(watch := getattr(hook, "watch_ledger", None)):
                watch(self.ledger)
        if not deterministic:
            for part in (self.policy, *self.hooks):
                use_ledger(part, self.ledger)
        self.deterministic = deterministic
        self.limits = limits
        self.limited = False
        """Whether this router was made for calls that ask for one route: what it chooses holds for no other call."""

        self.max_attempts = max_attempts or 2 * len(self.routes) + 4
        self.inspector = inspector or Inspector(job=job_of_prompt)
        check_kinds(kinds_named(self.policy), self.inspector, "the policy")
        self.budgets, self._given_budget = _budgets(budget), budget
        if timeouts is not None and not hasattr(timeouts, "total"):
            raise ConfigurationError(f"timeouts is a Timeouts(...), not {timeouts!r}.")
        self.timeouts = timeouts
        self.restarts_streams = timeouts is not None and timeouts.restart_stream
        self._worst: Any = None
        self._callers: Any = None
        self._prices = CurrentPrices(self.routes)
        self._eligibility = self._built_eligibility()
        self._eligibility.check(limits)
        self.notices = Degradations()
        self.guard = PolicyGuard(self.policy, default=self.default, max_attempts=self.max_attempts, notices=self.notices)
        self.policy_name, self.policy_version = self.guard.name, self.guard.version
        self.hedges = timeouts is not None and timeouts.hedging is not None and not self.guard.asynchronous
        self.accounts = Accounting(
            self.routes,
            baseline=self.baseline,
            policy=(self.policy_name, self.policy_version),
            ledger=self.ledger,
            listeners=[hear for hook in self.hooks if callable(hear := getattr(hook, "on_decision", None))],
            learner=None if self.deterministic or not callable(hear := getattr(self.policy, "on_decision", None)) else hear,
            notices=self.notices,
            prices=self._prices,
            checks=self.verifiers,
        )

    @classmethod
    def from_config(cls, path: Any, **arguments: Any) -> Router:
        """Return the router that a `langroute.toml` describes; see `docs/gateway.md`.

        It chooses routes and calls none, so that it has no use for the file's `cache`: that is for `ChatRouter.from_config`.

        Args:
            path: The file.
            arguments: Arguments of `Router` in the place of what the file says.

        Raises:
            ConfigurationError: The file is not right; the error names the line.
            MissingExtraError: A provider's package is not installed.
        """
        from langroute.engine.configured import arguments_of_file

        return cls(**{**arguments_of_file(path, arguments.pop("routes", None))[1], **arguments})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({short_form(list(self.routes))}, policy={short_form(self.policy)}, default={self.default!r})"

    def _hearing(self) -> tuple[Any, ...]:
        """Return the receivers of decisions and outcomes."""
        return self.hooks if self.deterministic else (self.policy, *self.hooks)

    def _known(self, name: str | None, where: str) -> str | None:
        if name is not None and name not in self.routes:
            raise UnknownRouteError(name, self.routes, where)
        return name

    def _limits(self, run: Run | None) -> RouteLimits:
        """Return the limits of a call; inside a subtask, its route is one, where this router has it."""
        limits = self.limits if run is None else run.limits
        pin = current_pin()
        if pin is None or limits.route is not None or pin.route not in self.routes:
            return limits
        return replace(limits, route=pin.route)

    def _as_changed_inside(
        self, step: Step, asked: CallOptions, limits: RouteLimits, rejected: Mapping[str, str]
    ) -> tuple[tuple[RouteInfo, ...], Mapping[str, str]]:
        """Return what `eligible` says of a step whose media no route can read, where inner code may take them out before the call.

        The same holds for a history that is certainly too long: inner code may cut it.

        Raises:
            NoEligibleRouteError: Nothing may take them out, or they are not the only reason.
        """
        if not asked.changes_inside:
            raise self._eligibility.refusal(rejected)
        signals = replace(step.signals, images=0, audio=0, files=0, video=0)
        needs: dict[str, Any] = {"tools": bool(asked.tools), "forced_tool": asked.forced, "own_tools": asked.own_tools}
        needs.update(structured=asked.schema is not None, max_tokens=asked.max_tokens)
        routes, left = self._eligibility.eligible(signals, limits=limits, **needs)
        if not routes and isinstance(left, TooLong):
            routes, left = self._eligibility.eligible(replace(signals, tokens=0), limits=limits, **needs)
        if not routes:
            raise self._eligibility.refusal(left)
        return routes, left

    def request(self, messages: Sequence[Any], asked: CallOptions = NO_OPTIONS, run: Run | None = None) -> Request:
        """Inspect a step and determine its eligible routes.

        Args:
            messages: The history that would be sent.
            asked: Tools, schema and other options of the call.
            run: What the config says; see `read_config`.

        Raises:
            InputError: There is no message.
            NoEligibleRouteError: Every route is excluded; each with its reason. If only the prompt is too long, a
                `ContextOverflowError` as well.
            UnknownRouteError: The caller named a route that does not exist.
        """
        if not messages:
            raise InputError("There is no message to answer. Give at least one.")
        if self._prices.changed():
            self.infos = tuple(route.info for route in self.routes.values())
            self._eligibility = self._built_eligibility()
        metadata: Mapping[str, Any] = {} if run is None else run.metadata
        tags = () if run is None else tuple(run.tags)
        limits = self._limits(run)
        problems: list[str] = []
        messages = Messages(messages)
        try:
            step = self.inspector.inspect(
                messages,
                tools=asked.tools,
                tools_tokens=asked.tools_tokens,
                response_schema=asked.schema,
                metadata=metadata,
                tags=tags,
                task=current_task(),
            )
            failed: Sequence[tuple[str, str]] | None = messages.problems
            if not isinstance(step, Step):
                raise TypeError(f"an inspector returns a Step, not a {type(step).__name__}")
        except InputError:
            raise
        except Exception as error:
            if passes_through(error):
                raise
            failed = [(f"step inspection failed: {error_text(error)}", f"inspector:{type(error).__name__}")]
            step = salvaged(
                messages, tools=bool(asked.tools), tools_tokens=asked.tools_tokens, metadata=metadata, task=current_task()
            )
        if failed:
            for cause, kind in failed:
                self.notices.warn_once(cause, problems, kind)
        routes, rejected = self._eligibility.eligible(
            step.signals,
            tools=bool(asked.tools),
            forced_tool=asked.tool_choice is not None and asked.forced,
            structured=asked.schema is not None,
            max_tokens=asked.max_tokens,
            limits=limits,
            own_tools=asked.own_tools,
        )
        if not routes:
            routes, rejected = self._as_changed_inside(step, asked, limits, rejected)
        default = self.default if self.default not in rejected else routes[-1].name
        return Request(
            messages,
            step,
            routes,
            default,
            asked.tools,
            asked.tool_choice,
            asked.schema,
            tags,
            metadata,
            rejected,
            asked.max_tokens,
            tuple(problems),
            self.deterministic,
            bool(failed),
            self.limited or (limits is not self.limits and limits != self.limits),
            limits.route,
        )

    def _built_eligibility(self) -> Eligibility:
        return Eligibility(self.infos, {name: route.rules for name, route in self.routes.items()})

    def plan(self, request: Request, run: Run | None = None) -> Generator[Effect, Any, StepResult]:
        """Yield the effects of a step; return its result.

        The decision is recorded exactly once, even if the caller cancels or a graph interrupts.
        """
        step = StepExecution(self, request, run)
        with_effects = step.funding is not None or self.guard.asynchronous
        try:
            while (selection := (yield from step.select_with_effects()) if with_effects else step.select()) is not None:
                if (with_effects or selection.wait_s > 0) and not (yield from step.prepare(selection)):
                    continue
                call = step.call(selection)
                attempt = step.take(call, (yield call))
                if step.must_verify(attempt):
                    yield from step.verify(attempt)
        except BudgetStoreError as error:
            step.refuse(error)
        except BaseException as error:
            step.abort(error)
            raise
        return step.result()

    def funding(self, request: Request, run: Run | None, decision_id: str) -> Funding:
        """Return the budgets of a step: the router's own and the call's."""
        from langroute.budgets.callers import CallerBudgets
        from langroute.budgets.max_cost import MaxCost
        from langroute.engine.funding import Funding

        if self._worst is None:
            self._worst = MaxCost()
        budgets = self.budgets
        if run is not None and run.budget is not None:
            if self._callers is None:
                self._callers = CallerBudgets(self._given_budget)
            budgets = (*budgets, self._callers.of(run.budget))
        return Funding(budgets, self.routes, request, decision_id, self._worst)

    def choose(self, request: Request, run: Run | None = None) -> StepResult:
        """Select a route and record the decision without calling the route: for edges and other hosts that call it themselves."""
        begun, started_at = perf_counter(), time()
        try:
            selected: Any = None if self.guard.may_not_see(request) else self.policy.select(request, ())
        except Exception as error:  # noqa: BLE001
            selected = error
        return self._chosen(request, run, selected, begun, started_at)

    async def achoose(self, request: Request, run: Run | None = None) -> StepResult:
        """Async version of `choose`, for a policy that does I/O."""
        if not self.guard.asynchronous:
            return self.choose(request, run)
        begun, started_at = perf_counter(), time()
        try:
            selected: Any = None if self.guard.may_not_see(request) else await self.policy.aselect(request, ())
        except Exception as error:  # noqa: BLE001
            selected = error
        return self._chosen(request, run, selected, begun, started_at)

    def _chosen(self, request: Request, run: Run | None, selected: Any, begun: float, started_at: float) -> StepResult:
        problems = list(request.problems)
        if self.guard.may_not_see(request):
            selection = self.guard.instead(request, (), problems[0])
        elif isinstance(selected, Exception):
            selection = self.guard.rescue(request, (), selected, problems)
        else:
            selection = self.guard.allow(request, (), selected, problems)
        attempt = Attempt(selection or Selection(request.default or self.default))
        decision = self.accounts.record_decision(
            request, run, new_id(), [attempt], problems, started_at, perf_counter() - begun, 0.0
        )
        return StepResult(decision)

    def record_outcome(self, outcome: Outcome) -> None:
        """Pass an outcome to the ledger, the policy and the hooks."""
        self.ledger.record_outcome(outcome)
        for hook in self._hearing():
            if callable(hear := getattr(hook, "on_outcome", None)):
                hear(outcome)


def _budgets(given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    from langroute.budgets.budget import budgets_from

    return budgets_from(given)


def _named_routes(policy: Any) -> Iterable[str]:
    """Return the routes that a policy declares it will select (`routes_named`)."""
    named = getattr(policy, "routes_named", None)
    return named() if callable(named) else ()
