"""Run queries: what a query may ask, and whether a run answers it; finding the runs is elsewhere."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPERATORS = ("Equals", "NotEquals", "In", "NotIn")
PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class RunKind:
    """What runs of one kind can be asked by.

    :param name: the operand that holds the name of the pipeline, trigger or activity.
    :param born: the operand that is the time a run began, which never changes.
    :param times: operands that are times, with how to read them from a run and its state.
    :param texts: the other operands, likewise.
    """

    name: str
    born: str
    times: Mapping[str, Callable[[Any, Any], datetime | None]]
    texts: Mapping[str, Callable[[Any, Any], str]]

    @property
    def operands(self) -> tuple[str, ...]:
        """Every operand."""
        return (*self.texts, *self.times)


PIPELINE_RUNS = RunKind(
    "PipelineName",
    "RunStart",
    {"RunStart": lambda _, state: state.start, "RunEnd": lambda _, state: state.end},
    {
        "PipelineName": lambda run, _: run.name,
        "Status": lambda _, state: state.status,
        "RunGroupId": lambda run, _: run.group_id,
    },
)
TRIGGER_RUNS = RunKind(
    "TriggerName",
    "TriggerRunTimestamp",
    {"TriggerRunTimestamp": lambda run, _: run.timestamp},
    {"TriggerName": lambda run, _: run.name, "Status": lambda _, state: state.status},
)
ACTIVITY_RUNS = RunKind(
    "ActivityName",
    "ActivityRunStart",
    {"ActivityRunStart": lambda _, state: state.start, "ActivityRunEnd": lambda _, state: state.end},
    {
        "ActivityName": lambda run, _: run.name,
        "ActivityType": lambda run, _: run.type,
        "Status": lambda _, state: state.status,
    },
)


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a query; ``values`` are folded in case, for the service's names know none."""

    operand: str
    operator: str
    values: frozenset[str | datetime]

    def takes(self, value: str | datetime | None) -> bool:
        """Say whether a run with this value passes."""
        found = (value.casefold() if isinstance(value, str) else value) in self.values
        return found == (self.operator in {"Equals", "In"})


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page of a query begins.

    :param seen_at: the instant the first page showed; the later pages show the same.
    """

    seen_at: datetime
    offset: int


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A query as asked.

    :param latest_only: only the newest run of each group; None: not asked.
    :param digest: of all but the continuation token, which fits no other query.
    """

    kind: RunKind
    after: datetime
    before: datetime
    filters: tuple[Filter, ...]
    order_by: tuple[tuple[str, bool], ...]
    latest_only: bool | None
    position: Position | None
    digest: str

    def keeps(self, operands: Mapping[str, Any]) -> bool:
        """Say whether values pass the filters on their operands; filters on other operands are not judged."""
        return all(each.takes(operands[each.operand]) for each in self.filters if each.operand in operands)

    def takes(self, run: Any, state: Any) -> bool:
        """Say whether a run in a state passes every filter."""
        for each in self.filters:
            read: Callable[[Any, Any], Any] = (
                self.kind.texts.get(each.operand) or self.kind.times[each.operand]
            )
            if not each.takes(read(run, state)):
                return False
        return True

    def without(self, *operands: str) -> RunQuery:
        """Return the query less its filters on these operands, which somebody has judged already."""
        return replace(self, filters=tuple(each for each in self.filters if each.operand not in operands))

    def group_id(self) -> str | None:
        """Return the one group asked for, or None."""
        for each in self.filters:
            if each.operand == "RunGroupId" and each.operator in {"Equals", "In"}:
                return str(next(iter(each.values)))
        return None

    def token(self, position: Position) -> str:
        """Write a continuation token."""
        content = [position.seen_at.isoformat(), position.offset, self.digest]
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()

    def ordered(self, rows: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Return rows in the order asked for; what has no value comes first, as in SQL."""
        readers: dict[str, Any] = {**self.kind.texts, **self.kind.times}
        for operand, descending in reversed(self.order_by):
            read = readers[operand]
            rows = sorted(
                rows,
                key=lambda row, read=read: (read(*row) is not None, read(*row)),  # type: ignore[misc]
                reverse=descending,
            )
        return rows


def read_query(body: Any, kind: RunKind) -> RunQuery:
    """Read the body of a run query; what the service does not know is refused, in words that are a guess."""
    if not isinstance(body, dict):
        raise bad_request(
            "The request body must be a JSON object with 'lastUpdatedAfter' and 'lastUpdatedBefore'."
        )
    digest = hashlib.sha256(
        json.dumps({key: body[key] for key in sorted(body) if key != "continuationToken"}).encode()
    ).hexdigest()[:16]
    for key in ("filters", "orderBy"):
        if not isinstance(body.get(key) or [], list):
            raise bad_request(f"Property '{key}' must be a list.")
    latest_only, filters = None, []
    for each in body.get("filters") or ():
        if kind is PIPELINE_RUNS and isinstance(each, dict) and each.get("operand") == "LatestOnly":
            latest_only = _latest_only(each)
        else:
            filters.append(_filter(each, kind))
    return RunQuery(
        kind=kind,
        after=_bound(body, "lastUpdatedAfter"),
        before=_bound(body, "lastUpdatedBefore"),
        filters=tuple(filters),
        order_by=tuple(_order(each, kind) for each in body.get("orderBy") or ()),
        latest_only=latest_only,
        position=_position(body.get("continuationToken"), digest),
        digest=digest,
    )


def _bound(body: Mapping[str, Any], key: str) -> datetime:
    value = body.get(key)
    if value is None:
        raise bad_request(f"Missing required property '{key}'.")
    found = parse_time(value)
    if found is None:
        raise bad_request(f"Invalid value '{value}' for property '{key}'.")
    return found


def parse_time(value: Any) -> datetime | None:
    """Read an ISO 8601 time to the microsecond; a seventh digit is cut off, without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _filter(each: Any, kind: RunKind) -> Filter:
    if not isinstance(each, dict):
        raise bad_request("A filter must have 'operand', 'operator' and 'values'.")
    operand, operator, values = each.get("operand"), each.get("operator"), each.get("values")
    if operand not in kind.operands:
        raise bad_request(
            f"Invalid filter operand '{operand}'. Supported operands: {', '.join(kind.operands)}."
        )
    if operator not in OPERATORS:
        raise bad_request(
            f"Invalid filter operator '{operator}'. Supported operators: {', '.join(OPERATORS)}."
        )
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise bad_request(f"Filter operand '{operand}' needs 'values', a list of strings.")
    if operand == "RunGroupId" and len(values) > 1:
        raise bad_request(
            "Filter operand 'RunGroupId' does not support and array of values. Make sure to provide only one."
        )
    if operator in {"Equals", "NotEquals"} and len(values) > 1:
        raise bad_request(f"Filter operator '{operator}' takes one value.")
    if operand in kind.times:
        times = [parse_time(value) for value in values]
        if None in times:
            raise bad_request(f"Invalid value for filter operand '{operand}'.")
        return Filter(operand, operator, frozenset(time for time in times if time is not None))
    return Filter(operand, operator, frozenset(value.casefold() for value in values))


def _latest_only(each: Mapping[str, Any]) -> bool:
    values = each.get("values")
    if each.get("operator") != "Equals" or not isinstance(values, list) or len(values) != 1:
        raise bad_request("Filter operand 'LatestOnly' supports operator 'Equals' with one value.")
    return str(values[0]).casefold() == "true"


def _order(each: Any, kind: RunKind) -> tuple[str, bool]:
    orderable = [operand for operand in kind.operands if operand not in {"RunGroupId", "ActivityType"}]
    operand = each.get("orderBy") if isinstance(each, dict) else None
    order = each.get("order") if isinstance(each, dict) else None
    if operand not in orderable:
        raise bad_request(f"Invalid orderBy '{operand}'. Supported: {', '.join(orderable)}.")
    if order not in {"ASC", "DESC"}:
        raise bad_request(f"Invalid order '{order}'. Supported: ASC, DESC.")
    return str(operand), order == "DESC"


def _position(token: Any, digest: str) -> Position | None:
    if token is None:
        return None
    try:
        seen_at, offset, of = json.loads(base64.urlsafe_b64decode(str(token)))
        position = Position(datetime.fromisoformat(seen_at), int(offset))
    except (ValueError, TypeError, binascii.Error):
        raise bad_request("Invalid continuation token.") from None
    if of != digest:
        raise bad_request("The continuation token belongs to another query.")
    return position
