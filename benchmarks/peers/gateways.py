"""What gateways add to a call, paired with direct calls of the same provider: first byte, whole answer, processor time, requests a second, memory.

    python benchmarks/peers/gateways.py [--litellm PATH/bin/litellm] [--portkey PATH/start-server.js] [--pairs 300] [--seconds 8]

Provider and measure are those of `benchmarks/gateway.py`. Each gateway has one worker; calls are made in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import gateway
from gateway import cpu_seconds, memory_mb, paired, provider, rate
from servers import TOKEN, fallback_header, free, langroute_serve, litellm_proxy, portkey_gateway

SIZES = {"2 kB": 2_000, "77 kB": 77_000}
"""A short request, and one as a coding agent sends it."""


def measured(
    urls: dict[str, str], processes: dict[str, Any], headers: dict[str, dict[str, str]], pairs: int, seconds: float
) -> dict[str, Any]:
    """Return everything that the page shows of each gateway."""
    found: dict[str, Any] = {name: {"memory": memory_mb(process)} for name, process in processes.items()}
    for label, size in SIZES.items():
        for name, told in asyncio.run(paired(urls, size, pairs, headers)).items():
            found[name][label] = {
                "first": told["first byte"][0],
                "first p99": told["first byte"][1],
                "whole": told["whole answer"][0],
                "whole p99": told["whole answer"][1],
            }
    for name, process in processes.items():
        before = cpu_seconds(process)
        found[name]["rate"] = asyncio.run(rate(urls[name], SIZES["77 kB"], seconds, more=headers.get(name)))
        found[name]["cpu"] = (cpu_seconds(process) - before) / max(1.0, found[name]["rate"] * seconds) * 1e3
        found[name]["memory after"] = memory_mb(process)
    return found


def main() -> None:
    """Measure, and print JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--portkey", type=Path)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    gateway.TOKEN = TOKEN
    port = free()
    process = multiprocessing.get_context("spawn").Process(target=provider, args=(port,), daemon=True)
    process.start()
    direct = f"http://127.0.0.1:{port}/v1"
    urls, processes, headers = {"direct": f"{direct}/chat/completions"}, {}, {}
    with ExitStack() as stack:
        routes = {"small": direct, "large": direct}
        for name, policy in (("langroute serve", ""), ("langroute serve, fixed", 'policy = { name = "fixed", route = "small" }')):
            address, one, _ = stack.enter_context(langroute_serve(routes, policy))
            urls[name], processes[name] = f"{address}/chat/completions", one
        if given.litellm:
            models = {name: {"model": "small", "url": direct, "protocol": "openai"} for name in ("any", "large")}
            address, one = stack.enter_context(litellm_proxy(given.litellm, models))
            urls["LiteLLM's proxy"], processes["LiteLLM's proxy"] = f"{address}/chat/completions", one
        if given.portkey:
            address, one = stack.enter_context(portkey_gateway(given.portkey))
            urls["Portkey"], processes["Portkey"] = f"{address}/chat/completions", one
            headers["Portkey"] = fallback_header(dict.fromkeys(("small", "large"), direct), "openai")
        found = measured(urls, processes, headers, given.pairs, given.seconds)
    process.terminate()
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
