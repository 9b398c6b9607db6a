"""Whatever a user gives `analyze`, `fit`, `replay` and `check`: one line that says what is wrong, exit code 2, and nothing half done."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_traffic import PRICES, made_traffic, write

from langroute.cli import cli
from langroute.core.errors import LangrouteError
from langroute.estimators.store import load_policy_file

pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")

Row = dict[str, Any]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two routes' traffic and its prices."""
    monkeypatch.chdir(tmp_path)
    # What a command adds to find a user's modules goes again.
    monkeypatch.setattr(sys, "path", list(sys.path))
    write(tmp_path / "traffic.jsonl", made_traffic(120, routes=("small", "large")))
    (tmp_path / "prices.toml").write_text(PRICES, encoding="utf-8")
    return tmp_path


def refused(*arguments: Any) -> str:
    """What a command says that ends with an error of ours, or of the command line's own."""
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    if isinstance(result.exception, LangrouteError):
        said = str(result.exception)
        assert "\n" not in said
        return said
    assert result.exit_code == 2, (result.exception, result.output)
    return result.output


def altered(how: Callable[[int, Row], Any], count: int = 120) -> list[Row]:
    rows = made_traffic(count)
    for number, row in enumerate(rows):
        how(number, row)
    return rows


def every_outcome(**changes: Any) -> Callable[[int, Row], None]:
    def how(_: int, row: Row) -> None:
        for outcome in row["outcomes"].values():
            outcome.update(changes)

    return how


def one_route_each(number: int, row: Row) -> None:
    name = list(row["outcomes"])[number % 3]
    row["outcomes"] = {name: row["outcomes"][name]}


def says(content: Any) -> Callable[[int, Row], None]:
    return lambda _, row: row.update(messages=[{"role": "user", "content": content}])


# Traffic ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (every_outcome(score=0), "no answer has a score above 0"),
        (every_outcome(score=None), "no request has scored outcomes of two routes or more"),
        (one_route_each, "no request has scored outcomes of two routes or more"),
        (says(""), "have no text"),
        (says(" \n"), "have no text"),
        (says([5, None]), "train.jsonl:1: `messages`"),
        (
            lambda _, row: row["messages"][0].update(role="usre"),
            "train.jsonl:1: `messages` is a list of at least one object with `role`",
        ),
        (lambda _, row: row["messages"][0].update(role=5), "train.jsonl:1: `messages`"),
        (lambda _, row: row["messages"][0].update(role=["user"]), "train.jsonl:1: `messages`"),
        (lambda _, row: row.update(task=["sums"]), "train.jsonl:1: `task` is ['sums']"),
        (lambda _, row: row.update(source={}), "train.jsonl:1: `source` is {}"),
        (lambda _, row: row.update(step={"served": ["small"]}), "train.jsonl:1: `served` is ['small']"),
        (lambda _, row: row.update(step={"team": {"name": "x"}}), "train.jsonl:1: `team` is {'name': 'x'}"),
        (lambda _, row: row["outcomes"].update({"": row["outcomes"]["small"]}), "train.jsonl:1: `outcomes` has '' for a route"),
        (
            lambda _, row: row["outcomes"].update({"a\nb": row["outcomes"]["small"]}),
            "train.jsonl:1: `outcomes` has 'a\\nb' for a route",
        ),
    ],
)
def test_traffic_that_teaches_nothing_or_is_none_is_not_fitted(here: Path, how: Callable[[int, Row], Any], said: str) -> None:
    write(here / "train.jsonl", altered(how))

    assert said in refused("fit", "train.jsonl", "-o", "policy", "--prices", "prices.toml")
    assert not (here / "policy").exists()


