"""A time of the service's clock from which on nothing more is sent: refused where it is over already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient


async def refuse_past(client: FactoryClient, deadline: datetime | None) -> None:
    """See that there is time left, by the service's clock.

    :param deadline: None for none.
    :raises InvalidInput: for a deadline that is over.
    """
    if deadline is None:
        return
    now = await client.now()
    if deadline <= now:
        raise InvalidInput(
            f"deadline: {deadline.isoformat()} is over; the service's clock says {now.isoformat()}. Nothing"
            " was changed. Expected a time to come."
        )


async def is_over(client: FactoryClient, deadline: datetime | None) -> bool:
    """Say whether nothing more is to be sent, by the service's clock. :param deadline: None for none."""
    return deadline is not None and await client.now() >= deadline
