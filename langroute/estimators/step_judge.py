"""The shipped judge of steps: how likely a step needs a frontier model, whether a mistake is costly, and what kind of work it is.

Small boosted trees over linear models of a step's words, their mean vectors, character n-grams and the shape of the call. It was fitted on labelled
steps of invented programs; `benchmarks/fit_steps.py` makes the file, and its card says how well it does on programs that it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import exp, sqrt
from operator import add
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from langroute.core.errors import DataError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.estimators.small_trees import SmallTrees
from langroute.estimators.step_fields import FIELDS, NUMBERS, step_fields
from langroute.estimators.step_grams import GRAMMED, grams_of
from langroute.estimators.step_words import BLOCKS, anywhere_of, block_of, blocks_of, words_of
from langroute.estimators.trees import Forest

Floats = NDArray[np.float32]

POOLED = (1, 0, 6, 7)
"""Places in `FIELDS` of the texts whose mean word vectors are read: asked, system, tools, schema."""

VERSION = 2
"""Version of the file's layout."""

KEPT = (0, 6, 7)
"""Places in `FIELDS` of the texts that an app's steps share, which are read once: system, tools, schema."""

KEPT_IN_TURN = (*KEPT, 1)
"""Those that are read once for the steps after a tool call, which share their request, too."""

MOST_KEPT = 256
"""Most texts that are kept."""

_Read = tuple[list[str], list[int], list[int], Floats]
"""What is known of a text: its words, the rows of its features and of its words' vectors, the shares of its n-grams."""

_NO_GRAMS: Floats = np.zeros(2, np.float32)
_NOTHING: _Read = [], [], [], _NO_GRAMS

_CALLED = FIELDS.index("called")

_SUMS = len(BLOCKS) + len(POOLED) + 1
"""Number of sums of rows: one for each block of features, for each text in `POOLED`, and for the requests' features by the step's place."""

_LEAST = 1e-15
"""Length of a text without a known word; that of one known word is at least 1e-3."""

_ALL = np.zeros(1, np.intp)
"""Where the only part of a list begins, for `np.add.reduceat`: it adds rows faster than `np.add.reduce`."""


@fast_dataclass
class Judgement:
    """What a step looks like."""

    hard: float
    """Probability that a frontier model is needed: clearly better there, or a mistake is costly."""

    stakes: float
    """Probability that a mistake is costly: health, law, money, safety, privacy, or what cannot be undone."""

    kind: str
    """What is done: `answer`, `act`, `observe`, `classify`, `grade`, `title`, …"""


