"""`langroute serve`: an HTTP endpoint for coding agents; `langroute outcome`: tells it what came of a session."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console

from langroute.cli.options import not_blank
from langroute.core.errors import ConfigurationError, LangrouteError
from langroute.ledger.privacy import LEVELS

if TYPE_CHECKING:
    from langroute.gateway.config import GatewayConfig

FILE = "langroute.toml"


def data_folder() -> Path:
    """Return langroute's folder in the user's data directory, which holds the hash of the gateway's token."""
    base = os.environ.get("XDG_DATA_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".local" / "share") / "langroute"


@click.command()
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), help=f"The configuration; ./{FILE} where it is there."
)
@click.option("--host", help="Address to listen on; loopback by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 8900 by default, 0 for any.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that answer.")
@click.option("--ledger", envvar="LANGROUTE_LEDGER", show_envvar=True, help="Where decisions are kept: a path or URL.")
@click.option("--local", "local_models", is_flag=True, help="Serve the two local models; no account is needed.")
@click.option("--check", is_flag=True, help="Read and check the configuration, then stop.")
@click.option(
    "--new-token", "client", is_flag=False, flag_value="", help="Make a token: for a client of this name, or the own one anew."
)
@click.pass_context
def serve(
    context: click.Context,
    path: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    ledger: str | None,
    local_models: bool,
    check: bool,
    client: str | None,
) -> None:
    """Serve coding agents: their requests are routed, cached in the provider, budgeted and recorded like every other call."""
    from langroute.gateway import starting

    console = Console(stderr=True, highlight=False)
    if client is not None:
        _new_token(client)
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    read, environment, servers = _source(path, local_models, console)
    try:
        options: dict[str, Any] = {"host": host, "port": port, "workers": workers}
        asked = context.get_parameter_source("ledger") is ParameterSource.COMMANDLINE

        def configured() -> GatewayConfig:
            config = starting.with_options(read(), **options)
            return config if ledger is None else _with_ledger(config, ledger, asked)

        config = configured()
        state = starting.checked(config, environment)
        if check:
            _show_routes(console, state)
            click.echo("The configuration is right.")
            return
        _serve(config, environment, configured, console, state)
    finally:
        for server in servers:
            server.stop()


def _with_ledger(config: GatewayConfig, ledger: str, asked: bool) -> GatewayConfig:
    """Return a configuration with another ledger: an option counts more than the file, the environment's variable less."""
    from dataclasses import replace

    return replace(config, router=replace(config.router, ledger=ledger if asked else config.router.ledger or ledger))


def _source(
    path: Path | None, local_models: bool, console: Console
) -> tuple[Callable[[], GatewayConfig], Mapping[str, str], list[Any]]:
    """Return what reads the configuration, the environment with keys, and the local servers that were started."""
    from langroute.gateway import starting
    from langroute.gateway.config import read_gateway_config

    if local_models:
        servers = _started(console)
        config, keys = starting.config_of_local(servers)
        return lambda: config, {**os.environ, **keys}, servers
    found = path or (Path(FILE) if Path(FILE).is_file() else None)
    if found is not None:
        return lambda: read_gateway_config(found), os.environ, []
    return lambda: starting.config_from_keys(os.environ), os.environ, []


def _started(console: Console) -> list[Any]:
    """Start the servers of both local models, the small one first; those that run already are used."""
    from langroute.cli.local import fetch_with_bar
    from langroute.local.catalogue import CATALOGUE
    from langroute.local.places import is_fetched
    from langroute.local.servers import start

    servers = []
    for model in sorted(CATALOGUE.values(), key=lambda one: one.size):
        if not is_fetched(model):
            fetch_with_bar(model, None, console)
        with console.status(f"{model.name} is loading"):
            servers.append(start(model.name, context=min(16_384, model.context_window)))
    return servers


