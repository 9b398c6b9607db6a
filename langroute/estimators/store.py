"""How is a fitted policy kept: what can be read as JSON, its numbers beside it, and a card?

A policy directory holds `policy.json`, `arrays.npz` and `CARD.md`. Nothing in it is executable, and nothing of it is anybody's text:
words are known by their hashes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.errors import ConfigurationError, DataError, PolicyFormatError
from langroute.estimators.estimator import Estimator
from langroute.estimators.form import check_arrays, check_description, check_unchanged, decides
from langroute.estimators.plan import Plan, Stage
from langroute.estimators.sense import Reader
from langroute.records import Price
from langroute.writing import check_replaceable, check_writable, write_together

FORMAT = 2
"""Raised when an older langroute could not read what is written."""

NAMES = ("policy.json", "arrays.npz", "CARD.md")

UNREADABLE = (ValueError, KeyError, OSError, EOFError, RuntimeError, MemoryError, zlib.error, zipfile.BadZipFile)
"""What numpy and zipfile make of an archive that is none."""


@dataclass(frozen=True, slots=True)
class Point:
    """How to run at one target: the tolerance of `Learned`, or the plan of `LearnedCascade`."""

    target: float
    """Quality relative to the best single route."""

    tolerance: float
    """See `Learned`."""

    plan: Plan | None = None
    promised: Mapping[str, Any] = field(default_factory=dict)
    """Cross-fitted: `quality`, `quality_low`, `quality_high`, `cost_ratio`, `calls_per_request`, …"""


@dataclass(frozen=True, slots=True)
class Group:
    """Routes that were fitted together."""

    estimator: Estimator
    frontier: str
    """The best single route of the training data."""

    unit_usd: float
    """The frontier's mean cost."""

    prices: Mapping[str, Price]
    points: tuple[Point, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the card says: counts, qualities, calibration."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Names of the routes, in the estimator's order."""
        return self.estimator.routes

    def point(self, target: float) -> Point:
        """The point of that target, or the nearest there is."""
        return min(self.points, key=lambda point: (abs(point.target - target), -point.target))


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """All that a policy directory holds."""

    groups: tuple[Group, ...]
    seed: int = 0
    data: tuple[Mapping[str, Any], ...] = ()
    """Name, sha256 and number of lines of each file it was fitted on."""

    made_with: str = ""
    version: str = ""
    """A hash of the numbers: what decisions are stamped with."""

    @property
    def targets(self) -> tuple[float, ...]:
        """Targets that every group has a point for, highest first."""
        return tuple(sorted({point.target for group in self.groups for point in group.points}, reverse=True))


def save_policy(policy: PolicyFile, directory: str | Path, card: str) -> PolicyFile:
    """Write a policy directory; what was there before under the same names is replaced.

    Returns:
        The policy, with its version.
    """
    arrays: dict[str, NDArray[Any]] = {}
    groups = []
    for number, group in enumerate(policy.groups):
        arrays |= {f"{number}.{name}": array for name, array in group.estimator.arrays().items()}
        points = []
        for place, point in enumerate(group.points):
            plan = None
            if point.plan is not None:
                plan = _plan_out(point.plan, arrays, f"{number}.plan{place}")
            points.append({"target": point.target, "tolerance": point.tolerance, "plan": plan, "promised": dict(point.promised)})
        groups.append(
            {
                "routes": list(group.routes),
                "frontier": group.frontier,
                "unit_usd": group.unit_usd,
                "prices": {name: _price_out(price) for name, price in sorted(group.prices.items())},
                "points": points,
                "facts": dict(group.facts),
            }
        )
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    whole = {
        "format": FORMAT,
        "made_with": policy.made_with,
        "seed": policy.seed,
        "data": [dict(one) for one in policy.data],
        "arrays_sha256": digest,
        "groups": groups,
    }
    whole["decides_sha256"] = decides(whole)
    folder = room_for_policy(directory)
    # What could not be read again is not written.
    check_description(whole, str(folder / "policy.json"))
    check_arrays(whole, arrays, str(folder / "arrays.npz"))
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_together(
        {folder / "arrays.npz": packed.getvalue(), folder / "CARD.md": card.encode(), folder / "policy.json": text.encode()}
    )
    return replace(policy, version=digest[:12])


def room_for_policy(directory: str | Path) -> Path:
    """The directory, where a policy can be written to it; to be asked before the long work.

    Raises:
        DataError: Nothing can be written there, or what is there is somebody else's.
    """
    folder = Path(directory)
    check_writable(folder)
    for name in NAMES:
        check_replaceable(folder / name)
    if not (folder / "policy.json").exists() and (other := [folder / name for name in NAMES if (folder / name).exists()]):
        raise DataError(f"{other[0]}: this is no policy's, and would be replaced; choose another place for the policy.")
    return folder


def load_policy_file(directory: str | Path, *, embeddings: Any = None) -> PolicyFile:
    """Read a policy directory.

    Args:
        directory: What `langroute fit` wrote.
        embeddings: Those it was fitted with, where it was.

    Raises:
        ConfigurationError: These are not the embeddings that it was fitted with.
        PolicyFormatError: It is no policy directory, is damaged, was changed into what it cannot be, or was made by a newer langroute;
            says which file and what of it.
    """
    folder = Path(directory)
    whole = _description(folder)
    numbers = folder / "arrays.npz"
    try:
        packed = numbers.read_bytes()
    except OSError as error:
        raise PolicyFormatError(f"{numbers}: cannot be read: {error}.") from error
    digest = hashlib.sha256(packed).hexdigest()
    if digest != whole["arrays_sha256"]:
        raise PolicyFormatError(f"{numbers}: damaged, cut off, or of another policy (its checksum differs from policy.json's).")
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except UNREADABLE as error:
        raise PolicyFormatError(f"{numbers}: cannot be read: {error}.") from error
    check_arrays(whole, arrays, str(numbers))
    check_unchanged(whole, str(folder / "policy.json"))
    groups = tuple(_group_in(one, arrays, number) for number, one in enumerate(whole["groups"]))
    if embeddings is not None:
        groups = _read_by(groups, Reader(embeddings))
    return PolicyFile(groups, whole["seed"], tuple(whole["data"]), whole["made_with"], digest[:12])


def fitted_on(directory: str | Path) -> frozenset[str]:
    """SHA-256 of the files that a policy was fitted on, where it says so.

    Raises:
        PolicyFormatError: As `load_policy_file`, of what is described.
    """
    return frozenset(known for one in _description(Path(directory))["data"] if isinstance(known := one.get("sha256"), str))


def _description(folder: Path) -> dict[str, Any]:
    """What `policy.json` says, checked."""
    described = folder / "policy.json"
    if not described.is_file():
        raise PolicyFormatError(f"{folder}: there is no policy.json here. Make a policy with: langroute fit FILE... -o {folder}")
    try:
        whole = json.loads(described.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except (ValueError, OSError, RecursionError) as error:
        raise PolicyFormatError(f"{described}: damaged or cut off: {error}.") from error
    version = whole.get("format") if isinstance(whole, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise PolicyFormatError(f"{described}: this is no description of a policy.")
    if version > FORMAT:
        raise PolicyFormatError(f"{described}: made by a newer langroute (format {version}; this one reads up to {FORMAT}).")
    check_description(whole, str(described))
    return dict(whole)


def _read_by(groups: Sequence[Group], reader: Reader) -> tuple[Group, ...]:
    if all(group.estimator.sense is None for group in groups):
        raise ConfigurationError("The policy was fitted without embeddings: leave them out, or fit it with them.")
    return tuple(
        group
        if (sense := group.estimator.sense) is None
        else replace(group, estimator=replace(group.estimator, sense=sense.read_by(reader)))
        for group in groups
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without a key that stands there twice: of two, what is merged by hand may have the wrong one last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice in one object")
    return found


def _group_in(one: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], number: int) -> Group:
    prefix = f"{number}."
    own = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
    points = tuple(
        Point(
            float(point["target"]),
            float(point["tolerance"]),
            None if point["plan"] is None else _plan_in(point["plan"], own, f"plan{place}"),
            point["promised"],
        )
        for place, point in enumerate(one["points"])
    )
    prices = {name: _price_in(price) for name, price in one["prices"].items()}
    return Group(Estimator.from_arrays(one["routes"], own), one["frontier"], float(one["unit_usd"]), prices, points, one["facts"])


def _price_in(plain: Mapping[str, Any]) -> Price:
    return Price(**{**plain, "above": tuple((start, _price_in(other)) for start, other in plain.get("above", ()))})


def _price_out(price: Price) -> dict[str, Any]:
    plain = {
        name: value
        for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h", "per_call", "per_second")
        if (value := getattr(price, name)) is not None
    }
    if price.above:
        plain["above"] = [[start, _price_out(other)] for start, other in price.above]
    return plain


def _plan_out(plan: Plan, arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, Any]:
    for number, stage in enumerate(plan.stages):
        arrays[f"{prefix}.{number}.patterns"] = stage.patterns
        arrays[f"{prefix}.{number}.weights"] = stage.weights
        arrays[f"{prefix}.{number}.bias"] = stage.bias
    return {
        "order": list(plan.order),
        "price_of_quality": plan.price_of_quality,
        "unit_usd": plan.unit_usd,
        "stages": [{"actions": list(stage.actions), "goes_on": stage.goes_on} for stage in plan.stages],
    }


def _plan_in(plan: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> Plan:
    stages: Sequence[Mapping[str, Any]] = plan["stages"]
    return Plan(
        tuple(plan["order"]),
        float(plan["price_of_quality"]),
        float(plan["unit_usd"]),
        tuple(
            Stage(
                arrays[f"{prefix}.{number}.patterns"],
                arrays[f"{prefix}.{number}.weights"],
                arrays[f"{prefix}.{number}.bias"],
                tuple(stage["actions"]),
                bool(stage["goes_on"]),
            )
            for number, stage in enumerate(stages)
        ),
    )
