"""By what a cancel is judged: checked parameters, their JSON for a trigger; pure, and cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.model import PipelineRunStatus
from airflow_provider_adfruns.batch.selection import aware_time, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTCOMES = tuple(str(status) for status in PipelineRunStatus if status.is_final)


class OnStuck(StrEnum):
    """What is done about runs whose cancel is stuck or violated."""

    WAIT = "wait"
    CANCEL_AGAIN = "cancel_again"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CancelRules:
    """By what a cancel is judged.

    :param on_stuck: what is to be done; ``cancel_again`` finds a run again after each ``stuck_after``.
    :param stuck_after: how long a run may be Canceling; None for as long as it likes.
    :param violation_tolerance: how long after the cancel activities may still start, for the cancel takes
        a while to spread; None if nobody looks at them.
    :param requested_at: when the cancel was asked for, in the service's time; None for the time at which
        each run has become Canceling.
    """

    on_stuck: OnStuck = OnStuck.WAIT
    stuck_after: timedelta | None = None
    violation_tolerance: timedelta | None = None
    requested_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: seconds, and times in ISO 8601."""
        return {
            "on_stuck": str(self.on_stuck),
            "stuck_after": self.stuck_after.total_seconds() if self.stuck_after else None,
            "violation_tolerance": (
                None if self.violation_tolerance is None else self.violation_tolerance.total_seconds()
            ),
            "requested_at": self.requested_at.isoformat() if self.requested_at else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        stuck_after, tolerance, requested = (
            data["stuck_after"],
            data["violation_tolerance"],
            data["requested_at"],
        )
        return cls(
            OnStuck(data["on_stuck"]),
            None if stuck_after is None else timedelta(seconds=stuck_after),
            None if tolerance is None else timedelta(seconds=tolerance),
            datetime.fromisoformat(requested) if requested else None,
        )


def check_accept_outcomes(values: object) -> tuple[str, ...]:
    """Return the statuses that runs may end in.

    :param values: one or several of Cancelled, Succeeded and Failed, as ADF writes them.
    :raises InvalidInput: for an empty list, and for anything that is no final status.
    """
    expected = f"Expected some of {', '.join(OUTCOMES)}"
    given = listed(values, "accept_outcomes", "status")
    if not given:
        raise InvalidInput(f"accept_outcomes: the list is empty, so no end would be accepted. {expected}.")
    for value in given:
        if value not in OUTCOMES:
            raise InvalidInput(f"accept_outcomes: {value!r} is no status that a run ends in. {expected}.")
    return tuple(dict.fromkeys(str(value) for value in given))


def check_on_stuck(value: object) -> OnStuck:
    """Return what is to be done about stuck and violated cancels. :raises InvalidInput: for another word."""
    try:
        return OnStuck(value)  # type: ignore[arg-type] # any object may be asked for
    except ValueError:
        raise InvalidInput(
            f"on_stuck: {value!r} is not known. Expected one of {', '.join(OnStuck)}."
        ) from None


def check_requested_at(value: object) -> datetime | None:
    """Return when the cancel was asked for, None if that is not said. :raises InvalidInput: for no time."""
    return None if value is None else aware_time(value, "cancel_requested_at")
