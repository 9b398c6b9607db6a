"""Safe by default: each line of what the gateway refuses, and that no key or token is shown."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateways import KEY, TOKEN
from provider import CHAT, MESSAGES, Fault, Provider, waited
from requests_of_agents import JSON, PATHS, request_of, written

from langroute.core.errors import ConfigurationError
from langroute.core.toml_file import TomlFile
from langroute.gateway.clients import token_digest
from langroute.gateway.config import ServeConfig, gateway_config
from langroute.gateway.starting import TOKEN_FILE, own_token

BODY = written(request_of(CHAT, stream=False))


def asked(running: Any, headers: dict[str, str] | None = None, path: str = CHAT, body: bytes = BODY) -> httpx.Response:
    with running.client() as client:
        return client.post(path, content=body, headers={**JSON, **(headers or {})})


def raw(running: Any, text: bytes, seconds: float = 15.0) -> bytes:
    """What the gateway sends back to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=seconds) as connection:
        connection.sendall(text)
        found = b""
        try:
            while chunk := connection.recv(65536):
                found += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return found


def test_it_listens_on_loopback() -> None:
    assert ServeConfig().host == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "127.0.0.1:{port}.evil", ""]
)
def test_a_foreign_host_is_refused(host: str, gateway: Callable[..., Any], provider: Provider) -> None:
    running = gateway()
    assert asked(running, {"host": host.format(port=running.port)}).status_code in (400, 403)
    assert not provider.seen


@pytest.mark.parametrize("path", ["/v1/models/", "/models/", "/healthz/", f"{CHAT}/"])
def test_a_slash_too_much_is_not_redirected(path: str, gateway: Callable[..., Any]) -> None:
    with gateway().client() as client:
        answer = client.get(path, headers={"host": "evil.example"}, follow_redirects=False)
    assert answer.status_code in (403, 404)
    assert "location" not in answer.headers
    assert "evil" not in answer.text


def test_known_hosts_are_taken(gateway: Callable[..., Any]) -> None:
    running = gateway(serve='hosts = ["gateway.example"]')
    for host in (f"localhost:{running.port}", f"LOCALHOST:{running.port}", "gateway.example"):
        assert asked(running, {"host": host}).status_code == 200, host


def test_two_hosts_are_refused(gateway: Callable[..., Any], provider: Provider) -> None:
    running = gateway()
    host = b"Host: 127.0.0.1:%d\r\n" % running.port
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\n" + host + host + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert raw(running, head, 1.0).split(b"\r\n")[0].split()[1] in (b"400", b"403")
    assert not provider.seen


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1"}, {"sec-fetch-site": "cross-site"}],
)
def test_web_pages_are_refused(headers: dict[str, str], gateway: Callable[..., Any], provider: Provider) -> None:
    running = gateway()
    answer = asked(running, headers)
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert not provider.seen


def test_a_preflight_gets_no_permission(gateway: Callable[..., Any]) -> None:
    with gateway().client() as client:
        answer = client.options(CHAT, headers={"origin": "https://evil.example", "access-control-request-method": "POST"})
    assert answer.status_code in (403, 405)
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_only_json_is_taken(kind: str, gateway: Callable[..., Any], provider: Provider) -> None:
    running = gateway()
    assert asked(running, {"content-type": kind}).status_code == 415
    assert not provider.seen


@pytest.mark.parametrize("path", [*PATHS, "/v1/outcomes", f"{MESSAGES}/count_tokens"])
@pytest.mark.parametrize("token", [None, "wrong", TOKEN[:-1], TOKEN + "x"])
def test_a_call_needs_the_token(path: str, token: str | None, gateway: Callable[..., Any], provider: Provider) -> None:
    running = gateway()
    headers = {"authorization": f"Bearer {token}"} if token else {"authorization": ""}
    assert asked(running, headers, path).status_code == 401
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        assert client.get("/v1/models", headers=headers if token else {}).status_code == 401
        assert client.get("/metrics", headers=headers if token else {}).status_code == 401
    assert not provider.seen


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_the_token_is_taken_where_clients_send_keys(name: str, gateway: Callable[..., Any]) -> None:
    running = gateway()
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        value = f"Bearer {TOKEN}" if name == "authorization" else TOKEN
        assert client.post(CHAT, content=BODY, headers={**JSON, name: value}).status_code == 200


