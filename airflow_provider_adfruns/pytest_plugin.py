"""The pytest fixture ``adf_emulator``: local factories for tests of users' own DAGs, and nothing else.

Pytest loads this module in every run of every project that has the package installed: so it imports nothing
but pytest until a test asks for a factory.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_adfruns.emulator import AdfEmulator


class StartFactory(Protocol):
    """What the fixture ``adf_emulator`` gives; for annotations."""

    def __call__(
        self,
        scenario: str | Path | Mapping[str, Any],
        *,
        conn_id: str = "azure_data_factory_default",
        **options: Any,
    ) -> AdfEmulator:
        """Start a factory; see `adf_emulator`."""


@pytest.fixture
def adf_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartFactory]:
    """Give a test what starts local factories, which end with it.

    Each factory's clock stands still until something waits: a wait of this provider, such as a poll, takes no
    time but moves the clocks of all the test's factories that far.

    What it gives is called with:

    :param scenario: what the factory is and was: a YAML file, looked for beside the test's own file; or YAML
        of several lines; or the mapping it would be.
    :param conn_id: the Airflow connection that leads to the factory while the test runs, by the environment
        variable ``AIRFLOW_CONN_<CONN_ID>``. Default ``azure_data_factory_default``.
    :param options: of ``AdfEmulator``; ``clock`` is ``manual`` by default, with another one waits are real.
    :raises ScenarioError: the scenario says something it cannot.
    """
    # A wait of code under test is in the same process: dag.test(), or an operator's execute().
    from airflow_provider_adfruns.adf.pause import moving  # noqa: PLC0415 - loading the plugin must cost nothing
    from airflow_provider_adfruns.emulator import AdfEmulator  # noqa: PLC0415 - as above

    moved: list[AdfEmulator] = []

    def move(seconds: float) -> None:
        for emulator in moved:
            emulator.advance(seconds)

    with ExitStack() as stack:

        def start(
            scenario: str | Path | Mapping[str, Any],
            *,
            conn_id: str = "azure_data_factory_default",
            **options: Any,
        ) -> AdfEmulator:
            options = {"clock": "manual", **options}
            emulator = stack.enter_context(AdfEmulator(_beside(request.path, scenario), **options))
            if options["clock"] == "manual":
                if not moved:
                    stack.enter_context(moving(move))
                moved.append(emulator)
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", emulator.connection_json())
            return emulator

        yield start


def _beside(test: Path, scenario: str | Path | Mapping[str, Any]) -> str | Path | Mapping[str, Any]:
    """Return a scenario, a file's path as seen from the test's folder."""
    if isinstance(scenario, Path) or (isinstance(scenario, str) and "\n" not in scenario):
        return test.parent / scenario
    return scenario
