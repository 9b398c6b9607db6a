"""Routing policies, one a file; each implements `select(request, attempts)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from langroute.policies.autopilot import Autopilot as Autopilot
    from langroute.policies.bandit import Bandit as Bandit
    from langroute.policies.cache_aware import CacheAware as CacheAware
    from langroute.policies.canary import Canary as Canary
    from langroute.policies.cascade import Cascade as Cascade
    from langroute.policies.confidence_floor import ConfidenceFloor as ConfidenceFloor
    from langroute.policies.decision_model import DecisionModel as DecisionModel
    from langroute.policies.default import default_policy as default_policy
    from langroute.policies.default import policy_by_name as policy_by_name
    from langroute.policies.escalate import Escalate as Escalate
    from langroute.policies.fallback import Fallback as Fallback
    from langroute.policies.fixed import Fixed as Fixed
    from langroute.policies.judged import Judged as Judged
    from langroute.policies.judged import WholeTurns as WholeTurns
    from langroute.policies.learned import Learned as Learned
    from langroute.policies.learned import LearnedCascade as LearnedCascade
    from langroute.policies.learned import load_policy as load_policy
    from langroute.policies.loss_per_dollar import LossPerDollar as LossPerDollar
    from langroute.policies.pin_thread import PinThread as PinThread
    from langroute.policies.plan_execute import PlanExecute as PlanExecute
    from langroute.policies.rules import Rule as Rule
    from langroute.policies.rules import Rules as Rules
    from langroute.policies.shadow import Shadow as Shadow
    from langroute.policies.sticky import Sticky as Sticky
    from langroute.policies.subagent_cap import SubagentCap as SubagentCap

_PLACES = {
    "Fixed": "fixed",
    "Cascade": "cascade",
    "Fallback": "fallback",
    "Sticky": "sticky",
    "Rule": "rules",
    "Rules": "rules",
    "Judged": "judged",
    "WholeTurns": "judged",
    "default_policy": "default",
    "policy_by_name": "default",
    "DecisionModel": "decision_model",
    "Learned": "learned",
    "LearnedCascade": "learned",
    "load_policy": "learned",
    "LossPerDollar": "loss_per_dollar",
    "Bandit": "bandit",
    "Autopilot": "autopilot",
    "Shadow": "shadow",
    "Canary": "canary",
    "CacheAware": "cache_aware",
    "Escalate": "escalate",
    "PlanExecute": "plan_execute",
    "SubagentCap": "subagent_cap",
    "ConfidenceFloor": "confidence_floor",
    "PinThread": "pin_thread",
}

__all__ = [*_PLACES]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
