"""AdfRecoverStuckTriggerRunsOperator: what is stuck is cancelled and rerun once, all else left alone."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.client import FactoryClient
from airflow_provider_adfruns.adf.errors import (
    InvalidInput,
    RunsNotAsWanted,
    TriggerNotFound,
    TriggerRunNotFound,
    UnexpectedAnswer,
    WaitTimedOut,
    WrongTriggerType,
)
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch import recover as recoveries
from airflow_provider_adfruns.batch.cancel_waiting import cancel_waiting_trigger_runs
from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from tests.adf.talking import talk
from tests.conftest import calls
from tests.provider.scenarios import NOW
from tests.provider.tasks import Task, latest_statuses, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.model import Trigger
    from airflow_provider_adfruns.batch.cancel_report import CancelReport
    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

WAITS: dict[str, Any] = {"status": "WaitingOnDependency"}
# Of six hours of "report" two are stuck (2 and 4), one waits for a failed window (3), one for its turn (5).
STUCK: dict[str, Any] = {
    "now": NOW,
    "pipelines": {"load": {"seconds": 60}, "report": {"seconds": 60}},
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "windows": [{"from": "-PT6H", "count": 6, "except": [{"windows": 3, "status": "Failed"}]}],
        },
        "report": {
            "pipeline": "report",
            "dependsOn": [{"trigger": "hourly"}],
            "windows": [
                {
                    "from": "-PT6H",
                    "count": 6,
                    "except": [
                        {
                            "windows": 2,
                            "runs": [{"status": "WaitingOnDependency", "id": "two", "stuck": True}],
                        },
                        {"windows": 3, "runs": [{"status": "WaitingOnDependency", "id": "three"}]},
                        {
                            "windows": 4,
                            "runs": [{"status": "WaitingOnDependency", "id": "four", "stuck": True}],
                        },
                    ],
                }
            ],
        },
        "nightly": {"type": "ScheduleTrigger", "pipeline": "load", "frequency": "Day"},
    },
}
NIGHT: dict[str, Any] = {"window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T06:00:00Z"}
WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def recover(**parameters: Any) -> Task:
    return Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="report", **parameters)


def windows(emulator: AdfEmulator) -> list[str]:
    return list(latest_statuses(emulator, "report").values())


def sent(emulator: AdfEmulator, operation: str) -> list[str]:
    return sorted(str(entry.subject) for entry in calls(emulator, operation))


@WAYS_TO_WAIT
def test_in_a_dag_run_stuck_windows_are_cancelled_then_rerun_and_others_left_waiting(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(STUCK)
    with DAG("recover", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRecoverStuckTriggerRunsOperator(
            task_id="recover", trigger_name="report", **NIGHT, deferrable=deferrable
        )
    ran = run_dag(dag)
    assert ran.states == {"recover": "success"}
    assert sent(emulator, "TriggerRuns_Cancel") == ["four", "two"]
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]
    assert windows(emulator) == [*["Succeeded"] * 3, "WaitingOnDependency", *["Succeeded"] * 2]
    assert ran.xcom("recover")["counts"] == {"Succeeded": 2}


def test_no_window_is_rerun_before_its_run_is_cancelled(factory: Start) -> None:
    slow = deepcopy(STUCK)
    slow["triggers"]["report"]["cancel_seconds"] = 600
    emulator = factory(slow)
    assert recover(**NIGHT).run()["counts"] == {"Succeeded": 2}
    assert {entry.status for entry in calls(emulator, "TriggerRuns_Rerun")} == {200}
    cancelled = max(entry.at for entry in calls(emulator, "TriggerRuns_Cancel"))
    rerun = min(entry.at for entry in calls(emulator, "TriggerRuns_Rerun"))
    assert rerun - cancelled >= timedelta(seconds=600)


def reasons(result: dict[str, Any]) -> dict[str, str]:
    return {each["run_id"]: each["reason"] for each in result["skipped"]}


def test_the_report_says_for_what_a_window_waits_rightly(factory: Start) -> None:
    factory(STUCK)
    reason = reasons(recover(**NIGHT).run())["three"]
    window = "window 2026-03-01 03:00:00 to 2026-03-01 04:00:00"
    assert reason == f"it waits as it should: {window} of trigger 'hourly' is Failed"


def test_run_ids_choose_the_windows_and_are_judged_all_the_same(factory: Start) -> None:
    emulator = factory(STUCK)
    result = recover(run_ids=["two", "three"]).run()
    assert result["counts"] == {"Succeeded": 1}
    assert sent(emulator, "TriggerRuns_Cancel") == sent(emulator, "TriggerRuns_Rerun") == ["two"]
    assert reasons(result)["three"].startswith("it waits as it should")


def test_a_quiet_night_is_a_success_that_sends_nothing(factory: Start) -> None:
    emulator = factory(STUCK)
    result = recover(window_start="2026-03-01T00:00:00Z", window_end="2026-03-01T02:00:00Z").run()
    assert writes(emulator) == []
    assert (result["counts"], result["run_ids"]) == ({}, [])


def test_a_dry_run_says_what_would_be_recovered_and_changes_nothing(factory: Start) -> None:
    emulator = factory(STUCK)
    result = recover(**NIGHT, dry_run=True).run()
    assert writes(emulator) == []
    assert result["counts"] == {"planned": 2}
    assert result["run_ids"] == ["two", "four"]


def test_without_a_wait_the_task_ends_when_the_new_runs_show(factory: Start) -> None:
    emulator = factory(STUCK)
    result = recover(**NIGHT, wait_for_completion=False).run()
    assert len(result["run_ids"]) == 2
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "two"]


def changed(**report: Any) -> dict[str, Any]:
    """Return the factory with other words for the trigger whose windows wait."""
    scenario = deepcopy(STUCK)
    scenario["triggers"]["report"] |= report
    return scenario


def test_a_window_waits_rightly_until_what_it_waits_for_is_whole_for_long_enough(factory: Start) -> None:
    just_now = {"windows": 4, "runs": [{"status": "Succeeded", "id": "late", "at": "-PT5M"}]}
    scenario = deepcopy(STUCK)
    scenario["triggers"]["hourly"]["windows"][0]["except"].append(just_now)
    emulator = factory(scenario)
    result = recover(**NIGHT).run()
    assert sent(emulator, "TriggerRuns_Rerun") == ["two"]
    assert reasons(result)["four"].endswith("of trigger 'hourly' has succeeded only just now")
    emulator.advance(900)
    assert recover(**NIGHT).run()["counts"] == {"Succeeded": 1}


def test_a_window_that_has_begun_to_wait_only_just_now_is_left_alone(factory: Start) -> None:
    scenario = deepcopy(STUCK)
    [report] = scenario["triggers"]["report"]["windows"]
    report["except"][0]["runs"][0]["at"] = "-PT5M"
    emulator = factory(scenario)
    result = recover(**NIGHT).run()
    assert sent(emulator, "TriggerRuns_Cancel") == ["four"]
    assert reasons(result)["two"] == "it has begun to wait only at 2026-03-01 06:35:00"


def test_of_a_chain_of_windows_that_wait_for_each_other_only_the_first_is_stuck(factory: Start) -> None:
    chain = [
        {"windows": 2, "runs": [{**WAITS, "id": "two", "stuck": True}]},
        {"windows": "3..5", **WAITS},
    ]
    emulator = factory(
        changed(
            dependsOn=[{"self": True, "offset": "-PT1H"}],
            windows=[{"from": "-PT6H", "count": 6, "except": chain}],
        )
    )
    result = recover(**NIGHT).run()
    assert sent(emulator, "TriggerRuns_Cancel") == sent(emulator, "TriggerRuns_Rerun") == ["two"]
    assert [reason for reason in reasons(result).values() if "of trigger 'report' is WaitingOnDep" in reason]
    emulator.advance(600)
    assert windows(emulator) == ["Succeeded"] * 6


def test_dependencies_are_not_looked_at_on_request(factory: Start) -> None:
    emulator = factory(STUCK)
    recover(**NIGHT, check_dependencies=False, wait_for_completion=False).run()
    assert sent(emulator, "TriggerRuns_Rerun") == ["four", "three", "two"]


def test_a_dependency_of_an_unknown_kind_fails_the_task_before_anything_is_sent(factory: Start) -> None:
    emulator = factory(changed(state="stopped"))
    extra = emulator.connection()["extra"]
    address = (
        f"{emulator.url}/subscriptions/{extra['subscriptionId']}/resourceGroups/{extra['resource_group_name']}"
        f"/providers/Microsoft.DataFactory/factories/{extra['factory_name']}/triggers/report"
    )
    version = {"api-version": "2018-06-01"}
    document = httpx.get(address, params=version).raise_for_status().json()
    [dependency] = document["properties"]["typeProperties"]["dependsOn"]
    reference = {"type": "TriggerDependencyReference", "referenceTrigger": dependency["referenceTrigger"]}
    document["properties"]["typeProperties"]["dependsOn"] = [reference]
    httpx.put(address, params=version, json=document).raise_for_status()
    with pytest.raises(UnexpectedAnswer, match=r"'report' has.*'TriggerDepend.*check_dependencies=F"):
        recover(**NIGHT).run()
    assert {entry.principal for entry in writes(emulator)} == {"anonymous"}
    assert recover(**NIGHT, check_dependencies=False, dry_run=True).run()["counts"] == {"planned": 3}


def test_an_upstream_trigger_that_is_not_there_is_told_as_one_that_is_waited_for(
    factory: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(STUCK)
    get_trigger = FactoryClient.get_trigger

    async def gone(self: FactoryClient, trigger_name: str) -> Trigger:
        if trigger_name == "hourly":
            emulator.fail_next("Triggers_Get", status=404)
        return await get_trigger(self, trigger_name)

    monkeypatch.setattr(FactoryClient, "get_trigger", gone)
    with pytest.raises(TriggerNotFound, match=r"'report' waits for trigger 'hourly', which is not there"):
        recover(**NIGHT).run()
    assert writes(emulator) == []


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"run_ids": "unknown"}, TriggerRunNotFound, r"run_ids: unknown: trigger 'report'.*Check the ids"),
        ({**NIGHT, "max_windows": 1}, InvalidInput, r"max_windows: the selection has 2 windows"),
        ({**NIGHT, "trigger_name": "nightly"}, WrongTriggerType, r"'nightly' is a ScheduleTrigger"),
    ],
)
def test_bad_input_fails_the_task_before_anything_is_sent(
    factory: Start, parameters: dict[str, Any], error: type[Exception], said: str
) -> None:
    emulator = factory(STUCK)
    task = Task(AdfRecoverStuckTriggerRunsOperator, **{"trigger_name": "report", **parameters})
    with pytest.raises(error, match=said):
        task.run()
    assert writes(emulator) == []


@pytest.mark.parametrize("seconds", [0, -1, 59, "900", True])
def test_a_time_in_which_no_window_could_begin_is_refused_when_the_dag_is_parsed(seconds: Any) -> None:
    with pytest.raises(InvalidInput, match=r"stuck_after"):
        recover(**NIGHT, stuck_after=seconds).make()


@WAYS_TO_WAIT
@pytest.mark.parametrize("operation", ["TriggerRuns_Cancel", "TriggerRuns_Rerun"])
@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"drop_connection": True}, {"drop_connection": True, "processed": True}],
    ids=["refused", "lost", "lost but done"],
)
def test_a_lost_answer_is_settled_by_looking(
    factory: Start, deferrable: bool, operation: str, fault: dict[str, Any]
) -> None:
    emulator = factory(STUCK)
    emulator.fail_next(operation, **fault)
    assert recover(**NIGHT, deferrable=deferrable).run()["counts"] == {"Succeeded": 2}
    effects = [str(entry.subject) for entry in calls(emulator, operation) if entry.effect]
    assert sorted(effects) == ["four", "two"]


@WAYS_TO_WAIT
def test_a_window_whose_run_could_not_be_cancelled_fails_the_task_and_does_not_stop_the_others(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(STUCK)
    emulator.fail_next("TriggerRuns_Cancel", status=403)
    task = recover(**NIGHT, deferrable=deferrable)
    with pytest.raises(
        RunsNotAsWanted, match=r"1 of 2 windows.*its run was not cancelled: .*has no permission"
    ):
        task.run()
    assert len(sent(emulator, "TriggerRuns_Rerun")) == 1
    assert task.ti.report["counts"] == {"refused": 1, "Succeeded": 1}


@WAYS_TO_WAIT
def test_a_window_that_begins_to_run_before_its_cancel_is_left_alone(
    factory: Start, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(STUCK)
    carry_out = cancel_waiting_trigger_runs

    async def late(client: FactoryClient, *arguments: Any, **options: Any) -> CancelReport:
        [failed] = [run for run in emulator.trigger_runs("hourly") if run["status"] == "Failed"]
        await client.rerun_trigger_run("hourly", failed["triggerRunId"])
        await pause(90)  # then what waits for it runs
        return await carry_out(client, *arguments, **options)

    monkeypatch.setattr(recoveries, "cancel_waiting_trigger_runs", late)
    result = recover(**NIGHT, deferrable=deferrable, check_dependencies=False).run()
    assert result["counts"] == {"Succeeded": 2}
    assert reasons(result)["three"] == "it has gone on by itself"
    assert "three" not in sent(emulator, "TriggerRuns_Rerun")
    assert windows(emulator) == ["Succeeded"] * 6


@WAYS_TO_WAIT
def test_a_timeout_while_runs_are_being_cancelled_names_the_windows_and_reruns_none(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(changed(cancel_seconds=7200))
    task = recover(**NIGHT, deferrable=deferrable, timeout=600)
    said = r"2 not final: trigger run.* not rerun: 2; rerun them by their run ids"
    with pytest.raises(WaitTimedOut, match=said):
        task.run()
    assert sent(emulator, "TriggerRuns_Rerun") == []
    [problem] = {each["problem"] for each in task.ti.report["windows"]}
    assert problem.startswith("its run is cancelled or about to be, and it was not rerun: the deadline came")


@WAYS_TO_WAIT
def test_a_cancel_that_is_not_complete_in_time_is_named_and_holds_up_no_other_window(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(changed(cancel_seconds=1000))

    async def cancel(client: FactoryClient) -> None:
        await client.cancel_trigger_run("report", "two")

    talk(emulator, cancel)
    emulator.advance(300)  # so it will be Cancelled in time, and the other will not
    task = recover(**NIGHT, deferrable=deferrable, stuck_after=900)
    said = r"1 of 2 windows.* 04:00:00 .*its run is WaitingOnDependency still, 900 seconds after its cancel"
    with pytest.raises(RunsNotAsWanted, match=said):
        task.run()
    assert sent(emulator, "TriggerRuns_Rerun") == ["two"]
    assert task.ti.report["counts"] == {"Succeeded": 1, "refused": 1}


def test_while_runs_are_being_cancelled_the_trigger_is_made_again_from_json_as_it_was(factory: Start) -> None:
    factory(STUCK)
    trigger = recover(**NIGHT, deferrable=True).defer().trigger
    assert through_json(trigger).serialize() == trigger.serialize()


def test_queries_name_the_trigger_as_it_is_published_for_they_may_mind_the_case(factory: Start) -> None:
    emulator = factory(STUCK)
    Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="REPORT", **NIGHT).run()
    asked = [entry.body["filters"][0]["values"] for entry in calls(emulator, "TriggerRuns_QueryByFactory")]
    assert {name for values in asked for name in values} == {"report", "hourly"}


def test_a_window_of_the_own_trigger_is_looked_for_by_its_published_name(factory: Start) -> None:
    chain = {"windows": 2, "runs": [{**WAITS, "id": "two", "stuck": True}]}
    emulator = factory(
        changed(
            dependsOn=[{"self": True, "offset": "-PT1H"}],
            windows=[{"from": "-PT6H", "count": 6, "except": [chain]}],
        )
    )
    Task(AdfRecoverStuckTriggerRunsOperator, trigger_name="REPORT", **NIGHT).run()
    assert sent(emulator, "TriggerRuns_Rerun") == ["two"]
