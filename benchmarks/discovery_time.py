"""What discovering this provider costs Airflow: ``python -m benchmarks.discovery_time [TIMES]``."""

from __future__ import annotations

import statistics
import subprocess
import sys

NAME = "airflow-provider-adfruns"
CODE = """
import sys, time
import importlib_metadata

found = importlib_metadata.distributions
hidden = sys.argv[1:]
importlib_metadata.distributions = lambda: (dist for dist in found() if dist.metadata["Name"] not in hidden)
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
began = time.perf_counter()
manager.initialize_providers_list()
print(time.perf_counter() - began)
"""
DEFAULT_TIMES = 15


def measure(hidden: str = "nothing") -> float:
    """Discover the providers in a fresh interpreter, but for the one hidden. :return: seconds."""
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", CODE, hidden], capture_output=True, text=True, check=True
    )
    return float(answer.stdout.splitlines()[-1])


def main(times: int) -> None:
    """Print the medians and the fastest; with and without take turns, so that both meet the same noise.

    :param times: how many fresh interpreters of each; one more goes first, to write the bytecode.
    """
    measure()
    pairs = [(measure(NAME), measure()) for _ in range(times)]
    without, having = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    print(f"Discovery of providers in {times} fresh interpreters each, ms:")
    print(f"  without this one  median {statistics.median(without):6.1f}  fastest {min(without):6.1f}")
    print(f"  with this one     median {statistics.median(having):6.1f}  fastest {min(having):6.1f}")
    print(f"  it costs          median {statistics.median(having) - statistics.median(without):6.1f}")
    print(f"  ratio             median {statistics.median(having) / statistics.median(without):6.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TIMES)
