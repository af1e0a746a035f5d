"""The pytest fixture ``adf_emulator``: what a user's test gets, what stays behind, what loading costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_adfruns
from airflow_provider_adfruns import pytest_plugin

pytest_plugins = "pytester"

ROOT = Path(airflow_provider_adfruns.__file__).parent.parent
SCENARIO = """
now: 2026-03-01T06:40:00Z
pipelines: {load: {seconds: 60}}
runs: [{pipeline: load, status: InProgress, id: 6b1f2c1e-0000-4000-8000-000000000001}]
"""
CALLER = """
import asyncio, json, os, urllib.request
from airflow_provider_adfruns.adf.pause import pause

def status(emulator):
    return emulator.pipeline_runs()[0]["status"]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a user's project in a folder of its own."""
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others' plugins cost seconds
    return pytester


def outcome(project: pytest.Pytester) -> pytest.RunResult:
    """Run a user's tests, with the fixture whether or not the package's entry points are installed."""
    return project.runpytest_inprocess("-W", "error", plugins=[pytest_plugin])


def passes(project: pytest.Pytester, test: str, count: int = 1) -> None:
    """Run a user's test module, all of whose tests must pass."""
    project.makepyfile(CALLER + test)
    outcome(project).assert_outcomes(passed=count)


def test_a_wait_of_the_provider_takes_no_time_and_moves_the_factory(project: pytest.Pytester) -> None:
    passes(
        project,
        f"""
def test_it(adf_emulator):
    emulator = adf_emulator('''{SCENARIO}''')
    assert status(emulator) == "InProgress"
    asyncio.run(pause(3600))
    assert status(emulator) == "Succeeded"
    assert emulator.now.hour == 7
""",
    )


def test_every_factory_of_a_test_is_moved_and_has_a_connection_of_its_own(project: pytest.Pytester) -> None:
    passes(
        project,
        f"""
def test_it(adf_emulator):
    first = adf_emulator('''{SCENARIO}''')
    second = adf_emulator('''{SCENARIO}''', conn_id="adf_two")
    urls = [json.loads(os.environ[name])["extra"]["arm_endpoint"]
            for name in ("AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT", "AIRFLOW_CONN_ADF_TWO")]
    assert urls == [first.url, second.url]
    asyncio.run(pause(3600))
    assert [status(first), status(second)] == ["Succeeded", "Succeeded"]
""",
    )


def test_a_scenario_file_is_looked_for_beside_the_test(project: pytest.Pytester) -> None:
    folder = project.mkdir("deep")
    (folder / "night.yaml").write_text(SCENARIO)
    text = 'def test_it(adf_emulator):\n    assert adf_emulator("night.yaml").now.year == 2026\n'
    (folder / "test_beside.py").write_text(text)
    outcome(project).assert_outcomes(passed=1)


def test_nothing_is_left_after_the_test(project: pytest.Pytester) -> None:
    passes(
        project,
        f"""
import threading
urls, threads = [], set(threading.enumerate())

def test_a(adf_emulator):
    urls.append(adf_emulator('''{SCENARIO}''').url)

def test_b():
    assert "AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT" not in os.environ
    assert set(threading.enumerate()) <= threads
    try:
        urllib.request.urlopen(urls[0])
    except OSError:
        pass
    else:
        raise AssertionError("it still answers")
""",
        count=2,
    )


def test_a_bad_scenario_is_named_in_the_failure(project: pytest.Pytester) -> None:
    project.makepyfile('def test_it(adf_emulator):\n    adf_emulator("pipelines: {}\\ncolour: red\\n")\n')
    result = outcome(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ScenarioError: the scenario text, line 2: colour is unknown*"])


def test_loading_the_plugin_loads_neither_a_server_nor_yaml_nor_airflow() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import airflow_provider_adfruns.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == [
        "airflow_provider_adfruns",
        "airflow_provider_adfruns.pytest_plugin",
    ]
