"""`python -m demo`: run the example DAGs on a local factory, and hold its journal against them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.pause import moving
from airflow_provider_adfruns.emulator import AdfEmulator
from demo.private_airflow import HOME, PrivateAirflow
from demo.stories import SIGNS_EXPLAINED, STORIES, Check, Story

if TYPE_CHECKING:
    from collections.abc import Iterable

SCENARIO = Path(__file__).parent / "scenario.yaml"
CHILDREN_ARE_RUNNING_AFTER_SECONDS = 150


def main() -> int:
    """Run every story. :return: 0 if the journal agrees with all of them."""
    began = time.monotonic()
    with PrivateAirflow() as airflow:
        airflow.say(f"Airflow {airflow.version} in {HOME.name}/, its log in {HOME.name}/{airflow.log.name}.")
        airflow.say(f"Windows, oldest first: {SIGNS_EXPLAINED}\n")
        wrong = [story.title for story in STORIES if not tell(story, airflow)]
        well = len(STORIES) - len(wrong)
        airflow.say(f"{well} of {len(STORIES)} stories as they should be, {time.monotonic() - began:.0f} s.")
        for title in wrong:
            airflow.say(f"NOT as it should be: {title}")
    return 1 if wrong else 0


def tell(story: Story, airflow: PrivateAirflow) -> bool:
    """Run one story on a fresh factory. :return: whether all is as it should be."""
    airflow.say(f"=== {story.title}  (example_dags/{story.dag_id}.py)")
    # The clock is moved by hand: whatever the tasks wait for takes no time here.
    with AdfEmulator(SCENARIO, clock="manual") as emulator, moving(emulator.advance):
        emulator.advance(CHILDREN_ARE_RUNNING_AFTER_SECONDS)
        os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = emulator.connection_json()
        before, was, began = story.look(emulator), story.before(emulator), emulator.now
        state, states = airflow.run(story.dag_id, emulator.now)
        took = int((emulator.now - began).total_seconds())
        show(airflow, "before", before)
        show(airflow, "tasks", [f"{task}: {states.get(task)}" for task in story.states])
        show(airflow, "after", story.look(emulator))
        show(airflow, "window", story.detail(emulator, was))
        airflow.say(
            f"  DAG run {state}; {took // 60} min {took % 60} s on the factory's clock, "
            f"{len(emulator.journal)} requests"
        )
        well = states == story.states
        checks = [
            Check("each task ended as it should", well, "" if well else f"not {story.states}: {states}")
        ]
        checks += story.checks(emulator, was)
    for check in checks:
        seen = f" ({check.seen})" if check.seen else ""
        airflow.say(f"  {'ok ' if check.holds else 'NOT'} {check.claim}{seen}")
    airflow.say()
    return all(check.holds for check in checks)


def show(airflow: PrivateAirflow, what: str, lines: Iterable[str]) -> None:
    """Print lines under a heading."""
    for number, line in enumerate(lines):
        airflow.say(f"  {what if number == 0 else '':7} {line}")


if __name__ == "__main__":
    sys.exit(main())
