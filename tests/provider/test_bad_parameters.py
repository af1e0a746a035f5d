"""Bad parameters: the DAG does not parse where they are known then; from a template the task fails unsent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.emulator import AdfEmulator
from airflow_provider_adfruns.operators.cancel import (
    AdfCancelPipelineRunOperator,
    AdfCancelWaitingTriggerRunOperator,
)
from airflow_provider_adfruns.operators.rerun import (
    AdfRerunPipelineRunOperator,
    AdfRerunTumblingWindowRunsOperator,
)
from airflow_provider_adfruns.sensors.cancel_complete import AdfCancelCompleteSensor
from tests.provider.scenarios import NIGHT_RANGE, WAITING
from tests.provider.tasks import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import BaseOperator

    from tests.provider.conftest import Ran

    Start = Callable[..., AdfEmulator]
    RunDag = Callable[[DAG], Ran]

CANCEL: tuple[Any, dict[str, Any]] = (AdfCancelPipelineRunOperator, {"run_ids": "lone"})
SELECTED = (AdfCancelPipelineRunOperator, {"pipeline_names": "load"})
WAITING_RUNS = (AdfCancelWaitingTriggerRunOperator, {"trigger_name": "report", **NIGHT_RANGE})
RERUN = (AdfRerunTumblingWindowRunsOperator, {"trigger_name": "hourly", **NIGHT_RANGE})
RERUN_RUNS = (AdfRerunPipelineRunOperator, {"run_ids": "lone"})
SENSOR = (AdfCancelCompleteSensor, {"pipeline_run_ids": "lone"})
TRIGGER_SENSOR = (AdfCancelCompleteSensor, {"trigger_name": "report", "trigger_run_ids": "waiting"})
ON_WINDOWS = [WAITING_RUNS, RERUN]
OPERATORS = [CANCEL, WAITING_RUNS, RERUN, RERUN_RUNS]
IN_XCOM = "{{ ti.xcom_pull(task_ids='choose') }}"

NO_RUN_IDS = ["", [], "[]", " , "]
NO_RANGE = {"window_start": None, "window_end": None}
BAD_RUN_IDS = [
    "a/b",
    "../factories/other",
    "a.b",
    "a b",
    "a?b=c",
    "a%2Fb",
    "https://adf.azure.com/en/monitoring/pipelineruns/2f7fdb90-5df1-4b8e-ac2f-064cfa58202b",
    ["fine", "a/b"],
    ["fine", ""],
    ["fine", 5],
    ["fine", None],
    "['fine', 'a/b']",
]
BAD_RANGES: list[tuple[dict[str, Any], str]] = [
    (
        {"window_start": "2026-03-01T06:00:00Z", "window_end": "2026-03-01T05:00:00Z"},
        r"window_end: .* is not after window_start .* Expected a range .* swap them",
    ),
    (
        {"window_start": "2026-03-01T06:00:00Z", "window_end": "2026-03-01T07:00:00+01:00"},
        r"window_end: .* is not after window_start",
    ),
    (
        {"window_start": "2026-03-01T00:00:00"},
        r"window_start: .* has no time zone.* Expected 'Z' or an offset",
    ),
    ({"window_end": datetime(2026, 3, 1)}, r"window_end: .* has no time zone"),  # noqa: DTZ001
    ({"window_end": "yesterday"}, r"window_end: 'yesterday' is not a time. Expected ISO 8601, such as"),
    ({"window_start": 5}, r"window_start: 5 is not a time. Expected a datetime or a text in ISO 8601"),
    ({"window_start": None}, r"window_start is not given. Expected both window_start and window_end"),
    ({"window_end": None}, r"window_end is not given. Expected both window_start and window_end"),
    ({"run_ids": "waiting"}, r"run_ids and window_start/window_end are both given. Expected one of them"),
    (NO_RANGE, r"neither run_ids nor window_start and window_end are given. Expected one of them"),
]

Case = tuple[tuple[Any, dict[str, Any]], dict[str, Any], str]
CASES: list[Case] = [
    *[
        (CANCEL, {"run_ids": each}, "run_ids: the list is empty. Expected at least one")
        for each in NO_RUN_IDS
    ],
    *[(CANCEL, {"run_ids": each}, r"run_ids: .* is not a run id. Expected letters") for each in BAD_RUN_IDS],
    (CANCEL, {"run_ids": 5}, r"run_ids: 5 is .* list"),
    (CANCEL, {"run_ids": "['cut off"}, r"run_ids: .* is not a list. Expected a list"),
    (CANCEL, {"is_recursive": "maybe"}, "is_recursive: 'maybe' is neither true nor false"),
    (CANCEL, {"dry_run": "maybe"}, "dry_run: 'maybe' is neither true nor false"),
    *[(kind, *bad) for kind in ON_WINDOWS for bad in BAD_RANGES],
    *[
        (kind, {**NO_RANGE, "run_ids": each}, r"run_ids: .* is not a run id. Expected letters")
        for kind in ON_WINDOWS
        for each in BAD_RUN_IDS
    ],
    *[
        (kind, {**NO_RANGE, "run_ids": each}, "run_ids: the list is empty. Expected at least one")
        for kind in ON_WINDOWS
        for each in NO_RUN_IDS
    ],
    *[
        (
            kind,
            {"trigger_name": each},
            "trigger_name: .* is not valid. Expected the trigger's name as ADF Studio",
        )
        for kind in ON_WINDOWS
        for each in ["", "a/b", "a.b", "../x", 5, None]
    ],
    *[
        (RERUN, {"statuses": each}, "statuses: .* cannot be rerun. Expected Cancelled, Failed, Succeeded")
        for each in ["Running", ["Failed", "WaitingOnDependency"], "Canceled", [5]]
    ],
    (RERUN, {"statuses": []}, "statuses: the list is empty. Expected at least one of Cancelled, Failed"),
    *[
        (kind, {"deadline": each}, f"deadline: .* {said}")
        for kind in OPERATORS
        for each, said in [
            ("2026-03-01T06:00:00", "has no time zone"),
            (datetime(2026, 3, 1), "has no time zone"),  # noqa: DTZ001
            ("tonight", "is not a time. Expected ISO 8601"),
            ("None", "is not a time. Expected ISO 8601"),
            (5, "is not a time. Expected a datetime"),
        ]
    ],
    *[
        (kind, {"result_path": each}, "result_path: .* is not possible. Expected a file, or a folder")
        for kind in OPERATORS
        for each in ["", "None", "results/today.json", 5]
    ],
    *[
        (kind, {"fail_if": each}, "fail_if: .* is not known. Expected one of any, all, never")
        for kind in [RERUN, RERUN_RUNS]
        for each in ["some", "", None, "ANY", True]
    ],
    (RERUN_RUNS, {"dry_run": "maybe"}, "dry_run: 'maybe' is neither true nor false"),
    (RERUN_RUNS, {"rerun_from": "end"}, "rerun_from: 'end' is not known. Expected one of start, failure"),
    (RERUN_RUNS, {"rerun_from": "activity"}, "start_activity_name and rerun_from='activity' belong together"),
    *[
        (RERUN_RUNS, {"run_ids": each}, r"run_ids: .* is not a run id. Expected letters")
        for each in BAD_RUN_IDS
    ],
    *[(RERUN_RUNS, {"run_ids": each}, "run_ids: the list is empty") for each in NO_RUN_IDS],
    (RERUN, {"dry_run": "maybe"}, "dry_run: 'maybe' is neither true nor false"),
    (WAITING_RUNS, {"dry_run": "maybe"}, "dry_run: 'maybe' is neither true nor false"),
    (
        WAITING_RUNS,
        {"on_running": "kill"},
        "on_running: 'kill' is not known. Expected one of fail, skip, cancel",
    ),
    *[
        (SENSOR, {"pipeline_run_ids": each}, "pipeline_run_ids: .* is not a run id. Expected letters")
        for each in BAD_RUN_IDS
    ],
    *[(SENSOR, {"pipeline_run_ids": each}, "pipeline_run_ids: the list is empty") for each in NO_RUN_IDS],
    (SENSOR, {"pipeline_run_ids": 5}, r"pipeline_run_ids: 5 is .* list"),
    (TRIGGER_SENSOR, {"trigger_run_ids": 5}, r"trigger_run_ids: 5 is .* list"),
    (SENSOR, {"include_children": "maybe"}, "include_children: 'maybe' is neither true nor false"),
    (TRIGGER_SENSOR, {"trigger_run_ids": "a/b"}, "trigger_run_ids: 'a/b' is not a run id. Expected letters"),
    (
        TRIGGER_SENSOR,
        {"trigger_name": "a/b"},
        "trigger_name: 'a/b' is not valid. Expected the trigger's name",
    ),
]
CASES += [
    (SELECTED, {"run_ids": "lone"}, "run_ids and pipeline_names are both given. Expected one of them"),
    (SELECTED, {"pipeline_names": []}, "pipeline_names: the list is empty. Expected at least one"),
    (SELECTED, {"pipeline_names": "a/b"}, "pipeline_name: 'a/b' is not valid. Expected the pipeline's name"),
    *[
        (SELECTED, {"statuses": each}, "statuses: .* cannot be cancelled. Expected Canceling, InProgress, Q")
        for each in ["Failed", ["Queued", "Succeeded"], "Canceled", [5]]
    ],
    (SELECTED, {"statuses": []}, "statuses: the list is empty. Expected at least one of Canceling"),
    (SELECTED, {"pipeline_names": None, "statuses": "Queued"}, "statuses alone select|has come to None"),
    (SELECTED, {"started_after": "2026-03-01T00:00:00"}, "started_after: .* has no time zone"),
    (SELECTED, {"started_before": "soon"}, "started_before: 'soon' is not a time. Expected ISO 8601"),
    (
        SELECTED,
        {"started_after": "2026-03-01T06:00:00Z", "started_before": "2026-03-01T05:00:00Z"},
        "started_before: .* is not after started_after .* swap them",
    ),
    (SELECTED, {"trigger_name": "a/b"}, "trigger_name: 'a/b' is not valid"),
    (SELECTED, {"trigger_run_id": "a/b"}, "trigger_run_id: 'a/b' is not a run id"),
    (SELECTED, {"run_group_id": "a/b"}, "run_group_id: 'a/b' is not a run id"),
    (SELECTED, {"order": "oldest"}, "order: 'oldest' is not known. Expected one of newest_first, children_f"),
    (SELECTED, {"if_none": "weep"}, "if_none: 'weep' is not known. Expected one of skip, fail, succeed"),
    (SELECTED, {"queued_first": "maybe"}, "queued_first: 'maybe' is neither true nor false"),
]
NEVER_TEMPLATED: list[Case] = [
    *[
        (SELECTED, {"max_runs": each}, "max_runs: .* is not possible. Expected a whole number above zero")
        for each in [0, -1, 1.5, "5", True]
    ],
    (CANCEL, {"run_ids": None}, r"neither run_ids nor a selection is given. Expected run_ids, or some of"),
    (SENSOR, {"pipeline_run_ids": None}, "neither pipeline_run_ids nor trigger_run_ids are given. Expected"),
    (
        TRIGGER_SENSOR,
        {"trigger_name": None},
        "trigger_name and trigger_run_ids belong together. Expected both",
    ),
    (TRIGGER_SENSOR, {"trigger_run_ids": None}, "neither pipeline_run_ids nor trigger_run_ids are given"),
    *[
        (RERUN, {name: each}, f"{name}: .* is not possible. Expected a whole number above zero")
        for name in ["max_windows", "max_in_flight"]
        for each in [0, -1, 1.5, "5", True]
    ],
    *[
        (kind, {name: each}, f"{name}: .* is not possible. Expected a number of seconds above zero")
        for kind in OPERATORS
        for name in ["poll_interval", "timeout"]
        for each in [0, -1, "60", True, None]
    ],
    *[
        (RERUN, {"settle_seconds": each}, "settle_seconds: .* is not possible. Expected a number of seconds")
        for each in [0, -1, "60", True, None]
    ],
    *[
        (kind, {"max_requests_per_second": each}, "max_requests_per_second: .* is not possible. Expected")
        for kind in OPERATORS
        for each in [0, -1, "60", True]
    ],
]


@pytest.mark.parametrize(("kind", "bad", "said"), CASES + NEVER_TEMPLATED)
def test_a_dag_with_a_bad_parameter_does_not_parse(
    kind: tuple[Callable[..., BaseOperator], dict[str, Any]], bad: dict[str, Any], said: str
) -> None:
    operator, good = kind
    with pytest.raises(InvalidInput, match=said):
        operator(task_id="task", **{**good, **bad})


@pytest.fixture(scope="module")
def untouched() -> Iterator[AdfEmulator]:
    """A factory that every test leaves as it is, and so one for all of them."""
    with AdfEmulator(WAITING, clock="manual") as emulator:
        yield emulator
        assert list(emulator.journal) == []


@pytest.mark.parametrize(("kind", "bad", "said"), CASES)
def test_a_bad_parameter_from_a_template_fails_the_task_before_anything_is_sent(
    untouched: AdfEmulator,
    monkeypatch: pytest.MonkeyPatch,
    kind: tuple[Callable[..., BaseOperator], dict[str, Any]],
    bad: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", untouched.connection_json())
    operator, good = kind
    parsed = operator(task_id="task", **good)
    for name, rendered in bad.items():
        setattr(parsed, name, rendered)
    with pytest.raises(InvalidInput, match=said):
        parsed.execute(TaskInstance().context)
    assert list(untouched.journal) == []


def test_in_a_dag_run_a_template_that_renders_to_bad_run_ids_fails_the_task_unsent(
    factory: Start, run_dag: RunDag
) -> None:
    emulator = factory(WAITING)

    @task
    def choose() -> str:
        return "runs/waiting"

    with DAG("bad_ids", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        choose() >> AdfCancelPipelineRunOperator(task_id="cancel", run_ids=IN_XCOM)
    ran = run_dag(dag)
    assert ran.states == {"choose": "success", "cancel": "failed"}
    assert list(emulator.journal) == []


@pytest.mark.parametrize(
    ("kind", "templated"),
    [
        (CANCEL, {"run_ids": [IN_XCOM, "lone"], "is_recursive": IN_XCOM, "dry_run": IN_XCOM}),
        (SELECTED, {"pipeline_names": IN_XCOM, "statuses": [IN_XCOM], "started_after": "{{ ts }}"}),
        (SELECTED, {"order": IN_XCOM, "if_none": IN_XCOM, "queued_first": IN_XCOM, "trigger_name": IN_XCOM}),
        (WAITING_RUNS, {"trigger_name": IN_XCOM, "on_running": IN_XCOM, "dry_run": IN_XCOM}),
        (WAITING_RUNS, {"window_start": "{{ data_interval_start }}", "window_end": "{% if x %}{% endif %}"}),
        (RERUN, {"trigger_name": IN_XCOM, "statuses": [IN_XCOM], "dry_run": IN_XCOM}),
        (RERUN, {**NO_RANGE, "run_ids": IN_XCOM}),
        *[(kind, {"deadline": IN_XCOM, "result_path": "{{ params.folder }}/"}) for kind in OPERATORS],
        *[(kind, {"fail_if": IN_XCOM}) for kind in [RERUN, RERUN_RUNS]],
        (SENSOR, {"pipeline_run_ids": IN_XCOM}),
        (SENSOR, {"include_children": IN_XCOM}),
        (TRIGGER_SENSOR, {"trigger_name": IN_XCOM, "trigger_run_ids": IN_XCOM}),
    ],
)
def test_templates_parse(
    kind: tuple[Callable[..., BaseOperator], dict[str, Any]], templated: dict[str, Any]
) -> None:
    operator, good = kind
    parsed = operator(task_id="task", **{**good, **templated})
    assert {name: getattr(parsed, name) for name in templated} == templated
