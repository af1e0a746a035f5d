"""The code in the documentation is code: DAGs that Airflow parses, JSON that can be read."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from airflow.dag_processing.dagbag import DagBag

from airflow_provider_adfruns.hooks.adf_runs import AdfRunsHook
from docs.included import written
from tests.documentation.pages import DOCS, ROOT, Block, blocks, names, page
from tests.documentation.public import FUNCTIONS, TASKS

if TYPE_CHECKING:
    from pathlib import Path

# Tests of one's own, not DAGs: tests/provider/test_documented_example.py runs these, and the README's.
TEST_PAGE = "tasks/test-your-dag.md"
EMULATOR_PAGE = "emulator.md"

EXAMPLE = ROOT / "airflow_provider_adfruns" / "emulator" / "scenarios" / "night.yaml"

PAGES = {name: page(name) for name in names()}
README = (ROOT / "README.md").read_text(encoding="utf-8")
DAGS = [
    block
    for name, text in {**PAGES, "README.md": README}.items()
    if name not in {TEST_PAGE, EMULATOR_PAGE}
    for block in blocks(name, text, "python")
    if "def test_" not in block.code
]
# What a task that is shown without its DAG may take as given.
GIVEN = "\n".join(
    [
        "from datetime import UTC, datetime",
        "from airflow.sdk import DAG",
        *(f"from {each.__module__} import {name}" for name, each in {**TASKS, **FUNCTIONS}.items()),
        "",
    ]
)


def as_module(code: str) -> str:
    """Return a block as a module for Airflow: a whole file as it stands, a task with imports and a DAG."""
    if "import " in code or "DAG(" in code:
        return code
    indented = "".join(f"    {line}" for line in code.splitlines(keepends=True))
    return f'{GIVEN}with DAG("fragment", start_date=datetime(2026, 1, 1, tzinfo=UTC)):\n{indented}'


@pytest.mark.parametrize("block", DAGS, ids=lambda block: block.name)
def test_each_python_block_is_a_dag_that_airflow_parses(block: Block, tmp_path: Path) -> None:
    (tmp_path / "documented.py").write_text(as_module(block.code), encoding="utf-8")
    bag = DagBag(dag_folder=tmp_path, safe_mode=False)
    assert bag.import_errors == {}
    only_imports = all(line.startswith("from ") for line in block.code.splitlines())
    assert len(bag.dags) == (0 if only_imports else 1)


@pytest.mark.parametrize(
    "block", blocks(EMULATOR_PAGE, PAGES[EMULATOR_PAGE], "python"), ids=lambda block: block.name
)
def test_each_program_with_an_emulator_runs_where_its_scenario_is(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLE, tmp_path / "night.yaml")
    monkeypatch.chdir(tmp_path)
    exec(compile(block.code, block.name, "exec"), {})  # noqa: S102 - our own code


@pytest.mark.parametrize(
    "block",
    [block for name, text in PAGES.items() for block in blocks(name, text, "json")],
    ids=lambda block: block.name,
)
def test_each_json_block_is_json(block: Block) -> None:
    assert json.loads(block.code)


@pytest.mark.parametrize("language", ["json", "text"], ids=["json", "uri"])
def test_the_connection_can_be_written_as_the_page_shows(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks("connection.md", PAGES["connection.md"], language)
    monkeypatch.setenv("AIRFLOW_CONN_DOCUMENTED", block.code.strip())
    connection = AdfRunsHook("documented").factory_connection()
    assert connection.client_secret == "the client secret"
    assert connection.address.factory_name == "night-adf"


@pytest.mark.parametrize("name", names())
def test_each_file_that_a_page_shows_is_as_it_is(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert written(text) == text, "run: python -m docs.included"


@pytest.mark.parametrize("folder", ["example_dags", "docs/example_test"])
def test_every_file_of_the_examples_is_on_a_page(folder: str) -> None:
    everything = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in names())
    examples = [path for path in (ROOT / folder).iterdir() if path.is_file()]
    assert examples
    assert [path.name for path in examples if f"<!-- file {folder}/{path.name} -->" not in everything] == []
