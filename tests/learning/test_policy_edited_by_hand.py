"""A policy directory that was edited by hand, or merged badly, is refused when it is loaded, with the file and the key that is wrong."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from langroute.core.errors import PolicyFormatError
from langroute.core.records import Request, RouteInfo
from langroute.estimators.policy_schema import decides
from langroute.estimators.store import load_policy_file, save_policy
from langroute.policies.learned import policy_from

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def copy(fitted: Path, tmp_path: Path) -> Path:
    """A policy to spoil: cascades at its first points, single calls at its last."""
    return Path(shutil.copytree(fitted, tmp_path / "copy"))


def rewrite(folder: Path, edit: Edit) -> None:
    path = folder / "policy.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    edit(described)
    path.write_text(json.dumps(described), encoding="utf-8")


def repack(folder: Path, edit: Edit, **options: Any) -> None:
    """Change the numbers, and the checksum with them: who merges by hand may well do so."""
    with np.load(folder / "arrays.npz") as opened:
        arrays = {name: opened[name] for name in opened.files}
    edit(arrays)
    np.savez_compressed(folder / "arrays.npz", **arrays, **options)
    sign(folder)


def sign(folder: Path) -> None:
    digest = hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest()

    def edit(whole: dict[str, Any]) -> None:
        whole["arrays_sha256"] = digest
        whole["decides_sha256"] = decides(whole)

    rewrite(folder, edit)


def put(path: str, value: Any) -> Edit:
    """Set the value at a path such as `groups.0.seed`."""

    def edit(whole: dict[str, Any]) -> None:
        *before, last = path.split(".")
        at: Any = whole
        for key in before:
            at = at[int(key) if isinstance(at, list) else key]
        at[int(last) if isinstance(at, list) else last] = value

    return edit


def drop(path: str) -> Edit:
    def edit(whole: dict[str, Any]) -> None:
        *before, last = path.split(".")
        at: Any = whole
        for key in before:
            at = at[int(key) if isinstance(at, list) else key]
        del at[int(last) if isinstance(at, list) else last]

    return edit


def change(path: str, how: Callable[[Any], Any]) -> Edit:
    """Put something made of what is there."""

    def edit(whole: dict[str, Any]) -> None:
        at: Any = whole
        for key in path.split("."):
            at = at[int(key) if isinstance(at, list) else key]
        put(path, how(at))(whole)

    return edit


NAN, INF = float("nan"), float("inf")
FIRST, LAST = "groups.0.points.0", "groups.0.points.4"

DESCRIPTIONS = [
    (drop("seed"), "seed is missing"),
    (drop("made_with"), "made_with is missing"),
    (drop("data"), "data is missing"),
    (drop("groups"), "groups is missing"),
    (drop("arrays_sha256"), "arrays_sha256 is missing"),
    (put("seed", "7"), "seed is '7'; it should be a whole number from 0 up"),
    (put("seed", -1), "seed is -1"),
    (put("seed", True), "seed is True"),
    (put("seed", 1.5), "seed is 1.5"),
    (put("made_with", None), "made_with is None"),
    (put("data", {}), "data is {}; it should be a list"),
    (put("data", ["train.jsonl"]), "data[0] is 'train.jsonl'; it should be an object"),
    (put("arrays_sha256", 5), "arrays_sha256 is 5"),
    (put("format", "2"), "no description of a policy"),
    (put("format", True), "no description of a policy"),
    (put("format", 0), "format is 0"),
    (put("sede", 1), "sede is no part of a policy"),
    (put("groups", {}), "groups is {}; it should be a list of at least 1"),
    (put("groups", []), "groups is []; it should be a list of at least 1"),
    (put("groups.0", []), "groups[0] is []; it should be an object"),
    (change("groups", lambda groups: groups * 2), "should be of different routes each"),
    *(
        (drop(f"groups.0.{key}"), f"groups[0].{key} is missing")
        for key in ("routes", "frontier", "unit_usd", "prices", "points", "facts")
    ),
    (put("groups.0.routes", "small"), "groups[0].routes is 'small'"),
    (put("groups.0.routes", ["large", "other", ""]), "groups[0].routes[2] is ''"),
    (put("groups.0.routes", ["large", "small", "small"]), "groups[0].routes: 'small' is there twice"),
    (put("groups.0.routes", ["large", "other", "tiny"]), "groups[0].prices.tiny is missing"),
    (put("groups.0.routes", ["large", "small"]), "groups[0].prices.other is the price of none of the group's routes"),
    (put("groups.0.frontier", "huge"), "groups[0].frontier is 'huge'; it should be one of the group's routes: large, other, small"),
    (put("groups.0.frontier", 0), "groups[0].frontier is 0"),
    (put("groups.0.unit_usd", NAN), "groups[0].unit_usd is nan; it should be a number of USD, from 1e-12 to 1e15"),
    (put("groups.0.unit_usd", INF), "groups[0].unit_usd is inf"),
    (put("groups.0.unit_usd", -0.1), "groups[0].unit_usd is -0.1"),
    (put("groups.0.unit_usd", 0), "groups[0].unit_usd is 0"),
    (put("groups.0.unit_usd", 1e-320), "groups[0].unit_usd is 1e-320"),
    (put("groups.0.unit_usd", 10**400), "groups[0].unit_usd is 1000"),
    (put("groups.0.unit_usd", "0.1"), "groups[0].unit_usd is '0.1'"),
    (put("groups.0.unit_usd", 0.5), "groups[0].points[0].plan.unit_usd is 0.0"),
    (put("groups.0.prices", []), "groups[0].prices is []; it should be an object"),
    (put("groups.0.prices.small", 3), "groups[0].prices.small is 3; it should be an object"),
    (put("groups.0.prices.small.input", NAN), "groups[0].prices.small.input is nan; it should be a price in USD, from 0 to 1e15"),
    (put("groups.0.prices.small.input", -1), "groups[0].prices.small.input is -1"),
    (put("groups.0.prices.small.input", "1"), "groups[0].prices.small.input is '1'"),
    (put("groups.0.prices.small.inptu", 1), "groups[0].prices.small.inptu is no part of a policy"),
    (drop("groups.0.prices.small.output"), "groups[0].prices.small.output is missing"),
    (put("groups.0.prices.small.per_call", None), "groups[0].prices.small.per_call is None"),
    (put("groups.0.prices.small.above", {}), "groups[0].prices.small.above is {}"),
    (put("groups.0.prices.small.above", [[5]]), "groups[0].prices.small.above[0] is [5]"),
    (put("groups.0.prices.small.above", [[5, {"input": 1}]]), "groups[0].prices.small.above[0][1].output is missing"),
    (put("groups.0.prices.small.above", [[5, {"input": 1, "output": 1}]] * 2), "should be in rising order of tokens"),
    (put("groups.0.facts", None), "groups[0].facts is None"),
    (put("groups.0.facts.quality", 1), "groups[0].facts.quality is 1"),
    (put("groups.0.facts.quality.small", 97), "groups[0].facts.quality.small is 97; it should be a number from 0 to 1"),
    (put("groups.0.points", []), "groups[0].points is []"),
    (change("groups.0.points", lambda points: points[::-1]), "one for each target, the highest first"),
    (change("groups.0.points", lambda points: [points[0], *points]), "one for each target, the highest first"),
    *((drop(f"{FIRST}.{key}"), f"groups[0].points[0].{key} is missing") for key in ("target", "tolerance", "plan", "promised")),
    (put(f"{FIRST}.target", 3), "groups[0].points[0].target is 3"),
    (put(f"{FIRST}.target", NAN), "groups[0].points[0].target is nan"),
    (put(f"{FIRST}.target", None), "groups[0].points[0].target is None"),
    (put(f"{LAST}.tolerance", -0.1), "groups[0].points[4].tolerance is -0.1"),
    (put(f"{LAST}.tolerance", NAN), "groups[0].points[4].tolerance is nan"),
    (put(f"{LAST}.tolerance", "high"), "groups[0].points[4].tolerance is 'high'"),
    (put(f"{LAST}.promised", []), "groups[0].points[4].promised is []"),
    (drop(f"{LAST}.promised.spread"), "groups[0].points[4].promised.spread is missing"),
    (put(f"{LAST}.promised.requests", 0), "groups[0].points[4].promised.requests is 0"),
    (put(f"{LAST}.promised.quality", 84), "groups[0].points[4].promised.quality is 84"),
    (put(f"{FIRST}.plan", []), "groups[0].points[0].plan is []"),
    (put(f"{FIRST}.plan", None), "arrays.npz: 0.plan0.0.bias is no part of this policy"),
    (drop(f"{FIRST}.plan.stages"), "groups[0].points[0].plan.stages is missing"),
    (
        drop(f"{FIRST}.plan.stages.1"),
        "groups[0].points[0].plan.stages are 2; there is one for each number of attempts, none included: 3",
    ),
    (put(f"{FIRST}.plan.order.0", 3), "groups[0].points[0].plan names route 3; the group has 3, from 0 up"),
    (put(f"{FIRST}.plan.order.0", -1), "groups[0].points[0].plan.order[0] is -1"),
    (put(f"{FIRST}.plan.order.0", "small"), "groups[0].points[0].plan.order[0] is 'small'"),
    (change(f"{FIRST}.plan.order", lambda order: [order[0], order[0]]), "is there twice; they should be different routes"),
    (put(f"{FIRST}.plan.stages.0.actions.0", 9), "groups[0].points[0].plan names route 9"),
    (put(f"{FIRST}.plan.stages.0.actions.0", -1), "groups[0].points[0].plan.stages[0].actions is [-1"),
    (put(f"{FIRST}.plan.stages.1.actions.0", 0), "groups[0].points[0].plan.stages[1].actions is [0"),
    (change(f"{FIRST}.plan.stages.0.actions", lambda actions: actions[:-1]), "0.plan0.0.weights has the shape"),
    (put(f"{FIRST}.plan.stages.0.goes_on", False), "stages[0] does not go on with the next route"),
    (put(f"{FIRST}.plan.stages.0.goes_on", 1), "stages[0].goes_on is 1; it should be true or false"),
    (put(f"{FIRST}.plan.price_of_quality", NAN), "groups[0].points[0].plan.price_of_quality is nan"),
    (put(f"{FIRST}.plan.unit_usd", None), "groups[0].points[0].plan.unit_usd is None"),
]


@pytest.mark.parametrize(("edit", "said"), DESCRIPTIONS, ids=[said for _, said in DESCRIPTIONS])
def test_a_description_that_was_spoilt_is_refused_with_its_key(copy: Path, edit: Edit, said: str) -> None:
    rewrite(copy, edit)

    with pytest.raises(PolicyFormatError) as error:
        load_policy_file(copy)

    assert said in str(error.value)
    assert str(error.value).startswith((f"{copy / 'policy.json'}: ", f"{copy / 'arrays.npz'}: "))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "edit",
    [
        change("groups.0.routes", lambda routes: routes[::-1]),
        put("groups.0.frontier", "small"),
        put(f"{FIRST}.target", 0.995),
        put(f"{LAST}.tolerance", 0.0),
        put(f"{FIRST}.plan.price_of_quality", 0.5),
        change(f"{FIRST}.plan.stages.0.actions", lambda actions: [*actions[1::-1], *actions[2:]]),
        put("decides_sha256", "0" * 64),
    ],
    ids=["routes", "frontier", "target", "tolerance", "price of quality", "actions", "checksum"],
)
def test_what_is_well_formed_and_would_decide_otherwise_is_refused(copy: Path, edit: Edit) -> None:
    rewrite(copy, edit)

    with pytest.raises(PolicyFormatError, match=r"policy\.json: .* were changed after they were fitted"):
        load_policy_file(copy)


def places(value: Any, path: str = "") -> Iterator[str]:
    """Every place in a description."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield f"{path}{key}"
        yield from places(one, f"{path}{key}.")


