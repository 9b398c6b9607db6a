"""Which route next, and when is it enough? The plan, once, as a generator without I/O.

A host (chat model, node, middleware) asks the router for a plan, and a driver (`drivers.py`) carries out what the plan yields:
calls, checks, questions to a policy, waits. Sync, async and streaming thus run one logic.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, urandom
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from langroute.accounts import Accounts
from langroute.context import current_task
from langroute.effects import Call, Check, Consult, Effect, Reply, Wait
from langroute.eligibility import NO_LIMITS, Eligibility, Limits
from langroute.errors import (
    BudgetStoreError,
    ConfigurationError,
    InputError,
    NoEligibleRouteError,
    UnknownRouteError,
)
from langroute.failures import passes_through
from langroute.history import Messages
from langroute.ledger.memory import MemoryLedger
from langroute.notices import Notices
from langroute.policies.base import stops_at_answers
from langroute.policies.default import default_policy
from langroute.records import Attempt, Decision, Failure, Outcome, Request, Selection, Step, Stored, Verdict, best_attempt
from langroute.routes import build_routes
from langroute.runs import Run
from langroute.steps import Inspector, tool_tokens
from langroute.verifiers import as_verifiers, default_verifiers, score_of

if TYPE_CHECKING:
    # Most routers have no budget.
    from langroute.budgets.funding import Funding


@dataclass(slots=True)
class Result:
    """A finished plan."""

    decision: Decision
    message: Any = None
    parsed: Any = None
    output: Any = None
    index: int = -1
    """Which attempt was kept."""

    error: BaseException | None = None
    """Why there is no message; the driver raises it."""

    @property
    def answer(self) -> str:
        """The message as text."""
        text = getattr(self.message, "text", self.message)
        return str(text() if callable(text) and not isinstance(text, str) else text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for beside its messages; made once for each set of bound tools."""

    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    tools_tokens: int = 0
    schema: Any = None
    max_tokens: int | None = None

    @property
    def forced(self) -> bool:
        """A tool call is demanded."""
        return self.tool_choice not in (None, "auto", "none", False)


NOTHING = Asked()


def asked_for(
    tools: Sequence[Mapping[str, Any]] = (), tool_choice: Any = None, schema: Any = None, max_tokens: int | None = None
) -> Asked:
    """Work out what a call asks for.

    Example:
        >>> asked_for(tool_choice="any").forced
        True
    """
    return Asked(tuple(tools), tool_choice, tool_tokens(tools) if tools else 0, schema, max_tokens)


