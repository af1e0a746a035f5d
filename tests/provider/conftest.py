"""A private Airflow for tests that run whole DAGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session

from tests.provider.versions import store_dag

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG


class Ran:
    """What became of a DAG run: states and XComs by task id."""

    def __init__(self, dag_run: Any) -> None:
        self._dag_run = dag_run
        self.run_id = dag_run.run_id
        self.states = {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom's value, None if the task has left none."""
        return next(iter(self.xcoms(task_id, key)), None)

    def xcoms(self, task_id: str, key: str = "return_value") -> list[Any]:
        """Return an XCom's values, one of each mapped task."""
        found = XComModel.get_many(
            run_id=self._dag_run.run_id, dag_ids=self._dag_run.dag_id, task_ids=task_id, key=key
        )
        with create_session() as session:
            return [XComModel.deserialize_value(row) for row in session.scalars(found)]


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Make the metadata database of the private Airflow."""
    initdb()


@pytest.fixture
def run_dag(airflow_database: None) -> Callable[[DAG], Ran]:  # noqa: ARG001
    """Run a DAG through Airflow's own ``dag.test()``."""

    def run(dag: DAG) -> Ran:
        DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]
        store_dag(dag)
        return Ran(dag.test())

    return run
