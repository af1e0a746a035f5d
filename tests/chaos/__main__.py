"""`python -m tests.chaos`: nights of faults and kills, each judged by the factory's own journal."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos import nights
from tests.chaos.night import Night, draw

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.chaos.factory import Served
    from tests.chaos.judge import Judgement
    from tests.chaos.storm import Storm

_MODULE = "tests.chaos"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nights. :return: 0 if every window of every night was rerun as it should be, else 1."""
    parser = nights.arguments(_MODULE, __doc__, windows=60)
    parser.add_argument(
        "--blind", type=int, default=0, help="nights that the blind loop sees, too; default 0"
    )
    options = parser.parse_args(arguments)
    return nights.in_a_home(lambda home: _all_nights(home, options))


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
                nights.show(_MODULE, seed, options, found.findings)
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

    nights.sign_in(factory)
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


if __name__ == "__main__":
    sys.exit(main())
