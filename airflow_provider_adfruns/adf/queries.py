"""What a query of runs asks for, in the API's own words; the client sends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

HISTORY = timedelta(days=45)
"""How long a factory keeps its runs; older queries are silently truncated."""


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