@pytest.mark.parametrize(
    "how",
    [
        every_outcome(score=1),
        every_outcome(score=0.5),
        every_outcome(input_tokens=0, output_tokens=0),
        every_outcome(answer=None),
        says("The same."),
        lambda number, row: row.update(messages=[{"role": "user", "content": f"x {number}"}, {"role": "tool", "content": "y"}]),
        lambda number, row: row.update(messages=[{"role": "user", "content": f"{number}word{number}"}]),
    ],
    ids=["all right", "all half right", "no tokens", "no answers", "one text", "two words", "no word twice"],
)
def test_poor_traffic_is_fitted_and_replayed_all_the_same(here: Path, how: Callable[[int, Row], Any], recwarn: Any) -> None:
    write(here / "train.jsonl", altered(how))
    for arguments in (
        ["fit", "train.jsonl", "-o", "policy"],
        ["replay", "train.jsonl", "--policy", "policy"],
        ["analyze", "train.jsonl"],
    ):
        result = CliRunner().invoke(cli, [*arguments, "--prices", "prices.toml"], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    assert not [one.message for one in recwarn if issubclass(one.category, RuntimeWarning)]


def test_where_every_answer_is_right_no_more_is_paid_than_for_the_cheapest_route(here: Path) -> None:
    write(here / "train.jsonl", altered(every_outcome(score=1)))
    assert CliRunner().invoke(cli, ["fit", "train.jsonl", "-o", "policy", "--prices", "prices.toml"]).exit_code == 0

    result = CliRunner().invoke(cli, ["replay", "train.jsonl", "--policy", "policy", "--prices", "prices.toml", "--format", "json"])

    replayed = json.loads(result.stdout)
    assert replayed["frontier"]["route"] == "small"
    assert all(one["quality"] == 1.0 and one["cost_ratio"] <= 1 for one in replayed["targets"])


@pytest.mark.parametrize("command", ["fit", "replay", "analyze"])
def test_what_is_no_file_on_a_disk_is_said(here: Path, fitted: Path, command: str) -> None:
    more = {"fit": ["-o", "policy"], "replay": ["--policy", fitted], "analyze": []}[command]

    assert "no file on a disk, and traffic is read more than once" in refused(command, "/dev/null", *more)


def test_a_number_of_thousands_of_digits_is_said_with_its_line(here: Path) -> None:
    (here / "long.jsonl").write_text('{"id": ' + "9" * 5000 + "}\n", encoding="utf-8")

    assert "long.jsonl:1: not a JSON object" in refused("analyze", "long.jsonl", "--prices", "prices.toml")


def test_a_file_that_is_named_twice_is_not_fitted(here: Path) -> None:
    """Half of what a request is judged by would be the request itself."""
    (here / "copy.jsonl").write_bytes((here / "traffic.jsonl").read_bytes())

    for other in ("traffic.jsonl", "copy.jsonl"):
        said = refused("fit", "traffic.jsonl", other, "-o", "policy", "--prices", "prices.toml")
        assert f"{other}: the same as traffic.jsonl" in said


def test_a_replay_of_what_a_policy_was_fitted_on_says_so(here: Path) -> None:
    write(here / "fresh.jsonl", made_traffic(60, seed=1, routes=("small", "large")))
    common = ["--prices", "prices.toml"]
    assert CliRunner().invoke(cli, ["fit", "traffic.jsonl", "-o", "policy", *common]).exit_code == 0

    known, fresh = (
        CliRunner().invoke(cli, ["replay", file, "--policy", "policy", *common, "--format", "json"])
        for file in ("traffic.jsonl", "fresh.jsonl")
    )

    assert known.stderr == "traffic.jsonl is what the policy was fitted on: how it does there says little.\n"
    assert fresh.stderr == ""
    assert json.loads(known.stdout)["requests"] == 120


# Options ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "-1 is not in the range"),
        (["--seed", str(1 << 32)], "is not in the range"),
        (["--seed", "x"], "not a valid integer"),
        (["--targets", "2.5"], "above 0 and at most 2"),
        (["--targets", "nan"], "above 0 and at most 2"),
        (["--targets", ","], "above 0 and at most 2"),
        (["--targets", "high"], "give numbers with commas between them"),
        (["--routes", ","], "give names with commas between them"),
        (["--routes", "small,small"], "Name two routes or more to choose between, not small, small."),
        (["--routes", "tiny,tiny,small"], "No outcome of tiny in traffic.jsonl. There are: large, small."),
    ],
)
def test_options_of_fit_that_cannot_be_meant_are_refused(here: Path, options: list[str], said: str) -> None:
    assert said in refused("fit", "traffic.jsonl", "-o", "policy", "--prices", "prices.toml", *options)


@pytest.mark.parametrize("top", ["0", "-3", "x"])
def test_a_table_of_fewer_than_one_line_is_refused(here: Path, top: str) -> None:
    assert "--top" in refused("analyze", "traffic.jsonl", "--prices", "prices.toml", "--top", top)


