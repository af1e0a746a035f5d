"""A bad night for a recovery, drawn from a seed: two triggers, what goes wrong, who dies when; pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.night import COLLEAGUE, OURS, SECRET, SETTLE_SECONDS, faults

UPSTREAM, TRIGGER = "feed", "report"
PERSON = "33333333-3333-4333-8333-333333333333"
STUCK_AFTER = timedelta(minutes=15)
UNKNOWN_ID = "nobody-knows-it"
WAITS = "WaitingOnDependency"
JUST_NOW = "just now"
OUTAGE = "outage"

_NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
_OPERATIONS = (
    "TriggerRuns_Cancel",
    "TriggerRuns_Rerun",
    "TriggerRuns_QueryByFactory",
    "Triggers_Get",
    "*",
)
_MOST_WAITING = 45  # a window that waits takes one of the trigger's 50 places

# How a window stands when the night begins, and how often; the last is its latest run.
_UPSTREAM_PASTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("Succeeded",), 130),
    (("Failed", "Succeeded"), 8),
    ((JUST_NOW,), 4),
    (("Failed", JUST_NOW), 3),
    (("Failed",), 6),
    (("Succeeded", "Failed"), 2),
    (("Running",), 4),
    (("Cancelled",), 3),
)
_PASTS: tuple[tuple[tuple[str, ...], int], ...] = (
    ((WAITS,), 45),
    (("Failed", WAITS), 4),
    (("Succeeded", WAITS), 2),
    ((f"{WAITS} {JUST_NOW}",), 3),
    (("Succeeded",), 22),
    (("Failed", "Succeeded"), 5),
    (("Failed",), 8),
    (("Cancelled",), 5),
    (("Running",), 4),
)

# What the dependent trigger waits for of the other; its windows are an hour long.
_DEPENDENCIES: tuple[dict[str, str], ...] = (
    {},
    {"offset": "-01:00:00"},
    {"size": "02:00:00"},
    {"offset": "-02:00:00", "size": "03:00:00"},
)
_GRIDS: tuple[dict[str, Any], ...] = (
    {},
    {"frequency": "Hour", "interval": 2},
    {"frequency": "Minute", "interval": 30},
)


@dataclass(frozen=True, slots=True)
class Death:
    """When a try is killed.

    :param at: which of its requests, or of its writes to the ledger, from 1.
    :param kind: ``request`` or ``ledger``.
    :param is_done: just after that was answered, or written; else just before it is sent, or written.
    :param then: what a person does before the next try: nothing, ``clear`` the task, or ``end`` it, which
        cancels what it has rerun, and clear it then.
    """

    at: int
    kind: str
    is_done: bool
    then: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """What a seed makes.

    :param scenario: the factory; it has no faults yet.
    :param faults: what goes wrong from the start on, for the control API.
    :param needs: what a window waits for: of which trigger, how long after its start, and for how long.
    :param begin: the start of the first window; each is an hour long.
    :param waiting: the starts of windows whose latest run waits on dependencies.
    :param selected: the starts of windows that the task is to look at.
    :param named: run ids that the task is given, if it is not given a range.
    :param cancelled_before: how many waiting windows a person cancels before the first try.
    :param deaths: of the first tries, one each.
    :param meddling: after how many calls in all somebody else does something, and what.
    :param retries: how many tries Airflow begins after a verdict.
    :param is_cleared_in_the_end: whether a person clears the task after its success.
    :param pauses: how long Airflow waits before the next try, in seconds.
    :param between: what somebody else does in the meantime, once what was begun before has ended.
    """

    seed: int
    scenario: dict[str, Any]
    faults: tuple[dict[str, Any], ...]
    needs: tuple[tuple[str, timedelta, timedelta], ...]
    begin: datetime
    count: int
    waiting: frozenset[datetime]
    selected: frozenset[datetime]
    named: tuple[str, ...]
    cancelled_before: int
    parameters: dict[str, Any]
    deaths: tuple[Death | None, ...]
    meddling: tuple[tuple[int, str], ...]
    retries: int
    is_cleared_in_the_end: bool
    pauses: tuple[float, ...]
    between: tuple[tuple[str, ...], ...]


def draw(seed: int, count: int) -> Night:
    """Draw a night.

    :param seed: the same seed gives the same night.
    :param count: how many windows the dependent trigger has.
    """
    chance = random.Random(f"recovery {seed}")  # noqa: S311 - reproducible, not secret
    lag = chance.choice([2.0, chance.uniform(0, 20), chance.uniform(15, 20)])
    begin = _NOW.replace(minute=0) - timedelta(hours=count)
    starts = [begin + timedelta(hours=place) for place in range(count)]
    depends_on, needs = _dependencies(chance)
    pasts = _pasts(chance, count, is_chain=len(needs) > 1)
    waiting = frozenset(
        start for start, past in zip(starts, pasts, strict=True) if past[-1].startswith(WAITS)
    )
    choice, selected, named = _choice(chance, starts, waiting)
    busy = count // 2
    return Night(
        seed,
        _scenario(chance, seed, begin, pasts, depends_on, lag),
        tuple(faults(chance, _OPERATIONS, SETTLE_SECONDS - 2 - lag)),
        needs,
        begin,
        count,
        waiting,
        selected,
        named,
        chance.choice([0, 0, 1, 3]),
        {
            "trigger_name": TRIGGER,
            **choice,
            "stuck_after": STUCK_AFTER.total_seconds(),
            "settle_seconds": SETTLE_SECONDS,
            "poll_interval": chance.choice([10.0, 30.0]),
            "deferrable": chance.random() < 0.5,
            "wait_for_completion": chance.random() < 0.9,
            "timeout": chance.choice([2400.0, 2400.0, 400.0]),
        },
        tuple(_death(chance, busy) for _ in range(chance.randrange(6))),
        tuple(
            sorted(
                (chance.randint(1, 2 * busy), chance.choice(_MEDDLING))
                for _ in range(chance.choice([0, 1, 3, 6]))
            )
        ),
        chance.choice([0, 1, 3]),
        chance.random() < 0.3,
        tuple(chance.choice([0.0, chance.uniform(0, 5), 300.0]) for _ in range(30)),
        tuple(chance.choice(_BETWEEN) for _ in range(30)),
    )


_MEDDLING = (
    "rerun",
    "rerun what it has cancelled",
    "cancel",
    "cancel waiting",
    "rerun upstream",
    "rerun upstream that has succeeded",
    OUTAGE,
)
_BETWEEN: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("rerun what it has cancelled",),
    ("rerun upstream that has succeeded", "rerun what it has cancelled", "rerun what it has cancelled"),
    ("cancel waiting", "rerun"),
)


def _dependencies(
    chance: random.Random,
) -> tuple[list[dict[str, Any]], tuple[tuple[str, timedelta, timedelta], ...]]:
    other = chance.choice(_DEPENDENCIES)
    depends_on: list[dict[str, Any]] = [{"trigger": UPSTREAM, **other}]
    needs = [(UPSTREAM, _length(other.get("offset", "00:00:00")), _length(other.get("size", "01:00:00")))]
    if chance.random() < 0.35:
        depends_on.append({"self": True, "offset": "-01:00:00", "size": "01:00:00"})
        needs.append((TRIGGER, timedelta(hours=-1), timedelta(hours=1)))
    return depends_on, tuple(needs)


def _length(text: str) -> timedelta:
    hours, minutes, seconds = map(int, text.lstrip("-").split(":"))
    found = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -found if text.startswith("-") else found


def _pasts(chance: random.Random, count: int, *, is_chain: bool) -> list[tuple[str, ...]]:
    pasts, weights = zip(*_PASTS, strict=True)
    if is_chain:  # each waits for the one before
        weights = tuple(
            weight * 3 if past[-1] == "Succeeded" else weight
            for past, weight in zip(pasts, weights, strict=True)
        )
    drawn = chance.choices(pasts, weights, k=count)
    waiting = [place for place, past in enumerate(drawn) if past[-1].startswith(WAITS)]
    for place in waiting[_MOST_WAITING:]:
        drawn[place] = ("Succeeded",)
    return drawn


def _choice(
    chance: random.Random, starts: list[datetime], waiting: frozenset[datetime]
) -> tuple[dict[str, Any], frozenset[datetime], tuple[str, ...]]:
    """Draw which windows the task is to look at, by a range or by run ids."""
    how = chance.random()
    if how < 0.25 and waiting:
        chosen = frozenset(start for start in sorted(waiting) if chance.random() < 0.7) or waiting
        named = [run_id(start) for start in sorted(chosen)]
        if chance.random() < 0.3:
            named.append(UNKNOWN_ID)
        return {"run_ids": named}, chosen, tuple(named)
    part = starts if how < 0.85 else starts[len(starts) // 4 : -1]
    span = {"window_start": part[0].isoformat(), "window_end": (part[-1] + timedelta(hours=1)).isoformat()}
    return span, frozenset(part), ()


def run_id(start: datetime) -> str:
    """Return the id of a window's run that waits."""
    return f"waits-{start:%Y%m%d%H}"


