"""The tests of one's own DAG that the documentation shows: they pass in an Airflow of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import airflow_provider_adfruns
from airflow_provider_adfruns import pytest_plugin

ROOT = Path(airflow_provider_adfruns.__file__).parent.parent
EXAMPLE = ROOT / "docs" / "example_test"


def run_tests_of(folder: Path, work: Path) -> str:
    """Run the tests of a folder as its user would, and return what pytest says."""
    plugins = ("-p", pytest_plugin.__name__, "-p", "no:cacheprovider")
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pytest", *plugins, "-q", "-c", folder / "pytest.ini", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=work,
        check=False,
        capture_output=True,
        text=True,
    )
    return ran.stdout[-4000:] + ran.stderr[-2000:]


def test_the_documented_test_of_ones_own_dag_passes(tmp_path: Path) -> None:
    assert "2 passed" in run_tests_of(EXAMPLE, tmp_path)


def test_the_readme_is_a_dag_and_a_test_of_it_that_passes_as_they_stand(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    dag, test = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    folder = tmp_path / "docs" / "example_test"  # where the files around it look for the DAGs: two folders up
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("test_*.py", "__pycache__"))
    (folder / "test_readme.py").write_text(test, encoding="utf-8")
    (tmp_path / "example_dags").mkdir()
    (tmp_path / "example_dags" / "rerun_last_night.py").write_text(dag, encoding="utf-8")
    assert "1 passed" in run_tests_of(folder, tmp_path)