def _serve(
    config: GatewayConfig, environment: Mapping[str, str], read: Callable[[], GatewayConfig], console: Console, state: Any
) -> None:
    from langroute.gateway import starting
    from langroute.gateway.clients import token_digest
    from langroute.gateway.http_server import bound_socket

    digest, token = None, None
    if config.serve.auth and not config.clients:
        if given := os.environ.get("LANGROUTE_TOKEN"):
            digest = token_digest(given)
        else:
            digest, token = starting.own_token(data_folder())
    listening = bound_socket(config.serve)
    _banner(console, config, state, listening.getsockname()[1], token)

    def work() -> None:
        starting.run_worker(config, environment, listening, digest=digest, read=read)

    if config.serve.workers == 1:
        work()
        return
    with tempfile.TemporaryDirectory(prefix="langroute-metrics-") as folder:
        # Read by prometheus-client when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        starting.GatewayWorkers(config.serve, work).run()


def _new_token(name: str) -> None:
    from langroute.gateway import starting
    from langroute.gateway.clients import new_token, token_digest

    if not name:
        _, token = starting.own_token(data_folder(), anew=True)
        click.echo(f"{token}\n\nIt is not shown again. Gateways that run take it when they are started anew.")
        return
    token = new_token()
    click.echo(
        f'{token}\n\nIt is not shown again. For langroute.toml:\n\n[clients.{json.dumps(name)}]\ntoken_sha256 = "{token_digest(token)}"'
    )


# What it shows ---------------------------------------------------------------------------------------------------------


def _show_routes(console: Console, state: Any) -> None:
    for protocol, routes in state.serving.routes.items():
        told = ", ".join(f"{name} ({route.info.model}, {route.info.tier})" for name, route in routes.built.items())
        console.print(f"  {protocol:<10}{told}", markup=False, soft_wrap=True)


def _banner(console: Console, config: GatewayConfig, state: Any, port: int, token: str | None) -> None:
    """Show where it listens, the routes, and one line for each client to copy."""
    scheme = "https" if config.serve.tls_cert else "http"
    host = "127.0.0.1" if config.serve.host in ("0.0.0.0", "::", "localhost") else config.serve.host  # noqa: S104 - a comparison
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    console.print(f"langroute listens on {url}", markup=False)
    _show_routes(console, state)
    if token is not None:
        console.print(
            f"Your token, shown once: {token}\n(its hash is kept in {data_folder()}; make another with --new-token)", markup=False
        )
    shown = token or ("unused" if not config.serve.auth else "$LANGROUTE_TOKEN")
    if token is None and config.serve.auth:
        console.print(
            "Set LANGROUTE_TOKEN to your token: that of the first start, or of `langroute serve --new-token`.", markup=False
        )
    for name, line in client_lines(url, shown):
        console.print(f"  {name:<12}{line}", markup=False, soft_wrap=True)


