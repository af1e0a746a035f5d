"""AdfCancelPipelineRunOperator by conditions: in a DAG run, by templates, and when nothing matches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_adfruns.adf.errors import InvalidInput, PipelineNotFound, RunsNotAsWanted
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from tests.conftest import calls
from tests.provider.scenarios import FAMILY
from tests.provider.tasks import Task, statuses, through_json, writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

WAYS_TO_WAIT = pytest.mark.parametrize("deferrable", [False, True], ids=["on the worker", "deferred"])
NOTHING = {"pipeline_names": "load", "started_before": "2026-02-01T00:00:00Z"}


def cancel(**parameters: Any) -> Task:
    return Task(AdfCancelPipelineRunOperator, **parameters)


@WAYS_TO_WAIT
def test_in_a_dag_run_the_runs_that_match_are_cancelled_with_their_children_and_listed_as_a_tree(
    factory: Start, run_dag: RunDag, deferrable: bool
) -> None:
    emulator = factory(FAMILY)

    @task
    def choose() -> list[str]:
        return ["close_day"]

    with DAG("cancel_selected", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        chosen: Any = choose()
        chosen >> AdfCancelPipelineRunOperator(
            task_id="cancel",
            pipeline_names=chosen,
            started_after="{{ '2026-03-01T00:00:00+00:00' }}",
            order="{{ 'children_first' }}",
            deferrable=deferrable,
        )
    ran = run_dag(dag)
    report = ran.xcom("cancel")
    assert ran.states == {"choose": "success", "cancel": "success"}
    assert [entry.subject for entry in calls(emulator, "PipelineRuns_Cancel")] == ["day"]
    day, region, shop = report["runs"]
    assert [each["name"] for each in report["runs"]] == ["close_day", "close_region", "close_shop"]
    assert [region["parent_run_id"], shop["parent_run_id"]] == ["day", region["run_id"]]
    assert (day["status_before"], day["status"]) == ("InProgress", "Cancelled")
    assert statuses(emulator)["lone"] == "InProgress"


@WAYS_TO_WAIT
def test_without_a_match_the_task_is_skipped_by_default(factory: Start, deferrable: bool) -> None:
    emulator = factory(FAMILY)
    cancelling = cancel(**NOTHING, deferrable=deferrable)
    with pytest.raises(
        AirflowSkipException, match="no pipeline run that is not final matches: pipeline_names load"
    ):
        cancelling.run()
    assert writes(emulator) == []
    assert cancelling.ti.report["runs"] == []


def test_without_a_match_the_task_fails_on_request(factory: Start) -> None:
    factory(FAMILY)
    with pytest.raises(RunsNotAsWanted, match=r"no pipeline run .* matches: .*Check the selection"):
        cancel(**NOTHING, if_none="fail").run()


def test_without_a_match_the_task_succeeds_on_request(factory: Start) -> None:
    factory(FAMILY)
    assert cancel(**NOTHING, if_none="succeed").run()["run_ids"] == []


def test_a_dry_run_says_what_would_be_cancelled_and_changes_nothing(factory: Start) -> None:
    emulator = factory(FAMILY)
    result = cancel(pipeline_names=["load", "close_day"], dry_run=True).run()
    assert set(result["run_ids"]) == {"day", "lone"}
    assert writes(emulator) == []


def test_an_unknown_pipeline_is_named_and_nothing_is_cancelled(factory: Start) -> None:
    emulator = factory(FAMILY)
    with pytest.raises(PipelineNotFound, match="'laod'"):
        cancel(pipeline_names=["load", "laod"]).run()
    assert writes(emulator) == []


def test_more_runs_than_max_runs_are_refused_and_nothing_is_cancelled(factory: Start) -> None:
    emulator = factory(FAMILY)
    with pytest.raises(InvalidInput, match=r"max_runs: the selection has 2 runs .* Nothing was cancelled"):
        cancel(pipeline_names=["load", "close_day"], max_runs=1).run()
    assert writes(emulator) == []


def test_without_waiting_the_task_ends_when_all_cancels_are_requested(factory: Start) -> None:
    emulator = factory(FAMILY)
    result = cancel(pipeline_names="load", wait_for_completion=False, is_recursive=False).run()
    assert [(each["run_id"], each["requested"]) for each in result["runs"]] == [("lone", True)]
    assert len(writes(emulator)) == 1


def test_the_trigger_is_made_again_from_json_as_it_was(factory: Start) -> None:
    factory(FAMILY)
    trigger = cancel(pipeline_names="load", deferrable=True).defer().trigger
    assert through_json(trigger).serialize() == trigger.serialize()
