"""What users and bad days do to Airflow, and what the factory has to say about it afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.live import abilities, afterwards, examples, judge
from tests.live.judge import WrongError
from tests.live.night import UNTIL_TOLD, due_windows, night, stuck_night, window_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.rest import DagRun
    from tests.live.stage import Stage

KILL_SECONDS = 60.0  # a killed task's runs are being cancelled by then
_LONG = 100_000  # seconds of the factory: no rerun ends before its story
_TIMEOUT_SECONDS = 300.0  # the operator's in the DAG live_rerun_deadline
_NEXT_TRY_SECONDS = 240.0  # Airflow has to miss a task that was killed, and many windows to be sent slowly


def marked_while_deferred(stage: Stage) -> list[str]:
    """Marked failed and marked success: their runs are cancelled, those of a third DAG run go on."""
    stage.begin(night("north", "south", "west", rerun_seconds=_LONG))
    failed, success, untouched = (
        stage.start("live_rerun", {"trigger_name": trigger, **window_range()})
        for trigger in ("north", "south", "west")
    )
    for run in (failed, success, untouched):
        stage.wait_until_deferred(run)
        stage.wait_for_its_trigger(run)
    started = stage.evidence()
    marked = time.monotonic()
    failed.mark("rerun", "failed")
    success.mark("rerun", "success")
    ours = started.rerun_runs("north", "south")
    stage.wait_until_cancelled(ours, KILL_SECONDS)
    took = time.monotonic() - marked
    stage.wait_for_end(failed, "failed")
    stage.wait_for_end(success)
    if untouched.task("rerun")["state"] != "deferred":
        raise WrongError(f"the third DAG run no longer waits: {untouched.states()}")
    evidence = stage.evidence()
    _see_no_others_cancelled(evidence, "north", "south")
    said = [
        f"{len(ours)} runs being cancelled {took:.0f} s after the marks",
        judge.each_rerun(evidence, due_windows("north", "south", "west")),
        judge.untouched(evidence, stage.others | evidence.rerun_runs("west")),
    ]
    untouched.mark("rerun", "failed")
    stage.wait_until_cancelled(evidence.rerun_runs("west"), KILL_SECONDS)
    return said


def marked_and_cleaned_up(stage: Stage) -> list[str]:
    """Marked where no trigger learns of it: the runs go on, but for those whose DAG has a teardown."""
    stage.begin(night("north", "south", "west", rerun_seconds=_LONG))
    failed, success, alone = (
        stage.start(dag_id, {"trigger_name": trigger, **window_range()})
        for dag_id, trigger in (
            ("live_rerun_cleaned_up", "north"),
            ("live_rerun_cleaned_up", "south"),
            ("live_rerun", "west"),
        )
    )
    for run in (failed, success, alone):
        stage.wait_until_deferred(run)
        stage.wait_for_its_trigger(run)
    marked = time.monotonic()
    alone.mark("rerun", "failed")
    failed.mark("rerun", "failed")
    success.mark("rerun", "success")
    ours = stage.evidence().rerun_runs("north", "south")
    stage.wait_until_cancelled(ours, KILL_SECONDS)
    took = time.monotonic() - marked
    for run, state in ((failed, "failed"), (success, "success"), (alone, "failed")):
        stage.wait_for_end(run, state)
    evidence = stage.evidence()
    _see_no_others_cancelled(evidence, "north", "south")
    going_on = evidence.rerun_runs("west")
    return [
        f"{len(ours)} runs being cancelled by teardowns {took:.0f} s after the marks",
        f"{len(going_on)} runs of a task without one go on",
        judge.each_rerun(evidence, due_windows("north", "south", "west")),
        judge.untouched(evidence, stage.others | going_on),
    ]


def _see_no_others_cancelled(evidence: judge.Evidence, *triggers: str) -> None:
    own = evidence.rerun_runs(*triggers) | evidence.rerun_trigger_runs(*triggers)
    if beyond := evidence.cancelling() - own:
        raise WrongError(f"runs cancelled beyond those of the two tasks: {beyond}")


def cleared_while_deferred(stage: Stage) -> list[str]:
    """Cleared while it waits: the new try takes up the batch, or leaves alone what it has no ledger of."""
    stage.begin(night())
    run = stage.start("live_rerun", window_range())
    stage.wait_until_deferred(run)
    run.clear("rerun")
    stage.wait_for_next_try(run)
    stage.let_reruns_end(run)
    stage.wait_for_end(run)
    return [_next_try(stage, run), *_all_is_well(stage)]


def _next_try(stage: Stage, run: DagRun, due: list[judge.Window] | None = None, map_index: int = -1) -> str:
    """Judge what a next try has left in XCom: the whole batch where Airflow keeps its ledger."""
    report = run.xcom("rerun", map_index=map_index)
    return judge.next_try(stage.evidence(), report, due or due_windows(), takes_up=abilities.KEEPS_STATE)


def cleared_when_finished(stage: Stage) -> list[str]:
    """Cleared after success: nothing is due any more. After a failure: what failed again, alone."""
    stage.begin(night("north", "south", failing_again=2))
    failed = stage.start("live_rerun", {"trigger_name": "north", **window_range()})
    stage.wait_until_deferred(failed)
    stage.let_reruns_end(failed)
    stage.wait_for_end(failed, "failed")
    failed.clear("rerun")
    stage.wait_until_deferred(failed, tries=2)
    stage.let_reruns_end(failed)
    stage.wait_for_end(failed)
    failed.clear("rerun")
    stage.wait("it runs once more", lambda: failed.task("rerun")["try_number"] == 3)
    stage.wait_for_end(failed)
    due = due_windows("north")
    return _all_is_well(stage, due + due[:2], of=due)


def worker_killed_while_submitting(stage: Stage) -> list[str]:
    """SIGKILL to the task and its supervisor in the midst of the reruns: the next try sends the rest."""
    due = 40  # all reruns of a trigger run side by side, of which there may be 50
    slow = {"operation": "TriggerRuns_Rerun", "delay_seconds": 45, "rate": 1.0}
    stage.begin(night(due=due), slow)
    run = stage.start("live_rerun_retried", window_range(due))
    sent = stage.wait("some reruns are sent", lambda: len(_sent(stage)) >= 12 and len(_sent(stage)))
    stage.kill_worker(run)
    stage.wait_until_deferred(run, tries=2, seconds=_NEXT_TRY_SECONDS)
    stage.let_reruns_end(run)
    stage.wait_for_end(run)
    tries = run.task("rerun")["try_number"]
    if tries < 2 or sent >= due:
        raise WrongError(f"the kill came too late: {sent} reruns were sent, and there were {tries} tries")
    windows = due_windows(due=due)
    return [f"killed after {sent} of {due}", _next_try(stage, run, windows), *_all_is_well(stage, windows)]


def _sent(stage: Stage) -> list[object]:
    return [*stage.evidence().carried_out("TriggerRuns_Rerun")]


def triggerer_stopped_and_killed(stage: Stage) -> list[str]:
    """The triggerer ends in good order, then by SIGKILL: each time the next one goes on waiting."""
    stage.begin(night())
    run = stage.start("live_rerun", window_range())
    stage.wait_until_deferred(run)
    triggerer = stage.airflow.services["triggerer"]
    triggerer.end(20)
    triggerer.start()
    _wait_for_looks(stage)
    triggerer.kill()
    triggerer.start()
    _wait_for_looks(stage)
    if run.task("rerun")["state"] != "deferred":
        raise WrongError(f"it does not wait any more: {run.states()}")
    stage.let_reruns_end(run)
    stage.wait_for_end(run)
    return _all_is_well(stage)


def recovery_cleared_while_cancelling(stage: Stage) -> list[str]:
    """The triggerer dies while stuck runs are cancelled, and a person clears the task: it goes on.

    By then the runs are Cancelled, so that the factory does not tell any more who has done that and why.
    Where Airflow keeps no ledger either, the task names the windows.
    """
    stage.begin(stuck_night())
    waiting, stuck = stage.evidence().waiting("report"), due_windows("report", due=4)
    rightly = {window: run_id for window, run_id in waiting.items() if window not in stuck}
    run = stage.start("live_recover", window_range(4))
    stage.wait_until_deferred(run, "recover")
    triggerer = stage.airflow.services["triggerer"]
    triggerer.kill()
    if sent := stage.evidence().reruns():
        raise WrongError(f"windows rerun before their runs were Cancelled: {sent}")
    stage.let_pass(UNTIL_TOLD)
    run.clear("recover")
    triggerer.start()
    if abilities.KEEPS_STATE:
        stage.wait_for_end(run)
        stage.let_reruns_end()
        evidence = stage.wait_until_still()
        said = [judge.each_rerun(evidence, stuck), judge.whole(evidence, stuck)]
    else:
        stage.wait_for_end(run, "failed")
        evidence = stage.evidence()
        said = [judge.named(run.xcom("recover"), stuck), judge.each_rerun(evidence, [])]
    return [
        judge.each_cancelled(evidence, (waiting[window] for window in stuck)),
        *said,
        judge.left_waiting(evidence, "report", rightly),
        judge.untouched(evidence, stage.others),
    ]


def _wait_for_looks(stage: Stage) -> None:
    """Wait until a triggerer that was started again looks at the factory."""
    before = len(stage.factory.journal())
    stage.wait("the triggerer looks again", lambda: len(stage.factory.journal()) > before + 1)


def execution_timeout(stage: Stage) -> list[str]:
    """Timed out on the worker: with a try left its runs go on, with none left they are cancelled."""
    stage.begin(night("north", "south"))
    retried = stage.start("live_rerun_on_worker_retried", {"trigger_name": "north", **window_range()})
    last = stage.start("live_rerun_on_worker", {"trigger_name": "south", **window_range()})
    stage.wait_for_end(last, "failed")
    ours = stage.evidence().rerun_runs("south")
    stage.wait_until_cancelled(ours, KILL_SECONDS)
    stage.wait("a next try begins", lambda: retried.task("rerun")["try_number"] > 1)
    stage.let_reruns_end()
    stage.wait_for_end(retried)
    evidence = stage.wait_until_still()
    alone = evidence.rerun_runs("north") & evidence.cancelling()
    if alone:
        raise WrongError(f"runs cancelled although a try was left: {alone}")
    return [
        f"{len(ours)} runs cancelled with no try left",
        _next_try(stage, retried, due_windows("north")),
        judge.each_rerun(evidence, due_windows("north", "south")),
        judge.whole(evidence, due_windows("north")),
        judge.untouched(evidence, stage.others),
    ]


def deadline(stage: Stage) -> list[str]:
    """The operator's own timeout: the task fails, and its runs are left alone."""
    stage.begin(night(), clock=1)
    run = stage.start("live_rerun_deadline", window_range())
    stage.wait_until_deferred(run)
    stage.wait_until_let_go(run)
    stage.let_pass(_TIMEOUT_SECONDS)
    stage.wait_for_end(run, "failed")
    alive = stage.evidence().alive() - stage.others
    stage.let_reruns_end()
    return [f"{len(alive)} runs still ran when it failed", *_all_is_well(stage)]