def client_lines(url: str, token: str) -> list[tuple[str, str]]:
    """Return the name of each client, and the line that starts it with this gateway.

    Args:
        url: The gateway's address.
        token: The client's token, or the variable that holds it.
    """
    provider = f'{{name="langroute",base_url="{url}/v1",env_key="LANGROUTE_TOKEN",wire_api="responses"}}'
    set_token = "" if token.startswith("$") else f"LANGROUTE_TOKEN={token} "
    return [
        ("Claude Code", f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={token} claude"),
        ("Codex", f"{set_token}codex -c model_provider=langroute -c 'model_providers.langroute={provider}' -m langroute/auto"),
        ("aider", f"OPENAI_API_BASE={url}/v1 OPENAI_API_KEY={token} aider --model openai/langroute/auto"),
        ("mini", f"OPENAI_API_BASE={url}/v1 OPENAI_API_KEY={token} mini -m openai/langroute/auto"),
        ("qwen-code", f"OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={token} OPENAI_MODEL=langroute/auto qwen"),
        ("Cline", _cline_line(url, token)),
        ("deepagents", f"OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={token} deepagents-code -M openai:langroute/auto"),
        ("Gemini CLI", f"GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY={token} gemini -m langroute/auto"),
        ("other", f"OpenAI {url}/v1 or Anthropic {url}, key {token}, model langroute/auto"),
    ]


def _cline_line(url: str, token: str) -> str:
    """Return the line for Cline: settings without a key in a file of their own, since `cline auth` takes the key as an argument alone."""
    settings = {"provider": "openai-compatible", "model": "langroute/auto", "baseUrl": f"{url}/v1"}
    providers = {"openai-compatible": {"settings": settings, "updatedAt": "2026-12-01T00:00:00Z"}}
    told = json.dumps({"version": 1, "lastUsedProvider": "openai-compatible", "providers": providers}, separators=(",", ":"))
    file = "~/.cline-langroute.json"
    return f"echo '{told}' > {file}; CLINE_PROVIDER_SETTINGS_PATH={file} OPENAI_API_KEY={token} cline"


# Outcomes --------------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("about", metavar="SESSION", callback=not_blank)
@click.option("--success/--failure", default=None, help="Whether it came to what was wanted.")
@click.option(
    "--key", default="success", show_default=True, callback=not_blank, help="What is told: tests_passed, commit_kept, pr_merged, …"
)
@click.option("--score", type=float, help="A number of the key's own.")
@click.option("--source", default="git", show_default=True, callback=not_blank, help="Who says so: tests, git, ci, reviewer, …")
@click.option("--decision", is_flag=True, help="SESSION is the id of one decision.")
@click.option("--minutes", type=float, help="Minutes that people spent on it.")
@click.option("--value", type=float, help="What it was worth, in USD.")
@click.option(
    "--url", default="http://127.0.0.1:8900", show_default=True, envvar="LANGROUTE_URL", show_envvar=True, help="The gateway."
)
@click.option(
    "--ledger",
    metavar="URL",
    help="Write it to this ledger instead: a path or URL. SESSION is the id of a task then, or of a thread.",
)
@click.option("--thread", is_flag=True, help="SESSION is the id of a thread: needed where the ledger's level is minimal.")
@click.option("--level", type=click.Choice(LEVELS), default="metadata", show_default=True, help="Privacy level of that ledger.")
def outcome(
    about: str,
    success: bool | None,
    key: str,
    score: float | None,
    source: str,
    decision: bool,
    minutes: float | None,
    value: float | None,
    url: str,
    ledger: str | None,
    thread: bool,
    level: str,
) -> None:
    """Tell a gateway, or the ledger of any other program, what came of a session or task: from a git hook, CI or by hand.

    The gateway's token is read from LANGROUTE_TOKEN. What is written to a ledger reaches the programs that record to it about a second later.
    """
    said = {"success": success, "score": score, "human_minutes": minutes, "value_usd": value}
    told: dict[str, Any] = {"key": key, "source": source}
    told.update({name: one for name, one in said.items() if one is not None})
    if ledger is not None:
        _record(ledger, level, {"decision_id" if decision else "task_id": about, **told}, thread=thread)
    else:
        _tell(url, {"decision_id" if decision else "session": about, **told})
    click.echo(f"Recorded: {key} of {about}", file=sys.stderr)


def _record(ledger: str, level: str, told: dict[str, Any], *, thread: bool) -> None:
    from langroute.cli.ledgers import open_existing
    from langroute.tracking.outcomes import record_outcome

    with open_existing(ledger, level=level) as opened:
        if thread and "task_id" in told:
            told["task_id"] = opened.thread_task(told["task_id"])
        record_outcome(opened, told.pop("success", None), **told)


def _tell(url: str, told: dict[str, Any]) -> None:
    token = os.environ.get("LANGROUTE_TOKEN", "")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{url!r} is no address of a gateway, such as http://127.0.0.1:8900.")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{url.rstrip('/')}/v1/outcomes",
        data=json.dumps(told).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            answer.read(10_000)
    except urllib.error.HTTPError as error:
        raise LangrouteError(f"The gateway refused the outcome: {_message(error.read(10_000))}") from error
    except OSError as error:
        raise LangrouteError(f"The gateway at {url} cannot be reached: {error}") from error


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
