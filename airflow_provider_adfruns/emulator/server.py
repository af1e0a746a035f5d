"""The emulator as Python sees it: a context manager that serves a factory from a thread of its own."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from uvicorn import Config

from airflow_provider_adfruns.emulator.app import make_app
from airflow_provider_adfruns.emulator.clock import Clock, ClockSetting
from airflow_provider_adfruns.emulator.connections import Connections
from airflow_provider_adfruns.emulator.control import Control
from airflow_provider_adfruns.emulator.faults import Fault, FaultWords
from airflow_provider_adfruns.emulator.held import HeldAnswers
from airflow_provider_adfruns.emulator.scenario import load_scenario
from airflow_provider_adfruns.emulator.scenario_past import read_cancel_words
from airflow_provider_adfruns.emulator.service import Service
from airflow_provider_adfruns.emulator.serving import KEEP_ALIVE_SECONDS, listen, serving
from airflow_provider_adfruns.emulator.simulation import Simulation
from airflow_provider_adfruns.emulator.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Unpack

    from airflow_provider_adfruns.emulator.definitions import CancelWords
    from airflow_provider_adfruns.emulator.journal import JournalEntry
    from airflow_provider_adfruns.emulator.wire import Generation

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
        start = load_scenario(scenario)
        self._host = host
        self._port = port
        self._tls = tls
        self._simulation = Simulation(start, Clock(clock, start.now), wire_generation)
        self._service = Service(self._simulation, wire_generation, checks_tokens=tls)
        self._held = HeldAnswers(self._simulation.clock)
        self._simulation.watch(self._held.look_again)
        self._connections = Connections()
        self._stack = contextlib.ExitStack()
        self.ca_file: str | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            listener = listen(self._host, self._port)
            stack.callback(listener.close)
            scheme = "https" if self._tls else "http"
            host = f"[{self._host}]" if ":" in self._host else self._host
            self.url = f"{scheme}://{host}:{listener.getsockname()[1]}"
            self._service.base_url = self.url
            certificate = stack.enter_context(_certificate(self._host)) if self._tls else None
            self.ca_file = str(certificate / "ca.pem") if certificate else None
            self._connections = connections = Connections()
            control = Control(self._simulation, self._service.gate, self._held)
            config = Config(
                make_app(self._service, control, self._held, connections),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                ssl_certfile=str(certificate / "server.pem") if certificate else None,
            )
            stack.enter_context(serving(config, listener, connections))
            stack.callback(self._held.release)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    # Time

    @property
    def now(self) -> datetime:
        """The factory's time."""
        with self._simulation.lock:
            return self._simulation.catch_up().now

    def advance(self, seconds: float) -> None:
        """Move the clock forward, and let everything happen that falls due, in order.

        A clock that runs by itself is moved as well, and goes on from there.

        :param seconds: how far, in seconds of the factory.
        :raises ValueError: they are negative.
        """
        self._simulation.advance(seconds)

    def advance_to(self, instant: datetime) -> None:
        """Move the clock forward to an instant, likewise.

        :param instant: UTC where it names no zone.
        :raises ValueError: it is over already.
        """
        self._simulation.advance_to(instant)

    def set_clock(self, setting: ClockSetting) -> None:
        """Let the clock run otherwise from now on.

        :param setting: ``real``, ``manual``, or a scale: 60.0 is a minute a second.
        """
        self._simulation.set_clock(setting)

    # Calls and faults

    @property
    def journal(self) -> Sequence[JournalEntry]:
        """Every call so far, in order; a new beginning empties it."""
        with self._simulation.lock:
            return tuple(self._simulation.world.journal)

    def fail_next(self, operation: str, *, count: int | None = None, **what: Unpack[FaultWords]) -> int:
        """Script a fault for coming calls.

        :param operation: the operation it meets, such as ``TriggerRuns_Rerun``; ``*`` is any.
        :param count: how many calls it meets. Default 1; all where ``for_seconds`` is given.
        :param what: what happens to them, in the words of `Fault`. Default: status 503, not processed.
        :return: its number, for `clear_faults`.
        :raises ValueError: this makes no sense; the message says what does.
        """
        return self._add_fault(Fault(operation, count=count, **what))

    def fail_sometimes(
        self,
        operation: str,
        *,
        rate: float,
        seed: int = 0,
        count: int | None = None,
        **what: Unpack[FaultWords],
    ) -> int:
        """Let chance spoil calls: the same for the same seed and the same calls in the same order.

        :param operation: the operation it meets; ``*`` is any.
        :param rate: how probable it is for each call, above 0, up to 1.
        :param seed: what the draws begin with. Default 0.
        :param count: how many calls it meets at most. Default: no limit.
        :param what: see `fail_next`.
        :return: its number, for `clear_faults`.
        """
        return self._add_fault(Fault(operation, count=count, rate=rate, seed=seed, **what))

    def _add_fault(self, fault: Fault) -> int:
        with self._simulation.lock:
            return self._simulation.world.faults.add(fault, self._simulation.catch_up().now)

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The faults that are still to come, as the control API writes them."""
        with self._simulation.lock:
            return self._simulation.world.faults.written(self._simulation.catch_up().now)

    def clear_faults(self, number: int | None = None) -> None:
        """Take back every fault, or the one of a number; KeyError where there is none of it."""
        with self._simulation.lock:
            if number is None:
                self._simulation.world.faults.clear()
            else:
                self._simulation.world.faults.remove(number)

    def script_cancel(self, run_id: str, **what: Unpack[CancelWords]) -> None:
        """Say how the cancel of one pipeline run goes, whatever its pipeline says.

        :param run_id: its id; the run need not exist yet.
        :param what: what goes wrong, in the words of `CancelScript`, each True or a probability; nothing: all
            goes well.
        :raises ValueError: it has been cancelled already, or the words make no sense.
        """
        script = read_cancel_words(what)
        with self._simulation.lock:
            self._simulation.catch_up().pipelines.cancels.script(run_id, script)

    def release(self) -> None:
        """Let go of calls that hang or are delayed: what was processed is answered, else hung up on."""
        self._held.release()

    @property
    def connections(self) -> tuple[int, int, int]:
        """Connections, those for tokens included: how many there have been, are open, were open at once."""
        return self._connections.made, len(self._connections), self._connections.most

    def revoke_tokens(self, client_id: str | None = None) -> int:
        """Revoke the tokens given out so far, of one principal or of all; return how many. Needs ``tls``."""
        with self._simulation.lock:
            return self._service.gate.revoke(client_id)

    # Beginnings

    def snapshot(self, name: str) -> None:
        """Keep everything as it is now: runs, clock, journal, faults, limits; not tokens.

        :param name: what to call it; an older snapshot of this name is replaced.
        """
        self._simulation.snapshot(name)

    def restore(self, name: str) -> None:
        """Bring back a snapshot; KeyError where there is none of this name."""
        self._simulation.restore(name)

    def reset(self) -> None:
        """Bring back the scenario's start, with an empty journal."""
        self._simulation.reset()

    def load(self, scenario: str | Path | Mapping[str, Any]) -> None:
        """Begin another scenario, with an empty journal; tokens and snapshots stay.

        :raises ScenarioError: the scenario says something it cannot; nothing has changed then.
        """
        self._simulation.load(load_scenario(scenario))

    # The truth

    def pipeline_runs(self) -> list[dict[str, Any]]:
        """Return every pipeline run as it is now, as the 2022 generation writes it, without query lag."""
        with self._simulation.lock:
            return Truth(self._simulation.catch_up()).pipeline_runs()

    def trigger_runs(self, trigger_name: str | None = None) -> list[dict[str, Any]]:
        """Return every trigger run as it is now, of one trigger or of all; no query lag, no retention."""
        with self._simulation.lock:
            return Truth(self._simulation.catch_up()).trigger_runs(trigger_name)

    def activity_runs(self, run_id: str) -> list[dict[str, Any]]:
        """Return the activity runs of a pipeline run as they are now; KeyError where there is no such run."""
        with self._simulation.lock:
            return Truth(self._simulation.catch_up()).activity_runs(run_id)

    def connection(self, **overrides: Any) -> dict[str, Any]:
        """Return an Airflow connection to this factory, as the keyword arguments of ``Connection``.

        It signs in as the scenario's first principal.

        :param overrides: replace an entry, or where it has no such entry one of ``extra``.
        """
        scenario = self._simulation.scenario
        factory, principal = scenario.factory, scenario.principals[0]
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
