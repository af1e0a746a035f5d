"""An Airflow of the demo's own: a home under the clone, its log in a file, and a person who approves."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo"


class PrivateAirflow:
    """Runs the DAGs of ``example_dags`` with ``dag.test()``, on a database of its own."""

    def __init__(self) -> None:
        HOME.mkdir(exist_ok=True)
        # Airflow reads these when it is first imported, which happens below.
        for name in [each for each in os.environ if each.startswith("AIRFLOW")]:  # another Airflow's
            del os.environ[name]
        os.environ |= {
            "AIRFLOW_HOME": str(HOME),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            # All that is talked to is on this machine.
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
        self.log = HOME / "airflow.log"
        self.version = ""
        self._dags: dict[str, Any] = {}
        self._terminal = sys.stdout
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # Loggers keep the stream that they were made with, so the log file stays in its place to the end.
        log = self._exit.enter_context(self.log.open("w"))
        self._exit.callback(logging.shutdown)
        self._exit.enter_context(contextlib.redirect_stdout(log))
        self._exit.enter_context(contextlib.redirect_stderr(log))
        import airflow
        from airflow.dag_processing.dagbag import BundleDagBag
        from airflow.utils.db import initdb

        initdb()  # migrates, too
        folder = ROOT / "example_dags"
        bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
        if bag.import_errors:
            raise RuntimeError(f"the example DAGs do not parse: {bag.import_errors}")
        self._dags = dict(bag.dags)
        self.version = airflow.__version__
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def say(self, line: str = "") -> None:
        """Print a line to the person at the terminal."""
        print(line, file=self._terminal, flush=True)

    def run(self, dag_id: str, run_after: datetime) -> tuple[str, dict[str, str]]:
        """Run a DAG at a time of the factory's clock. :return: the DAG run's state and that of each task."""
        with _person_who_approves():
            dag_run = self._dags[dag_id].test(run_after=run_after, logical_date=None)
            states = {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}
            return str(dag_run.state), states


@contextlib.contextmanager
def _person_who_approves() -> Iterator[None]:
    """Press Approve on whatever waits for a person, with the very code behind the button in Airflow's UI."""
    done = threading.Event()

    def press() -> None:
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
        from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
        from airflow.models.hitl import HITLDetail
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState
        from sqlalchemy import select

        waiting = (
            select(TaskInstance)
            .join(HITLDetail, HITLDetail.ti_id == TaskInstance.id)
            .where(TaskInstance.state == TaskInstanceState.AWAITING_INPUT, HITLDetail.responded_at.is_(None))
        )
        while not done.wait(0.5):
            with create_session() as session:
                for ti in session.scalars(waiting).all():
                    update_hitl_detail(
                        dag_id=ti.dag_id,
                        dag_run_id=ti.run_id,
                        task_id=ti.task_id,
                        update_hitl_detail_payload=UpdateHITLDetailPayload(chosen_options=["Approve"]),
                        user=SimpleAuthManagerUser(username="on-call", role="op"),
                        session=session,
                    )

    person = threading.Thread(target=press, name="person who approves", daemon=True)
    person.start()
    try:
        yield
    finally:
        done.set()
        person.join()