class Router:
    """Routes, a policy, verifiers and a ledger: all that a host needs to answer a step.

    Args:
        routes: `{name: chat model, model name or Route}`, cheapest first, or a sequence of named `Route`s.
        policy: Chooses among the eligible routes; a sensible default where none is given.
        verifier: What a tentative answer must pass: a verifier, a callable or several; by default not empty, tool calls and
            structured output valid.
        default: The route that answers when the policy fails; the last one where none is given.
        baseline: The route that savings are stated against; `default` where none is given.
        ledger: Keeps the decisions; in memory where none is given.
        hooks: Hear of every decision and outcome.
        prices: The user's own prices, by `provider:model`, model name or route name.
        limits: What no call may do.
        max_attempts: Stops a policy that never does.
        max_retries: Tries of the same route after an error that may pass; for the default policy.
        inspector: Tells what kind of step a call is.
        patience: How long a route is waited for; see `Patience`.
        budget: A `Budget` or several: what may be spent, by whom.
        style: A `Style` whose `pin` keeps a thread's voice; the hosts apply its text.
        deterministic: The same input makes the same decision: the policy hears of no decision and no outcome, so it learns and
            remembers nothing, and a policy that explores is told not to (`Request.deterministic`).

    Raises:
        ConfigurationError: Something of this is wrong.

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
        limits: Limits = NO_LIMITS,
        max_attempts: int | None = None,
        max_retries: int | None = None,
        inspector: Inspector | None = None,
        budget: Any = None,
        style: Any = None,
        deterministic: bool = False,
        patience: Any = None,
    ) -> None:
        self.routes = build_routes(routes, prices)
        self.infos = tuple(route.info for route in self.routes.values())
        self.default = self._known(default, "default") or self.infos[-1].name
        self.baseline = self._known(baseline, "baseline") or self.default
        _check_parts(policy, ledger, hooks, inspector)
        if max_attempts is not None and max_attempts < 1:
            raise ConfigurationError(f"max_attempts is at least 1, not {max_attempts}.")
        if policy is None:
            given = {} if max_retries is None else {"retries": max_retries}
            policy = default_policy(self.infos, checked=bool(verifier), **given)
        self.policy = policy
        if style is not None:
            self.policy = style.pinned(self.policy)
        for name in _named_routes(self.policy):
            self._known(name, "the policy")
        self.policy_name = str(getattr(self.policy, "name", None) or type(self.policy).__name__)
        self.policy_version = str(getattr(self.policy, "version", None) or "")
        self.verifiers = default_verifiers() if verifier is None else as_verifiers(verifier)
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.hooks = tuple(hooks)
        self.deterministic = deterministic
        self.limits = limits
        self.max_attempts = max_attempts or 2 * len(self.routes) + 4
        self.inspector = inspector or Inspector()
        self.budgets = _budgets(budget)
        if patience is not None and not hasattr(patience, "total_seconds"):
            raise ConfigurationError(f"patience is a Patience(...), not {patience!r}.")
        self.patience = patience
        self._restarts = patience is not None and patience.restart
        self._worst: Any = None
        self._purse: Any = None
        self._eligibility = Eligibility(self.infos)
        self._eligibility.check(limits)
        self._ends_with_answer = stops_at_answers(self.policy)
        self._asynchronous = callable(getattr(self.policy, "aselect", None))
        self._hedges = patience is not None and patience.hedge_seconds is not None and not self._asynchronous
        self.notices = Notices()
        self.accounts = Accounts(
            self.routes,
            baseline=self.baseline,
            policy=(self.policy_name, self.policy_version),
            ledger=self.ledger,
            listeners=[hear for hook in self._hearing() if callable(hear := getattr(hook, "on_decision", None))],
            notices=self.notices,
            checks=self.verifiers,
        )

    def _hearing(self) -> tuple[Any, ...]:
        """Who hears of decisions and outcomes."""
        return self.hooks if self.deterministic else (self.policy, *self.hooks)

    def _known(self, name: str | None, where: str) -> str | None:
        if name is not None and name not in self.routes:
            raise UnknownRouteError(name, self.routes, where)
        return name

    def request(self, messages: Sequence[Any], asked: Asked = NOTHING, run: Run | None = None) -> Request:
        """Inspect a step and find the routes that may take it.

        Args:
            messages: The history that would be sent.
            asked: Tools, schema and the like.
            run: What the config says; see `read_config`.

        Raises:
            InputError: There is no message.
            NoEligibleRouteError: Every route fell out; each with its reason.
            UnknownRouteError: The caller named a route that does not exist.
        """
        if not messages:
            raise InputError("There is no message to answer. Give at least one.")
        metadata: Mapping[str, Any] = {} if run is None else run.metadata
        tags = () if run is None else tuple(run.tags)
        limits = self.limits if run is None else run.limits
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
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's own kind of step may raise anything
            self.notices.degraded(
                f"step inspection failed: {type(error).__name__}: {error}", problems, f"inspector:{type(error).__name__}"
            )
            step = Step()
        routes, rejected = self._eligibility.eligible(
            step.signals,
            tools=bool(asked.tools),
            forced_tool=asked.forced,
            structured=asked.schema is not None,
            max_tokens=asked.max_tokens,
            limits=limits,
        )
        if not routes:
            raise NoEligibleRouteError(rejected)
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
        )

    def plan(self, request: Request, run: Run | None = None) -> Generator[Effect, Any, Result]:
        """Yield what has to be done for a step; return the result.

        Whatever happens, the decision is recorded once: also when the caller cancels or a graph interrupts.
        """
        begun, waited = perf_counter(), 0.0
        decision_id = new_id()
        started_at = time()
        attempts: list[Attempt] = []
        problems = list(request.problems)
        reply = Reply()
        outputs: list[Reply] = []
        refusal: BaseException | None = None
        funding = None
        if self.budgets or (run is not None and run.budget is not None):
            funding = self._funding(request, run, decision_id)
        broken = unpaid = False
        try:
            while True:
                selection = None
                # A policy that failed is not asked about the answer that the default route gave in its place.
                if not (attempts and (self._final(attempts[-1]) or (broken and attempts[-1].ok))):
                    # After an answer that cannot be rejected a policy stops; a store need not be asked for that.
                    if funding is not None and (unpaid or _goes_on(attempts)):
                        unpaid = False
                        request = yield from funding.afford(problems)
                        if not request.routes:
                            if best_attempt(attempts) is None:
                                refusal = yield from self._closing(funding, request, decision_id, attempts, outputs)
                            break
                    known = len(problems)
                    if self._asynchronous:
                        asking = perf_counter()
                        try:
                            selection = yield Consult(self.policy, request, tuple(attempts))
                        except Exception as error:  # noqa: BLE001 - whatever a policy raises, the call goes on
                            selection = self._rescue(request, attempts, error, problems)
                        waited += perf_counter() - asking
                    else:
                        try:
                            selection = self.policy.select(request, attempts)
                        except Exception as error:  # noqa: BLE001
                            selection = self._rescue(request, attempts, error, problems)
                    if len(problems) == known:
                        selection = self._allowed(request, attempts, selection, problems)
                    broken = len(problems) > known
                if selection is None:
                    break
                if selection.wait_s > 0:
                    yield Wait(selection.wait_s)
                    waited += selection.wait_s
                route = self.routes[selection.route]
                if funding is not None and not (yield from funding.reserve(request, route, problems)):
                    unpaid = True
                    continue
                call = Call(route, selection, request, decision_id, len(attempts), self.patience)
                if self._hedges and funding is None:
                    call.other = partial(self._other, call, tuple(attempts))
                try:
                    reply = yield call
                except BaseException as error:
                    attempts.append(Attempt(selection, error=error, error_type=type(error).__name__))
                    raise
                waited += reply.latency_s
                problems.extend(reply.problems)
                if call.problem is not None:
                    self.notices.degraded(call.problem, problems, "adapt")
                for other, lost in reply.also:
                    attempts.append(self.accounts.attempt(other.route, other.selection, lost))
                    outputs.append(lost)
                if reply.call is not None:
                    route, selection = reply.call.route, reply.call.selection
                attempt = self.accounts.attempt(route, selection, reply)
                attempts.append(attempt)
                outputs.append(reply)
                if funding is not None:
                    funding.settle(attempt, request)
                if selection.tentative and attempt.ok and self.verifiers and not _was_accepted(reply.stored, selection):
                    if funding is not None and not (yield from funding.reserve_checks(self.verifiers, request, attempt, problems)):
                        continue
                    checking = perf_counter()
                    verdicts = yield Check(self.verifiers, request, attempt, tuple(attempts[:-1]))
                    waited += perf_counter() - checking
                    if funding is not None:
                        funding.settle_checks(verdicts)
                    problems.extend(f"verifier {verdict.verifier} failed: {verdict.error}" for verdict in verdicts if verdict.error)
                    attempts[-1] = _verified(attempt, verdicts)
        except BudgetStoreError as error:
            refusal = error
        except BaseException:
            # Cancelled or interrupted in the middle: not ours to handle, but what was spent is ours to record.
            if funding is not None:
                funding.cancel()
            if attempts:
                self.accounts.decided(request, run, decision_id, attempts, problems, started_at, perf_counter() - begun, waited)
            raise
        if funding is not None:
            waited += funding.waited_s
        decision = self.accounts.decided(request, run, decision_id, attempts, problems, started_at, perf_counter() - begun, waited)
        kept = best_attempt(attempts)
        if kept is None:
            return Result(decision, error=refusal or _failure(attempts))
        index = len(attempts) - 1
        while attempts[index] is not kept:
            index -= 1
        reply = outputs[index]
        return Result(decision, reply.message, reply.parsed, reply.output, index)

    def _funding(self, request: Request, run: Run | None, decision_id: str) -> Funding:
        """The budgets of a step: the router's, and the one that the call brings along."""
        from langroute.budgets.budget import budget_of_call
        from langroute.budgets.funding import Funding
        from langroute.budgets.memory import MemoryBudgets
        from langroute.budgets.worst import WorstCase

        if self._worst is None:
            self._worst = WorstCase()
        budgets = self.budgets
        if run is not None and run.budget is not None:
            if self._purse is None:
                self._purse = self.budgets[0].store if self.budgets else MemoryBudgets()
            budgets = (*budgets, budget_of_call(run.budget, self._purse))
        return Funding(budgets, self.routes, request, decision_id, self._worst)

    def _closing(
        self, funding: Funding, request: Request, decision_id: str, attempts: list[Attempt], outputs: list[Reply]
    ) -> Generator[Effect, Any, BaseException | None]:
        """No route can be paid for any more: end with the budget's last words, or with its error."""
        from langroute.budgets.closing import CLOSING, closing_route

        said = funding.account.closing(request)
        if not isinstance(said, str):
            return said
        selection = Selection(CLOSING, next(iter(funding.account.reasons(request)), "the budget is used up"))
        reply = yield Call(closing_route(said), selection, request, decision_id, len(attempts))
        attempts.append(Attempt(selection, reply.message, cost_usd=0.0, finish_reason=CLOSING, streamed=reply.streamed))
        outputs.append(reply)
        return None

    def choose(self, request: Request, run: Run | None = None) -> Result:
        """Select a route and record the decision, without calling it: for edges and other hosts that do the work themselves."""
        begun, started_at = perf_counter(), time()
        try:
            selected: Any = self.policy.select(request, ())
        except Exception as error:  # noqa: BLE001
            selected = error
        return self._chosen(request, run, selected, begun, started_at)

    async def achoose(self, request: Request, run: Run | None = None) -> Result:
        """The same, awaited where the policy has to call something."""
        if not self._asynchronous:
            return self.choose(request, run)
        begun, started_at = perf_counter(), time()
        try:
            selected: Any = await self.policy.aselect(request, ())
        except Exception as error:  # noqa: BLE001
            selected = error
        return self._chosen(request, run, selected, begun, started_at)

    def _chosen(self, request: Request, run: Run | None, selected: Any, begun: float, started_at: float) -> Result:
        problems = list(request.problems)
        if isinstance(selected, Exception):
            selection = self._rescue(request, (), selected, problems)
        else:
            selection = self._allowed(request, [], selected, problems)
        attempt = Attempt(selection or Selection(request.default or self.default))
        decision = self.accounts.decided(request, run, new_id(), [attempt], problems, started_at, perf_counter() - begun, 0.0)
        return Result(decision)

    def _final(self, attempt: Attempt) -> bool:
        """Nothing may follow: its tokens were shown, unless the user wants a broken answer begun again; or the policy stops at answers."""
        if attempt.ok:
            return attempt.streamed or (self._ends_with_answer and not attempt.selection.tentative)
        return attempt.streamed and not self._restarts

    def _other(self, call: Call, attempts: tuple[Attempt, ...]) -> Call | None:
        """The call that would come next if this one took too long."""
        slow = Attempt(call.selection, error=TimeoutError(), error_type="TimeoutError", failure=Failure("timeout"))
        try:
            selection = self.policy.select(call.request, (*attempts, slow))
        except Exception:  # noqa: BLE001 - the first call is still out; if it fails, the policy is asked again
            return None
        known = any(route.name == selection.route for route in call.request.routes) if isinstance(selection, Selection) else False
        if not known or selection.route == call.selection.route:
            return None
        selection = replace(selection, reason=f"{call.selection.route} is slow", tentative=call.selection.tentative, wait_s=0.0)
        return Call(self.routes[selection.route], selection, call.request, call.decision_id, call.index + 1, self.patience)

    # What a policy may not do to a call -----------------------------------------------------------------------------

    def _rescue(self, request: Request, attempts: Sequence[Attempt], error: Exception, problems: list[str]) -> Selection | None:
        if passes_through(error):
            # A policy may ask a person: LangGraph's interrupt is no failure.
            raise error
        cause = f"policy {self.policy_name} failed: {type(error).__name__}: {error}"
        self.notices.degraded(cause, problems, type(error).__name__)
        return None if any(attempt.ok for attempt in attempts) else self._default(request, attempts, cause)

    def _allowed(self, request: Request, attempts: Sequence[Attempt], selection: Any, problems: list[str]) -> Selection | None:
        if selection is None:
            if attempts:
                return None
            cause = f"policy {self.policy_name} selected nothing"
        elif not isinstance(selection, Selection):
            cause = f"policy {self.policy_name} returned a {type(selection).__name__}, not a Selection"
        elif request.route(selection.route) is None:
            reason = request.rejected.get(selection.route, "no such route")
            cause = f"policy {self.policy_name} selected {selection.route!r}, which is not eligible: {reason}"
        elif len(attempts) >= self.max_attempts:
            cause = f"policy {self.policy_name} did not stop after {len(attempts)} attempts"
            self.notices.degraded(cause, problems)
            return None
        else:
            return selection
        self.notices.degraded(cause, problems)
        return None if any(attempt.ok for attempt in attempts) else self._default(request, attempts, cause)

    def _default(self, request: Request, attempts: Sequence[Attempt], cause: str) -> Selection | None:
        route = request.default or request.routes[-1].name
        if any(attempt.route == route for attempt in attempts):
            return None
        return Selection(route, f"default route; {cause}")

    def record_outcome(self, outcome: Outcome) -> None:
        """Tell the ledger, the policy and the hooks how a task or a decision went."""
        self.ledger.record_outcome(outcome)
        for hook in self._hearing():
            if callable(hear := getattr(hook, "on_outcome", None)):
                hear(outcome)