def retry_after_failure(stage: Stage) -> list[str]:
    """A window fails again: the retry is a new batch, of that window alone."""
    stage.begin(night(failing_again=2))
    run = stage.start("live_rerun_retried", window_range())
    for tries in (1, 2):
        stage.wait_until_deferred(run, tries=tries)
        stage.let_reruns_end(run)
    stage.wait_for_end(run)
    due = due_windows()
    return _all_is_well(stage, due + due[:2], of=due)


def two_dag_runs(stage: Stage) -> list[str]:
    """Two DAG runs over the same windows, and one beside them: the later one reruns nothing that runs."""
    stage.begin(night("north", "south"))
    first = stage.start("live_rerun", {"trigger_name": "north", **window_range()})
    beside = stage.start("live_rerun", {"trigger_name": "south", **window_range()})
    for run in (first, beside):
        stage.wait_until_deferred(run)
    second = stage.start("live_rerun", {"trigger_name": "north", **window_range()})
    stage.wait_for_end(second)
    stage.let_reruns_end(first, beside)
    for run in (first, beside):
        stage.wait_for_end(run)
    return _all_is_well(stage, due_windows("north", "south"))


def mapped_tasks(stage: Stage) -> list[str]:
    """A mapped task over three triggers; one of its instances is cleared while it waits."""
    triggers = ("north", "south", "west")
    stage.begin(night(*triggers))
    run = stage.start("live_rerun_mapped", window_range())
    stage.wait_until_deferred(run, tasks=3)
    run.clear("rerun", 1)
    stage.wait_for_next_try(run, map_index=1)
    stage.let_reruns_end(run)
    stage.wait_for_end(run)
    seen = _next_try(stage, run, due_windows(triggers[1]), map_index=1)
    return [seen, *_all_is_well(stage, due_windows(*triggers))]


