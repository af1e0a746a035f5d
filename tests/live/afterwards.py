"""Stories of what is there when tasks have ended: links, metrics, and what callbacks have done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.live import judge
from tests.live.judge import WrongError
from tests.live.night import UNTIL_TOLD, due_windows, night, window_range
from tests.live.stage import CLOCK
from tests.live.statsd import total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stack.rest import DagRun
    from tests.live.stage import Stage
    from tests.live.statsd import Metric

LINKED = "live_in_the_cloud"  # the connection of the DAG live_links
_LONG = 100_000  # seconds of the factory: no run ends before its story
_CANCEL_SECONDS = 90.0
_RUNNING, _FAILED, _FIRST, _SECOND = (str(UUID(int=number, version=4)) for number in range(1, 5))


def failure_callbacks(stage: Stage) -> list[str]:
    """Of a DAG, of a task, of a DAG whose task a person ends: each cancels what its DAG run has started."""
    stage.begin(_with_runs(night(rerun_seconds=_LONG), {_FAILED: "Failed"}))
    stage.statsd.heard()
    marked = stage.start("live_callback_of_marked", window_range())
    of_dag = stage.start("live_callback_of_dag", {"failed": _FAILED, "breaks_down": True})
    of_task = stage.start("live_callback_of_task", {"failed": _FAILED, "breaks_down": True})
    spared = stage.start("live_callback_of_dag", {"failed": _FAILED, "breaks_down": False})
    stage.wait_until_deferred(marked)
    marked.mark("rerun", "failed")
    for run in (marked, of_dag, of_task):
        stage.wait_for_end(run, "failed")
    stage.wait_for_end(spared)
    windows = stage.evidence().rerun_runs("hourly")
    ours = windows | {run.xcom("start", "run_id") for run in (of_dag, of_task)}
    stage.wait_until_cancelled(ours, _CANCEL_SECONDS)
    evidence = stage.evidence()
    cancelled = evidence.pipeline_runs().keys() & evidence.cancelling()
    if cancelled != ours:
        raise WrongError(f"cancelled beyond: {cancelled - ours}; not cancelled: {ours - cancelled}")
    return [
        f"{len(ours)} runs cancelled, of which {len(windows)} of a rerun that was marked failed",
        judge.each_rerun(evidence, due_windows()),
        judge.untouched(evidence, stage.others | {spared.xcom("start", "run_id")}),
        _submitted(stage, sum(bool(entry["effect"]) for entry in evidence.journal)),
    ]


def _submitted(stage: Stage, written: int) -> str:
    """See that all writes are told of, also those of the DAG processor, where callbacks of DAGs run."""
    heard: list[Metric] = []

    def all_told() -> bool:
        heard.extend(stage.statsd.heard())
        return total(heard, "adfruns.submitted") >= written

    stage.wait(f"StatsD has heard of {written} writes", all_told, _CANCEL_SECONDS)
    return f"StatsD heard submitted {total(heard, 'adfruns.submitted'):g}"


def links_and_metrics(stage: Stage) -> list[str]:
    """Links of all kinds of tasks once the connection is gone; metrics of the workers and the triggerer."""
    runs = {_RUNNING: "InProgress", _FAILED: "Failed", _FIRST: "Succeeded", _SECOND: "Succeeded"}
    conf = {"running": _RUNNING, "failed": _FAILED, "first": _FIRST, "second": _SECOND}
    stage.statsd.heard()
    # A factory in the cloud as far as links go: behind TLS, and with a sign-in.
    with AdfEmulator(_with_runs(night(), runs), clock=CLOCK, tls=True) as emulator:
        with _connection(stage, emulator.connection()):
            run = stage.start("live_links", {**window_range(), **conf})
            stage.wait_until_deferred(run)
            emulator.fail_next("TriggerRuns_QueryByFactory", status=429, retry_after=2)
            throttled = stage.wait("the triggerer is throttled", lambda: _throttled(emulator))
            if run.task("rerun")["state"] != "deferred":
                raise WrongError("it was not the triggerer that was throttled")
            stage.wait_until_let_go(run)
            emulator.advance(UNTIL_TOLD)
            stage.wait_for_end(run)
        new = run.xcom("rerun_run", "run_ids")[0]
        return [
            _links(run, new, emulator.connection()["extra"]),
            _metrics(stage.statsd.heard(), emulator, throttled),
        ]


def _with_runs(scenario: dict[str, Any], runs: Mapping[str, str]) -> dict[str, Any]:
    more = [
        {"pipeline": "load", "status": status, "started": "-PT3H", "id": run_id}
        for run_id, status in runs.items()
    ]
    return {**scenario, "runs": [*scenario["runs"], *more]}


@contextmanager
def _connection(stage: Stage, connection: Mapping[str, Any]) -> Iterator[None]:
    """Let Airflow know a factory, and forget it again."""
    stage.airflow.rest.connect(LINKED, connection)
    try:
        yield
    finally:
        stage.airflow.rest.disconnect(LINKED)


def _throttled(emulator: AdfEmulator) -> int:
    return sum(entry.status == 429 for entry in emulator.journal)


def _links(run: DagRun, new: str, extra: Mapping[str, str]) -> str:
    """See that each task has a link to its runs in ADF Studio.

    :param new: the run that the rerun of a pipeline run has started.
    :param extra: the extra fields of the connection, which is gone by now.
    """
    resource = (
        f"/subscriptions/{extra['subscriptionId']}/resourceGroups/{extra['resource_group_name']}"
        f"/providers/Microsoft.DataFactory/factories/{extra['factory_name']}"
    )
    views = {
        ("rerun", -1): "triggerruns",
        ("cancel", -1): f"pipelineruns/{_RUNNING}",
        ("wait", 0): f"pipelineruns/{_FIRST}",
        ("wait", 1): f"pipelineruns/{_SECOND}",
        ("rerun_run", -1): f"pipelineruns/{new}",
        ("clean_up", -1): "pipelineruns",
    }
    wanted = {
        key: {"ADF Studio": f"https://adf.azure.com/en/monitoring/{view}?factory={quote(resource, safe='')}"}
        for key, view in views.items()
    }
    found = {(task_id, map_index): run.links(task_id, map_index) for task_id, map_index in views}
    if found != wanted:
        raise WrongError(f"links: {found}; expected {wanted}")
    return f"{len(found)} links without the connection, {views['wait', 1]} of a mapped task among them"


def _metrics(heard: list[Metric], emulator: AdfEmulator, throttled: int) -> str:
    """See that what Airflow's processes have told is what the journal says.

    :param throttled: the answers 429, all of them to the triggerer.
    """
    written = [entry for entry in emulator.journal if entry.effect]
    wanted = {
        "adfruns.submitted": len(written),
        "adfruns.throttled": throttled,
        "adfruns.ambiguous": 0,
        "adfruns.windows.succeeded": len(due_windows()),
        "adfruns.runs.cancelled": 2,
    }
    # Processes of the story before may still have had something to tell.
    own = [each for each in heard if {LINKED, "live_links"} & {*each.tags.values()}]
    found = {name: total(own, name) for name in wanted}
    paused = total(own, "adfruns.paused", conn_id=LINKED)
    of_task = total(own, "adfruns.windows.succeeded", dag_id="live_links", task_id="rerun")
    if found != wanted or not paused or of_task != wanted["adfruns.windows.succeeded"]:
        raise WrongError(f"metrics {found}, paused {paused} ms; expected {wanted}; heard {heard}")
    told = ", ".join(f"{name.removeprefix('adfruns.')} {value:g}" for name, value in found.items())
    return f"StatsD heard {told}, paused {paused / 1000:.1f} s"
