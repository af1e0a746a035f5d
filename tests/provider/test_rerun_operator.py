"""AdfRerunTumblingWindowRunsOperator: each window that needs it is rerun once, and no other is touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.errors import RunsNotAsWanted, Unreachable, WaitTimedOut
from airflow_provider_adfruns.adf.model import parse_time
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls
from tests.provider.scenarios import NIGHT, NIGHT_RANGE, NOW, WAITING, WAITING_RANGE
from tests.provider.tasks import Task, event_of, latest_statuses, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


def rerun(**parameters: Any) -> Task:
    return Task(AdfRerunTumblingWindowRunsOperator, **{"trigger_name": "hourly", **NIGHT_RANGE, **parameters})


def rerun_ids(emulator: AdfEmulator) -> list[str]:
    """Return the run of each rerun call, answered or not, sorted; a second call for the same run shows."""
    return sorted(entry.path.split("/")[-2] for entry in calls(emulator, "TriggerRuns_Rerun"))


def ids(emulator: AdfEmulator, *places: int, trigger: str = "hourly", status: str = "Failed") -> list[str]:
    """Return the runs of a status that are a window's latest; of chosen ones only, if any are."""
    latest = {run["properties"]["windowStartTime"]: run for run in emulator.trigger_runs(trigger)}
    found = [run["triggerRunId"] for run in latest.values() if run["status"] == status]
    return [found[place] for place in places] if places else found


def failing(*outcomes: str, rerun_seconds: float = 60) -> dict[str, Any]:
    """Return a night of failed windows from 03:00 on, whose reruns take so long and end as told, in order."""
    blocks = [
        {
            "from": f"-PT{3 - place}H",
            "count": 1,
            "status": "Failed",
            "rerun_outcome": outcome,
            "rerun_seconds": rerun_seconds,
        }
        for place, outcome in enumerate(outcomes)
    ]
    return {
        "now": NOW,
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {"hourly": {"pipeline": "load", "windows": blocks}},
    }


