"""Which request may change the factory, what a failure means for it, and whether it may be sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseError,
)
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.transport import (
    ServiceTime,
    Verdict,
    is_write,
    judge_answer,
    judge_error,
    may_repeat,
    retry_after_seconds,
)

FACTORY = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.DataFactory/factories/f"
QUERIES = ("queryPipelineRuns", "queryTriggerRuns", "queryTriggers", "pipelineruns/r/queryActivityruns")


@pytest.mark.parametrize("path", QUERIES)
@pytest.mark.parametrize("ending", ["", "/", "?api-version=2018-06-01"])
def test_the_four_queries_are_reads_in_any_case(path: str, ending: str) -> None:
    for each in (path, path.lower(), path.upper()):
        assert not is_write("POST", f"{FACTORY}/{each}{ending}")


@pytest.mark.parametrize("path", ["", "/pipelineruns/r", "/triggers/t", "/triggers"])
def test_every_get_is_a_read(path: str) -> None:
    assert not is_write("GET", FACTORY + path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "pipelineruns/r/cancel?isRecursive=true"),
        ("POST", "triggers/t/triggerRuns/r/rerun"),
        ("POST", "triggers/t/triggerRuns/r/cancel"),
        ("POST", "pipelines/p/createRun?referencePipelineRunId=queryTriggerRuns"),
        ("POST", "pipelines/p/createRun?x=/querytriggerruns"),
        ("POST", "triggers/querytriggers/start"),
        ("POST", "pipelines/queryPipelineRuns/createRun"),
        ("POST", "requeryTriggerRuns"),
        ("PUT", "queryTriggerRuns"),
        ("DELETE", "triggers/t"),
        ("PATCH", "triggers/t"),
    ],
)
def test_whatever_acts_is_a_write(method: str, path: str) -> None:
    assert is_write(method, f"{FACTORY}/{path}")


@given(st.lists(st.sampled_from(["triggers", "queryTriggerRuns", "cancel", "r", "createRun", "?", "rerun"])))
def test_a_post_is_a_read_only_if_its_path_ends_in_a_query(parts: list[str]) -> None:
    path = "/".join(parts)
    expected = path.partition("?")[0].rstrip("/").rpartition("/")[2] != "queryTriggerRuns"
    assert is_write("POST", f"{FACTORY}/{path}") is expected


@given(st.integers(100, 599))
def test_only_429_says_that_nothing_was_done_and_any_5xx_may_mean_done(status: int) -> None:
    if status == 429:
        expected = Verdict.NOT_PROCESSED
    elif status == 408 or status >= 500:
        expected = Verdict.AMBIGUOUS
    else:
        expected = Verdict.FINAL
    assert judge_answer(status) is expected


KEY = aiohttp.client_reqrep.ConnectionKey("host", 443, True, True, None, None, None)
REFUSED = aiohttp.ClientConnectorError(KEY, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        (ServiceRequestError("x"), REFUSED, Verdict.NEVER_SENT),
        (ServiceRequestError("x"), aiohttp.ConnectionTimeoutError(), Verdict.NEVER_SENT),
        (ServiceRequestError("x"), aiohttp.ServerDisconnectedError(), Verdict.AMBIGUOUS),
        (ServiceRequestError("x"), aiohttp.ClientOSError(32, "broken pipe"), Verdict.AMBIGUOUS),
        (ServiceRequestError("x"), None, Verdict.AMBIGUOUS),
        (ServiceResponseError("x"), aiohttp.SocketTimeoutError(), Verdict.AMBIGUOUS),
        (DecodeError("x"), None, Verdict.AMBIGUOUS),
        (ClientAuthenticationError("x"), None, Verdict.FINAL),
    ],
)
def test_only_a_connection_that_was_never_made_is_sure_not_to_have_carried_anything(
    error: AzureError, cause: BaseException | None, expected: Verdict
) -> None:
    error.__cause__ = cause
    assert judge_error(error) is expected


@pytest.mark.parametrize(
    ("verdict", "read", "write"),
    [
        (Verdict.NEVER_SENT, True, True),
        (Verdict.NOT_PROCESSED, True, True),
        (Verdict.AMBIGUOUS, True, False),
        (Verdict.FINAL, False, False),
    ],
)
def test_a_write_is_repeated_only_where_it_surely_was_not_carried_out(
    verdict: Verdict, read: bool, write: bool
) -> None:
    assert may_repeat(verdict, write=False) is read
    assert may_repeat(verdict, write=True) is write


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("-3", 0.0), ("soon", None), ("", None), (None, None)]
    + [(text, None) for text in ("nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT")],
)
def test_a_retry_after_header_is_read_as_seconds(header: str | None, expected: float | None) -> None:
    assert retry_after_seconds(header) == expected


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_services_time_does_not_go_back_when_answers_overtake_each_other() -> None:
    clock = ServiceTime()
    clock.observe("Sun, 01 Mar 2026 12:00:05 GMT")
    clock.observe("Sun, 01 Mar 2026 12:00:00 GMT")
    assert clock.latest == NOON + timedelta(seconds=5)


@pytest.mark.parametrize("header", [None, "", "today", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_an_answer_without_a_readable_date_changes_nothing(header: str | None) -> None:
    clock = ServiceTime(NOON)
    clock.observe(header)
    assert clock.latest == NOON