class StepJudge:
    """A fitted model of steps, read from its file.

    Args:
        arrays: The arrays of the file; see `read_step_judge`.

    Raises:
        DataError: The arrays do not belong together, or were made for other features.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.facts: dict[str, Any] = json.loads(bytes(arrays["facts"]))
        if self.facts.get("version") != VERSION or self.facts.get("numbers") != list(NUMBERS):
            raise DataError(
                "This model of steps was made for another version of langroute. Rebuild it: python benchmarks/fit_steps.py"
            )
        self.kinds: tuple[str, ...] = tuple(self.facts["kinds"])
        self._rows, words = _indexed(bytes(arrays["words"])), len(arrays["rarity"])
        if len(self._rows) != len(BLOCKS) or sum(map(len, self._rows)) != words:
            raise DataError("The words of the model of steps do not fit its weights. Rebuild it: python benchmarks/fit_steps.py")
        names = bytes(arrays["vector_words"]).decode().split("\n")
        if len(names) != len(arrays["vector_rarity"]):
            raise DataError("The word vectors of the model of steps do not fit. Rebuild it: python benchmarks/fit_steps.py")
        self._table = _table(arrays, len(self._rows[0]))
        self._vector_rows = {name: row for row, name in enumerate(names, 1 + words)}
        # Rows of a request's features by the step's place stand in their order behind all others.
        self._placed = len(self._table) - len(arrays["placed"]) - 1 - len(self._rows[0])
        self._kept: dict[tuple[int, str], _Read] = {}
        self._grams = [_scaled(arrays, f"gram_{field}") for field in GRAMMED]
        width, columns = self._table.shape[1] - 1, arrays["weights"].shape[1]
        self._adds, places = _added(arrays["dense"], width, columns), _places_of_outputs(width, columns)
        self._trees = SmallTrees.of([_forest(arrays, name) for name in ("hard_", "costly_")], places)
        self._offsets: list[float] = self.facts["offsets"]

    def judge(self, messages: Sequence[Any], tools: Sequence[Any] = (), schema: Any = None) -> Judgement:
        """Return the judgement of a step.

        Args:
            messages: LangChain messages, or mappings with `role` and `content`.
            tools: Function definitions in OpenAI's form.
            schema: The schema that the answer must have.
        """
        fields = step_fields(messages, tools, schema)
        kept = KEPT_IN_TURN if fields.texts[_CALLED] else KEPT
        parts = [self._read(field, text, kept) if text else _NOTHING for field, text in enumerate(fields.texts)]
        words = [part[0] for part in parts]
        numbers = np.array((*fields.numbers, self._unknown(words[1])), np.float32)
        anywhere = self._rows_of(len(parts), anywhere_of(words))
        placed = [row + self._placed for row in parts[1][1]]
        found, starts = _joined([*[part[1] for part in parts], anywhere, *[parts[field][2] for field in POOLED], placed])
        sums = np.add.reduceat(self._table.take(found, 0), starts)
        # The last column holds the squares of the words' rarity: blocks are scaled to length 1.
        shares = sums[:, :-1] / np.sqrt(sums[:, -1:])
        here = shares[-1, 2 * fields.place : 2 * fields.place + 2]
        values = np.concatenate([shares.ravel(), here, *[parts[field][3] for field in GRAMMED], numbers])
        total = values.dot(self._adds)
        hard, stakes = map(_probability, map(add, self._offsets, self._trees.means(np.concatenate([values, total]))))
        return Judgement(hard, stakes, self.kinds[int(total[2:].argmax())])

    def _read(self, field: int, text: str, kept: tuple[int, ...]) -> _Read:
        """Return what is known of one text of a step; of those that other steps share it is kept."""
        if field not in kept:
            return self._looked_up(field, text)
        known = self._kept.get((field, text))
        if known is None:
            known = self._looked_up(field, text)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[field, text] = known
        return known

    def _looked_up(self, field: int, text: str) -> _Read:
        words = words_of(text)
        pooled = list(filter(None, map(self._vector_rows.get, set(words)))) if field in POOLED else []
        by_grams = self._by_grams(GRAMMED.index(field), text) if field in GRAMMED else _NO_GRAMS
        return words, self._rows_of(field, block_of(FIELDS[field], words)), pooled, by_grams

    def _rows_of(self, block: int, features: set[str]) -> list[int]:
        # No row of a feature is 0.
        return list(filter(None, map(self._rows[block].get, features)))

    def _by_grams(self, place: int, text: str) -> Floats:
        """Return the shares of a text's n-grams, in `hard` and in `stakes`."""
        slots = grams_of(text)
        sums: Floats = np.add.reduceat(self._grams[place].take(slots, 0), _ALL)[0]
        sums /= sqrt(len(slots))
        return sums

    def explain(
        self, messages: Sequence[Any], tools: Sequence[Any] = (), schema: Any = None, most: int = 8
    ) -> list[tuple[str, float]]:
        """Return the words that weighed most in `hard`, each with its share of the log-odds; positive ones make the step look hard.

        They are words of the prompt, so no ledger keeps them.
        """
        blocks = blocks_of([words_of(text) for text in step_fields(messages, tools, schema).texts])
        shares: dict[str, float] = {}
        for block, rows in zip(blocks, self._rows, strict=True):
            known = [(word, rows[word]) for word in sorted(block) if word in rows]
            length = float(np.sqrt(sum(self._table[row, -1] for _, row in known))) or 1.0
            for word, row in known:
                shares[word] = shares.get(word, 0.0) + float(self._table[row, 0]) / length
        return sorted(shares.items(), key=lambda share: -abs(share[1]))[:most]

    def _unknown(self, words: Sequence[str]) -> float:
        """Return the share of the user's words that are not known."""
        said = set(words)
        return len(said.difference(self._rows[1])) / len(said) if said else 0.0


def _joined(rows: Sequence[list[int]]) -> tuple[list[int], list[int]]:
    """Return all rows one after another, each list behind row 0, which is zero, and where each begins."""
    found: list[int] = []
    starts: list[int] = []
    for one in rows:
        starts.append(len(found))
        found.append(0)
        found += one
    return found, starts