def test_a_client_of_the_file_is_known_by_its_own_token_and_its_calls_are_its_own(gateway: Callable[..., Any]) -> None:
    more = f'[clients.ada]\ntoken_sha256 = "{token_digest("lr-ada")}"\nteam = "search"\nuser = "Ada"\nproject = "site"\n'
    running = gateway(more=more)
    assert (
        asked(running, {"authorization": "Bearer lr-ada", "x-langroute-team": "others", "x-langroute-user": "Eve"}).status_code
        == 200
    )
    (decision,) = waited(lambda: running.decisions)
    told = {key: value for key, value in decision.metadata.items() if key.startswith("langroute_")}
    assert (told["langroute_team"], told["langroute_user"], told["langroute_project"]) == ("search", "Ada", "site")


def test_a_clients_own_budget_binds_it_alone(gateway: Callable[..., Any]) -> None:
    clients = "".join(
        f'[clients.{name}]\ntoken_sha256 = "{token_digest("lr-" + name)}"\n{more}'
        for name, more in (("ada", "budget = { usd = 0.000001 }\n"), ("bob", ""))
    )
    running = gateway(more=clients)
    assert asked(running, {"authorization": "Bearer lr-ada"}).json()["error"]["code"] == "budget_exceeded"
    assert asked(running, {"authorization": "Bearer lr-bob"}).status_code == 200


def test_the_own_token_is_shown_once_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    digest, token = own_token(tmp_path)
    assert token is not None
    assert own_token(tmp_path) == (digest, None)
    assert token_digest(token) == digest
    file = tmp_path / TOKEN_FILE
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert own_token(tmp_path, anew=True)[0] != digest


def test_without_tokens_it_listens_on_loopback_only() -> None:
    route = '[routes.a]\nprovider = "openai"\nmodel = "m"\n[serve]\nauth = false\n'
    assert not gateway_config(TomlFile(route, "f")).serve.auth
    with pytest.raises(ConfigurationError, match="line 5: serve.auth: without tokens the gateway listens on loopback only"):
        gateway_config(TomlFile(route + 'host = "0.0.0.0"', "f"))


@pytest.mark.parametrize("key", ["key", "api_key"])
def test_no_key_or_token_stands_in_the_file(key: str) -> None:
    with pytest.raises(ConfigurationError, match="line 4: routes.a") as told:
        gateway_config(TomlFile(f'[routes.a]\nprovider = "openai"\nmodel = "m"\n{key} = "sk-secret"', "f"))
    assert "sk-secret" not in str(told.value)
    with pytest.raises(ConfigurationError, match="line 5: clients.b.token: a token does not stand in this file") as told:
        gateway_config(TomlFile('[routes.a]\nprovider = "openai"\nmodel = "m"\n[clients.b]\ntoken = "lr-secret"', "f"))
    assert "lr-secret" not in str(told.value)


@pytest.mark.parametrize("path", PATHS)
def test_no_key_and_no_token_is_in_answers_errors_records_and_logs(
    path: str, gateway: Callable[..., Any], provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    running = gateway()
    faults = [
        None,
        Fault(status=401),
        Fault(status=500),
        Fault(how="drop", after=0),
        Fault(how="drop", after=4),
        Fault(how="error", after=2),
    ]
    said = []
    for place, fault in enumerate(faults):
        provider.faults = [Fault(**vars(fault)), Fault(**vars(fault))] if fault is not None else []
        answer = asked(running, path=path, body=written(request_of(path, f"Task {place}.")))
        said.append(f"{answer.headers} {answer.text}")
    waited(lambda: len(running.decisions) >= len(faults))
    said += [
        repr(running.decisions),
        caplog.text,
        repr(running.state),
        repr(running.state.serving.routes),
    ]
    for secret in (KEY, TOKEN):
        assert not any(secret in text for text in said), [text[:300] for text in said if secret in text]


def test_a_body_that_is_too_long_is_refused_clearly(gateway: Callable[..., Any], provider: Provider) -> None:
    running = gateway(serve="body_limit_mb = 1")
    long = written(request_of(CHAT, "x" * 2**20))
    answer = asked(running, body=long)
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["error"]["message"]
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n" % (
        running.port,
        TOKEN.encode(),
    )
    chunk = b"%x\r\n%s\r\n" % (2**19, b"x" * 2**19)
    chunked = raw(running, head + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3)
    assert b" 413 " in chunked.split(b"\r\n")[0]
    bomb = gzip.compress(b" " * (2**20 + 1))
    assert asked(running, {"content-encoding": "gzip"}, body=bomb).status_code == 413
    assert not provider.seen
    assert asked(running, {"content-encoding": "gzip"}, body=gzip.compress(BODY)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"null", b'{"model": 3}', b'{"model": "a"}', b'{"model":"a","messages":"x"}', b"\xff\xfe", b"[" * 100_000],
)
@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_no_request_is_refused(path: str, body: bytes, gateway: Callable[..., Any], provider: Provider) -> None:
    answer = asked(gateway(), path=path, body=body)
    assert answer.status_code == 400, answer.text
    assert "error" in answer.json()
    assert not provider.seen


