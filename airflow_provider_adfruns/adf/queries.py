"""What a query of runs asks for, in the API's own words, page after page; the client sends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.answers import members
from airflow_provider_adfruns.adf.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from airflow_provider_adfruns.adf.identity import FactoryAddress

HISTORY = timedelta(days=45)
"""How long a factory keeps its runs; older queries are silently truncated."""


_MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class RunFilter:
    """One condition of a query, in the API's own words.

    :param operand: such as ``TriggerName``, ``Status`` or ``PipelineName``; there is none for run ids or
        windows.
    :param operator: ``Equals``, ``NotEquals``, ``In`` or ``NotIn``.
    :param values: what to compare with.
    """

    operand: str
    operator: str
    values: tuple[str, ...]


def query_body(after: datetime, before: datetime, filters: tuple[RunFilter, ...], token: str | None) -> bytes:
    """Write the body of a query, as bytes: the SDK's majors name the fields of their models differently.

    :param after: only runs updated at this time or later.
    :param before: only runs updated at this time or earlier.
    :param filters: all of these have to hold.
    :param token: of the page to read; None for the first.
    """
    body: dict[str, Any] = {"lastUpdatedAfter": _wire_time(after), "lastUpdatedBefore": _wire_time(before)}
    if filters:
        body["filters"] = [
            {"operand": each.operand, "operator": each.operator, "values": list(each.values)}
            for each in filters
        ]
    if token:
        body["continuationToken"] = token
    return json.dumps(body).encode()


def _wire_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def pages(
    send: Callable[[bytes], Awaitable[Any]],
    address: FactoryAddress,
    after: datetime,
    before: datetime,
    filters: tuple[RunFilter, ...],
    most_pages: int | None = None,
) -> AsyncIterator[list[Any]]:
    """Ask for a query's pages, and return the members of each.

    :param send: sends a body, and returns the page as it was on the wire.
    :param most_pages: stop after so many; default: read all.
    :raises UnexpectedAnswer: for a page that is none, and for pages that do not end.
    """
    token: str | None = None
    for number in range(1, _MOST_PAGES + 1):
        page = await send(query_body(after, before, filters, token))
        yield members(address, page)
        following = page.get("continuationToken")
        if not following or number == most_pages:
            return
        if following == token:
            break
        token = following
    raise UnexpectedAnswer(
        f"a query of {address} does not end: its continuation token repeats. Nothing was changed; try again"
        " later."
    )
