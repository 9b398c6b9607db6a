"""The configuration is checked with the lines of its errors, and the page's example is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("aiohttp", reason="needs the extra `serve`")

from langroute.cli import cli
from langroute.core.errors import ConfigurationError
from langroute.core.toml_file import TomlFile
from langroute.engine.router import Router
from langroute.gateway.config import gateway_config
from langroute.gateway.starting import checked, config_from_keys
from langroute.testing import ScriptedModel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"
ROUTE = '[routes.a]\nprovider = "openai"\nmodel = "m"\n'


def test_the_pages_example_is_right() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    config = gateway_config(TomlFile(example.replace('"budgets.db"', '"redis://127.0.0.1:1"'), "page"))
    assert [route.name for route in config.router.routes] == ["haiku", "opus", "own"]
    plain = example.replace('budget_store = "budgets.db"', "").replace("workers = 2", "")
    state = checked(gateway_config(TomlFile(plain, "page")), {"ANTHROPIC_API_KEY": "x", "OWN_KEY": "y"})
    assert list(state.serving.routes["messages"].built) == ["haiku", "opus", "own"]
    assert list(state.serving.routes["chat"].built) == ["own"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "line 1: the file: there is no route"),
        ("[routes.a]\nprovider = 3\nmodel = 'm'", "line 2: routes.a.provider: this is a text, not 3"),
        ("[routes.a]\nmodel = 'm'", "line 1: routes.a: 'provider' is missing"),
        (f"{ROUTE}teir = 'cheap'", "line 4: routes.a.teir: there is no such key here. Did you mean 'tier'?"),
        (f"{ROUTE}key_env = 'sk-not a name'", "line 4: routes.a.key_env: this is the name of an environment variable"),
        (f"{ROUTE}protocols = ['grpc']", "line 4: routes.a.protocols: 'grpc' is none of"),
        (f"{ROUTE}context_window = -1", "line 4: routes.a.context_window: this is a number above 0"),
        (f"default = 'b'\n{ROUTE}", "line 1: default: 'b' is no route"),
        (f"{ROUTE}[[budgets]]\nper = 'day'\nusd = 1", "line 4: budgets[1]: per is one of"),
        (f"{ROUTE}[models]\nx = 'langroute/nothing'", "line 5: models.x: 'langroute/nothing' is no route or policy"),
        (f"{ROUTE}[clients.b]\ntoken_sha256 = 'x'", "line 5: clients.b.token_sha256"),
        (f"{ROUTE}[serve]\nport = 99999", "line 5: serve.port: this is a TCP port"),
        (f"{ROUTE}[serve]\ntls_cert = 'a'", "line 5: serve.tls_cert: give tls_cert and tls_key together"),
        (
            f"{ROUTE}[[budgets]]\nusd = 1\nper = 'all'\n[serve]\nworkers = 2",
            "line 8: serve.workers: several workers count budgets in one place",
        ),
        ("a = ", "f: Invalid value"),
        (f"{ROUTE}price = {{ input = -1, output = 2 }}", "line 4: routes.a.price: price.input is -1"),
        (f"{ROUTE}price = {{ inptu = 1 }}", "line 4: routes.a.price: price: unknown field 'inptu'"),
        (f"{ROUTE}[prices.m]\ninput = 'x'\noutput = 1", "line 4: prices.m: m.input is 'x'"),
        (f"{ROUTE}capabilities = {{ tools = 'no' }}", "line 4: routes.a.capabilities: capabilities say yes or no to each"),
        (f"{ROUTE}capabilities = {{ tols = true }}", "line 4: routes.a.capabilities: unknown capability 'tols'"),
        (f"{ROUTE}[budgets]\nusd = 1", "line 4: budgets: these are tables: write [[budgets]] above each"),
        (f"{ROUTE}[[budgets]]\nusd = 1\nper = 3", "line 4: budgets[1]: A budget's per is a text, not 3"),
        (f"{ROUTE}[[budgets]]\nusd = 1\nper = 'all'\nevery = [1]", "line 4: budgets[1]: every is 'hour'"),
        (f"{ROUTE}[[budgets]]\nusd = 1\nper = 'all'\nsoft = 'x'", "line 4: budgets[1]: A budget's soft is a number"),
        (f"{ROUTE}[[budgets]]\nusd = 1\nper = 'all'\nname = 3", "line 4: budgets[1]: A budget's name is a text"),
        (
            f"{ROUTE}" + "[[budgets]]\nusd = 1\nper = 'all'\nname = 'x'\n" * 2,
            "line 11: budgets[2].name: another budget has the name 'x'",
        ),
        (
            f"{ROUTE}[clients.b]\ntoken_sha256 = '{'a' * 64}'\nbudget = {{ usd = 1, evry = 'day' }}",
            "line 6: clients.b.budget.evry: there is no such key here. Did you mean 'every'?",
        ),
        (
            f"{ROUTE}[serve]\nworkers = 2\n[clients.b]\ntoken_sha256 = '{'a' * 64}'\nbudget = {{ usd = 1 }}",
            "line 5: serve.workers: several workers count budgets in one place",
        ),
        (f"{ROUTE}[models]\ngpt-4.1 = 'a'", "line 4: models.gpt-4: a name with a dot stands in quotes"),
        (f"{ROUTE}[serve]\nhost = ''", "line 5: serve.host: this is empty"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        gateway_config(TomlFile(text, "f"))
    assert said in str(told.value)


@pytest.mark.parametrize("other", ["per = 'all'\nevery = 'month'\nusd = 9", "per = 'user'\nusd = 9", "per = 'all'\ntokens = 9"])
def test_budgets_of_one_name_that_are_counted_apart_are_two(other: str) -> None:
    both = f"{ROUTE}[[budgets]]\nusd = 1\nper = 'all'\nname = 'x'\n[[budgets]]\nname = 'x'\n{other}"
    assert len(gateway_config(TomlFile(both, "f")).router.budgets) == 2


@pytest.mark.parametrize(
    "policy, said",
    [
        ("'nothing'", "line 1: policy: there is no policy 'nothing'"),
        ("{ name = 'fixed', rout = 'a' }", "line 1: policy: 'fixed' has no argument 'rout'. Arguments: route"),
        ("{ name = 'cache_aware', policy = 'nothing' }", "line 1: policy.policy: there is no policy 'nothing'"),
        ("{ name = 'sticky', policy = 'balanced', per = 'year' }", "line 1: policy: per is 'turn'"),
        ("{ name = 'fixed' }", "line 1: policy: 'fixed' needs 'route'"),
        ("{ name = 'fixed', route = 'z' }", "line 1: policy: 'z' is no route. Routes: a, b."),
        ("{ name = 'sticky', policy = { name = 'fixed', route = 'z' } }", "line 1: policy.policy: 'z' is no route"),
    ],
)
def test_a_wrong_policy_is_told_with_its_line(policy: str, said: str) -> None:
    config = gateway_config(TomlFile(f"policy = {policy}\n{ROUTE}[routes.b]\nprovider = 'openai'\nmodel = 'n'", "f"))
    with pytest.raises(ConfigurationError) as told:
        checked(config, {"OPENAI_API_KEY": "x"})
    assert said in str(told.value)


def test_a_store_of_budgets_that_there_is_not_is_told_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match="line 1: budget_store: No budget store for mysql://x"):
        checked(gateway_config(TomlFile(f"budget_store = 'mysql://x'\n{ROUTE}", "f")), {"OPENAI_API_KEY": "x"})


@pytest.mark.parametrize(("where", "said"), [("mysql://x", "A ledger is kept in SQLite or PostgreSQL"), ("", "this is empty")])
def test_a_ledger_that_cannot_be_is_told_before_anything_is_served(where: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"line 1: ledger: {said}"):
        checked(gateway_config(TomlFile(f"ledger = '{where}'\n{ROUTE}", "f")), {"OPENAI_API_KEY": "x"})


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "langroute.toml"
    file.write_bytes(b"\xef\xbb\xbf" + ROUTE.encode())
    assert TomlFile.read(file).values["routes"]["a"]["model"] == "m"


def test_a_route_that_is_called_like_a_policy_takes_none_from_it() -> None:
    """`langroute/balanced` is the policy that the page names, and `balanced` the route."""
    names = ("auto", "balanced")
    text = "".join(f"[routes.{name}]\nprovider = 'openai'\nmodel = '{name}'\n" for name in names)
    serving = checked(gateway_config(TomlFile(text, "f")), {"OPENAI_API_KEY": "x"}).serving
    assert [serving.wanted(f"langroute/{name}", "chat").limits.route for name in names] == [None, None]
    assert serving.wanted("langroute/balanced", "chat").policy == "balanced"
    assert [serving.wanted(name, "chat").limits.route for name in names] == ["auto", "balanced"]


def test_a_key_that_is_not_set_is_told() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not set"):
        checked(gateway_config(TomlFile(ROUTE, "f")), {})


def test_a_policy_that_names_a_route_of_another_protocol_is_told_with_the_way_out() -> None:
    routes = '[routes.mini]\nprovider = "openai"\nmodel = "gpt-5-mini"\ntier = "cheap"\n[routes.opus]\nprovider = "anthropic"\nmodel = "claude-opus-4-8"\n'
    text = f'policy = {{ name = "fixed", route = "opus" }}\n{routes}'
    keys = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}
    with pytest.raises(ConfigurationError, match="clients of the chat protocol: Unknown route 'opus'.*translate = true"):
        checked(gateway_config(TomlFile(text, "f")), keys)
    checked(gateway_config(TomlFile(f'{text}tier = "frontier"\ntranslate = true\n', "f")), keys)


def test_a_program_reads_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "langroute.toml"
    file.write_text(
        f"policy = {{ name = 'fixed', route = 'a' }}\nmax_retries = 0\n{ROUTE}[serve]\nport = 9000\n[models]\nx = 'a'\n"
    )
    router = Router.from_config(file, routes={"a": ScriptedModel("Hello.")})
    assert (list(router.routes), router.policy_name) == (["a"], "Fixed(a)")


def test_keys_in_the_environment_are_enough() -> None:
    both = config_from_keys({"ANTHROPIC_API_KEY": "x", "OPENAI_API_KEY": "y"})
    state = checked(both, {"ANTHROPIC_API_KEY": "x", "OPENAI_API_KEY": "y"})
    assert {name: len(routes.built) for name, routes in state.serving.routes.items()} == {"chat": 2, "responses": 2, "messages": 2}
    with pytest.raises(ConfigurationError, match="no key in the environment"):
        config_from_keys({})


def run(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=True)


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    file = tmp_path / "langroute.toml"
    file.write_text(ROUTE)
    told = run("serve", "--config", str(file), "--check", OPENAI_API_KEY="sk-secret")
    assert told.exit_code == 0, told.output
    assert "The configuration is right." in told.output
    assert "sk-secret" not in told.output
    file.write_text(f"{ROUTE}teir = 1")
    wrong = run("serve", "--config", str(file), "--check", OPENAI_API_KEY="x")
    assert "line 4" in str(wrong.exception)


@pytest.mark.parametrize(
    ("more", "options", "said"),
    [
        ("[serve]\nauth = false", ("--host", "0.0.0.0"), "without tokens the gateway listens on loopback only"),
        ("[[budgets]]\nusd = 1\nper = 'all'", ("--workers", "2"), "several workers count budgets in one place"),
        ("", ("--host", " "), "serve.host: this is empty"),
        ("", ("--ledger", "mysql://x"), "A ledger is kept in SQLite or PostgreSQL"),
    ],
)
def test_an_option_is_checked_as_the_file_is(more: str, options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    file = tmp_path / "langroute.toml"
    file.write_text(f"{ROUTE}{more}")
    assert run("serve", "--config", str(file), "--check", OPENAI_API_KEY="x").exit_code == 0
    wrong = run("serve", "--config", str(file), "--check", *options, OPENAI_API_KEY="x")
    assert isinstance(wrong.exception, ConfigurationError)
    assert said in str(wrong.exception)


def test_the_ledger_of_an_option_counts_more_than_the_files_and_that_of_the_environment_less(tmp_path: Path) -> None:
    file = tmp_path / "langroute.toml"
    file.write_text(f"ledger = '{tmp_path / 'ledger.db'}'\n{ROUTE}")
    asked = run("serve", "--config", str(file), "--check", "--ledger", "mysql://x", OPENAI_API_KEY="x")
    assert isinstance(asked.exception, ConfigurationError)
    told = run("serve", "--config", str(file), "--check", OPENAI_API_KEY="x", LANGROUTE_LEDGER="mysql://x")
    assert told.exit_code == 0, told.output


def test_the_command_makes_tokens(tmp_path: Path) -> None:
    made = run("serve", "--new-token", "ada", XDG_DATA_HOME=str(tmp_path))
    token = made.output.split()[0]
    found = gateway_config(TomlFile(ROUTE + made.output.partition("toml:")[2], "f"))
    from langroute.gateway.clients import token_digest

    assert found.clients[0].token_sha256 == token_digest(token)
