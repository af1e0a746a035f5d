"""Which trigger runs a task means: parameters -> a checked selection; pure."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.model import TriggerRun, TriggerRunStatus, Window
from airflow_provider_adfruns.adf.names import check_run_ids, check_trigger_name
from airflow_provider_adfruns.adf.queries import HISTORY

FINAL_STATUSES = frozenset(status for status in TriggerRunStatus if status.is_final)
DEFAULT_RERUN_STATUSES = frozenset({TriggerRunStatus.FAILED, TriggerRunStatus.CANCELLED})


class OnRunning(StrEnum):
    """What a cancel of waiting trigger runs does about those that are running already."""

    FAIL = "fail"
    SKIP = "skip"
    CANCEL_PIPELINE_RUNS = "cancel_pipeline_runs"


@dataclass(frozen=True, slots=True)
class WindowSelection:
    """Runs of one trigger: either those with ``run_ids``, or those whose window lies in ``window_range``."""

    trigger_name: str
    run_ids: tuple[str, ...]
    window_range: Window | None
    _named: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_named", frozenset(self.run_ids))

    def names(self, run: TriggerRun) -> bool:
        """Whether this very run is asked for by its id."""
        return run.trigger_run_id in self._named

    def includes(self, run: TriggerRun) -> bool:
        """Whether the run is meant; of a range, whether its whole window lies inside."""
        if self.window_range is None:
            return self.names(run)
        if run.window is None:
            return False
        return self.window_range.start <= run.window.start and run.window.end <= self.window_range.end

    def cuts(self, run: TriggerRun) -> bool:
        """Whether only a part of the run's window lies inside the range."""
        if self.window_range is None or run.window is None or self.includes(run):
            return False
        return run.window.start < self.window_range.end and self.window_range.start < run.window.end

    def check_history(self, now: datetime) -> None:
        """Refuse a range that reaches further back than the factory's history.

        :param now: the service's time.
        :raises InvalidInput: since a window's latest run may then be unknown (older queries are silently
            truncated, as the docs say), and a window that has succeeded could be taken for a failed one.
        """
        if self.window_range is not None and self.window_range.start < now - HISTORY:
            raise InvalidInput(
                f"window_start: {self.window_range.start.isoformat()} is more than {HISTORY.days} days ago,"
                f" and a factory keeps its runs for {HISTORY.days} days only, so what became of older windows"
                f" cannot be known. Expected {(now - HISTORY).isoformat()} or later. To rerun older windows"
                " that ran within the last days (a backfill), give their run_ids instead."
            )

    def history_start(self, now: datetime) -> datetime:
        """Return since when runs have to be read: a window never runs before it begins."""
        if self.window_range is None:
            return now - HISTORY
        return max(self.window_range.start, now - HISTORY)


def check_choice(run_ids: object, window_start: object, window_end: object) -> None:
    """Check that exactly one of ids and range is given, whatever they will be rendered to.

    :raises InvalidInput: for both, neither, or half a range.
    """
    has_range = window_start is not None or window_end is not None
    if run_ids is not None and has_range:
        raise InvalidInput(
            "run_ids and window_start/window_end are both given. Expected one of them: run_ids for chosen"
            " runs, or window_start and window_end for all windows in a range."
        )
    if run_ids is None and not has_range:
        raise InvalidInput("neither run_ids nor window_start and window_end are given. Expected one of them.")
    if has_range and (window_start is None or window_end is None):
        missing = "window_start" if window_start is None else "window_end"
        raise InvalidInput(f"{missing} is not given. Expected both window_start and window_end.")


