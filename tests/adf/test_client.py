"""Every call of FactoryClient against a local factory, in both generations of the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    FactoryNotFound,
    InvalidInput,
    NotWaitingOnDependency,
    PipelineNotFound,
    PipelineRunEnded,
    PipelineRunNotFound,
    TriggerNotFound,
    UnexpectedAnswer,
    WrongTriggerType,
)
from airflow_provider_adfruns.adf.model import PipelineRunStatus, TriggerRunStatus, Window
from airflow_provider_adfruns.adf.queries import RunFilter
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]
    Work = Callable[[FactoryClient], Awaitable[Any]]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
PARENT = "11111111-1111-4111-8111-111111111111"
FAILED = "22222222-2222-4222-8222-222222222222"
CHOSEN = "33333333-3333-4333-8333-333333333333"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
SCENARIO: dict[str, Any] = {
    "now": NOW.isoformat(),
    "query_lag_seconds": 0,
    "rerun_waiting_seconds": 2,
    "pipelines": {
        "load": {"seconds": 60, "parameters": {"day": "1"}},
        "close_day": {"activities": [{"name": "Close regions", "pipeline": "load"}]},
    },
    "triggers": {
        "hourly sales": {
            "pipeline": "load",
            "state": "stopped",
            "windows": [
                {"from": "-PT2H", "count": 1, "runs": [{"status": "Failed", "id": "failed-window"}]},
                {
                    "from": "-PT4H",
                    "count": 1,
                    "runs": [{"status": "WaitingOnDependency", "id": "waiting", "stuck": True}],
                },
            ],
        },
        "daily": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Hour"},
    },
    "runs": [
        {"pipeline": "close_day", "status": "InProgress", "started": "-PT30S", "id": PARENT},
        {
            "pipeline": "load",
            "status": "Failed",
            "started": "-PT5H",
            "id": FAILED,
            "parameters": {"day": "2"},
        },
    ],
}
ALL_DAY: Any = {"last_updated_after": NOW - timedelta(days=1), "last_updated_before": NOW + timedelta(days=1)}


@pytest.fixture(params=["2021", "2022"])
def night(request: pytest.FixtureRequest, factory: Factory) -> AdfEmulator:
    return factory(SCENARIO, wire_generation=request.param)


def refusal(emulator: AdfEmulator, work: Work, **options: Any) -> AdfRunsError:
    with pytest.raises(AdfRunsError) as refused:
        talk(emulator, work, **options)
    return refused.value


def test_the_factory_can_be_asked_for(night: AdfEmulator) -> None:
    talk(night, lambda client: client.check_factory())
    assert [entry.operation for entry in night.journal] == ["Factories_Get"]


def test_a_pipeline_run_is_got(night: AdfEmulator) -> None:
    run = talk(night, lambda client: client.get_pipeline_run(PARENT))
    assert (run.run_id, run.pipeline_name, run.status) == (PARENT, "close_day", PipelineRunStatus.IN_PROGRESS)
    assert (run.run_start, run.run_end) == (NOW - timedelta(seconds=30), None)


def test_pipeline_runs_are_queried_with_filters(night: AdfEmulator) -> None:
    only_failed = [RunFilter("Status", "Equals", ("Failed",)), RunFilter("PipelineName", "In", ("load", "x"))]
    runs = talk(night, lambda client: client.query_pipeline_runs(**ALL_DAY, filters=only_failed))
    assert FAILED in {run.run_id for run in runs}
    assert {(run.status, run.pipeline_name) for run in runs} == {(PipelineRunStatus.FAILED, "load")}


def test_a_child_run_is_found_by_its_parents_activity(night: AdfEmulator) -> None:
    [activity] = talk(night, lambda client: client.query_activity_runs(PARENT, **ALL_DAY))
    child = talk(night, lambda client: client.get_pipeline_run(activity.child_run_id or ""))
    assert (activity.activity_name, activity.activity_type) == ("Close regions", "ExecutePipeline")
    assert child.invoked_by is not None
    assert child.invoked_by.pipeline_run_id == PARENT


def test_an_unknown_run_has_no_activity_runs(night: AdfEmulator) -> None:
    assert talk(night, lambda client: client.query_activity_runs(UNKNOWN, **ALL_DAY)) == []


def test_trigger_runs_are_queried_with_their_windows(night: AdfEmulator) -> None:
    name = RunFilter("TriggerName", "Equals", ("hourly sales",))
    runs = talk(night, lambda client: client.query_trigger_runs(**ALL_DAY, filters=[name]))
    found = {run.trigger_run_id: (run.status, run.window) for run in runs}
    four, two = (NOW.replace(hour=hour, minute=0) for hour in (2, 4))
    assert found == {
        "failed-window": (TriggerRunStatus.FAILED, Window(two, two + timedelta(hours=1))),
        "waiting": (TriggerRunStatus.WAITING_ON_DEPENDENCY, Window(four, four + timedelta(hours=1))),
    }


def test_a_rerun_makes_a_new_run_of_the_same_group(night: AdfEmulator) -> None:
    talk(night, lambda client: client.rerun_trigger_run("hourly sales", "failed-window"))
    [rerun] = calls(night, "TriggerRuns_Rerun")
    assert (rerun.subject, rerun.effect["groupId"]) == ("failed-window", "failed-window")


def test_a_waiting_trigger_run_is_cancelled(night: AdfEmulator) -> None:
    talk(night, lambda client: client.cancel_trigger_run("hourly sales", "waiting"))
    night.advance(60)
    statuses = {run["triggerRunId"]: run["status"] for run in night.trigger_runs("hourly sales")}
    assert statuses["waiting"] == "Cancelled"


@pytest.mark.parametrize(
    ("is_recursive", "statuses"), [(True, ["Cancelled"] * 2), (False, ["Cancelled", "Succeeded"])]
)
def test_a_cancel_takes_the_children_along_only_if_it_is_recursive(
    night: AdfEmulator, is_recursive: bool, statuses: list[str]
) -> None:
    talk(night, lambda client: client.cancel_pipeline_run(PARENT, is_recursive=is_recursive))
    night.advance(600)
    ended = {run["runId"]: run["status"] for run in night.pipeline_runs()}
    [child] = [
        run["runId"] for run in night.pipeline_runs() if run["invokedBy"].get("pipelineRunId") == PARENT
    ]
    assert [ended[PARENT], ended[child]] == statuses


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({}, {}),
        ({"start_from_failure": True}, {"startFromFailure": "true"}),
        ({"start_activity_name": "Work"}, {"startActivityName": "Work"}),
    ],
)
def test_a_recovery_run_has_the_id_that_was_chosen_and_the_group_of_the_reference(
    night: AdfEmulator, options: dict[str, Any], query: dict[str, str]
) -> None:
    new_id = talk(night, lambda client: client.create_recovery_run("load", FAILED, run_id=CHOSEN, **options))
    run = talk(night, lambda client: client.get_pipeline_run(CHOSEN))
    assert new_id == CHOSEN
    assert (run.run_group_id, run.parameters) == (FAILED, {"day": "2"})
    [sent] = calls(night, "Pipelines_CreateRun")
    assert {k: v for k, v in sent.query.items() if k.startswith("start")} == query
    assert sent.query["isRecovery"] == "true"


def test_each_recovery_run_without_a_chosen_id_has_one_of_its_own(night: AdfEmulator) -> None:
    ids = {talk(night, lambda client: client.create_recovery_run("load", FAILED)) for _ in range(2)}
    assert len(ids) == 2
    assert ids <= {run["runId"] for run in night.pipeline_runs()}


def test_a_trigger_is_got(night: AdfEmulator) -> None:
    trigger = talk(night, lambda client: client.get_trigger("hourly sales"))
    assert (trigger.name, trigger.is_tumbling_window, trigger.runtime_state) == (
        "hourly sales",
        True,
        "Stopped",
    )


def test_triggers_are_listed(night: AdfEmulator) -> None:
    triggers = talk(night, lambda client: client.list_triggers())
    assert sorted((trigger.name, trigger.is_tumbling_window) for trigger in triggers) == [
        ("daily", False),
        ("hourly sales", True),
    ]


@pytest.mark.parametrize("generation", ["2021", "2022"])
def test_a_query_reads_all_pages(factory: Factory, generation: str) -> None:
    emulator = factory(
        {
            "now": NOW.isoformat(),
            "pipelines": {"load": {}},
            "triggers": {"hourly": {"pipeline": "load", "state": "stopped", "windows": {"count": 250}}},
        },
        wire_generation=generation,
    )
    span: Any = {
        "last_updated_after": NOW - timedelta(days=40),
        "last_updated_before": NOW + timedelta(days=1),
    }
    runs = talk(emulator, lambda client: client.query_trigger_runs(**span))
    assert len({run.window for run in runs}) == len(runs) == 250
    assert len(calls(emulator, "TriggerRuns_QueryByFactory")) == 3


def test_a_query_is_sent_in_utc_whatever_the_callers_zone(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    zone = datetime(2026, 3, 1, 2, tzinfo=UTC).astimezone()
    span: Any = {"last_updated_after": zone, "last_updated_before": zone + timedelta(hours=1)}
    talk(emulator, lambda client: client.query_pipeline_runs(**span))
    body = emulator.journal[-1].body
    assert (body["lastUpdatedAfter"], body["lastUpdatedBefore"]) == (
        "2026-03-01T02:00:00Z",
        "2026-03-01T03:00:00Z",
    )


UNKNOWN_THINGS: list[Any] = [
    (lambda client: client.get_pipeline_run(UNKNOWN), PipelineRunNotFound, [UNKNOWN, "night-adf"]),
    (
        lambda client: client.cancel_pipeline_run(UNKNOWN, is_recursive=True),
        PipelineRunNotFound,
        [UNKNOWN, "night-adf", "Check"],
    ),
    (lambda client: client.get_trigger("nope"), TriggerNotFound, ["'nope'", "night-adf", "Check"]),
    (
        lambda client: client.create_recovery_run("nope", FAILED),
        PipelineNotFound,
        ["'nope'", "night-adf", "Check"],
    ),
    (lambda client: client.create_recovery_run("load", UNKNOWN), PipelineRunNotFound, [UNKNOWN, "night-adf"]),
    (
        lambda client: client.cancel_pipeline_run(FAILED, is_recursive=True),
        PipelineRunEnded,
        [FAILED, "Failed", "already completed"],
    ),
    (
        lambda client: client.cancel_trigger_run("hourly sales", "failed-window"),
        NotWaitingOnDependency,
        ["failed-window", "'hourly sales'", "WaitingOnDependency"],
    ),
]


@pytest.mark.parametrize(("work", "expected", "parts"), UNKNOWN_THINGS)
def test_what_the_service_refuses_is_named(
    night: AdfEmulator, work: Work, expected: type[AdfRunsError], parts: list[str]
) -> None:
    error = refusal(night, work)
    assert type(error) is expected
    for part in parts:
        assert part in str(error)
    assert len(night.journal) == 1


def test_a_run_of_a_schedule_trigger_cannot_be_rerun(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.advance(3600)
    run_id = emulator.trigger_runs("daily")[0]["triggerRunId"]
    error = refusal(emulator, lambda client: client.rerun_trigger_run("daily", run_id))
    assert isinstance(error, WrongTriggerType)
    for part in (run_id, "'daily'", "ScheduleTrigger", "tumbling window"):
        assert part in str(error)


@pytest.mark.parametrize("action", ["rerun", "cancel"])
def test_an_unknown_trigger_run_is_quoted_as_the_service_says_it(factory: Factory, action: str) -> None:
    emulator = factory(SCENARIO)
    error = refusal(emulator, lambda client: getattr(client, f"{action}_trigger_run")("hourly sales", "nope"))
    assert isinstance(error, UnexpectedAnswer)
    for part in ("nope", "'hourly sales'", "HTTP 400", "does not exist"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("factory_name", "other-adf"),
        ("resource_group_name", "other-rg"),
        ("subscriptionId", "00000000-0000-4000-8000-0000000000ff"),
    ],
)
@pytest.mark.parametrize(
    "work",
    [
        lambda client: client.check_factory(),
        lambda client: client.get_pipeline_run(PARENT),
        lambda client: client.query_pipeline_runs(**ALL_DAY),
        lambda client: client.rerun_trigger_run("hourly sales", "failed-window"),
        lambda client: client.get_trigger("hourly sales"),
        lambda client: client.list_triggers(),
    ],
    ids=["check", "get", "query", "rerun", "trigger", "list"],
)
def test_a_factory_that_is_not_there_is_named_whatever_is_asked_of_it(
    factory: Factory, field: str, value: str, work: Work
) -> None:
    error = refusal(factory(SCENARIO), work, **{field: value})
    assert isinstance(error, FactoryNotFound)
    for part in (value, "resource_group_name, factory_name and subscriptionId", "azure_data_factory_default"):
        assert part in str(error)


@pytest.mark.parametrize(
    "work",
    [
        lambda client: client.get_pipeline_run("a/b"),
        lambda client: client.query_activity_runs("../x", **ALL_DAY),
        lambda client: client.cancel_pipeline_run("a.b", is_recursive=False),
        lambda client: client.cancel_trigger_run("a/b", "x"),
        lambda client: client.cancel_trigger_run("a", "x/y"),
        lambda client: client.rerun_trigger_run("hourly sales", "x.y"),
        lambda client: client.create_recovery_run("load", "x/y"),
        lambda client: client.create_recovery_run("a/b", FAILED),
        lambda client: client.create_recovery_run("load", FAILED, run_id="not/an/id"),
        lambda client: client.get_trigger("../factories"),
    ],
)
def test_a_name_that_would_address_something_else_is_never_sent(factory: Factory, work: Work) -> None:
    emulator = factory(SCENARIO)
    assert isinstance(refusal(emulator, work), InvalidInput)
    assert emulator.journal == ()


@pytest.mark.parametrize("now", ["2019-01-01T00:00:00+00:00", "2033-12-31T23:59:59+00:00"])
def test_now_is_the_services_time_however_far_the_workers_clock_is_off(factory: Factory, now: str) -> None:
    emulator = factory({"now": now, "pipelines": {"load": {}}})
    assert talk(emulator, lambda client: client.now()) == datetime.fromisoformat(now)


def test_now_is_asked_for_once_and_then_moves_with_the_answers(factory: Factory) -> None:
    emulator = factory(SCENARIO)

    async def work(client: FactoryClient) -> list[datetime]:
        times = [await client.now()]
        emulator.advance(90)
        times.append(await client.now())
        await client.check_factory()
        times.append(await client.now())
        return times

    assert talk(emulator, work) == [NOW, NOW, NOW + timedelta(seconds=90)]
    assert len(emulator.journal) == 2
