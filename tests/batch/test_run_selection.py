"""Which pipeline runs a selection means, and in which order they are cancelled: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.model import InvokedBy, PipelineRun, PipelineRunStatus
from airflow_provider_adfruns.adf.queries import HISTORY
from airflow_provider_adfruns.batch.run_selection import (
    CancelOrder,
    RunSelection,
    check_run_choice,
    in_waves,
    select_runs,
)

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(
    run_id: str,
    *,
    status: str = "InProgress",
    start: datetime | None = NOW,
    by: InvokedBy | None = None,
    parent: str | None = None,
) -> PipelineRun:
    if parent is not None:
        by = InvokedBy("activity", "Start", "PipelineActivity", "load", parent)
    return PipelineRun(
        run_id, run_id, "load", PipelineRunStatus(status), {}, by, start, None, start, "", is_latest=True
    )


@pytest.mark.parametrize(
    ("start", "is_in"),
    [(-1, False), (0, True), (9, True), (10, False), (None, False)],
)
def test_a_range_of_starts_holds_its_beginning_and_not_its_end(start: int | None, is_in: bool) -> None:
    selection = RunSelection(started_after=NOW, started_before=NOW + 10 * MINUTE)
    began = None if start is None else NOW + start * MINUTE
    assert selection.includes(run("a", start=began), NOW + 20 * MINUTE) is is_in


def test_a_run_that_has_not_begun_counts_as_beginning_now() -> None:
    assert RunSelection(started_after=NOW).includes(run("a", start=None), NOW)
    assert not RunSelection(started_before=NOW).includes(run("a", start=None), NOW)


@pytest.mark.parametrize(
    ("by", "is_in"),
    [
        (InvokedBy("t1", "hourly", "TumblingWindowTrigger", None, None), True),
        (InvokedBy("t2", "Hourly", "ScheduleTrigger", None, None), True),
        (InvokedBy("t3", "daily", "ScheduleTrigger", None, None), False),
        (InvokedBy("x", "hourly", "Manual", None, None), False),
        (InvokedBy("x", "hourly", "PipelineActivity", "load", "p1"), False),
        (None, False),
    ],
)
def test_a_trigger_s_runs_are_those_that_it_started(by: InvokedBy | None, is_in: bool) -> None:
    assert RunSelection(trigger_name="hourly").includes(run("a", by=by), NOW) is is_in


def test_a_trigger_run_s_runs_are_those_that_name_it() -> None:
    selection = RunSelection(trigger_run_id="t1")
    assert selection.includes(run("a", by=InvokedBy("t1", "hourly", "ScheduleTrigger", None, None)), NOW)
    assert not selection.includes(run("a", by=InvokedBy("t2", "hourly", "ScheduleTrigger", None, None)), NOW)
    assert not selection.includes(run("a"), NOW)


def test_what_the_service_can_judge_is_asked_of_it() -> None:
    selection = RunSelection(pipeline_names=("load", "report"), run_group_id="g1")
    assert [(each.operand, each.operator, each.values) for each in selection.filters()] == [
        ("Status", "In", ("Canceling", "InProgress", "Queued")),
        ("PipelineName", "In", ("load", "report")),
        ("RunGroupId", "Equals", ("g1",)),
    ]


@pytest.mark.parametrize(
    ("after", "since"),
    [
        (None, NOW - HISTORY),
        (NOW - MINUTE, NOW - MINUTE),
        (NOW - 2 * HISTORY, NOW - HISTORY),
        (NOW + MINUTE, NOW),
    ],
)
def test_no_matching_run_was_updated_before_it_may_have_begun(
    after: datetime | None, since: datetime
) -> None:
    assert RunSelection(started_after=after).updated_since(NOW) == since


def ids(waves: list[list[PipelineRun]]) -> list[list[str]]:
    return [[each.run_id for each in wave] for wave in waves]


FAMILY = [
    run("parent", start=NOW - 3 * MINUTE),
    run("child", start=NOW - 2 * MINUTE, parent="parent"),
    run("grandchild", start=NOW - MINUTE, parent="child"),
    run("lone", start=NOW),
    run("queued", status="Queued", start=NOW - 9 * MINUTE),
    run("fresh", status="Queued", start=None),
]


@pytest.mark.parametrize(
    ("order", "queued_first", "waves"),
    [
        ("newest_first", False, [["fresh", "lone", "grandchild", "child", "parent", "queued"]]),
        ("newest_first", True, [["fresh", "queued"], ["lone", "grandchild", "child", "parent"]]),
        (
            "children_first",
            True,
            [["fresh", "queued"], ["grandchild"], ["child"], ["lone", "parent"]],
        ),
        ("children_first", False, [["grandchild"], ["child"], ["fresh", "lone", "parent", "queued"]]),
    ],
)
def test_runs_go_in_the_order_asked_for(order: str, queued_first: bool, waves: list[list[str]]) -> None:
    assert ids(in_waves(FAMILY, CancelOrder(order), queued_first=queued_first)) == waves


@st.composite
def forests(draw: st.DrawFn) -> list[PipelineRun]:
    """Runs, of which each may have been started by an earlier one."""
    made = []
    for number in range(draw(st.integers(0, 12))):
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        start = draw(st.none() | st.integers(0, 99).map(lambda minutes: NOW - minutes * MINUTE))
        status = draw(st.sampled_from(["Queued", "InProgress", "Canceling"]))
        made.append(
            run(str(number), status=status, start=start, parent=None if parent is None else str(parent))
        )
    return draw(st.permutations(made))


@given(forests(), st.sampled_from(CancelOrder), st.booleans())
def test_every_run_is_in_one_wave(runs: list[PipelineRun], order: CancelOrder, queued_first: bool) -> None:
    waves = ids(in_waves(runs, order, queued_first=queued_first))
    assert sorted(run_id for wave in waves for run_id in wave) == sorted(each.run_id for each in runs)


@given(forests())
def test_children_come_in_an_earlier_wave_than_their_parents(runs: list[PipelineRun]) -> None:
    waves = ids(in_waves(runs, CancelOrder.CHILDREN_FIRST, queued_first=False))
    at = {run_id: number for number, wave in enumerate(waves) for run_id in wave}
    parents = {each.run_id: each.invoked_by.pipeline_run_id for each in runs if each.invoked_by}
    assert all(at[run_id] < at[parent] for run_id, parent in parents.items() if parent is not None)


@given(forests(), st.sampled_from(CancelOrder))
def test_no_queued_run_waits_for_another_one(runs: list[PipelineRun], order: CancelOrder) -> None:
    begun = False
    for wave in in_waves(runs, order, queued_first=True):
        queued = {each.status is PipelineRunStatus.QUEUED for each in wave}
        assert len(queued) == 1
        begun = begun or queued == {False}
        assert queued == {not begun}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"pipeline_names": []}, "pipeline_names: the list is empty. Expected at least one pipeline's name"),
    ({"pipeline_names": "a/b"}, "pipeline_name: 'a/b' is not valid. Expected the pipeline's name"),
    ({"statuses": []}, "statuses: the list is empty. Expected at least one of Canceling, InProgress, Queued"),
    (
        {"statuses": "Failed"},
        "statuses: 'Failed' cannot be cancelled. Expected Canceling, InProgress, Queued",
    ),
    ({"statuses": ["Queued", "Unheard"]}, "statuses: 'Unheard' cannot be cancelled"),
    ({"started_after": "2026-03-01T00:00:00"}, "started_after: .* has no time zone"),
    ({"started_before": "soon"}, "started_before: 'soon' is not a time"),
    (
        {"started_after": "2026-03-01T06:00:00Z", "started_before": "2026-03-01T06:00:00Z"},
        "started_before: .* is not after started_after .* swap them",
    ),
    ({"trigger_name": "a/b"}, "trigger_name: 'a/b' is not valid"),
    ({"trigger_run_id": "a/b"}, "trigger_run_id: 'a/b' is not a run id"),
    ({"run_group_id": "a b"}, "run_group_id: 'a b' is not a run id"),
]


@pytest.mark.parametrize(("conditions", "said"), BAD)
def test_a_bad_condition_is_named(conditions: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        select_runs(conditions)


@pytest.mark.parametrize(
    ("run_ids", "conditions", "said"),
    [
        ("a", {"pipeline_names": "load"}, "run_ids and pipeline_names are both given. Expected one of them"),
        (None, {}, "neither run_ids nor a selection is given. Expected run_ids, or some of pipeline_names"),
        (None, {"statuses": "Queued"}, "statuses alone select every run of the factory"),
    ],
)
def test_ids_and_conditions_exclude_each_other(run_ids: Any, conditions: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_run_choice(run_ids, conditions)