def test_floods_of_headers_are_cut_off(gateway: Callable[..., Any]) -> None:
    running = gateway()
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % running.port
    assert b" 431 " in raw(running, head + b"".join(b"X-%d: y\r\n" % place for place in range(1000)) + b"\r\n")
    assert b" 431 " in raw(running, head + b"X: " + b"y" * 200_000)
    assert b" 431 " in raw(running, b"GET /" + b"a" * 200_000)
    assert b" 200 " in raw(running, head + b"Connection: close\r\n\r\n")


def test_slow_heads_and_bodies_are_ended(gateway: Callable[..., Any]) -> None:
    running = gateway(serve="header_seconds = 0.3\nbody_seconds = 0.3")
    begun = time.monotonic()
    assert b" 408 " in raw(running, b"GET /healthz HTTP/1.1\r\nHost: x")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n" % (
        running.port,
        TOKEN.encode(),
    )
    assert b" 408 " in raw(running, head + b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
    # By default the first of them alone would be waited for that long.
    assert time.monotonic() - begun < 10


def test_idle_connections_are_bounded(gateway: Callable[..., Any]) -> None:
    running = gateway(serve="most_connections = 30\nheader_seconds = 0.5")
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30))
        waited(lambda: _healthy(running))


def test_idle_streams_are_bounded(gateway: Callable[..., Any], provider: Provider) -> None:
    """Beyond the limit a client is told to come later; those within it go on, and when they leave there is room again."""
    provider.faults = [Fault(how="stall", after=4, seconds=60) for _ in range(20)]
    running = gateway(serve="most_connections = 20")
    body = written(request_of(CHAT))
    with ExitStack() as stack:
        statuses = []
        for _ in range(30):
            client = stack.enter_context(running.client())
            statuses.append(stack.enter_context(client.stream("POST", CHAT, content=body, headers=JSON)).status_code)
        assert statuses.count(200) <= 20
        assert set(statuses[25:]) == {503}
    waited(lambda: _healthy(running))


def test_a_client_that_takes_nothing_is_given_up(gateway: Callable[..., Any], provider: Provider) -> None:
    provider.words = ["word " * 20_000] * 400
    running = gateway(serve="send_seconds = 0.5")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n" % (
        running.port,
        TOKEN.encode(),
    )
    body = written(request_of(CHAT))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        waited(lambda: running.decisions)
        waited(lambda: provider.seen[0].ended == "left")
    assert running.decisions[0].attempts[0].cost_usd > 0


def _healthy(running: Any) -> bool:
    try:
        with running.client() as client:
            return client.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_tls_by_files(gateway: Callable[..., Any], tmp_path: Path, provider: Provider) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs openssl")
    running = gateway(serve=f'tls_cert = "{cert}"\ntls_key = "{key}"')
    trusted = ssl.create_default_context(cafile=str(cert))
    with httpx.Client(base_url=f"https://localhost:{running.port}", verify=trusted, trust_env=False) as client:
        assert client.post(CHAT, content=BODY, headers={**JSON, "authorization": f"Bearer {TOKEN}"}).status_code == 200
    with pytest.raises(httpx.HTTPError), httpx.Client(base_url=running.url, trust_env=False) as client:
        client.get("/healthz")


def test_a_failure_inside_is_told_without_its_words(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    running = gateway()

    def broken(*_: Any) -> Any:
        raise RuntimeError("secret words of a failure")

    monkeypatch.setattr(running.state.serving, "router", broken)
    answer = asked(running)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert json.loads(answer.text)["error"]["code"] == "internal_error"
