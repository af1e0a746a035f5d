"""What holds for all values of parameters: templates, switches, and what a trigger keeps of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.operators.cancel import AdfCancelPipelineRunOperator
from airflow_provider_adfruns.parameters import as_bool, is_templated
from airflow_provider_adfruns.triggers.runs import AdfRunsFinalTrigger, AdfWindowsRerunTrigger
from tests.provider.tasks import through_json

PLAIN = st.text().filter(lambda text: "{{" not in text and "{%" not in text)
NAMES = st.none() | st.text()
PLACES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "azure_data_factory_conn_id": st.text(),
        "resource_group_name": NAMES,
        "factory_name": NAMES,
        "poll_interval": st.floats(min_value=0.1, max_value=86400),
        "deadline": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        "max_requests_per_second": st.none() | st.integers(1, 99) | st.floats(0.01, 99),
    }
)


@given(PLAIN | st.lists(PLAIN) | st.none() | st.booleans() | st.integers())
def test_a_value_without_jinja_is_known_when_the_dag_is_parsed(value: object) -> None:
    assert not is_templated(value)


@given(
    PLAIN, PLAIN, st.sampled_from(["{{ x }}", "{% if x %}1{% endif %}"]), st.sampled_from([str, list, tuple])
)
def test_a_value_with_jinja_in_it_is_known_only_at_run_time(
    before: str, after: str, jinja: str, kind: type
) -> None:
    text = before + jinja + after
    assert is_templated(1, text if kind is str else kind([before, text]))


def test_another_tasks_output_is_known_only_at_run_time() -> None:
    with DAG("outputs", schedule=None):
        output = AdfCancelPipelineRunOperator(task_id="cancel", run_ids="lone").output
    assert is_templated(output)
    assert is_templated(["known", output])


@given(st.booleans(), st.sampled_from([str, str.lower, str.upper, " {} ".format]))
def test_a_switch_may_have_been_rendered_to_text(value: bool, spelled: Any) -> None:
    assert as_bool(value, "dry_run") is value
    assert as_bool(spelled(str(value)), "dry_run") is value


@given(
    st.none() | st.integers() | st.text().filter(lambda text: text.strip().lower() not in {"true", "false"})
)
def test_anything_else_is_no_switch(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"dry_run: .* is neither true nor false"):
        as_bool(value, "dry_run")


@given(
    PLACES, st.lists(st.text()), st.booleans(), NAMES, st.lists(st.text()), st.none() | st.just({"runs": []})
)
def test_a_trigger_of_final_runs_survives_the_database(
    place: dict[str, Any],
    pipeline_run_ids: list[str],
    include_children: bool,
    trigger_name: str | None,
    trigger_run_ids: list[str],
    report: dict[str, Any] | None,
) -> None:
    trigger = AdfRunsFinalTrigger(
        pipeline_run_ids=pipeline_run_ids,
        include_children=include_children,
        trigger_name=trigger_name,
        trigger_run_ids=trigger_run_ids,
        report=report,
        **place,
    )
    assert through_json(trigger).serialize() == trigger.serialize()
    assert vars(through_json(trigger)) == vars(trigger)


@given(PLACES, st.text(), st.none() | st.integers(1))
def test_a_trigger_of_reruns_survives_the_database(
    place: dict[str, Any], report: str, max_in_flight: int | None
) -> None:
    trigger = AdfWindowsRerunTrigger(report=report, max_in_flight=max_in_flight, **place)
    assert vars(through_json(trigger)) == vars(trigger)
