"""Per-label weights of character pairs: equal for one request and for batches, kept only where they help."""

from __future__ import annotations

import numpy as np
import pytest

from langroute.estimators.char_ngrams import SLOTS, Letters, pair_counts
from langroute.estimators.documents import Document
from langroute.estimators.features import label_hash


def test_pairs_are_counted_alike_alone_and_among_others() -> None:
    texts = ["What is 6 × 7?", "", "a", "Prove it.\0Now", "x" * 6000] * 40

    together = np.concatenate(list(pair_counts(texts)))

    np.testing.assert_array_equal(np.concatenate([part for text in texts for part in pair_counts([text])]), together)
    assert together.shape == (200, SLOTS)
    assert together[0].sum() == len(texts[0].encode())


def test_only_requests_with_an_owners_label_are_corrected() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.1, (2, SLOTS, 3)).astype(np.float32)
    owners = {label_hash("task=sums"): 0, label_hash("kind=plan"): 1}
    letters = Letters(np.ones((2, SLOTS), np.float32), weights, random.normal(0, 0.1, (2, 3)), owners)
    documents = [
        Document("Two and two?", labels=("task=sums",)),
        Document("Two and two?", labels=("task=other",)),
        Document("Two and two?"),
        Document("First the tests.", labels=("task=sums", "kind=plan")),
    ] * 50
    success = random.uniform(0.3, 0.7, (200, 3))

    corrected = letters.correct(documents, success)

    np.testing.assert_array_equal(corrected[1:3], success[1:3])
    assert (corrected[[0, 3]] != success[[0, 3]]).all()
    alone = np.concatenate([letters.correct([one], success[row : row + 1]) for row, one in enumerate(documents)])
    np.testing.assert_allclose(alone, corrected, rtol=1e-5)
    assert ((corrected > 0) & (corrected < 1)).all()


def test_what_is_stored_is_what_was_fitted() -> None:
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    from langroute.learning.training import fit_letters

    documents, errors = peculiar(400)
    letters, _ = fit_letters(documents, errors)
    assert letters is not None

    again = Letters.from_arrays(letters.arrays())

    success = np.full(errors.shape, 0.5)
    corrected = letters.correct(documents, success)
    np.testing.assert_array_equal(again.correct(documents, success), corrected)
    assert again.owners == letters.owners == {label_hash("task=odd"): 0}
    # What was fitted says something: half of the requests carry the label that has weights, and no other is touched.
    odd = np.array(["task=odd" in one.labels for one in documents])
    assert (np.abs(corrected - success)[odd] > 0.01).mean() > 0.9
    np.testing.assert_array_equal(corrected[~odd], success[~odd])


def test_a_label_gets_weights_where_its_letters_tell_and_not_where_they_do_not() -> None:
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    from langroute.learning.training import fit_letters

    documents, errors = peculiar(600)

    letters, added = fit_letters(documents, errors)

    assert letters is not None
    assert list(letters.owners) == [label_hash("task=odd")]
    odd = np.array(["task=odd" in one.labels for one in documents])
    # On requests left out, more than half of the error is gone.
    assert ((errors - added)[odd] ** 2).sum() < 0.5 * (errors[odd] ** 2).sum()
    fresh, wrong = peculiar(200, seed=1)
    corrected = letters.correct(fresh, np.full(wrong.shape, 0.5)) - 0.5
    mine = np.array(["task=odd" in one.labels for one in fresh])
    assert ((wrong - corrected)[mine] ** 2).sum() < 0.6 * (wrong[mine] ** 2).sum()


def peculiar(count: int, seed: int = 0) -> tuple[list[Document], np.ndarray]:
    """In `odd` a request with many z is failed and one without is solved; in `even` nothing is known."""
    random = np.random.default_rng(seed)
    documents, errors = [], []
    for number in range(count):
        hard = bool(random.integers(2))
        words = ["".join(random.choice(list("abcde"), 4)) + ("zq" if hard and at % 2 else "") for at in range(12)]
        odd = number % 2 == 0
        documents.append(Document(" ".join(words), labels=("task=odd" if odd else "task=even",)))
        sign = (-1.0 if hard else 1.0) if odd else float(random.choice([-1.0, 1.0]))
        errors.append([0.3 * sign + random.normal(0, 0.1), 0.2 * sign + random.normal(0, 0.1)])
    return documents, np.array(errors)
