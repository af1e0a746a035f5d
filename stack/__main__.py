"""`python -m stack`, which is `make up`: Airflow with the example DAGs and a local factory, for a person."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import yaml

from stack.airflow import ROOT, RealAirflow
from stack.processes import StackError, is_free, until
from stack.together import CONN_ID, airflow_and_factory

if TYPE_CHECKING:
    from pathlib import Path

    from stack.factory import LocalFactory

HOME = ROOT / ".stack" / "up"
EXAMPLES = ROOT / "example_dags"
_SETTINGS = {
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",  # an example that is edited shows soon
    "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
}


def main() -> int:
    """Run both until Ctrl-C. :return: 0, or 1 if something ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("--airflow-port", type=int, default=8080, help="default 8080, or a free one")
    parser.add_argument("--factory-port", type=int, default=8081, help="default 8081, or a free one")
    parser.add_argument(
        "--clock", type=float, default=10.0, help="seconds of the factory in a second; default 10"
    )
    options = parser.parse_args()
    say("Starting Airflow and a local factory; this takes about a minute.")
    try:
        with (
            suppress(KeyboardInterrupt),
            airflow_and_factory(
                HOME,
                _scenario(HOME.parent / "up.yaml"),
                {"example-dags": EXAMPLES},
                clock=str(options.clock),
                settings=_SETTINGS,
                airflow_port=options.airflow_port if is_free(options.airflow_port) else 0,
                factory_port=options.factory_port if is_free(options.factory_port) else 0,
            ) as (airflow, factory),
        ):
            airflow.wait_for_dags({path.stem for path in EXAMPLES.glob("*.py")})
            _tell(airflow, factory, options.clock)
            until(
                "a person presses Ctrl-C",
                lambda: False,
                seconds=math.inf,
                services=[factory.service, *airflow.services.values()],
            )
    except StackError as error:
        say(str(error))
        return 1
    say("\nAll ended.")
    return 0


def _scenario(path: Path) -> Path:
    """Write the demonstration's factory for today: its night is the one before now."""
    scenario = yaml.safe_load((ROOT / "demo" / "scenario.yaml").read_text(encoding="utf-8"))
    del scenario["now"]
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    return path


def _tell(airflow: RealAirflow, factory: LocalFactory, clock: float) -> None:
    name, password = airflow.login
    say(
        f"""
  Airflow        {airflow.url}   user {name}, password {password}
  the factory    {factory.url}   a page that shows it; {clock:g} seconds pass there in a second
  connection     {CONN_ID}, already made; its Test button works
  logs           {HOME.relative_to(ROOT)}/

Trigger rerun_last_night in Airflow, and watch the factory's page. Ctrl-C ends everything."""
    )


def say(line: str) -> None:
    """Print a line to the person at the terminal."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
