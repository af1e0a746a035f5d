"""The emulator's page in the documentation: its tables are the code's, its scenario is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import airflow_provider_adfruns
from airflow_provider_adfruns.emulator import AdfEmulator, ScenarioError
from docs.emulator_tables import written

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve

DOCS = Path(airflow_provider_adfruns.__file__).parent.parent / "docs"
PAGE = (DOCS / "emulator.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SCENARIO = next(block for block in BLOCKS if "\nprincipals:" in block)


def test_the_tables_are_up_to_date() -> None:
    assert written(PAGE) == PAGE, "run: python -m docs.emulator_tables"


def test_the_scenario_of_the_page_is_one() -> None:
    with AdfEmulator(SCENARIO, clock="manual") as emulator:
        emulator.advance(24 * 3600)
        statuses = {run["status"] for run in emulator.trigger_runs("hourly_sales")}
    assert {"Succeeded", "WaitingOnDependency"} <= statuses


@pytest.mark.parametrize(
    "wrong",
    [
        "pipelines: {a: {}}\nzzz: 1\n",
        "factory: {zzz: 1}\npipelines: {}\n",
        "principals: [{name: a, zzz: 1}]\npipelines: {}\n",
        "pipelines:\n  a: {zzz: 1}\n",
        "pipelines:\n  a: {activities: [{name: a, zzz: 1}]}\n",
        "pipelines:\n  a: {cancel: {zzz: 1}}\n",
        "pipelines: {a: {}}\ntriggers: {t: {pipeline: a, zzz: 1}}\n",
        "pipelines: {a: {}}\ntriggers: {t: {pipeline: a, windows: {count: 1, zzz: 1}}}\n",
        "pipelines: {a: {}}\ntriggers: {t: {pipeline: a, dependsOn: [{self: true, zzz: 1}]}}\n",
        "pipelines: {a: {}}\nruns: [{pipeline: a, zzz: 1}]\n",
        "pipelines: {a: {}}\nthrottling: {zzz: 1}\n",
    ],
)
def test_every_key_that_a_scenario_may_have_is_on_the_page(wrong: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        AdfEmulator(wrong)
    known = str(caught.value).rpartition("Known are ")[2].split(", ")
    assert known
    assert [key for key in known if not re.search(rf"\b{key}:", "".join(BLOCKS))] == []


def test_what_is_not_served_names_the_page(serve: Serve) -> None:
    answer = serve({"pipelines": {"load": {}}}).get("/datasets")
    assert answer.status_code == 501
    assert "docs/emulator.md" in answer.json()["error"]["message"]
    assert (DOCS / "emulator.md").is_file()