def _scenario(
    chance: random.Random,
    seed: int,
    begin: datetime,
    pasts: list[tuple[str, ...]],
    depends_on: list[dict[str, Any]],
    lag: float,
) -> dict[str, Any]:
    exceptions = []
    fails = chance.random() < 0.3
    for place, past in enumerate(pasts):
        start = begin + timedelta(hours=place)
        runs = [
            _waiting_run(chance, status, start) if status.startswith(WAITS) else status for status in past
        ]
        outcome = {"rerun_outcome": ["failed", "succeeded"]} if fails and chance.random() < 0.15 else {}
        exceptions.append({"windows": place, "runs": runs, **outcome})
    return {
        "now": _NOW.isoformat(),
        "seed": seed,
        "query_lag_seconds": lag,
        "principals": [
            {"name": "operator", "client_id": OURS, "client_secret": SECRET},
            {"name": "colleague", "client_id": COLLEAGUE, "client_secret": SECRET},
            {"name": "person", "client_id": PERSON, "client_secret": SECRET},
        ],
        "pipelines": {
            "load": {"seconds": chance.choice([5, 60, 300])},
            "print": {"seconds": chance.choice([5, 60, 300])},
        },
        "triggers": {
            UPSTREAM: _upstream(chance, begin),
            TRIGGER: {
                "pipeline": "print",
                "startTime": begin.isoformat(),
                "endTime": _NOW.replace(minute=0).isoformat(),
                "dependsOn": depends_on,
                "cancel_seconds": chance.choice([2, 30, 300]),
                "windows": [{"from": begin.isoformat(), "count": len(pasts), "except": exceptions}],
            },
        },
    }


