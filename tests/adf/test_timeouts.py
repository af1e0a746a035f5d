"""Timeouts and the trouble budget: read from the connection, checked, and kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import InvalidInput, OutcomeUnknown, Unreachable
from airflow_provider_adfruns.adf.sharing import SignIn
from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from tests.adf.fields import read
from tests.adf.talking import talk
from tests.conftest import CONN_ID, calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

RUNNING = "11111111-1111-4111-8111-111111111111"
SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "pipelines": {"load": {"seconds": 3600}},
    "runs": [{"pipeline": "load", "status": "InProgress", "started": "-PT5M", "id": RUNNING}],
}
FIELDS = ["connect_timeout", "read_timeout", "trouble_budget"]


@pytest.mark.parametrize("given", ["7.5", 7.5, " 7.5 "])
@pytest.mark.parametrize("field", FIELDS)
def test_a_connection_says_how_many_seconds(field: str, given: Any) -> None:
    assert getattr(read(**{field: given}), f"{field}_seconds") == 7.5


def test_without_a_word_it_is_ten_sixty_and_a_hundred_and_twenty_seconds() -> None:
    connection = read(connect_timeout="", read_timeout=None)
    assert [getattr(connection, f"{field}_seconds") for field in FIELDS] == [10, 60, 120]


@pytest.mark.parametrize("bad", [0, "0", -1, "soon", "nan", "inf", True])
@pytest.mark.parametrize("field", FIELDS)
def test_other_values_are_refused_with_field_and_connection(field: str, bad: Any) -> None:
    said = rf"^{field}: '{bad}' in connection 'adf' is not possible. Expected a number of seconds above zero"
    with pytest.raises(InvalidInput, match=said):
        read(**{field: bad})


@pytest.mark.parametrize("rate", [0, "0", -1])
def test_a_rate_of_zero_or_below_is_refused_as_well(rate: Any) -> None:
    with pytest.raises(InvalidInput, match=r"max_requests_per_second: .* is not possible"):
        read(max_requests_per_second=rate)
    with pytest.raises(InvalidInput, match=r"max_requests_per_second: .* is not possible"):
        AdfRunsHook(max_requests_per_second=rate)


def test_a_write_without_an_answer_ends_after_the_read_timeout_and_is_sent_once(factory: Factory) -> None:
    emulator = factory(SCENARIO)
    emulator.fail_next("PipelineRuns_Cancel", hang=True)

    async def cancel(client: FactoryClient) -> None:
        await client.cancel_pipeline_run(RUNNING, is_recursive=True)

    with pytest.raises(OutcomeUnknown):
        talk(emulator, cancel, read_timeout="0.2")
    while not calls(emulator, "PipelineRuns_Cancel"):  # which may take longer than the client had patience
        pass
    assert len(calls(emulator, "PipelineRuns_Cancel")) == 1


def test_a_hook_repeats_a_read_for_as_long_as_its_connection_says(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(SCENARIO)
    data = json.loads(emulator.connection_json())
    data["extra"] = {**data["extra"], "trouble_budget": 5}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(data))
    emulator.fail_next("PipelineRuns_Get", status=503, count=100)
    with pytest.raises(Unreachable):
        AdfRunsHook().get_pipeline_run(RUNNING)
    first, *_, last = calls(emulator, "PipelineRuns_Get")
    assert (last.at - first.at).total_seconds() == 3  # after 1 and 2 seconds; four more would be seven


@pytest.mark.parametrize(("field", "shared"), [(FIELDS[0], False), (FIELDS[1], False), (FIELDS[2], True)])
def test_connections_with_other_timeouts_share_no_client(field: str, shared: bool) -> None:
    other: dict[str, Any] = {field: 7}
    assert (SignIn.of(read(**other)) == SignIn.of(read())) is shared
