"""The modules of the standing mutation run (`mutants.py --listed`): which tests have to notice their changes, and which changes nobody can notice."""

from __future__ import annotations

from dataclasses import dataclass

TESTS: dict[str, str] = {
    "policies.sticky": "policies/test_sticky policies/test_policy_contract policies/test_thread_memory",
    "policies.cache_aware": "policies/test_cache_aware policies/test_policy_contract policies/test_thread_memory",
    "policies.conversation": "policies/test_conversation policies/test_cache_aware policies/test_thread_memory",
    "policies.fallback": "policies/test_fallback policies/test_with_fallback policies/test_policy_contract",
    "policies.circuits": "policies/test_fallback",
    "policies.rules": "policies/test_rules policies/test_policy_contract",
    "policies.escalate": "policies/test_trajectories policies/test_policy_contract policies/test_thread_memory",
    "policies.canary": "learning/test_canary policies/test_policy_contract",
    "policies.canary_arms": "learning/test_canary",
    "engine.call_config": "engine/test_call_config engine/test_eligibility engine/test_router",
    "engine.eligibility": "engine/test_eligibility engine/test_router",
    "engine.router": "engine/test_router engine/test_router_parts engine/test_call_config engine/test_eligibility engine/test_robustness",
    "engine.drivers": "engine/test_router engine/test_router_parts engine/test_stream_attempt engine/test_release engine/test_timeouts engine/test_robustness",
    "verifiers.tools": "verifiers/test_verifiers verifiers/test_bounds",
    "routes.pricing": "routes/test_pricing routes/test_golden_costs routes/test_price_arrays",
    "providers.usage": "routes/test_pricing routes/test_golden_costs providers/test_profiles",
    "cache.keys": "cache/test_keys",
    "cache.wording": "cache/test_wording",
    "steps.history": "steps/test_history steps/test_inspector",
    "steps.history_reader": "steps/test_history",
    "steps.inspector": "steps/test_inspector steps/test_kinds steps/test_tools",
    "steps.kinds": "steps/test_kinds",
    "reports.savings": "reports/test_savings reports/test_report_numbers",
    "reports.build": "reports/test_build reports/test_report_lines reports/test_report_numbers reports/test_what_is_unknown",
    "ledger.rollup": "ledger/test_rollup ledger/test_columns ledger/test_sql_ledger",
    "ledger.daily_sums": "ledger/test_rollup ledger/test_columns reports/test_report_numbers",
    "tracking.callbacks": "tracking/test_callbacks tracking/test_outcomes",
    "tracking.tracker": "tracking/test_callbacks tracking/test_events",
    "tracking.run_tree": "tracking/test_callbacks tracking/test_events",
    "tracking.call_recorder": "tracking/test_callbacks tracking/test_events",
    "budgets.account": "budgets/test_account budgets/test_account_charges budgets/test_budgets_bind budgets/test_by_name budgets/test_golden_bills budgets/test_interrupted",
    "adapt.turns": "adapt/test_turns adapt/test_blocks adapt/test_own_tools adapt/test_media",
}
"""The test files of each module, under `tests/`."""


@dataclass(frozen=True)
class Equivalent:
    """A change that nobody can notice: where it is made, and why it makes no difference."""

    module: str
    line: str
    """The line of the source where the change begins, without indentation."""

    change: str
    why: str
    nth: int = 0
    """Number of the change among the same ones of the same line; 0 for all of them."""


EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        "adapt.turns",
        "return content, []",
        "return content, []  ->  return None",
        "never run: a target without rules is left as it is before; it is there for the type checker",
        nth=1,
    ),
    Equivalent(
        "budgets.account",
        "for budget, balance in zip(self.budgets, balances, strict=True):",
        "True  ->  (False)",
        "as many balances as budgets: `_balances` makes a list of that length, and checks what each store answers",
    ),
    Equivalent(
        "cache.keys",
        "return all(isinstance(key, str) for key in value) and all(_simple(inner) for inner in value.values())",
        "return all(isinstance(key, str) for key in value) and all(_simple(inner) for inner in value.values())  ->  return None",
        "the other way writes the same JSON, only slower",
    ),
    Equivalent(
        "cache.keys",
        "return blake2b(self.history(messages), digest_size=16).hexdigest()",
        "16  ->  (15)",
        "length of a digest that is compared only with others of its kind",
    ),
    Equivalent(
        "cache.keys",
        "return blake2b(self.history(messages), digest_size=16).hexdigest()",
        "16  ->  (17)",
        "length of a digest that is compared only with others of its kind",
    ),
    Equivalent(
        "cache.keys",
        "super().__init__(message, gone)  # type: ignore[call-arg]",
        "super().__init__(message, gone)  ->  pass",
        "a weak reference is made by `__new__`",
    ),
    Equivalent(
        "cache.keys",
        'return blake2b(_ADDRESS.sub("", text).encode("utf-8", "replace"), digest_size=16).digest()',
        "16  ->  (15)",
        "length of a digest that is compared only with others of its kind",
    ),
    Equivalent(
        "cache.keys",
        'return blake2b(_ADDRESS.sub("", text).encode("utf-8", "replace"), digest_size=16).digest()',
        "16  ->  (17)",
        "length of a digest that is compared only with others of its kind",
    ),
    Equivalent(
        "cache.keys",
        "if len(self._namespaces) > 65536:",
        "len(self._namespaces) > 65536  ->  (len(self._namespaces) <= 65536)",
        "a memo that is emptied earlier costs only time",
    ),
    Equivalent(
        "cache.wording",
        'if len(word) > 5 and word.endswith("ing") and _VOWEL.search(word, 0, len(word) - 3):',
        "0  ->  (-1)",
        "a search that begins before the text begins at its beginning",
    ),
    Equivalent(
        "cache.wording",
        'return "\\x00" + kept[int(word[1:-1])] if word[0] == "\\x00" else word',
        "0  ->  (-1)",
        "what stands for a protected word has the same sign at both ends",
    ),
    Equivalent(
        "cache.wording",
        'if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsfz":',
        "1  ->  (2)",
        "the last two letters are the same here",
        nth=2,
    ),
    Equivalent(
        "cache.wording",
        "changed = pattern.sub(replacement, lowered, count=1)",
        "1  ->  (0)",
        "every pattern of a frame begins at the beginning of the text, where there is one match at most",
    ),
    Equivalent(
        "cache.wording",
        "changed = pattern.sub(replacement, lowered, count=1)",
        "1  ->  (2)",
        "every pattern of a frame begins at the beginning of the text, where there is one match at most",
    ),
    Equivalent(
        "cache.wording",
        'if word[0] == "\\x00":',
        "0  ->  (-1)",
        "what stands for a protected word has the same sign at both ends",
    ),
    Equivalent(
        "cache.wording",
        "elif word[-1].isdigit():",
        "1  ->  (0)",
        "a token with a digit in it begins with one and ends with one",
    ),
    Equivalent(
        "engine.call_config",
        "if callbacks is not None and not isinstance(callbacks, list):",
        "callbacks is not None and not isinstance(callbacks, list)  ->  (callbacks is not None or not isinstance(callbacks, list))",
        "neither `None` nor a list has metadata that a call inherits",
    ),
    Equivalent(
        "engine.call_config",
        "return own if mine is not None and theirs is not None and mine > theirs else asked",
        "mine > theirs  ->  (mine >= theirs)",
        "two tiers of the same level are the same tier",
    ),
    Equivalent(
        "engine.eligibility",
        "if len(self._memo) < 1024:",
        "len(self._memo) < 1024  ->  (len(self._memo) >= 1024)",
        "a memo that is not filled costs only time",
    ),
    Equivalent(
        "engine.eligibility",
        "largest = max(route.context_window or 0 for route in found[0])",
        "0  ->  (-1)",
        "a route without a window would have been kept",
    ),
    Equivalent(
        "engine.eligibility",
        "largest = max(route.context_window or 0 for route in found[0])",
        "0  ->  (1)",
        "a route without a window would have been kept",
    ),
    Equivalent(
        "engine.eligibility",
        "media = (signals.images > 0, signals.audio > 0, signals.files > 0, signals.video > 0)",
        "signals.images > 0  ->  (signals.images <= 0)",
        "only part of the key of a memo, where yes and no may change places",
    ),
    Equivalent(
        "engine.eligibility",
        "media = (signals.images > 0, signals.audio > 0, signals.files > 0, signals.video > 0)",
        "signals.files > 0  ->  (signals.files <= 0)",
        "only part of the key of a memo, where yes and no may change places",
    ),
    Equivalent(
        "engine.eligibility",
        "if len(self._memo) < 1024:",
        "len(self._memo) < 1024  ->  (len(self._memo) <= 1024)",
        "one more entry in a memo",
    ),
    Equivalent(
        "engine.eligibility",
        "if self._smallest is None or need <= self._smallest:",
        "need <= self._smallest  ->  (need < self._smallest)",
        "what just fits is looked at route by route then, with the same result",
    ),
    Equivalent(
        "engine.eligibility",
        "media = (signals.images > 0, signals.audio > 0, signals.files > 0, signals.video > 0)",
        "signals.audio > 0  ->  (signals.audio <= 0)",
        "only part of the key of a memo, where yes and no may change places",
    ),
    Equivalent(
        "engine.eligibility",
        "media = (signals.images > 0, signals.audio > 0, signals.files > 0, signals.video > 0)",
        "signals.video > 0  ->  (signals.video <= 0)",
        "only part of the key of a memo, where yes and no may change places",
    ),
    Equivalent(
        "policies.cache_aware",
        "if over <= self.max_regret:",
        "over <= self.max_regret  ->  (over < self.max_regret)",
        "a thread would have to be dearer by the allowed share to the last bit",
    ),
    Equivalent(
        "policies.canary",
        'return crc32(f"canary:{task}".encode("utf-8", "replace")) / 2**32 < self.share',
        'crc32(f"canary:{task}".encode("utf-8", "replace")) / 2**32 < self.share'
        "  ->  (crc32(f'canary:{task}'.encode('utf-8', 'replace')) / 2 ** 32 <= self.share)",
        "one task in four thousand million more",
    ),
    Equivalent(
        "policies.canary",
        "own = digest(step.thread) if request.deterministic else token_hex(12)",
        "12  ->  (11)",
        "length of a random name that is compared only with others of its kind",
    ),
    Equivalent(
        "policies.canary",
        "own = digest(step.thread) if request.deterministic else token_hex(12)",
        "12  ->  (13)",
        "length of a random name that is compared only with others of its kind",
    ),
    Equivalent(
        "policies.canary_arms",
        "if difference + wide < 0:",
        "difference + wide < 0  ->  (difference + wide <= 0)",
        "a difference of means and a root of logarithms that are equal to the last bit: no outcomes are known that have them",
    ),
    Equivalent(
        "policies.canary_arms",
        "MOST_KINDS = 200",
        "200  ->  (199)",
        "how many kinds are counted apart is a bound of memory, promised at no exact number",
    ),
    Equivalent(
        "policies.canary_arms",
        "MOST_KINDS = 200",
        "200  ->  (201)",
        "how many kinds are counted apart is a bound of memory, promised at no exact number",
    ),
    Equivalent(
        "policies.conversation",
        "MOST_ANSWERS = 64",
        "64  ->  (63)",
        "how many of the latest answers are read is a bound of work, promised at no exact number",
    ),
    Equivalent(
        "policies.conversation",
        "MOST_ANSWERS = 64",
        "64  ->  (65)",
        "how many of the latest answers are read is a bound of work, promised at no exact number",
    ),
    Equivalent(
        "policies.fallback",
        "if now < until or now < self._probing.get(route, 0.0):",
        "0.0  ->  (1.0)",
        "a rest would have to end within the first second of the clock",
    ),
    Equivalent(
        "policies.fallback",
        "if route.name not in names and len(names) < MOST_ROUTES:",
        "len(names) < MOST_ROUTES  ->  (len(names) <= MOST_ROUTES)",
        "one more entry in a memo",
    ),
    Equivalent(
        "policies.fallback",
        'names[route.name] = " ".join(one for one in (route.name, route.provider, route.model) if one)[:300]',
        "300  ->  (299)",
        "where a name that is too long is cut is not promised",
    ),
    Equivalent(
        "policies.fallback",
        'names[route.name] = " ".join(one for one in (route.name, route.provider, route.model) if one)[:300]',
        "300  ->  (301)",
        "where a name that is too long is cut is not promised",
    ),
    Equivalent(
        "policies.fallback",
        "if len(decision.attempts) > 1:",
        "len(decision.attempts) > 1  ->  (len(decision.attempts) >= 1)",
        "an attempt alone is the last of its route",
    ),
    Equivalent("policies.fallback", "if len(decision.attempts) > 1:", "1  ->  (0)", "an attempt alone is the last of its route"),
    Equivalent(
        "providers.usage",
        "if total > given + output or reasoning > output:",
        "total > given + output  ->  (total >= given + output)",
        "where nothing is missing from the total, the parts stay as they are",
    ),
    Equivalent(
        "reports.build",
        "t.started_at >= (source.window.start or 0.0),",
        "0.0  ->  (-1.0)",
        "no task began in the first second of 1970, or before it",
    ),
    Equivalent(
        "reports.build",
        "t.started_at >= (source.window.start or 0.0),",
        "0.0  ->  (1.0)",
        "no task began in the first second of 1970, or before it",
    ),
    Equivalent(
        "reports.build",
        'return Amount.of(float(calls.get("cost_usd", 0) + calls.get("verify_usd", 0)), unknown, int(calls.get("calls", 0)) - unknown)',
        "0  ->  (-1)",
        "where there are no calls, none is of unknown cost, and only then the number of the others is looked at",
        nth=3,
    ),
    Equivalent(
        "reports.build",
        'return Amount.of(float(calls.get("cost_usd", 0) + calls.get("verify_usd", 0)), unknown, int(calls.get("calls", 0)) - unknown)',
        "0  ->  (1)",
        "where there are no calls, none is of unknown cost, and only then the number of the others is looked at",
        nth=3,
    ),
    Equivalent(
        "reports.build",
        "found[tuple(row[:width])] = dict(zip(names, (number(value) for value in row[width:]), strict=True))",
        "True  ->  (False)",
        "a row has a value for each of the columns that were selected",
    ),
    Equivalent(
        "reports.savings",
        "LATEST_DECISIONS = 200",
        "200  ->  (201)",
        "how many of the latest decisions are searched is a bound of work, promised at no exact number",
    ),
    Equivalent(
        "reports.savings",
        "saved += cached_saving(replace(price, above=()), Usage(read + written + hour, 0, read, written, hour))",
        "read + written + hour  ->  (read + written - hour)",
        "input that no cache had costs the same with a cache and without",
    ),
    Equivalent(
        "steps.history",
        'return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()',
        "8  ->  (7)",
        "length of a digest that is compared only with others of its kind",
    ),
    Equivalent(
        "steps.history",
        'return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()',
        "8  ->  (9)",
        "length of a digest that is compared only with others of its kind",
    ),
    Equivalent(
        "steps.history",
        "self.agents_text = text[:600]",
        "600  ->  (599)",
        "how much of a long system prompt is read is an economy, at no promised character",
    ),
    Equivalent(
        "steps.history",
        "self.agents_text = text[:600]",
        "600  ->  (601)",
        "how much of a long system prompt is read is an economy, at no promised character",
    ),
    Equivalent(
        "steps.history",
        "self.edited, self.round_error, self.round_good, self.round_told, self.pending = False, 0.0, False, True, False",
        "0.0  ->  (-1.0)",
        "a result counts only after a call, which begins a round and sets this",
    ),
    Equivalent(
        "steps.history",
        "self.edited, self.round_error, self.round_good, self.round_told, self.pending = False, 0.0, False, True, False",
        "0.0  ->  (1.0)",
        "a result counts only after a call, which begins a round and sets this",
    ),
    Equivalent(
        "steps.history",
        "self.edited, self.round_error, self.round_good, self.round_told, self.pending = False, 0.0, False, True, False",
        "True  ->  (False)",
        "a result counts only after a call, which begins a round and sets this",
    ),
    Equivalent(
        "steps.history",
        "self.round_error, self.round_good, self.round_told = 0.0, False, True",
        "0.0  ->  (-1.0)",
        "a round without results has not failed, and a result says more than either number",
    ),
    Equivalent(
        "steps.inspector",
        "if len(self._by_node) < 1024:",
        "len(self._by_node) < 1024  ->  (len(self._by_node) <= 1024)",
        "one more entry in a memo",
    ),
)


def tests_of(module: str) -> frozenset[str]:
    """Return the test files of a listed module.

    Example:
        >>> sorted(tests_of("policies.circuits"))
        ['tests/policies/test_fallback.py']
    """
    return frozenset(f"tests/{name}.py" for name in TESTS[module].split())
