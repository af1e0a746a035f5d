"""Answers that no factory should give: redirects, half bodies, pages of a proxy, JSON of another shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    FactoryNotFound,
    OutcomeUnknown,
    PipelineRunNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from airflow_provider_adfruns.adf.pause import moving
from tests.adf.fields import read
from tests.adf.playback import Playback, Played, playing
from tests.adf.talking import talk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_adfruns.adf.client import FactoryClient

    Work = Callable[[FactoryClient], Awaitable[Any]]

DAY: Any = {
    "last_updated_after": datetime(2026, 3, 1, tzinfo=UTC),
    "last_updated_before": datetime(2026, 3, 2, tzinfo=UTC),
}
RUN = '{"runId": "r1", "pipelineName": "load", "status": "Failed"}'
PAGE = Played("<html>Sign in to the company's network</html>", content_type="text/html")


def failure(playback: Playback, work: Work, **options: Any) -> AdfRunsError:
    with pytest.raises(AdfRunsError) as failed, moving(lambda _: None):
        talk(read(arm_endpoint=playback.url), work, **options)
    return failed.value


def get_run(client: FactoryClient) -> Any:
    return client.get_pipeline_run("r1")


def query(client: FactoryClient) -> Any:
    return client.query_trigger_runs(**DAY)


def rerun(client: FactoryClient) -> Any:
    return client.rerun_trigger_run("hourly", "t1")


def recover(client: FactoryClient) -> Any:
    return client.create_recovery_run("load", "r1", run_id="chosen")


def list_triggers(client: FactoryClient) -> Any:
    return client.list_triggers()


def get_trigger(client: FactoryClient) -> Any:
    return client.get_trigger("hourly")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("work", [get_run, query, rerun])
def test_a_redirect_is_not_followed_and_no_token_reaches_another_host(status: int, work: Work) -> None:
    with (
        playing(Played(RUN)) as other,
        playing(Played(status=status, headers={"Location": other.url})) as asked,
    ):
        error = failure(asked, work)
    assert isinstance(error, UnexpectedAnswer)
    assert f"HTTP {status}" in str(error)
    assert len(asked.asked) == 1
    assert "Authorization" in asked.asked[0].headers
    assert other.asked == []


@pytest.mark.parametrize("work", [get_run, query])
def test_half_an_answer_to_a_read_is_asked_for_again(work: Work) -> None:
    whole = RUN if work is get_run else '{"value": []}'
    with playing(Played(whole[:9], missing=50), Played(whole)) as asked, moving(lambda _: None):
        talk(read(arm_endpoint=asked.url), work)
    assert len(asked.asked) == 2


@pytest.mark.parametrize("work", [rerun, recover])
@pytest.mark.parametrize(
    "answer", [Played("{", missing=50), Played("{", content_type="application/json"), PAGE], ids=str
)
def test_a_write_answered_by_what_cannot_be_read_may_have_been_carried_out(
    work: Work, answer: Played
) -> None:
    with playing(answer) as asked:
        error = failure(asked, work)
    assert isinstance(error, OutcomeUnknown)
    assert len(asked.asked) == 1


@pytest.mark.parametrize("work", [rerun, recover])
@pytest.mark.parametrize("status", [201, 202, 204])
def test_a_write_answered_by_another_success_than_the_services_may_have_been_carried_out(
    work: Work, status: int
) -> None:
    with playing(Played(status=status)) as asked:
        error = failure(asked, work)
    assert isinstance(error, OutcomeUnknown)
    assert f"HTTP {status}" in str(error)
    assert len(asked.asked) == 1


@pytest.mark.parametrize("work", [get_run, query, list_triggers, get_trigger])
def test_a_page_of_a_proxy_is_no_answer_of_the_service(work: Work) -> None:
    with playing(PAGE) as asked:
        error = failure(asked, work)
    assert isinstance(error, UnexpectedAnswer)
    assert "Sign in to the company's network" in str(error)


@pytest.mark.parametrize("work", [get_run, query])
def test_json_that_stays_broken_ends_with_the_budget(work: Work) -> None:
    with playing(Played('{"value": [')) as asked:
        error = failure(asked, work, trouble_budget_seconds=5)
    assert isinstance(error, Unreachable)
    assert len(asked.asked) == 3


@pytest.mark.parametrize(
    ("work", "body"),
    [
        *[(get_run, body) for body in ("", "{}", "[]", '""', "null", '{"runId": "r1"}')],
        (get_run, '{"runId": "r1", "pipelineName": "load", "status": "Failed", "runStart": "at noon"}'),
        *[
            (query, body)
            for body in ("", "{}", "[]", "null", '{"value": null}', '{"value": [{}]}', '{"value": [3]}')
        ],
        *[(list_triggers, body) for body in ("{}", "[]", '{"value": [{"name": "hourly"}]}')],
        *[(get_trigger, body) for body in ("", "{}", '{"name": "hourly", "properties": {}}')],
    ],
)
def test_json_of_another_shape_is_quoted(work: Work, body: str) -> None:
    with playing(Played(body)) as asked:
        error = failure(asked, work)
    assert isinstance(error, UnexpectedAnswer)
    assert "night-adf" in str(error)


@pytest.mark.parametrize("body", ["", "{}", '""', "[]"])
def test_a_recovery_answered_without_an_id_is_told_by_the_id_that_was_chosen(body: str) -> None:
    with playing(Played(body)) as asked:
        error = failure(asked, recover)
    assert isinstance(error, OutcomeUnknown)
    assert "chosen" in str(error)


def test_a_run_that_moves_between_two_pages_is_one_run_as_seen_last() -> None:
    pages = [{"value": [json.loads(RUN) | {"status": status}]} for status in ("InProgress", "Failed")]
    first = Played(json.dumps(pages[0] | {"continuationToken": "next"}))
    with playing(first, Played(json.dumps(pages[1]))) as asked:
        runs = talk(read(arm_endpoint=asked.url), lambda client: client.query_pipeline_runs(**DAY))
    assert [(run.run_id, run.status) for run in runs] == [("r1", "Failed")]


def test_a_query_that_does_not_end_is_given_up() -> None:
    with playing(Played('{"value": [], "continuationToken": "again"}')) as asked:
        error = failure(asked, query)
    assert "does not end" in str(error)
    assert len(asked.asked) == 2


def test_an_answer_without_a_date_gives_no_time() -> None:
    with playing(Played("{}", headers={"Date": ""})) as asked:
        error = failure(asked, lambda client: client.now())
    assert "without a Date header" in str(error)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", PipelineRunNotFound),
        ("[]", PipelineRunNotFound),
        ('{"error": "gone"}', PipelineRunNotFound),
        ('{"error": {"code": "SubscriptionNotFound", "message": "m"}}', FactoryNotFound),
    ],
)
def test_a_404_is_about_the_run_unless_it_speaks_of_the_factory(
    body: str, expected: type[AdfRunsError]
) -> None:
    with playing(Played(body, status=404)) as asked:
        error = failure(asked, get_run)
    assert type(error) is expected