def test_whatever_is_put_anywhere_a_policy_is_refused_or_decides_as_before(fitted: Path, copy: Path) -> None:
    request = Request(
        [{"role": "user", "content": "Prove it. Use lemma 3."}], routes=tuple(map(RouteInfo, ("small", "other", "large")))
    )

    def decisions(folder: Path) -> list[Any]:
        stored = load_policy_file(folder)
        return [policy_from(stored, target=target).select(request, ()) for target in stored.targets]

    before, whole = decisions(fitted), json.loads((fitted / "policy.json").read_text(encoding="utf-8"))
    said = []
    for place in places(whole):
        for edit in (drop(place), *(put(place, value) for value in (None, "x", [], {}, NAN, -1))):
            shutil.copy(fitted / "policy.json", copy / "policy.json")
            rewrite(copy, edit)
            try:
                after = decisions(copy)
            except PolicyFormatError as error:
                said.append(str(error))
            else:
                assert after == before, place

    assert len(said) > 500
    assert all(one.startswith((f"{copy / 'policy.json'}: ", f"{copy / 'arrays.npz'}: ")) for one in said)


@pytest.mark.parametrize(
    "edit",
    [
        put("groups.0.prices.small.input", 0.05),
        put("groups.0.facts.note", "Reviewed."),
        put("made_with", "elsewhere"),
        drop("decides_sha256"),
    ],
    ids=["price", "facts", "made with", "a directory from before"],
)
def test_prices_and_what_is_merely_told_may_be_changed(fitted: Path, copy: Path, edit: Edit) -> None:
    rewrite(copy, edit)

    assert load_policy_file(copy).groups[0].points[-1] == load_policy_file(fitted).groups[0].points[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged or cut off"),
        ("[]", "no description of a policy"),
        ("null", "no description of a policy"),
        ('{"format": 2', "damaged or cut off"),
        ("<<<<<<< ours\n{}", "line 1 column 1"),
        ('{"format": 2, "seed": 1, "seed": 2}', "the key 'seed' is there twice"),
        ("[" * 100_000, "damaged or cut off"),
    ],
)
def test_what_is_no_description_is_refused(copy: Path, text: str, said: str) -> None:
    (copy / "policy.json").write_text(text, encoding="utf-8")

    with pytest.raises(PolicyFormatError, match=r"policy\.json: ") as error:
        load_policy_file(copy)

    assert said in str(error.value)


