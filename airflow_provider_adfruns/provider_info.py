"""What Airflow's provider discovery reads; free of side effects, since it runs before configuration."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "Azure Data Factory Runs"


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-adfruns",
        "name": "Azure Data Factory Runs",
        "description": "Cancel, wait for and rerun Azure Data Factory runs, each window exactly once.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://learn.microsoft.com/azure/data-factory/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "airflow_provider_adfruns.operators.cancel",
                    "airflow_provider_adfruns.operators.cleanup",
                    "airflow_provider_adfruns.operators.recover",
                    "airflow_provider_adfruns.operators.rerun",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": ["airflow_provider_adfruns.sensors.cancel_complete"],
            }
        ],
        "hooks": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_adfruns.hooks.adf_runs"]}
        ],
        "triggers": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_adfruns.triggers.runs"]}
        ],
        "extra-links": ["airflow_provider_adfruns.links.AdfStudioLink"],
        "connection-types": [
            {
                "connection-type": "adf_runs",
                "hook-class-name": "airflow_provider_adfruns.hooks.adf_runs.AdfRunsHook",
                "hook-name": "Azure Data Factory Runs",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "host"],
                    "relabeling": {"login": "Client ID", "password": "Client secret"},
                    "placeholders": {
                        "login": "client id; empty for a managed identity",
                        "password": "client secret; empty for a managed identity",
                        "subscriptionId": "00000000-0000-0000-0000-000000000000",
                    },
                },
                "conn-fields": {
                    "tenantId": _text(
                        "Tenant ID", "The Microsoft Entra tenant; needed with a client secret."
                    ),
                    "subscriptionId": _text("Subscription ID", "The subscription of the factory."),
                    "resource_group_name": _text("Resource group", "Tasks can name another."),
                    "factory_name": _text("Factory", "Tasks can name another."),
                    "cloud": _text(
                        "Cloud",
                        "Where the factory runs; AzureCloud if empty.",
                        enum=[
                            "AzureCloud",
                            "AzureUSGovernment",
                            "AzureChinaCloud",
                            "AzureGermanCloud",
                            "USSec",
                            "USNat",
                        ],
                    ),
                    "authentication": _text(
                        "Authentication",
                        "How to sign in; empty: a client secret if there is one, else a managed identity if"
                        " its client id is given, else azure-identity's default chain.",
                        enum=["ClientSecret", "ManagedIdentity", "WorkloadIdentity", "Default"],
                    ),
                    "managed_identity_client_id": _text(
                        "Managed identity client ID",
                        "Of a user-assigned identity; empty for the system-assigned one.",
                    ),
                    "workload_identity_tenant_id": _text(
                        "Workload identity tenant ID", "The tenant of a workload identity."
                    ),
                    "arm_endpoint": _text(
                        "ARM endpoint",
                        "Instead of the cloud's: https, or http on loopback for a local factory.",
                    ),
                    "authority_host": _text(
                        "Authority host", "Instead of the cloud's host for sign-in; https only."
                    ),
                    "ca_bundle": _text(
                        "CA bundle", "A PEM file with the certificates to trust, instead of the system's."
                    ),
                    "max_requests_per_second": _text(
                        "Requests a second",
                        "At most this many, by all work of a process together; empty: ARM's limits.",
                    ),
                    "connect_timeout": _text(
                        "Connect timeout", "Seconds that one attempt may take to connect; 10 if empty."
                    ),
                    "read_timeout": _text(
                        "Read timeout", "Seconds that one attempt may wait for the answer; 60 if empty."
                    ),
                    "trouble_budget": _text(
                        "Trouble budget",
                        "Seconds that one request may be repeated through errors; 120 if empty.",
                    ),
                },
            }
        ],
    }
