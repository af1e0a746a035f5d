"""Run ids in the shapes the service gives them, drawn from a seed so that equal scenarios get equal ids."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta

_INT64_MAX = 2**63 - 1
_FIRST_TICK = datetime(1, 1, 1, tzinfo=UTC)


class IdSource:
    """Gives out ids.

    :param seed: equal seeds give equal ids in equal order.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret

    def run_id(self) -> str:
        """Return a pipeline run id, a version 4 UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def invoker_id(self) -> str:
        """Return the id of a manual invocation: 32 hexadecimal digits."""
        return f"{self._random.getrandbits(128):032x}"

    def trigger_run_id(self, at: datetime) -> str:
        """Return a trigger run id for a run made at ``at``.

        In the recorded ids the first 20 digits are the 64-bit maximum less the .NET ticks of the run's
        creation, so that newer ids sort first; then come 9 digits, ``CU`` and 2 or 3 more.
        """
        ticks = (at - _FIRST_TICK) // timedelta(microseconds=1) * 10
        newest_first = _INT64_MAX - ticks - self._random.randrange(10)
        return f"{newest_first:020d}{self._random.randrange(10**9):09d}CU{self._random.randrange(160):02d}"

    def jitter_seconds(self, low: float, high: float) -> float:
        """Return some seconds between ``low`` and ``high``, for timestamps that look like the service's."""
        return round(self._random.uniform(low, high), 6)


def activity_run_id(pipeline_run_id: str, activity_name: str) -> str:
    """Return the id of an activity's run, derived so that a past run's activities can be told when asked."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, pipeline_run_id)
    return str(uuid.uuid5(namespace, activity_name))
