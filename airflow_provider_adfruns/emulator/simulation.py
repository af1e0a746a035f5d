"""The factory as it goes through time: clock, snapshots, new beginnings; calls and HTTP are elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.world import new_world, thawed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_adfruns.emulator.clock import Clock, ClockSetting
    from airflow_provider_adfruns.emulator.definitions import Scenario
    from airflow_provider_adfruns.emulator.engine import Factory
    from airflow_provider_adfruns.emulator.wire import Generation
    from airflow_provider_adfruns.emulator.world import World


class Simulation:
    """One factory on one clock; what is not a method of it is used under its lock.

    :param clock: shows the scenario's start.
    """

    def __init__(self, scenario: Scenario, clock: Clock, generation: Generation) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.world = new_world(scenario, generation)
        self.beginnings = 0
        self._generation: Generation = generation
        self._snapshots: dict[str, tuple[bytes, datetime]] = {}
        self._watchers: list[Callable[[], None]] = []

    @property
    def scenario(self) -> Scenario:
        """What the factory was made from."""
        return self.world.factory.scenario

    @property
    def factory(self) -> Factory:
        """The factory as it was left at the last call; `catch_up` brings it to the present."""
        return self.world.factory

    def catch_up(self) -> Factory:
        """Let happen what is due by the clock."""
        self.world.factory.advance_to(self.clock.now())
        return self.world.factory

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have ``watcher`` called, from whatever thread, whenever the clock was moved or set."""
        self._watchers.append(watcher)

    def advance(self, seconds: float) -> None:
        """Move the clock forward, and let happen what falls due; ValueError where that is backward."""
        with self.lock:
            self.clock.advance(seconds)
            self._moved()

    def advance_to(self, instant: datetime) -> None:
        """Move the clock forward to an instant, likewise."""
        with self.lock:
            self.clock.advance_to(instant)
            self._moved()

    def set_clock(self, setting: ClockSetting) -> None:
        """Let the clock run otherwise; ValueError where it cannot run so."""
        with self.lock:
            self.clock.set(setting)
            self._moved()

    def _moved(self) -> None:
        self.catch_up()
        for watcher in self._watchers:
            watcher()

    def snapshots(self) -> dict[str, datetime]:
        """Return the names of the snapshots, each with the factory's time in it, oldest first."""
        with self.lock:
            return {name: now for name, (_, now) in self._snapshots.items()}

    def snapshot(self, name: str) -> None:
        """Keep everything as it is now under a name, in place of what was kept under it before."""
        with self.lock:
            self.catch_up()
            self._snapshots.pop(name, None)
            self._snapshots[name] = (self.world.frozen(), self.world.factory.now)

    def restore(self, name: str) -> None:
        """Bring back what was kept under a name; KeyError where nothing was."""
        with self.lock:
            frozen, now = self._snapshots[name]
            self._begin(thawed(frozen), now)

    def forget(self, name: str) -> None:
        """Drop a snapshot; KeyError where there is none of this name."""
        with self.lock:
            del self._snapshots[name]

    def reset(self) -> None:
        """Bring back the scenario's start."""
        with self.lock:
            self.load(self.scenario)

    def load(self, scenario: Scenario) -> None:
        """Begin another scenario."""
        with self.lock:
            self._begin(new_world(scenario, self._generation), scenario.now)

    def _begin(self, world: World, now: datetime) -> None:
        self.world = world
        self.clock.restart(now)
        self.beginnings += 1
        self._moved()
