"""Beside Airflow's own Azure provider: both are found, in silence, and both work from one connection."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

OFFICIAL = pytest.importorskip(
    "airflow.providers.microsoft.azure.hooks.data_factory",
    reason="the official provider is not installed; `make test-beside` has it",
)
RUN_ID = "5f0c1a52-8d0e-4a53-9d0b-6c1b8d5f7a01"
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "principals": [{"name": "operator", "client_secret": "oFbOtH~8Q.of-one-connection"}],
    "pipelines": {"load": {}},
    "runs": [{"pipeline": "load", "status": "Failed", "id": RUN_ID}],
}


def airflow(*arguments: str) -> Any:
    """Run one of Airflow's commands with warnings as errors, and return its JSON.

    Airflow shows the deprecations of its own modules whatever it is told, and logs what it could not load: so
    it may not speak of a warning either.
    """
    command = [sys.executable, "-W", "error", "-m", "airflow", *arguments, "--output", "json"]
    answer = subprocess.run(  # noqa: S603 - this environment's own command
        command, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "warn" not in answer.stderr.lower(), answer.stderr
    assert "warn" not in answer.stdout.lower(), answer.stdout
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.fixture(params=["adf_runs", "azure_data_factory"])
def emulator(
    request: pytest.FixtureRequest, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> AdfEmulator:
    """Start a local factory that checks tokens; Airflow's default connection to it is of either type."""
    started = factory(SCENARIO, tls=True)
    monkeypatch.setenv(
        "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", started.connection_json(conn_type=request.param)
    )
    return started


@pytest.fixture
def official(emulator: AdfEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the official hook, which has only the public cloud's addresses: here they are the emulator's."""
    trust = {"connection_verify": emulator.ca_file}
    sign_in = {"authority": emulator.url, "disable_instance_discovery": True}
    for name, options in (
        ("ClientSecretCredential", sign_in | trust),
        ("DataFactoryManagementClient", {"base_url": emulator.url} | trust),
    ):
        monkeypatch.setattr(OFFICIAL, name, partial(getattr(OFFICIAL, name), **options))
    hook = OFFICIAL.AzureDataFactoryHook()
    yield hook
    client = hook.get_conn()
    client._config.credential.close()
    client.close()


def test_airflow_lists_both_without_a_warning() -> None:
    names = {provider["package_name"] for provider in airflow("providers", "list")}
    assert names >= {"airflow-provider-adfruns", "apache-airflow-providers-microsoft-azure"}


def test_the_form_offers_the_connection_types_of_both_each_with_its_own_hook() -> None:
    hooks = {each["connection_type"]: each["class"] for each in airflow("providers", "hooks")}
    assert {name: hooks[name] for name in ("adf_runs", "azure_data_factory")} == {
        "adf_runs": "airflow_provider_adfruns.hooks.adf_runs.AdfRunsHook",
        "azure_data_factory": "airflow.providers.microsoft.azure.hooks.data_factory.AzureDataFactoryHook",
    }


def test_both_hooks_sign_in_and_read_a_run_of_the_same_factory_from_one_connection(
    emulator: AdfEmulator, official: Any
) -> None:
    # Given as None they are those of its connection; they cannot be left out there.
    theirs = official.get_pipeline_run(RUN_ID, resource_group_name=None, factory_name=None)
    assert theirs.status == AdfRunsHook().get_pipeline_run(RUN_ID).status == "Failed"
    asked = calls(emulator, "PipelineRuns_Get")
    assert [(call.status, call.principal) for call in asked] == [(200, emulator.connection()["login"])] * 2
    assert len({call.path for call in asked}) == 1
