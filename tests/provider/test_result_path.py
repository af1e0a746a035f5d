"""With ``result_path`` the whole report is in a file and XCom has a summary; nothing is lost if it fails."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_adfruns.adf.errors import InvalidInput, RunsNotAsWanted, WaitTimedOut
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from tests.provider.scenarios import FAMILY, NIGHT, NIGHT_RANGE
from tests.provider.tasks import Task, event_of, through_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
NAME = "dag_id=dag/run_id=manual__1/task_id=task/attempt=1.json"
RUN = "00000000-0000-4000-8000-00000000000a"
FAILED_RUN: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 60}},
    "runs": [{"pipeline": "load", "id": RUN, "status": "Failed"}],
}
TASKS: list[Any] = [
    (NIGHT, AdfRerunTumblingWindowRunsOperator, {"trigger_name": "hourly", **NIGHT_RANGE}, "windows", 9),
    (FAILED_RUN, AdfRerunPipelineRunOperator, {"run_ids": RUN}, "runs", 1),
    (FAMILY, AdfCancelPipelineRunOperator, {"run_ids": "lone"}, "runs", 1),
]


def rerun(**parameters: Any) -> Task:
    return Task(AdfRerunTumblingWindowRunsOperator, **{"trigger_name": "hourly", **NIGHT_RANGE, **parameters})


@BOTH
@pytest.mark.parametrize(("scenario", "operator", "parameters", "lists", "count"), TASKS)
def test_the_whole_report_is_in_the_file_and_a_summary_in_xcom(
    factory: Start,
    tmp_path: Path,
    scenario: Any,
    operator: Any,
    parameters: dict[str, Any],
    lists: str,
    count: int,
    deferrable: bool,
) -> None:
    factory(scenario)
    task = Task(operator, result_path=f"{tmp_path}/", deferrable=deferrable, **parameters)
    returned = task.run()
    whole = json.loads((tmp_path / NAME).read_text())
    assert len(whole[lists]) == count
    assert returned == task.ti.report
    assert task.ti.report["result_path"] == f"{tmp_path}/{NAME}"
    assert task.ti.report.keys().isdisjoint({"windows", "runs", "skipped"})
    assert {key: task.ti.report[key] for key in ("run_ids", "counts", "dry_run")} == {
        key: whole[key] for key in ("run_ids", "counts", "dry_run")
    }
    assert (task.ti.report["problem_count"], task.ti.report["problems"]) == (0, [])
    assert task.ti.xcoms["run_ids"] == whole["run_ids"]


def test_a_dry_run_leaves_its_plan_in_the_file(factory: Start, tmp_path: Path) -> None:
    factory(NIGHT)
    rerun(result_path=str(tmp_path / "plan.json"), dry_run=True).run()
    whole = json.loads((tmp_path / "plan.json").read_text())
    assert [each["step"] for each in whole["windows"]] == ["planned"] * 9


def test_windows_that_fail_again_are_problems_of_the_summary(factory: Start, tmp_path: Path) -> None:
    night = json.loads(json.dumps(NIGHT))
    night["triggers"]["hourly"]["windows"][0]["rerun_outcome"] = "failed"
    factory(night)
    task = rerun(result_path=str(tmp_path / "result.json"))
    with pytest.raises(RunsNotAsWanted):
        task.run()
    assert task.ti.report["problem_count"] == len(task.ti.report["problems"]) == 9
    assert task.ti.report["problems"][0].startswith(
        "window 2026-02-28 21:00:00 to 2026-02-28 22:00:00 (Failed"
    )


def test_a_wait_that_timed_out_leaves_the_whole_in_the_file(factory: Start, tmp_path: Path) -> None:
    factory(NIGHT)
    task = rerun(result_path=str(tmp_path / "result.json"), timeout=10, deferrable=True)
    with pytest.raises(WaitTimedOut):
        task.run()
    assert len(json.loads((tmp_path / "result.json").read_text())["windows"]) == 9


@pytest.mark.parametrize(("scenario", "operator", "parameters", "lists", "count"), TASKS)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_sent(
    factory: Start,
    tmp_path: Path,
    scenario: Any,
    operator: Any,
    parameters: dict[str, Any],
    lists: str,  # noqa: ARG001 - of the table
    count: int,  # noqa: ARG001
) -> None:
    emulator = factory(scenario)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"result_path: .* cannot be written \(FileExistsError"):
        Task(operator, result_path=f"{tmp_path}/file/result.json", **parameters).run()
    assert list(emulator.journal) == []


def test_a_file_that_cannot_be_written_any_more_loses_nothing(
    factory: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    factory(NIGHT)
    task = rerun(result_path=f"{tmp_path}/folder/result.json", deferrable=True)
    deferral = task.defer()
    event = event_of(through_json(deferral.trigger))
    shutil.rmtree(tmp_path / "folder")
    (tmp_path / "folder").touch()
    task.resume(deferral, event)
    assert len(task.ti.report["windows"]) == 9
    assert "result_path" not in task.ti.report
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("The whole result goes to XCom instead of a file" in said for said in warnings)


def test_whatever_else_a_storage_fails_with_the_whole_is_in_xcom(
    factory: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory(NIGHT)
    task = rerun(result_path=f"{tmp_path}/result.json", deferrable=True)
    deferral = task.defer()
    event = event_of(through_json(deferral.trigger))

    class StorageError(Exception):
        pass

    def broken(*_: object) -> None:
        raise StorageError

    monkeypatch.setattr("airflow_provider_adfruns.results._write", broken)
    with pytest.raises(StorageError):
        task.resume(deferral, event)
    assert len(task.ti.report["windows"]) == 9


def test_in_a_dag_run_the_folder_may_be_a_template(factory: Start, run_dag: RunDag, tmp_path: Path) -> None:
    factory(NIGHT)
    with DAG("large_results", schedule=None, params={"folder": str(tmp_path)}) as dag:
        AdfRerunTumblingWindowRunsOperator(
            task_id="rerun",
            trigger_name="hourly",
            **NIGHT_RANGE,
            result_path="{{ params.folder }}/",
            deferrable=True,
        )
    ran = run_dag(dag)
    file = ran.xcom("rerun")["result_path"]
    assert file.startswith(f"{tmp_path}/dag_id=large_results/run_id=")
    assert file.endswith("/task_id=rerun/attempt=1.json")
    (written,) = tmp_path.rglob("*.json")
    assert len(json.loads(written.read_text())["windows"]) == 9
    assert len(ran.xcom("rerun", "run_ids")) == 9
