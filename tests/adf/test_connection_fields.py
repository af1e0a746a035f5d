"""Connection fields -> factory and endpoint: legacy prefixes, precedence, gaps and refusals."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.clouds import CLOUDS
from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.identity import Authentication, FactoryAddress
from tests.adf.fields import EXTRA, SECRET, SUBSCRIPTION, TENANT, read, sign_in

if TYPE_CHECKING:
    from pathlib import Path

LEGACY = "extra__azure_data_factory__"
OTHER_TENANT = "00000000-0000-4000-8000-0000000000ff"


@pytest.mark.parametrize("prefix", ["", LEGACY])
@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [
        ("subscriptionId", "00000000-0000-4000-8000-0000000000aa", "address.subscription_id"),
        ("resource_group_name", "other-rg", "address.resource_group_name"),
        ("factory_name", "other-adf", "address.factory_name"),
        ("tenantId", OTHER_TENANT, "tenant_id"),
        ("managed_identity_client_id", "the-identity", "client_id"),
        ("workload_identity_tenant_id", OTHER_TENANT, "tenant_id"),
        ("cloud", "AzureChinaCloud", "cloud.name"),
        ("arm_endpoint", "https://other.example", "arm_endpoint"),
        ("authority_host", "https://login.example", "authority"),
        ("authentication", "WorkloadIdentity", "authentication"),
    ],
)
def test_each_field_is_read_with_and_without_the_legacy_prefix(
    prefix: str, field: str, value: str, attribute: str
) -> None:
    found: Any = read(without=field, **{prefix + field: value})
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == value


def test_a_field_without_the_prefix_counts_before_one_with_it() -> None:
    assert read(**{LEGACY + "factory_name": "legacy-adf"}).address.factory_name == "night-adf"


def test_an_empty_field_gives_way_to_one_with_the_prefix() -> None:
    connection = read(factory_name="", **{LEGACY + "factory_name": "legacy-adf"})
    assert connection.address.factory_name == "legacy-adf"


def test_the_tasks_own_names_count_before_the_connections() -> None:
    connection = read(task={"resource_group_name": "task-rg", "factory_name": "task-adf"})
    assert connection.address == FactoryAddress(SUBSCRIPTION, "task-rg", "task-adf")


def test_names_of_the_task_are_enough_where_the_connection_has_none() -> None:
    connection = read(without="factory_name", task={"factory_name": "task-adf"})
    assert connection.address.factory_name == "task-adf"


def test_spaces_around_a_field_are_left_out() -> None:
    assert read(factory_name=" night-adf ", tenantId=f"{TENANT}\n").tenant_id == TENANT


@pytest.mark.parametrize(
    ("field", "advice"),
    [
        ("subscriptionId", "connection 'adf'"),
        ("resource_group_name", "or set the task's parameter resource_group_name"),
        ("factory_name", "or set the task's parameter factory_name"),
    ],
)
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_a_missing_field_is_named_with_where_to_put_it(field: str, advice: str, empty: str | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(**{field: empty})
    assert str(refused.value).startswith(f"{field} is not given")
    assert "'adf'" in str(refused.value)
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subscriptionId", "my subscription"),
        ("resource_group_name", "rg/other"),
        ("factory_name", "../factories/other"),
        ("cloud", "AzureMars"),
        ("authentication", "Password"),
        ("ca_bundle", "/nowhere/ca.pem"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_its_value(field: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_in(**{field: value})
    assert str(refused.value).startswith(f"{field}: {value!r}")
    assert "Expected" in str(refused.value)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud_brings_its_endpoint_and_authority(cloud: str) -> None:
    connection = read(cloud=cloud)
    assert (connection.arm_endpoint, connection.authority) == (CLOUDS[cloud].arm, CLOUDS[cloud].authority)
    assert not connection.is_private_authority


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://management.example", "https://management.example"),
        ("https://management.example/", "https://management.example"),
        ("HTTPS://management.example:8443", "https://management.example:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.9.9.9:8080", "http://127.9.9.9:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
    ],
)
def test_https_to_anywhere_and_http_to_this_machine_are_endpoints(given: str, expected: str) -> None:
    connection = read(arm_endpoint=given)
    assert connection.arm_endpoint == expected
    assert connection.is_loopback_http is expected.startswith("http://")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://management.azure.com",
        "http://10.0.0.1:8080",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://127.0.0.1@evil.com",
        "http://evil.com#@127.0.0.1",
        "http://[::ffff:8.8.8.8]:80",
        "http://[2001:db8::1]",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "management.azure.com",
        "https://",
        "https://user:pass@management.azure.com",
        "https://:pass@management.azure.com",
        "https://management.azure.com/subscriptions",
        "https://management.azure.com?x=1",
        "https://management.azure.com#x",
        "https://management.azure.com:port",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_an_endpoint_that_could_leak_a_token_or_is_no_host_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_in(arm_endpoint=endpoint)
    assert str(refused.value).startswith("arm_endpoint: ")
    assert "Expected https://HOST, or http://127.0.0.1:PORT" in str(refused.value)


@pytest.mark.parametrize("field", ["arm_endpoint", "authority_host"])
@pytest.mark.parametrize(
    "address",
    [
        "https://me:hunter2@host.example/x",
        "http://me:hunter2@host.example",
        "https://me:hunter2@host.example:x",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(field: str, address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_in(**{field: address})
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "authority", ["http://login.example", "http://127.0.0.1:1", "ftp://login.example", "https://"]
)
def test_an_authority_that_is_not_https_is_refused_since_it_gets_the_secret(authority: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"authority_host: .*Expected https://HOST; the client secret is sent"
    ):
        sign_in(authority_host=authority)


@pytest.mark.parametrize("authority", ["login.example", "https://login.example", "https://login.example/"])
def test_a_private_authority_is_taken_with_or_without_its_scheme(authority: str) -> None:
    connection = sign_in(authority_host=authority)
    assert (connection.authority, connection.is_private_authority) == ("https://login.example", True)


def test_certificates_to_trust_are_a_file(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert read(ca_bundle=str(bundle)).ca_bundle == str(bundle)


def test_neither_repr_nor_description_holds_the_secret() -> None:
    connection = sign_in()
    assert connection.client_secret == SECRET
    assert SECRET not in repr(connection) + str(connection) + connection.describe()


def test_the_description_names_connection_method_cloud_tenant_and_client() -> None:
    described = sign_in(cloud="AzureUSGovernment").describe()
    for part in ("'adf'", Authentication.CLIENT_SECRET, "AzureUSGovernment", TENANT, "the-client"):
        assert part in described


def test_the_resource_id_is_arms() -> None:
    assert read().address.resource_id == (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{EXTRA['resource_group_name']}"
        "/providers/Microsoft.DataFactory/factories/night-adf"
    )


@pytest.mark.parametrize(
    ("cloud", "beginning"),
    [
        ("AzureCloud", "https://adf.azure.com/en/monitoring/pipelineruns/r1?factory=%2Fsubscriptions%2F"),
        (
            "AzureUSGovernment",
            "https://adf.azure.us/en/monitoring/pipelineruns/r1?factory=%2Fsubscriptions%2F",
        ),
        ("AzureChinaCloud", "https://adf.azure.cn/en/monitoring/pipelineruns/r1?factory=%2Fsubscriptions%2F"),
        ("AzureGermanCloud", "https://portal.microsoftazure.de/#resource/subscriptions/"),
        ("USSec", "https://portal.azure.microsoft.scloud/#resource/subscriptions/"),
        ("USNat", "https://portal.azure.eaglex.ic.gov/#resource/subscriptions/"),
    ],
)
def test_a_run_is_shown_in_the_studio_of_its_cloud_or_the_factory_in_its_portal(
    cloud: str, beginning: str
) -> None:
    url = read(cloud=cloud).studio_url("pipelineruns/r1")
    assert url.startswith(beginning)
    assert url.endswith("night-adf")


def test_a_local_factory_is_shown_at_its_own_address() -> None:
    assert read(arm_endpoint="http://127.0.0.1:8080").studio_url("pipelineruns/r1") == "http://127.0.0.1:8080"
