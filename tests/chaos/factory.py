"""A local factory in a process of its own, and its control API as the chaos uses it."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.chaos.night import SECRET, TRIGGER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_START_SECONDS = 120.0
_FRESH_SECONDS = 2.0
_PAGE = 1000
_ALL = 1_000_000


class Control:
    """Calls to a local factory that no fault meets, over one connection.

    :param served: the factory.
    """

    def __init__(self, served: Served) -> None:
        self._connection = served.connect(60)
        self._used = time.monotonic()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the control API. :return: the JSON answered."""
        content = None if body is None else json.dumps(body).encode()
        if time.monotonic() - self._used > _FRESH_SECONDS:
            self._connection.close()  # before the factory does, which leaves none idle; the request opens it
        self._used = time.monotonic()
        self._connection.request(method, f"/_adf{path}", content)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:1000]!r}")
        return json.loads(text)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.call("POST", "/clock", {"advance": seconds})

    def calls_so_far(self) -> int:
        """Count the calls in the journal."""
        return int(self.call("GET", "/journal?after=1000000000&limit=1")["total"])

    def journal(self) -> list[dict[str, Any]]:
        """Return the whole journal."""
        entries: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"/journal?after={len(entries) - 1}&limit={_PAGE}")
            entries += page["entries"]
            if len(entries) >= page["total"]:
                return entries

    def windows(self, count: int, trigger: str = TRIGGER) -> list[dict[str, Any]]:
        """Return a trigger's windows with all their runs, as they truly are."""
        triggers = self.call("GET", f"/state?windows={count}&runs=0")["triggers"]
        return list(next(each for each in triggers if each["name"] == trigger)["windows"])

    def pipeline_runs(self) -> list[dict[str, Any]]:
        """Return all pipeline runs, as they truly are."""
        return list(self.call("GET", f"/state?windows=0&runs={_ALL}")["pipelineRuns"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Served:
    """A factory that is served on 127.0.0.1; its scenario comes later.

    :param connection: the Airflow connection to it.
    :param ca_file: its certificate's authority, if it is served over TLS and gives out tokens.
    :param patience_seconds: how long somebody waits for an answer, which may hang.
    """

    port: int
    connection: Mapping[str, Any]
    ca_file: str | None = None
    patience_seconds: float = 2.0

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """Return a connection to it.

        :param timeout: how long an answer may take, in seconds.
        """
        if self.ca_file is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def prefix(self) -> str:
        """Return the path of the factory."""
        extra = self.connection["extra"]
        return (
            f"/subscriptions/{extra['subscriptionId']}/resourceGroups/{extra['resource_group_name']}"
            f"/providers/Microsoft.DataFactory/factories/{extra['factory_name']}"
        )

    def call_as(self, client_id: str, method: str, path: str, body: object = None) -> int | None:
        """Call the factory as somebody would who asks nothing twice. :return: the status, if any."""
        connection = self.connect(self.patience_seconds)
        try:
            headers = {"Authorization": f"Bearer {self._token_of(client_id, connection)}"}
            content = b"" if body is None else json.dumps(body).encode()
            path = f"{self.prefix()}{path}{'&' if '?' in path else '?'}api-version=2018-06-01"
            connection.request(method, path, content, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError, LookupError):  # also no token
            return None
        finally:
            connection.close()

    def _token_of(self, client_id: str, connection: http.client.HTTPConnection) -> str:
        if self.ca_file is None:
            return f"loopback:{client_id}"
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": SECRET}
        tenant = self.connection["extra"]["tenantId"]
        connection.request("POST", f"/{tenant}/oauth2/v2.0/token", urlencode(form))
        return str(json.loads(connection.getresponse().read())["access_token"])


@contextmanager
def served(home: Path, *options: str) -> Iterator[Served]:
    """Serve a factory whose clock is moved by hand, and end it in the end.

    :param home: a directory for its details and its log; made if there is none.
    :param options: further ones of its command, such as ``--tls``.
    """
    home.mkdir(exist_ok=True)
    details = home / "details.json"
    command = [sys.executable, "-m", "airflow_provider_adfruns.emulator.command"]
    command += ["--clock", "manual", "--port", "0", "--details-file", str(details), *options]
    with (home / "factory.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own command
    try:
        yield _details(details, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _details(path: Path, process: subprocess.Popen[bytes]) -> Served:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            details = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)  # it serves soon, or it ends
            continue
        port = int(details["url"].rpartition(":")[2])
        return Served(port, details["connection"], details["ca_file"])
    raise RuntimeError(f"the factory does not serve: see {path.parent / 'factory.log'}")
