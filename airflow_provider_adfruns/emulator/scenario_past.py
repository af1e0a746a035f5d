"""The past a scenario tells, compactly: blocks of windows with their exceptions, and single pipeline runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.definitions import (
    CancelScript,
    Outcome,
    OutcomeScript,
    PastRun,
    PastWindowRun,
    PastWindows,
    TriggerDefinition,
    WindowPast,
)
from airflow_provider_adfruns.emulator.parameters import as_text
from airflow_provider_adfruns.emulator.reading import ScenarioError, read_yaml
from airflow_provider_adfruns.emulator.records import FINAL, PipelineStatus, TriggerStatus

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.emulator.definitions import PipelineDefinition
    from airflow_provider_adfruns.emulator.reading import Table, Value

_AN_HOUR = timedelta(hours=1)
_MOST = 1_000_000
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def read_windows(value: Value | None, trigger: TriggerDefinition, now: datetime) -> list[PastWindows]:
    """Read ``windows`` of a trigger: a block, or a list of blocks."""
    if value is None:
        return []
    if trigger.type != "TumblingWindowTrigger":
        value.fail("absent, for a schedule trigger has no windows")
    found: list[PastWindows] = []
    for block in value.items():
        windows = _block(block, trigger, now)
        for other in found:
            twice = max(windows.first, other.first)
            if twice in windows.indices and twice in other.indices:
                block.fail(f"a block of its own windows; {trigger.grid.window(twice).start} is told twice")
        found.append(windows)
    return found


def _block(value: Value, trigger: TriggerDefinition, now: datetime) -> PastWindows:
    table = value.table()
    begin, count, until = table.take("from"), table.take("count"), table.take("until")
    usual = _said(table, now, WindowPast((PastWindowRun(TriggerStatus.SUCCEEDED),)))
    exceptions = table.take("except")
    table.done()
    given = [each is not None for each in (begin, count, until)]
    if all(given) or given in ([False, False, False], [False, False, True]):
        value.fail(
            "a block with 'from' and 'count', 'from' and 'until', 'count' and 'until', 'from', or 'count'"
        )
    grid = trigger.grid
    # Without 'until' and 'count' the windows go on to the last that has ended; so they do, backwards,
    # without 'from'.
    last = grid.index_at(until.instant(now) if until else now)
    first = grid.index_at(begin.instant(now)) if begin else last - (_many(count) if count else 0)
    if first > last and count is None:
        value.fail("a block whose 'from' lies before its 'until'")
    indices = range(first, first + _many(count) if begin and count else last)
    blocks = dict.fromkeys(indices, usual)
    for exception in exceptions.items() if exceptions else []:
        chosen, said = _exception(exception, trigger, indices, now, usual)
        blocks.update(dict.fromkeys(chosen, said))
    for said in set(blocks.values()):
        if (
            any(run.run_id or run.pipeline_run_id for run in said.runs)
            and list(blocks.values()).count(said) > 1
        ):
            value.fail("a block that gives a run's id to one window only")
    for index in (indices[0], indices[-1]) if indices else ():
        if not trigger.grid.exists(index) or trigger.grid.window(index).end > now:
            window = trigger.grid.window(index)
            value.fail(
                f"a block of windows between the trigger's startTime and now ({now}); {window.start} is not"
            )
    return PastWindows(trigger.name, first, tuple(blocks.values()))


def _said(table: Table, now: datetime, usual: WindowPast) -> WindowPast:
    status, runs, stuck = table.take("status"), table.take("runs"), table.take("stuck")
    outcome, seconds = table.take("rerun_outcome"), table.take("rerun_seconds")
    told = usual.runs
    if status is not None:
        told = (PastWindowRun(_status(status)),)
    if runs is not None:
        told = tuple(_window_run(each, now) for each in runs.items())
    if stuck is not None and stuck.flag():
        if told[-1].status != TriggerStatus.WAITING_ON_DEPENDENCY:
            stuck.fail("beside the status WaitingOnDependency")
        told = (*told[:-1], replace(told[-1], stuck=True))
    return WindowPast(
        runs=told,
        rerun_outcome=read_script(outcome) if outcome else usual.rerun_outcome,
        rerun_seconds=seconds.number() if seconds else usual.rerun_seconds,
    )


def read_script(value: Value) -> OutcomeScript:
    """Read an outcome, or a list of them consumed run by run."""
    outcomes = tuple(Outcome(each.choice(*Outcome)) for each in value.items())
    return OutcomeScript(outcomes) if outcomes else value.fail("succeeded, failed, or a list of these")


def read_cancel(value: Value) -> CancelScript:
    """Read what goes wrong with cancels: probabilities, and what goes with them."""
    table = value.table()
    stuck, unstopped, late_activity, late_child, starts_queued = (
        _chance(table.take(word))
        for word in ("stuck", "unstopped", "late_activity", "late_child", "starts_queued")
    )
    needed, late = table.take("cancels_needed"), table.take("late_seconds")
    table.done()
    if needed is not None and not stuck:
        needed.fail("beside 'stuck', for other runs need one cancel")
    if late is not None and not (late_activity or late_child):
        late.fail("beside 'late_activity' or 'late_child'")
    return CancelScript(
        stuck=stuck,
        cancels_needed=needed.integer(2) if needed else None,
        unstopped=unstopped,
        late_activity=late_activity,
        late_child=late_child,
        late_seconds=late.number() if late else CancelScript().late_seconds,
        starts_queued=starts_queued,
    )


def read_cancel_words(words: object) -> CancelScript:
    """Read the same from keyword arguments or a JSON object; ScenarioError where they make no sense."""
    if not isinstance(words, Mapping):
        raise ScenarioError(f"how a cancel goes is a mapping of words, not {words!r}")
    return read_cancel(read_yaml({"cancel": dict(words)}).table().need("cancel"))


def _chance(value: Value | None) -> float:
    if value is None:
        return 0.0
    text = value.text().casefold()
    if text in {"true", "false"}:
        return float(text == "true")
    try:
        chance = float(text)
    except ValueError:
        chance = -1.0
    return chance if 0 <= chance <= 1 else value.fail("a probability from 0 to 1, true or false")


def _exception(
    value: Value, trigger: TriggerDefinition, indices: range, now: datetime, usual: WindowPast
) -> tuple[list[int], WindowPast]:
    table = value.table()
    chosen = [
        index for each in table.need("windows").items() for index in _chosen(each, trigger, indices, now)
    ]
    said = _said(table, now, usual)
    table.done()
    return chosen, said


def _chosen(value: Value, trigger: TriggerDefinition, indices: range, now: datetime) -> list[int]:
    """Read which windows are meant: a place in the block from 0, places ``3..7``, or a window's start."""
    text = value.text()
    span = _RANGE.fullmatch(text)
    if span is not None:
        places = list(range(int(span[1]), int(span[2]) + 1))
    elif text.lstrip("-").isdigit():
        places = [int(text) if int(text) >= 0 else len(indices) + int(text)]
    else:
        places = [trigger.grid.index_at(value.instant(now)) - indices[0]]
    if any(place not in range(len(indices)) for place in places):
        value.fail(f"windows of this block: places 0..{len(indices) - 1}, or a window's start")
    return [indices[place] for place in places]


