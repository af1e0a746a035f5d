"""How fast requests may follow one another: ARM's token buckets as the client believes them; sends nothing.

Azure Resource Manager gives each principal in a subscription a bucket of requests (documented: reads 250 and
25 a second, writes 200 and 10 a second), says in ``x-ms-ratelimit-remaining-subscription-*`` what is left,
and answers 429 with ``Retry-After`` when it is empty. One pacer serves all work of a process on one
subscription and principal, so that its tasks share the bucket instead of racing for it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from airflow_provider_adfruns.adf.pause import elapsed, pause

_SLOWER = 0.8
_FASTER_PER_SECOND = 1.02
_SLOWEST = 0.05
_MEASURE_SECONDS = 3.0
_STALE_SECONDS = 10.0
_MARGIN = 2.0  # requests under way overtake each other, and the two clocks tick differently


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

    ``pace`` is the share of the limit's rate that is used. The service's remaining counts tell how fast the
    bucket really refills for this process, what other processes of the principal take being gone; each 429
    slows down, and time makes faster again.
    """

    limit: Limit
    tokens: float = field(init=False)
    pace: float = field(init=False, default=1.0)
    _seen_at: float | None = field(init=False, default=None)
    _sent: int = field(init=False, default=0)
    _measured: tuple[float, float, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.tokens = self._most

    @property
    def _most(self) -> float:
        return max(1.0, self.limit.burst - _MARGIN)

    def refill(self, now: float) -> None:
        """Let time pass."""
        passed = 0.0 if self._seen_at is None else max(0.0, now - self._seen_at)
        self.tokens = min(self._most, self.tokens + passed * self.limit.per_second * self.pace)
        self.pace = min(1.0, self.pace * _FASTER_PER_SECOND**passed)
        self._seen_at = now

    def take(self, now: float) -> float:
        """Take a token, or one that is still to come. :return: the seconds until it is there."""
        self.refill(now)
        self.tokens -= 1
        self._sent += 1
        return max(0.0, -self.tokens / (self.limit.per_second * self.pace))

    def told(self, remaining: float, now: float) -> None:
        """Believe the service when it says that less is left than was thought, and measure its refill."""
        self.refill(now)
        self.tokens = min(self.tokens, remaining - _MARGIN)
        if remaining >= self.limit.burst / 2:
            self._measured = None  # a bucket that is full regains nothing, which says nothing of its rate
            return
        if self._measured is None or now - self._measured[0] > _STALE_SECONDS:
            self._measured = (now, remaining, self._sent)
            return
        since, before, sent = self._measured
        if now - since < _MEASURE_SECONDS:
            return
        regained = (remaining - before + self._sent - sent) / (now - since)
        self.pace = min(self.pace, max(_SLOWEST, regained / self.limit.per_second))
        self._measured = (now, remaining, self._sent)

    def refused(self, now: float) -> None:
        """Go slower after a 429; its token was never there."""
        self.refill(now)
        self.tokens = min(self.tokens, 0.0)
        self.pace = max(_SLOWEST, self.pace * _SLOWER)

    def empty(self, now: float) -> None:
        """Begin again with no token, and none promised to anybody."""
        self.refill(now)
        self.tokens = 0.0


class Pacer:
    """Says when the next request may leave; for any number of tasks, event loops and threads of a process.

    :param reads: the service's limit for reads.
    :param writes: the service's limit for writes.
    """

    def __init__(self, reads: Limit = READS, writes: Limit = WRITES) -> None:
        self._lock = threading.Lock()
        self._buckets = {False: Bucket(reads), True: Bucket(writes)}
        self._closed_until = 0.0
        self._emptied = {False: 0, True: 0}

    async def admit(self, *, write: bool) -> None:
        """Wait until a request may leave."""
        while True:
            with self._lock:
                emptied = self._emptied[write]
                wait = max(self._buckets[write].take(elapsed()), self._closed_until - elapsed())
            while wait > 0:
                await pause(wait)
                wait = self._closed_until - elapsed()
            if emptied == self._emptied[write]:
                return
            # a promise from before the gate closed is void: all of them would leave at once when it opens

    def told(self, remaining: float, *, write: bool) -> None:
        """Take over what an answer's ``x-ms-ratelimit-remaining-subscription-*`` says."""
        with self._lock:
            self._buckets[write].told(remaining, elapsed())

    def refused(self, retry_after_seconds: float, *, write: bool) -> None:
        """Close the gate for everyone until the service's Retry-After is over, and go slower then."""
        with self._lock:
            now = elapsed()
            if now >= self._closed_until:  # requests under way together are refused for the same reason
                self._buckets[write].refused(now)
            self._buckets[write].empty(now)
            self._emptied[write] += 1
            self._closed_until = max(self._closed_until, now + retry_after_seconds)


_pacers: dict[tuple[str, ...], Pacer] = {}
_pacers_lock = threading.Lock()


def shared_pacer(*principal: str) -> Pacer:
    """Return this process's one pacer for a principal in a subscription.

    :param principal: whatever tells one bucket of the service from another: endpoint, subscription,
        principal.
    """
    with _pacers_lock:
        return _pacers.setdefault(principal, Pacer())
