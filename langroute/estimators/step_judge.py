"""The shipped judge of steps: how likely a step needs a frontier model, whether a mistake is costly, and what kind of work it is.

Small boosted trees over linear models of a step's words, their mean vectors, character n-grams and the shape of the call. It was fitted on labelled
steps of invented programs; `benchmarks/fit_steps.py` makes the file, and its card says how well it does on programs that it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import exp, sqrt
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from langroute.core.errors import DataError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.estimators.step_fields import FIELDS, NUMBERS, PLACES, step_fields
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

MOST_KEPT = 256
"""Most texts that are kept."""

_Read = tuple[list[str], list[int], list[int], Floats]
"""What is known of a text: its words, the rows of its features and of its words' vectors, the shares of its n-grams."""

_NONE: Floats = np.zeros(2, np.float32)


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
        self._weights = _weighted(arrays)
        self._rows = _indexed(bytes(arrays["words"]))
        # Row 0 is zero: a block without a known word adds nothing.
        if len(self._rows) != len(BLOCKS) or sum(map(len, self._rows)) + 1 != len(self._weights):
            raise DataError("The words of the model of steps do not fit its weights. Rebuild it: python benchmarks/fit_steps.py")
        self._dense: Floats = arrays["dense"]
        self._vector_rows = {name: row for row, name in enumerate(bytes(arrays["vector_words"]).decode().split("\n"))}
        self._vector_weights = _weighted(arrays, "vector_")
        self._placed = _placed(arrays, 1 + len(self._rows[0]))
        self._kept: dict[tuple[int, str], _Read] = {}
        self._grams = [_scaled(arrays, f"gram_{field}") for field in GRAMMED]
        if len(self._vector_rows) != len(self._vector_weights) - 1:
            raise DataError("The word vectors of the model of steps do not fit. Rebuild it: python benchmarks/fit_steps.py")
        self._hard, self._costly = (_forest(arrays, name) for name in ("hard_", "costly_"))
        self._offsets: list[float] = self.facts["offsets"]

    def judge(self, messages: Sequence[Any], tools: Sequence[Any] = (), schema: Any = None) -> Judgement:
        """Return the judgement of a step.

        Args:
            messages: LangChain messages, or mappings with `role` and `content`.
            tools: Function definitions in OpenAI's form.
            schema: The schema that the answer must have.
        """
        outputs = self._outputs(messages, tools, schema)
        hard, stakes = (
            _probability(offset + float(forest.predict(outputs)[0, 0]))
            for forest, offset in zip((self._hard, self._costly), self._offsets, strict=True)
        )
        begin = 2 * len(BLOCKS) + 2
        return Judgement(hard, stakes, self.kinds[int(outputs[0, begin : begin + len(self.kinds)].argmax())])

    def _outputs(self, messages: Sequence[Any], tools: Sequence[Any], schema: Any) -> NDArray[Any]:
        """Return what the trees read, `(1, values)`: shares of each block in both log-odds, the sums, kinds, other shares, numbers."""
        fields = step_fields(messages, tools, schema)
        parts = [self._read(field, text) for field, text in enumerate(fields.texts)]
        found, starts = _joined([*(part[1] for part in parts), self._rows_of(len(parts), anywhere_of([part[0] for part in parts]))])
        sums = np.add.reduceat(self._weights.take(found, 0), starts)
        # The last column holds the squares of the words' rarity: blocks are scaled to length 1.
        lengths = np.sqrt(np.maximum(sums[:, -1:], 1e-6))
        shares = sums[:, :-1] / lengths
        numbers = np.array((*fields.numbers, self._unknown(parts[1][0])), np.float32)
        total = shares.sum(0) + numbers @ self._dense
        asked = found[starts[1] : starts[2]]
        placed = self._placed[fields.place].take(asked, 0).sum(0) / lengths[1]
        beside = np.vstack([placed, *(parts[field][3] for field in GRAMMED), self._means([parts[field][2] for field in POOLED])])
        total[:2] += beside.sum(0)
        outputs: NDArray[Any] = np.concatenate([shares[:, 0], shares[:, 1], total, beside[:, 0], beside[:, 1], numbers])[None]
        return outputs

    def _read(self, field: int, text: str) -> _Read:
        """Return what is known of one text of a step; of those that an app's steps share it is kept."""
        if field not in KEPT:
            return self._looked_up(field, text)
        known = self._kept.get((field, text))
        if known is None:
            known = self._looked_up(field, text)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[field, text] = known
        return known

    def _looked_up(self, field: int, text: str) -> _Read:
        if not text:
            return [], [], [], _NONE
        words = words_of(text)
        vectors = self._vector_rows
        pooled = [vectors[word] + 1 for word in set(words) if word in vectors] if field in POOLED else []
        by_grams = self._by_grams(GRAMMED.index(field), text) if field in GRAMMED else _NONE
        return words, self._rows_of(field, block_of(FIELDS[field], words)), pooled, by_grams

    def _rows_of(self, block: int, features: set[str]) -> list[int]:
        rows = self._rows[block]
        return [rows[feature] for feature in features if feature in rows]

    def _by_grams(self, place: int, text: str) -> Floats:
        """Return the shares of a text's n-grams, in `hard` and in `stakes`."""
        slots = grams_of(text)
        return np.asarray(self._grams[place].take(slots, 0).sum(0) / sqrt(len(slots)), np.float32)

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
            length = float(np.sqrt(sum(self._weights[row, -1] for _, row in known))) or 1.0
            for word, row in known:
                shares[word] = shares.get(word, 0.0) + float(self._weights[row, 0]) / length
        return sorted(shares.items(), key=lambda share: -abs(share[1]))[:most]

    def _means(self, rows: Sequence[list[int]]) -> Floats:
        """Return the shares of the mean word vectors of the texts in `POOLED`, `(texts, 2)`: in `hard` and in `stakes`."""
        found, starts = _joined(rows)
        sums = np.add.reduceat(self._vector_weights.take(found, 0), starts)
        own = np.arange(len(POOLED))
        both = np.stack([sums[own, own], sums[own, own + len(POOLED)]], 1)
        return np.asarray(both / np.sqrt(np.maximum(sums[:, -1:], 1e-6)), np.float32)

    def _unknown(self, words: Sequence[str]) -> float:
        """Return the share of the user's words that are not known."""
        said = set(words)
        known = self._rows[1]
        return sum(word not in known for word in said) / len(said) if said else 0.0


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


