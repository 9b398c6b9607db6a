"""Runs what is compared on recorded data: pairs of questions, questions with outcomes, tasks of agents."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from environments import Environment, NotInstalledError
from serving import rows
from vectors import KINDS, TEXTS, even

HERE = Path(__file__).resolve().parent
SECONDS = 900
SOURCES = {"questions": ("routing.py", "outcomes"), "tasks": ("tasks.py", "agents")}
"""Program and folder of the data."""


class Recorded:
    """Subjects in their environments, and the folder of recorded data, in which any part may be missing."""

    def __init__(self, environments: dict[str, Environment], subjects: dict[str, Any], data: Path, folder: Path) -> None:
        self.environments, self.subjects, self.data, self.folder = environments, subjects, data, folder

    def absent(self, name: str) -> str:
        """Return why a part of the data is not there."""
        return f"there is no folder `{name}` of recorded data, which is not ours to ship; give its parent with `--data`"

    def run(self, environment: str, program: str, *arguments: Any) -> Any:
        """Run a program of this folder in an environment."""
        return self.environments[environment].asked([str(HERE / program), *map(str, arguments)], SECONDS)

    # Caches ----------------------------------------------------------------------------------------------------------

    def pairs(self, every: int) -> dict[str, Any]:
        """Return what caches serve of pairs of questions; of the pairs, one in `every` is taken."""
        sets = {"generated": generated()}
        judged = self.data / "pairs" / "sick_train.jsonl.gz"
        if judged.exists():
            sets["SICK"] = judged_pairs(judged)
        sets = {name: pairs[::every] for name, pairs in sets.items()}
        pairs = [pair for part in sets.values() for pair in part]
        place = self.folder / "pairs"
        notes = self.embedded(place, pairs) + ([] if judged.exists() else [f"SICK: {self.absent('pairs')}."])
        told = {}
        for key, subject in self.subjects.items():
            if subject["group"] == "cache":
                told[key] = self.run(subject["environment"], "caching.py", key, place)
                print(f"{'pairs':10}{key:26}{_failure(told[key]) or 'done'}", flush=True)
        notes += [f"{self.subjects[key]['name']}: {_failure(one)}" for key, one in told.items() if _failure(one)]
        told = {key: one for key, one in told.items() if not _failure(one)}
        return {"notes": notes, "sets": self.tables(sets, told)}

    def embedded(self, place: Path, pairs: list[Any]) -> list[str]:
        """Write pairs and the vectors of their questions, and return which could not be made."""
        place.mkdir(parents=True, exist_ok=True)
        (place / "pairs.json").write_text(json.dumps([pair[:2] for pair in pairs]))
        texts = json.dumps(list(dict.fromkeys(even(text) for pair in pairs for text in pair[:2])))
        known = (place / TEXTS).read_text() if (place / TEXTS).exists() else ""
        notes = []
        for (kind, file), environment in zip(KINDS.items(), ("langroute", "encoder"), strict=True):
            if known == texts and (place / file).exists():
                continue
            (place / TEXTS).write_text(texts)
            (place / file).unlink(missing_ok=True)
            try:
                self.environments[environment].make()
                found = self.run(environment, "vectors.py", kind, place)
            except NotInstalledError as error:
                found = {"failed": str(error)}
            if _failure(found):
                notes.append(f"{kind}: {_failure(found)}")
        return notes

    def tables(self, sets: dict[str, list[Any]], told: dict[str, Any]) -> dict[str, Any]:
        """Return for each set of pairs how many are the same, and the rows of each cache."""
        same, begun, found = [pair[2] for part in sets.values() for pair in part], 0, {}
        for name, part in sets.items():
            here = slice(begun, begun + len(part))
            begun = here.stop
            ours = [rows("", one, same, here, None)[0][1] for one in told.get("langroute_cache", [])[:1]]
            lines = [
                [key, *row]
                for key, every in told.items()
                for one in every
                for row in rows(self.subjects[key]["name"], one, same, here, ours[0] if ours else None)
            ]
            count = sum(same[here])
            found[name] = {"same": count, "different": len(part) - count, "rows": lines}
        return found

    # Routing ---------------------------------------------------------------------------------------------------------

    def routing(self, name: str, *more: Any) -> dict[str, Any]:
        """Return what becomes of the decisions on recorded questions or tasks."""
        program, part = SOURCES[name]
        data = self.data / part
        if not data.is_dir():
            return {"failed": self.absent(part)}
        self.folder.mkdir(parents=True, exist_ok=True)
        asked, decided = self.folder / f"{name}.json", self.folder / f"{name}-decided.json"
        found = self.run("langroute", program, "write", "--data", data, "--file", asked, *more)
        if _failure(found):
            return dict(found)
        told = self.decisions(name, asked)
        decided.write_text(json.dumps({key: one for key, one in told.items() if "failed" not in one}))
        notes = [f"{key}: {one['failed']}" for key, one in told.items() if "failed" in one]
        if name == "tasks":
            notes += self.learning()
        print(f"{name:10}judging", flush=True)
        found = self.run("langroute", program, "judge", "--data", data, "--file", decided, *more)
        if _failure(found):
            return dict(found)
        return {"notes": notes, "found": found}

    def learning(self) -> list[str]:
        """Write what subjects that learn came to in the worlds of recorded tasks, and return why some did not."""
        told, notes = dict[str, dict[str, Any]](), []
        for key, subject in self.subjects.items():
            if not subject.get("learns"):
                continue
            found = self.run(subject["environment"], "learn.py", key, self.folder / "worlds.json")
            print(f"{'tasks':10}{key:26}{_failure(found) or 'done'}", flush=True)
            if _failure(found):
                notes.append(f"{subject['name']}: {_failure(found)}")
                continue
            for source, lives in found.items():
                for words, every in lives.items():
                    told.setdefault(f"{subject['name']}, {words}" if words else subject["name"], {})[source] = every
        (self.folder / "learned.json").write_text(json.dumps(told))
        return notes

    def decisions(self, name: str, asked: Path) -> dict[str, Any]:
        """Return the decisions of each subject that decides by the text; where it has several judges, of each."""
        told: dict[str, Any] = {}
        for key, subject in self.subjects.items():
            if not subject.get("decides"):
                continue
            found = self.run(subject["environment"], "decide.py", key, asked)
            print(f"{name:10}{key:26}{_failure(found) or 'done'}", flush=True)
            if _failure(found):
                told[subject["name"]] = found
                continue
            for place, one in enumerate(found):
                cuts = [(f"{subject['name']}, {cut}" if cut else subject["name"], level) for cut, level in one["cuts"]]
                told[f"{key} {place}"] = {"levels": one["levels"], "cuts": cuts}
        return told


def _failure(found: Any) -> str:
    return str(found["failed"]) if isinstance(found, dict) and "failed" in found else ""


def generated() -> list[tuple[str, str, bool]]:
    """Return the pairs that the tests of langroute's own cache are made of."""
    sys.path.insert(0, str(HERE.parents[1] / "tests" / "support"))
    from question_pairs import all_pairs

    return [(pair.a, pair.b, pair.same) for pair in all_pairs()]


def judged_pairs(path: Path) -> list[tuple[str, str, bool]]:
    """Return the pairs that people judged."""
    with gzip.open(path, "rt") as lines:
        found: list[Any] = [json.loads(line) for line in lines]
    return [(one["a"], one["b"], one["same"]) for one in found]
