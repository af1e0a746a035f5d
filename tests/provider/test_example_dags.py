"""The example DAGs are DAGs to each Airflow that is supported, with what it brings along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import calls
from tests.provider.versions import DagBag

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.provider.conftest import Ran

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("example_dags").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_parsed(path: Path) -> None:
    bag = DagBag(dag_folder=path, safe_mode=False)
    assert bag.import_errors == {}
    assert list(bag.dags) == [path.stem]


@pytest.mark.parametrize("stuck", [[], [9]], ids=["a quiet night", "a stuck window"])
def test_the_recovery_of_stuck_windows_ends_well_also_where_none_is(
    factory: Callable[..., AdfEmulator], run_dag: Callable[[DAG], Ran], stuck: list[int]
) -> None:
    waits = [{"windows": place, "status": "WaitingOnDependency", "stuck": True} for place in stuck]
    emulator = factory(
        {
            "pipelines": {"report": {"seconds": 60}},
            "triggers": {
                "hourly": {"pipeline": "report", "windows": [{"from": "-PT30H", "count": 30}]},
                "report_hourly": {
                    "pipeline": "report",
                    "dependsOn": [{"trigger": "hourly"}],
                    "windows": [{"from": "-PT24H", "count": 14, "except": waits}],
                },
            },
        }
    )
    [path] = [each for each in EXAMPLES if each.stem == "recover_stuck_window"]
    ran = run_dag(DagBag(dag_folder=path, safe_mode=False).dags[path.stem])
    assert ran.states == {"recover": "success"}
    assert len(calls(emulator, "TriggerRuns_Cancel")) == len(stuck)
    assert len(calls(emulator, "TriggerRuns_Rerun")) == len(stuck)
