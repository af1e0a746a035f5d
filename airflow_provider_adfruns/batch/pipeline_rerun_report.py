"""What became of reruns of pipeline runs, from the request to the end: a table, JSON, a judgement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_adfruns.adf.model import PipelineRunStatus
from airflow_provider_adfruns.batch.judgement import FailIf, judge
from airflow_provider_adfruns.batch.report import columns, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_adfruns.adf.errors import AdfRunsError
    from airflow_provider_adfruns.batch.watch import WatchedRun


@dataclass(frozen=True, slots=True)
class RecoveryOutcome:
    """One pipeline run that was to be rerun.

    :param run_id: the run, with its pipeline in ``name`` and its status in ``status_before``.
    :param new_run_id: the id chosen for its rerun, None if it was not to be rerun.
    :param status: the rerun's latest status seen.
    :param problem: why it was not rerun or what is unclear, else "".
    """

    run_id: str
    name: str = ""
    status_before: str | None = None
    new_run_id: str | None = None
    status: str | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "run_id": self.run_id,
            "name": self.name,
            "status_before": self.status_before,
            "new_run_id": self.new_run_id,
            "status": self.status,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """Reruns of pipeline runs, from the request to the end.

    :param stopped: what ended the work early, so that the rest was not tried: sign-in, permission, the
        deadline, or a factory that cannot be talked to.
    """

    dry_run: bool
    runs: tuple[RecoveryOutcome, ...]
    stopped: AdfRunsError | None = field(default=None, compare=False)

    @property
    def run_ids(self) -> list[str]:
        """The reruns' ids; of a dry run, those of the runs that would be rerun."""
        if self.dry_run:
            return [each.run_id for each in self.runs if not each.problem]
        return [each.new_run_id for each in self.runs if each.new_run_id and each.status]

    @property
    def is_settled(self) -> bool:
        """Whether of each run it is known if a rerun of it exists: else only the ids chosen can tell."""
        return not any(each.new_run_id and each.status is None for each in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes to XCom and to the trigger."""
        return {
            "dry_run": self.dry_run,
            "run_ids": self.run_ids,
            "counts": dict(Counter(each.status or "not rerun" for each in self.runs)),
            "runs": [each.to_json() for each in self.runs],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(data["dry_run"], tuple(RecoveryOutcome(**each) for each in data["runs"]))

    def with_final_statuses(self, runs: Iterable[WatchedRun]) -> Self:
        """Enter what a watch has seen."""
        by_id = {run.run_id: run.status for run in runs}
        return replace(
            self,
            runs=tuple(
                replace(each, status=by_id.get(each.new_run_id or "", each.status)) for each in self.runs
            ),
        )

    def problem_lines(self, *, has_waited: bool) -> list[str]:
        """Say what is not as wanted, a line a run.

        :param has_waited: whether the reruns have to have succeeded by now.
        """
        lines = [f"run {each.run_id}: {each.problem}" for each in self.runs if each.problem]
        if has_waited:
            lines += [
                f"run {each.run_id}: its rerun {each.new_run_id} is {each.status}"
                for each in self.runs
                if not each.problem and each.status != PipelineRunStatus.SUCCEEDED
            ]
        return lines

    def table(self) -> str:
        """Return the report for people, a line a run."""
        rows = [("pipeline run", "pipeline", "was", "rerun as", "now")]
        rows.extend(
            (
                each.run_id,
                each.name,
                each.status_before or "unknown",
                each.new_run_id or "-",
                each.status or "-",
            )
            for each in self.runs
        )
        lines = columns(rows)
        lines.extend(f"  {each.run_id}: {each.problem}" for each in self.runs if each.problem)
        return "\n".join(lines)


def check_outcome(report: RecoveryReport, *, has_waited: bool, fail_if: FailIf = FailIf.ANY) -> None:
    """Judge reruns at their end.

    :param has_waited: whether the reruns have to have succeeded by now.
    :param fail_if: how many of them may be not as wanted.
    :raises RunsNotAsWanted: names the runs that could not be rerun, and those whose rerun has not succeeded.
    """
    lines = report.problem_lines(has_waited=has_waited)
    judge(
        f"{len(lines)} of {len(report.runs)} pipeline runs are not as wanted: {some(lines)}",
        problems=len(lines),
        good=len(report.runs) - len(lines),
        fail_if=fail_if,
    )
