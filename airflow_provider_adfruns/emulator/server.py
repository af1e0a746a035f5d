"""The emulator as Python sees it: a context manager that serves a factory from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from airflow_provider_adfruns.emulator.app import make_app
from airflow_provider_adfruns.emulator.clock import ClockSetting, make_clock
from airflow_provider_adfruns.emulator.connections import Connections
from airflow_provider_adfruns.emulator.faults import Fault
from airflow_provider_adfruns.emulator.routes import OPERATION_NAMES
from airflow_provider_adfruns.emulator.scenario import load_scenario
from airflow_provider_adfruns.emulator.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from airflow_provider_adfruns.emulator.journal import JournalEntry
    from airflow_provider_adfruns.emulator.wire import Generation

START_SECONDS = 30.0
GRACE_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.002
_TOP_LEVEL = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")


class AdfEmulator:
    """A local Data Factory, served over HTTP on entering the context and gone on leaving it.

    :param scenario: what the factory is and was: a YAML file's path, YAML of several lines, or a mapping.
    :param host: the address to listen on. Default ``127.0.0.1``.
    :param port: the port; default 0 takes a free one.
    :param clock: ``real``, ``manual`` (moved by `advance` only), or a scale: 60.0 is a minute a second.
    :param wire_generation: how answers are written: as since ``2022``, or as until ``2021``.
    :param tls: serve https with a certificate of its own, and check tokens, which it gives out itself.
    :raises ScenarioError: the scenario says something it cannot.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: ClockSetting = "real",
        wire_generation: Generation = "2022",
        tls: bool = False,
    ) -> None:
        if wire_generation not in {"2021", "2022"}:
            raise ValueError(f"wire_generation must be '2021' or '2022', not {wire_generation!r}")
        self._scenario = load_scenario(scenario)
        self._host = host
        self._port = port
        self._tls = tls
        self._service = Service(
            self._scenario, make_clock(clock, self._scenario.now), wire_generation, checks_tokens=tls
        )
        self._stack = contextlib.ExitStack()
        self.ca_file: str | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            listener = _listen(self._host, self._port)
            stack.callback(listener.close)
            scheme = "https" if self._tls else "http"
            host = f"[{self._host}]" if ":" in self._host else self._host
            self.url = f"{scheme}://{host}:{listener.getsockname()[1]}"
            self._service.base_url = self.url
            certificate = stack.enter_context(_certificate(self._host)) if self._tls else None
            self.ca_file = str(certificate / "ca.pem") if certificate else None
            connections = Connections()
            config = uvicorn.Config(
                make_app(self._service, connections),
                http=connections.protocol(),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                ssl_certfile=str(certificate / "server.pem") if certificate else None,
            )
            stack.enter_context(_serving(config, listener, connections))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def now(self) -> datetime:
        """The factory's time."""
        with self._service.lock:
            self._service.catch_up()
            return self._service.factory.now

    def advance(self, seconds: float) -> None:
        """Move a manual clock forward, and let everything happen that falls due, in order.

        :param seconds: how far, in seconds of the factory.
        """
        self._service.advance(seconds)

    @property
    def journal(self) -> Sequence[JournalEntry]:
        """Every call so far, in order."""
        return self._service.journal()

    def fail_next(
        self,
        operation: str,
        *,
        status: int | None = None,
        count: int = 1,
        retry_after: float | None = None,
        processed: bool = False,
        drop_connection: bool = False,
    ) -> None:
        """Script a fault for coming calls.

        :param operation: the operation it meets, such as ``TriggerRuns_Rerun``; ``*`` is any.
        :param status: the status answered; default 503, none with ``drop_connection``.
        :param count: how many calls it meets. Default 1.
        :param retry_after: seconds for a Retry-After header. Default none.
        :param processed: whether the call does its work before it fails. Default False.
        :param drop_connection: close the connection without an answer. Default False.
        """
        if operation not in {*OPERATION_NAMES, "*"}:
            raise ValueError(f"unknown operation {operation!r}; known are {', '.join(OPERATION_NAMES)}, *")
        if drop_connection and status is not None:
            raise ValueError("a dropped connection has no status")
        if count < 1:
            raise ValueError(f"count must be 1 or more, not {count}")
        answered = None if drop_connection else status or 503
        with self._service.lock:
            self._service.faults.add(
                Fault(operation, answered, count, retry_after, processed, drop_connection)
            )

    def pipeline_runs(self) -> list[dict[str, Any]]:
        """Return every pipeline run as it is now, as the 2022 generation writes it, without query lag."""
        with self._service.lock:
            self._service.catch_up()
            return self._service.truth.pipeline_runs()

    def trigger_runs(self, trigger_name: str | None = None) -> list[dict[str, Any]]:
        """Return every trigger run as it is now, of one trigger or of all; no query lag, no retention."""
        with self._service.lock:
            self._service.catch_up()
            return self._service.truth.trigger_runs(trigger_name)

    def activity_runs(self, run_id: str) -> list[dict[str, Any]]:
        """Return the activity runs of a pipeline run as they are now; KeyError where there is no such run."""
        with self._service.lock:
            self._service.catch_up()
            return self._service.truth.activity_runs(run_id)

    def connection(self, **overrides: Any) -> dict[str, Any]:
        """Return an Airflow connection to this factory, as the keyword arguments of ``Connection``.

        It signs in as the scenario's first principal.

        :param overrides: replace an entry, or where it has no such entry one of ``extra``.
        """
        factory, principal = self._scenario.factory, self._scenario.principals[0]
        extra: dict[str, Any] = {
            "tenantId": factory.tenant_id,
            "subscriptionId": factory.subscription_id,
            "resource_group_name": factory.resource_group,
            "factory_name": factory.name,
            "arm_endpoint": self.url,
        }
        if self.ca_file is not None:
            extra |= {"authority_host": self.url, "ca_bundle": self.ca_file}
        connection: dict[str, Any] = {
            "conn_type": "adf_runs",
            "login": principal.client_id,
            "password": principal.client_secret,
        }
        connection |= {key: value for key, value in overrides.items() if key in _TOP_LEVEL}
        extra |= {key: value for key, value in overrides.items() if key not in _TOP_LEVEL}
        return {**connection, "extra": overrides.get("extra", extra)}

    def connection_json(self, **overrides: Any) -> str:
        """Return `connection` as the JSON that ``AIRFLOW_CONN_<ID>`` takes."""
        return json.dumps(self.connection(**overrides))


