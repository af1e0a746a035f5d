"""What discovering this provider costs Airflow: ``python -m benchmarks.discovery_time [TIMES]``.

It ends non-zero if that is more than 20 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.demands import Demand, exit_status

NAME = "airflow-provider-adfruns"
CODE = """
import json, sys, time
from importlib.metadata import entry_points
from pathlib import Path
import airflow
import jsonschema

schema = json.loads(Path(airflow.__file__).with_name("provider_info.schema.json").read_text("utf-8"))
validator = jsonschema.validators.validator_for(schema)(schema)
for entry_point in entry_points(group="apache_airflow_provider"):
    package = entry_point.module.partition(".")[0]
    if package != "airflow":  # importing Airflow has discovered it already
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[module]
    else:
        sys.modules.pop(entry_point.module, None)
    began = time.perf_counter()
    validator.validate(entry_point.load()())
    print("cost", entry_point.dist.name, (time.perf_counter() - began) * 1000)
"""
DEFAULT_TIMES = 10
_MOST_MS = 20.0


def measure() -> dict[str, float]:
    """Discover each provider in a fresh interpreter. :return: milliseconds by the provider's name."""
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in answer.stdout.splitlines() if line.startswith("cost ")]
    return {name: float(cost) for _, name, cost in lines}


def main(times: int) -> int:
    """Print the median for each provider: importing its metadata and holding it against Airflow's schema.

    :param times: how many fresh interpreters; one more goes first, to write the bytecode.
    :return: 0 if this provider's cost is as demanded.
    """
    measure()
    measured = [measure() for _ in range(times)]
    print(f"Discovery in {times} fresh interpreters, median ms:")
    for name in sorted(measured[0]):
        print(f"  {name:42}  {statistics.median(each[name] for each in measured):6.1f}")
    others = [cost for each in measured for name, cost in each.items() if name != NAME]
    cost = statistics.median(each[NAME] for each in measured)
    print(f"  {NAME} to the others' median: {cost / statistics.median(others):.1f}")
    return exit_status([Demand("the cost of discovery in ms", cost, most=_MOST_MS, form=".1f")])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TIMES))
