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
    """

    pipeline_run_ids: tuple[str, ...] = ()
    reruns: tuple[RerunReport, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pipeline_run_ids or self.reruns)


def started_by(xcoms: Iterable[Mapping[str, Any]]) -> Started:
    """Work out what tasks have started.

    A report of this package says by itself what was started: of a rerun its new runs, of a dry run, a cancel
    or a wait nothing, whatever ``run_ids`` it leaves for a next task. Of any other task ``run_ids`` and
    ``run_id`` are pipeline runs.

    :param xcoms: of each task instance its XComs by key, of those in ``KEYS`` that it has left.
    """
    run_ids: dict[str, None] = {}
    reruns = []
    for xcom in xcoms:
        report = xcom.get(RETURN_VALUE)
        if not _is_report(report):
            run_ids |= dict.fromkeys(_texts(xcom.get(RUN_IDS)) + _texts(xcom.get(RUN_ID)))
        elif report.get("dry_run"):
            continue
        elif "windows" in report:
            reruns.append(RerunReport.from_json(report))
        else:
            new = (each.get("new_run_id") for each in report["runs"] if each.get("status"))
            run_ids |= dict.fromkeys(run_id for run_id in new if run_id)
    return Started(tuple(run_ids), tuple(reruns))


def _is_report(value: object) -> bool:
    """Say whether a value is what this package's operators and sensor leave."""
    return (
        isinstance(value, Mapping)
        and RUN_IDS in value
        and "counts" in value
        and {"runs", "windows"} & set(value)
    )


def _texts(value: object) -> list[str]:
    """Return the texts of an XCom: one, several, or those of the task instances of a mapped task."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [text for each in value for text in _texts(each)]
    return []