def test_two_groups_with_other_targets_are_refused(copy: Path) -> None:
    """A target that one of them lacks would silently be another one there."""

    def edit(whole: dict[str, Any]) -> None:
        other = json.loads(json.dumps(whole["groups"][0]).replace('"small"', '"tiny"'))
        whole["groups"].append({**other, "points": other["points"][1:]})

    rewrite(copy, edit)

    with pytest.raises(PolicyFormatError, match=r"groups\[1\]\.points is \[0\.99.*of the same targets as groups\[0\]"):
        load_policy_file(copy)


def without(name: str) -> Edit:
    return lambda arrays: arrays.pop(name)


def made(name: str, how: Callable[[Any], Any]) -> Edit:
    """An array made of the one that is there."""
    return lambda arrays: arrays.update({name: how(arrays[name])})


def set_one(value: float) -> Callable[[Any], Any]:
    def changed(array: Any) -> Any:
        array = array.copy()
        array.flat[0] = value
        return array

    return changed


NUMBERS = [
    (without("0.rarity"), "0.rarity is missing"),
    (without("0.forest.left"), "0.forest.left is missing"),
    (without("0.plan0.1.weights"), "0.plan0.1.weights is missing"),
    (without("0.blend.shift"), "0.blend.shift is missing"),
    (lambda arrays: arrays.update({"0.extra": np.zeros(3)}), "0.extra is no part of this policy"),
    (lambda arrays: arrays.update({"1.rarity": np.zeros(3)}), "1.rarity is no part of this policy"),
    (lambda arrays: arrays.update({"0.kin.shift": np.zeros(1)}), "0.blend.shift has the shape (3,); it should have (2,)"),
    (made("0.rarity", lambda array: array[:-1]), "0.rarity has the shape"),
    (made("0.vocabulary", lambda array: array[:-1]), "0.rarity has the shape"),
    (made("0.vocabulary", lambda array: array.astype(np.float64)), "0.vocabulary holds float64; it should hold uint64 numbers"),
    (made("0.vocabulary", lambda array: np.append(array[:-1], array[0] + np.uint64(1))), "0.bits are too few to tell the words"),
    (made("0.bits", lambda array: np.array(60)), "0.bits has numbers from 60 to 60"),
    (made("0.bits", lambda array: np.array([11, 12])), "0.bits has the shape (2,)"),
    (made("0.labels", lambda array: np.repeat(array[:1], len(array))), "0.labels has a number twice"),
    (made("0.linear.weights", lambda array: array[:, :2]), "0.linear.weights has the shape"),
    (made("0.linear.weights", set_one(NAN)), "0.linear.weights has numbers from nan to nan"),
    (made("0.linear.bias", set_one(INF)), "0.linear.bias has numbers from"),
    (made("0.linear.bias", lambda array: array.astype("U8")), "0.linear.bias holds <U8; it should hold real numbers"),
    (made("0.blend.weights", lambda array: array[:1]), "0.blend.weights has the shape (1,); it should have (2,)"),
    (made("0.blend.shift", lambda array: np.append(array, 0.0)), "0.blend.shift has the shape (4,); it should have (3,)"),
    (made("0.projection", set_one(NAN)), "0.projection has numbers from nan"),
    (made("0.projection", lambda array: array[:, :5]), "0.tokens.weights has the shape"),
    (made("0.tokens.weights", lambda array: array.T), "0.tokens.weights has the shape"),
    (made("0.tokens.factor", set_one(-1)), "0.tokens.factor has numbers from -1"),
    (made("0.tokens.ceiling", set_one(1000)), "0.tokens.ceiling has numbers from"),
    (made("0.forest.left", set_one(10**6)), "0.forest.left has numbers from"),
    (made("0.forest.left", lambda array: array * 0 + len(array) - 1), "0.forest.left leads to nodes that are not there"),
    (made("0.forest.feature", set_one(-1)), "0.forest.feature has numbers from -1"),
    (made("0.forest.roots", lambda array: array * 1.0), "0.forest.roots holds float64; it should hold whole numbers"),
    (made("0.forest.threshold", set_one(NAN)), "0.forest.threshold has numbers from nan"),
    (made("0.forest.value", lambda array: array * 0 + 7), "0.forest.value has numbers from 7 to 7; they should be from 0 to 1"),
    (made("0.forest.depth", lambda array: np.array(10**9)), "0.forest.depth has numbers from"),
    (made("0.plan0.1.weights", lambda array: array[:-1]), "0.plan0.1.weights has the shape"),
    (made("0.plan0.1.bias", lambda array: array[:-1]), "0.plan0.1.bias has the shape"),
    (made("0.plan0.1.bias", set_one(NAN)), "0.plan0.1.bias has numbers from nan"),
    (made("0.plan0.2.patterns", lambda array: array[:1]), "0.plan0.2.weights has the shape"),
]


