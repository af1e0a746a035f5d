"""What tests need of Airflow and what differs between 3.1 and 3.3: names that moved, things that came."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import airflow
import pytest

try:
    from airflow.dag_processing.dagbag import BundleDagBag, DagBag, sync_bag_to_db
    from airflow.sdk.exceptions import (
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow 3.1
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )
    from airflow.models.dagbag import BundleDagBag, DagBag, sync_bag_to_db  # type: ignore[no-redef]
    from airflow.serialization.serialized_objects import (  # type: ignore[assignment,attr-defined]
        SerializedDAG as DagSerialization,
    )

if TYPE_CHECKING:
    from airflow.sdk import DAG

__all__ = [
    "AirflowRescheduleException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "DagBag",
    "DagSerialization",
    "TaskDeferred",
    "needs_airflow",
    "store_dag",
]

_BUNDLE = "dags-folder"
_VERSION = tuple(map(int, airflow.__version__.split(".")[:2]))


def needs_airflow(major: int, minor: int, because: str) -> pytest.MarkDecorator:
    """Mark a test that older versions of Airflow are no place for.

    :param because: what an older version lacks or does.
    """
    return pytest.mark.skipif((major, minor) > _VERSION, reason=f"Airflow {airflow.__version__}: {because}")


def store_dag(dag: DAG) -> None:
    """Write a DAG to the metadata database: ``dag.test()`` runs only DAGs that are known there.

    :param dag: made by a test; no file has it.
    """
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    name = {"bundle_name": _BUNDLE} if _VERSION >= (3, 2) else {}
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, **name)
    bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, _BUNDLE, None)
