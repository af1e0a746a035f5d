"""A bad night drawn from a seed: a factory's windows, what goes wrong, who is killed when; pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

TRIGGER = "hourly"
OURS = "11111111-1111-4111-8111-111111111111"
COLLEAGUE = "22222222-2222-4222-8222-222222222222"
SECRET = "the night's own"
SETTLE_SECONDS = 30.0

_NOW = datetime(2026, 3, 1, 6, 40, tzinfo=UTC)
_WRITE = "TriggerRuns_Rerun"
_QUERY = "TriggerRuns_QueryByFactory"
_TOKEN = "Token"
_OPERATIONS = (_WRITE, _QUERY, "Triggers_Get", "Factories_Get", "*")
_MOST_RATE = 0.04
_MOST_TOKEN_RATE = 0.05
_MOST_WAITING = 12  # a window that waits on its dependencies takes one of the trigger's 50 places

# How a window stands when the task begins, and how often.
_PASTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("Failed",), 60),
    (("Failed", "Failed"), 6),
    (("Cancelled",), 10),
    (("Succeeded", "Cancelled"), 3),
    (("Succeeded",), 8),
    (("Failed", "Succeeded"), 8),
    (("Running",), 3),
    (("Failed", "Running"), 2),
    (("Waiting",), 1),
    (("WaitingOnDependency",), 3),
)
_ELIGIBLE = frozenset({"Failed", "Cancelled"})


@dataclass(frozen=True, slots=True)
class Night:
    """What a seed makes.

    :param scenario: the factory; it has no faults yet.
    :param faults: what goes wrong from the start on, for the control API.
    :param losses: answers that lose a page without a word, from when all is submitted: no client can tell
        such an answer of one query from a true one, so that nothing may be decided by them before.
    :param eligible: the starts of windows whose latest run is Failed or Cancelled.
    :param parameters: the operator's.
    :param kills: after how many calls of a try it is killed, a number a try.
    :param meddling: after how many calls in all somebody else does something, and what.
    :param signs_in: whether the factory is to give out and check tokens.
    :param dies_judged: whether the first try that reaches a verdict is killed before it can say so.
    """

    seed: int
    scenario: dict[str, Any]
    faults: tuple[dict[str, Any], ...]
    losses: tuple[dict[str, Any], ...]
    windows: frozenset[datetime]
    eligible: frozenset[datetime]
    parameters: dict[str, Any]
    kills: tuple[int, ...]
    meddling: tuple[tuple[int, str], ...]
    signs_in: bool
    dies_judged: bool


def draw(seed: int, count: int) -> Night:
    """Draw a night.

    :param seed: the same seed gives the same night.
    :param count: how many windows.
    """
    chance = random.Random(f"chaos {seed}")  # noqa: S311 - reproducible, not secret
    lag = chance.choice([2.0, chance.uniform(0, 20), chance.uniform(15, 20)])
    pasts = _pasts(chance, count)
    begin = _NOW.replace(minute=0) - timedelta(hours=count)
    starts = [begin + timedelta(hours=place) for place in range(count)]
    return Night(
        seed,
        _scenario(chance, seed, pasts, begin, lag),
        (
            *faults(chance, _OPERATIONS, SETTLE_SECONDS - 2 - lag),
            *_gateway_and_token_faults(_beside("faults", seed)),
        ),
        tuple({"operation": _QUERY, "lose": kind, "rate": 0.3, "seed": seed} for kind in ("page", "rest")),
        frozenset(starts),
        frozenset(start for start, past in zip(starts, pasts, strict=True) if past[-1] in _ELIGIBLE),
        {
            "trigger_name": TRIGGER,
            "window_start": begin.isoformat(),
            "window_end": (begin + timedelta(hours=count)).isoformat(),
            "settle_seconds": SETTLE_SECONDS,
            "max_in_flight": chance.choice([None, None, max(5, count // 3)]),
            "newest_first": chance.random() < 0.3,
            "poll_interval": chance.choice([10.0, 30.0]),
            "deferrable": _beside("deferrable", seed).random() < 0.5,
        },
        tuple(
            chance.randint(1, chance.choice([12, count // 2, count, 2 * count]))
            for _ in range(chance.randrange(4))
        ),
        tuple(
            sorted(
                (chance.randint(1, 2 * count), chance.choice(["rerun", "rerun", "cancel", "cancel waiting"]))
                for _ in range(chance.choice([0, 1, 3, 6]))
            )
        ),
        signs_in=_beside("signs in", seed).random() < 0.3,
        dies_judged=_beside("dies judged", seed).random() < 0.4,
    )


def _beside(name: str, seed: int) -> random.Random:
    """Return a stream of its own, so that what is drawn from it changes nothing else in a night."""
    return random.Random(f"{name} {seed}")  # noqa: S311 - reproducible, not secret


def _pasts(chance: random.Random, count: int) -> list[tuple[str, ...]]:
    pasts, weights = zip(*_PASTS, strict=True)
    drawn = chance.choices(pasts, weights, k=count)
    waiting = [place for place, past in enumerate(drawn) if past[-1] == "WaitingOnDependency"]
    for place in waiting[_MOST_WAITING:]:
        drawn[place] = ("Failed",)
    return drawn


def _scenario(
    chance: random.Random, seed: int, pasts: list[tuple[str, ...]], begin: datetime, lag: float
) -> dict[str, Any]:
    outcomes: dict[str, list[str]] = {}
    if chance.random() < 0.4:  # some reruns fail again
        outcomes["rerun_outcome"] = ["failed"]
    exceptions = [
        {
            "windows": place,
            "runs": [{"status": status, "stuck": True} if "OnDep" in status else status for status in past],
            **(outcomes if chance.random() < 0.1 else {}),
        }
        for place, past in enumerate(pasts)
    ]
    outcome, retry_policy = _retrying(_beside("retry policy", seed))
    return {
        "now": _NOW.isoformat(),
        "seed": seed,
        "query_lag_seconds": lag,
        "principals": [
            {"name": "operator", "client_id": OURS, "client_secret": SECRET},
            {"name": "colleague", "client_id": COLLEAGUE, "client_secret": SECRET},
        ],
        "pipelines": {"load": {"seconds": chance.choice([5, 60, 300]), **outcome}},
        "triggers": {
            TRIGGER: {
                "pipeline": "load",
                **retry_policy,
                "endTime": _NOW.replace(minute=0).isoformat(),
                "windows": [{"from": begin.isoformat(), "count": len(pasts), "except": exceptions}],
            }
        },
    }


def _retrying(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw whether the trigger itself runs a failed pipeline again: the same trigger run, another run in it.

    :return: the pipeline's outcomes, and the trigger's policy.
    """
    if chance.random() < 0.6:
        return {}, {}
    outcomes = chance.choices(["succeeded", "failed"], [3, 1], k=50)
    policy = {"count": chance.randint(1, 3), "intervalInSeconds": chance.choice([30, 120])}
    return {"outcome": [*outcomes, "succeeded"]}, {"retryPolicy": policy}