def new_id() -> str:
    """An id for a decision: 32 random hexadecimal digits, a third of the price of a `uuid4`."""
    return urandom(16).hex()


def _check_parts(policy: Any, ledger: Any, hooks: Any, inspector: Any) -> None:
    """Tell what is no policy, ledger, hook or inspector now: later it would only degrade every call."""
    for role, part, methods in (
        ("policy", policy, ("select",)),
        ("ledger", ledger, ("record",)),
        ("inspector", inspector, ("inspect",)),
    ):
        if part is not None:
            _check_part(role, part, methods)
    if isinstance(hooks, (str, Mapping)) or not isinstance(hooks, Iterable):
        raise ConfigurationError(f"Give hooks as a list, not as a {type(hooks).__name__}.")
    for hook in hooks:
        _check_part("hook", hook, ("on_decision", "on_outcome"))
    if inspect.iscoroutinefunction(getattr(policy, "select", None)):
        raise ConfigurationError(
            f"{type(policy).__name__}.select is a coroutine function: call it `aselect`, and add a plain `select`."
        )


_FROM_TEXT = {
    "ledger": "A ledger is an object, not text: write open_ledger({0!r}), from langroute.ledger.",
    "policy": "A policy is an object, not text: write Fixed({0!r}) for a route, from langroute.policies, "
    "or load_policy({0!r}) for a directory that `langroute fit` wrote, from langroute.policies.learned.",
}


