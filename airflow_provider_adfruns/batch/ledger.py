"""The ledger: where a batch of reruns stands, small enough for Airflow's task state store; pure.

A rerun's truth is the factory's history. What history cannot tell, a task that died and starts again reads
here: at which instant the batch was planned and with which windows, how far it came, and when a rerun may
last have been sent that queries do not show yet.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntFlag, StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_provider_adfruns.adf.model import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_Value = TypeVar("_Value")

LEDGER_KEY = "adfruns_rerun"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITES_A_BATCH = 100


class Phase(StrEnum):
    """How far a batch came; of windows that are stuck the runs are cancelled first."""

    CANCELLING = "cancelling"
    SUBMITTING = "submitting"
    WATCHING = "watching"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class _Mark(IntFlag):
    """What is known of a window beside its place."""

    THEIRS = 1
    AGAIN = 2
    FRESH = 4


@dataclass(frozen=True, slots=True)
class Ledger:
    """A batch of reruns.

    :param batch_id: names the batch in logs.
    :param selection: what was asked for, as ``fingerprint`` gives it; another selection is another batch.
    :param planned_at: the service's time when the windows were chosen.
    :param windows: the chosen windows, from the oldest to the newest.
    :param phase: how far it came.
    :param owner: the task instance try that works on it.
    :param newest_first: the order of submission; else the oldest window first.
    :param handed: how many windows, in the order of submission, may have been sent. Those beyond have
        certainly not been, so that a newer run of theirs is somebody else's.
    :param theirs: windows among those that somebody else was seen to have rerun.
    :param again: windows whose rerun was cancelled before a person cleared the task, to be rerun once more.
    :param cleared_at: the service's time when ``again`` was found, None if the task was never cleared.
    :param max_tries: the task instance's. Airflow raises it when a person clears a task, and leaves it alone
        when it retries by itself (read in 3.1.8 and 3.3.2).
    :param fresh: windows whose run to be rerun began so shortly before the plan that, had the plan not been
        shown it, it would be somebody's rerun.
    """

    batch_id: str
    selection: str
    planned_at: datetime
    windows: tuple[Window, ...]
    phase: Phase
    owner: str
    newest_first: bool = False
    handed: int = 0
    theirs: frozenset[Window] = frozenset()
    again: frozenset[Window] = frozenset()
    cleared_at: datetime | None = None
    max_tries: int = 0
    fresh: frozenset[Window] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether its outcome has not been judged."""
        return self.phase in {Phase.CANCELLING, Phase.SUBMITTING, Phase.WATCHING}

    @property
    def in_order(self) -> tuple[Window, ...]:
        """The windows in the order of submission."""
        return self.windows[::-1] if self.newest_first else self.windows

    @property
    def may_be_sent(self) -> frozenset[Window]:
        """The windows that this batch may have sent, and that nobody else was seen to have rerun."""
        return frozenset(self.in_order[: self.handed]) - self.theirs

    def is_resumed_with(self, max_tries: int) -> bool:
        """Say whether a next try resumes it instead of planning anew.

        So it does if its outcome has not been judged, or was judged well and Airflow starts another try by
        itself, for then it has not heard of the success. A person's clear of what has ended is a new batch;
        it is known by ``max_tries``, which stays the same only if the DAG's retries were lowered by as many.

        :param max_tries: the next try's.
        """
        return self.is_open or (self.phase is Phase.SUCCEEDED and max_tries == self.max_tries)

    def moved_to(self, phase: Phase) -> Self:
        """Return the same batch in another phase."""
        return replace(self, phase=phase)

    def taken_up(self, owner: str, max_tries: int) -> Self:
        """Return the same batch in the hands of another try, which begins with what comes first."""
        phase = self.phase if self.phase is Phase.CANCELLING else Phase.SUBMITTING
        return replace(self, owner=owner, max_tries=max_tries, phase=phase)

    def cleared(self, at: datetime, again: Iterable[Window], theirs: Iterable[Window]) -> Self:
        """Return the same batch after a person's clear.

        :param at: the service's time.
        :param again: the windows whose latest run is cancelled by then, now or at an earlier clear.
        :param theirs: the windows whose latest run is somebody else's.
        """
        chosen = frozenset(again)
        return replace(self, cleared_at=at, again=chosen, theirs=frozenset(theirs) - chosen)

    def to_json(self) -> dict[str, Any]:
        """Return the form for the store; 50,000 windows stay under 64 kB."""
        return {
            "batch_id": self.batch_id,
            "selection": self.selection,
            "planned_at": self.planned_at.isoformat(),
            "windows": pack(self.windows),
            "phase": str(self.phase),
            "owner": self.owner,
            "newest_first": self.newest_first,
            "handed": self.handed,
            "marks": _squeezed(" ".join(_runs(self._mark(window) for window in self.windows))),
            "cleared_at": self.cleared_at.isoformat() if self.cleared_at else None,
            "max_tries": self.max_tries,
        }

    def _mark(self, window: Window) -> int:
        marks = (
            (_Mark.THEIRS, self.theirs),
            (_Mark.AGAIN, self.again),
            (_Mark.FRESH, self.fresh),
        )
        return sum(mark for mark, windows in marks if window in windows)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        :raises ValueError: for anything else, such as what another version of this package has written.
        """
        try:
            return cls._read(data)
        except (LookupError, TypeError, ArithmeticError, zlib.error) as error:
            raise ValueError(repr(error)) from error

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Self:
        windows = unpack(data["windows"])
        marked = list(zip(windows, _flat(_widened(data["marks"])), strict=True))
        cleared_at = data["cleared_at"]
        return cls(
            _checked(str, data["batch_id"]),
            _checked(str, data["selection"]),
            _instant(data["planned_at"]),
            windows,
            Phase(data["phase"]),
            _checked(str, data["owner"]),
            _checked(bool, data["newest_first"]),
            _count(data["handed"]),
            frozenset(window for window, mark in marked if mark & _Mark.THEIRS),
            frozenset(window for window, mark in marked if mark & _Mark.AGAIN),
            None if cleared_at is None else _instant(cleared_at),
            _count(data["max_tries"]),
            frozenset(window for window, mark in marked if mark & _Mark.FRESH),
        )


class KeptLedger:
    """A batch's ledger in the hands of a try: each change is kept before anything follows from it.

    :param ledger: as it is kept now.
    :param keep: writes it where it outlives the try.
    :param check: sees that the batch is still the try's, and raises ``WritesStopped`` if it is not.
    """

    def __init__(self, ledger: Ledger, keep: Callable[[Ledger], None], check: Callable[[], None]) -> None:
        self.ledger = ledger
        self._keep = keep
        self._check = check
        self._places = {window: place for place, window in enumerate(ledger.in_order, start=1)}
        self._block = max(1, -(-len(ledger.windows) // _WRITES_A_BATCH))

    def hand(self, windows: Iterable[Window], theirs: Iterable[Window]) -> None:
        """Note that windows are about to be sent; at most about a hundred writes a batch.

        :param windows: the next ones in the order of submission.
        :param theirs: all that somebody else was seen to have rerun.
        :raises WritesStopped: if another try has taken up the batch, also where there is nothing to note.
        """
        self._check()
        last = max((self._places[window] for window in windows), default=0)
        if last > self.ledger.handed:
            up_to = min(len(self._places), -(-last // self._block) * self._block)
            others = frozenset(theirs)
            again = self.ledger.again - others
            self._write(replace(self.ledger, handed=up_to, theirs=others, again=again))

    def move_to(self, phase: Phase) -> None:
        """Note how far the batch came. :raises WritesStopped: see ``hand``."""
        self._check()
        self._write(self.ledger.moved_to(phase))

    def _write(self, ledger: Ledger) -> None:
        self._keep(ledger)
        self.ledger = ledger


def fingerprint(parameters: Mapping[str, object]) -> str:
    """Return a short text that differs for different selections.

    :param parameters: the rendered parameters that say which windows are meant.
    """
    text = json.dumps(parameters, sort_keys=True, default=str)
    return f"{zlib.crc32(text.encode()):08x}-{len(text)}"


def pack(windows: Sequence[Window]) -> str:
    """Write windows as the steps between their starts and their lengths, compressed: they lie on a grid."""
    starts = [_seconds(window.start) for window in windows]
    steps = [second - first for first, second in pairwise([0, *starts])]
    lengths = [int((window.end - window.start).total_seconds()) for window in windows]
    text = " ".join(map(str, _runs(steps))) + "|" + " ".join(map(str, _runs(lengths)))
    return _squeezed(text)


def unpack(text: str) -> tuple[Window, ...]:
    """Read what ``pack`` wrote."""
    steps, lengths = _widened(text).split("|")
    windows = []
    start = _EPOCH
    for step, length in zip(_flat(steps), _flat(lengths), strict=True):
        start += timedelta(seconds=step)
        windows.append(Window(start, start + timedelta(seconds=length)))
    return tuple(windows)


def _checked(kind: type[_Value], value: object) -> _Value:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _count(value: object) -> int:
    number = _checked(int, value)
    if number < 0:
        raise ValueError(f"{number} is below zero")
    return number


def _instant(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return time


def _squeezed(text: str) -> str:
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _widened(text: str) -> str:
    return zlib.decompress(base64.b85decode(text)).decode()


def _seconds(time: datetime) -> int:
    return int((time - _EPOCH).total_seconds())


def _runs(numbers: Iterable[int]) -> list[str]:
    """Write equal neighbours once, with their count."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][0] == number:
            found[-1][1] += 1
        else:
            found.append([number, 1])
    return [str(number) if times == 1 else f"{number}x{times}" for number, times in found]


def _flat(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split():
        number, _, times = part.partition("x")
        numbers.extend([int(number)] * int(times or 1))
    return numbers
