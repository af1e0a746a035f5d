"""Every run of a factory, by id, and every state of every run in the order of time, by name and status."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_adfruns.emulator.records import Recorded


RETENTION = timedelta(days=45)


class Named(Protocol):
    """A run with an id and the name of its trigger or pipeline."""

    states: tuple[Any, ...]
    run_id: str
    group_id: str

    def enter(self, state: Any) -> None:
        """Come into the next state."""

    @property
    def name(self) -> str:
        """The trigger's or pipeline's name."""

    @property
    def born(self) -> datetime:
        """When it began: by this its kind of runs is ordered, if by any time."""


R = TypeVar("R", bound="Named")


class StateLog(Generic[R]):
    """States of one name and one status, in the order of their time.

    A query reads a stretch of it between two instants and keeps those states that were their run's newest.
    So it costs what it returns, not what the factory remembers. Times, runs and numbers stand in a column
    each, as there are hundreds of thousands of them.
    """

    def __init__(self) -> None:
        self._times: list[datetime] = []
        self._runs: list[R] = []
        self._born: list[datetime] = []
        self._numbers = array("I")

    def append(self, at: datetime, run: R, index: int) -> None:
        """Add state number ``index`` of ``run``."""
        self._times.append(at)
        self._runs.append(run)
        self._born.append(run.born)
        self._numbers.append(index)

    def sort(self) -> None:
        """Bring the log into the order of time, once, after a history was loaded."""
        order = sorted(range(len(self._times)), key=self._times.__getitem__)
        self._times = [self._times[i] for i in order]
        self._runs = [self._runs[i] for i in order]
        self._born = [self._born[i] for i in order]
        self._numbers = array("I", (self._numbers[i] for i in order))

    def stretch(self, after: datetime, before: datetime) -> range:
        """Return the positions of the states from ``after`` to ``before``, both included."""
        return range(bisect_left(self._times, after), bisect_right(self._times, before))

    def born(self, stretch: range) -> Sequence[datetime]:
        """Return when the runs began that a stretch's states belong to, some perhaps more than once."""
        return self._born[stretch.start : stretch.stop]

    def __getitem__(self, position: int) -> tuple[R, int]:
        return self._runs[position], self._numbers[position]


class RunStore(Generic[R]):
    """The runs of one kind: pipeline runs or trigger runs."""

    def __init__(self) -> None:
        self._runs: dict[str, R] = {}
        # Who else is in the group that begins with the run of this id: most groups have one run.
        self._others: dict[str, list[R]] = {}
        self._logs: dict[tuple[str, str], StateLog[R]] = {}
        self._by_birth: dict[str, list[R]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[R]:
        return iter(self._runs.values())

    def get(self, run_id: str) -> R | None:
        """Return the run with this id, in any case, or None."""
        return self._runs.get(_key(run_id))

    def group(self, group_id: str) -> tuple[R, ...]:
        """Return the runs of a group, oldest first."""
        key = _key(group_id)
        first = self._runs.get(key)
        others = tuple(self._others.get(key, ()))
        return others if first is None or _key(first.group_id) != key else (first, *others)

    def add(self, run: R) -> None:
        """Take in a new run, with the states it has so far."""
        key, group_key = _key(run.run_id), _key(run.group_id)
        if key in self._runs:
            raise ValueError(f"two runs have the id {run.run_id}")
        self._runs[key] = run
        if group_key != key:
            self._others.setdefault(group_key, []).append(run)
        self._by_birth.setdefault(run.name, []).append(run)
        self._counts[run.name, run.states[-1].status] += 1
        for index in range(len(run.states)):
            self._log(run, index)

    def update(self, run: R, state: Any) -> None:
        """Give a run its next state."""
        self._counts[run.name, run.states[-1].status] -= 1
        self._counts[run.name, state.status] += 1
        run.enter(state)
        self._log(run, len(run.states) - 1)

    def sort(self) -> None:
        """Bring every log into the order of time, once, after a history was loaded."""
        for log in self._logs.values():
            log.sort()
        for runs in self._by_birth.values():
            runs.sort(key=_born)

    def by_birth(self, name: str) -> Sequence[R]:
        """Return the runs of one name in the order in which they began."""
        return self._by_birth[name]

    def counts(self, name: str | None = None) -> dict[str, int]:
        """Return how many runs are in each status, those of one name or all."""
        found: Counter[str] = Counter()
        for (each, status), count in self._counts.items():
            if name is None or each == name:
                found[str(status)] += count
        return {status: count for status, count in found.items() if count}

    def newest(self, most: int, name: str | None = None) -> list[R]:
        """Return the runs that began last, of one name or of all, oldest first."""
        columns = self._by_birth.values() if name is None else [self._by_birth.get(name, [])]
        found = [run for runs in columns for run in runs[len(runs) - min(most, len(runs)) :]]
        return sorted(found, key=_born)[len(found) - min(most, len(found)) :]

    def names(self) -> Iterable[str]:
        """Return the names of the triggers or pipelines that have had runs."""
        return self._by_birth.keys()

    def logs(self) -> Iterable[tuple[tuple[str, str], StateLog[R]]]:
        """Return each log under its name and status."""
        return self._logs.items()

    def _log(self, run: R, index: int) -> None:
        state = run.states[index]
        key = (run.name, state.status)
        log = self._logs.get(key)
        if log is None:
            log = self._logs[key] = StateLog()
        log.append(state.at, run, index)


def _born(run: Named) -> datetime:
    return run.born


def _key(run_id: str) -> str:
    """Return a run's id without regard to case: mostly the id itself, so that it is not kept twice.

    Pipeline run ids are lower-case UUIDs, trigger run ids are digits around ``CU``.
    """
    key = run_id.lower() if "-" in run_id else run_id.upper()
    return run_id if key == run_id else key


def visible(run: Recorded[Any], horizon: datetime) -> bool:
    """Say whether a run is still remembered: its last update is not before ``horizon``."""
    return bool(run.current.at >= horizon)