def _check_part(role: str, part: Any, methods: Sequence[str]) -> None:
    if inspect.isclass(part):
        raise ConfigurationError(f"A {role} is an object, not the class {part.__name__}: write {part.__name__}().")
    if isinstance(part, (str, PathLike)) and role in _FROM_TEXT:
        raise ConfigurationError(_FROM_TEXT[role].format(str(part)))
    if not any(callable(getattr(part, method, None)) for method in methods):
        raise ConfigurationError(f"A {role} has a method {' or '.join(map(repr, methods))}; {type(part).__name__} has none.")


def _goes_on(attempts: Sequence[Attempt]) -> bool:
    """Another attempt may be wanted."""
    return not attempts or not attempts[-1].ok or attempts[-1].selection.tentative


def _budgets(given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    from langroute.budgets.budget import budgets_from

    return budgets_from(given)


def _named_routes(policy: Any) -> Iterable[str]:
    """Routes that a policy says it will select, where it says so (`routes_named`)."""
    named = getattr(policy, "routes_named", None)
    return named() if callable(named) else ()


def _verified(attempt: Attempt, verdicts: tuple[Verdict, ...]) -> Attempt:
    return replace(attempt, verdicts=tuple(verdicts), score=score_of(verdicts))


def _failure(attempts: Sequence[Attempt]) -> BaseException:
    """One failed attempt raises what the model raised, so that the caller's own handlers work; several, ours with all of them."""
    from langroute.errors import RouteFailedError

    failures = [(attempt.route, attempt.error) for attempt in attempts if attempt.error is not None]
    if len({route for route, _ in failures}) == 1:
        return failures[-1][1]
    error = RouteFailedError(failures)
    error.__cause__ = failures[-1][1]
    return error


def _was_accepted(stored: Stored | None, selection: Selection) -> bool:
    """A stored answer was verified before it was stored, or is what an earlier escalation ended with."""
    return stored is not None and (stored.score is not None or stored.route != selection.route)
