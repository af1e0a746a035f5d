"""The blind loop: what people run today, the plain SDK with its own retries, a rerun for each failed run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.datafactory import DataFactoryManagementClient

from airflow_provider_adfruns.adf import pause
from tests.chaos.night import OURS, TRIGGER

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.pipeline import PipelineRequest

    from tests.chaos.factory import Served

log = logging.getLogger(__name__)


class _Principal(SansIOHTTPPolicy[Any, Any]):
    """Name the caller to a local factory, in place of a token."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = f"Bearer loopback:{OURS}"


class _MovedTransport(RequestsTransport):  # type: ignore[misc] # without requests' types it is Any
    """Let the SDK's waits between retries move the factory's clock."""

    def __init__(self, mover: Callable[[float], None]) -> None:
        super().__init__(read_timeout=5)
        self._mover = mover

    def sleep(self, duration: float) -> None:
        if duration > 0:
            self._mover(duration)


class _NoCredential:
    """Stands where the SDK insists on a credential."""

    def get_token(self, *_: str, **__: Any) -> Any:
        raise AssertionError("a local factory without TLS is sent no token")


def rerun_blindly(served: Served, now: datetime) -> None:
    """Query the failed runs and rerun each, as the documentation's examples do.

    :param now: the factory's time when the night began.
    """
    extra = served.connection["extra"]
    place = extra["resource_group_name"], extra["factory_name"]
    client: Any = DataFactoryManagementClient(
        _NoCredential(),
        extra["subscriptionId"],
        base_url=f"http://127.0.0.1:{served.port}",
        authentication_policy=_Principal(),
        transport=_MovedTransport(pause._moved[-1].mover),
    )
    with client:
        found = client.trigger_runs.query_by_factory(
            *place,
            {
                "lastUpdatedAfter": (now - timedelta(days=45)).astimezone(UTC).isoformat(),
                "lastUpdatedBefore": (now + timedelta(days=1)).astimezone(UTC).isoformat(),
                "filters": [
                    {"operand": "TriggerName", "operator": "Equals", "values": [TRIGGER]},
                    {"operand": "Status", "operator": "In", "values": ["Failed", "Cancelled"]},
                ],
            },
        )
        for run in found.value:
            try:
                client.trigger_runs.rerun(*place, TRIGGER, run.trigger_run_id)
            except AzureError as error:
                log.warning("run %s was not rerun: %s", run.trigger_run_id, error)
