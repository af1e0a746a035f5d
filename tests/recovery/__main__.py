"""`python -m tests.recovery`: nights of faults and deaths for the recovery of stuck windows, each judged."""

from __future__ import annotations

import json
import shutil
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos import nights
from tests.recovery.night import draw

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.chaos.factory import Served
    from tests.recovery.judge import Judgement
    from tests.recovery.night import Night

_MODULE = "tests.recovery"
_COUNTED = ("nights", "windows", "stuck", "cancels", "reruns", "kills", "faults")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nights. :return: 0 if every stuck window was recovered as it should be, else 1."""
    options = nights.arguments(_MODULE, __doc__, windows=40).parse_args(arguments)
    return nights.in_a_home(lambda home: _all_nights(home, options))


def _all_nights(home: Path, options: argparse.Namespace) -> bool:
    from tests.chaos.factory import served  # Airflow and what imports it come after the environment

    bad: list[int] = []
    total = dict.fromkeys(_COUNTED, 0)
    began = time.monotonic()
    with served(home / "open") as factory:
        nights.sign_in(factory)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            night = draw(seed, options.windows)
            found, kills = _one_night(home / f"seed-{seed}", factory, night, not options.without_store)
            counts = (1, options.windows, found.stuck, found.cancels, found.reruns, kills, found.faults)
            for name, count in zip(_COUNTED, counts, strict=True):
                total[name] += count
            if found.findings:
                bad.append(seed)
                nights.show(_MODULE, seed, options, found.findings)
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


if __name__ == "__main__":
    sys.exit(main())
