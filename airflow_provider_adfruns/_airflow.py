"""What Airflow has in other places, or says in other ways, between 3.1 and 3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout
    from airflow.sdk.observability import stats
except ImportError:  # Airflow 3.1
    from airflow.configuration import conf
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
    from airflow.stats import Stats as stats  # type: ignore[no-redef] # noqa: N813

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

__all__ = [
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "default_deferrable",
    "has_retry_left",
    "stats",
    "task_state",
]


def default_deferrable() -> bool:
    """Return the setting ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def has_retry_left(ti: RuntimeTaskInstance) -> bool:
    """Say whether a failure of this try is followed by another try, as Airflow itself works it out.

    :param ti: the task's instance; one that says nothing of tries has none left.
    """
    most = int(getattr(ti, "max_tries", 0) or 0)
    return most > 0 and int(getattr(ti, "try_number", 1) or 1) <= most


def task_state(ti: Any) -> str | None:
    """Ask Airflow for the state that a task instance is in now; blocks, so not on an event loop.

    Tried with 3.3.2: worker and triggerer may both ask their supervisor, also while a kill is under way; the
    answer is ``{run_id: {task_id or task_id_mapindex: state}}``.

    :param ti: what has ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :return: the state; None if it is to be scheduled.
    :raises LookupError: if Airflow does not know it.
    """
    from airflow.sdk.execution_time.task_runner import (  # noqa: PLC0415 - parsing a DAG must not import it
        RuntimeTaskInstance,
    )

    map_index = getattr(ti, "map_index", -1)
    is_mapped = map_index is not None and map_index >= 0
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id,
        task_ids=[ti.task_id],
        run_ids=[ti.run_id],
        map_index=map_index if is_mapped else None,
    )
    state = states[ti.run_id][f"{ti.task_id}_{map_index}" if is_mapped else ti.task_id]
    return None if state is None else str(getattr(state, "value", state))
