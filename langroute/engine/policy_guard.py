"""Guard around a policy: an error or an invalid selection is replaced by the default route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langroute.core.control_flow import passes_through
from langroute.core.degradation import Degradations
from langroute.core.records import Attempt, Failure, Request, Selection
from langroute.engine.eligibility import asked_for
from langroute.policies.base import ignores_steps, stops_at_answers


class PolicyGuard:
    """Calls a policy and checks its selections.

    Args:
        policy: The router's policy.
        default: Name of the route that answers when the policy fails.
        max_attempts: Attempts after which a policy that does not stop is stopped.
        notices: Warns once about each cause.
    """

    def __init__(self, policy: Any, *, default: str, max_attempts: int, notices: Degradations) -> None:
        self.policy, self.default, self.max_attempts, self.notices = policy, default, max_attempts, notices
        self.name = str(getattr(policy, "name", None) or type(policy).__name__)
        self.version = str(getattr(policy, "version", None) or "")
        self.asynchronous = callable(getattr(policy, "aselect", None))
        self.ends_with_answer = stops_at_answers(policy)
        self._ignores_steps = ignores_steps(policy)

    def may_not_see(self, request: Request) -> bool:
        """Return whether the policy must not be called for a step, because the step could not be inspected.

        The policy would read unknown signals as known ones, and the author of a message could cause that.
        """
        return request.uninspected and not self._ignores_steps

    def select(self, request: Request, attempts: Sequence[Attempt], problems: list[str]) -> Selection | None:
        """Return the policy's selection, or the default route's where the policy fails."""
        try:
            selection = self.policy.select(request, attempts)
        except Exception as error:  # noqa: BLE001 - whatever a policy raises, the call goes on
            return self.rescue(request, attempts, error, problems)
        if not attempts and request.pinned is None and type(selection) is Selection and request.route(selection.route) is not None:
            # Nearly every step.
            return selection
        return self.allow(request, attempts, selection, problems)

    def rescue(self, request: Request, attempts: Sequence[Attempt], error: Exception, problems: list[str]) -> Selection | None:
        """Return the selection that takes the place of a policy's error.

        Raises:
            Exception: The error itself if it is control flow: a policy may ask a person through LangGraph's interrupt.
        """
        if passes_through(error):
            raise error
        cause = f"policy {self.name} failed: {type(error).__name__}: {error}"
        self.notices.warn_once(cause, problems, type(error).__name__)
        return self.instead(request, attempts, cause)

    def allow(self, request: Request, attempts: Sequence[Attempt], selection: Any, problems: list[str]) -> Selection | None:
        """Return the policy's selection if it is valid, else its replacement.

        Of a pinned step the policy has nothing to choose: the reason is the caller's, and to have another route is no failure of the policy.
        """
        if request.pinned is not None and isinstance(selection, Selection):
            selection = _of_pinned(request, request.pinned, attempts, selection)
        if selection is None:
            if attempts:
                return None
            cause = f"policy {self.name} selected nothing"
        elif not isinstance(selection, Selection):
            cause = f"policy {self.name} returned a {type(selection).__name__}, not a Selection"
        elif request.route(selection.route) is None:
            reason = request.rejected.get(selection.route, "no such route")
            cause = f"policy {self.name} selected {selection.route!r}, which is not eligible: {reason}"
        elif attempts and _has_answered(selection.route, attempts):
            return None
        elif len(attempts) >= self.max_attempts:
            self.notices.warn_once(f"policy {self.name} did not stop after {len(attempts)} attempts", problems)
            return None
        else:
            return selection
        self.notices.warn_once(cause, problems)
        return self.instead(request, attempts, cause)

    def after_timeout(self, request: Request, attempts: Sequence[Attempt], slow: Selection) -> Selection | None:
        """Return the policy's selection if an open call timed out; `None` if that is no other route."""
        lost = Attempt(slow, error=TimeoutError(), error_type="TimeoutError", failure=Failure("timeout"))
        try:
            selection = self.policy.select(request, (*attempts, lost))
        except Exception:  # noqa: BLE001 - the first call is still out; if it fails, the policy is asked again
            return None
        if not isinstance(selection, Selection) or selection.route == slow.route or request.route(selection.route) is None:
            return None
        return replace(selection, reason=f"{slow.route} is slow", provisional=slow.provisional, wait_s=0.0)

    def instead(self, request: Request, attempts: Sequence[Attempt], cause: str) -> Selection | None:
        """Return the default route's selection if nothing was answered and that route was not called yet; else `None`."""
        route = request.default or request.routes[-1].name
        if any(attempt.ok or attempt.route == route for attempt in attempts):
            return None
        return Selection(route, f"default route; {cause}", instead=True)


def _of_pinned(request: Request, pinned: str, attempts: Sequence[Attempt], selection: Selection) -> Selection | None:
    """Return what a policy's selection comes to in a step that has only one route.

    The first selection is that route, and the reason is the caller's; a policy that wants another one after it stops.
    """
    if selection.route in request.rejected and request.route(pinned) is not None:
        return None if attempts else Selection(pinned, asked_for(pinned), instead=True)
    return selection if attempts else replace(selection, reason=asked_for(pinned))


def _has_answered(route: str, attempts: Sequence[Attempt]) -> bool:
    """Return whether the route gave an answer in this step that nobody rejected. To select it again ends the step.

    An answer that is provisional may be rejected by the policy itself, unless its checks accepted it fully.
    """
    return any(a.ok and a.route == route and (not a.selection.provisional or a.score == 1) for a in attempts)