@WAYS_TO_WAIT
def test_in_a_dag_run_each_failed_window_is_rerun_and_waited_for(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(NIGHT)
    expected = sorted(ids(emulator))
    with DAG("rerun_windows", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun", trigger_name="hourly", **NIGHT_RANGE, deferrable=deferrable
        )
    ran = run_dag(dag)
    assert ran.states == {"rerun": "success"}
    assert rerun_ids(emulator) == expected
    assert ran.xcom("rerun")["counts"] == {"Succeeded": 9}


def test_in_a_dag_run_the_run_ids_of_a_dry_run_are_what_the_next_task_reruns(
    factory: Start, run_dag: RunDag
) -> None:
    emulator = factory(NIGHT)
    expected = sorted(ids(emulator))
    with DAG("plan_then_rerun", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        plan = AdfRerunTumblingWindowRunsOperator(
            task_id="plan", trigger_name="hourly", **NIGHT_RANGE, dry_run=True
        )
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun", trigger_name="hourly", run_ids=cast("Any", plan.output)["run_ids"]
        )
    ran = run_dag(dag)
    assert ran.states == {"plan": "success", "rerun": "success"}
    assert rerun_ids(emulator) == expected


def test_in_a_dag_run_a_window_that_fails_again_fails_the_task_and_leaves_the_report(
    factory: Start, run_dag: RunDag
) -> None:
    factory(failing("succeeded", "failed", "succeeded"))
    with DAG("rerun_fails", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AdfRerunTumblingWindowRunsOperator(task_id="rerun", trigger_name="hourly", **NIGHT_RANGE)
    ran = run_dag(dag)
    assert ran.states == {"rerun": "failed"}
    assert ran.xcom("rerun")["counts"] == {"Succeeded": 2, "Failed": 1}


@WAYS_TO_WAIT
def test_250_failed_windows_on_three_pages_are_rerun_once_each(factory: Start, deferrable: bool) -> None:
    emulator = factory(
        {
            "now": NOW,
            "pipelines": {"load": {"seconds": 60}},
            "triggers": {
                "hourly": {
                    "pipeline": "load",
                    "windows": [
                        {
                            "from": "-PT270H",
                            "count": 270,
                            "status": "Failed",
                            "except": [
                                {"windows": "0..9", "runs": ["Failed", "Succeeded"]},
                                {"windows": "10..19", "status": "Succeeded"},
                            ],
                        }
                    ],
                }
            },
        }
    )
    expected = sorted(ids(emulator))
    task = rerun(
        window_start="2026-02-01T00:00:00Z", window_end="2026-03-01T06:00:00Z", deferrable=deferrable
    )
    result = task.run()
    assert len(expected) == 250
    assert rerun_ids(emulator) == expected
    assert result["counts"] == {"Succeeded": 250}
    assert set(latest_statuses(emulator, "hourly").values()) == {"Succeeded"}


def test_windows_left_alone_are_listed_with_the_reason(factory: Start) -> None:
    emulator = factory(WAITING)
    task = rerun(trigger_name="report", **WAITING_RANGE)
    result = task.run()
    reasons = {each["window_start"][11:16]: each["reason"] for each in result["skipped"]}
    assert writes(emulator) == []
    assert reasons == {
        "00:00": "its latest run is Succeeded",
        "01:00": "its latest run is not final but Running",
        **{f"0{hour}:00": "its latest run is not final but WaitingOnDependency" for hour in range(2, 6)},
    }


def test_a_window_that_succeeded_since_is_left_alone_and_says_so(factory: Start) -> None:
    factory(NIGHT)
    result = rerun(dry_run=True).run()
    assert {each["reason"] for each in result["skipped"]} == {
        "it has been rerun since, and its latest run is Succeeded"
    }


def test_a_window_only_partly_in_the_range_is_left_alone_and_says_so(factory: Start) -> None:
    factory(NIGHT)
    result = rerun(window_start="2026-03-01T03:30:00Z").run()
    assert [each["window_start"] for each in result["windows"]] == [
        "2026-03-01T04:00:00+00:00",
        "2026-03-01T05:00:00+00:00",
    ]
    assert [each["reason"] for each in result["skipped"]] == ["its window lies only partly inside the range"]


def test_run_ids_choose_their_windows_only(factory: Start) -> None:
    emulator = factory(NIGHT)
    chosen = ids(emulator, 0, 4)
    rerun(run_ids=chosen, window_start=None, window_end=None).run()
    assert rerun_ids(emulator) == sorted(chosen)


def test_an_older_run_id_means_its_window_which_has_succeeded_since(factory: Start) -> None:
    emulator = factory(NIGHT)
    first = emulator.trigger_runs("hourly")[0]
    assert first["status"] == "Failed"
    result = rerun(run_ids=first["triggerRunId"], window_start=None, window_end=None).run()
    assert writes(emulator) == []
    assert [each["status"] for each in result["skipped"]] == ["Succeeded"]


def test_a_succeeded_run_is_rerun_when_it_is_named_itself(factory: Start) -> None:
    emulator = factory(NIGHT)
    (named,) = ids(emulator, 0, status="Succeeded")
    rerun(run_ids=named, window_start=None, window_end=None).run()
    assert rerun_ids(emulator) == [named]


def test_an_unknown_run_id_does_not_stop_the_others_and_fails_the_task_at_its_end(factory: Start) -> None:
    emulator = factory(NIGHT)
    chosen = ids(emulator, 0)
    task = rerun(run_ids=[*chosen, "unknown"], window_start=None, window_end=None)
    with pytest.raises(RunsNotAsWanted, match="run unknown is unknown"):
        task.run()
    assert rerun_ids(emulator) == chosen
    assert task.ti.report["counts"] == {"Succeeded": 1}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ("Succeeded", {"Succeeded"}),
        (["Failed"], {"Failed"}),
        ("['Succeeded', 'Failed']", {"Succeeded", "Failed"}),
    ],
)
def test_statuses_choose_by_the_latest_run(factory: Start, statuses: Any, expected: set[str]) -> None:
    emulator = factory(NIGHT)
    result = rerun(statuses=statuses, dry_run=True).run()
    assert sorted(result["run_ids"]) == sorted(
        run_id for status in expected for run_id in ids(emulator, status=status)
    )