def select_windows(
    trigger_name: object, run_ids: object = None, window_start: object = None, window_end: object = None
) -> WindowSelection:
    """Check the parameters that name trigger runs.

    :param trigger_name: the trigger.
    :param run_ids: one trigger run id or several.
    :param window_start: start of the range, included; an aware datetime or ISO 8601 with an offset.
    :param window_end: end of the range; a window that ends at this time is inside.
    :raises InvalidInput: names the parameter, what was expected and what to do.
    """
    check_choice(run_ids, window_start, window_end)
    name = check_trigger_name(trigger_name)
    if run_ids is not None:
        return WindowSelection(name, check_run_ids(listed(run_ids)), None)
    start, end = aware_time(window_start, "window_start"), aware_time(window_end, "window_end")
    if end <= start:
        raise InvalidInput(
            f"window_end: {end.isoformat()} is not after window_start {start.isoformat()}. Expected a range"
            " with its start first; swap them if they are the wrong way round."
        )
    return WindowSelection(name, (), Window(start, end))


def aware_time(value: object, parameter: str) -> datetime:
    """Return a parameter's time in UTC.

    :param value: an aware datetime, or a text in ISO 8601 with ``Z`` or an offset.
    :raises InvalidInput: for a time without a zone, or no time at all.
    """
    parsed = value
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise InvalidInput(
                f"{parameter}: {value!r} is not a time. Expected ISO 8601, such as '2026-03-01T00:00:00Z'."
            ) from error
    if not isinstance(parsed, datetime):
        raise InvalidInput(
            f"{parameter}: {value!r} is not a time. Expected a datetime or a text in ISO 8601."
        )
    if parsed.tzinfo is None:
        raise InvalidInput(
            f"{parameter}: {value!r} has no time zone, so it could mean other windows than you think."
            " Expected 'Z' or an offset at the end, or a datetime with tzinfo (pendulum.datetime has one)."
        )
    return parsed.astimezone(UTC)


def listed(values: object, parameter: str = "run_ids", noun: str = "run id") -> list[object]:
    """Return one or many values as a list; a template may have rendered a list to its text.

    :param values: one text, several with commas between, or a list.
    :param parameter: the parameter's name, for the message.
    :param noun: what one value is, for the message.
    :raises InvalidInput: for anything else, a mapping, say, or the text that a template makes of nothing.
    """
    many = parameter.replace("_", " ")
    given = values.strip() if isinstance(values, str) else values
    if isinstance(given, str) and given.startswith(("[", "(", "{")):
        try:
            given = ast.literal_eval(given)
        except (ValueError, SyntaxError) as error:
            raise InvalidInput(
                f"{parameter}: {given[:200]!r} is not a list. Expected a list of {many}."
            ) from error
    if given == "None":
        raise InvalidInput(
            f"{parameter}: the text 'None' is what a template makes of a value that is not there. Expected a"
            " list; check the task or variable that it is taken from."
        )
    if isinstance(given, str):
        return [part.strip() for part in given.split(",") if part.strip()]
    if isinstance(given, Mapping):
        raise InvalidInput(
            f"{parameter}: {str(given)[:200]!r} is a mapping. Expected a list; of the result of a task of"
            " this package take its entry 'run_ids'."
        )
    if isinstance(given, Iterable):
        return list(given)
    raise InvalidInput(f"{parameter}: {given!r} is neither a {noun} nor a list of {many}.")


def rerunnable_statuses(values: object) -> frozenset[TriggerRunStatus] | None:
    """Check the statuses that a rerun selects by.

    :param values: one or several; None for the default.
    :raises InvalidInput: for an empty list or a status that cannot be rerun: only final runs can.
    """
    if values is None:
        return None
    given = listed(values, "statuses", "status")
    allowed = ", ".join(sorted(FINAL_STATUSES))
    if not given:
        raise InvalidInput(f"statuses: the list is empty. Expected at least one of {allowed}.")
    chosen = set()
    for value in given:
        status = TriggerRunStatus(value) if isinstance(value, str) else None
        if status not in FINAL_STATUSES or status is None:
            raise InvalidInput(
                f"statuses: {value!r} cannot be rerun. Expected {allowed}; a run that is not final has to be "
                "cancelled or waited for first."
            )
        chosen.add(status)
    return frozenset(chosen)
