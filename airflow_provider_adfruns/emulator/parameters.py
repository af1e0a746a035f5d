"""Parameter values as the service passes them: strings, with a trigger's own expressions filled in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_adfruns.emulator.records import TriggerRun


def as_text(value: Any) -> str:
    """Return a parameter's value as a run shows it: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def trigger_parameters(parameters: Mapping[str, str], run: TriggerRun) -> dict[str, str]:
    """Fill ``@trigger()`` expressions with the run's own times; every other value is passed as it stands."""
    if not parameters:
        return {}
    known = {"@trigger().startTime": _iso(run.timestamp)}
    if run.window is not None:
        known["@trigger().outputs.windowStartTime"] = _iso(run.window.start)
        known["@trigger().outputs.windowEndTime"] = _iso(run.window.end)
    if run.due is not None:
        known["@trigger().scheduledTime"] = _iso(run.due)
    return {name: known.get(_bare(value), value) for name, value in parameters.items()}


def _bare(value: str) -> str:
    return "@" + value[2:-1] if value.startswith("@{") and value.endswith("}") else value


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
