"""A real Airflow: scheduler, triggerer, DAG processor and API server in processes of their own."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stack.postgres import postgres, programs
from stack.processes import Service, StackError, free_ports, until
from stack.rest import AirflowRest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent
PARTS = ("api-server", "dag-processor", "scheduler", "triggerer")  # in the order of their start
_MIGRATE_SECONDS = 300
_START_SECONDS = 300.0
_END_SECONDS = 5.0
_USER = "admin"


@dataclass(frozen=True, slots=True)
class RealAirflow:
    """An Airflow that runs.

    :param url: the address of its UI and API.
    :param login: the user's name and password.
    :param database: what keeps its metadata.
    :param services: its parts by name, and the database's server where there is one.
    :param rest: its REST API, signed in.
    :param ports: those that it listens on.
    """

    url: str
    login: tuple[str, str]
    database: str
    services: Mapping[str, Service]
    rest: AirflowRest
    ports: Sequence[int]

    def wait_for_dags(self, dag_ids: set[str]) -> None:
        """Wait until DAGs are parsed and may run. :raises StackError: they do not parse."""
        until(
            f"{', '.join(sorted(dag_ids))} are parsed",
            lambda: dag_ids <= self.rest.dag_ids(),
            seconds=_START_SECONDS,
            services=self.services.values(),
        )
        for dag_id in sorted(dag_ids):
            self.rest.unpause(dag_id)


@contextmanager
def real_airflow(
    home: Path, dag_folders: Mapping[str, Path], settings: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[RealAirflow]:
    """Run an Airflow until the context is left; then nothing of it runs any more.

    :param home: its ``AIRFLOW_HOME``, an empty folder; its logs stay there.
    :param dag_folders: the folders of its DAGs, by the names of their bundles.
    :param settings: more of Airflow's environment variables, without ``AIRFLOW__``.
    :param port: where its UI listens; default 0 takes a free one.
    :raises StackError: it does not start.
    """
    logs = home / "services"
    logs.mkdir(parents=True)
    with ExitStack() as stack:
        services: dict[str, Service] = {}
        bin_folder = programs()
        if bin_folder is not None:
            server, address = stack.enter_context(postgres(bin_folder, logs))
            services["postgres"] = server
        else:
            address = f"sqlite:///{home}/airflow.db"
        ports = free_ports(3)
        if port:
            ports[0] = port
        url = f"http://127.0.0.1:{ports[0]}"
        login = (_USER, secrets.token_urlsafe(9))
        (home / "passwords.json").write_text(json.dumps(dict([login])), encoding="utf-8")
        environment = _environment(home, dag_folders, address, ports) | {
            f"AIRFLOW__{key}": value for key, value in (settings or {}).items()
        }
        _migrate(environment, logs)
        stack.callback(_end, services)
        for part in PARTS:
            command = [sys.executable, "-m", "airflow", part]
            services[part] = Service(part, command, environment=environment, logs=logs)
            services[part].start()
        rest = AirflowRest(url)
        stack.callback(rest.close)
        until(
            "Airflow answers",
            lambda: rest.sign_in(*login),
            seconds=_START_SECONDS,
            services=services.values(),
        )
        running = RealAirflow(url, login, address.partition(":")[0], services, rest, ports)
        until(
            "all parts of Airflow are healthy",
            lambda: set(rest.health().values()) == {"healthy"},
            seconds=_START_SECONDS,
            services=services.values(),
        )
        yield running


def _environment(
    home: Path, dag_folders: Mapping[str, Path], database: str, ports: Sequence[int]
) -> dict[str, str]:
    ui, worker_logs, trigger_logs = ports
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
        for name, folder in dag_folders.items()
    ]
    return _inherited() | {
        "PYTHONPATH": str(ROOT),  # the code of this clone, whatever is installed
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{ui}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ui),
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(64),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{ui}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # no process asks DNS
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",  # each is a process from the start
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{_USER}:admin",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
        "AIRFLOW__LOGGING__TRIGGERER_LOG_SERVER_PORT": str(trigger_logs),  # where Airflow 3.1 looks for them
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
    }


def _inherited() -> dict[str, str]:
    """Return one's own environment, without what would lead Airflow away from what runs here.

    That is another Airflow's settings, those of PostgreSQL's clients, and proxies: all that it talks to is on
    this machine.
    """
    others = ("AIRFLOW", "PG")
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(others) and not key.lower().endswith("_proxy")
    }


def _migrate(environment: Mapping[str, str], logs: Path) -> None:
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    log = logs / "migrate.log"
    try:
        with log.open("wb") as out:
            subprocess.run(  # noqa: S603 - our own command
                command, env=environment, stdout=out, stderr=out, timeout=_MIGRATE_SECONDS, check=True
            )
    except subprocess.SubprocessError as error:
        said = log.read_text(encoding="utf-8", errors="replace")[-6000:]
        raise StackError(f"airflow db migrate has failed: {error}\n{said}") from None


def _end(services: Mapping[str, Service]) -> None:
    """End the parts, all at once: none waits for another one."""
    parts = [service for name, service in services.items() if name in PARTS]
    for service in reversed(parts):
        service.ask_to_end()
    for service in reversed(parts):
        service.end(_END_SECONDS)