def _probability(log_odds: float) -> float:
    return 1 / (1 + exp(-max(min(log_odds, 30.0), -30.0)))


def _table(arrays: Mapping[str, Any], before: int) -> Floats:
    """Return a row for each word: its weights times its rarity, and last the square of that.

    First those of the words of each block, then those of the words that have a vector, then once more those of the block of requests, with
    their weights by the step's place. Row 0 is zero but for a length, so that a text without a known word adds nothing and is divided by
    no zero. Where a row has fewer weights than there are columns, zeros stand behind them.

    Args:
        arrays: The arrays of the file.
        before: Number of words of the block before that of requests.
    """
    rarity, vectors = (arrays[name].astype(np.float32) for name in ("rarity", "vector_rarity"))
    parts = [
        (_scaled(arrays, "weights", "scales"), rarity),
        (_scaled(arrays, "vector_weights", "vector_scales"), vectors),
        (_scaled(arrays, "placed"), rarity[before:][: len(arrays["placed"])]),
    ]
    width = max(weights.shape[1] for weights, _ in parts)
    table = np.zeros((1 + sum(len(weights) for weights, _ in parts), width + 1), np.float32)
    row = 1
    for weights, scale in parts:
        rows = table[row : row + len(weights)]
        np.multiply(weights, scale[:, None], out=rows[:, : weights.shape[1]])
        rows[:, -1] = scale**2
        row += len(weights)
    table[0, -1] = _LEAST**2
    return table


def _scaled(arrays: Mapping[str, Any], name: str, scales: str | None = None) -> Floats:
    """Return weights that are stored as whole numbers and a factor for each column."""
    return np.asarray(arrays[name].astype(np.float32) * arrays[scales or f"{name}_scales"], np.float32)


def _places_of_shares(width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where `StepJudge.judge` has the shares that stand beside those of the blocks, in `hard` and in `stakes`.

    They are of the words by the step's place, of the n-grams and of the mean vectors, two values each. Of the vectors
    each text in `POOLED` has columns of its own.
    """
    own = np.arange(len(POOLED))
    pairs = _SUMS * width + np.arange(1 + len(GRAMMED)) * 2
    means = (len(BLOCKS) + own) * width + own
    return np.concatenate([pairs, means]), np.concatenate([pairs + 1, means + len(POOLED)])


def _added(dense: Floats, width: int, columns: int) -> Floats:
    """Return the matrix that adds up what `StepJudge.judge` has of a step, `(values, columns)`; `dense` are the weights of the numbers."""
    added = np.zeros((_SUMS * width + 2 * (1 + len(GRAMMED)) + len(dense), columns), np.float32)
    for block in range(len(BLOCKS)):
        np.fill_diagonal(added[block * width :], 1.0)
    for column, beside in enumerate(_places_of_shares(width)):
        added[beside, column] = 1.0
    added[-len(dense) :] = dense
    return added


def _places_of_outputs(width: int, columns: int) -> NDArray[np.intp]:
    """Return where what the trees read stands in `StepJudge.judge`, in the order in which they were fitted.

    These are the shares of each block in both log-odds, the sums, the other shares in both, the numbers.
    """
    blocks = np.arange(len(BLOCKS)) * width
    numbers = _SUMS * width + 2 * (1 + len(GRAMMED)) + np.arange(len(NUMBERS) + 1)
    total = numbers[-1] + 1 + np.arange(columns)
    return np.concatenate([blocks, blocks + 1, total, *_places_of_shares(width), numbers])


def _forest(arrays: Mapping[str, Any], part: str) -> Forest:
    return Forest.from_arrays({name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)})


def _indexed(text: bytes) -> list[dict[str, int]]:
    """Return a map of each block's words to their rows, from 1."""
    blocks: list[dict[str, int]] = []
    row = 1
    for block in text.decode().split("\0"):
        names = block.split("\n") if block else []
        blocks.append({name: row + place for place, name in enumerate(names)})
        row += len(names)
    return blocks


def read_step_judge(path: Path) -> StepJudge:
    """Read a judge of steps from its file.

    Raises:
        DataError: The file is missing, damaged, or made for another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return StepJudge({name: file[name] for name in file.files})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"The model of steps {path} cannot be read: {type(error).__name__}: {error}") from error
