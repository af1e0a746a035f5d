"""How the cancel of a pipeline run goes, as scripted or as chance has it; runs are moved elsewhere."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.definitions import CancelScript

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from airflow_provider_adfruns.emulator.definitions import ActivityDefinition
    from airflow_provider_adfruns.emulator.records import PipelineRun

_SMOOTH = CancelScript()


@dataclass(slots=True)
class Cancelling:
    """The cancel of one run, from the first time it was asked for.

    :param was_stuck: it is stuck, until it has been asked for often enough.
    :param unstopped: what is in progress is left to end by itself.
    :param starts_queued: the first cancel of a queued run does nothing.
    :param late_seconds: how long after the cancel late activities begin.
    :param cancels_needed: how many cancels end a stuck run; None: no number does.
    :param late: the kinds of activity that begin late: with a child pipeline (True), without (False).
    :param cancels: how often it was asked for.
    :param asked: the activities that were asked to stop.
    :param waiting: the late activities that have not begun yet; until they have, the run does not end.
    """

    was_stuck: bool
    unstopped: bool
    starts_queued: bool
    late_seconds: float
    cancels_needed: int | None
    late: tuple[bool, ...]
    cancels: int = 0
    asked: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)

    @property
    def is_stuck(self) -> bool:
        """Whether nothing ends the run now."""
        return self.was_stuck and (self.cancels_needed is None or self.cancels < self.cancels_needed)

    @property
    def is_ignored(self) -> bool:
        """Whether a queued run stays queued."""
        return self.starts_queued and self.cancels == 1

    def choose_late(self, activities: Iterable[ActivityDefinition], begun: Container[str]) -> tuple[str, ...]:
        """Choose the late activities: of each kind the first that has not begun, where there is one."""
        left = [each for each in activities if each.name not in begun]
        kinds = [
            [each.name for each in left if (each.child_pipeline is not None) is kind] for kind in self.late
        ]
        chosen = tuple(names[0] for names in kinds if names)
        self.waiting.update(chosen)
        return chosen


class Cancels:
    """The cancels of a factory's pipeline runs.

    What is left to chance is drawn from the seed, the run's id and the word alone, so that neither the order
    of the cancels nor another word changes it.

    :param seed: the scenario's.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._scripts: dict[str, CancelScript] = {}
        self._by_run: dict[str, Cancelling] = {}

    def script(self, run_id: str, script: CancelScript) -> None:
        """Say how the cancel of one run goes, which need not exist yet, whatever its pipeline says.

        :raises ValueError: it has been cancelled already.
        """
        if run_id.casefold() in self._by_run:
            raise ValueError(
                f"the cancel of run {run_id} is on its way; say how it goes before it is asked for"
            )
        self._scripts[run_id.casefold()] = script

    def count(self, run: PipelineRun) -> Cancelling:
        """Note that a run's cancel was asked for, and return it."""
        key = run.run_id.casefold()
        cancelling = self._by_run.get(key)
        if cancelling is None:
            script = self._scripts.get(key) or run.definition.cancel or _SMOOTH
            cancelling = self._by_run[key] = self._drawn(key, script)
        cancelling.cancels += 1
        return cancelling

    def of(self, run: PipelineRun) -> Cancelling | None:
        """Return the cancel of a run, or None where nobody has asked for it."""
        return self._by_run.get(run.run_id.casefold())

    def is_stuck(self, run: PipelineRun) -> bool:
        """Say whether a run is being cancelled and nothing ends it now."""
        cancelling = self.of(run)
        return cancelling is not None and cancelling.is_stuck and run.current.status == "Canceling"

    def _drawn(self, key: str, script: CancelScript) -> Cancelling:
        def happens(word: str, chance: float) -> bool:
            return random.Random(f"{self._seed} {key} {word}").random() < chance  # noqa: S311 - reproducible

        late = {True: ("late_child", script.late_child), False: ("late_activity", script.late_activity)}
        stuck = happens("stuck", script.stuck)
        return Cancelling(
            was_stuck=stuck,
            unstopped=not stuck and happens("unstopped", script.unstopped),
            starts_queued=happens("starts_queued", script.starts_queued),
            late_seconds=script.late_seconds,
            cancels_needed=script.cancels_needed,
            late=tuple(kind for kind, (word, chance) in late.items() if happens(word, chance)),
        )