def _all_is_well(
    stage: Stage,
    reruns: list[judge.Window] | None = None,
    of: list[judge.Window] | None = None,
) -> list[str]:
    """See that all is whole in the end, nothing was done twice, and nobody else was met.

    :param reruns: the windows that were due; default those of one night.
    :param of: them without repeats, where some were due twice.
    """
    evidence = stage.wait_until_still()
    due = reruns or due_windows()
    return [
        judge.each_rerun(evidence, due),
        judge.whole(evidence, of or due),
        judge.nothing_cancelled(evidence),
        judge.untouched(evidence, stage.others),
    ]


STORIES: dict[str, Callable[[Stage], list[str]]] = {
    "the example DAGs, four at once": examples.all_at_once,
    "the example DAG that a person approves": examples.with_approval,
    "two DAG runs over the same windows": two_dag_runs,
    "mapped tasks, one of them cleared": mapped_tasks,
    "retry after a window failed again": retry_after_failure,
    "cleared when finished": cleared_when_finished,
    "cleared while deferred": cleared_while_deferred,
    "marked failed, marked success while deferred": (
        marked_while_deferred if abilities.TELLS_TRIGGERS_OF_KILLS else marked_and_cleaned_up
    ),
    "worker killed while submitting": worker_killed_while_submitting,
    "triggerer stopped, triggerer killed": triggerer_stopped_and_killed,
    "recovery cleared between cancel and rerun": recovery_cleared_while_cancelling,
    "execution timeout": execution_timeout,
    "deadline": deadline,
    "callbacks of failures": afterwards.failure_callbacks,
    "links and metrics": afterwards.links_and_metrics,
}
