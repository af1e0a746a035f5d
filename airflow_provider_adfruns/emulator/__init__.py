"""A local Azure Data Factory that speaks the REST API over HTTP; the rooms behind hold all there is to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.journal import JournalEntry
    from airflow_provider_adfruns.emulator.reading import ScenarioError
    from airflow_provider_adfruns.emulator.server import AdfEmulator

__all__ = ["AdfEmulator", "JournalEntry", "ScenarioError"]

_HOMES = {"AdfEmulator": "server", "JournalEntry": "journal", "ScenarioError": "reading"}


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for: Airflow's discovery must not pay for a web server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