@pytest.mark.parametrize(("max_in_flight", "warns"), [(None, False), (2, False), (3, True)])
def test_more_in_flight_than_the_trigger_allows_is_a_warning_before_anything_is_sent(
    factory: Start, caplog: pytest.LogCaptureFixture, max_in_flight: int | None, warns: bool
) -> None:
    night = {**NIGHT["triggers"]["hourly"], "maxConcurrency": 2}
    emulator = factory({**NIGHT, "triggers": {"hourly": night}})
    rerun(max_in_flight=max_in_flight, dry_run=True).run()
    said = f"max_in_flight is {max_in_flight}, and trigger 'hourly' runs 2 windows at a time"
    assert any(said in record.getMessage() for record in caplog.records) is warns
    assert writes(emulator) == []


@WAYS_TO_WAIT
def test_the_report_says_when_each_window_ran_before_and_when_it_was_rerun(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(failing("succeeded", "failed"))
    task = rerun(deferrable=deferrable, fail_if="never")
    starts = {run["triggerRunId"]: run["triggerRunTimestamp"] for run in emulator.trigger_runs("hourly")}
    task.run()
    starts |= {run["triggerRunId"]: run["triggerRunTimestamp"] for run in emulator.trigger_runs("hourly")}
    for each in task.ti.report["windows"]:
        assert parse_time(starts[each["run_id"]]) == datetime.fromisoformat(each["ran_at"])
        assert parse_time(starts[each["new_run_id"]]) == datetime.fromisoformat(each["started_at"])


@WAYS_TO_WAIT
def test_queries_name_the_trigger_as_it_is_published_for_they_may_mind_the_case(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(NIGHT)
    rerun(trigger_name="HOURLY", deferrable=deferrable).run()
    asked = [entry.body["filters"][0]["values"] for entry in calls(emulator, "TriggerRuns_QueryByFactory")]
    assert asked == [["hourly"]] * len(asked)
    assert len(rerun_ids(emulator)) == len(set(rerun_ids(emulator))) > 0


def test_max_windows_stops_a_slip_of_the_range_before_anything_is_sent(factory: Start) -> None:
    emulator = factory(NIGHT)
    task = rerun(max_windows=8)
    with pytest.raises(ValueError, match=r"max_windows: the selection has 9 windows .* max_windows is 8"):
        task.run()
    assert writes(emulator) == []


def test_max_windows_allows_as_many(factory: Start) -> None:
    emulator = factory(NIGHT)
    rerun(max_windows=9).run()
    assert len(rerun_ids(emulator)) == 9


@WAYS_TO_WAIT
def test_the_error_names_exactly_the_windows_that_failed_again(factory: Start, deferrable: bool) -> None:
    factory(failing("failed", "succeeded", "failed"))
    task = rerun(deferrable=deferrable)
    with pytest.raises(RunsNotAsWanted) as caught:
        task.run()
    failed = [each for each in task.ti.report["windows"] if each["status"] == "Failed"]
    said = str(caught.value)
    assert said.count("window 2026") == 2
    assert "2026-03-01 03:00:00 to 2026-03-01 04:00:00" in said
    assert "2026-03-01 05:00:00 to 2026-03-01 06:00:00" in said
    assert all(each["new_run_id"] in said for each in failed)


def test_a_503_that_did_the_work_is_settled_by_looking_and_not_sent_again(factory: Start) -> None:
    emulator = factory(failing("succeeded", "succeeded", "succeeded"))
    expected = sorted(ids(emulator))
    emulator.fail_next("TriggerRuns_Rerun", status=503, processed=True)
    assert rerun().run()["counts"] == {"Succeeded": 3}
    assert rerun_ids(emulator) == expected


def test_a_503_that_did_nothing_is_sent_again_once_its_rerun_has_had_time_to_show(factory: Start) -> None:
    emulator = factory(failing("succeeded", "succeeded", "succeeded"))
    emulator.fail_next("TriggerRuns_Rerun", status=503)
    assert rerun(settle_seconds=40).run()["counts"] == {"Succeeded": 3}
    first, *_, again = calls(emulator, "TriggerRuns_Rerun")
    assert first.path == again.path
    assert again.at - first.at >= timedelta(seconds=40)
    assert len([entry for entry in writes(emulator) if entry.effect is not None]) == 3


def test_a_throttled_rerun_is_sent_again_since_it_was_not_carried_out(factory: Start) -> None:
    emulator = factory(failing("succeeded", "succeeded", "succeeded"))
    emulator.fail_next("TriggerRuns_Rerun", status=429, retry_after=7)
    result = rerun().run()
    assert result["counts"] == {"Succeeded": 3}
    assert [entry.status for entry in calls(emulator, "TriggerRuns_Rerun")].count(200) == 3


def test_a_dry_run_changes_nothing_and_gives_the_runs_that_would_be_rerun(factory: Start) -> None:
    emulator = factory(NIGHT)
    task = rerun(dry_run=True)
    result = task.run()
    assert writes(emulator) == []
    assert sorted(result["run_ids"]) == sorted(ids(emulator))
    assert task.ti.xcoms["run_ids"] == result["run_ids"]


def test_a_dry_run_may_be_a_template_that_rendered_to_text(factory: Start) -> None:
    emulator = factory(NIGHT)
    rerun(dry_run="True").run()
    assert writes(emulator) == []


def test_nothing_to_do_is_a_success_with_an_empty_list(factory: Start) -> None:
    emulator = factory(NIGHT)
    result = rerun(statuses="Cancelled").run()
    assert writes(emulator) == []
    assert (result["run_ids"], result["windows"]) == ([], [])


@pytest.mark.parametrize("wait_for_completion", [True, False])
def test_a_second_execution_right_after_the_first_reruns_nothing(
    factory: Start, wait_for_completion: bool
) -> None:
    emulator = factory({**NIGHT, "query_lag_seconds": 5})
    rerun(wait_for_completion=wait_for_completion).run()
    before = len(writes(emulator))
    assert rerun().run()["windows"] == []
    assert len(writes(emulator)) == before == 9


def test_without_waiting_the_task_ends_when_the_new_runs_can_be_seen(factory: Start) -> None:
    emulator = factory(NIGHT)
    before = {run["triggerRunId"] for run in emulator.trigger_runs("hourly")}
    result = rerun(wait_for_completion=False, deferrable=True).run()
    new = {run["triggerRunId"] for run in emulator.trigger_runs("hourly")} - before
    assert set(result["run_ids"]) == new
    assert result["counts"].keys() <= {"Waiting", "Running"}


@WAYS_TO_WAIT
def test_a_timeout_names_the_windows_and_leaves_the_reruns_alone(factory: Start, deferrable: bool) -> None:
    emulator = factory(failing("succeeded", "succeeded", rerun_seconds=7200))
    task = rerun(deferrable=deferrable, timeout=600)
    with pytest.raises(WaitTimedOut, match=r"2 not final: window 2026-03-01 03:00:00 .* \(Running\)"):
        task.run()
    assert len(writes(emulator)) == 2
    assert task.ti.report["counts"] == {"Running": 2}


def test_a_restart_of_the_triggerer_does_not_move_the_deadline(factory: Start) -> None:
    emulator = factory(failing("succeeded", rerun_seconds=7200))
    deferral = rerun(deferrable=True, timeout=600).defer()
    emulator.advance(300)
    event = event_of(through_json(deferral.trigger))
    assert event["status"] == "timeout"
    assert emulator.now - datetime.fromisoformat(NOW) <= timedelta(seconds=700)


def test_the_trigger_is_made_again_from_json_as_it_was(factory: Start) -> None:
    factory(NIGHT)
    trigger = rerun(deferrable=True, poll_interval=45).defer().trigger
    assert through_json(trigger).serialize() == trigger.serialize()


def test_a_dead_factory_ends_the_wait_in_an_error_with_the_report_in_xcom(factory: Start) -> None:
    emulator = factory(failing("succeeded", "succeeded"))
    task = rerun(deferrable=True)
    deferral = task.defer()
    emulator.fail_next("*", status=503, count=10_000)
    event = event_of(through_json(deferral.trigger))
    with pytest.raises(Unreachable, match="the service kept answering HTTP 503 ServiceUnavailable"):
        task.resume(deferral, event)
    assert (event["status"], event["error"]) == ("error", "Unreachable")
    assert task.ti.report["counts"] == {"not visible yet": 2}
