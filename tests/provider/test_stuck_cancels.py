"""AdfCancelCompleteSensor when a cancel is stuck or violated: evidence, and what on_stuck says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import InvalidInput, RunsNotAsWanted, Unreachable
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.conftest import calls
from tests.provider.scenarios import NOW
from tests.provider.tasks import Task, event_of, through_json, writes
from tests.provider.versions import AirflowSensorTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_adfruns.emulator import AdfEmulator

    Start = Callable[..., AdfEmulator]


def factory_with(cancel: dict[str, Any] | None, count: int = 1) -> dict[str, Any]:
    """Return a factory in which run "odd" is cancelled otherwise than run "even"."""
    return {
        "now": NOW,
        "pipelines": {
            "load": {
                "activities": [
                    {"name": "Copy", "seconds": 7200},
                    {"name": "Transform", "seconds": 60, "dependsOn": ["Copy"]},
                ]
            }
        },
        "runs": [
            {"pipeline": "load", "status": "InProgress", "started": "-PT20M", "id": "even"},
            {
                "pipeline": "load",
                "status": "InProgress",
                "started": "-PT20M",
                "id": "odd",
                **({"cancel": cancel} if cancel else {}),
            },
        ][-count:],
    }


STUCK = {"stuck": True, "cancels_needed": 2}
VIOLATED = {"late_activity": True, "late_seconds": 90}


def cancelled(start: Start, cancel: dict[str, Any] | None, count: int = 1) -> AdfEmulator:
    emulator = start(factory_with(cancel, count))
    for run in emulator.pipeline_runs():
        AdfRunsHook().cancel_pipeline_run(run["runId"], is_recursive=False)
    return emulator


def cancelled_often(start: Start, *cancels: dict[str, Any]) -> tuple[AdfEmulator, list[str]]:
    """Cancel very many runs, each otherwise. :return: also their ids, in that order."""
    run = {"pipeline": "load", "status": "InProgress", "started": "-PT20M"}
    runs = [{**run, "cancel": cancel, "id": f"run-{number}"} for number, cancel in enumerate(cancels)]
    emulator = start({**factory_with(None), "runs": runs})
    run_ids = [f"run-{number}" for number in range(len(runs))]
    Task(AdfCancelPipelineRunOperator, run_ids=run_ids, wait_for_completion=False).run()
    return emulator, run_ids


def sensor(*run_ids: str, **parameters: Any) -> Task:
    return Task(AdfCancelCompleteSensor, pipeline_run_ids=list(run_ids), poke_interval=30, **parameters)


def wait(emulator: AdfEmulator, task: Task, *, deferrable: bool) -> dict[str, Any]:
    """Wait in the triggerer, or poke as a worker does, less the sleep between."""
    if deferrable:
        return dict(task.run())
    made = task.make()
    while not (answer := made.poke(task.ti.context)).is_done:
        emulator.advance(30)
    return dict(answer.xcom_value)


BOTH_WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])


@BOTH_WAYS
def test_a_stuck_run_fails_the_task_with_the_evidence(factory: Start, deferrable: bool) -> None:
    emulator = cancelled(factory, STUCK, 2)
    task = sensor("even", "odd", on_stuck="fail", deferrable=deferrable)
    with pytest.raises(RunsNotAsWanted, match=r"odd \(load\) is Canceling since .* for 60 minutes") as failed:
        wait(emulator, task, deferrable=deferrable)
    assert "even" not in str(failed.value)
    assert "1 runs are not final: their activities go on, and are billed" in str(failed.value)
    assert task.ti.report["stuck"] == ["odd"]
    assert task.ti.report["counts"] == {"Cancelled": 1, "Canceling": 1}
    evidence = task.ti.xcoms["evidence"]
    assert evidence["factory"]["factory_name"] == "night-adf"
    [run] = evidence["runs"]
    assert (run["run_id"], run["status"], run["cancelled_at"]) == (
        "odd",
        "Canceling",
        "2026-03-01T06:40:00+00:00",
    )
    assert [(each["name"], each["status"]) for each in run["activities"]] == [("Copy", "InProgress")]
    assert run["requests"]
    assert all(request["x-ms-request-id"] for request in run["requests"])
    assert "x-ms-request-id" in evidence["support_case"]


@BOTH_WAYS
def test_with_the_report_of_the_cancel_its_request_goes_with_the_evidence(
    factory: Start, deferrable: bool
) -> None:
    emulator = factory(factory_with(STUCK))
    cancel = Task(AdfCancelPipelineRunOperator, run_ids="odd", wait_for_completion=False)
    cancel.run()
    task = sensor("odd", on_stuck="fail", deferrable=deferrable, cancel_report=[cancel.ti.report])
    with pytest.raises(RunsNotAsWanted):
        wait(emulator, task, deferrable=deferrable)
    [run] = task.ti.xcoms["evidence"]["runs"]
    assert run["requests"][0]["action"] == "cancelling pipeline run odd"
    assert run["requests"][0]["x-ms-request-id"]
    assert run["requests"][0] == cancel.ti.report["runs"][0]["cancel_request"]


def test_of_a_child_the_request_that_cancelled_its_parent_goes_with_the_evidence(factory: Start) -> None:
    emulator = factory(
        {
            "now": NOW,
            "pipelines": {
                "top": {"activities": [{"name": "Load", "pipeline": "load"}]},
                "load": {"seconds": 7200, "cancel": STUCK},
            },
            "runs": [{"pipeline": "top", "status": "InProgress", "started": "-PT20M", "id": "top"}],
        }
    )
    cancel = Task(AdfCancelPipelineRunOperator, run_ids="top", wait_for_completion=False)
    cancel.run()
    task = sensor("top", on_stuck="fail", include_children=True, cancel_report=cancel.ti.report)
    with pytest.raises(RunsNotAsWanted):
        wait(emulator, task, deferrable=False)
    [child] = [run for run in task.ti.xcoms["evidence"]["runs"] if run["run_id"] != "top"]
    assert child["requests"][0]["action"] == "cancelling pipeline run top"


def test_evidence_of_very_many_runs_says_how_many_it_leaves_out(factory: Start) -> None:
    emulator, run_ids = cancelled_often(factory, *[STUCK] * 53)
    task = sensor(*run_ids, on_stuck="fail")
    with pytest.raises(RunsNotAsWanted, match="53 runs"):
        wait(emulator, task, deferrable=False)
    evidence = task.ti.xcoms["evidence"]
    assert (len(evidence["runs"]), evidence["runs_left_out"], evidence["not_final"]) == (50, 3, 53)


def test_a_cancel_report_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cancel_report: 'run odd' is no report of a cancel"):
        sensor("odd", cancel_report="run odd").make()


@BOTH_WAYS
def test_a_stuck_run_is_cancelled_again_once_and_then_waited_for(factory: Start, deferrable: bool) -> None:
    emulator = cancelled(factory, STUCK, 2)
    task = sensor("even", "odd", on_stuck="cancel_again", stuck_after=600, deferrable=deferrable)
    result = wait(emulator, task, deferrable=deferrable)
    assert (result["counts"], result["stuck"]) == ({"Cancelled": 2}, ["odd"])
    again = [(entry.subject, entry.query["isRecursive"]) for entry in writes(emulator)[2:]]
    assert [(run_id, recursive.lower()) for run_id, recursive in again] == [("odd", "false")]
    assert emulator.now >= datetime(2026, 3, 1, 6, 50, tzinfo=UTC)


@BOTH_WAYS
def test_a_run_that_stays_stuck_is_cancelled_again_after_each_further_while(
    factory: Start, deferrable: bool
) -> None:
    emulator = cancelled(factory, {"stuck": True, "cancels_needed": 4})
    task = sensor("odd", on_stuck="cancel_again", stuck_after=600, deferrable=deferrable)
    assert wait(emulator, task, deferrable=deferrable)["counts"] == {"Cancelled": 1}
    times = [entry.at for entry in calls(emulator, "PipelineRuns_Cancel")]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert len(gaps) == 3
    assert all(600 <= gap <= 640 for gap in gaps)


@BOTH_WAYS
def test_a_lost_answer_to_a_new_cancel_is_followed_by_another_after_a_look(
    factory: Start, deferrable: bool
) -> None:
    emulator = cancelled(factory, STUCK)
    emulator.fail_next("PipelineRuns_Cancel", drop_connection=True)
    task = sensor("odd", on_stuck="cancel_again", stuck_after=600, deferrable=deferrable)
    assert wait(emulator, task, deferrable=deferrable)["counts"] == {"Cancelled": 1}
    lost, again = (entry.at for entry in calls(emulator, "PipelineRuns_Cancel")[1:])
    assert 30 <= (again - lost).total_seconds() <= 70


def test_a_new_cancel_that_is_refused_stands_in_the_evidence_and_the_wait_goes_on(
    factory: Start, caplog: pytest.LogCaptureFixture
) -> None:
    emulator = cancelled(factory, STUCK)
    emulator.fail_next("PipelineRuns_Cancel", status=403)
    task = sensor("odd", on_stuck="cancel_again", deferrable=True)
    assert task.run()["counts"] == {"Cancelled": 1}
    assert "has no permission" in caplog.text
    assert [call.status for call in calls(emulator, "PipelineRuns_Cancel")] == [200, 403, 200]
    assert task.ti.pushes["evidence"] == 2


@BOTH_WAYS
def test_a_stuck_run_is_warned_of_once_and_waited_for(factory: Start, deferrable: bool) -> None:
    emulator = cancelled(factory, {"stuck": True, "cancels_needed": 99})
    task = sensor("odd", stuck_after=600, timeout=3000, deferrable=deferrable)
    if deferrable:
        with pytest.raises(AirflowSensorTimeout, match=r"pipeline run odd \(load, Canceling\)"):
            task.run()
        assert "not final when the wait" in task.ti.xcoms["evidence"]["reason"]
        assert task.ti.pushes["evidence"] == 2  # the other is of the warning
    else:
        made = task.make()
        for _ in range(80):
            assert not made.poke(task.ti.context).is_done
            emulator.advance(30)
        assert "stuck or violated" in task.ti.xcoms["evidence"]["reason"]
        assert task.ti.pushes["evidence"] == 1
    assert len(writes(emulator)) == 1


@BOTH_WAYS
@pytest.mark.parametrize("on_stuck", ["wait", "fail"])
def test_an_activity_that_starts_late_is_a_violation(factory: Start, deferrable: bool, on_stuck: str) -> None:
    emulator = cancelled(factory, VIOLATED, 2)
    task = sensor("even", "odd", on_stuck=on_stuck, deferrable=deferrable)
    if on_stuck == "fail":
        with pytest.raises(RunsNotAsWanted, match=r"activity 'Transform' .* started at .*, 90 seconds after"):
            wait(emulator, task, deferrable=deferrable)
    else:
        assert wait(emulator, task, deferrable=deferrable)["violated"] == ["odd"]
    [run] = task.ti.xcoms["evidence"]["runs"]
    assert [each["name"] for each in run["activities"] if each["is_late"]] == ["Transform"]
    assert len(writes(emulator)) == 2


@BOTH_WAYS
def test_a_task_that_fails_names_every_violation_also_those_no_look_has_come_to(
    factory: Start, deferrable: bool
) -> None:
    emulator, run_ids = cancelled_often(factory, *[VIOLATED] * 60)
    task = sensor(*run_ids, on_stuck="fail", deferrable=deferrable)
    with pytest.raises(RunsNotAsWanted, match="60 runs is stuck or violated"):
        wait(emulator, task, deferrable=deferrable)
    assert set(task.ti.report["violated"]) == set(run_ids)
    read = len(calls(emulator, "ActivityRuns_QueryByPipelineRun"))
    assert read <= 60 + 50 + 10  # each run once, for the evidence the first 50, and two at each look


def test_a_wait_that_is_over_names_a_violation_that_no_look_has_come_to(factory: Start) -> None:
    _, run_ids = cancelled_often(factory, *[STUCK] * 59, {**STUCK, **VIOLATED})
    task = sensor(*run_ids, timeout=130, deferrable=True)
    with pytest.raises(AirflowSensorTimeout):
        task.run()
    assert task.ti.report["violated"] == run_ids[-1:]
    evidence = task.ti.xcoms["evidence"]["runs"][0]
    assert (evidence["run_id"], "started at" in evidence["problems"][0]) == (run_ids[-1], True)


def test_an_activity_that_starts_within_the_tolerance_is_none(factory: Start) -> None:
    cancelled(factory, VIOLATED)
    task = sensor("odd", violation_tolerance=100, deferrable=True)
    assert task.run()["violated"] == []
    assert "evidence" not in task.ti.xcoms


def test_a_violation_is_measured_from_when_the_cancel_was_asked_for(factory: Start) -> None:
    emulator = cancelled(factory, VIOLATED)
    emulator.advance(3600)
    assert sensor("odd", deferrable=True).run()["violated"] == []
    assert sensor("odd", cancel_requested_at=NOW, deferrable=True).run()["violated"] == ["odd"]


def test_the_evidence_goes_to_a_file_on_request(factory: Start, tmp_path: Path) -> None:
    cancelled(factory, STUCK)
    path = tmp_path / "evidence.json"
    task = sensor("odd", on_stuck="fail", deferrable=True, evidence_path=str(path))
    with pytest.raises(RunsNotAsWanted):
        task.run()
    assert task.ti.xcoms["evidence"] == str(path)
    assert json.loads(path.read_text())["runs"][0]["run_id"] == "odd"


def test_evidence_that_cannot_be_written_goes_to_xcom(factory: Start, tmp_path: Path) -> None:
    cancelled(factory, STUCK)
    (tmp_path / "file").write_text("")
    task = sensor("odd", on_stuck="fail", deferrable=True, evidence_path=str(tmp_path / "file" / "x.json"))
    with pytest.raises(RunsNotAsWanted, match="Canceling"):
        task.run()
    assert task.ti.xcoms["evidence"]["runs"][0]["run_id"] == "odd"


def test_whatever_else_a_storage_fails_with_the_evidence_is_in_xcom(
    factory: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = cancelled(factory, STUCK)
    emulator.advance(3700)

    class StorageError(Exception):
        pass

    def broken(*_: object) -> None:
        raise StorageError

    monkeypatch.setattr("airflow_provider_adfruns.results._write", broken)
    task = sensor("odd", on_stuck="fail", deferrable=True, evidence_path=f"{tmp_path}/evidence.json")
    with pytest.raises(StorageError):
        task.run()
    assert [run["run_id"] for run in task.ti.xcoms["evidence"]["runs"]] == ["odd"]


@BOTH_WAYS
def test_an_outcome_that_is_not_accepted_fails_the_task_at_the_end(factory: Start, deferrable: bool) -> None:
    emulator = factory(factory_with(None, 2))
    AdfRunsHook().cancel_pipeline_run("even", is_recursive=False)
    emulator.advance(7300)
    task = sensor("even", "odd", accept_outcomes="Cancelled", deferrable=deferrable)
    with pytest.raises(RunsNotAsWanted, match=r"1 of 2 .* not ended in Cancelled: pipeline run odd \(load"):
        task.begin()
    assert task.ti.report["counts"] == {"Cancelled": 1, "Succeeded": 1}
    assert [run["run_id"] for run in task.ti.xcoms["evidence"]["runs"]] == ["odd"]


def test_trouble_that_is_shorter_than_the_budget_changes_nothing(factory: Start) -> None:
    emulator = cancelled(factory, None)
    deferral = sensor("odd", deferrable=True, stuck_after=600).defer()
    emulator.fail_next("*", status=503, for_seconds=90)
    event = event_of(through_json(deferral.trigger))
    assert event["status"] == "success"
    assert len(writes(emulator)) == 1


@pytest.mark.parametrize("on_stuck", ["wait", "cancel_again", "fail"])
def test_trouble_that_is_longer_fails_the_task_and_leaves_the_runs_alone(
    factory: Start, on_stuck: str
) -> None:
    emulator = cancelled(factory, STUCK)
    task = sensor("odd", deferrable=True, stuck_after=600, on_stuck=on_stuck)
    deferral = task.defer()
    emulator.fail_next("*", status=503, count=10_000)
    with pytest.raises(Unreachable):
        task.resume(deferral, event_of(through_json(deferral.trigger)))
    assert len(writes(emulator)) == 1


def test_the_trigger_only_reads_and_the_deadline_does_not_move(factory: Start) -> None:
    emulator = cancelled(factory, {"stuck": True, "cancels_needed": 9})
    task = sensor("odd", deferrable=True, stuck_after=600, timeout=1500, on_stuck="cancel_again")
    deferral = task.defer()
    event = event_of(through_json(deferral.trigger))
    assert event["status"] == "stuck"
    assert len(writes(emulator)) == 1
    assert event["deadline"] == through_json(deferral.trigger).deadline  # type: ignore[attr-defined]
    with pytest.raises(AirflowSensorTimeout):
        task.run()


BAD: list[tuple[dict[str, Any], str]] = [
    ({"stuck_after": 7200, "timeout": 3600}, r"stuck_after: 7200 .* longer than the timeout of 3600"),
    ({"stuck_after": 3600, "timeout": 600}, r"stuck_after: 3600 .* longer than the timeout"),
    ({"stuck_after": 0}, "stuck_after: 0 is not possible"),
    ({"stuck_after": "soon"}, "stuck_after: 'soon' is not possible"),
    ({"violation_tolerance": -1}, "violation_tolerance: -1 is not possible"),
    ({"on_stuck": "retry"}, r"on_stuck: 'retry' is not known. Expected one of wait, cancel_again, fail"),
    ({"accept_outcomes": []}, "accept_outcomes: the list is empty"),
    ({"accept_outcomes": "Canceled"}, "accept_outcomes: 'Canceled' is no status .* Cancelled"),
    ({"cancel_requested_at": "2026-03-01T06:00:00"}, "cancel_requested_at: .* has no time zone"),
    ({"evidence_path": "evidence.json"}, "evidence_path: 'evidence.json' is not possible"),
    ({"on_stuck": "cancel_again", "mode": "reschedule"}, "on_stuck: 'cancel_again' has to remember"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD)
def test_a_parameter_that_does_not_fit_is_refused_when_the_dag_is_parsed(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        sensor("odd", deferrable=False, **parameters).make()


@pytest.mark.parametrize("name", ["on_stuck", "accept_outcomes", "cancel_requested_at", "evidence_path"])
def test_what_a_template_will_give_is_not_judged_before_it_is_rendered(name: str) -> None:
    made = sensor("odd", **{name: "{{ params.x }}"}).make()
    assert getattr(made, name) == "{{ params.x }}"
