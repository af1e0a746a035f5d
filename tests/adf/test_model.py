"""The wire's times, statuses and shapes, as recorded and as one may yet meet them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import (
    ActivityRun,
    ActivityRunStatus,
    Dependency,
    InvokedBy,
    PipelineRun,
    PipelineRunStatus,
    Trigger,
    TriggerRun,
    TriggerRunStatus,
    Window,
    parse_time,
    parse_timespan,
)

SECONDS = st.integers(-2_000_000_000, 250_000_000_000).map(
    lambda seconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9/10/2019 1:00:00 PM", datetime(2019, 9, 10, 13, tzinfo=UTC)),
        ("9/10/2019 12:00:00 AM", datetime(2019, 9, 10, 0, tzinfo=UTC)),
        ("9/10/2019 12:00:00 PM", datetime(2019, 9, 10, 12, tzinfo=UTC)),
        ("12/31/2020 11:59:59 PM", datetime(2020, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("06/05/2024 06:04:15", datetime(2024, 6, 5, 6, 4, 15, tzinfo=UTC)),
        ("06/05/2024 23:00:00", datetime(2024, 6, 5, 23, tzinfo=UTC)),
        ("2024-06-05T06:04:15.63015Z", datetime(2024, 6, 5, 6, 4, 15, 630150, tzinfo=UTC)),
        ("2024-06-05T06:04:15.630155Z", datetime(2024, 6, 5, 6, 4, 15, 630155, tzinfo=UTC)),
        ("2024-06-05T06:04:15.6301552Z", datetime(2024, 6, 5, 6, 4, 15, 630155, tzinfo=UTC)),
        ("2024-06-05T06:04:15Z", datetime(2024, 6, 5, 6, 4, 15, tzinfo=UTC)),
        ("2024-06-05T08:04:15+02:00", datetime(2024, 6, 5, 6, 4, 15, tzinfo=UTC)),
        ("2024-06-05T06:04:15", datetime(2024, 6, 5, 6, 4, 15, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_a_time_of_the_wire_is_read_in_utc(text: str | None, expected: datetime | None) -> None:
    parsed = parse_time(text)
    assert parsed == expected
    assert parsed is None or parsed.tzinfo is UTC


@given(SECONDS)
def test_a_time_written_as_until_2021_is_read_back(time: datetime) -> None:
    half, hour = ("PM" if time.hour >= 12 else "AM"), time.hour % 12 or 12
    text = f"{time.month}/{time.day}/{time.year} {hour}:{time:%M:%S} {half}"
    assert parse_time(text) == time


@given(SECONDS)
def test_a_time_written_as_since_2022_is_read_back(time: datetime) -> None:
    assert parse_time(f"{time:%m/%d}/{time.year} {time:%H:%M:%S}") == time


@pytest.mark.parametrize(
    "text", ["yesterday", "13/13/2024 00:00:00", "2024-13-01T00:00:00Z", "06/05/24 06:04:15"]
)
def test_a_time_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


@pytest.mark.parametrize(
    ("kind", "text", "expected", "final"),
    [
        (PipelineRunStatus, "Queued", PipelineRunStatus.QUEUED, False),
        (PipelineRunStatus, "InProgress", PipelineRunStatus.IN_PROGRESS, False),
        (PipelineRunStatus, "Inprogress", PipelineRunStatus.IN_PROGRESS, False),
        (PipelineRunStatus, "Canceling", PipelineRunStatus.CANCELING, False),
        (PipelineRunStatus, "Cancelled", PipelineRunStatus.CANCELLED, True),
        (PipelineRunStatus, "SUCCEEDED", PipelineRunStatus.SUCCEEDED, True),
        (PipelineRunStatus, "Failed", PipelineRunStatus.FAILED, True),
        (TriggerRunStatus, "Waiting", TriggerRunStatus.WAITING, False),
        (TriggerRunStatus, "waitingondependency", TriggerRunStatus.WAITING_ON_DEPENDENCY, False),
        (TriggerRunStatus, "Running", TriggerRunStatus.RUNNING, False),
        (TriggerRunStatus, "Succeeded", TriggerRunStatus.SUCCEEDED, True),
        (TriggerRunStatus, "Failed", TriggerRunStatus.FAILED, True),
        (TriggerRunStatus, "Cancelled", TriggerRunStatus.CANCELLED, True),
    ],
)
def test_a_known_status_is_recognised_in_any_case_and_says_whether_it_is_final(
    kind: type[PipelineRunStatus | TriggerRunStatus], text: str, expected: str, final: bool
) -> None:
    status = kind(text)
    assert status is expected
    assert status.is_final is final


@pytest.mark.parametrize("kind", [PipelineRunStatus, TriggerRunStatus])
@given(text=st.text(min_size=1))
def test_an_unknown_status_keeps_its_text_and_is_not_final(
    kind: type[PipelineRunStatus | TriggerRunStatus], text: str
) -> None:
    status = kind(text)
    if text.lower() in {member.lower() for member in kind}:
        return
    assert (str(status), status.is_final) == (text, False)
    assert status == kind(text)
    assert status not in list(kind)


@pytest.mark.parametrize("kind", [PipelineRunStatus, TriggerRunStatus, ActivityRunStatus])
@pytest.mark.parametrize("value", [None, 3])
def test_a_status_that_is_no_text_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        kind(value)


def pipeline_wire(**fields: Any) -> dict[str, Any]:
    return {"runId": "r1", "pipelineName": "load", "status": "InProgress", **fields}


def test_a_pipeline_run_with_the_least_fields_is_read() -> None:
    run = PipelineRun.from_wire(pipeline_wire())
    assert run == PipelineRun(
        "r1", None, "load", PipelineRunStatus.IN_PROGRESS, {}, None, None, None, None, "", is_latest=True
    )


def test_a_child_pipeline_run_names_the_run_that_started_it() -> None:
    wire = pipeline_wire(
        runGroupId="g1",
        parameters={"day": "1"},
        invokedBy={
            "id": "p1",
            "name": "Close regions",
            "invokedByType": "PipelineActivity",
            "pipelineName": "close_day",
            "pipelineRunId": "p1",
        },
        runStart="2024-06-05T06:04:15.6301552Z",
        runEnd="",
        message=None,
        isLatest=False,
    )
    run = PipelineRun.from_wire(wire)
    assert run.invoked_by == InvokedBy("p1", "Close regions", "PipelineActivity", "close_day", "p1")
    assert (run.run_group_id, run.parameters, run.message, run.is_latest) == ("g1", {"day": "1"}, "", False)
    assert (run.run_start, run.run_end) == (datetime(2024, 6, 5, 6, 4, 15, 630155, tzinfo=UTC), None)


def trigger_wire(**fields: Any) -> dict[str, Any]:
    return {
        "triggerRunId": "t1",
        "triggerName": "hourly",
        "triggerType": "TumblingWindowTrigger",
        "triggerRunTimestamp": "2024-06-05T06:04:15.6301552Z",
        "status": "Waiting",
        **fields,
    }


@pytest.mark.parametrize("end", ["9/10/2019 2:00:00 PM", "09/10/2019 14:00:00"])
def test_a_tumbling_window_run_has_its_window_in_both_generations(end: str) -> None:
    properties = {"windowStartTime": "9/10/2019 1:00:00 PM", "windowEndTime": end}
    run = TriggerRun.from_wire(trigger_wire(properties=properties, groupId="t0", triggeredPipelines=None))
    assert run.window == Window(datetime(2019, 9, 10, 13, tzinfo=UTC), datetime(2019, 9, 10, 14, tzinfo=UTC))
    assert (run.group_id, run.triggered_pipelines) == ("t0", {})


def test_a_schedule_trigger_run_has_no_window() -> None:
    run = TriggerRun.from_wire(
        trigger_wire(triggerType="ScheduleTrigger", properties={"ScheduleTime": "06/05/2024 06:04:15"})
    )
    assert run.window is None


def test_a_trigger_run_without_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="triggerRunTimestamp is empty"):
        TriggerRun.from_wire(trigger_wire(triggerRunTimestamp=""))


@pytest.mark.parametrize(
    ("activity_type", "output", "child"),
    [
        ("ExecutePipeline", {"pipelineRunId": "c1"}, "c1"),
        ("ExecutePipeline", {}, None),
        ("ExecutePipeline", None, None),
        ("ExecutePipeline", "text", None),
        ("Copy", {"pipelineRunId": "not a child"}, None),
    ],
)
def test_only_an_execute_pipeline_activity_names_a_child_run(
    activity_type: str, output: object, child: str | None
) -> None:
    run = ActivityRun.from_wire(
        {
            "activityRunId": "a1",
            "activityName": "Call",
            "activityType": activity_type,
            "pipelineRunId": "r1",
            "status": "Queued",
            "activityRunStart": "2024-06-05T06:04:15.63015Z",
            "output": output,
        }
    )
    assert run.child_run_id == child
    assert (run.status, run.end) == (ActivityRunStatus.QUEUED, None)


@pytest.mark.parametrize(("kind", "expected"), [("TumblingWindowTrigger", True), ("ScheduleTrigger", False)])
def test_a_trigger_says_whether_its_runs_have_windows(kind: str, expected: bool) -> None:
    trigger = Trigger.from_wire({"name": "hourly", "properties": {"type": kind, "runtimeState": "Started"}})
    assert (trigger.is_tumbling_window, trigger.runtime_state) == (expected, "Started")


def test_windows_sort_by_their_start() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    hours = [Window(start + timedelta(hours=n), start + timedelta(hours=n + 1)) for n in range(3)]
    assert sorted([hours[2], hours[0], hours[1]]) == hours
    assert str(hours[0]) == "2026-03-01 00:00:00 to 2026-03-01 01:00:00"


def test_an_offset_other_than_utc_makes_the_same_window() -> None:
    berlin = timezone(timedelta(hours=1))
    assert Window(datetime(2026, 3, 1, 1, tzinfo=berlin), datetime(2026, 3, 1, 2, tzinfo=berlin)) == Window(
        datetime(2026, 3, 1, 0, tzinfo=UTC), datetime(2026, 3, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("00:00:00", timedelta(0)),
        ("01:02:03", timedelta(hours=1, minutes=2, seconds=3)),
        ("-00:15:00", timedelta(minutes=-15)),
        ("10.00:60:60", timedelta(days=10, hours=1, minutes=1)),
        ("-1.02:00:00", timedelta(days=-1, hours=-2)),
    ],
)
def test_a_time_span_is_read_in_the_form_of_the_spec(text: str, length: timedelta) -> None:
    assert parse_timespan(text) == length


@pytest.mark.parametrize("text", ["", "1:00:00", "PT1H", "01:00", "+01:00:00", "01:00:00.5"])
def test_any_other_time_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time span"):
        parse_timespan(text)


def tumbling(**said: Any) -> Trigger:
    properties = {"type": "TumblingWindowTrigger", "runtimeState": "Started", "typeProperties": said}
    return Trigger.from_wire({"name": "report", "properties": properties})


def test_a_trigger_says_what_its_windows_wait_for() -> None:
    on_another = {
        "type": "TumblingWindowTriggerDependencyReference",
        "referenceTrigger": {"type": "TriggerReference", "referenceName": "hourly"},
        "offset": "-01:00:00",
        "size": "1.00:00:00",
    }
    on_itself = {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-02:00:00"}
    assert tumbling(dependsOn=[on_another, on_itself]).depends_on == (
        Dependency("hourly", timedelta(hours=-1), timedelta(days=1)),
        Dependency(None, timedelta(hours=-2), None),
    )


@pytest.mark.parametrize("said", [{}, {"dependsOn": None}, {"dependsOn": []}])
def test_a_trigger_without_dependencies_waits_for_nothing(said: dict[str, Any]) -> None:
    assert tumbling(**said).depends_on == ()


def test_a_trigger_says_when_its_first_window_begins_and_its_last_one_ends() -> None:
    begins, ends = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    assert tumbling(startTime="2026-03-01T00:00:00Z").lifetime == (begins, None)
    assert tumbling(startTime="2026-03-01T00:00:00", endTime="2026-04-01T00:00:00Z").lifetime == (
        begins,
        ends,
    )