def _weighted(arrays: Mapping[str, Any], part: str = "") -> Floats:
    """Return a row for each word: its weights times its rarity, and the square of the rarity; a row of zeros before them."""
    rarity = arrays[f"{part}rarity"].astype(np.float32)[:, None]
    weights = _scaled(arrays, f"{part}weights", f"{part}scales")
    rows = np.hstack([weights * rarity, rarity**2])
    return np.vstack([np.zeros((1, rows.shape[1]), np.float32), rows]).astype(np.float32)


def _scaled(arrays: Mapping[str, Any], name: str, scales: str | None = None) -> Floats:
    """Return weights that are stored as whole numbers and a factor for each column."""
    return np.asarray(arrays[name].astype(np.float32) * arrays[scales or f"{name}_scales"], np.float32)


def _placed(arrays: Mapping[str, Any], first: int) -> Floats:
    """Return the weights of the words of requests for each place in `PLACES`, `(places, rows, 2)`; their rows begin at `first`."""
    weights: Floats = _scaled(arrays, "placed") * arrays["rarity"][first - 1 :][: len(arrays["placed"])].astype(np.float32)[:, None]
    rows = np.zeros((len(PLACES), first + len(weights), 2), np.float32)
    rows[:, first:] = weights.reshape(len(weights), len(PLACES), 2).transpose(1, 0, 2)
    return rows


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
