"""A scenario's limits and faults read: what keeps calls from their answers; what they mean is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.faults import Fault, read_fault
from airflow_provider_adfruns.emulator.throttling import QUERIES_PER_MINUTE, BucketSize, Throttling

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.reading import Value

_LEAST_RATE = 0.001


def read_throttling(value: Value | None) -> Throttling:
    """Read ``throttling``: ``on``, ``off``, or its limits, which switch it on."""
    if value is None:
        return Throttling()
    if not value.is_table:
        return Throttling(enabled=value.flag())
    table = value.table()
    reads, writes, deletes = (table.take(kind) for kind in ("reads", "writes", "deletes"))
    queries = table.take("queries_per_minute")
    table.done()
    return Throttling(
        enabled=True,
        reads=_bucket(reads),
        writes=_bucket(writes),
        deletes=_bucket(deletes),
        queries_per_minute=queries.integer(1) if queries else QUERIES_PER_MINUTE,
    )


def _bucket(value: Value | None) -> BucketSize | None:
    if value is None:
        return None
    table = value.table()
    bucket, per_second = table.need("bucket"), table.need("per_second")
    table.done()
    return BucketSize(bucket.integer(1), per_second.number(_LEAST_RATE))


def read_faults(value: Value | None) -> tuple[Fault, ...]:
    """Read ``faults``, which hold from the scenario's start."""
    return tuple(_fault(each) for each in value.items()) if value else ()


def _fault(value: Value) -> Fault:
    try:
        return read_fault(value.plain())
    except ValueError as error:
        value.fail(f"a fault: {error}")
