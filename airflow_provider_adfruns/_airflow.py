"""Names that moved between Airflow 3.1 and 3.3, from wherever they are."""

from __future__ import annotations

try:
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
    from airflow.sdk.observability import stats
except ImportError:  # Airflow 3.1
    from airflow.configuration import conf
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowSensorTimeout,
        AirflowSkipException,
    )
    from airflow.stats import Stats as stats  # type: ignore[no-redef] # noqa: N813

__all__ = ["AirflowSensorTimeout", "AirflowSkipException", "default_deferrable", "stats"]


def default_deferrable() -> bool:
    """Return the setting ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
