"""Policies and watchers that learn refuse what cannot be meant when they are made, not when they are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langroute.core.errors import ConfigurationError
from langroute.estimators.store import Group, PolicyFile, load_policy_file
from langroute.learning.drift import Drift, SafeOnDrift
from langroute.learning.drift_sums import Cusum
from langroute.policies import Bandit, Canary, Fixed, Shadow
from langroute.policies.learned import Learned, LearnedCascade, LearnedGroups, load_policy, policy_from
from langroute.reports.alerts import BudgetBurn, SuccessDrop
from langroute.reports.drift import PolicyDrift
from langroute.testing import ScriptedModel

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = [NAN, INF, -INF, "0.5", None, [0.5], True]

LARGE, SMALL, NONE = Fixed("large"), Fixed("small"), PolicyFile(())

MAKERS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "Bandit cost_weight": (lambda value: Bandit(["small"], cost_weight=value), [-0.1]),
    "Bandit explore": (lambda value: Bandit(["small"], cost_weight=1, explore=value), [-0.1, 1.1]),
    "Bandit floor": (lambda value: Bandit(["small"], cost_weight=1, floor=value), [-0.1, 1.1]),
    "Bandit memory": (lambda value: Bandit(["small"], cost_weight=1, memory=value), [0, 1.1]),
    "Bandit seed": (lambda value: Bandit(["small"], cost_weight=1, seed=value), [-1, 1.5]),
    "Canary share": (lambda value: Canary(LARGE, SMALL, share=value), [-0.1, 1.1]),
    "Canary margin": (lambda value: Canary(LARGE, SMALL, margin=value), [-0.1, 1]),
    "Canary alpha": (lambda value: Canary(LARGE, SMALL, alpha=value), [0, 1]),
    "Shadow share": (lambda value: Shadow(LARGE, ScriptedModel("x"), share=value), [-0.1, 1.1]),
    "Shadow max_per_hour": (lambda value: Shadow(LARGE, ScriptedModel("x"), max_per_hour=value), [0, 1.5]),
    "Shadow max_waiting": (lambda value: Shadow(LARGE, ScriptedModel("x"), max_waiting=value), [0, 1.5]),
    "Cusum drop": (lambda value: Cusum(drop=value), [0, -0.1, 1.1]),
    "Cusum threshold": (lambda value: Cusum(threshold=value), [0, -1]),
    "Drift drop": (lambda value: Drift(NONE, drop=value), [0, -0.1, 1.1]),
    "Drift least": (lambda value: Drift(NONE, least=value), [0, 1.5]),
    "PolicyDrift days": (lambda value: PolicyDrift(NONE, days=value), [0, 1.5]),
    "PolicyDrift drop": (lambda value: PolicyDrift(NONE, drop=value), [0, 1.1]),
    "SuccessDrop min_drop": (lambda value: SuccessDrop(min_drop=value), [-0.1, 1.1]),
    "SuccessDrop days": (lambda value: SuccessDrop(days=value), [0, 1.5]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_numbers_that_are_none_or_out_of_range_are_refused_by_name(name: str) -> None:
    make, others = MAKERS[name]
    for value in (*NO_NUMBERS, *others):
        with pytest.raises(ConfigurationError, match=rf"^{name.split()[1]} is .*; give a (whole )?number"):
            make(value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Bandit([], cost_weight=1), "names of its routes"),
        (lambda: Bandit("small", cost_weight=1), "names of its routes"),
        (lambda: Bandit(5, cost_weight=1), "names of its routes"),  # type: ignore[arg-type]
        (lambda: Bandit(["small", ""], cost_weight=1), "names of its routes"),
        (lambda: Bandit(["small", "small"], cost_weight=1), "Two routes are named 'small'"),
        (lambda: Bandit(["small"], group="policy", cost_weight=1), "group is 'policy'"),  # type: ignore[arg-type]
        (lambda: Canary("large", SMALL), "old is 'large'; give an object that has `select`"),
        (lambda: Canary(LARGE, None), "new is None; give an object that has `select`"),
        (lambda: Shadow("large", ScriptedModel("x")), "goes around a policy"),
        (lambda: Shadow(LARGE, "gpt-5"), "model is 'gpt-5'; give an object that has `invoke`"),
        (lambda: Shadow(LARGE, ScriptedModel("x"), judge=5), "judge is 5; give something that can be called"),  # type: ignore[arg-type]
        (lambda: Shadow(LARGE, ScriptedModel("x"), redact=5), "redact is 5; give something that can be called"),  # type: ignore[arg-type]
        (lambda: Shadow(LARGE, ScriptedModel("x"), price=5), "price is 5; give a Price"),  # type: ignore[arg-type]
        (lambda: Drift("policy"), "policy is 'policy'; give what load_policy_file returns"),  # type: ignore[arg-type]
        (lambda: Drift(NONE, on_drift=5), "on_drift is 5; give something that can be called"),  # type: ignore[arg-type]
        (lambda: SafeOnDrift("small", Drift(NONE), safe="large"), "policy is 'small'"),
        (lambda: SafeOnDrift(SMALL, None, safe="large"), "drift is None"),  # type: ignore[arg-type]
        (lambda: SafeOnDrift(SMALL, Drift(NONE), safe=""), "safe is ''; give the name of a route"),
        (lambda: LearnedGroups([]), "there is none"),
        (lambda: policy_from(NONE), "The policy has no routes"),
        (lambda: Learned("policy", tolerance=0.1), "group is 'policy'"),  # type: ignore[arg-type]
        (lambda: BudgetBurn(INF), "A budget is above 0 USD, not inf"),
    ],
)
def test_what_cannot_be_asked_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make()

    assert said in str(error.value)


@pytest.fixture
def group(fitted: Path) -> Group:
    return load_policy_file(fitted).groups[0]


def test_fitted_policies_refuse_what_no_tolerance_target_or_plan_is(fitted: Path, group: Group) -> None:
    for value in NO_NUMBERS:
        if value is not None:
            with pytest.raises(ConfigurationError, match="^tolerance is"):
                Learned(group, tolerance=value)
            with pytest.raises(ConfigurationError, match="^target is"):
                load_policy(fitted, target=value)
    with pytest.raises(ConfigurationError, match="not both"):
        load_policy(fitted, target=1.0, tolerance=0.1)
    with pytest.raises(ConfigurationError, match="plan is None"):
        LearnedCascade(group, plan=None)  # type: ignore[arg-type]
    plan = group.points[0].plan
    assert plan is not None
    with pytest.raises(ConfigurationError, match="same is 5"):
        LearnedCascade(group, plan=plan, same=5)  # type: ignore[arg-type]
