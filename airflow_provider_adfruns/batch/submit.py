"""Send the reruns of a batch, each window once; what is unclear is settled by looking, then sent again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    AuthenticationFailed,
    ConnectionProblem,
    OutcomeUnknown,
    PermissionDenied,
    WaitTimedOut,
)
from airflow_provider_adfruns.adf.pause import pause
from airflow_provider_adfruns.batch.progress import Progress
from airflow_provider_adfruns.batch.report import RerunBy, RerunReport, Step, WindowOutcome, some
from airflow_provider_adfruns.batch.watch import ChangeQuery, at_once, query_trigger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.model import TriggerRun, Window
    from airflow_provider_adfruns.batch.ledger import KeptLedger

log = logging.getLogger(__name__)

SETTLE_SECONDS = 30.0
"""How long a rerun whose answer was lost is looked for before it counts as not done (1-3 s are recorded)."""

_FRUITLESS_ROUNDS = 8
_CHUNK = 50
_LOOK_SECONDS = 3.0
_LOOK_AGAIN_AFTER = timedelta(seconds=5)
_OVERLAP = timedelta(minutes=2)


class RerunHistory:
    """The windows' runs since a batch was planned, kept up by queries of what changed.

    :param client: the factory.
    :param report: whose windows.
    """

    def __init__(self, client: FactoryClient, trigger_name: str, planned_at: datetime) -> None:
        self._client = client
        self._trigger_name = trigger_name
        self._changes = ChangeQuery(client, planned_at - _OVERLAP)
        self._runs: dict[Window, dict[str, TriggerRun]] = {}

    async def look(self, *, full: bool = False) -> None:
        """Read what has changed since the last look.

        :param full: read everything once more, in case an earlier look was not shown all.
        """
        for run in await query_trigger(self._client, self._trigger_name, self._changes, full=full):
            if run.window is None:
                continue
            family = self._runs.setdefault(run.window, {})
            known = family.get(run.trigger_run_id)
            if known is None or not known.status.is_final:  # a lagging answer takes no final status back
                family[run.trigger_run_id] = run

    def newer(self, outcome: WindowOutcome) -> list[TriggerRun]:
        """Return the window's runs that started after the one to be rerun, from the oldest to the newest."""
        family = self._runs.get(outcome.window, {}).values()
        return sorted(
            (run for run in family if run.timestamp > outcome.ran_at),
            key=lambda run: (run.timestamp, run.trigger_run_id),
        )


