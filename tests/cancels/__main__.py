"""`python -m tests.cancels`: cancels of trees that go wrong, the sensor's verdict beside the truth."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the trees. :return: 0 if every verdict was true, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.cancels", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many trees; default 100")
    parser.add_argument("--first-seed", type=int, default=1, help="the first tree's seed; default 1")
    parser.add_argument("--regions", type=int, default=19, help="runs of the second level; default 19")
    parser.add_argument("--shops", type=int, default=20, help="runs that each of these starts; default 20")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="adfruns-cancels-") as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        bad = [seed for seed in seeds if not _one(seed, options.regions, options.shops)]
    spent = time.monotonic() - began
    print(
        f"{options.seeds} trees in {spent:.0f} s, {len(bad)} verdicts wrong{f': seeds {bad}' if bad else ''}"
    )
    return 1 if bad else 0


def _one(seed: int, regions: int, shops: int) -> bool:
    from airflow_provider_adfruns.adf.pause import moving  # Airflow comes after its environment
    from airflow_provider_adfruns.emulator import AdfEmulator
    from tests.cancels.tree import draw, judge, scenario

    drawn = draw(seed)
    with (
        AdfEmulator(scenario(drawn, regions, shops), clock="manual") as emulator,
        moving(emulator.advance),
    ):
        os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = emulator.connection_json()
        found = judge(emulator, drawn)
    way = "deferred" if drawn.deferrable else "on the worker"
    print(
        f"seed {seed}: {drawn.on_stuck} {way}, {found.end}: {found.runs} runs, {found.stuck} stuck,"
        f" {found.violated} violated, {found.late_children} late children, {found.requests} requests,"
        f" {len(found.findings)} findings",
        flush=True,
    )
    for finding in found.findings[:10]:
        print(f"  {finding}", flush=True)
    return not found.findings


if __name__ == "__main__":
    sys.exit(main())
