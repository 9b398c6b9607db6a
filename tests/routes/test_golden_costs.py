"""What an answer is billed is what the published list says, computed by hand, for every provider."""

from __future__ import annotations

import pytest
from golden_bills import BILLS, HAS_TIERS, Bill, at_noon  # noqa: F401 - a fixture of every test here
from langchain_core.messages import AIMessage

from langroute import ChatRouter, Route
from langroute.providers.registry import BUILT_IN
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.skipif(not HAS_TIERS, reason="this list has no rates of tiers")


def model_of(bill: Bill) -> ScriptedModel:
    answer = AIMessage(bill.content, usage_metadata=bill.usage, response_metadata=dict(bill.response))  # type: ignore[arg-type]
    return ScriptedModel(answer, model=bill.model, provider=bill.provider or bill.profile, max_tokens=5_000)


@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: bill.name)
def test_an_answer_costs_what_the_list_says(bill: Bill) -> None:
    router = ChatRouter({"a": Route(model_of(bill).bind(**bill.asked))})
    found = router.invoke("Hello.").response_metadata["langroute"]["cost_usd"]

    assert found == (None if bill.usd is None else pytest.approx(bill.usd, abs=1e-12))


def test_every_profile_has_a_bill_and_every_shape_that_it_declares() -> None:
    bills = {profile.name: [bill for bill in BILLS if bill.profile == profile.name] for profile in BUILT_IN}

    assert [name for name, found in bills.items() if not found] == []
    for profile in BUILT_IN:
        shapes = " ".join(bill.shape for bill in bills[profile.name])
        for word, declared in (
            ("search", [name for name, *_ in (*profile.billing.blocks, *profile.billing.lists) if name == "searches"]),
            ("stated", profile.billing.stated_cost),
            ("own key", profile.billing.upstream_cost),
        ):
            assert not declared or word in shapes or "ground" in shapes or profile.name == "azure", (profile.name, word)
