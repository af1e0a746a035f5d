"""The example DAGs are DAGs to each Airflow that is supported, with what it brings along."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.provider.versions import DagBag

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("example_dags").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_parsed(path: Path) -> None:
    bag = DagBag(dag_folder=path, safe_mode=False)
    assert bag.import_errors == {}
    assert list(bag.dags) == [path.stem]
