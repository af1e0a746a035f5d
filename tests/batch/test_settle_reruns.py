"""A rerun whose answer was lost is looked for long enough, by the factory's time, before it is sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.ledger import Ledger, Phase
from airflow_provider_adfruns.batch.planning import plan_rerun, resume_rerun
from airflow_provider_adfruns.batch.report import RerunBy
from airflow_provider_adfruns.batch.selection import select_windows
from airflow_provider_adfruns.batch.submit import RerunHistory, Rules, Submission, with_history
from tests.adf.talking import talk
from tests.conftest import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.batch.report import RerunReport, WindowOutcome
    from airflow_provider_adfruns.emulator import AdfEmulator

    Factory = Callable[..., AdfEmulator]

NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
SELECTION = select_windows("hourly", window_start=NOW - timedelta(days=40), window_end=NOW)


def failed(count: int) -> dict[str, Any]:
    """Return a factory with so many failed windows, whose queries lag by twenty seconds."""
    windows = {"count": count, "status": "Failed", "rerun_outcome": "succeeded"}
    return {
        "now": NOW.isoformat(),
        "query_lag_seconds": 20,
        "pipelines": {"load": {"seconds": 60}},
        "triggers": {"hourly": {"pipeline": "load", "state": "stopped", "windows": windows}},
    }


async def plan(client: FactoryClient) -> RerunReport:
    return await plan_rerun(client, SELECTION, None, max_windows=1000, dry_run=False)


def reruns(emulator: AdfEmulator) -> list[str]:
    """Return the runs that were rerun, a rerun each."""
    return [entry.subject for entry in calls(emulator, "TriggerRuns_Rerun") if entry.effect]


def test_a_rerun_lost_long_after_the_last_answer_is_looked_for_from_then_on(factory: Factory) -> None:
    emulator = factory(failed(1))

    async def rerun(client: FactoryClient) -> RerunReport:
        report = await plan(client)
        emulator.fail_next("TriggerRuns_Rerun", status=429, retry_after=60)
        emulator.fail_next("TriggerRuns_Rerun", drop_connection=True, processed=True)
        return await Submission(client, report, Rules()).run()

    report = talk(emulator, rerun)
    assert len(reruns(emulator)) == 1
    assert [each.step for each in report.windows] == ["submitted"]


def test_a_rerun_that_shows_while_a_look_is_slow_is_this_batchs_own(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = factory(failed(1))
    look, looks = RerunHistory.look, 0

    async def rerun(client: FactoryClient) -> RerunReport:
        async def slow(self: RerunHistory, *, full: bool = False) -> None:
            nonlocal looks
            looks += 1
            await look(self, full=full)
            if looks == 3:  # before sending, after it, and once more three seconds later
                await pause(40)
                await client.check_factory()  # whose answer tells what time it is

        monkeypatch.setattr(RerunHistory, "look", slow)
        return await _submitted(client)

    emulator.fail_next("TriggerRuns_Rerun", drop_connection=True, processed=True)
    (outcome,) = talk(emulator, rerun).windows
    assert outcome.rerun_by is RerunBy.THIS_BATCH


def test_a_rerun_that_was_settled_as_not_done_is_no_longer_called_unclear(factory: Factory) -> None:
    emulator = factory(failed(1))
    emulator.fail_sometimes("TriggerRuns_Rerun", rate=1.0, status=503)
    (outcome,) = talk(emulator, _submitted).windows
    assert outcome.step == "refused"
    assert "may have been carried out" not in outcome.problem


def test_a_batch_is_taken_up_whole_although_its_history_first_comes_without_a_page(factory: Factory) -> None:
    emulator = factory(failed(150))

    async def resume(client: FactoryClient) -> RerunReport:
        report = await plan(client)
        windows = tuple(each.window for each in report.windows)
        ledger = Ledger(
            "batch", "selection", report.planned_at, windows, Phase.SUBMITTING, "try 1", handed=150
        )
        emulator.fail_next("TriggerRuns_QueryByFactory", lose="rest")
        return await resume_rerun(client, SELECTION, None, ledger)

    report = talk(emulator, resume)
    assert len(report.windows) == 150
    assert {each.step for each in report.windows} == {"unclear"}


def test_a_rerun_that_the_first_looks_of_a_next_try_do_not_show_is_not_sent_again(factory: Factory) -> None:
    emulator = factory(failed(1))

    async def crash_and_go_on(client: FactoryClient) -> RerunReport:
        sent = await _submitted(client)
        emulator.advance(600)
        await client.check_factory()
        windows = tuple(each.window for each in sent.windows)
        ledger = Ledger("batch", "selection", sent.planned_at, windows, Phase.SUBMITTING, "try 1", handed=1)
        emulator.fail_next("TriggerRuns_QueryByFactory", stale_seconds=900, count=2)
        report = await resume_rerun(client, SELECTION, None, ledger)
        assert [each.step for each in report.windows] == ["unclear"]
        return await Submission(client, report, Rules()).run()

    report = talk(emulator, crash_and_go_on)
    assert len(reruns(emulator)) == 1
    assert [each.status for each in report.windows] == ["Succeeded"]


def test_reruns_are_sent_as_long_as_some_get_through(factory: Factory) -> None:
    emulator = factory(failed(30))
    emulator.fail_sometimes("TriggerRuns_Rerun", rate=0.8, seed=1, status=503)
    report = talk(emulator, _submitted)
    assert {each.step for each in report.windows} == {"submitted"}
    assert len(reruns(emulator)) == 30


async def _submitted(client: FactoryClient) -> RerunReport:
    return await Submission(client, await plan(client), Rules()).run()


def test_a_lagging_answer_takes_no_final_status_back(factory: Factory) -> None:
    emulator = factory(failed(1))

    async def look_again(client: FactoryClient) -> list[str]:
        (outcome,) = (await _submitted(client)).windows
        history = RerunHistory(client, "hourly", outcome.ran_at)
        emulator.advance(90)
        await client.check_factory()
        await history.look()
        emulator.fail_next("TriggerRuns_QueryByFactory", stale_seconds=40)
        await history.look()
        return [str(run.status) for run in history.newer(outcome)]

    assert talk(emulator, look_again) == ["Succeeded"]


def test_a_lagging_answer_does_not_take_a_window_back_to_an_earlier_rerun(factory: Factory) -> None:
    scenario = failed(1)
    scenario["query_lag_seconds"] = 2
    scenario["pipelines"]["load"]["seconds"] = 5
    scenario["triggers"]["hourly"] |= {"rerun_outcome": ["failed", "succeeded"]}
    del scenario["triggers"]["hourly"]["windows"]["rerun_outcome"]
    emulator = factory(scenario)

    async def seen(client: FactoryClient, outcome: WindowOutcome) -> WindowOutcome:
        history = RerunHistory(client, "hourly", outcome.ran_at)  # a new one, as after a deferral
        await history.look()
        return with_history(outcome, history.newer(outcome))

    async def look_three_times(client: FactoryClient) -> list[str | None]:
        (sent,) = (await _submitted(client)).windows
        await pause(20)
        ours = await seen(client, sent)
        await client.rerun_trigger_run("hourly", ours.new_run_id or "")  # by a colleague
        await pause(4)
        theirs = await seen(client, ours)
        emulator.fail_next("TriggerRuns_QueryByFactory", stale_seconds=8)
        return [each.new_run_id for each in (ours, theirs, await seen(client, theirs))]

    ours, theirs, behind = talk(emulator, look_three_times)
    assert ours != theirs == behind
