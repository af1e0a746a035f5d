"""What a DAG run has started in the factory, read from what its tasks left in XCom; pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_adfruns.batch.report import RerunReport

RETURN_VALUE = "return_value"
RUN_IDS = "run_ids"
RUN_ID = "run_id"
BEGUN = "begun"
KEYS = (RETURN_VALUE, RUN_IDS, RUN_ID, BEGUN)
"""The XComs that are read: this package's report and run ids, the official provider's run id, and what a
rerun of windows leaves before it defers, ``RerunReport.packed()``, for a kill may be its end."""

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Started:
    """What tasks have started.

    :param pipeline_run_ids: pipeline runs, each once.
    :param reruns: reports of rerun windows; their trigger runs are cancelled as far as they are the batch's.
    :param in_files: files with reports that could not be read, so that what such tasks have started is not
        known.
    :param unreadable: the beginnings of what looks like such a report, and cannot be read as one.
    """

    pipeline_run_ids: tuple[str, ...] = ()
    reruns: tuple[RerunReport, ...] = ()
    in_files: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pipeline_run_ids or self.reruns or self.in_files or self.unreadable)


def started_by(xcoms: Iterable[Mapping[str, Any]]) -> Started:
    """Work out what tasks have started.

    A report of this package says by itself what was started: of a rerun its new runs, of a dry run, a cancel
    or a wait nothing, whatever ``run_ids`` it leaves for a next task. All other ``run_ids`` and ``run_id``
    are pipeline runs.

    :param xcoms: of each task its XComs by key, of those in ``KEYS`` that it has left; of a mapped task a
        list of those of its instances. A report in a file has been put in the place of its summary.
    """
    run_ids: dict[str, None] = {}
    reruns: list[RerunReport] = []
    in_files: list[str] = []
    unreadable: list[str] = []
    for xcom in xcoms:
        reports = _reports(xcom.get(RETURN_VALUE))
        told = {run_id for report in reports for run_id in _texts(report[RUN_IDS])}
        given = _texts(xcom.get(RUN_IDS)) + _texts(xcom.get(RUN_ID))
        run_ids |= dict.fromkeys(run_id for run_id in given if run_id not in told)
        for report in reports:
            if report.get("dry_run"):
                continue
            try:
                if "windows" in report:
                    reruns.append(RerunReport.from_json(report))
                elif "runs" in report:
                    run_ids |= dict.fromkeys(_new_runs(report["runs"]))
                else:
                    in_files.append(str(report["result_path"]))
            except (LookupError, TypeError, ValueError, AttributeError):
                unreadable.append(str(report)[:_SHOWN])
        batches = {_batch(report) for report in reruns}
        begun = [report for text in _texts(xcom.get(BEGUN)) for report in _begun(text)]
        reruns += [report for report in begun if _batch(report) not in batches]
    return Started(tuple(run_ids), tuple(reruns), tuple(in_files), tuple(unreadable))


def _new_runs(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the runs that a rerun of pipeline runs has made."""
    new = (each.get("new_run_id") for each in runs if each.get("status"))
    return [run_id for run_id in new if run_id]


def _begun(text: str) -> list[RerunReport]:
    """Return the batch that a task has left before it deferred; none of what another task calls so."""
    try:
        return [RerunReport.unpacked(text)]
    except (ValueError, zlib.error):
        return []


def _batch(report: RerunReport) -> tuple[object, ...]:
    """Return what a batch is known by, however far it is."""
    return report.trigger_name, report.planned_at, *(each.window for each in report.windows)


def _reports(value: object) -> list[Mapping[str, Any]]:
    """Return what this package's operators and sensor have left, of one instance or several."""
    if isinstance(value, Mapping):
        return [value] if value.keys() >= {RUN_IDS, "counts"} else []
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
