"""Policy files: reading and writing the directory of a fitted policy.

A policy directory holds `policy.json`, `arrays.npz` and `CARD.md`. Nothing in it is executable, and it contains no user's text: words are
stored as hashes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.core.bounded import fits
from langroute.core.errors import ConfigurationError, DataError, PolicyFormatError
from langroute.core.files import make_folder
from langroute.core.limited import MEGABYTE, read_limited
from langroute.core.records import Price
from langroute.core.writing import check_replaceable, check_writable, write_together
from langroute.estimators.embedding_features import CachedEmbeddings
from langroute.estimators.estimator import Estimator
from langroute.estimators.packed import check_packed
from langroute.estimators.plan import Plan, Stage
from langroute.estimators.policy_schema import by_group, check_arrays, check_description, check_unchanged, decides

FORMAT = 3
"""Version of the format; raised when an older langroute could not read what is written."""

FORMAT_TO_BEST = 2
"""Version that a policy is written in whose targets are at most 1.0: older versions of langroute can read it."""

MOST_DESCRIBED = 16 * MEGABYTE
"""Most bytes of `policy.json`; it usually has some thousands."""

MOST_DEPTH = 64
"""Deepest nesting of lists and objects in `policy.json`."""

MOST_PACKED = 256 * MEGABYTE
"""Most bytes of `arrays.npz`; it usually has some millions."""

NAMES = ("policy.json", "arrays.npz", "CARD.md")

UNREADABLE = (ValueError, KeyError, OSError, EOFError, RuntimeError, MemoryError, zlib.error, zipfile.BadZipFile)
"""Exceptions that numpy and zipfile raise for a damaged archive."""


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point: the setting for one target, which is a tolerance of `Learned` or a plan of `LearnedCascade`."""

    target: float
    """Quality relative to the best single route."""

    tolerance: float | None
    """Tolerance of `Learned`, `None` for the best single route alone; not used where there is a plan."""

    plan: Plan | None = None
    """Plan of `LearnedCascade`, where the point is a cascade."""

    promised: Mapping[str, Any] = field(default_factory=dict)
    """Cross-fitted expectations: `quality`, `quality_low`, `quality_high`, `cost_ratio`, …"""