def price(small: str) -> str:
    return f"[prices]\nsmall = {small}\nlarge = {{ input = 1, output = 1 }}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[prices\n", "cannot be read as TOML"),
        ("", "there is no table [prices]"),
        (price("3"), "the price of 'small' is no table"),
        (price("{ input = 1 }"), "small: give both `input` and `output`"),
        (price("{ input = -1, output = 1 }"), "small.input is -1"),
        (price("{ input = nan, output = 1 }"), "small.input is nan"),
        (price('{ input = "1", output = 1 }'), "small.input is '1'"),
        (price("{ input = 1, output = 1, above = 3 }"), "small.above is 3; it is a list of pairs"),
        (price("{ input = 1, output = 1, above = [5] }"), "small.above has 5; each of it is a pair"),
        (price("{ input = 1, output = 1, above = [[5, 3]] }"), "small.above has [5, 3]; each of it is a pair"),
        (
            price('{ input = 1, output = 1, above = [["5", { input = 1, output = 1 }]] }'),
            "small.above has '5'; give whole input tokens",
        ),
        (
            price("{ input = 1, output = 1, above = [[-5, { input = 1, output = 1 }]] }"),
            "small.above has -5; give whole input tokens",
        ),
        (
            price("{ input = 1, output = 1, above = [[9, { input = 1, output = 1 }], [5, { input = 1, output = 1 }]] }"),
            "small.above has 5 after 9",
        ),
        (price("{ input = 1e300, output = 1 }").replace("{ input = 1, ", "{ input = 1e300, "), "it should be a number of USD"),
    ],
)
def test_prices_that_are_none_are_refused(here: Path, text: str, said: str) -> None:
    (here / "prices.toml").write_text(text, encoding="utf-8")

    assert said in refused("fit", "traffic.jsonl", "-o", "policy", "--prices", "prices.toml")


def test_prices_with_a_byte_order_mark_are_read(here: Path) -> None:
    (here / "prices.toml").write_bytes(b"\xef\xbb\xbf" + PRICES.encode())

    assert CliRunner().invoke(cli, ["analyze", "traffic.jsonl", "--prices", "prices.toml"]).exit_code == 0


# Policies by name ------------------------------------------------------------------------------------------------------

POLICIES = """
from langroute.core.records import Selection

class Good:
    def select(self, request, attempts):
        return None if attempts else Selection("small")

class NeedsMore:
    def __init__(self, routes): ...
    def select(self, request, attempts): ...

class Fails(Good):
    def select(self, request, attempts):
        raise KeyError("a\\nlong story")

class SaysText(Good):
    def select(self, request, attempts):
        return "small"

class Waits(Good):
    async def select(self, request, attempts): ...

class Nowhere(Good):
    def select(self, request, attempts):
        return Selection("nowhere")

class Nothing(Good):
    def select(self, request, attempts):
        return None

class NoMethod:
    select = 5

def make():
    return Good()
"""


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("own:NoMethod", "has no method `select`: it is of the type NoMethod"),
        ("own:make", "has no method `select`: it is of the type function"),
        ("own:missing", "cannot be had: AttributeError"),
        ("own:NeedsMore", "cannot be had: TypeError"),
        ("own:Fails", "traffic.jsonl:1: the policy 'own:Fails' failed: KeyError: "),
        ("own:SaysText", "traffic.jsonl:1: the policy 'own:SaysText' selected a str; it should be a Selection"),
        ("own:Nowhere", "Unknown route 'nowhere' in traffic.jsonl:1. Known routes: large, small."),
        ("own:Nothing", "traffic.jsonl:1: the policy selected no route"),
        ("raises:Policy", "cannot be had: RuntimeError: at once"),
        ("broken:Policy", "cannot be had: SyntaxError"),
        ("ends:Policy", "cannot be had: SystemExit: 0"),
        ("nowhere:Policy", "cannot be had: ModuleNotFoundError"),
        ("./own:Good", "is named as module:attribute"),
        ("..own:Good", "is named as module:attribute"),
        (":", "is named as module:attribute"),
        ("os:path", "has no method `select`"),
        ("always:nowhere", "Unknown route 'nowhere'"),
        ("nowhere", "there is no policy.json here"),
        ("traffic.jsonl", "there is no policy.json here"),
    ],
)
def test_a_policy_of_ones_own_that_cannot_be_asked_is_said(here: Path, policy: str, said: str) -> None:
    (here / "own.py").write_text(POLICIES, encoding="utf-8")
    (here / "raises.py").write_text("raise RuntimeError('at once')\n", encoding="utf-8")
    (here / "broken.py").write_text("def (\n", encoding="utf-8")
    (here / "ends.py").write_text("import sys; sys.exit(0)\n", encoding="utf-8")
    for name in ("own", "raises", "broken", "ends"):
        sys.modules.pop(name, None)

    assert said in refused("replay", "traffic.jsonl", "--policy", policy, "--prices", "prices.toml")


def test_a_policy_of_ones_own_is_found_beside_the_traffic(here: Path) -> None:
    (here / "own.py").write_text(POLICIES, encoding="utf-8")
    sys.modules.pop("own", None)

    result = CliRunner().invoke(
        cli, ["replay", "traffic.jsonl", "--policy", "own:Good", "--prices", "prices.toml", "--format", "json"]
    )

    assert json.loads(result.stdout)["targets"][0]["shares"] == {"small": 1.0}


