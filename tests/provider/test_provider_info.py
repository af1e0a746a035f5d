"""The provider's metadata: in the form that Airflow asks for, and understood by the Airflow installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import airflow
import jsonschema  # type: ignore[import-untyped]
import pytest

from airflow_provider_adfruns.adf.clouds import CLOUDS
from airflow_provider_adfruns.adf.identity import Authentication
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.provider_info import get_provider_info
from tests.provider.versions import needs_airflow

DISTRIBUTION = "airflow-provider-adfruns"
(CONNECTION_TYPE,) = get_provider_info()["connection-types"]

DISCOVERY = """
import json, sys
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
hook = manager.hooks["adf_runs"]
fields = {
    info.field_name: info.is_sensitive
    for info in manager.connection_form_widgets.values()
    if info.package_name == "airflow-provider-adfruns"
}
json.dump(
    {
        "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.connection_testable],
        "fields": fields,
        "relabeling": manager.field_behaviours.get("adf_runs", {}).get("relabeling"),
        "links": [name for name in manager.extra_links_class_names if "adfruns" in name],
        "version": manager.providers["airflow-provider-adfruns"].version,
    },
    sys.stdout,
)
"""


@pytest.fixture(scope="module")
def discovered() -> dict[str, Any]:
    """What a fresh Airflow's providers manager finds; it is a singleton, so this process's is not asked."""
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", DISCOVERY], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_the_metadata_fits_airflows_schema() -> None:
    schema = json.loads(Path(airflow.__file__).with_name("provider_info.schema.json").read_text("utf-8"))
    jsonschema.validate(get_provider_info(), schema)


def test_the_package_name_is_the_distributions_or_else_all_discovery_breaks() -> None:
    assert get_provider_info()["package-name"] == DISTRIBUTION == distribution(DISTRIBUTION).metadata["Name"]


def test_the_entry_point_leads_to_the_metadata() -> None:
    (entry_point,) = distribution(DISTRIBUTION).entry_points.select(group="apache_airflow_provider")
    assert entry_point.load() is get_provider_info


@pytest.mark.parametrize(
    "module",
    [
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for entry in get_provider_info()[kind]
        for module in entry["python-modules"]
    ],
)
def test_each_module_named_exists(module: str) -> None:
    assert import_module(module).__name__ == module


@pytest.mark.parametrize("path", [CONNECTION_TYPE["hook-class-name"], *get_provider_info()["extra-links"]])
def test_each_class_named_exists(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert getattr(import_module(module), name).__name__ == name


def test_the_connection_type_is_the_hooks() -> None:
    assert CONNECTION_TYPE["connection-type"] == AdfRunsHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == AdfRunsHook.hook_name


def test_the_form_offers_the_clouds_and_sign_ins_that_the_package_knows() -> None:
    fields = CONNECTION_TYPE["conn-fields"]
    assert fields["cloud"]["schema"]["enum"] == list(CLOUDS)
    assert fields["authentication"]["schema"]["enum"] == list(Authentication)


def test_the_form_has_the_official_providers_fields_and_our_own() -> None:
    assert set(CONNECTION_TYPE["conn-fields"]) == {
        "tenantId",
        "subscriptionId",
        "resource_group_name",
        "factory_name",
        "managed_identity_client_id",
        "workload_identity_tenant_id",
        "cloud",
        "authentication",
        "arm_endpoint",
        "authority_host",
        "ca_bundle",
        "max_requests_per_second",
        "connect_timeout",
        "read_timeout",
        "trouble_budget",
    }


def test_the_secret_is_airflows_own_password_field_and_stands_in_no_plain_one() -> None:
    assert CONNECTION_TYPE["ui-field-behaviour"]["relabeling"]["password"] == "Client secret"
    assert "password" not in CONNECTION_TYPE["ui-field-behaviour"]["hidden-fields"]
    assert [name for name in CONNECTION_TYPE["conn-fields"] if "secret" in name.lower()] == []


def test_airflow_finds_the_hook_and_offers_to_test_it(discovered: dict[str, Any]) -> None:
    assert discovered["hook"] == [CONNECTION_TYPE["hook-class-name"], AdfRunsHook.conn_name_attr, True]


@needs_airflow(3, 2, "the connection form does not come from the metadata")
def test_airflow_shows_every_field_of_the_form(discovered: dict[str, Any]) -> None:
    assert set(discovered["fields"]) == set(CONNECTION_TYPE["conn-fields"])
    assert discovered["relabeling"] == {"login": "Client ID", "password": "Client secret"}


def test_airflow_finds_the_extra_link(discovered: dict[str, Any]) -> None:
    assert discovered["links"] == ["airflow_provider_adfruns.links.AdfStudioLink"]


def test_airflow_finds_the_version_of_the_distribution(discovered: dict[str, Any]) -> None:
    assert discovered["version"] == distribution(DISTRIBUTION).version


def test_the_metadata_imports_nothing_heavy_since_discovery_runs_before_configuration() -> None:
    code = (
        "import sys\n"
        "from airflow_provider_adfruns.provider_info import get_provider_info\n"
        "get_provider_info()\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'airflow', 'azure', 'uvicorn'}))"
    )
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
