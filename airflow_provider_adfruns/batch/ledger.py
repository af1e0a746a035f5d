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
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.model import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEDGER_KEY = "adfruns_rerun"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Phase(StrEnum):
    """How far a batch came."""

    SUBMITTING = "submitting"
    WATCHING = "watching"
    FINISHED = "finished"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A batch of reruns.

    :param batch_id: names the batch in logs.
    :param selection: what was asked for, as ``fingerprint`` gives it; another selection is another batch.
    :param planned_at: the service's time when the windows were chosen.
    :param windows: the chosen windows, from the oldest to the newest.
    :param phase: how far it came.
    :param owner: the task instance try that works on it.
    """

    batch_id: str
    selection: str
    planned_at: datetime
    windows: tuple[Window, ...]
    phase: Phase
    owner: str

    @property
    def is_open(self) -> bool:
        """Whether a try has died over it: a next one resumes it instead of planning anew."""
        return self.phase in {Phase.SUBMITTING, Phase.WATCHING}

    @property
    def is_finished(self) -> bool:
        """Whether its outcome has been judged: a next try is a new batch."""
        return self.phase is Phase.FINISHED

    def moved_to(self, phase: Phase) -> Self:
        """Return the same batch in another phase."""
        return replace(self, phase=phase)

    def owned_by(self, owner: str) -> Self:
        """Return the same batch in the hands of another try."""
        return replace(self, owner=owner)

    def to_json(self) -> dict[str, Any]:
        """Return the form for the store; 50,000 windows stay under 64 kB."""
        return {
            "batch_id": self.batch_id,
            "selection": self.selection,
            "planned_at": self.planned_at.isoformat(),
            "windows": pack(self.windows),
            "phase": str(self.phase),
            "owner": self.owner,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(
            data["batch_id"],
            data["selection"],
            datetime.fromisoformat(data["planned_at"]),
            unpack(data["windows"]),
            Phase(data["phase"]),
            data["owner"],
        )


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
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def unpack(text: str) -> tuple[Window, ...]:
    """Read what ``pack`` wrote."""
    steps, lengths = zlib.decompress(base64.b85decode(text)).decode().split("|")
    windows = []
    start = _EPOCH
    for step, length in zip(_flat(steps), _flat(lengths), strict=True):
        start += timedelta(seconds=step)
        windows.append(Window(start, start + timedelta(seconds=length)))
    return tuple(windows)


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
