"""All that a reset brings back: factory, limits, faults, journal, as one value; it decides nothing."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.engine import Factory
from airflow_provider_adfruns.emulator.faults import Faults
from airflow_provider_adfruns.emulator.throttling import Throttle

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.definitions import Scenario
    from airflow_provider_adfruns.emulator.journal import JournalEntry
    from airflow_provider_adfruns.emulator.wire import Generation


@dataclass(slots=True)
class World:
    """One factory and what belongs to it."""

    factory: Factory
    throttle: Throttle
    faults: Faults = field(default_factory=Faults)
    journal: list[JournalEntry] = field(default_factory=list)

    def frozen(self) -> bytes:
        """Return a copy that nothing can change."""
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)


def new_world(scenario: Scenario, generation: Generation) -> World:
    """Return the world at a scenario's start."""
    world = World(Factory(scenario), Throttle(scenario.throttling, generation))
    for fault in scenario.faults:
        world.faults.add(fault, scenario.now)
    return world


def thawed(frozen: bytes) -> World:
    """Return the world of a copy."""
    world = pickle.loads(frozen)  # noqa: S301 - what `World.frozen` made in this very process
    if not isinstance(world, World):
        raise TypeError(f"not a world: {type(world)}")
    return world
