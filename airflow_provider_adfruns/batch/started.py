"""What a DAG run has started in the factory, read from what its tasks left in XCom; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_adfruns.batch.report import RerunReport

RETURN_VALUE = "return_value"
RUN_IDS = "run_ids"
RUN_ID = "run_id"
KEYS = (RETURN_VALUE, RUN_IDS, RUN_ID)
"""The XComs that are read: this package's report and run ids, and the official provider's run id."""


@dataclass(frozen=True, slots=True)
class Started:
    """What tasks have started.

    :param pipeline_run_ids: pipeline runs, each once.
    :param reruns: reports of rerun windows; their trigger runs are cancelled as far as they are the batch's.
    :param in_files: files that hold the reports of tasks with ``result_path``; they are not read, and what
        such tasks have started is not known.
    """

    pipeline_run_ids: tuple[str, ...] = ()
    reruns: tuple[RerunReport, ...] = ()
    in_files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pipeline_run_ids or self.reruns)


def started_by(xcoms: Iterable[Mapping[str, Any]]) -> Started:
    """Work out what tasks have started.

    A report of this package says by itself what was started: of a rerun its new runs, of a dry run, a cancel
    or a wait nothing, whatever ``run_ids`` it leaves for a next task. Of any other task ``run_ids`` and
    ``run_id`` are pipeline runs.

    :param xcoms: of each task its XComs by key, of those in ``KEYS`` that it has left; of a mapped task a
        list of those of its instances.
    """
    run_ids: dict[str, None] = {}
    reruns = []
    in_files: list[str] = []
    for xcom in xcoms:
        found = [report for report in _reports(xcom.get(RETURN_VALUE)) if not report.get("dry_run")]
        if not _reports(xcom.get(RETURN_VALUE)):
            run_ids |= dict.fromkeys(_texts(xcom.get(RUN_IDS)) + _texts(xcom.get(RUN_ID)))
        for report in found:
            if "windows" in report:
                reruns.append(RerunReport.from_json(report))
            elif "runs" in report:
                new = (each.get("new_run_id") for each in report["runs"] if each.get("status"))
                run_ids |= dict.fromkeys(run_id for run_id in new if run_id)
            else:
                in_files.append(str(report.get("result_path")))
    return Started(tuple(run_ids), tuple(reruns), tuple(in_files))


def _reports(value: object) -> list[Mapping[str, Any]]:
    """Return what this package's operators and sensor have left, of one instance or several."""
    if isinstance(value, Mapping):
        return [value] if RUN_IDS in value or "result_path" in value else []
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [report for each in value for report in _reports(each)]
    return []


def _texts(value: object) -> list[str]:
    """Return the texts of an XCom: one, several, or those of the instances of a mapped task."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [text for each in value for text in _texts(each)]
    return []
