"""Compare langroute with its peers, and write docs/comparison.md.

    python benchmarks/peers/run.py                 # makes an environment for each peer, measures, writes the page
    python benchmarks/peers/run.py --quick         # what this interpreter has, few rounds, prints the page and writes nothing
    python benchmarks/peers/run.py --only overhead --subjects langroute_default,litellm_router
    python benchmarks/peers/run.py --only pairs,questions,tasks --data DIR

Each subject runs in processes of its own, in an environment of its own, with the settings that `peers.toml` names. Timings are made in
turns (`--turns`), all subjects in each, so that what else the machine does meets all of them; the page shows the median turn and the range.
What is measured on recorded data that is not ours to ship is skipped, with the reason on the page, where `--data` does not have it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environments import Environment, NotInstalledError, ThisEnvironment
from page import page
from recorded import Recorded

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = Path(os.environ.get("LANGROUTE_SHARED") or ROOT.parent / "shared")
CALLED = ("overhead", "import", "faults", "costs", "told", "thread")
"""Probes of every subject that does not name its own."""

RECORDED = ("pairs", "questions", "tasks")
"""Probes of all subjects together, on recorded data."""

PROBES = (*CALLED, "agents", "gateways", *RECORDED)
TURNED = ("overhead", "import", "agents")
"""Probes that are repeated in turns, because they are timed."""


@contextmanager
def provider() -> Iterator[str]:
    """Run the provider in a process of its own, and give its address."""
    process = subprocess.Popen([sys.executable, HERE / "provider.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait(10)


class Comparison:
    """Subjects in their environments, and what was found of each."""

    def __init__(self, told: dict[str, Any], environments: dict[str, Environment], subjects: dict[str, Any]) -> None:
        self.told, self.environments, self.subjects = told, environments, subjects
        self.found: dict[str, Any] = {"versions": {}, "missing": {}, "probes": {}, "parts": {}}

    def keep(self, before: dict[str, Any], wanted: list[str]) -> None:
        """Keep what an earlier run found of the probes that are not made anew."""
        self.found["versions"] = before["versions"] | self.found["versions"]
        for kept in ("probes", "parts"):
            self.found[kept] = {name: found for name, found in before.get(kept, {}).items() if name not in wanted}

    def make(self) -> None:
        """Make the environments, and leave out the subjects of those that cannot be had."""
        for name in dict.fromkeys(subject["environment"] for subject in self.subjects.values()):
            self._make_one(name)
        self.subjects = {
            key: subject for key, subject in self.subjects.items() if subject["environment"] not in self.found["missing"]
        }

    def _make_one(self, name: str) -> None:
        try:
            self.environments[name].make()
            self.found["versions"][name] = self.environments[name].versions()
        except NotInstalledError as error:
            self.found["missing"][name] = str(error)

    def probe(self, name: str, address: str, rounds: int) -> None:
        """Run a probe of every subject that has it, once."""
        for key, subject in self.subjects.items():
            if name not in subject.get("probes", CALLED):
                continue
            environment = self.environments[subject["environment"]]
            program = [str(HERE / "probe.py"), key, name, "--provider", address, "--rounds", str(rounds)]
            if name == "import":
                program = [str(HERE / "importing.py"), *(["--core"] if subject.get("core") else []), *subject["imports"]]
            begun = time.monotonic()
            found = environment.asked(program)
            told = found.get("failed", f"{time.monotonic() - begun:.0f} s")
            print(f"{name:10}{key:26}{told}", flush=True)
            self.found["probes"].setdefault(name, {}).setdefault(key, []).append(found)

    def gateways(self, pairs: int, seconds: float) -> None:
        """Measure the gateways beside each other, in one program."""
        environments = {subject["environment"] for subject in self.subjects.values() if subject["group"] == "gateway"}
        if "langroute" not in environments:
            return
        others = [f"--litellm={self.environments['litellm'].folder}/bin/litellm"] if "litellm" in environments else []
        if "portkey" in environments:
            script = "node_modules/@portkey-ai/gateway/build/start-server.js"
            others.append(f"--portkey={self.environments['portkey'].folder / script}")
        program = [str(HERE / "gateways.py"), "--pairs", str(pairs), "--seconds", str(seconds), *others]
        self.found["probes"]["gateways"] = self.environments["langroute"].asked(program)
        print(f"gateways  {self.found['probes']['gateways'].get('failed', 'done')}", flush=True)

    def recorded(self, name: str, data: Path, folder: Path, *, quick: bool) -> None:
        """Compare on recorded data."""
        work = Recorded(self.environments, self.subjects, data, folder)
        if name == "pairs":
            found = work.pairs(every=40 if quick else 1)
        elif name == "questions":
            found = work.routing("questions", "--most", "200" if quick else "3000")
        else:
            found = work.routing("tasks", "--orders", "2" if quick else "40")
        self.found["probes"][name] = found


@contextmanager
def working_folder(given: argparse.Namespace) -> Iterator[Path]:
    """Give a folder for what programs hand to each other; it is kept beside the environments, as embeddings take their time."""
    if not given.quick:
        yield given.environments / "recorded"
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def machine() -> dict[str, Any]:
    """Return what the page says of the machine."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "load": os.getloadavg()[1],
    }


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="use this interpreter's packages, few rounds; write no page")
    parser.add_argument("--only", default="", metavar="PROBES", help=f"some of {','.join(PROBES)}")
    parser.add_argument("--subjects", default="", help="some of those in peers.toml")
    parser.add_argument("--turns", type=int, default=3, help="of timed probes")
    parser.add_argument("--rounds", type=int, default=300, help="of each timed case in a turn")
    parser.add_argument("--newest", action="store_true", help="take the newest versions of the peers")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of recorded data: `pairs`, `outcomes`, `agents`, each if there"
    )
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers", help="where environments are made and kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "comparison.md")
    parser.add_argument("--from", dest="saved", type=Path, help="write the page from a file of results, measuring nothing")
    return parser.parse_args()