@pytest.mark.parametrize(("edit", "said"), NUMBERS, ids=[said for _, said in NUMBERS])
def test_numbers_that_were_spoilt_are_refused_with_their_name(copy: Path, edit: Edit, said: str) -> None:
    repack(copy, edit)

    with pytest.raises(PolicyFormatError) as error:
        load_policy_file(copy)

    assert str(error.value).startswith(f"{copy / 'arrays.npz'}: ")
    assert said in str(error.value)


def test_objects_and_other_files_among_the_numbers_are_refused(copy: Path) -> None:
    path = copy / "arrays.npz"
    whole = path.read_bytes()
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("0.notes", "not an array")
    sign(copy)
    with pytest.raises(PolicyFormatError, match=r"arrays\.npz: 0\.notes is no part of this policy"):
        load_policy_file(copy)

    path.write_bytes(whole)
    repack(copy, made("0.rarity", lambda array: array.astype(object)), allow_pickle=True)
    with pytest.raises(PolicyFormatError, match=r"arrays\.npz: cannot be read: Object arrays"):
        load_policy_file(copy)


def test_whatever_is_spoilt_a_policy_is_refused_or_decides(fitted: Path, copy: Path) -> None:
    """Bytes changed at random, and the checksum with them: an error of our own, or a policy that works."""
    chance = random.Random(1)
    request = Request([{"role": "user", "content": "Add 1 and 2."}], routes=tuple(map(RouteInfo, ("small", "other", "large"))))
    whole = (fitted / "arrays.npz").read_bytes()
    refused = 0
    for _ in range(150):
        spoilt = bytearray(whole)
        for _ in range(chance.choice([1, 3])):
            # The directory of a zip file is at its end.
            spoilt[chance.choice([chance.randrange(len(whole)), -chance.randrange(1, 3000)])] ^= 1 << chance.randrange(8)
        (copy / "arrays.npz").write_bytes(spoilt)
        sign(copy)
        try:
            stored = load_policy_file(copy)
        except PolicyFormatError:
            refused += 1
        else:
            for target in stored.targets:
                assert policy_from(stored, target=target).select(request, ()).route in ("small", "other", "large")

    assert refused > 50


def test_nothing_is_written_that_could_not_be_read(fitted: Path, copy: Path) -> None:
    stored = load_policy_file(fitted)
    broken = replace(stored, groups=(replace(stored.groups[0], unit_usd=NAN),))

    with pytest.raises(PolicyFormatError, match=r"groups\[0\]\.unit_usd is nan"):
        save_policy(broken, copy, "card")

    assert load_policy_file(copy).version == stored.version
