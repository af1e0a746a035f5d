"""A private Airflow for the tests: an empty database, and the folder of the DAGs under test."""

import os
import tempfile
from pathlib import Path

import pytest

DAGS = Path(__file__).parents[2] / "example_dags"

# Airflow reads these when it is first imported.
_home = tempfile.TemporaryDirectory()
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home.name}/airflow.db",
}


@pytest.fixture(scope="session", autouse=True)
def airflow_database():
    """Make Airflow's tables, once."""
    from airflow.utils.db import initdb

    initdb()
