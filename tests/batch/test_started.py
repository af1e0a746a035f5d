"""What a DAG run has started is read from XComs of any operator, and from this package's reports rightly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_adfruns.adf.model import Window
from airflow_provider_adfruns.batch.report import RerunBy, RerunReport, Step, WindowOutcome
from airflow_provider_adfruns.batch.started import Started, started_by

AT = datetime(2026, 3, 1, tzinfo=UTC)
REPORT = RerunReport(
    "hourly",
    AT,
    dry_run=False,
    windows=(
        WindowOutcome(
            Window(AT, AT), "old", "Failed", AT, Step.SUBMITTED, "new", rerun_by=RerunBy.THIS_BATCH
        ),
    ),
    skipped=(),
)
PIPELINE_RERUN = {
    "dry_run": False,
    "run_ids": ["new"],
    "counts": {},
    "runs": [{"run_id": "old", "new_run_id": "new", "status": "Queued"}, {"run_id": "a", "new_run_id": None}],
}
CANCEL = {"dry_run": False, "run_ids": ["a"], "counts": {}, "runs": [{"run_id": "a", "requested": True}]}


@pytest.mark.parametrize(
    ("xcom", "run_ids"),
    [
        ({}, ()),
        ({"run_id": "a"}, ("a",)),
        ({"run_id": ["a", None, "b"]}, ("a", "b")),
        ({"run_ids": [["a", "b"], ["b", "c"]], "return_value": [None]}, ("a", "b", "c")),
        ({"return_value": "not an id that anybody promised"}, ()),
        ({"return_value": PIPELINE_RERUN, "run_ids": ["new"]}, ("new",)),
        ({"return_value": PIPELINE_RERUN | {"dry_run": True, "run_ids": ["old"]}, "run_ids": ["old"]}, ()),
        ({"return_value": {"run_ids": ["a"]}, "run_ids": ["a"]}, ("a",)),
        ({"return_value": [CANCEL], "run_ids": [["a"], ["killed"]]}, ("killed",)),
        ({"return_value": [CANCEL], "run_ids": [["a"]]}, ()),
    ],
)
def test_pipeline_runs_are_found_where_a_task_started_them(
    xcom: dict[str, Any], run_ids: tuple[str, ...]
) -> None:
    assert started_by([xcom]).pipeline_run_ids == run_ids


def test_rerun_windows_are_found_with_their_trigger() -> None:
    assert started_by([{"return_value": [REPORT.to_json()], "run_ids": [["new"]]}]) == Started((), (REPORT,))


def test_a_report_in_a_file_is_named_and_its_run_ids_are_not_guessed_at() -> None:
    left = {"dry_run": False, "run_ids": ["new"], "counts": {}, "result_path": "/r.json"}
    assert started_by([{"return_value": left, "run_ids": ["new"]}]) == Started(in_files=("/r.json",))


def test_a_batch_that_was_judged_counts_once_and_one_that_was_killed_counts_as_well() -> None:
    other = replace(REPORT, trigger_name="daily")
    xcom = {"return_value": [REPORT.to_json()], "begun": [REPORT.packed(), other.packed()]}
    assert started_by([xcom]) == Started((), (REPORT, other))


@pytest.mark.parametrize("own", ["yes", "2026-03-01T00:00:00Z", "aGVsbG8=", ["a", 5], {"at": "noon"}])
def test_what_another_task_calls_begun_is_none_of_this_packages(own: object) -> None:
    assert started_by([{"run_id": "a", "begun": own}]) == Started(("a",))


@pytest.mark.parametrize(
    "value",
    [
        {"run_ids": ["x"], "counts": {}, "windows": []},
        {"run_ids": ["x"], "counts": {}, "windows": 5, "trigger_name": "hourly"},
        {"run_ids": ["x"], "counts": {}, "runs": ["x"]},
        {"run_ids": 5, "counts": {}, "runs": 5},
        {"run_ids": None, "counts": {}},
    ],
)
def test_what_only_looks_like_a_report_is_named_and_keeps_nothing_else_from_being_found(
    value: object,
) -> None:
    found = started_by([{"return_value": value}, {"run_id": "a"}])
    assert found == Started(("a",), unreadable=(str(value)[:100],))
