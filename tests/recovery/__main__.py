"""`python -m tests.recovery`: nights of faults and deaths for the recovery of stuck windows, each judged."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.night import OURS, SECRET
from tests.recovery.night import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.factory import Served
    from tests.recovery.judge import Judgement
    from tests.recovery.night import Night

_COUNTED = ("nights", "windows", "stuck", "cancels", "reruns", "kills", "faults")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nights. :return: 0 if every stuck window was recovered as it should be, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.recovery", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many nights; default 10")
    parser.add_argument("--windows", type=int, default=40, help="windows a night; default 40")
    parser.add_argument("--first-seed", type=int, default=1, help="the first night's seed; default 1")
    parser.add_argument(
        "--without-store", action="store_true", help="as before Airflow 3.3: no try knows of an earlier one"
    )
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="adfruns-recovery-"))
    (home / "airflow").mkdir()
    os.environ |= {"AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    is_well = False
    try:
        is_well = _all_nights(home, options)
    finally:
        if is_well:
            shutil.rmtree(home)
        else:
            print(f"logs and evidence are in {home}")
    return 0 if is_well else 1


def _all_nights(home: Path, options: argparse.Namespace) -> bool:
    from tests.chaos.factory import served  # Airflow and what imports it come after the environment

    bad: list[int] = []
    total = dict.fromkeys(_COUNTED, 0)
    began = time.monotonic()
    with served(home / "open") as factory:
        connection = {**factory.connection, "login": OURS, "password": SECRET}
        connection["extra"] = json.dumps(factory.connection["extra"])
        os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = json.dumps(connection)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            night = draw(seed, options.windows)
            found, kills = _one_night(home / f"seed-{seed}", factory, night, not options.without_store)
            counts = (1, options.windows, found.stuck, found.cancels, found.reruns, kills, found.faults)
            for name, count in zip(_COUNTED, counts, strict=True):
                total[name] += count
            if found.findings:
                bad.append(seed)
                _show(seed, options, found.findings)
    spent = time.monotonic() - began
    print(f"recovery: {', '.join(f'{count} {name}' for name, count in total.items())}, in {spent:.0f} s")
    print(f"recovery: {len(bad)} nights with findings{': seeds ' + str(bad) if bad else ''}")
    return not bad


def _one_night(home: Path, factory: Served, night: Night, has_store: bool) -> tuple[Judgement, int]:
    from tests.recovery.attempt import recover
    from tests.recovery.judge import judge
    from tests.recovery.storm import RecoveryStorm

    def attempt(number: int) -> Callable[[], None]:
        death = storm.death(number)
        return partial(recover, home, night.parameters, number, storm.max_tries, death, has_store=has_store)

    storm = RecoveryStorm(factory, home, attempt, night=night, has_store=has_store)
    began = time.monotonic()
    evidence = storm.run()
    found = judge(night, evidence)
    print(
        f"seed {night.seed}: {found.stuck} stuck, {found.cancels} cancels, {found.reruns} reruns,"
        f" tries {' '.join(evidence.ends)}, {len(evidence.clears)} clears, {found.faults} faults,"
        f" {found.foreign} meddled: {len(found.twice)} twice, {len(found.missed)} missed,"
        f" {len(found.touched)} touched, {len(found.refused)} refused, {len(found.report)} misreported"
        f" ({time.monotonic() - began:.1f} s)",
        flush=True,
    )
    if found.findings:
        for name in ("journal", "windows", "upstream", "report", "ledgers"):
            (home / f"{name}.json").write_text(json.dumps(getattr(evidence, name)), encoding="utf-8")
    else:
        shutil.rmtree(home)
    return found, storm.kills


def _show(seed: int, options: argparse.Namespace, findings: Sequence[str]) -> None:
    for finding in findings[:20]:
        print(f"  {finding}")
    without = " --without-store" if options.without_store else ""
    again = f"--first-seed {seed} --seeds 1 --windows {options.windows}{without}"
    print(f"  again: python -m tests.recovery {again}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
