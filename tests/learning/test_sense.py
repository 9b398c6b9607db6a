"""Policies fitted with embeddings: embeddings count where words say little, and a mismatch of embeddings is detected."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from langchain_core.embeddings import Embeddings
from made_traffic import made_traffic, write

from langroute import ChatRouter
from langroute.cache.decisions import CachedDecisions
from langroute.cli import cli
from langroute.core.errors import ConfigurationError, DataError, PolicyFormatError
from langroute.core.records import Request, RouteInfo
from langroute.embeddings import HashedEmbeddings
from langroute.estimators.documents import Document
from langroute.estimators.embedding_features import CachedEmbeddings
from langroute.estimators.store import PolicyFile, load_policy_file, save_policy
from langroute.learning.drift import Drift, SafeOnDrift
from langroute.learning.fit import fit_files
from langroute.learning.prices import read_prices
from langroute.policies.bandit import Bandit
from langroute.policies.canary import Canary
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.policies.learned import LearnedGroups, load_policy
from langroute.policies.shadow import Shadow
from langroute.policies.sticky import Sticky
from langroute.policies.subagent_cap import SubagentCap
from langroute.testing import ScriptedModel

pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")


class Topics(Embeddings):
    """Knows two topics whatever the words, in any language; and counts what it is asked."""

    def __init__(self, turned: bool = False, dimensions: int = 3) -> None:
        self.turned, self.dimensions, self.asked, self.awaited = turned, dimensions, 0, 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += 1
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("a query is embedded otherwise than what was fitted")

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.awaited += 1
        await asyncio.sleep(0)
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.2, float(text.endswith("!")), float(text.endswith("?"))][: self.dimensions]
        return vector[::-1] if self.turned else vector


def any_language(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Traffic in which no word occurs twice; only the embeddings see what is a sum and what is a proof."""
    random = np.random.default_rng(seed)
    rows = made_traffic(count, seed)
    for row in rows:
        words = " ".join("".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), 9)) for _ in range(5))
        row["messages"] = [{"role": "user", "content": words + ("!" if row["task"] == "proofs" else "?")}]
        del row["task"]
    return rows


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sense") / "train.jsonl", any_language(600))


@pytest.fixture(scope="module")
def sensible(traffic: Path, prices_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sense") / "policy"
    save_policy(fit_files([traffic], prices=read_prices(prices_file), embeddings=Topics()), folder, "# Sense")
    return folder


def test_what_words_do_not_tell_embeddings_do(sensible: Path) -> None:
    estimator = load_policy_file(sensible, embeddings=Topics()).groups[0].estimator
    small = estimator.routes.index("small")
    success = estimator.estimate([Document("ouvaelt brimsof?"), Document("ouvaelt brimsof!")]).success[:, small]

    assert success[0] > 0.9
    assert success[1] < 0.6


def test_alone_and_among_others_the_same_is_expected(sensible: Path) -> None:
    estimator = load_policy_file(sensible, embeddings=Topics()).groups[0].estimator
    documents = [Document("kalf?"), Document(""), Document("brot!")]

    together = estimator.estimate(documents).success

    for row, document in enumerate(documents):
        np.testing.assert_allclose(estimator.estimate([document]).success[0], together[row])


def test_a_router_asks_once_a_text_and_awaits_where_it_can(sensible: Path) -> None:
    embeddings = Topics()
    policy = load_policy(sensible, embeddings=embeddings)
    model = ChatRouter({name: ScriptedModel("right") for name in ("small", "other", "large")}, policy=policy)
    embeddings.asked = 0

    asyncio.run(model.ainvoke("Wie viel ist das?"))
    asyncio.run(model.ainvoke("Wie viel ist das?"))

    assert (embeddings.asked, embeddings.awaited) == (0, 1)
    model.invoke("Und das?")
    assert (embeddings.asked, embeddings.awaited) == (1, 1)


def test_a_bandit_awaits_too(sensible: Path) -> None:
    embeddings = Topics()
    group = load_policy_file(sensible, embeddings=embeddings).groups[0]
    embeddings.asked = 0
    model = ChatRouter(
        {name: ScriptedModel("right") for name in ("small", "large")}, policy=Bandit(["small", "large"], group=group, cost_weight=1)
    )

    asyncio.run(model.ainvoke("Wie viel ist das?"))

    assert (embeddings.asked, embeddings.awaited) == (0, 1)


AROUND: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda policy: policy,
    "groups": lambda policy: LearnedGroups([policy]),
    "canary, old": lambda policy: Canary(policy, Fixed("large"), share=0.0),
    "canary, new": lambda policy: Canary(Fixed("large"), policy, share=1.0),
    "safe on drift": lambda policy: SafeOnDrift(policy, Drift(PolicyFile(())), safe="large"),
    "shadow": lambda policy: Shadow(policy, ScriptedModel("right"), share=0.0),
    "sticky": Sticky,
    "fallback": Fallback,
    "within parent": SubagentCap,
    "cached decisions": CachedDecisions,
    "several": lambda policy: Fallback(
        Sticky(Canary(SafeOnDrift(policy, Drift(PolicyFile(())), safe="large"), Fixed("large"), share=0.0))
    ),
}


