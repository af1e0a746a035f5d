"""What the package tells Airflow's metrics, every name of it; who counts what is not decided here.

============================  =======  =====================================================================
``adfruns.submitted``         counter  writes (cancel, rerun, createRun) that the service has accepted
``adfruns.ambiguous``         counter  writes that were sent and whose answer was lost or unclear
``adfruns.settled``           counter  of those, the ones about which looking at the factory has decided
``adfruns.throttled``         counter  answers 429
``adfruns.paused``            timing   how long requests waited for their turn, each for itself, in all
``adfruns.windows.<status>``  counter  windows of a rerun when it ends, such as ``.succeeded``
``adfruns.runs.<status>``     counter  runs of a cancel, rerun or wait when it ends, such as ``.cancelled``
============================  =======  =====================================================================

The first five carry the tag ``conn_id`` and come when a client is closed, on a worker or in the triggerer;
the others carry ``dag_id`` and ``task_id``. A status that is no word of the service, such as ``not visible
yet``, has ``_`` for its spaces.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns._airflow import stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import BaseOperator

    from airflow_provider_adfruns.adf.tally import Tally

_COUNTERS = ("submitted", "ambiguous", "settled", "throttled")
_LEAST_SECONDS = 0.001  # a request that does not have to wait takes a moment, too


def tell_requests(tally: Tally, conn_id: str) -> None:
    """Tell what became of a client's requests; what did not happen is not told.

    :param tally: the client's.
    :param conn_id: the connection's id.
    """
    tags = {"conn_id": conn_id}
    for name in _COUNTERS:
        if number := getattr(tally, name):
            stats.incr(f"adfruns.{name}", number, tags=tags)
    if tally.paused_seconds >= _LEAST_SECONDS:
        stats.timing("adfruns.paused", timedelta(seconds=tally.paused_seconds), tags=tags)


def tell_outcome(task: BaseOperator, result: Mapping[str, Any]) -> None:
    """Tell how many windows, or runs, a task has ended with in which status; of a dry run nothing.

    :param task: for the tags.
    :param result: a report's JSON, with ``windows`` and their ``counts``, or with ``runs``.
    """
    if result.get("dry_run"):
        return
    kind = "windows" if "windows" in result else "runs"
    counts = result.get("counts")
    if counts is None:
        counts = Counter(run["status"] or "unknown" for run in result["runs"])
    for status, number in counts.items():
        name = re.sub(r"\W+", "_", status.lower())
        stats.incr(f"adfruns.{kind}.{name}", number, tags={"dag_id": task.dag_id, "task_id": task.task_id})
