"""The factory as it is, for those who judge: every run now, without query lag, retention or pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator import wire

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.engine import Factory


class Truth:
    """Writes a factory's runs as the 2022 generation does."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def pipeline_runs(self) -> list[dict[str, Any]]:
        """Return every pipeline run."""
        return [
            wire.pipeline_run(
                run,
                run.current,
                factory=self._factory.scenario.factory,
                generation="2022",
                is_latest=self._factory.is_latest(run, self._factory.now),
            )
            for run in self._factory.pipelines.runs
        ]

    def trigger_runs(self, trigger_name: str | None) -> list[dict[str, Any]]:
        """Return every trigger run, of one trigger or of all."""
        return [
            wire.trigger_run(run, run.current, generation="2022")
            for run in self._factory.triggers.runs
            if trigger_name is None or run.name == trigger_name
        ]

    def activity_runs(self, run_id: str) -> list[dict[str, Any]]:
        """Return the activity runs of a pipeline run; KeyError where there is no such run."""
        run = self._factory.pipelines.runs.get(run_id)
        if run is None:
            raise KeyError(run_id)
        return [wire.activity_run(each, each.current, run) for each in self._factory.activities(run)]
