"""Parameter values as the service passes them: strings, with a trigger's own expressions filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.emulator.records import TriggerRun


def as_text(value: Any) -> str:
    """Return a parameter's value as a run shows it: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def merged(defaults: Mapping[str, str], given: Mapping[str, str]) -> Mapping[str, str]:
    """Return a run's parameters: what was given over the pipeline's defaults, uncopied where one says all."""
    if not given:
        return defaults
    return given if list(given)[: len(defaults)] == list(defaults) else {**defaults, **given}


class TriggerParameters(Mapping[str, str]):
    """The parameters a trigger run passes to a pipeline, worked out when somebody reads them.

    ``@trigger()`` expressions are filled with the run's own times; every other value is passed as it stands.

    :param defaults: the pipeline's own.
    :param given: the trigger's.
    """

    __slots__ = ("_defaults", "_given", "_run")

    def __init__(self, defaults: Mapping[str, str], given: Mapping[str, str], run: TriggerRun) -> None:
        self._defaults = defaults
        self._given = given
        self._run = run

    def __getitem__(self, name: str) -> str:
        value = self._given.get(name)
        return self._defaults[name] if value is None else _filled(value, self._run)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._defaults, **self._given})

    def __len__(self) -> int:
        return len({**self._defaults, **self._given})


def trigger_parameters(
    defaults: Mapping[str, str], given: Mapping[str, str], run: TriggerRun
) -> Mapping[str, str]:
    """Return the parameters of a pipeline run that a trigger run starts; see `TriggerParameters`."""
    return TriggerParameters(defaults, given, run) if given else defaults


def _filled(value: str, run: TriggerRun) -> str:
    window = run.window
    match _bare(value):
        case "@trigger().startTime":
            return _iso(run.timestamp)
        case "@trigger().outputs.windowStartTime" if window is not None:
            return _iso(window.start)
        case "@trigger().outputs.windowEndTime" if window is not None:
            return _iso(window.end)
        case "@trigger().scheduledTime" if run.due is not None:
            return _iso(run.due)
        case _:
            return value


def _bare(value: str) -> str:
    return "@" + value[2:-1] if value.startswith("@{") and value.endswith("}") else value


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
