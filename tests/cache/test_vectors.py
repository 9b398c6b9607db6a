"""Every vector index finds near neighbours and forgets deleted entries."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from langroute.cache import ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.cache.vectors import ApproximateIndex, ExactIndex, unit
from langroute.core.errors import MissingExtraError
from langroute.embeddings import HashedEmbeddings
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel


def vectors(count: int, dimensions: int = 32, seed: int = 1) -> Any:
    made = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


class VectorIndexContract:
    """What every index has to do."""

    @pytest.fixture
    def index(self) -> Any:
        raise NotImplementedError

    def test_the_nearest_comes_first_with_its_cosine(self, index: Any) -> None:
        known = vectors(500)
        for place, vector in enumerate(known):
            index.add(f"k{place}", vector)
        asked = unit(known[7] + 0.1 * known[8])
        found = index.near(asked, 3)
        assert [key for key, _ in found[:1]] == ["k7"]
        assert found[0][1] == pytest.approx(float(known[7] @ asked), abs=1e-3)
        assert [likeness for _, likeness in found] == sorted((likeness for _, likeness in found), reverse=True)
        assert len(found) == 3

    def test_an_empty_one_finds_nothing_and_a_small_one_all(self, index: Any) -> None:
        assert index.near([1.0, 0.0], 3) == []
        index.add("a", [1.0, 0.0])
        index.add("b", [0.0, 1.0])
        assert [key for key, _ in index.near([1.0, 0.1], 3)] == ["a", "b"]
        assert len(index) == 2

    def test_what_was_removed_is_not_found(self, index: Any) -> None:
        known, chance, left = vectors(300), random.Random(2), dict[str, Any]()
        for place, vector in enumerate(known):
            index.add(f"k{place}", vector)
            left[f"k{place}"] = vector
            if chance.random() < 0.5:
                gone = chance.choice(list(left))
                index.remove(gone)
                del left[gone]
        index.remove("never there")
        assert len(index) == len(left)
        for key, vector in left.items():
            assert index.near(vector, 1)[0][0] == key
        for place, vector in enumerate(known):
            if f"k{place}" not in left:
                assert f"k{place}" not in [key for key, _ in index.near(vector, 3)]

    def test_other_embeddings_begin_anew(self, index: Any) -> None:
        index.add("old", [1.0, 0.0])
        assert index.near([1.0, 0.0, 0.0], 3) == []
        index.add("new", [1.0, 0.0, 0.0])
        assert [key for key, _ in index.near([1.0, 0.0, 0.0], 3)] == ["new"]
        index.remove("old")
        assert len(index) == 1


class TestExactIndex(VectorIndexContract):
    @pytest.fixture
    def index(self) -> Any:
        return ExactIndex()


class TestApproximateIndex(VectorIndexContract):
    @pytest.fixture
    def index(self) -> Any:
        pytest.importorskip("usearch", reason="usearch is not installed")
        return ApproximateIndex()


def test_without_usearch_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingExtraError, match="vectors"):
        ApproximateIndex()


def test_a_semantic_cache_works_with_another_index() -> None:
    pytest.importorskip("usearch", reason="usearch is not installed")
    cache = ResponseCache(semantic=SemanticCache(explore=0, index=ApproximateIndex, max_error=0.2))
    model = ChatRouter({"cheap": ScriptedModel("The same for all.")}, response_cache=cache)
    said = []
    model.invoke("Please list every open ticket of the payments team for Ann")
    for number in range(120):
        name = "".join(random.Random(number).choices("abcdefghij", k=6))
        answer = model.invoke(f"Please list every open ticket of the payments team for Ann {name}")
        said.append(answer.response_metadata["langroute"]["cache"])
    assert said[0] == "miss"
    assert "semantic_hit" in said


class Counted(Embeddings):
    """A model's embeddings, which cost something."""

    def __init__(self, model: str = "m-1") -> None:
        self.model = model
        self.texts: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.texts.extend(texts)
        return HashedEmbeddings().embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        self.texts.append(text)
        return HashedEmbeddings().embed_query(text)


@pytest.mark.parametrize(("model", "again"), [("m-1", 0), ("m-2", 3)])
def test_another_process_embeds_no_question_again(tmp_path: Path, model: str, again: int) -> None:
    """Its vector is stored beside it; one of another model says nothing and is made anew."""

    def router(embeddings: Embeddings) -> ChatRouter:
        cache = ResponseCache(tmp_path / "c.db", semantic=SemanticCache(embeddings, explore=0))
        return ChatRouter({"cheap": ScriptedModel("Paris.")}, response_cache=cache)

    first = router(Counted())
    for place in ("France", "Spain", "Italy"):
        first.invoke(f"What is the capital of {place}?")
    other = Counted(model)
    answer = router(other).invoke("what's the capital of Spain")
    assert answer.response_metadata["langroute"]["cache"] == "semantic_hit"
    assert len(other.texts) == again
