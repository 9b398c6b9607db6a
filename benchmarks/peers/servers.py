"""Starts the gateways that are compared: `langroute serve` and LiteLLM's proxy and Portkey's, each in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provider import PRICES

TOKEN = "sk-comparison"
LITELLM_NAMES = ("input_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost", "output_cost_per_token")
SECONDS = 120


class NotStartedError(Exception):
    """A gateway did not answer in time."""


def free() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def alive(port: int, path: str) -> bool:
    """Return whether a server answers there."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", path, headers={"authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False


@contextmanager
def running(command: list[Any], port: int, path: str, folder: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a gateway until the block ends.

    Raises:
        NotStartedError: It did not answer.
    """
    with (Path(folder) / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, stdout=log, stderr=log)
        try:
            until = time.monotonic() + SECONDS
            while not alive(port, path):
                if process.poll() is not None or time.monotonic() > until:
                    raise NotStartedError((Path(folder) / "log.txt").read_text(errors="replace")[-300:])
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def langroute_config(port: int, urls: dict[str, str], policy: str, protocol: str) -> str:
    """Return a configuration with two routes."""
    routes = ""
    for name, url in urls.items():
        usd = dict(zip(("input", "cache_read", "cache_write", "output"), PRICES[name], strict=True))
        price = ", ".join(f"{key} = {value}" for key, value in usd.items())
        tier = "cheap" if name == "small" else "frontier"
        routes += f'[routes.{name}]\nprovider = "{protocol}"\nmodel = "{name}"\nbase_url = "{url}"\ntier = "{tier}"\nprice = {{ {price} }}\n'
    return f'ledger = "ledger.db"\n{policy}\n{routes}[[budgets]]\nusd = 1e9\nper = "all"\n[timeouts]\nfirst_token = 2\ntotal = 20\n[serve]\nport = {port}\n'


@contextmanager
def langroute_serve(urls: dict[str, str], policy: str = "", protocol: str = "openai") -> Iterator[tuple[str, Any, Path]]:
    """Run `langroute serve`; give its address, its process and its ledger."""
    port = free()
    with tempfile.TemporaryDirectory() as folder:
        bases = {name: url.removesuffix("/v1") for name, url in urls.items()}
        (Path(folder) / "langroute.toml").write_text(langroute_config(port, bases, policy, protocol))
        command = [sys.executable, "-c", "from langroute.cli import main; main()", "serve"]
        with running(
            command, port, "/health", folder, LANGROUTE_TOKEN=TOKEN, OPENAI_API_KEY="none", ANTHROPIC_API_KEY="none"
        ) as process:
            yield f"http://127.0.0.1:{port}/v1", process, Path(folder) / "ledger.db"


def litellm_smart() -> dict[str, Any]:
    """Return the deployment that judges: LiteLLM's complexity router, with its affinity of sessions."""
    tiers = {"SIMPLE": "small", "MEDIUM": "small", "COMPLEX": "large", "REASONING": "large"}
    config = {"tiers": tiers, "session_affinity": True}
    params = {
        "model": "auto_router/complexity_router",
        "complexity_router_config": config,
        "complexity_router_default_model": "small",
    }
    return {"model_name": "smart", "litellm_params": params}


def litellm_config(models: dict[str, dict[str, str]], judged: bool) -> dict[str, Any]:
    """Return a configuration: `models` has for each name its model, its address and its protocol."""
    listed: list[dict[str, Any]] = []
    for name, one in models.items():
        base = one["url"] if one["protocol"] == "openai" else one["url"].removesuffix("/v1")
        prices = {key: usd / 1e6 for key, usd in zip(LITELLM_NAMES, PRICES[one["model"]], strict=True)}
        params = {"model": f"{one['protocol']}/{one['model']}", "api_base": base, "api_key": "none", **prices}
        listed.append({"model_name": name, "litellm_params": params})
    if judged:
        listed.append(litellm_smart())
    fallbacks = [{name: ["large-wrong" if name == "wrong" else "large"]} for name in models if not name.startswith("large")]
    router = {"fallbacks": fallbacks, "num_retries": 0, "timeout": 2}
    settings = {"telemetry": False, "include_cost_in_streaming_usage": True}
    return {
        "model_list": listed,
        "router_settings": router,
        "general_settings": {"master_key": TOKEN},
        "litellm_settings": settings,
    }


@contextmanager
def litellm_proxy(program: Path, models: dict[str, dict[str, str]], judged: bool = False) -> Iterator[tuple[str, Any]]:
    """Run LiteLLM's proxy; give its address and its process."""
    port = free()
    with tempfile.TemporaryDirectory() as folder:
        # YAML reads JSON.
        (Path(folder) / "config.yaml").write_text(json.dumps(litellm_config(models, judged)))
        command = [program, "--config", "config.yaml", "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
        with running(
            command, port, "/health/liveliness", folder, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR"
        ) as process:
            yield f"http://127.0.0.1:{port}/v1", process


def fallback_header(urls: dict[str, str], protocol: str) -> dict[str, str]:
    """Return the header that tells Portkey's gateway its targets: the second where the first fails."""
    targets = [
        {
            "provider": protocol,
            "api_key": "none",
            "custom_host": url,
            "request_timeout": 2000,
            "override_params": {"model": name},
        }
        for name, url in urls.items()
    ]
    return {"x-portkey-config": json.dumps({"strategy": {"mode": "fallback"}, "targets": targets})}


@contextmanager
def portkey_gateway(script: Path) -> Iterator[tuple[str, Any]]:
    """Run Portkey's gateway without its console; give its address and its process. What it does is told by each request."""
    port = free()
    with tempfile.TemporaryDirectory() as folder:
        command = ["node", script, f"--port={port}", "--headless"]
        with running(command, port, "/", folder, NODE_ENV="production", TRUSTED_CUSTOM_HOSTS="127.0.0.1") as process:
            yield f"http://127.0.0.1:{port}/v1", process


__all__ = [
    "LITELLM_NAMES",
    "TOKEN",
    "NotStartedError",
    "fallback_header",
    "free",
    "langroute_serve",
    "litellm_proxy",
    "litellm_smart",
    "portkey_gateway",
]
