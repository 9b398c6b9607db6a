"""`GatewayState`: what one worker of a gateway holds open, and the configuration that holds for new requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langroute.core.process_end import watch_end
from langroute.core.records import Outcome
from langroute.gateway.config import GatewayConfig
from langroute.gateway.guard import Guard, accepted_hosts
from langroute.gateway.metrics_text import GatewayMetrics
from langroute.gateway.resends import Resends
from langroute.gateway.serving_state import Serving
from langroute.gateway.thread_records import ThreadRecords
from langroute.gateway.upstream import Upstreams
from langroute.ledger.resolve import resolve_ledger
from langroute.serving.parts import Parts
from langroute.serving.warning_log import WarningLog
from langroute.state.resolve import state_of

LOG = logging.getLogger("langroute.gateway")


FLUSH_SECONDS = 0.05
"""Longest time before a decision is written: what a worker has not written yet is lost when it is killed."""


def _opened_ledger(given: Any) -> Any:
    if isinstance(given, str):
        from langroute.ledger import open_ledger

        return open_ledger(given, flush_interval_s=FLUSH_SECONDS)
    return resolve_ledger(given)


class GatewayState:
    """The state of one worker.

    Args:
        config: The configuration at the start.
        environment: Environment variables, which hold the providers' keys.
        port: The port that clients call; by default the configuration's.
        digest: Hash of the token of the machine's own user.
        ledger: The ledger; by default the configuration's.
        read: Reads the configuration anew, for `reload`.
    """

    def __init__(
        self,
        config: GatewayConfig,
        environment: Mapping[str, str],
        *,
        port: int | None = None,
        digest: str | None = None,
        ledger: Any = None,
        read: Callable[[], GatewayConfig] | None = None,
    ) -> None:
        self._environment, self._digest, self._read = environment, digest, read
        self.port = config.serve.port if port is None else port
        self.ledger = _opened_ledger(config.router.ledger if ledger is None else ledger)
        self.meters = GatewayMetrics(shared=config.serve.workers > 1)
        self.serving = self._served(config)
        self.guard = Guard(accepted_hosts(config.serve, self.port))
        self.upstreams = Upstreams()
        self.resends = Resends(config.serve.resend_seconds)
        # A ledger in a database has the workers' state beside it.
        shared = config.serve.workers > 1
        store = state_of(self.ledger) if hasattr(self.ledger, "engine") else None
        self.threads = ThreadRecords(store, shared=shared)
        self.ending = False
        self._old: list[Serving] = []
        self._log = WarningLog(logging.getLogger("langroute"))

    def _served(self, config: GatewayConfig, before: Serving | None = None) -> Serving:
        return Serving(config, self._environment, ledger=self.ledger, hooks=self.meters.hooks, digest=self._digest, before=before)

    @contextmanager
    def using(self) -> Iterator[Serving]:
        """Yield the configuration that holds for a request, and keep it until the request is answered."""
        serving = self.serving
        serving.active += 1
        try:
            yield serving
        finally:
            serving.active -= 1
            if serving is not self.serving and not serving.active and serving in self._old:
                self._old.remove(serving)
                asyncio.get_running_loop().run_in_executor(None, serving.close)

    async def open(self) -> None:
        """Begin: warnings go to the log from now on, and records survive a SIGTERM."""
        self._log.open()
        watch_end()

    def read_anew(self) -> Serving | str:
        """Read the configuration anew; return what follows from it, or what is wrong with it. It may take a while."""
        if self._read is None:
            return "there is no file to read"
        try:
            return self._served(self._read(), self.serving)
        except Exception as error:  # noqa: BLE001 - a gateway that runs goes on
            return f"{type(error).__name__}: {error}"

    def take(self, serving: Serving) -> None:
        """Let another configuration hold for new requests; running answers keep the one that they began with.

        Args:
            serving: What `read_anew` returned.
        """
        config = serving.config
        before, self.serving = self.serving, serving
        before.owns_cache = before.owns_cache and before.caching is not serving.caching
        serving.owns_cache = True
        # Their plans name routes that may be gone.
        self.resends.close()
        self.guard = Guard(accepted_hosts(config.serve, self.port))
        self.resends.seconds = config.serve.resend_seconds
        if before.active:
            self._old.append(before)
        else:
            before.close()

    def record_outcome(self, outcome: Outcome) -> None:
        """Pass an outcome to the ledger, the policies and the hooks, once each."""
        Parts(self.serving.routers).record_outcome(outcome)

    def ready(self) -> bool:
        """Return whether requests can be taken."""
        return not self.ending and not bool(getattr(self.ledger, "is_full", False))

    def metrics(self) -> tuple[str, bytes]:
        """Return content type and text for Prometheus."""
        return self.meters.text(self.serving.active + sum(one.active for one in self._old))

    async def close(self) -> None:
        """Record what waits, and close everything in order."""
        self.ending = True
        self.resends.close()
        await self.upstreams.close()
        await self.threads.close()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        servings = [*self._old, self.serving]
        parts = Parts([router for serving in servings for router in serving.routers])
        for part, end in parts.closings():
            try:
                end()
            except Exception as error:  # noqa: BLE001, PERF203 - the others are closed all the same
                LOG.warning("A %s could not be closed: %s: %s", type(part).__name__, type(error).__name__, error)
        for serving in servings:
            serving.close()
        self._log.close()


__all__ = ["GatewayState"]
