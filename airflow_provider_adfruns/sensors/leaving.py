"""What a sensor leaves behind, in XCom, in the log or in a file: its result, and evidence."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._lazily import Lazily
from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.results import result_file, write_json

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_adfruns.batch import verdict as verdicts
    from airflow_provider_adfruns.batch.evidence import Evidence
else:
    verdicts = Lazily("airflow_provider_adfruns.batch.verdict")

log = logging.getLogger(__name__)


def result_of(memory: verdicts.Memory) -> dict[str, Any]:
    """Return what goes to XCom. :param memory: what is known of the runs."""
    runs = list(memory.runs.values())
    return {
        "run_ids": [run.run_id for run in runs],
        "counts": dict(Counter(run.status for run in runs)),
        "stuck": [run_id for run_id, what in memory.noticed.items() if verdicts.STUCK in what],
        "violated": list(memory.late),
        "runs": [run.to_json() for run in runs],
    }


def leave_result(context: Context, task: BaseOperator, result: dict[str, Any]) -> None:
    """Leave the result in XCom now, for it to be there also if the task fails on it."""
    if task.do_xcom_push:
        context["ti"].xcom_push(key="return_value", value=result)
        context["ti"].xcom_push(key="run_ids", value=result["run_ids"])


def leave_evidence(context: Context, evidence: Evidence, path: str | None) -> None:
    """Show the evidence in the log, and leave it in XCom or in a file of which XCom has the path.

    :param path: the sensor's ``evidence_path``.
    """
    log.warning("Evidence: %s", evidence.table())
    content: Any = evidence.to_json()
    try:
        if path is not None:
            content = write_json(result_file(path, "evidence_path", context), content, "evidence_path")
    except InvalidInput as error:
        log.warning("The evidence goes to XCom instead: %s", error)
    finally:  # a storage can fail in ways of its own, and the evidence must not be lost with it
        context["ti"].xcom_push(key="evidence", value=content)
