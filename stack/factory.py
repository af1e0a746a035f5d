"""A local factory in a process of its own, and its control API."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from stack.processes import Service, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_START_SECONDS = 60.0
_END_SECONDS = 5.0
_PAGE = 1000
_ALL = 100_000


@dataclass(frozen=True, slots=True)
class LocalFactory:
    """A factory that is served.

    :param service: its process.
    :param url: its address, which shows its page.
    :param connection: the Airflow connection to it.
    """

    service: Service
    url: str
    connection: Mapping[str, Any]

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the control API.

        :param path: what follows ``/_adf``.
        :return: the JSON answered.
        """
        return self._send(method, path, json=body).json()

    def load(self, scenario: Mapping[str, Any]) -> None:
        """Begin another scenario, with an empty journal and no faults; the clock goes on at its pace."""
        self._send("PUT", "/scenario", content=yaml.safe_dump(dict(scenario)))

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        # Past any proxy; each call has a connection of its own, so none ends under it.
        answer = httpx.request(method, f"{self.url}/_adf{path}", timeout=60, trust_env=False, **body)
        return answer.raise_for_status()

    def journal(self) -> list[dict[str, Any]]:
        """Return every call since the scenario began."""
        entries: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"/journal?after={len(entries) - 1}&limit={_PAGE}")
            entries += page["entries"]
            if len(entries) >= page["total"]:
                return entries

    def state(self) -> dict[str, Any]:
        """Return all triggers with their windows, and all pipeline runs, as they truly are."""
        return dict(self.call("GET", f"/state?windows={_ALL}&runs={_ALL}"))


@contextmanager
def local_factory(scenario: Path, *, clock: str, logs: Path, port: int = 0) -> Iterator[LocalFactory]:
    """Serve a factory until the context is left.

    :param scenario: what it is and was.
    :param clock: how fast its time passes: ``real``, or a number, as 60 for a minute a second.
    :param logs: where its log goes.
    :param port: where it listens; default 0 takes a free one.
    """
    details = logs / "factory.json"
    details.unlink(missing_ok=True)
    command = [sys.executable, "-m", "airflow_provider_adfruns.emulator.command", "--scenario", str(scenario)]
    command += ["--clock", clock, "--port", str(port), "--details-file", str(details)]
    service = Service("factory", command, environment=os.environ, logs=logs)
    try:
        service.start()
        told = until(
            "the factory is served",
            lambda: _read(details),
            seconds=_START_SECONDS,
            services=[service],
        )
        yield LocalFactory(service, told["url"], told["connection"])
    finally:
        service.end(_END_SECONDS)


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON of a file; nothing while it is not there or half written."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
