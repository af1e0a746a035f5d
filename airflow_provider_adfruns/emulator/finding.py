"""Finds the page of runs that answers a query, without looking at more runs than it must."""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from heapq import merge
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator.query import PAGE_SIZE, Position
from airflow_provider_adfruns.emulator.store import RETENTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from airflow_provider_adfruns.emulator.query import RunQuery
    from airflow_provider_adfruns.emulator.store import RunStore, StateLog

    Row = tuple[Any, Any]
    Rows = list[Row]
    Stretches = list[tuple[StateLog[Any], range]]

_REMEMBERED_ORDERS = 8
# So many rows are sorted in a few milliseconds.
_FEW = 1000


class Finder:
    """Answers queries of one factory; keeps the last ordered results, so that their next pages cost little.

    :param is_latest: tells whether a pipeline run was the newest of its group at an instant.
    """

    def __init__(self, is_latest: Callable[[Any, datetime], bool]) -> None:
        self._is_latest = is_latest
        self._ordered: OrderedDict[tuple[str, datetime], _Found] = OrderedDict()

    def page(self, store: RunStore[Any], query: RunQuery, seen_at: datetime) -> tuple[Rows, Position | None]:
        """Return one page of runs, each with its state, and where the next page begins.

        Without orderBy the order is of no use to anybody: by status, every second run first, then shuffled.

        :param seen_at: the instant whose state a first page shows.
        """
        position = query.position or Position(seen_at, 0)
        group_id = query.group_id()
        if query.order_by or group_id is not None:
            return self._ordered_page(store, query, position)
        stretches = _stretches(store, query, position.seen_at)
        rest = query.without(query.kind.name, "Status")
        rows: Rows = []
        offset, skipped = position.offset, 0
        for log, stretch in stretches:
            here = offset - skipped
            while 0 <= here < len(stretch):
                run, index = log[stretch[_scattered(here, len(stretch))]]
                here, offset = here + 1, offset + 1
                if run.was_current(index, position.seen_at) and self._takes(
                    rest, run, run.states[index], position
                ):
                    rows.append((run, run.states[index]))
                    if len(rows) == PAGE_SIZE:
                        more = offset < sum(len(each) for _, each in stretches)
                        return _shuffled(rows), Position(position.seen_at, offset) if more else None
            skipped += len(stretch)
        return _shuffled(rows), None

    def _takes(self, query: RunQuery, run: Any, state: Any, position: Position) -> bool:
        if query.latest_only and not self._is_latest(run, position.seen_at):
            return False
        return query.takes(run, state)

    def _ordered_page(
        self, store: RunStore[Any], query: RunQuery, position: Position
    ) -> tuple[Rows, Position | None]:
        key = (query.digest, position.seen_at)
        found = self._ordered.pop(key, None) if query.position else None
        if found is None:
            found = _Found(self._in_order(store, query, position))
        end = position.offset + PAGE_SIZE
        rows = found.rows_to(end + 1)
        if end >= len(rows):
            return rows[position.offset :], None
        self._ordered[key] = found
        while len(self._ordered) > _REMEMBERED_ORDERS:
            self._ordered.popitem(last=False)
        return rows[position.offset : end], Position(position.seen_at, end)

    def _in_order(self, store: RunStore[Any], query: RunQuery, position: Position) -> Iterator[Row]:
        """Return every row in the order asked for: sorted where they are few, else found one by one."""
        if query.group_id() is None and query.order_by[0][0] == query.kind.born:
            stretches = _stretches(store, query, position.seen_at)
            if sum(len(stretch) for _, stretch in stretches) > _FEW:
                return self._walk(store, query, position, stretches)
        return iter(query.ordered(_shuffled(self._all(store, query, position))))

    def _walk(
        self, store: RunStore[Any], query: RunQuery, position: Position, stretches: Stretches
    ) -> Iterator[Row]:
        """Find rows in the order in which the runs began, or the opposite, no further than somebody reads."""
        after, before = _span(query, position.seen_at)
        descending = query.order_by[0][1]
        # The factory goes on between two pages, but what it adds came after the instant that is shown.
        candidates = [store.by_birth(name) for name in store.names() if query.keeps({query.kind.name: name})]
        columns = [
            reversed(column) if descending else iter(column) for column in _bounded(candidates, stretches)
        ]
        runs = columns[0] if len(columns) == 1 else merge(*columns, key=_born, reverse=descending)
        rest = query.without(query.kind.name)
        for _, together in groupby(runs, key=_born):
            rows = []
            for run in together:
                state = run.states[-1]
                if state.at > position.seen_at:
                    state = run.as_of(position.seen_at)
                if (
                    state is not None
                    and after <= state.at <= before
                    and self._takes(rest, run, state, position)
                ):
                    rows.append((run, state))
            yield from query.ordered(_shuffled(rows)) if len(rows) > 1 else rows

    def _all(self, store: RunStore[Any], query: RunQuery, position: Position) -> Rows:
        group_id = query.group_id()
        rows: Rows = []
        rest = query
        if group_id is not None:
            after, before = _span(query, position.seen_at)
            for run in store.group(group_id):
                state = run.as_of(position.seen_at)
                if state is not None and after <= state.at <= before:
                    rows.append((run, state))
        else:
            rest = query.without(query.kind.name, "Status")
            for log, stretch in _stretches(store, query, position.seen_at):
                entries = (log[place] for place in stretch)
                rows += [
                    (run, run.states[index])
                    for run, index in entries
                    if run.was_current(index, position.seen_at)
                ]
        return [row for row in rows if self._takes(rest, *row, position)]


class _Found:
    """Rows as far as they were found, and how to find the next."""

    def __init__(self, following: Iterator[Row]) -> None:
        self._rows: Rows = []
        self._following = following

    def rows_to(self, end: int) -> Rows:
        """Return the first ``end`` rows, or all where there are fewer."""
        self._rows.extend(islice(self._following, max(0, end - len(self._rows))))
        return self._rows


def _born(run: Any) -> Any:
    return run.born


def _bounded(columns: list[Sequence[Any]], stretches: Stretches) -> list[Sequence[Any]]:
    """Leave out what began before the first or after the last run that can be an answer, where they are few.

    :param columns: runs in the order in which they began.
    """
    if 2 * sum(len(stretch) for _, stretch in stretches) > sum(map(len, columns)):
        return columns  # looking for the bounds would cost more than walking to the first answers
    born = [at for log, stretch in stretches for at in log.born(stretch)]
    first, last = min(born), max(born)
    return [
        column[bisect_left(column, first, key=_born) : bisect_right(column, last, key=_born)]
        for column in columns
    ]


def _stretches(store: RunStore[Any], query: RunQuery, seen_at: datetime) -> Stretches:
    """Return the parts of the logs that can hold an answer; each log has one name and one status."""
    after, before = _span(query, seen_at)
    return [
        (log, log.stretch(after, before))
        for (name, status), log in sorted(store.logs(), key=lambda entry: entry[0])
        if query.keeps({query.kind.name: name, "Status": status})
    ]


def _span(query: RunQuery, seen_at: datetime) -> tuple[datetime, datetime]:
    """Return the time a query looks at: not before what is forgotten, not after what is seen."""
    return max(query.after, seen_at - RETENTION), min(query.before, seen_at)


def _scattered(place: int, length: int) -> int:
    """Return a place of a stretch: counting up visits every second one, newest first, then the others."""
    half = (length + 1) // 2
    return length - 1 - 2 * place if place < half else length - 2 - 2 * (place - half)


def _shuffled(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: zlib.crc32(row[0].run_id.encode()))