@dataclass(frozen=True, slots=True)
class Group:
    """Routes that were fitted together, with their estimator and operating points."""

    estimator: Estimator
    frontier: str
    """The best single route of the training data."""

    unit_usd: float
    """The frontier's mean cost of a call, in USD."""

    prices: Mapping[str, Price]
    points: tuple[Point, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Facts for the card: counts, qualities, calibration."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds of a call, by route, where the route is priced by the second."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Names of the routes, in the estimator's order."""
        return self.estimator.routes

    def point(self, target: float) -> Point:
        """Return the point of that target, or the nearest one."""
        return min(self.points, key=lambda point: (abs(point.target - target), -point.target))


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """Contents of a policy directory."""

    groups: tuple[Group, ...]
    seed: int = 0
    data: tuple[Mapping[str, Any], ...] = ()
    """`file` (name) and `sha256` of each file that it was fitted on."""

    made_with: str = ""
    """Version of langroute that fitted it."""

    version: str = ""
    """First 12 digits of the SHA-256 of `arrays.npz`, which decisions record."""

    @property
    def targets(self) -> tuple[float, ...]:
        """Targets of the operating points, highest first; the same in every group."""
        return tuple(sorted({point.target for group in self.groups for point in group.points}, reverse=True))

    @property
    def usual_target(self) -> float:
        """The highest target that is at most 1.0, or the lowest of all where there is none."""
        return max((target for target in self.targets if target <= 1), default=self.targets[-1])


def save_policy(policy: PolicyFile, directory: str | Path, card: str) -> PolicyFile:
    """Write a policy directory; files of a policy that is there are replaced.

    Args:
        policy: The policy.
        directory: Where to write; made where it does not exist.
        card: Text of `CARD.md`.

    Returns:
        The policy, with its version.

    Raises:
        DataError: Nothing can be written there, or a file there is not a policy's.
        PolicyFormatError: The policy could not be read again.
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
                **({"seconds": dict(group.seconds)} if group.seconds else {}),
            }
        )
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    whole = {
        "format": FORMAT if policy.targets[:1] > (1.0,) else FORMAT_TO_BEST,
        "made_with": policy.made_with,
        "seed": policy.seed,
        "data": [dict(one) for one in policy.data],
        "arrays_sha256": digest,
        "groups": groups,
    }
    whole["decides_sha256"] = decides(whole)
    folder = room_for_policy(directory)
    # A policy that could not be read again is not written.
    check_packed(packed.getvalue(), str(folder / "arrays.npz"))
    check_description(whole, str(folder / "policy.json"))
    check_arrays(whole, arrays, str(folder / "arrays.npz"))
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    make_folder(folder)
    write_together(
        {folder / "arrays.npz": packed.getvalue(), folder / "CARD.md": card.encode(), folder / "policy.json": text.encode()}
    )
    return replace(policy, version=digest[:12])


def room_for_policy(directory: str | Path) -> Path:
    """Return the directory after a check that a policy can be written to it; call it before a long fit.

    Raises:
        DataError: Nothing can be written there, or a file there is not a policy's.
    """
    folder = Path(directory)
    check_writable(folder)
    for name in NAMES:
        check_replaceable(folder / name)
    if not (folder / "policy.json").exists() and (other := [folder / name for name in NAMES if (folder / name).exists()]):
        raise DataError(f"{other[0]}: this is no policy's, and would be replaced; choose another place for the policy.")
    return folder


def load_policy_file(directory: str | Path, *, embeddings: Any = None) -> PolicyFile:
    """Read a policy directory; sizes, packed and unpacked, are checked before anything is loaded.

    Args:
        directory: The directory that `langroute fit` wrote.
        embeddings: The LangChain embeddings that it was fitted with, where it was.

    Raises:
        ConfigurationError: These are not the embeddings that it was fitted with.
        PolicyFormatError: It is not a policy directory, is damaged, was changed inconsistently, or was made by a newer langroute; the
            message names the file and the fault.
    """
    folder = Path(directory)
    whole = _description(folder)
    numbers = folder / "arrays.npz"
    try:
        packed = read_limited(numbers, MOST_PACKED, error=PolicyFormatError)
    except OSError as error:
        raise PolicyFormatError(f"{numbers}: cannot be read: {error}.") from error
    digest = hashlib.sha256(packed).hexdigest()
    if digest != whole["arrays_sha256"]:
        raise PolicyFormatError(f"{numbers}: damaged, cut off, or of another policy (its checksum differs from policy.json's).")
    try:
        check_packed(packed, str(numbers))
        with np.load(io.BytesIO(packed), allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except PolicyFormatError:
        raise
    except UNREADABLE as error:
        raise PolicyFormatError(f"{numbers}: cannot be read: {error}.") from error
    check_arrays(whole, arrays, str(numbers))
    check_unchanged(whole, str(folder / "policy.json"))
    parts = by_group(arrays)
    groups = tuple(_group_in(one, parts[number]) for number, one in enumerate(whole["groups"]))
    if embeddings is not None:
        groups = _read_by(groups, CachedEmbeddings(embeddings))
    return PolicyFile(groups, whole["seed"], tuple(whole["data"]), whole["made_with"], digest[:12])


def fitted_on(directory: str | Path) -> frozenset[str]:
    """Return the SHA-256 of the files that a policy was fitted on, where it records them.

    Raises:
        PolicyFormatError: As for `load_policy_file`, for `policy.json` alone.
    """
    return frozenset(known for one in _description(Path(directory))["data"] if isinstance(known := one.get("sha256"), str))


def _description(folder: Path) -> dict[str, Any]:
    """Return the checked contents of `policy.json`."""
    described = folder / "policy.json"
    if not described.is_file():
        raise PolicyFormatError(f"{folder}: there is no policy.json here. Make a policy with: langroute fit FILE... -o {folder}")
    try:
        read = read_limited(described, MOST_DESCRIBED, error=PolicyFormatError)
        whole = json.loads(read.decode("utf-8-sig"), object_pairs_hook=_object)
    except PolicyFormatError:
        raise
    except (ValueError, OSError, RecursionError) as error:
        raise PolicyFormatError(f"{described}: damaged or cut off: {error}.") from error
    if not fits(whole, max_depth=MOST_DEPTH, max_nodes=MOST_DESCRIBED):
        raise PolicyFormatError(f"{described}: nested more than {MOST_DEPTH} deep; no policy is.")
    version = whole.get("format") if isinstance(whole, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise PolicyFormatError(f"{described}: this is no description of a policy.")
    if version > FORMAT:
        raise PolicyFormatError(f"{described}: made by a newer langroute (format {version}; this one reads up to {FORMAT}).")
    check_description(whole, str(described))
    return dict(whole)


def _read_by(groups: Sequence[Group], reader: CachedEmbeddings) -> tuple[Group, ...]:
    if all(group.estimator.sense is None for group in groups):
        raise ConfigurationError("The policy was fitted without embeddings: leave them out, or fit it with them.")
    return tuple(
        group
        if (sense := group.estimator.sense) is None
        else replace(group, estimator=replace(group.estimator, sense=sense.read_by(reader)))
        for group in groups
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise `ValueError` for a duplicate key, as a bad manual merge may leave one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice[:60]!r} is there twice in one object")
    return found


def _group_in(one: Mapping[str, Any], own: Mapping[str, NDArray[Any]]) -> Group:
    points = tuple(
        Point(
            float(point["target"]),
            None if point["tolerance"] is None else float(point["tolerance"]),
            None if point["plan"] is None else _plan_in(point["plan"], own, f"plan{place}"),
            point["promised"],
        )
        for place, point in enumerate(one["points"])
    )
    prices = {name: _price_in(price) for name, price in one["prices"].items()}
    estimator = Estimator.from_arrays(one["routes"], own)
    seconds = one.get("seconds", {})
    return Group(estimator, one["frontier"], float(one["unit_usd"]), prices, points, one["facts"], seconds)


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