def with_history(outcome: WindowOutcome, newer: Sequence[TriggerRun]) -> WindowOutcome:
    """Take over what the factory shows of a window's reruns: whoever sent them, nothing is left to send.

    One run is this batch's if this batch sent it, or may have as far as is known: what has been settled as
    not carried out is not known to be sent any more. Of several the latest is somebody else's, since this
    batch sends a window again only where no rerun of it shows.

    :param newer: the window's runs since the one to be rerun, from the oldest to the newest. If these end
        before the run that is known, queries lag behind an earlier look.
    """
    if not newer or (outcome.started_at is not None and newer[-1].timestamp < outcome.started_at):
        return outcome
    latest = newer[-1]
    is_ours = outcome.rerun_by is RerunBy.THIS_BATCH or outcome.step is Step.UNCLEAR
    if len(newer) > 1 or outcome.rerun_by is RerunBy.SOMEBODY_ELSE:
        is_ours = False
    note = outcome.note
    if len(newer) > 1:
        note = f"there is more than one rerun: {', '.join(run.trigger_run_id for run in newer)}"
    return replace(
        outcome,
        step=Step.SUBMITTED,
        new_run_id=latest.trigger_run_id,
        status=str(latest.status),
        started_at=latest.timestamp,
        problem="",
        note=note,
        rerun_by=RerunBy.THIS_BATCH if is_ours else RerunBy.SOMEBODY_ELSE,
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """How to submit.

    :param settle_seconds: how long an unclear rerun is looked for before it is sent again.
    :param max_in_flight: how many windows may run at a time; None for no limit.
    :param newest_first: the order; else the oldest window first.
    :param poll_interval: seconds between looks while there is no room in flight.
    :param leaves_when_full: do not wait for room: return, for the caller to come back when there is some.
    :param deadline: after this time of the service nothing more is sent; None for no such time. Requests that
        are on their way then, eight at most, may still arrive.
    """

    settle_seconds: float = SETTLE_SECONDS
    max_in_flight: int | None = None
    newest_first: bool = False
    poll_interval: float = 30.0
    leaves_when_full: bool = False
    deadline: datetime | None = None


class Submission:
    """Sends a report's planned windows.

    :param client: the factory.
    :param report: what is planned; windows that are unclear are settled first.
    :param rules: how.
    :param ledger: learns which windows are about to be sent, None where nothing is kept.
    """

    def __init__(
        self,
        client: FactoryClient,
        report: RerunReport,
        rules: Rules,
        ledger: KeptLedger | None = None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._report = report
        self._rules = rules
        self._progress = Progress()
        self._history = RerunHistory(client, report.trigger_name, report.planned_at)
        self._outcomes = {outcome.window: outcome for outcome in report.windows}
        self._under_way: set[Window] = set()
        self._stopped: AdfRunsError | None = None
        self._is_full = False
        self._looked_at: datetime | None = None

    @property
    def stopped(self) -> AdfRunsError | None:
        """What ended the submission early, so that the rest was not sent.

        That is sign-in, permission, the deadline, or a factory that cannot be read.
        """
        return self._stopped

    @property
    def is_full(self) -> bool:
        """Whether it has left, by its rules, since there was no room for what is still planned."""
        return self._is_full

    @property
    def report(self) -> RerunReport:
        """The report as it stands."""
        return self._report.with_windows(self._outcomes.values())

    @property
    def interrupted(self) -> RerunReport:
        """The report as it stands if the submission goes no further: what is under way now is unclear."""
        return self._report.with_windows(
            replace(outcome, step=Step.UNCLEAR) if outcome.window in self._under_way else outcome
            for outcome in self._outcomes.values()
        )

    async def run(self) -> RerunReport:
        """Send every planned window once; unclear ones again only after looking for them."""
        try:
            return await self._send_all()
        except AdfRunsError as error:  # of a look: what became of each window so far has to be told
            self._stopped = error
            return self.report

    async def _send_all(self) -> RerunReport:
        fruitless = 0
        await self._log_progress()
        await self._settle()
        while self._stopped is None and fruitless < _FRUITLESS_ROUNDS:
            planned = len(self._at(Step.PLANNED))
            if not planned:
                break
            await self._send_planned()
            if self._is_full:
                return self.report
            await self._settle()
            fruitless = 0 if len(self._at(Step.PLANNED)) < planned else fruitless + 1
        if isinstance(self._stopped, WaitTimedOut):
            return self._ended_by_deadline()
        for outcome in self._at(Step.PLANNED):
            reason = self._stopped or "it was not sent: the service refused it again and again"
            self._outcomes[outcome.window] = replace(
                outcome, step=Step.REFUSED, problem=outcome.problem or str(reason)
            )
        return self.report

    def _ended_by_deadline(self) -> RerunReport:
        """Say what is left over; if that is nothing, the deadline has ended only the wait."""
        left = [str(outcome.window) for outcome in self._at(Step.PLANNED)]
        self._stopped = None
        if left:
            self._stopped = WaitTimedOut(
                f"the deadline {self._rules.deadline} came before all was sent. {len(left)} windows of"
                f" trigger {self._report.trigger_name!r} were not sent: {some(left)}. What was sent goes"
                " on; send the rest with a later deadline or a larger timeout."
            )
        return self.report

    async def _is_over(self) -> bool:
        """Say whether nothing more is to be sent."""
        deadline = self._rules.deadline
        if self._stopped is None and deadline is not None and await self._client.now() >= deadline:
            self._stopped = WaitTimedOut(f"the deadline {deadline} came before all was sent")
        return self._stopped is not None

    async def _log_progress(self) -> None:
        log.info("%s", self._progress.line(self.report, await self._client.now()))

    def _at(self, step: Step) -> list[WindowOutcome]:
        return [outcome for outcome in self._outcomes.values() if outcome.step is step]

    async def _look(self, *, full: bool = False) -> None:
        self._looked_at = await self._client.now()
        await self._history.look(full=full)
        for window, outcome in self._outcomes.items():
            self._outcomes[window] = with_history(outcome, self._history.newer(outcome))

    async def _settle(self) -> None:
        """Look for what is unclear until it shows, or has had time enough to show.

        What is said to be not carried out is sent again, so the look that says so reads everything anew: an
        earlier one may have been answered short of a page, and what has not changed since would not show.
        """
        asked = len(self._at(Step.UNCLEAR))
        if not asked:
            return
        until: datetime | None = None
        while True:
            is_last = until is not None and await self._client.now() > until
            await self._look(full=is_last)
            unclear = len(self._at(Step.UNCLEAR))
            if not unclear:
                self._client.tally.settled += asked
                return
            if is_last:
                break
            now = await self._client.now()
            if until is None:  # the look was answered after all that was sent before it
                until = now + timedelta(seconds=self._rules.settle_seconds)
                log.info("Looking for %d reruns whose answer was lost, until %s", unclear, until)
            await pause(min(_LOOK_SECONDS, max((until - now).total_seconds(), 1.0)))
        for outcome in self._at(Step.UNCLEAR):
            log.info("Window %s: no rerun has shown, so it was not carried out", outcome.window)
            self._outcomes[outcome.window] = replace(outcome, step=Step.PLANNED, problem="")
        self._client.tally.settled += asked

    async def _send_planned(self) -> None:
        """Send what is planned, a few windows at a time, with an eye on what others do.

        Every few seconds is often enough to look for that: queries lag as much. Where only so many windows
        may be in flight, each few are counted anew.
        """
        planned = sorted(
            self._at(Step.PLANNED), key=lambda each: each.window, reverse=self._rules.newest_first
        )
        position = 0
        while position < len(planned) and not await self._is_over():
            if self._rules.max_in_flight is not None:
                await self._settle()  # what is unclear may be running, and would not be counted
                await self._look()
            elif self._looked_at is None or await self._client.now() - self._looked_at >= _LOOK_AGAIN_AFTER:
                await self._look()
            room = await self._room()
            if not room:
                return
            chunk = planned[position : position + min(_CHUNK, room)]
            position += len(chunk)
            chunk = [each for each in chunk if self._is_planned(each)]
            self._hand(chunk)
            await at_once(self._send(each) for each in chunk)
            await self._log_progress()

    def _hand(self, chunk: Sequence[WindowOutcome]) -> None:
        """Keep in the ledger what is about to be sent, so that whatever follows is known for its own."""
        if self._ledger is not None:
            outcomes = self._outcomes.values()
            theirs = [each.window for each in outcomes if each.rerun_by is RerunBy.SOMEBODY_ELSE]
            self._ledger.hand([each.window for each in chunk], theirs)

    def _is_planned(self, outcome: WindowOutcome) -> bool:
        return self._outcomes[outcome.window].step is Step.PLANNED

    async def _room(self) -> int:
        """Wait until another window may run. :return: how many, 0 if none are to be sent any more."""
        limit = self._rules.max_in_flight
        while not await self._is_over():
            running = sum(outcome.is_awaited for outcome in self._outcomes.values())
            if limit is None or running < limit:
                return _CHUNK if limit is None else limit - running
            if self._rules.leaves_when_full:
                self._is_full = True
                return 0
            await pause(self._rules.poll_interval)
            await self._look()
        return 0

    async def _send(self, outcome: WindowOutcome) -> None:
        if await self._is_over():
            return
        self._under_way.add(outcome.window)  # and stays so if the task ends before the answer is read
        try:
            await self._client.rerun_trigger_run(self._report.trigger_name, outcome.run_id)
        except OutcomeUnknown as error:
            log.warning("Window %s: %s", outcome.window, error)
            self._outcomes[outcome.window] = replace(outcome, step=Step.UNCLEAR, problem=str(error))
        except (AuthenticationFailed, PermissionDenied) as error:
            self._stopped = error  # it would be the same for every window
        except ConnectionProblem as error:
            log.warning("Window %s was not sent: %s", outcome.window, error)
            self._outcomes[outcome.window] = replace(outcome, problem=str(error))
        except AdfRunsError as error:
            log.error("Window %s: %s", outcome.window, error)  # noqa: TRY400 - the message is for people
            self._outcomes[outcome.window] = replace(outcome, step=Step.REFUSED, problem=str(error))
        else:
            self._outcomes[outcome.window] = replace(
                outcome, step=Step.SUBMITTED, problem="", rerun_by=RerunBy.THIS_BATCH
            )
        self._under_way.discard(outcome.window)
