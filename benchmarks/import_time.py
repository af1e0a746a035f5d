"""How long parsing a DAG pays for this package: ``python -m benchmarks.import_time [TIMES]``."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import time
began = time.perf_counter()
from airflow.sdk import BaseOperator, BaseSensorOperator
import airflow.triggers.base
loaded = time.perf_counter()
import airflow_provider_adfruns.operators.cancel
import airflow_provider_adfruns.operators.rerun
import airflow_provider_adfruns.sensors.cancel_complete
print(loaded - began, time.perf_counter() - loaded)
"""
DEFAULT_TIMES = 5


def measure() -> tuple[float, float]:
    """Import all in a fresh interpreter. :return: seconds for Airflow's base classes, and for ours."""
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=True
    )
    airflow, package = answer.stdout.splitlines()[-1].split()
    return float(airflow), float(package)


def main(times: int) -> None:
    """Print the medians.

    :param times: how many fresh interpreters; one more goes first, to write the bytecode.
    """
    measure()
    measured = [measure() for _ in range(times)]
    airflow = statistics.median(each[0] for each in measured)
    package = statistics.median(each[1] for each in measured)
    best = min(each[1] for each in measured)
    print(f"In {times} fresh interpreters, median:")
    print(f"  airflow.sdk's base classes and airflow.triggers.base  {airflow * 1000:5.0f} ms")
    print(f"  then all operators and the sensor                     {package * 1000:5.0f} ms")
    print(f"  the fastest of these                                  {best * 1000:5.0f} ms")
    print(f"  ratio                                                 {package / airflow:7.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TIMES)