def comparison(given: argparse.Namespace) -> Comparison:
    """Return what the command line asks for."""
    told = tomllib.loads((HERE / "peers.toml").read_text(encoding="utf-8"))
    wanted = given.subjects.split(",") if given.subjects else list(told["subjects"])
    environments: dict[str, Environment] = {}
    for name, one in told["environments"].items():
        environments[name] = (
            ThisEnvironment(name, one) if given.quick else Environment(name, one, given.environments, newest=given.newest)
        )
    return Comparison(told, environments, {key: one for key, one in told["subjects"].items() if key in wanted})


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return everything that was found; with `--only`, what earlier runs found of the other probes, too."""
    begun, compared = time.monotonic(), comparison(given)
    compared.make()
    wanted = given.only.split(",") if given.only else list(PROBES)
    turns, rounds = (1, min(given.rounds, 20)) if given.quick else (given.turns, given.rounds)
    saved = given.environments / "results.json"
    if given.only and not given.quick and saved.exists():
        compared.keep(json.loads(saved.read_text()), wanted)

    def told(*names: str) -> dict[str, Any]:
        for name in names:
            compared.found["parts"][name] = machine() | {"turns": turns if name in TURNED else 1}
        about = machine() | {"minutes": (time.monotonic() - begun) / 60, "turns": turns, "rounds": rounds, "part": given.only}
        if not given.quick:
            saved.write_text(json.dumps(compared.found | {"about": about}, indent=1))
        return compared.found | {"about": about}

    with provider() as address:
        for name in [*TURNED * turns, *(one for one in CALLED if one not in TURNED)]:
            if name in wanted:
                compared.probe(name, address, rounds)
                told(name)
    if "gateways" in wanted:
        compared.gateways(*((10, 0.5) if given.quick else (given.rounds, 8.0)))
        told("gateways")
    with working_folder(given) as folder:
        for name in RECORDED:
            if name in wanted:
                compared.recorded(name, given.data, folder, quick=given.quick)
                told(name)
    return told()


def main() -> None:
    """Measure, and write the page."""
    given = options()
    told = tomllib.loads((HERE / "peers.toml").read_text(encoding="utf-8"))
    found = json.loads(given.saved.read_text()) if given.saved else measured(given)
    text = page(told, found)
    if given.quick:
        print(text)
    else:
        given.page.write_text(text, encoding="utf-8")
        print(f"wrote {given.page} after {found['about']['minutes']:.0f} minutes")


if __name__ == "__main__":
    main()