def faults(chance: random.Random, operations: tuple[str, ...], most_stale: float) -> list[dict[str, Any]]:
    """Draw every kind of fault on every operation; a 429 that was carried out would be a lie.

    :param most_stale: seconds that an answer to a query may be behind, beyond the usual lag.
    """
    kinds: list[tuple[str, dict[str, Any]]] = []
    for operation in operations:
        for status in (429, 500, 503, 504):
            kinds += [(operation, {"status": status})]
            kinds += [(operation, {"status": status, "retry_after": chance.choice([0, 1, 5, 20, 45])})]
            if status > 429:
                kinds += [(operation, {"status": status, "processed": True})]
        kinds += [
            (operation, {"drop_connection": True}),
            (operation, {"drop_connection": True, "processed": True}),
            (operation, {"truncate": True}),
            (operation, {"refuse_token": True}),
            (operation, {"delay_seconds": chance.uniform(1, 25)}),
            (operation, {"hang": True}),
            (operation, {"hang": True, "processed": True}),
        ]
    kinds.append((_QUERY, {"stale_seconds": max(0.5, chance.uniform(0, most_stale))}))
    chance.shuffle(kinds)
    worst = _MOST_RATE * chance.choice([0.1, 0.5, 1.0])
    return _at_rates(chance, kinds, worst)


def _at_rates(
    chance: random.Random, kinds: list[tuple[str, dict[str, Any]]], worst: float
) -> list[dict[str, Any]]:
    return [
        {"operation": operation, "rate": chance.uniform(0.001, worst), "seed": chance.getrandbits(30), **kind}
        for operation, kind in kinds
    ]


def _gateway_and_token_faults(chance: random.Random) -> list[dict[str, Any]]:
    """Draw what a gateway answers, and what becomes of sign-ins, of which a try has few."""
    kinds: list[tuple[str, dict[str, Any]]] = []
    for operation in _OPERATIONS:
        for status in (408, 502):
            kinds += [
                (operation, {"status": status}),
                (operation, {"status": status, "retry_after": chance.choice([0, 5, 20])}),
                (operation, {"status": status, "processed": True}),
            ]
    chance.shuffle(kinds)
    sign_ins: list[tuple[str, dict[str, Any]]] = [
        (_TOKEN, {"status": status, **more})
        for status in (408, 429, 500, 502, 503, 504)
        for more in ({}, {"retry_after": chance.choice([0, 5, 20])})
    ]
    sign_ins += [
        (_TOKEN, {"drop_connection": True}),
        (_TOKEN, {"drop_connection": True, "processed": True}),
        (_TOKEN, {"truncate": True}),
        (_TOKEN, {"delay_seconds": chance.uniform(1, 25)}),
        (_TOKEN, {"hang": True}),
    ]
    chance.shuffle(sign_ins)
    return [
        *_at_rates(chance, kinds, _MOST_RATE * chance.choice([0.1, 0.5, 1.0])),
        *_at_rates(chance, sign_ins, _MOST_TOKEN_RATE * chance.choice([0.1, 0.5, 1.0])),
    ]
