"""What Airflow's discovery of providers costs with this one: ``python -m benchmarks.discovery_time [TIMES]``."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import sys, time
import airflow.providers_manager as providers_manager

if sys.argv[1] == "without":
    found = providers_manager.entry_points_with_dist
    providers_manager.entry_points_with_dist = lambda group: (
        (entry_point, dist)
        for entry_point, dist in found(group)
        if dist.metadata["Name"] != "airflow-provider-adfruns"
    )
began = time.perf_counter()
providers_manager.ProvidersManager().initialize_providers_list()
print(time.perf_counter() - began)
"""
DEFAULT_TIMES = 15


def measure(which: str) -> float:
    """Discover the providers in a fresh interpreter. :return: seconds."""
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", CODE, which], capture_output=True, text=True, check=True
    )
    return float(answer.stdout.splitlines()[-1])


def main(times: int) -> None:
    """Print the medians and the fastest; with and without take turns, so that both meet the same noise.

    :param times: how many fresh interpreters of each; one more goes first, to write the bytecode.
    """
    measure("with")
    pairs = [(measure("without"), measure("with")) for _ in range(times)]
    without, having = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    print(f"Discovery of providers in {times} fresh interpreters each, ms:")
    print(f"  without this one  median {statistics.median(without):6.1f}  fastest {min(without):6.1f}")
    print(f"  with this one     median {statistics.median(having):6.1f}  fastest {min(having):6.1f}")
    print(f"  it costs          median {statistics.median(having) - statistics.median(without):6.1f}")
    print(f"  ratio             median {statistics.median(having) / statistics.median(without):6.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TIMES)