class _Server(uvicorn.Server):
    """Uvicorn's server, told to end by an event, for tests start and end hundreds of them."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until told to end."""
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.ready.set()
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is open: at once where nothing is being answered, else within a moment."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        begun = time.monotonic()
        while self.server_state.connections or self.server_state.tasks:
            waited = time.monotonic() - begun
            if waited > GRACE_SECONDS:
                self._connections.abort()
            if waited > 2 * GRACE_SECONDS:
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def end(self) -> None:
        """Tell the server to end, from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is: else answers take
    # 40 ms.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _serving(config: uvicorn.Config, listener: socket.socket, connections: Connections) -> Iterator[None]:
    server = _Server(config, connections)
    thread = threading.Thread(target=server.run, args=([listener],), name="adf-emulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(START_SECONDS):
            raise RuntimeError(f"the emulator did not start within {START_SECONDS:g} s")
        yield
    finally:
        server.end()
        thread.join()


@contextlib.contextmanager
def _certificate(host: str) -> Iterator[Path]:
    """Make a certificate for this host, in a directory that is gone afterwards."""
    try:
        import trustme  # noqa: PLC0415 - only tls needs it, and it is an extra
    except ImportError as error:
        raise RuntimeError("tls=True needs trustme: pip install 'airflow-provider-adfruns[tls]'") from error
    authority = trustme.CA()
    server = authority.issue_cert(host, "localhost")
    with tempfile.TemporaryDirectory(prefix="adf-emulator-") as name:
        directory = Path(name)
        authority.cert_pem.write_to_path(directory / "ca.pem")
        server.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
        yield directory
