"""Schema of a policy directory: the fields of `policy.json`, the arrays of `arrays.npz`, and their consistency.

A new array of an estimator needs a line in `ARRAYS`, and a new key of `policy.json` one in `POLICY`. Anything else is refused, in writing
as in reading, so that every policy that was written can be read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langroute.core.errors import PolicyFormatError
from langroute.estimators.char_ngrams import SLOTS
from langroute.estimators.checks import (
    MOST,
    NAME,
    OBJECT,
    TEXT,
    TRUTH,
    Fields,
    Listed,
    Mapped,
    Single,
    nullable,
    number,
    whole,
    wrong,
)
from langroute.estimators.dense_features import DENSE
from langroute.estimators.plan import state_features

Arrays = Mapping[str, NDArray[Any]]

MOST_TARGET = 2.0
"""Highest target of an operating point: quality relative to the best single route, which several routes together may exceed."""

RATE = number(0, what="a price in USD, from 0 to 1e15")
SHARE = number(0, 1, what="a number from 0 to 1")
REAL = number(what="a number")
UNIT = number(1e-12, what="a number of USD, from 1e-12 to 1e15")


def _price(value: Any, where: str) -> None:
    PRICE(value, where)
    starts = [start for start, _ in value.get("above", ())]
    if starts != sorted(set(starts)):
        raise wrong(f"{where}.above", starts, "in rising order of tokens")


def _tier(value: Any, where: str) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise wrong(where, value, "a pair of tokens and a price")
    whole()(value[0], f"{where}[0]")
    _price(value[1], f"{where}[1]")


PRICE = Fields(
    {"input": RATE, "output": RATE},
    {
        **dict.fromkeys(("cache_read", "cache_write", "cache_write_1h", "per_call", "per_second"), RATE),
        "above": Listed(_tier),
    },
)
PLAN = Fields(
    {
        "order": Listed(whole(), least=1),
        "price_of_quality": number(0, what="a number from 0 up"),
        "unit_usd": UNIT,
        "stages": Listed(Fields({"actions": Listed(whole(-1, what="the place of a route, or -1"), least=1), "goes_on": TRUTH})),
    }
)
PROMISED = Fields(
    {
        **dict.fromkeys(("quality", "quality_low", "quality_high"), SHARE),
        **dict.fromkeys(("spread", "cost_ratio"), number(0, what="a number from 0 up")),
        "requests": whole(1, what="a whole number from 1 up"),
    },
    dict.fromkeys(("relative", "relative_low", "relative_high", "calls_per_request", "unsettled", "luck", "lost", "gained"), REAL),
    others=True,
)


def _promised(value: Any, where: str) -> None:
    # A policy whose points were not measured promises nothing.
    if value != {}:
        PROMISED(value, where)


POINT = Fields(
    {
        "target": number(5e-324, MOST_TARGET, what=f"a share of the best route's quality, above 0 and at most {MOST_TARGET:g}"),
        "tolerance": nullable(number(0, what="a number from 0 up")),
        "plan": nullable(PLAN),
        "promised": _promised,
    }
)
GROUP = Fields(
    {
        "routes": Listed(NAME, least=1),
        "frontier": NAME,
        "unit_usd": UNIT,
        "prices": Mapped(_price),
        "points": Listed(POINT, least=1),
        "facts": Fields({}, {"quality": Mapped(SHARE)}, others=True),
    },
    {"seconds": Mapped(number(0, what="seconds, from 0 up"))},
)
CHECKSUM = Single("a checksum", lambda value: isinstance(value, str) and len(value) == 64)
POLICY = Fields(
    {
        "format": whole(1),
        "made_with": TEXT,
        "seed": whole(),
        "data": Listed(OBJECT, most=100_000),
        "arrays_sha256": CHECKSUM,
        "groups": Listed(GROUP, least=1),
    },
    # The first formats had none.
    {"decides_sha256": CHECKSUM},
)


def check_description(whole_policy: Any, where: str) -> None:
    """Check the contents of `policy.json`.

    Args:
        whole_policy: The parsed JSON.
        where: The file's name, for errors.

    Raises:
        PolicyFormatError: A field is missing, invalid or inconsistent with others; the message names it.
    """
    POLICY(whole_policy, f"{where}: ")
    groups = whole_policy["groups"]
    for number_, group in enumerate(groups):
        at = f"{where}: groups[{number_}]"
        _check_group(group, at)
        if _targets(group) != _targets(groups[0]):
            raise wrong(f"{at}.points", _targets(group), f"of the same targets as groups[0]: {_targets(groups[0])}")
    _distinct([tuple(sorted(group["routes"])) for group in groups], f"{where}: groups", "of different routes each")


def decides(whole_policy: Mapping[str, Any]) -> str:
    """Return a SHA-256 checksum of everything that determines decisions: arrays, routes, frontier, unit and points.

    Routes in another order, or points of another fit, would be well formed and silently change decisions. Prices and facts are left out,
    because they may be edited.
    """
    kept = [
        {
            **{name: group[name] for name in ("routes", "frontier", "unit_usd")},
            "points": [{name: point[name] for name in ("target", "tolerance", "plan")} for point in group["points"]],
        }
        for group in whole_policy["groups"]
    ]
    return hashlib.sha256(json.dumps([whole_policy["arrays_sha256"], kept], sort_keys=True).encode()).hexdigest()


def check_unchanged(whole_policy: Mapping[str, Any], where: str) -> None:
    """Check that the checksum of `decides` is the one that was written.

    Raises:
        PolicyFormatError: Something that determines decisions was changed since.
    """
    written = whole_policy.get("decides_sha256")
    if written is not None and written != decides(whole_policy):
        raise PolicyFormatError(
            f"{where}: routes, frontier, unit_usd or points were changed after they were fitted, or are of another fit. "
            "Fit again, or put the old file back; another tolerance is given to load_policy."
        )


def _targets(group: Mapping[str, Any]) -> list[float]:
    return [point["target"] for point in group["points"]]


def _distinct(values: Sequence[Any], where: str, what: str) -> None:
    if twice := [value for value, many in Counter(values).items() if many > 1]:
        raise PolicyFormatError(f"{where}: {twice[0]!r} is there twice; they should be {what}.")


def _check_group(group: Mapping[str, Any], at: str) -> None:
    routes = group["routes"]
    _distinct(routes, f"{at}.routes", "different names")
    if group["frontier"] not in routes:
        raise wrong(f"{at}.frontier", group["frontier"], f"one of the group's routes: {', '.join(routes)}")
    if missing := [name for name in routes if name not in group["prices"]]:
        raise PolicyFormatError(f"{at}.prices.{missing[0]} is missing.")
    if others := sorted(set(group["prices"]) - set(routes)):
        raise PolicyFormatError(f"{at}.prices.{others[0]} is the price of none of the group's routes: {', '.join(routes)}.")
    targets = _targets(group)
    if targets != sorted(set(targets), reverse=True):
        raise wrong(f"{at}.points", targets, "one for each target, the highest first")
    for place, point in enumerate(group["points"]):
        if point["plan"] is not None:
            _check_plan(point["plan"], group, f"{at}.points[{place}].plan")


def _check_plan(plan: Mapping[str, Any], group: Mapping[str, Any], at: str) -> None:
    order, stages, count = plan["order"], plan["stages"], len(group["routes"])
    _distinct(order, f"{at}.order", "different routes")
    if plan["unit_usd"] != group["unit_usd"]:
        raise wrong(f"{at}.unit_usd", plan["unit_usd"], f"the group's, {group['unit_usd']!r}")
    if len(stages) != len(order) + 1:
        raise PolicyFormatError(
            f"{at}.stages are {len(stages)}; there is one for each number of attempts, none included: {len(order) + 1}."
        )
    for route in (*order, *(action for stage in stages for action in stage["actions"])):
        if route >= count:
            raise PolicyFormatError(f"{at} names route {route}; the group has {count}, from 0 up.")
    for asked, stage in enumerate(stages):
        actions, here = stage["actions"], f"{at}.stages[{asked}]"
        # Accepting the latest answer, where there is one, is the first action.
        if (actions[0] == -1) != (asked > 0) or -1 in actions[1:]:
            raise wrong(f"{here}.actions", actions, "-1 first of all where there is an answer to accept, and nowhere else")
        if stage["goes_on"] != (asked < len(order)) or (stage["goes_on"] and actions[-1] != order[asked]):
            raise PolicyFormatError(f"{here} does not go on with the next route of the order.")


class Laid(NamedTuple):
    """Layout that an array must have: its type, shape and range."""

    kind: str
    """`whole`, `real` or `uint64`."""

    shape: str
    """Names of its dimensions, separated by spaces; see `_sizes`."""

    least: float = -MOST
    most: float = MOST
    below: str = ""
    """Name of a size, for arrays of indices: values are from 0 up and less than it."""

    distinct: bool = False
    """Whether all values must differ."""


KINDS: dict[str, Any] = {"whole": np.integer, "real": np.floating, "uint64": np.uint64}

ARRAYS: dict[str, Laid] = {
    "vocabulary": Laid("uint64", "words", 0, inf),
    "bits": Laid("whole", "", 1, 28),
    "labels": Laid("whole", "labels", 0, distinct=True),
    "rarity": Laid("real", "buckets", 0),
    "projection": Laid("real", "buckets directions"),
    "blend.weights": Laid("real", "models"),
    "blend.shift": Laid("real", "fitted"),
    "linear.weights": Laid("real", "buckets fitted"),
    "linear.bias": Laid("real", "fitted"),
    "tokens.weights": Laid("real", "features sides"),
    "tokens.bias": Laid("real", "sides"),
    "tokens.factor": Laid("real", "sides", 0),
    "tokens.ceiling": Laid("real", "sides", 0, 50),
    "tokens.usual": Laid("real", "sides", 0, 50),
    "forest.roots": Laid("whole", "trees", below="nodes"),
    "forest.feature": Laid("whole", "nodes", below="columns"),
    "forest.threshold": Laid("real", "nodes", most=inf),
    "forest.left": Laid("whole", "nodes", below="nodes"),
    "forest.value": Laid("real", "nodes fitted", 0, 1),
    "forest.depth": Laid("whole", "", 0, 1000),
    "letters.rarity": Laid("real", "owners slots", 0),
    "letters.weights": Laid("real", "owners slots fitted"),
    "letters.bias": Laid("real", "owners fitted"),
    "letters.owners": Laid("whole", "owners", 0, distinct=True),
    "kin.weights": Laid("real", "fitted newcomers"),
    "kin.shift": Laid("real", "newcomers"),
    "sense.mean": Laid("real", "dimensions"),
    "sense.weights": Laid("real", "dimensions fitted"),
    "sense.bias": Laid("real", "fitted"),
    "sense.probe": Laid("real", "dimensions"),
}
"""Every array of an estimator. The arrays of a part that is named in `MAY` are there all together or not at all."""

SLOTS_A_WORD = 64
"""Most slots of a vocabulary for each word: four to eight when it is made, more where words were left out since."""

MAY = ("forest", "letters", "kin", "sense")
"""Optional parts of an estimator: prefixes in `ARRAYS`, before the dot."""


def by_group(arrays: Arrays) -> dict[int, dict[str, NDArray[Any]]]:
    """Return arrays by the number of their group, with that prefix removed from their names.

    Example:
        >>> {number: list(own) for number, own in by_group({"0.bits": np.array(18), "1.bits": np.array(12)}).items()}
        {0: ['bits'], 1: ['bits']}
    """
    found: dict[int, dict[str, NDArray[Any]]] = defaultdict(dict)
    for name, array in arrays.items():
        number_, _, own = name.partition(".")
        # Only the canonical spelling counts: 01 is not a group's number.
        if number_.isdecimal() and len(number_) < 10 and str(int(number_)) == number_:
            found[int(number_)][own] = array
    return found


def check_arrays(whole_policy: Mapping[str, Any], arrays: Arrays, where: str) -> None:
    """Check the contents of `arrays.npz`, for a description that has passed `check_description`.

    Args:
        whole_policy: The parsed `policy.json`.
        arrays: The arrays, by name.
        where: The file's name, for errors.

    Raises:
        PolicyFormatError: An array is missing, unknown, invalid or inconsistent with others; the message names it.
    """
    unknown, parts = set(arrays), by_group(arrays)
    for number_, group in enumerate(whole_policy["groups"]):
        prefix = f"{number_}."
        at = f"{where}: {prefix}"
        own = parts[number_]
        sizes = _sizes(own, len(group["routes"]))
        for name, laid, inside in chain(_estimator(own, sizes), _plans(group, own)):
            _check_array(own.get(name), laid, inside, at + name)
            unknown.discard(prefix + name)
        _check_vocabulary(own, at)
        _check_forest(own, at)
        if group["routes"].index(group["frontier"]) >= sizes["fitted"]:
            raise PolicyFormatError(f"{at}kin has {group['frontier']!r} as a newcomer, and policy.json as the frontier.")
    if unknown:
        raise PolicyFormatError(f"{where}: {min(unknown)} is no part of this policy.")


def _sizes(arrays: Arrays, routes: int) -> dict[str, int]:
    """Return the sizes by name, from the number of routes and some of the arrays; all arrays must have them."""

    def size(name: str, axis: int = 0) -> int:
        array = arrays.get(name)
        return array.shape[axis] if array is not None and array.ndim > axis else 0

    newcomers, directions = size("kin.shift"), size("projection", 1)
    fitted, features = routes - newcomers, len(DENSE) + directions
    return {
        "words": size("vocabulary"),
        "labels": size("labels"),
        "buckets": size("vocabulary") + size("labels"),
        "directions": directions,
        "features": features,
        "columns": features + fitted,
        "models": 1 + len({name.partition(".")[0] for name in arrays} & {"forest", "sense"}),
        "dimensions": size("sense.mean"),
        "newcomers": newcomers,
        "fitted": fitted,
        "sides": 2 * routes,
        "trees": size("forest.roots"),
        "nodes": size("forest.feature"),
        "owners": size("letters.owners"),
        "slots": SLOTS,
    }


def _estimator(arrays: Arrays, sizes: Mapping[str, int]) -> Iterator[tuple[str, Laid, Mapping[str, int]]]:
    there = {name.partition(".")[0] for name in arrays}
    for name, laid in ARRAYS.items():
        part = name.partition(".")[0]
        if part not in MAY or part in there:
            yield name, laid, sizes


def _plans(group: Mapping[str, Any], arrays: Arrays) -> Iterator[tuple[str, Laid, Mapping[str, int]]]:
    for place, point in enumerate(group["points"]):
        for asked, stage in enumerate(point["plan"]["stages"] if point["plan"] else ()):
            prefix = f"plan{place}.{asked}"
            patterns = np.size(arrays.get(f"{prefix}.patterns", ()))
            none = np.zeros((1, asked))
            state = state_features(
                np.zeros((1, len(arrays["blend.shift"]))), [0] * asked, 0, np.zeros(1, int), np.zeros(patterns, int), none, none
            )
            sizes = {"patterns": patterns, "state": state.shape[1], "actions": len(stage["actions"])}
            yield f"{prefix}.patterns", Laid("whole", "patterns", 0, distinct=True), sizes
            yield f"{prefix}.weights", Laid("real", "state actions"), sizes
            yield f"{prefix}.bias", Laid("real", "actions"), sizes


def _check_array(array: NDArray[Any] | None, laid: Laid, sizes: Mapping[str, int], where: str) -> None:
    if array is None:
        raise PolicyFormatError(f"{where} is missing.")
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, KINDS[laid.kind]):
        raise PolicyFormatError(f"{where} holds {getattr(array, 'dtype', 'no numbers')}; it should hold {laid.kind} numbers.")
    names = laid.shape.split()
    shape = tuple(sizes[name] for name in names)
    if array.shape != shape:
        raise PolicyFormatError(
            f"{where} has the shape {array.shape}; it should have {shape}, as the rest has it ({', '.join(names)})."
        )
    least, most = (0, sizes[laid.below] - 1) if laid.below else (laid.least, laid.most)
    if array.size:
        # float16 is slow to compare. A NaN makes minimum and maximum NaN, which is in no range.
        some = array.astype(np.float32) if array.dtype == np.float16 else array
        low, high = float(some.min()), float(some.max())
        if not (least <= low and high <= most):
            raise PolicyFormatError(f"{where} has numbers from {low:g} to {high:g}; they should be from {least:g} to {most:g}.")
    if laid.distinct and _twice(array):
        raise PolicyFormatError(f"{where} has a number twice.")


def _twice(array: NDArray[Any]) -> bool:
    ordered = np.sort(array)
    return bool((ordered[1:] == ordered[:-1]).any())


def _check_vocabulary(arrays: Arrays, at: str) -> None:
    # The table of slots is allocated before any word is looked up, so its size is bounded.
    if 1 << int(arrays["bits"]) > max(1 << 16, SLOTS_A_WORD * len(arrays["vocabulary"])):
        raise PolicyFormatError(f"{at}bits are {int(arrays['bits'])}, too many for {len(arrays['vocabulary'])} words.")
    # Of words that share a slot only the first is kept, and the weights of the later ones would be shifted.
    if _twice(arrays["vocabulary"] >> np.uint64(64 - int(arrays["bits"]))):
        raise PolicyFormatError(f"{at}bits are too few to tell the words of {at}vocabulary apart.")


def _check_forest(arrays: Arrays, at: str) -> None:
    if "forest.left" in arrays:
        left = arrays["forest.left"][arrays["forest.threshold"] < inf]
        if left.size and left.max() + 1 >= len(arrays["forest.left"]):
            raise PolicyFormatError(f"{at}forest.left leads to nodes that are not there.")
