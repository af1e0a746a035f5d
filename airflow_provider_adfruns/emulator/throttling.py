"""How many calls are allowed: ARM's token buckets, Data Factory's query limit; when to ask is elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeAlias

from airflow_provider_adfruns.emulator.refusals import Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_adfruns.emulator.definitions import Principal
    from airflow_provider_adfruns.emulator.wire import Generation

Kind: TypeAlias = Literal["reads", "writes", "deletes"]
ANONYMOUS_OBJECT = "00000000-0000-0000-0000-000000000000"
QUERIES_PER_MINUTE = 1000
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BucketSize:
    """A token bucket: ``bucket`` calls at once, ``per_second`` more each second of the factory's clock."""

    bucket: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Throttling:
    """The limits of a factory.

    :param enabled: None: unless the clock is moved by hand, for then nobody expects time to have to pass.
    :param reads: per principal; None: as the wire generation's time had it.
    :param writes: likewise.
    :param deletes: likewise.
    :param queries_per_minute: run queries of everybody together.
    """

    enabled: bool | None = None
    reads: BucketSize | None = None
    writes: BucketSize | None = None
    deletes: BucketSize | None = None
    queries_per_minute: int = QUERIES_PER_MINUTE

    def bucket(self, kind: Kind, generation: Generation) -> BucketSize:
        """Return the bucket of a kind of calls."""
        own = {"reads": self.reads, "writes": self.writes, "deletes": self.deletes}[kind]
        return own or _USUAL[generation, kind]


# The hourly limits of old are taken as buckets that fill up in an hour, for how they began anew is not known.
_USUAL: dict[tuple[Generation, Kind], BucketSize] = {
    ("2022", "reads"): BucketSize(250, 25),
    ("2022", "writes"): BucketSize(200, 10),
    ("2022", "deletes"): BucketSize(200, 10),
    ("2021", "reads"): BucketSize(12_000, 12_000 / 3600),
    ("2021", "writes"): BucketSize(1_200, 1_200 / 3600),
    ("2021", "deletes"): BucketSize(15_000, 15_000 / 3600),
}


class Throttle:
    """What the callers of one factory have left.

    :param limits: what they begin with.
    """

    def __init__(self, limits: Throttling, generation: Generation) -> None:
        self._limits = limits
        self._generation: Generation = generation
        self._left: dict[tuple[str, Kind], tuple[float, datetime]] = {}
        self._minute: tuple[datetime, int] | None = None

    def take(self, principal: Principal | None, kind: Kind, *, subscription_id: str, now: datetime) -> int:
        """Take a call from a principal's bucket, and return how many are left.

        :raises Refusal: 429 SubscriptionRequestsThrottled, with the seconds until there is a token again.
        """
        actor = principal.object_id if principal else ANONYMOUS_OBJECT
        size = self._limits.bucket(kind, self._generation)
        left, since = self._left.get((actor, kind), (size.bucket, now))
        left = min(size.bucket, left + (now - since).total_seconds() * size.per_second)
        if left < 1:
            seconds = max(1, math.ceil((1 - left) / size.per_second))
            raise _subscription_throttled(kind, subscription_id, actor, seconds)
        self._left[actor, kind] = (left - 1, now)
        return int(left - 1)

    def untouched(self, kind: Kind) -> int:
        """Return what `take` would of a full bucket, for when nobody is throttled."""
        return int(self._limits.bucket(kind, self._generation).bucket) - 1

    def count_query(self, factory_name: str, now: datetime) -> None:
        """Count a run query.

        :raises Refusal: 429 TooManyPipelineRunQueryRequests until the minute is over. Only its code is known;
            that minutes are the clock's, and the sentence, are guesses.
        """
        minute = now.replace(second=0, microsecond=0)
        counted = self._minute[1] if self._minute and self._minute[0] == minute else 0
        if counted >= self._limits.queries_per_minute:
            raise _too_many_queries(
                factory_name,
                self._limits.queries_per_minute,
                math.ceil((minute + _MINUTE - now).total_seconds()),
            )
        self._minute = (minute, counted + 1)


def _subscription_throttled(kind: Kind, subscription_id: str, actor: str, seconds: int) -> Refusal:
    message = (
        f"Number of '{kind.removesuffix('s')}' requests for subscription '{subscription_id}' actor '{actor}'"
        f" exceeded. Please try again after '{seconds}' seconds."
    )
    headers = {"Retry-After": str(seconds), f"x-ms-ratelimit-remaining-subscription-{kind}": "0"}
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", message, arm=True, headers=headers
    )


def _too_many_queries(factory_name: str, limit: int, seconds: int) -> Refusal:
    message = (
        f"Factory '{factory_name}' received more than {limit} run queries in a minute."
        f" Please try again after '{seconds}' seconds."
    )
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        "TooManyPipelineRunQueryRequests",
        message,
        target=factory_name,
        headers={"Retry-After": str(seconds)},
    )