def test_results_of_tools_need_no_id_and_other_messages_are_said(here: Path) -> None:
    rows = made_traffic(3, routes=("small", "large"))
    for row in rows:
        row["messages"].append({"role": "tool", "content": "12"})
    write(here / "tools.jsonl", rows)
    assert CliRunner().invoke(cli, ["replay", "tools.jsonl", "--policy", "default", "--prices", "prices.toml"]).exit_code == 0

    rows[1]["messages"][1] = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}
    write(here / "tools.jsonl", rows)
    said = refused("replay", "tools.jsonl", "--policy", "default", "--prices", "prices.toml")
    assert said.startswith("tools.jsonl:2: `messages` are none of LangChain's: ")


@pytest.mark.parametrize("options", [["--plot", "frontier.html"], ["--frontier", "large"]])
def test_an_off_policy_estimate_has_no_frontier(here: Path, fitted: Path, options: list[str]) -> None:
    assert "has no frontier" in refused("replay", "traffic.jsonl", "--policy", fitted, "--estimator", "ips", *options)


# Where things are written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plot", "said"),
    [
        ("missing/frontier.html", "missing/frontier.html: there is no folder missing"),
        ("frontier.png", "the frontier is drawn as HTML"),
        (".", "is a directory"),
        ("/dev/null", "no file on a disk"),
        ("traffic.jsonl/frontier.html", "there is no folder traffic.jsonl"),
    ],
)
def test_a_plot_that_cannot_be_written_is_said_before_the_work(here: Path, fitted: Path, plot: str, said: str) -> None:
    (here / "traffic.jsonl").write_text("broken", encoding="utf-8")

    assert said in refused("replay", "traffic.jsonl", "--policy", fitted, "--prices", "prices.toml", "--plot", plot)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "name a folder"),
        ("prices.toml", "is a file"),
        ("prices.toml/policy", "prices.toml is no folder"),
        ("/dev/null", "/dev/null is no folder"),
        ("/proc/policy", "nothing can be written there"),
        ("others", "CARD.md: this is no policy's, and would be replaced"),
        ("folders", "policy.json: this is a folder"),
    ],
)
def test_a_place_where_no_policy_can_be_is_said_before_the_work(here: Path, place: str, said: str) -> None:
    (here / "others").mkdir()
    (here / "others" / "CARD.md").write_text("Somebody else's.", encoding="utf-8")
    (here / "folders" / "policy.json").mkdir(parents=True)
    (here / "traffic.jsonl").write_text("broken", encoding="utf-8")

    assert said in refused("fit", "traffic.jsonl", "-o", place, "--prices", "prices.toml")
    assert (here / "others" / "CARD.md").read_text(encoding="utf-8") == "Somebody else's."


def test_a_disk_that_is_full_half_way_leaves_the_policy_that_was_there(here: Path) -> None:
    fit = [sys.executable, "-m", "langroute.cli", "fit", "traffic.jsonl", "-o", "policy", "--prices", "prices.toml"]
    command = [sys.executable, "-c", "from langroute.cli import main; main()", *fit[3:]]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    before = {path.name: path.read_bytes() for path in (here / "policy").iterdir()}
    # No file fits in, or the description and the card alone.
    for most in (10, len(before["arrays.npz"]) // 2):
        done = subprocess.run(
            [*command, "--seed", "5"],
            check=False,
            capture_output=True,
            text=True,
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )

        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == "langroute: policy: cannot be written: File too large."
        assert {path.name: path.read_bytes() for path in (here / "policy").iterdir()} == before
    assert load_policy_file("policy").seed == 0


def test_an_error_is_one_line_and_exit_code_2(here: Path) -> None:
    (here / "policy").mkdir()
    (here / "policy" / "policy.json").write_text('{"format": 2, "seed": "7"}', encoding="utf-8")
    arguments = ["replay", "traffic.jsonl", "--policy", "policy"]

    done = subprocess.run(
        [sys.executable, "-c", "from langroute.cli import main; main()", *arguments], check=False, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "langroute: policy/policy.json: made_with is missing.\n"


@pytest.mark.parametrize("where", ["task", "text", "step"])
def test_half_a_surrogate_pair_stops_no_command(where: str, here: Path) -> None:
    rows = made_traffic(150, routes=("small", "large"))
    half = "half \ud83d"
    for row in rows[::3]:
        changed = {"task": {"task": half}, "step": {"step": {"kind": half, "node": half, "team": half}}, "text": {}}[where]
        row.update(changed)
        if where == "text":
            row["messages"][0]["content"] += half
    write(here / "half.jsonl", rows)
    for arguments in (
        ["fit", "half.jsonl", "-o", "policy", "--prices", "prices.toml"],
        ["replay", "half.jsonl", "--policy", "policy", "--prices", "prices.toml", "--format", "json"],
        ["analyze", "half.jsonl", "--prices", "prices.toml"],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        result.output.encode()
