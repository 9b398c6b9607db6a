"""State of providers' prompt caches: by prompt prefixes, corrected by reported usage."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.records import Price, RouteInfo, Usage
from langroute.prompt_cache.simulated_prompt_cache import SimulatedProvider
from langroute.prompt_cache.state import PromptCacheState, prompt_of, rules_for
from langroute.providers.profile import HOUR, CacheRules

GPT = RouteInfo("gpt", model="gpt-5", provider="openai")
CLAUDE = RouteInfo("claude", model="claude-sonnet-4-5", provider="anthropic")
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {}}}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def history(*texts: str) -> list[Any]:
    kinds = (HumanMessage, AIMessage)
    return [SystemMessage("You help."), *(kinds[place % 2](text) for place, text in enumerate(texts))]


def test_a_history_that_grows_stays_warm_as_far_as_it_was_sent() -> None:
    clock = Clock()
    prompt_cache = PromptCacheState(clock=clock)
    prompt_cache.observe(GPT, prompt_of(history("a"), tokens=5000), Usage(5000, 100))
    longer = prompt_of(history("a", "b", "c"), tokens=6000)

    assert prompt_cache.cached_tokens(GPT, longer) == 5000 // 128 * 128
    clock.now = 301
    assert prompt_cache.cached_tokens(GPT, longer) == 0


@pytest.mark.parametrize("change", ["tools", "system", "beginning", "number of tools"])
def test_what_stands_before_changes_and_the_warmth_is_gone(change: str) -> None:
    prompt_cache = PromptCacheState(clock=Clock())
    tools = [TOOL]
    prompt_cache.observe(GPT, prompt_of(history("a" * 20_000), tools, tokens=5000), Usage(5000, 100))
    messages = history("a" * 20_000, "b")
    if change == "tools":
        tools = [{**TOOL, "strict": True}]
    elif change == "system":
        messages[0] = SystemMessage("You help a lot.")
    elif change == "beginning":
        messages[1] = HumanMessage("A" * 20_000)
    else:
        tools = [TOOL, TOOL]

    assert prompt_cache.cached_tokens(GPT, prompt_of(messages, tools, tokens=6000)) == 0


def test_a_cache_mark_that_moves_changes_nothing() -> None:
    marked = [HumanMessage([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}])]
    plain = [HumanMessage([{"type": "text", "text": "a"}])]

    assert prompt_of(marked, tokens=1).chain == prompt_of(plain, tokens=1).chain


def test_messages_that_were_loaded_again_are_the_same_messages() -> None:
    """A checkpointer hands out new objects with the same contents."""
    call = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}])
    messages = [HumanMessage("a"), call, ToolMessage("2", tool_call_id="c1")]
    again = [message.model_copy(deep=True) for message in messages]

    assert prompt_of(messages, tokens=1).chain == prompt_of(again, tokens=1).chain


def test_other_tool_arguments_are_another_prompt() -> None:
    def calling(amount: int) -> list[Any]:
        return [AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": "c1"}])]

    assert prompt_of(calling(10), tokens=1).chain != prompt_of(calling(10_000), tokens=1).chain


def test_a_provider_with_marks_holds_what_it_reports_and_no_more() -> None:
    prompt_cache = PromptCacheState(clock=Clock())
    prompt = prompt_of(history("a"), tokens=5000)

    assert not prompt_cache.caches(CLAUDE)
    prompt_cache.observe(CLAUDE, prompt, Usage(5000, 100))
    assert prompt_cache.cached_tokens(CLAUDE, prompt) == 0
    prompt_cache.observe(CLAUDE, prompt, Usage(5000, 100, cache_write=3000))
    assert prompt_cache.cached_tokens(CLAUDE, prompt) == 3000
    assert prompt_cache.caches(CLAUDE)


def test_an_hours_write_lives_an_hour_and_reading_keeps_it_alive() -> None:
    clock = Clock()
    prompt_cache = PromptCacheState(clock=clock)
    prompt = prompt_of(history("a"), tokens=5000)
    prompt_cache.observe(CLAUDE, prompt, Usage(5000, 100, cache_write_1h=5000))
    clock.now = 3000
    assert prompt_cache.cached_tokens(CLAUDE, prompt) == 5000
    prompt_cache.observe(CLAUDE, prompt, Usage(5000, 100, cache_read=5000))
    clock.now = 6000

    assert prompt_cache.cached_tokens(CLAUDE, prompt) == 5000
    priced = replace(CLAUDE, price=Price(3, 15, 0.3, 3.75, 6))
    terms = prompt_cache.terms(priced, prompt)
    assert terms is not None
    assert (terms.lives, terms.rates.write, terms.warm) == (HOUR, 6e-6, 5000)


def test_a_provider_that_does_not_keep_its_promise_is_believed_less() -> None:
    prompt_cache = PromptCacheState(clock=Clock())
    prompt = prompt_of(history("a"), tokens=4096)
    prompt_cache.observe(GPT, prompt, Usage(4096, 10))
    promised = prompt_cache.cached_tokens(GPT, prompt)
    for _ in range(8):
        prompt_cache.observe(GPT, prompt, Usage(4096, 10, cache_read=0))

    assert promised == 4096
    assert prompt_cache.cached_tokens(GPT, prompt) < 400


def test_an_unknown_provider_is_believed_only_after_it_reported_cached_tokens() -> None:
    own = RouteInfo("own", model="my-model", provider="my-server")
    prompt_cache = PromptCacheState(clock=Clock())
    prompt = prompt_of(history("a"), tokens=4096)
    prompt_cache.observe(own, prompt, Usage(4096, 10))
    assert prompt_cache.cached_tokens(own, prompt) == 0
    prompt_cache.observe(own, prompt, Usage(4096, 10, cache_read=4000))

    assert prompt_cache.cached_tokens(own, prompt) == 4000


def test_a_route_without_a_price_has_no_terms() -> None:
    assert PromptCacheState().terms(GPT, prompt_of(history("a"), tokens=5000)) is None


def test_tokens_are_counted_as_the_provider_bills_them() -> None:
    prompt_cache = PromptCacheState(clock=Clock())
    prompt = prompt_of(history("a"), tokens=4000)
    prompt_cache.observe(GPT, prompt, Usage(5000, 10))

    assert prompt_cache.tokens(GPT, prompt) == 5000


def test_a_new_conversation_finds_the_shared_system_prompt_warm() -> None:
    prompt_cache = PromptCacheState(clock=Clock())
    system = SystemMessage("rule " * 2000)
    prompt_cache.observe(GPT, prompt_of([system, HumanMessage("a")], tokens=2510), Usage(2510, 10))
    other = prompt_of([system, HumanMessage("something else")], tokens=2515)

    assert 2300 < prompt_cache.cached_tokens(GPT, other) <= 2510


def test_memory_is_bounded_and_the_latest_stay() -> None:
    prompt_cache = PromptCacheState(max_entries=100, clock=Clock())
    prompts = [prompt_of([HumanMessage(str(number))], tokens=2048) for number in range(1000)]
    for prompt in prompts:
        prompt_cache.observe(GPT, prompt, Usage(2048, 1))

    assert sum(prompt_cache.cached_tokens(GPT, prompt) > 0 for prompt in prompts) <= 100
    assert prompt_cache.cached_tokens(GPT, prompts[-1]) == 2048
    assert prompt_cache.cached_tokens(GPT, prompts[0]) == 0


def test_threads_may_look_and_learn_at_once() -> None:
    prompt_cache = PromptCacheState(max_entries=50)
    failures: list[BaseException] = []
    prompts: list[Any] = []

    def work(name: int) -> None:
        try:
            for number in range(300):
                prompt = prompt_of([HumanMessage(f"{name}:{number}")], tokens=2048)
                prompts.append(prompt)
                prompt_cache.observe(GPT, prompt, Usage(2048, 1))
                prompt_cache.cached_tokens(GPT, prompt)
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert len(prompts) == 6 * 300
    assert sum(prompt_cache.cached_tokens(GPT, prompt) > 0 for prompt in prompts) <= 50


def test_nothing_held_is_carried_to_another_process() -> None:
    """Hashes of strings mean nothing there."""
    prompt_cache = PromptCacheState()
    prompt_cache.observe(GPT, prompt_of(history("a"), tokens=5000), Usage(5000, 100))
    copy = pickle.loads(pickle.dumps(prompt_cache))

    assert copy.cached_tokens(GPT, prompt_of(history("a"), tokens=5000)) == 0


@pytest.mark.parametrize(
    "model, provider, least",
    [("claude-opus-4-6", "anthropic", 4096), ("claude-sonnet-4-5", "anthropic", 1024), ("gemini-2.5-pro", "google_genai", 2048)],
)
def test_the_least_cached_prompt_is_the_providers(model: str, provider: str, least: int) -> None:
    assert rules_for(RouteInfo("r", model=model, provider=provider)).min_tokens == least


@pytest.mark.parametrize("route, rules", [(GPT, CacheRules(block=128)), (CLAUDE, CacheRules(automatic=False))])
def test_the_picture_agrees_with_a_provider_that_follows_the_rules(route: RouteInfo, rules: CacheRules) -> None:
    """Ten conversations that grow at random times: what is expected to be read is what the played provider reads."""
    clock, chance = Clock(), random.Random(3)
    prompt_cache, provider = PromptCacheState(lambda _: rules, clock=clock), SimulatedProvider(rules)
    threads: list[list[Any]] = [[HumanMessage(f"{number} " + "word " * 900)] for number in range(10)]
    checked = wrong = 0
    for _ in range(400):
        clock.now += chance.expovariate(1 / 20)
        thread = chance.choice(threads)
        sizes = [len(message.content) // 4 for message in thread]
        prompt = prompt_of(thread, tokens=sum(sizes))
        expected = prompt_cache.cached_tokens(route, prompt)
        pieces = list(zip([(message.type, message.content) for message in thread], sizes, strict=True))
        usage = provider.bill(pieces, 20, at=clock.now, system=0)
        prompt_cache.observe(route, prompt, usage)
        checked += 1
        wrong += abs(expected - usage.cache_read) > 128
        assert expected <= usage.cache_read + 128
        thread += [AIMessage("word " * chance.randint(5, 60)), HumanMessage("word " * chance.randint(5, 400))]
        if len(thread) > 60:
            thread[:] = thread[:1]

    assert checked == 400
    # A conversation that is cut back to its first message reads more than is remembered here: ends of prompts only.
    assert wrong <= 12
