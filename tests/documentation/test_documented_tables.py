"""The tables of the documentation say what the code says: parameters, connection, permissions, metrics."""

from __future__ import annotations

import ast
import inspect
import json
import re

import pytest

import airflow_provider_adfruns
from airflow_provider_adfruns import metrics
from airflow_provider_adfruns.adf.clouds import CLOUDS
from airflow_provider_adfruns.adf.identity import Authentication
from airflow_provider_adfruns.emulator import routes
from airflow_provider_adfruns.provider_info import get_provider_info
from tests.documentation.pages import ROOT, blocks, code_in, names, page, table
from tests.documentation.public import DOCUMENTED, FUNCTIONS, TASKS, parameters

TABLES = [
    (name, kind) for name in names() for kind in re.findall(r"<!-- parameters of (\w+) -->", page(name))
]
OF_AIRFLOW = {"max_active_runs"}  # the DAG's own


@pytest.mark.parametrize(("name", "kind"), TABLES)
def test_each_parameter_of_a_table_exists_with_that_default(name: str, kind: str) -> None:
    takes = parameters(TASKS[kind])
    for cells in table(page(name), f"parameters of {kind}"):
        for parameter in code_in(cells[0]):
            assert parameter in takes
            default = code_in(cells[1])
            if cells[1] == "required":
                assert takes[parameter] is inspect.Parameter.empty
            elif default:
                assert takes[parameter] == ast.literal_eval(default[0]), parameter
            else:
                assert parameter == "deferrable", f"{parameter} has a default that can be shown"


def test_every_task_has_a_table() -> None:
    assert {kind for _, kind in TABLES} == set(TASKS)


def test_each_parameter_that_the_text_sets_exists() -> None:
    takes = set(OF_AIRFLOW).union(*(parameters(kind) for kind in DOCUMENTED.values()))
    said = {
        (name, parameter)
        for name in names()
        if name != "emulator.md"  # its words are the scenario's
        for parameter in re.findall(r"`([a-z_]+)=[^`]", page(name))
    }
    assert said
    assert {(name, parameter) for name, parameter in said if parameter not in takes} == set()


@pytest.mark.parametrize("kind", sorted(DOCUMENTED))
def test_each_parameter_of_a_docstring_is_taken(kind: str) -> None:
    documented = re.findall(r"^ *:param (\w+):", DOCUMENTED[kind].__doc__ or "", re.MULTILINE)
    assert documented
    assert [each for each in documented if each not in parameters(DOCUMENTED[kind])] == []


@pytest.mark.parametrize("kind", sorted(DOCUMENTED))
def test_the_reference_shows_it(kind: str) -> None:
    where = f"::: {DOCUMENTED[kind].__module__}.{kind}"
    assert any(where in page(name) for name in names() if name.startswith("reference/"))


def test_the_reference_shows_the_callbacks() -> None:
    assert [name for name in FUNCTIONS if f".{name}" not in page("reference/callbacks.md")] == []


def test_every_field_of_the_connection_is_on_its_page() -> None:
    (form,) = (each["conn-fields"] for each in get_provider_info()["connection-types"])
    rows = table(page("connection.md"), "fields of the connection")
    assert sorted(code_in(cells[0])[0] for cells in rows) == sorted(form)


def test_every_credential_is_on_its_page() -> None:
    rows = table(page("connection.md"), "credentials")
    assert [code_in(cells[0])[0] for cells in rows] == [str(each) for each in Authentication]


def test_every_cloud_is_on_its_page() -> None:
    rows = table(page("connection.md"), "clouds")
    assert {code_in(cells[0])[0]: code_in(cells[1])[0] for cells in rows} == {
        name: cloud.arm for name, cloud in CLOUDS.items()
    }
    assert {code_in(cells[0])[0] for cells in rows if cells[2] == "yes"} == {
        name for name, cloud in CLOUDS.items() if cloud.studio
    }


def actions_of_the_client() -> set[str]:
    """Return the permission for each call of the client, as ARM makes them of method and path."""
    sources = [
        path.read_text(encoding="utf-8") for path in (ROOT / "airflow_provider_adfruns/adf").glob("*.py")
    ]
    calls = re.findall(r"self\._client\.(\w+)\.(\w+)", "\n".join(sources))
    wanted = {"_".join(word.title().replace("_", "") for word in call) for call in calls}
    served = {each.name: each for each in routes.OPERATIONS}
    actions = set()
    for name in wanted:
        operation = served[name]
        steps = ["factories", *(part for part in operation.path if part != "*")]
        verb = ["read"] if operation.method == "GET" else ["action"]
        actions.add("/".join(["Microsoft.DataFactory", *steps, *verb]))
    return actions


def test_the_actions_are_those_of_the_calls_that_the_client_makes() -> None:
    documented = {code_in(cells[0])[0] for cells in table(page("permissions.md"), "actions")}
    assert documented == actions_of_the_client()


def test_the_role_has_the_actions_of_the_table() -> None:
    (role,) = (json.loads(block.code) for block in blocks("", page("permissions.md"), "json"))
    assert role["Actions"] == [code_in(cells[0])[0] for cells in table(page("permissions.md"), "actions")]


def test_every_metric_is_on_its_page() -> None:
    told = re.findall(r"^``(adfruns\.\S+?)``", metrics.__doc__ or "", re.MULTILINE)
    assert told
    assert [code_in(cells[0])[0] for cells in table(page("metrics.md"), "metrics")] == told


def test_the_changes_name_the_version() -> None:
    assert f"## {airflow_provider_adfruns.__version__}" in page("versions.md")
