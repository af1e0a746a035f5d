"""`python -m tests.chaos`: nights of faults and kills, each judged by the factory's own journal."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.night import OURS, SECRET, Night, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.factory import Served
    from tests.chaos.judge import Judgement
    from tests.chaos.storm import Storm


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nights. :return: 0 if every window of every night was rerun as it should be, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many nights; default 10")
    parser.add_argument("--windows", type=int, default=60, help="windows a night; default 60")
    parser.add_argument("--first-seed", type=int, default=1, help="the first night's seed; default 1")
    parser.add_argument(
        "--blind", type=int, default=0, help="nights that the blind loop sees, too; default 0"
    )
    parser.add_argument(
        "--without-store", action="store_true", help="as before Airflow 3.3: no try knows of an earlier one"
    )
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="adfruns-chaos-"))
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
    blind: list[Judgement] = []
    total = dict.fromkeys(("nights", "windows", "reruns", "kills", "faults"), 0)
    began = time.monotonic()
    with served(home / "open") as without_tokens, served(home / "signed-in", "--tls") as with_tokens:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            night = draw(seed, options.windows)
            factory = with_tokens if night.signs_in else without_tokens
            has_store = not options.without_store
            found, kills = _one_night(home / f"seed-{seed}", factory, night, has_store=has_store)
            for name, count in zip(
                total, (1, options.windows, found.reruns, kills, found.faults), strict=True
            ):
                total[name] += count
            if found.findings:
                bad.append(seed)
                _show(seed, options, found.findings)
            if seed < options.first_seed + options.blind:
                blind.append(_blind_night(home / f"blind-{seed}", without_tokens, night))
    spent = time.monotonic() - began
    print(f"ours: {', '.join(f'{count} {name}' for name, count in total.items())}, in {spent:.0f} s")
    print(f"ours: {len(bad)} nights with findings{': seeds ' + str(bad) if bad else ''}")
    if blind:
        print(
            f"the blind loop, {len(blind)} nights: {sum(len(each.twice) for each in blind)} windows rerun"
            f" more than once, {sum(len(each.missed) for each in blind)} lost,"
            f" {sum(len(each.touched) for each in blind)} rerun that were not to be"
        )
    return not bad


def _one_night(home: Path, factory: Served, night: Night, *, has_store: bool) -> tuple[Judgement, int]:
    from tests.chaos.attempt import FileStore, operate
    from tests.chaos.storm import Storm

    connection = {**factory.connection, "login": OURS, "password": SECRET}
    connection["extra"] = json.dumps(factory.connection["extra"])
    os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = json.dumps(connection)
    store = FileStore(home / "state.json", dies_judged=night.dies_judged) if has_store else None

    def attempt(number: int) -> Callable[[], None]:
        return partial(operate, home, night.parameters, store, number)

    return _through(Storm(factory, home, attempt, night=night, has_store=has_store), "ours")


def _blind_night(home: Path, factory: Served, night: Night) -> Judgement:
    from tests.chaos.blind import rerun_blindly
    from tests.chaos.storm import Storm

    now = datetime.fromisoformat(night.scenario["now"])

    def attempt(_: int) -> Callable[[], None]:
        return partial(rerun_blindly, factory, now)

    return _through(Storm(factory, home, attempt, night=night), "blind")[0]


def _through(storm: Storm, name: str) -> tuple[Judgement, int]:
    from tests.chaos.judge import judge

    home, night = storm.home, storm.night
    if threading.active_count() > 1:
        raise RuntimeError(f"a process with threads cannot be forked safely: {threading.enumerate()}")
    began = time.monotonic()
    evidence = storm.run()
    found = judge(night, evidence)
    print(
        f"seed {night.seed} {name}: {len(night.eligible)} eligible, {found.reruns} reruns,"
        f" {len(evidence.tries)} tries, {storm.kills} kills, {found.faults} faults, {found.foreign} meddled,"
        f" {evidence.end}: {len(found.twice)} twice, {len(found.missed)} missed,"
        f" {len(found.touched)} touched, {len(found.on_top)} on top, {len(found.report)} misreported"
        f" ({time.monotonic() - began:.1f} s)",
        flush=True,
    )
    if name == "ours" and found.findings:
        (home / "journal.json").write_text(json.dumps(evidence.journal), encoding="utf-8")
        (home / "windows.json").write_text(json.dumps(evidence.windows), encoding="utf-8")
    else:
        shutil.rmtree(home)
    return found, storm.kills


def _show(seed: int, options: argparse.Namespace, findings: Sequence[str]) -> None:
    for finding in findings[:20]:
        print(f"  {finding}")
    again = f"--first-seed {seed} --seeds 1 --windows {options.windows}"
    without = " --without-store" if options.without_store else ""
    print(f"  again: python -m tests.chaos {again}{without}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
