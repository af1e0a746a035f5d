"""`python -m tests.live`, which is `make live`: stories in a real Airflow, and what the journal says."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from stack.airflow import ROOT, RealAirflow
from stack.processes import StackError, is_free
from stack.together import airflow_and_factory
from tests.live.abilities import VERSION
from tests.live.judge import WrongError
from tests.live.stage import CLOCK, Stage
from tests.live.statsd import Statsd
from tests.live.stories import STORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.factory import LocalFactory
    from stack.processes import Service

HOME = ROOT / ".stack" / "live"
EXAMPLES = ROOT / "example_dags"
LIVE_DAGS = {
    "live_rerun",
    "live_rerun_retried",
    "live_rerun_deadline",
    "live_rerun_on_worker",
    "live_rerun_on_worker_retried",
    "live_rerun_mapped",
    "live_links",
    "live_callback_of_dag",
    "live_callback_of_task",
    "live_callback_of_marked",
    "live_rerun_cleaned_up",
    "live_recover",
}
# Airflow takes minutes to believe that a part is dead; here it takes seconds.
SETTINGS = {
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
}


def main() -> int:
    """Play every story. :return: 0 if the journal agrees with all of them, and nothing is left running."""
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument(
        "--only", metavar="WORDS", default="", help="only stories with these words in their title"
    )
    options = parser.parse_args()
    chosen = [title for title in STORIES if options.only in title]
    if not chosen:
        parser.error(f"no story has {options.only!r} in its title; there are: {', '.join(STORIES)}")
    begun = time.monotonic()
    folders = {"examples": EXAMPLES, "live": Path(__file__).parent / "dags"}
    scenario = ROOT / "demo" / "scenario.yaml"
    services: list[Service] = []
    ports: list[int] = []
    wrong: list[str] = []
    try:
        with (
            Statsd() as statsd,
            airflow_and_factory(
                HOME, scenario, folders, clock=str(CLOCK), settings=SETTINGS | statsd.settings
            ) as (airflow, factory),
        ):
            services += [*airflow.services.values(), factory.service]
            ports += [*airflow.ports, factory.port, statsd.port]
            airflow.wait_for_dags(LIVE_DAGS | {path.stem for path in EXAMPLES.glob("*.py")})
            say(
                f"Airflow {VERSION} on {airflow.database} and the factory run after"
                f" {time.monotonic() - begun:.0f} s."
            )
            wrong += [title for title in chosen if not play(title, airflow, factory, statsd)]
    except (StackError, httpx.HTTPError) as error:
        say(f"NOT {error}")
        wrong.append("the stack itself")
    except KeyboardInterrupt:
        wrong.append("ended by a signal before its time")
    wrong += left_behind(services, ports)
    said = f"{len(chosen)} stories, {time.monotonic() - begun:.0f} s."
    say(f"NOT as it should be: {'; '.join(wrong)}. {said}" if wrong else f"All as it should be. {said}")
    return 1 if wrong else 0


def play(title: str, airflow: RealAirflow, factory: LocalFactory, statsd: Statsd) -> bool:
    """Play one story. :return: whether the journal agrees."""
    begun = time.monotonic()
    stage = Stage(airflow, factory, statsd)
    try:
        said = STORIES[title](stage)
    except (WrongError, StackError, httpx.HTTPError) as error:
        say(f"NOT {title} ({time.monotonic() - begun:.0f} s): {type(error).__name__}: {error}")
        explain(stage)
        return False
    say(f"ok  {title} ({time.monotonic() - begun:.0f} s): {'; '.join(said)}")
    return True


def explain(stage: Stage) -> None:
    """Show what there is to see of a story that went wrong, and end its DAG runs."""
    try:
        say(indented(stage.logs()))
        stage.abandon()
    except (StackError, httpx.HTTPError) as error:
        say(indented(f"the tasks' logs cannot be read: {error}"))
    for service in stage.airflow.services.values():
        lines = service.tail(8, words=("[error", "[critical", "error:", "traceback"))
        say(indented(f"{service.log.relative_to(ROOT)}\n{indented(lines)}"))


def left_behind(services: Sequence[Service], ports: Sequence[int]) -> list[str]:
    """Look for what should have ended with the stack. :return: what has not."""
    found = [f"port {port} is not free" for port in ports if not is_free(port)]
    for service in services:
        with suppress(StackError):
            found += [f"process {each.pid} of {service.name} is left" for each in service.members()]
    if not found:
        say(f"No process is left, and {len(ports)} ports are free.")
    return found


def indented(text: str) -> str:
    """Return lines that stand under another one."""
    return "\n".join(f"      {line}" for line in text.splitlines())


def say(line: str) -> None:
    """Print a line to the person at the terminal."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
