"""Steps whose stream broke after a part of it was sent: each waits a while for the client to send it again, and is then one step."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langroute.engine.drivers import Plan
from langroute.gateway.answer import WireAnswer
from langroute.gateway.wire_host import BrokenStepError
from langroute.wire.resend_key import GivenAnswer, HeardAnswer, heard_answer_of

if TYPE_CHECKING:
    from langroute.gateway.wire_step import OpenStep

MOST_WAITING = 1000


@dataclass(slots=True)
class _Waiting:
    step: OpenStep
    broken: BrokenStepError
    given: GivenAnswer
    """What the broken call's request had of an answer."""

    timer: asyncio.TimerHandle


class Resends:
    """Steps that wait for their resend.

    A resend goes on with the plan where it was left: the broken call is one of its attempts, and the policy selects again. Where none comes in
    time, the step is recorded as one that failed.

    Args:
        seconds: How long a step waits; 0 for not at all.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: str, step: OpenStep, broken: BrokenStepError, given: GivenAnswer) -> None:
        """Let a step wait.

        Args:
            key: Whose it is, and its resend key.
            step: The step.
            broken: Its call that broke off.
            given: What the call's request had of an answer.
        """
        if (before := self._waiting.pop(key, None)) is not None:
            self._end(before)
        while len(self._waiting) >= MOST_WAITING:
            self._over(next(iter(self._waiting)))
        timer = asyncio.get_running_loop().call_later(self.seconds, self._over, key)
        # Without the traceback, whose frames hold the request.
        self._waiting[key] = _Waiting(step, broken.with_traceback(None), given, timer)

    def take(self, key: str, given: GivenAnswer) -> OpenStep | None:
        """Return the step that is sent again, with its next effect; `None` where none waits, or its plan has ended.

        Args:
            key: Whose the request is, and its resend key.
            given: What it has of an answer.
        """
        found = self._waiting.get(key)
        if found is None or not given.goes_on(found.step.begun, found.given, _heard(found.broken)):
            return None
        del self._waiting[key]
        found.timer.cancel()
        reply = found.broken.reply
        # The client throws away what it has of the answer, so nothing of it counts as shown.
        reply.streamed = False
        try:
            effect = found.step.plan.send(reply)
        except StopIteration:
            # No route is left. The request is a step of its own: it may be answered now.
            return None
        return replace(found.step, effect=effect)

    def close(self) -> None:
        """Record every step that still waits."""
        for key in list(self._waiting):
            self._over(key)

    def _over(self, key: str) -> None:
        if (found := self._waiting.pop(key, None)) is not None:
            self._end(found)

    @staticmethod
    def _end(found: _Waiting) -> None:
        found.timer.cancel()
        plan: Plan = found.step.plan
        with suppress(StopIteration):
            plan.send(found.broken.reply)
        plan.close()


def _heard(broken: BrokenStepError) -> HeardAnswer:
    """Return what came of an answer before it broke off."""
    answer = broken.reply.output
    return heard_answer_of(answer.reader) if isinstance(answer, WireAnswer) and answer.reader is not None else HeardAnswer()


__all__ = ["MOST_WAITING", "Resends"]
