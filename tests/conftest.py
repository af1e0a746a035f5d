"""Fixtures for everything that talks: a local factory whose clock is moved by hand, and a private Airflow."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_adfruns.adf import pacing
from airflow_provider_adfruns.adf.identity import read_connection
from airflow_provider_adfruns.adf.pause import moving
from airflow_provider_adfruns.emulator import AdfEmulator
from tests.contract.spec import assert_in_spec, read_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_adfruns.adf.identity import FactoryConnection
    from tests.contract.spec import Spec

# Whoever runs the tests may have set up an Airflow, a sign-in or a proxy, which would mean something here.
for _name in [*os.environ]:
    if _name.startswith(("AIRFLOW", "AZURE_")) or _name.lower().endswith("_proxy"):
        del os.environ[_name]

# Airflow reads these when it is first imported, which happens after this file.
_HOME = tempfile.TemporaryDirectory(prefix="adfruns-tests-")
Path(_HOME.name, "dags").mkdir()
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(_HOME.name, "dags")),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
}

# Properties are held without a clock: how long an example takes depends on what else the machine does. The
# suite draws the same examples each time; `make properties` draws others, and more of them.
settings.register_profile(
    "same", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile(
    "others", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=2000
)
settings.load_profile(os.environ.get("PROPERTIES", "same"))

CONN_ID = "azure_data_factory_default"


def pytest_unconfigure() -> None:
    """Remove the private Airflow home."""
    _HOME.cleanup()


@pytest.fixture(scope="session")
def spec() -> Spec | None:
    """Return the published spec, which lies beside the repository; None where it does not."""
    return read_spec()


@pytest.fixture(autouse=True)
def fresh_pacers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what is known of other tests' factories: a port, and with it a principal, may come again."""
    monkeypatch.setattr(pacing, "_pacers", {})
    monkeypatch.setattr(pacing, "_caps", {})


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch, spec: Spec | None) -> Iterator[Callable[..., AdfEmulator]]:
    """Start a local factory from a scenario, let every wait move its clock, and name it to Airflow.

    In the end all that was asked and answered is held against the published spec.
    """
    with ExitStack() as stack:

        def start(scenario: Mapping[str, Any] | str | Path, **options: Any) -> AdfEmulator:
            emulator = stack.enter_context(AdfEmulator(scenario, **{"clock": "manual", **options}))
            stack.callback(lambda: assert_in_spec(spec, emulator.journal))
            if options.get("clock", "manual") == "manual":
                stack.enter_context(moving(emulator.advance))
            monkeypatch.setenv("AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", emulator.connection_json())
            return emulator

        yield start


def connection_to(emulator: AdfEmulator, **fields: Any) -> FactoryConnection:
    """Return the client's connection to a local factory; ``fields`` replace the Airflow connection's."""
    data = emulator.connection(**fields)
    return read_connection(
        conn_id=CONN_ID, login=data.get("login"), password=data.get("password"), extra=data["extra"]
    )


def calls(emulator: AdfEmulator, operation: str) -> list[Any]:
    """Return the journal's entries of one operation, such as ``TriggerRuns_Rerun``."""
    return [entry for entry in emulator.journal if entry.operation == operation]