@pytest.mark.parametrize("around", AROUND)
def test_whatever_is_around_it_awaits_too(sensible: Path, around: str) -> None:
    embeddings = Topics()
    policy = AROUND[around](load_policy(sensible, embeddings=embeddings))
    model = ChatRouter({name: ScriptedModel("right") for name in ("small", "other", "large")}, policy=policy)
    embeddings.asked = 0

    asyncio.run(model.ainvoke("Wie viel ist das?", {"configurable": {"thread_id": "t"}}))

    assert (embeddings.asked, embeddings.awaited) == (0, 1)


def test_embeddings_that_fail_are_said_before_the_fit(traffic: Path, prices_file: Path, tmp_path: Path) -> None:
    (tmp_path / "unreachable.py").write_text(
        "class Unreachable:\n    def embed_documents(self, texts):\n        raise ConnectionError('nobody there')\n\n\nmodel = Unreachable()\n"
    )
    command = [
        sys.executable,
        "-c",
        "from langroute.cli import main; main()",
        "fit",
        str(traffic),
        "-o",
        "policy",
        "--prices",
        str(prices_file),
    ]

    done = subprocess.run(
        [*command, "--embeddings", "unreachable:model"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == "langroute: The embeddings failed: ConnectionError: nobody there\n"
    assert not (tmp_path / "policy").exists()


def test_of_no_requests_nothing_is_expected(sensible: Path) -> None:
    estimator = load_policy_file(sensible, embeddings=Topics()).groups[0].estimator

    assert estimator.estimate([]).success.shape == (0, len(estimator.routes))


def test_embeddings_without_a_method_to_await_wait_in_a_thread(sensible: Path) -> None:
    class Plain:
        def __init__(self) -> None:
            self.threads: list[threading.Thread] = []

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.threads.append(threading.current_thread())
            return Topics().embed_documents(texts)

    embeddings = Plain()
    policy = load_policy(sensible, embeddings=embeddings)
    model = ChatRouter({name: ScriptedModel("right") for name in ("small", "other", "large")}, policy=policy)

    decision = asyncio.run(model.ainvoke("Wie viel ist das?")).response_metadata["langroute"]

    assert not decision["problems"]
    assert embeddings.threads[-1] is not threading.main_thread()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_service_that_changes_its_dimensions_is_said(sensible: Path, dimensions: int) -> None:
    embeddings = Topics()
    policy = load_policy(sensible, embeddings=embeddings)
    embeddings.dimensions = dimensions
    model = ChatRouter({name: ScriptedModel("right") for name in ("small", "other", "large")}, policy=policy, default="large")

    decision = model.invoke("Und nun?").response_metadata["langroute"]

    assert decision["route"] == "large"
    assert f"return {dimensions} dimensions by now; the policy was fitted with 3" in decision["problems"][0]


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize(
    "around",
    ["nothing", "groups", "canary, old", "safe on drift", "shadow", "sticky", "fallback", "within parent", "cached decisions"],
)
def test_a_copy_decides_as_the_policy_does(sensible: Path, around: str, copied: Callable[[Any], Any]) -> None:
    policy = AROUND[around](load_policy(sensible, embeddings=Topics()))
    request = Request("Wie viel ist das?", routes=tuple(RouteInfo(name) for name in ("small", "other", "large")))
    expected = policy.select(request, ())

    assert copied(policy).select(request, ()) == expected
    assert asyncio.run(copied(policy).aselect(request, ())) == expected


def test_a_copied_bandit_knows_what_it_learned_and_learns_alone(sensible: Path) -> None:
    group = load_policy_file(sensible, embeddings=Topics()).groups[0]
    bandit = Bandit(["small", "large"], group=group, cost_weight=1)
    request = Request("Wie viel ist das?", routes=(RouteInfo("small"), RouteInfo("large")))
    other = copy.deepcopy(bandit)

    for _ in range(20):
        assert other.select(request, ()) == bandit.select(request, ())


def test_embeddings_that_say_nothing_are_refused_before_the_fit(traffic: Path, prices_file: Path) -> None:
    embeddings = Topics()
    embeddings._vector = lambda text: [0.0] * 3  # type: ignore[method-assign]

    with pytest.raises(DataError, match="all of zeros"):
        fit_files([traffic], prices=read_prices(prices_file), embeddings=embeddings)

    assert embeddings.asked == 1


@pytest.mark.parametrize(
    ("embeddings", "said"),
    [
        (None, "Give the same"),
        (Topics(turned=True), "other embeddings"),
        (Topics(dimensions=2), "of 3 dimensions; those given have 2"),
        (Topics, "an object with `embed_documents`"),
        ("openai:text-embedding-3-small", "an object with `embed_documents`"),
    ],
)
def test_only_the_embeddings_it_was_fitted_with_will_do(sensible: Path, embeddings: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_policy(sensible, embeddings=embeddings)


def test_a_policy_without_embeddings_wants_none(fitted: Path) -> None:
    with pytest.raises(ConfigurationError, match="without embeddings"):
        load_policy(fitted, embeddings=Topics())


def test_embeddings_that_fail_leave_the_step_to_the_default_route(sensible: Path) -> None:
    embeddings = Topics()
    policy = load_policy(sensible, embeddings=embeddings)
    embeddings._vector = lambda text: [float("nan")] * 3  # type: ignore[method-assign]
    model = ChatRouter({name: ScriptedModel("right") for name in ("small", "other", "large")}, policy=policy, default="large")

    decision = model.invoke("Und nun?").response_metadata["langroute"]

    assert decision["route"] == "large"
    assert "embeddings" in str(decision["problems"])


@pytest.mark.parametrize("vectors", [[[1.0, 2.0], [1.0]], [[1.0]], [1.0, 2.0], None, [["a"], ["b"]], [[float("inf")], [1.0]]])
def test_what_is_no_vector_is_said(vectors: Any) -> None:
    class Broken(HashedEmbeddings):
        def embed_documents(self, texts: list[str]) -> Any:
            return vectors

    with pytest.raises(DataError, match="The embeddings returned"):
        CachedEmbeddings(Broken()).read(["one", "two"])


def test_the_weights_must_go_with_the_rest(sensible: Path, tmp_path: Path) -> None:
    stored = load_policy_file(sensible)
    group = stored.groups[0]
    assert group.estimator.sense is not None
    cut = replace(group.estimator.sense, weights=group.estimator.sense.weights[:-1])

    with pytest.raises(PolicyFormatError, match=r"sense\.weights has the shape"):
        save_policy(replace(stored, groups=(replace(group, estimator=replace(group.estimator, sense=cut)),)), tmp_path / "cut", "")


def test_the_commands_take_embeddings_by_name(traffic: Path, prices_file: Path, tmp_path: Path) -> None:
    made = ["--embeddings", "langroute.embeddings:HashedEmbeddings"]

    fit = CliRunner().invoke(cli, ["fit", str(traffic), "-o", str(tmp_path / "p"), "--prices", str(prices_file), *made])
    replay = CliRunner().invoke(cli, ["replay", str(traffic), "--policy", str(tmp_path / "p"), "--prices", str(prices_file), *made])

    assert (fit.exit_code, replay.exit_code) == (0, 0), (fit.output, replay.output)
    without = CliRunner().invoke(cli, ["replay", str(traffic), "--policy", str(tmp_path / "p"), "--prices", str(prices_file)])
    assert "Give the same" in str(without.exception)
