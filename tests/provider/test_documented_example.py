"""The test of one's own DAG that the documentation shows: it passes in an Airflow of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import airflow_provider_adfruns
from airflow_provider_adfruns import pytest_plugin

ROOT = Path(airflow_provider_adfruns.__file__).parent.parent


def test_the_documented_test_of_ones_own_dag_passes(tmp_path: Path) -> None:
    folder = ROOT / "docs" / "example_test"
    plugins = ("-p", pytest_plugin.__name__, "-p", "no:cacheprovider")
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pytest", *plugins, "-q", "-c", folder / "pytest.ini", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "2 passed" in ran.stdout, ran.stdout[-4000:] + ran.stderr[-2000:]