def _window_run(value: Value, now: datetime) -> PastWindowRun:
    if not value.is_table:
        return PastWindowRun(_status(value))
    table = value.table()
    status, at, stuck = _status(table.need("status")), table.take("at"), table.take("stuck")
    run_id, pipeline_run_id = table.take("id"), table.take("pipeline_run_id")
    table.done()
    return PastWindowRun(
        status=status,
        at=at.instant(now) if at else None,
        run_id=run_id.text() if run_id else None,
        pipeline_run_id=pipeline_run_id.text() if pipeline_run_id else None,
        stuck=stuck is not None and stuck.flag(),
    )


def _status(value: Value) -> str:
    return value.choice(*TriggerStatus)


def read_runs(
    value: Value | None, pipelines: Mapping[str, PipelineDefinition], now: datetime
) -> tuple[PastRun, ...]:
    """Read ``runs``: pipeline runs the factory begins with, with ``count`` several alike."""
    runs: list[PastRun] = []
    ids: set[str] = set()
    for each in value.items() if value else []:
        found = _run(each, pipelines, now)
        run_id = (found[0].run_id or "").casefold()
        if run_id in ids:
            each.fail(f"a run with an id of its own; '{found[0].run_id}' is another run's")
        if run_id:
            ids.add(run_id)
        runs += found
    return tuple(runs)


def _run(value: Value, pipelines: Mapping[str, PipelineDefinition], now: datetime) -> list[PastRun]:
    table = value.table()
    pipeline, status, count = table.need("pipeline"), table.take("status"), table.take("count")
    started, ended, run_id = table.take("started"), table.take("ended"), table.take("id")
    group_of, parameters = table.take("recovery_of"), table.take("parameters")
    failed, remaining = table.take("failed_activity"), table.take("remaining_seconds")
    cancel = table.take("cancel")
    table.done()
    if pipeline.text() not in pipelines:
        pipeline.fail("the name of a pipeline: " + ", ".join(pipelines))
    definition = pipelines[pipeline.text()]
    if failed is not None and definition.activity(failed.text()) is None:
        failed.fail("an activity of the pipeline: " + ", ".join(each.name for each in definition.activities))
    if count is not None and run_id is not None:
        run_id.fail("absent where 'count' asks for several runs")
    word = status.choice(*PipelineStatus) if status else PipelineStatus.SUCCEEDED
    begin = started.instant(now) if started else now - _AN_HOUR
    end = ended.instant(now) if ended else None
    if begin > now or (end is not None and not begin <= end <= now):
        (ended or started or value).fail(f"a time in order: started, then ended, then now ({now})")
    if end is not None and word not in FINAL:
        value.fail(f"a run without 'ended', for {word} means that it has not")
    if cancel is not None and word in FINAL:
        cancel.fail(f"absent, for a run that is {word} is not cancelled any more")
    run = PastRun(
        pipeline=definition.name,
        status=word,
        started=begin,
        ended=end,
        run_id=run_id.text() if run_id else None,
        group_of=group_of.text() if group_of else None,
        parameters={name: as_text(each.plain()) for name, each in parameters.table().rest().items()}
        if parameters
        else {},
        failed_activity=failed.text() if failed else None,
        remaining_seconds=remaining.number() if remaining else None,
        cancel=read_cancel(cancel) if cancel else None,
    )
    return [run] * (_many(count) if count else 1)


def _many(count: Value) -> int:
    return count.integer(1, _MOST)
