"""Which routes may take a step, and what is said of those that may not."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError

from langroute.core.errors import InputError, NoEligibleRouteError, UnknownRouteError
from langroute.core.records import RouteInfo, Signals
from langroute.engine.call_config import read_config
from langroute.engine.eligibility import Eligibility, RouteLimits, tier_level
from langroute.providers.wire import RULES


def of_tiers(*tiers: str) -> Eligibility:
    """Routes of these tiers in this order; each is named by its place."""
    return Eligibility([RouteInfo(f"r{rank}", tier, rank) for rank, tier in enumerate(tiers)])


def names(found: Any) -> list[str]:
    return [route.name for route in found[0]]


# Tiers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("min_tier", "kept"),
    [("cheap", ["r0", "r1", "r2"]), ("balanced", ["r1", "r2"]), ("frontier", ["r2"])],
)
def test_a_lowest_tier_leaves_that_one_and_the_stronger_ones(min_tier: str, kept: list[str]) -> None:
    found = of_tiers("cheap", "balanced", "frontier").eligible(Signals(), limits=RouteLimits(min_tier=min_tier))

    assert names(found) == kept
    assert all(reason.endswith(f"is below {min_tier!r}") for reason in found[1].values())
    assert len(found[1]) == 3 - len(kept)


@pytest.mark.parametrize(
    ("min_tier", "kept"),
    [("house", ["r1", "r2"]), ("cheap", ["r0", "r1", "r2"]), ("balanced", ["r1", "r2"]), ("frontier", ["r2"])],
)
def test_a_tier_of_the_users_own_stands_where_its_route_stands(min_tier: str, kept: list[str]) -> None:
    """In the middle of three: as strong as a balanced one, above a cheap one, below a frontier one."""
    assert names(of_tiers("cheap", "house", "frontier").eligible(Signals(), limits=RouteLimits(min_tier=min_tier))) == kept


def test_a_tier_of_the_users_own_begins_at_its_cheapest_route() -> None:
    """A limit to a tier does not throw out routes of that tier."""
    found = of_tiers("cheap", "house", "frontier", "house").eligible(Signals(), limits=RouteLimits(min_tier="house"))

    # The first stands at two thirds of a tier's step above the cheapest.
    assert names(found) == ["r1", "r2", "r3"]
    assert found[1] == {"r0": "tier 'cheap' is below 'house'"}


def test_a_tier_of_the_users_own_low_among_many_is_below_a_balanced_one() -> None:
    """The second of four stands a third of the way up, a balanced one half of it."""
    found = of_tiers("cheap", "house", "frontier", "frontier").eligible(Signals(), limits=RouteLimits(min_tier="balanced"))

    assert names(found) == ["r2", "r3"]


def test_the_only_route_of_a_tier_of_the_users_own_may_be_demanded_by_it() -> None:
    assert names(of_tiers("house").eligible(Signals(), limits=RouteLimits(min_tier="house"))) == ["r0"]
    assert names(of_tiers("house").eligible(Signals(), limits=RouteLimits(min_tier="balanced"))) == []


@pytest.mark.parametrize(("min_tier", "kept"), [("cheap", ["r0", "r1"]), ("balanced", ["r1"]), ("frontier", ["r1"])])
def test_of_two_tiers_of_the_users_own_the_upper_one_is_the_strongest(min_tier: str, kept: list[str]) -> None:
    """However few routes there are, they reach from the cheapest to the strongest."""
    assert names(of_tiers("small", "big").eligible(Signals(), limits=RouteLimits(min_tier=min_tier))) == kept


def test_a_tier_that_no_route_has_is_a_limit_and_one_that_nobody_knows_a_mistake() -> None:
    assert names(of_tiers("cheap", "frontier").eligible(Signals(), limits=RouteLimits(min_tier="balanced"))) == ["r1"]
    with pytest.raises(InputError, match="Unknown tier 'guru'. Tiers: cheap, balanced, frontier, house"):
        of_tiers("cheap", "house").eligible(Signals(), limits=RouteLimits(min_tier="guru"))


def test_the_level_of_a_tier() -> None:
    assert [tier_level(tier) for tier in ("cheap", "balanced", "frontier", "house")] == [0, 1, 2, None]


# What a model cannot do ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "signals", "unable", "reason"),
    [
        ({"tools": True}, Signals(), {"tools": False}, "cannot call tools"),
        ({"forced_tool": True}, Signals(), {"tool_choice": False}, "cannot be made to call a tool"),
        ({"structured": True}, Signals(), {"structured_output": False, "tools": False}, "cannot write structured output"),
        ({}, Signals(images=1), {"images": False}, "cannot read images"),
        ({}, Signals(audio=1), {"audio": False}, "cannot hear audio"),
        ({}, Signals(video=1), {"video": False}, "cannot watch video"),
        ({}, Signals(files=1), {"pdf": False}, "cannot read files"),
    ],
)
def test_who_cannot_does_not_take_it_and_who_can_or_may_does(
    asked: dict[str, bool], signals: Signals, unable: dict[str, bool], reason: str
) -> None:
    """A capability that is unknown is believed; one that is not asked for does not matter."""
    routes = [
        RouteInfo("unable", rank=0, capabilities=unable),
        RouteInfo("able", rank=1, capabilities=dict.fromkeys(unable, True)),
        RouteInfo("unknown", rank=2),
    ]
    eligibility = Eligibility(routes)
    found = eligibility.eligible(signals, **asked)

    assert names(found) == ["able", "unknown"]
    assert found[1] == {"unable": reason}
    assert names(eligibility.eligible(Signals())) == ["unable", "able", "unknown"]


@pytest.mark.parametrize("capabilities", [{"structured_output": False}, {"tools": False}])
def test_structured_output_may_be_written_in_either_way(capabilities: dict[str, bool]) -> None:
    """By itself, or as the arguments of a tool."""
    assert names(Eligibility([RouteInfo("a", capabilities=capabilities)]).eligible(Signals(), structured=True)) == ["a"]


def test_a_tool_of_a_provider_goes_to_a_route_that_runs_it_where_there_is_one() -> None:
    """Where none does, the step is taken without the tool, and who cannot take it at all keeps that reason."""
    routes = [RouteInfo("claude"), RouteInfo("gpt", rank=1), RouteInfo("mute", rank=2, capabilities={"tools": False})]
    rules = {"claude": RULES["anthropic"], "gpt": RULES["openai-responses"]}

    def found(*own_tools: str) -> Any:
        return Eligibility(routes, rules).eligible(Signals(), tools=True, own_tools=own_tools)

    assert names(found("web_search_20250305")) == ["claude"]
    assert found("web_search_20250305")[1] == {
        "gpt": "cannot run web_search_20250305, a tool of another provider",
        "mute": "cannot call tools",
    }
    assert found("web_search_20250305", "image_generation", ".systemTool")[1] == {"mute": "cannot call tools"}
    assert names(found()) == names(found("nova_grounding")) == ["claude", "gpt"]


# Windows -------------------------------------------------------------------------------------------------------------


def test_a_prompt_has_to_fit_with_its_answer() -> None:
    """To the token: what was asked for, else 1,024, else what the model can write at most."""
    routes = [
        RouteInfo("small", rank=0, context_window=8_000),
        RouteInfo("short", rank=1, context_window=8_000, max_output_tokens=500),
        RouteInfo("large", rank=2, context_window=100_000),
        RouteInfo("unknown", rank=3),
    ]
    eligibility = Eligibility(routes)

    def fitting(tokens: int, max_tokens: int | None = None) -> list[str]:
        return names(eligibility.eligible(Signals(tokens), max_tokens=max_tokens))

    assert fitting(8_000 - 1_024) == ["small", "short", "large", "unknown"]
    assert fitting(8_000 - 1_023) == ["short", "large", "unknown"]
    assert fitting(8_000 - 500) == ["short", "large", "unknown"]
    assert fitting(8_000 - 499) == ["large", "unknown"]
    assert fitting(8_000 - 2_000, 2_000) == ["small", "short", "large", "unknown"]
    assert fitting(8_000 - 1_999, 2_000) == ["large", "unknown"]
    assert fitting(1_000_000) == ["unknown"]
    rejected = eligibility.eligible(Signals(7_000))[1]
    assert rejected == {"small": "about 7000 tokens and 1024 for the answer exceed its window of 8000"}


def test_where_none_fits_by_the_estimate_the_largest_windows_are_asked() -> None:
    """Tokens are estimated; the provider knows. Only a certain excess is refused."""
    routes = [
        RouteInfo("a", context_window=1_000),
        RouteInfo("b", rank=1, context_window=8_000),
        RouteInfo("c", rank=2, context_window=8_000),
    ]
    eligibility = Eligibility(routes)

    for tokens in (7_500, 8_001, 32_000):
        kept, rejected = eligibility.eligible(Signals(tokens))
        assert [route.name for route in kept] == ["b", "c"]
        assert set(rejected) == {"a"}
    assert eligibility.eligible(Signals(32_001))[0] == ()


@pytest.mark.parametrize(
    "tokens, asked, too_long",
    [
        (40_001, {}, True),
        (40_001, {"limits": RouteLimits(exclude=frozenset({"b"}))}, True),
        # A shorter prompt would help nobody: each route is out for another reason.
        (40_001, {"tools": True, "limits": RouteLimits(exclude=frozenset({"b"}))}, False),
        (10, {"limits": RouteLimits(exclude=frozenset({"a", "b"}))}, False),
        (0, {"limits": RouteLimits(labels=frozenset({"eu"}))}, False),
    ],
)
def test_a_refusal_says_whether_a_shorter_prompt_would_be_taken(tokens: int, asked: dict[str, Any], too_long: bool) -> None:
    routes = [RouteInfo("a", context_window=1_000, capabilities={"tools": False}), RouteInfo("b", rank=1, context_window=8_000)]
    kept, rejected = Eligibility(routes).eligible(Signals(tokens), **asked)
    error = Eligibility.refusal(rejected)

    assert kept == ()
    assert isinstance(error, NoEligibleRouteError)
    assert isinstance(error, ContextOverflowError) is too_long
    assert error.rejected.keys() == {"a", "b"}
    assert type(pickle.loads(pickle.dumps(error))) is type(error)


def test_what_fell_out_otherwise_keeps_its_reason_where_the_prompt_is_too_long() -> None:
    routes = [RouteInfo("a", context_window=1_000, capabilities={"tools": False}), RouteInfo("b", rank=1, context_window=1_000)]
    kept, rejected = Eligibility(routes).eligible(Signals(10_000), tools=True)

    assert kept == ()
    assert rejected["a"] == "cannot call tools"
    assert "exceed its window" in rejected["b"]


# What the caller says ------------------------------------------------------------------------------------------------


def test_limits_of_several_sources_add_up_and_the_later_name_wins() -> None:
    found = RouteLimits.of(
        {"route": "a", "exclude": "b", "labels": ["eu"]},
        {"langroute_exclude": ["c"], "langroute_labels": {"pii"}, "min_tier": "balanced"},
        {"langroute_route": "d", "route": "never", "exclude": None},
        {},
    )

    assert found == RouteLimits("d", frozenset({"b", "c"}), "balanced", frozenset({"eu", "pii"}))


@pytest.mark.parametrize(
    ("own", "asked", "counts"),
    [
        ("balanced", None, "balanced"),
        (None, "balanced", "balanced"),
        ("balanced", "cheap", "balanced"),
        ("balanced", "frontier", "frontier"),
        ("balanced", "house", "house"),
        (None, None, None),
    ],
)
def test_a_call_may_raise_the_routers_lowest_tier_and_not_lower_it(own: str | None, asked: str | None, counts: str | None) -> None:
    """Also where the call says something else alone. A tier of the user's own has no place among the others: the call's word counts."""
    metadata = {"langroute_exclude": ["x"], **({"langroute_min_tier": asked} if asked else {})}

    limits = read_config({"metadata": metadata}, RouteLimits(min_tier=own, exclude=frozenset({"y"}))).limits

    assert (limits.min_tier, limits.exclude) == (counts, {"x", "y"})


@pytest.mark.parametrize("wrong", [{"route": 5}, {"min_tier": ["cheap"]}, {"exclude": 5}, {"langroute_labels": 1.0}])
def test_a_limit_that_is_none_is_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong)).removeprefix("langroute_")):
        RouteLimits.of(wrong)


def test_a_caller_may_pin_exclude_and_ask_for_labels() -> None:
    routes = [
        RouteInfo("a", labels=frozenset({"eu", "pii"})),
        RouteInfo("b", rank=1, labels=frozenset({"eu"})),
        RouteInfo("c", rank=2),
    ]
    eligibility = Eligibility(routes)

    assert eligibility.eligible(Signals(), limits=RouteLimits(route="b"))[1] == dict.fromkeys("ac", "the caller asked for 'b'")
    assert eligibility.eligible(Signals(), limits=RouteLimits(exclude=frozenset("ab")))[1] == dict.fromkeys(
        "ab", "excluded by the caller"
    )
    assert eligibility.eligible(Signals(), limits=RouteLimits(labels=frozenset({"eu", "pii"})))[1] == {
        "b": "lacks the label pii",
        "c": "lacks the label eu, pii",
    }


@pytest.mark.parametrize("limits", [RouteLimits(route="x"), RouteLimits(exclude=frozenset("x"))])
def test_a_route_that_there_is_not_cannot_be_named(limits: RouteLimits) -> None:
    with pytest.raises(UnknownRouteError, match="'x'"):
        of_tiers("cheap").eligible(Signals(), limits=limits)


def test_what_was_worked_out_for_one_call_does_not_hold_for_another() -> None:
    """It is remembered by all that it goes by."""
    eligibility = Eligibility(
        [RouteInfo("a", "cheap", 0, capabilities={"tools": False, "images": False}), RouteInfo("b", "frontier", 1)]
    )
    asked: list[dict[str, Any]] = [
        {"signals": Signals()},
        {"signals": Signals(), "tools": True},
        {"signals": Signals(images=1)},
        {"signals": Signals(), "limits": RouteLimits(min_tier="frontier")},
    ]
    for _ in range(2):
        assert [names(eligibility.eligible(**one)) for one in asked] == [["a", "b"], ["b"], ["b"], ["b"]]
