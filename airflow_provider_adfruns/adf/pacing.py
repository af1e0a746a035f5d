"""How fast requests may follow one another: ARM's token buckets as believed, and users' caps; sends nothing.

Azure Resource Manager gives each principal in a subscription a bucket of requests (documented: reads 250 and
25 a second, writes 200 and 10 a second), says in ``x-ms-ratelimit-remaining-subscription-*`` what is left,
and answers 429 with ``Retry-After`` when it is empty. One pacer serves all work of a process on one
subscription and principal, so that its tasks share the bucket instead of racing for it. A cap, to leave room
for others, holds beside it for whoever shares that: all work of a process on a connection, or one task.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.pause import elapsed, pause

_SLOWER = 0.8
_FASTER_PER_SECOND = 1.02
_SLOWEST = 0.05
_RESERVE = 0.05  # of the burst: room for what other processes of the principal have under way
_LEAST_RESERVE = 2.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket.

    :param burst: how many requests it holds.
    :param per_second: how many it regains a second.
    """

    burst: float
    per_second: float


READS = Limit(250, 25)
WRITES = Limit(200, 10)


@dataclass(slots=True)
class Bucket:
    """What is believed of one bucket of the service; time comes from outside: this decides and never waits.

    A small reserve is left in the bucket. The fewer the service says are left, the longer a next request has
    to wait: so a bucket that refills more slowly than believed, or that others take from, is found out before
    it is empty, and processes that share it end up with like shares. ``pace`` is the share of the limit's
    rate that is used; each 429 slows down, and time makes faster again.
    """

    limit: Limit
    tokens: float = field(init=False)
    pace: float = field(init=False, default=1.0)
    _seen_at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.tokens = self._most

    @property
    def _reserve(self) -> float:
        return max(_LEAST_RESERVE, self.limit.burst * _RESERVE)

    @property
    def _most(self) -> float:
        return max(1.0, self.limit.burst - self._reserve)

    def refill(self, now: float) -> None:
        """Let time pass."""
        passed = 0.0 if self._seen_at is None else max(0.0, now - self._seen_at)
        self.tokens = min(self._most, self.tokens + passed * self.limit.per_second * self.pace)
        self.pace = min(1.0, self.pace * _FASTER_PER_SECOND**passed)
        self._seen_at = now

    def wait(self, now: float) -> float:
        """Return 0 if there is a token, else the seconds after which to ask again."""
        self.refill(now)
        if self.tokens > 1 - _ROUNDING:
            return 0.0
        return (1 - self.tokens) / (self.limit.per_second * self.pace)

    def take(self, now: float) -> float:
        """Take a token if there is one. :return: 0 if so, else the seconds after which to ask again."""
        wait = self.wait(now)
        if wait <= 0:
            self.tokens -= 1
        return wait

    def told(self, remaining: float, under_way: int, now: float) -> None:
        """Believe the service when it says that less is left than was thought.

        :param under_way: requests that are not answered yet, which it may not have counted.
        """
        self.refill(now)
        self.tokens = min(self.tokens, remaining - self._reserve - under_way)

    def refused(self, now: float) -> None:
        """Go slower after a 429; its token was never there."""
        self.refill(now)
        self.tokens = min(self.tokens, 0.0)
        self.pace = max(_SLOWEST, self.pace * _SLOWER)


_caps_lock = threading.Lock()  # one for all: an operator is copied with its cap, and no lock can be


@dataclass(slots=True)
class Cap:
    """At most so many requests a second, reads and writes, for all the clients that hold it; no burst.

    :param per_second: how many, above zero.
    :raises InvalidInput: for anything else.
    """

    per_second: float
    _bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self._bucket = Bucket(Limit(1, check_rate(self.per_second)))

    @staticmethod
    def of(rate: float | Cap | None) -> Cap | None:
        """Return a cap of its own for a number, a cap as it is, and None for none.

        :param rate: requests a second.
        """
        return rate if rate is None or isinstance(rate, Cap) else Cap(rate)

    def take(self, now: float) -> float:
        """Let one request leave if it may. :return: 0 if so, else the seconds after which to ask again."""
        with _caps_lock:
            return self._bucket.take(now)

    def change(self, per_second: float) -> None:
        """Hold to another number from here on, for everyone who has this cap."""
        with _caps_lock:
            self.per_second = per_second
            self._bucket.limit = Limit(1, per_second)


def check_rate(rate: object) -> float:
    """Return how many requests a second may leave. :raises InvalidInput: unless it is above zero."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise InvalidInput(
            f"max_requests_per_second: {rate!r} is not possible. Expected a number above zero, or nothing for"
            " the service's own limits."
        )
    return float(rate)


class Pacer:
    """Says when the next request may leave; for any number of tasks, event loops and threads of a process.

    :param reads: the service's limit for reads.
    :param writes: the service's limit for writes.
    """

    def __init__(self, reads: Limit = READS, writes: Limit = WRITES) -> None:
        self._lock = threading.Lock()
        self._buckets = {False: Bucket(reads), True: Bucket(writes)}
        self._under_way = {False: 0, True: 0}
        self._closed_until = 0.0

    async def admit(self, *, write: bool, cap: Cap | None = None) -> float:
        """Wait until a request may leave; ``answered`` is to follow.

        :param cap: is to allow it, too, in the same moment: what it has let pass must not gather behind a
            closed gate.
        :return: the seconds that the service's limits have cost; what the cap has cost is not counted.
        """
        bucket, waited = self._buckets[write], 0.0
        while True:
            with self._lock:
                now = elapsed()
                wait = self._closed_until - now
                if wait <= 0:
                    wait = bucket.wait(now)
                is_for_service = wait > 0
                if not is_for_service and cap is not None:
                    wait = cap.take(now)
                if wait <= 0:
                    bucket.take(now)
                    self._under_way[write] += 1
                    return waited
            await pause(wait)
            waited += is_for_service * (elapsed() - now)

    def answered(self, *, write: bool) -> None:
        """Note that an admitted request is under way no more, however it ended."""
        with self._lock:
            self._under_way[write] -= 1

    def told(self, remaining: float, *, write: bool) -> None:
        """Take over what an answer's ``x-ms-ratelimit-remaining-subscription-*`` says."""
        with self._lock:
            self._buckets[write].told(remaining, self._under_way[write], elapsed())

    def refused(self, retry_after_seconds: float, *, write: bool) -> None:
        """Close the gate for everyone until the service's Retry-After is over, and go slower then."""
        with self._lock:
            now = elapsed()
            if now >= self._closed_until:  # requests under way together are refused for the same reason
                self._buckets[write].refused(now)
            self._closed_until = max(self._closed_until, now + retry_after_seconds)


_pacers: dict[tuple[str, ...], Pacer] = {}
_caps: dict[tuple[str, ...], Cap] = {}
_shared_lock = threading.Lock()


def shared_pacer(*principal: str) -> Pacer:
    """Return this process's one pacer for a principal in a subscription.

    :param principal: whatever tells one bucket of the service from another: endpoint, subscription,
        principal.
    """
    with _shared_lock:
        return _pacers.setdefault(principal, Pacer())


def shared_cap(per_second: float, *connection: str) -> Cap:
    """Return this process's one cap for a connection.

    :param per_second: what the connection says now: holds also for those who read it when it said otherwise.
    :param connection: what its principal has a pacer by, and its id.
    """
    with _shared_lock:
        cap = _caps.setdefault(connection, Cap(per_second))
    cap.change(per_second)
    return cap