def _waiting_run(chance: random.Random, status: str, start: datetime) -> dict[str, Any]:
    """Return a run that waits; one that is not stuck wakes up when a window before it succeeds."""
    begun = {"at": f"-PT{chance.randint(1, 10)}M"} if status.endswith(JUST_NOW) else {}
    return {"status": WAITS, "id": run_id(start), "stuck": chance.random() < 0.85, **begun}


def _upstream(chance: random.Random, begin: datetime) -> dict[str, Any]:
    grid = chance.choice(_GRIDS)
    minutes = grid.get("interval", 1) * (1 if grid.get("frequency") == "Minute" else 60)
    first = begin - timedelta(hours=4)
    first -= timedelta(hours=first.hour % 2)
    count = int((_NOW - first) / timedelta(minutes=minutes))
    pasts, weights = zip(*_UPSTREAM_PASTS, strict=True)
    exceptions = [
        {
            "windows": place,
            "runs": [
                {"status": "Succeeded", "at": f"-PT{chance.randint(6, 12)}M"} if each == JUST_NOW else each
                for each in past
            ],
        }
        for place, past in enumerate(chance.choices(pasts, weights, k=count))
    ]
    return {
        "pipeline": "load",
        **grid,
        "windows": [{"from": first.isoformat(), "count": count, "except": exceptions}],
    }


def _death(chance: random.Random, busy: int) -> Death | None:
    if chance.random() < 0.15:
        return None
    then = chance.choice(["", "", "", "clear", "end"])
    if chance.random() < 0.4:
        return Death(chance.randint(1, 6), "ledger", chance.random() < 0.5, then)
    return Death(
        chance.randint(1, chance.choice([12, busy, 2 * busy])), "request", chance.random() < 0.5, then
    )
